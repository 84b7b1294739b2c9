//! The parts of a manual page that follow from the definition, between `.\" generated: PART` and `.\" end`.

use command_line::{Command, Example, Flag, Program};

use crate::mdoc::{Context, arguments, capitalised, sentences, uncapitalised, usage, usage_in_line};

const BEGIN: &str = ".\\\" generated: ";
const END: &str = ".\\\" end";

/// The page with its parts as they should be.
pub(crate) fn with_parts(
    page: &str,
    program: &'static Program,
    pages: &[(String, String)],
) -> Result<String, String> {
    let writer = Writer { program, pages };
    let mut missing = writer.parts();
    let mut out = Vec::new();
    let mut open: Option<&str> = None;
    for line in page.lines() {
        match (open, line.strip_prefix(BEGIN)) {
            (Some(part), Some(_)) => return Err(format!("the part `{part}` has no `{END}`")),
            (Some(_), None) if line == END => {
                open = None;
                out.push(line.to_owned());
            }
            // What stands there now is replaced.
            (Some(_), None) => {}
            (None, Some(part)) => {
                let Some(at) = missing.iter().position(|name| *name == part) else {
                    return Err(format!("the part `{part}` is there twice, or there is no such part"));
                };
                missing.remove(at);
                open = Some(part);
                out.push(line.to_owned());
                out.extend(writer.part(part));
            }
            (None, None) => out.push(line.to_owned()),
        }
    }
    match (open, missing.first()) {
        (Some(part), _) => Err(format!("the part `{part}` has no `{END}`")),
        (None, Some(part)) => Err(format!("the part `{part}` is missing: write `{BEGIN}{part}` and `{END}`")),
        (None, None) => Ok(out.join("\n") + "\n"),
    }
}

struct Writer<'a> {
    program: &'static Program,
    pages: &'a [(String, String)],
}

impl Writer<'_> {
    /// The parts that the page has to have.
    fn parts(&self) -> Vec<&'static str> {
        let commands = (!self.program.commands.is_empty()).then_some("commands");
        ["name", "synopsis", "options", "status", "examples"].into_iter().chain(commands).collect()
    }

    fn part(&self, part: &str) -> Vec<String> {
        let program = self.program;
        match part {
            "name" => vec![format!(".Nm {}", program.name), format!(".Nd {}", uncapitalised(program.about))],
            "synopsis" => self.synopsis(),
            "commands" => program.commands.iter().flat_map(|command| self.command(command)).collect(),
            "options" => self.program_options(),
            "status" => self.text(&capitalised(program.status), &[]),
            _ => self.examples(program.examples),
        }
    }

    fn text(&self, text: &str, places: &[&str]) -> Vec<String> {
        sentences(text, &Context { program: self.program.name, pages: self.pages, places })
    }

    fn synopsis(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for text in self.program.usage {
            lines.push(".Nm".to_owned());
            lines.extend(usage(text).into_iter().map(|part| format!(".{part}")));
        }
        for command in self.program.commands {
            for text in command.usage {
                lines.extend([".Nm".to_owned(), format!(".Cm {}", arguments(command.name))]);
                lines.extend(usage(text).into_iter().map(|part| format!(".{part}")));
            }
        }
        lines
    }

    fn command(&self, command: &Command) -> Vec<String> {
        let places = places(command);
        let mut lines = vec![format!(".Ss {}", arguments(command.name))];
        for text in command.usage {
            let words = format!("Nm Cm {} {}", arguments(command.name), usage_in_line(text));
            lines.push(format!(".D1 {}", words.trim_end()));
        }
        lines.push(".Pp".to_owned());
        lines.extend(self.text(command.about, &places));
        for paragraph in command.details {
            lines.push(".Pp".to_owned());
            lines.extend(self.text(paragraph, &places));
        }
        lines.extend(self.options(command.options));
        // What is the same for all stands under EXIT STATUS.
        if let Some(status) = command.status.filter(|status| *status != self.program.status) {
            lines.push(".Pp".to_owned());
            lines.extend(self.text(&format!("Exit status: {status}"), &places));
        }
        for example in command.examples {
            lines.push(".Pp".to_owned());
            lines.extend(self.example(example));
        }
        lines
    }

    /// The options that are the program's own, and what is to be known after them.
    fn program_options(&self) -> Vec<String> {
        let mut lines = self.options(self.program.options);
        for note in self.program.notes {
            lines.push(".Pp".to_owned());
            lines.extend(self.text(note, &[]));
        }
        lines
    }

    fn options(&self, flags: &[Flag]) -> Vec<String> {
        if flags.is_empty() {
            return Vec::new();
        }
        let mut lines = vec![".Bl -tag -width Ds".to_owned()];
        for flag in flags {
            lines.push(format!(".It {}", usage_in_line(&flag.shown())));
            let place: Vec<&str> =
                flag.value.iter().map(|value| value.name).filter(|name| is_place(name)).collect();
            lines.extend(self.text(flag.help, &place));
        }
        lines.push(".El".to_owned());
        lines
    }

    fn examples(&self, examples: &[Example]) -> Vec<String> {
        let mut lines = Vec::new();
        for (at, example) in examples.iter().enumerate() {
            if at > 0 {
                lines.push(".Pp".to_owned());
            }
            lines.extend(self.example(example));
        }
        lines
    }

    fn example(&self, example: &Example) -> Vec<String> {
        let does = capitalised(example.does);
        let colon = if does.ends_with('?') { "" } else { ":" };
        let mut lines = self.text(&format!("{does}{colon}"), &[]);
        lines.push(".Pp".to_owned());
        lines.push(format!(".Dl {} {}", arguments(self.program.name), arguments(example.typed)));
        lines
    }
}

/// What stands for a value in the texts of a command.
fn places(command: &Command) -> Vec<&'static str> {
    let in_usage = command.usage.iter().flat_map(|text| text.split(|each: char| !each.is_ascii_uppercase()));
    let of_flags = command.options.iter().filter_map(|flag| flag.value).map(|value| value.name);
    in_usage.chain(of_flags).filter(|name| is_place(name)).collect()
}

fn is_place(name: &str) -> bool {
    name.len() > 1 && name.chars().all(|each| each.is_ascii_uppercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;
    use command_line::{HELP, Words};

    static PROGRAM: Program = Program {
        name: "p",
        section: 1,
        about: "Do",
        usage: &["[OPTION...]"],
        details: &[],
        commands: &[],
        words: Words::None,
        options: &[HELP],
        notes: &[],
        status: "0",
        examples: &[Example { typed: "--help", does: "print" }],
    };

    fn page(parts: &[&str]) -> Result<String, String> {
        let parts: Vec<String> =
            parts.iter().map(|part| format!("{BEGIN}{part}\nold\n{END}\nby hand\n")).collect();
        with_parts(&parts.concat(), &PROGRAM, &[])
    }

    #[test]
    fn what_stands_between_the_marks_is_replaced_and_nothing_else() {
        let all = ["name", "synopsis", "options", "status", "examples"];
        let text = page(&all).unwrap();
        assert!(!text.contains("old") && text.matches("by hand").count() == all.len(), "{text}");
        assert!(text.contains(".\\\" generated: status\n0.\n.\\\" end\n"), "{text}");
        assert!(text.contains(".Dl p \\-\\-help\n"), "{text}");
        assert_eq!(with_parts(&text, &PROGRAM, &[]).as_ref(), Ok(&text), "a second time");
    }

    #[test]
    fn marks_that_make_no_sense_are_named() {
        assert!(page(&["name"]).unwrap_err().contains("`synopsis` is missing"));
        assert!(page(&["name", "name"]).unwrap_err().contains("`name` is there twice"));
        assert!(page(&["commands"]).unwrap_err().contains("no such part"));
        let open = with_parts(&format!("{BEGIN}name\n"), &PROGRAM, &[]);
        assert!(open.unwrap_err().contains("has no"));
    }
}
