//! Texts with `%` variables, and their values for one user.
//!
//! Expansion is one pass: what a variable stands for is never looked at again. Except for `%h`, which is a whole
//! absolute path and may therefore only stand first in a path, a value is refused when it would add a path
//! component.

use serde::Serialize;

use super::path::{AbsPath, PathError};
use super::subject::Subject;

/// What may follow a `%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `%u`: user name.
    User,
    /// `%U`: user id.
    Uid,
    /// `%g`: name of the primary group.
    Group,
    /// `%G`: id of the primary group.
    Gid,
    /// `%h`: home directory.
    Home,
    /// `%s`: PAM service.
    Service,
    /// `%t`: terminal, with `-` for each `/` (`pts-3`).
    Tty,
    /// `%i`: session id.
    Session,
}

impl Variable {
    const ALL: [(char, Self); 8] = [
        ('u', Self::User),
        ('U', Self::Uid),
        ('g', Self::Group),
        ('G', Self::Gid),
        ('h', Self::Home),
        ('s', Self::Service),
        ('t', Self::Tty),
        ('i', Self::Session),
    ];

    /// The letter behind the percent sign.
    pub fn letter(self) -> char {
        Self::ALL.iter().find(|(_, variable)| *variable == self).map_or('?', |(letter, _)| *letter)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// A text with variables, parsed once when the map is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: String,
    pieces: Vec<Piece>,
}

impl Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

/// Why a template cannot be read, or has no value for this user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `%` before something that is no variable.
    #[error("unknown variable `%{0}`; known are %u %U %g %G %h %s %t %i, and %% for a percent sign")]
    Unknown(char),
    /// A lone `%` at the end.
    #[error("a `%` at the end of the text; write `%%` for a percent sign")]
    Unfinished,
    /// `%h` anywhere but first in a path.
    #[error("`%h` is a whole path and can only stand at the beginning of {0:?}")]
    HomeNotFirst(String),
    /// The session has no such value.
    #[error("`%{0}` has no value: this session has no {1}")]
    NoValue(char, &'static str),
    /// The value would add or change a path component.
    #[error("`%{letter}` is {value:?} here, which is not a single path component")]
    NotAComponent {
        /// The variable's letter.
        letter: char,
        /// What it stands for.
        value: String,
    },
    /// The expanded text is not a path.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Template {
    /// The variables in it, in their order.
    pub fn variables(&self) -> impl Iterator<Item = Variable> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(*variable),
            Piece::Text(_) => None,
        })
    }

    /// Reads `source`.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut characters = source.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                text.push(character);
                continue;
            }
            let letter = characters.next().ok_or(TemplateError::Unfinished)?;
            if letter == '%' {
                text.push('%');
                continue;
            }
            let (_, variable) = Variable::ALL
                .into_iter()
                .find(|(known, _)| *known == letter)
                .ok_or(TemplateError::Unknown(letter))?;
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Variable(variable));
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(Self { source: source.to_owned(), pieces })
    }

    /// This path, without any variable.
    pub fn of_path(path: &AbsPath) -> Self {
        let text = path.as_str();
        Self { source: text.replace('%', "%%"), pieces: vec![Piece::Text(text.to_owned())] }
    }

    /// Reads a template that must expand to a path: it starts with `/` or `%h`, and what is known of it already is
    /// a path.
    pub fn parse_path(source: &str) -> Result<Self, TemplateError> {
        let template = Self::parse(source)?;
        let late_home = template.pieces.iter().skip(1).any(|piece| *piece == Piece::Variable(Variable::Home));
        if late_home {
            return Err(TemplateError::HomeNotFirst(source.to_owned()));
        }
        let sketch: String = template
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Variable(Variable::Home) => "/home",
                Piece::Variable(_) => "x",
            })
            .collect();
        AbsPath::new(&sketch)?;
        Ok(template)
    }

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Does the value lie in a place that the user may have made: below the home directory?
    pub fn starts_at_home(&self) -> bool {
        self.pieces.first() == Some(&Piece::Variable(Variable::Home))
    }

    /// The path this stands for when `subject` logs in.
    pub fn expand_path(&self, subject: &Subject) -> Result<AbsPath, TemplateError> {
        Ok(AbsPath::new(&self.expand(subject, true)?)?)
    }

    /// The text this stands for when `subject` logs in.
    pub fn expand_text(&self, subject: &Subject) -> Result<String, TemplateError> {
        self.expand(subject, false)
    }

    fn expand(&self, subject: &Subject, is_path: bool) -> Result<String, TemplateError> {
        let mut expanded = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => expanded.push_str(text),
                Piece::Variable(Variable::Home) => expanded.push_str(subject.home.as_str()),
                Piece::Variable(variable) => {
                    let value = value_of(*variable, subject)?;
                    let one_component =
                        !value.is_empty() && !value.contains('/') && value != "." && value != "..";
                    if is_path && !one_component {
                        return Err(TemplateError::NotAComponent { letter: variable.letter(), value });
                    }
                    expanded.push_str(&value);
                }
            }
        }
        Ok(expanded)
    }
}

fn value_of(variable: Variable, subject: &Subject) -> Result<String, TemplateError> {
    let door = &subject.door;
    let missing = |what| TemplateError::NoValue(variable.letter(), what);
    Ok(match variable {
        Variable::User => subject.name.as_str().to_owned(),
        Variable::Uid => subject.uid.to_string(),
        Variable::Group => subject.group_name.clone(),
        Variable::Gid => subject.gid.to_string(),
        Variable::Home => subject.home.as_str().to_owned(),
        Variable::Service => door.service.clone(),
        Variable::Tty => door.tty.as_ref().ok_or_else(|| missing("terminal"))?.replace('/', "-"),
        Variable::Session => door.session.clone().ok_or_else(|| missing("id"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::UserName;
    use crate::model::subject::Door;

    fn bob() -> Subject {
        Subject {
            name: UserName::new("bob").unwrap(),
            uid: 4242,
            gid: 100,
            groups: vec![100],
            group_name: "users".to_owned(),
            home: AbsPath::new("/home/b%u/bob").unwrap(),
            shell: AbsPath::new("/bin/bash").unwrap(),
            door: Door { tty: Some("pts/3".to_owned()), ..Door::command_line() },
        }
    }

    fn expand(text: &str) -> Result<String, TemplateError> {
        Ok(Template::parse_path(text)?.expand_path(&bob())?.as_str().to_owned())
    }

    #[test]
    fn every_variable_has_its_value_in_one_pass() {
        assert_eq!(
            expand("/w/%u/%U/%g/%G/%s/%t/100%%").unwrap(),
            "/w/bob/4242/users/100/session-enter/pts-3/100%"
        );
        // The home directory holds "%u" by name; it is not expanded a second time.
        assert_eq!(expand("%h/.cache").unwrap(), "/home/b%u/bob/.cache");
    }

    #[test]
    fn bad_templates_are_refused_when_the_map_is_read() {
        assert_eq!(Template::parse("%x"), Err(TemplateError::Unknown('x')));
        assert_eq!(Template::parse("50%"), Err(TemplateError::Unfinished));
        assert!(matches!(Template::parse_path("/x%h"), Err(TemplateError::HomeNotFirst(_))));
        assert!(matches!(Template::parse_path("%u/x"), Err(TemplateError::Path(_))));
        assert!(matches!(Template::parse_path("/a/../%u"), Err(TemplateError::Path(_))));
    }

    #[test]
    fn a_value_never_adds_a_component() {
        let mut mallory = bob();
        for bad in ["a/b", "..", ".", ""] {
            mallory.group_name = bad.to_owned();
            let error = Template::parse_path("/g/%g").unwrap().expand_path(&mallory).unwrap_err();
            assert!(matches!(error, TemplateError::NotAComponent { .. }), "{bad:?}: {error}");
        }
        assert!(matches!(
            Template::parse_path("/s/%i").unwrap().expand_path(&mallory),
            Err(TemplateError::NoValue('i', _))
        ));
    }
}
