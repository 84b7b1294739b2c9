//! The texts of all files, places in them, and the list of what was found wrong there.

use std::cell::RefCell;
use std::sync::Arc;

use super::SourceFile;
use super::diagnostic::{Diagnostic, Diagnostics, Excerpt};
use crate::model::policy::Origin;

/// At most this many mistakes are listed; nobody reads more at once.
const LISTED_MAX: usize = 100;

/// A stretch of bytes in one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    file: usize,
    start: usize,
    end: usize,
    /// Is there a line to cite, or is the file as a whole meant?
    cited: bool,
}

impl Place {
    pub(super) fn new(file: usize, span: std::ops::Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end, cited: true }
    }

    /// The file as a whole.
    pub(super) fn whole(file: usize) -> Self {
        Self { file, start: 0, end: 0, cited: false }
    }

    pub(super) fn start(self) -> usize {
        self.start
    }
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// One file's text with an index of its lines.
#[derive(Debug)]
pub(super) struct Source<'t> {
    name: Arc<str>,
    pub(super) text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> Source<'t> {
    pub(super) fn new(file: &'t SourceFile) -> Self {
        // Editors on other systems write a byte order mark; it is no part of the text.
        let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
        let after_newlines =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();
        Self { name: file.name.as_str().into(), text, line_starts }
    }

    /// The index of the line that holds `offset`.
    fn line_index(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The line with this index, without its end, and where it begins.
    fn line(&self, index: usize) -> (&'t str, usize) {
        let start = self.line_starts.get(index).copied().unwrap_or(0);
        let end = self.line_starts.get(index + 1).copied().unwrap_or(self.text.len());
        let line = self.text.get(start..end).unwrap_or_default();
        let line = line.strip_suffix('\n').unwrap_or(line);
        (line.strip_suffix('\r').unwrap_or(line), start)
    }

    fn diagnose(&self, finding: Finding) -> Diagnostic {
        let Finding { place, message, help } = finding;
        let index = self.line_index(place.start);
        let (line, line_start) = self.line(index);
        // Counts characters before a byte of the line; beyond its end, all of them.
        let characters =
            |offset: usize| line.char_indices().take_while(|(at, _)| line_start + at < offset).count();
        let (first, end) = (characters(place.start), characters(place.end));
        Diagnostic {
            file: Arc::clone(&self.name),
            line: one_based(index),
            column: one_based(first),
            message,
            excerpt: place.cited.then(|| Excerpt::new(line, first, end)),
            help,
        }
    }
}

fn one_based(index: usize) -> u32 {
    u32::try_from(index).map_or(u32::MAX, |index| index.saturating_add(1))
}

#[derive(Debug)]
struct Finding {
    place: Place,
    message: String,
    help: Option<String>,
}

/// What was found wrong so far. Checking goes on after a mistake, so that all of them are reported together;
/// whether there is a policy at the end depends on this list alone.
#[derive(Debug)]
pub(super) struct Problems<'s> {
    sources: &'s [Source<'s>],
    found: RefCell<Vec<Finding>>,
    left_out: RefCell<usize>,
}

impl<'s> Problems<'s> {
    pub(super) fn new(sources: &'s [Source<'s>]) -> Self {
        Self { sources, found: RefCell::default(), left_out: RefCell::default() }
    }

    pub(super) fn report(&self, place: Place, message: impl Into<String>) {
        self.add(Finding { place, message: message.into(), help: None });
    }

    pub(super) fn report_with_help(&self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.add(Finding { place, message: message.into(), help: Some(help.into()) });
    }

    fn add(&self, finding: Finding) {
        let mut found = self.found.borrow_mut();
        if found.len() < LISTED_MAX {
            found.push(finding);
        } else {
            *self.left_out.borrow_mut() += 1;
        }
    }

    /// Would another mistake only be counted? Then nobody needs to think about what was meant by it.
    pub(super) fn is_full(&self) -> bool {
        self.found.borrow().len() >= LISTED_MAX
    }

    /// Is all well so far?
    pub(super) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Where `place` is, for the model and for messages about another place.
    pub(super) fn origin(&self, place: Place) -> Origin {
        match self.sources.get(place.file) {
            Some(source) => {
                Origin { file: Arc::clone(&source.name), line: one_based(source.line_index(place.start)) }
            }
            None => Origin { file: "".into(), line: 1 },
        }
    }

    /// Everything that was found, in the order of the files; `None` when all is well.
    pub(super) fn into_diagnostics(self) -> Option<Diagnostics> {
        let mut found = self.found.into_inner();
        if found.is_empty() {
            return None;
        }
        found.sort_by_key(|finding| (finding.place.file, finding.place.start));
        let diagnose = |finding: Finding| Some(self.sources.get(finding.place.file)?.diagnose(finding));
        Some(Diagnostics::new(found.into_iter().filter_map(diagnose).collect(), self.left_out.into_inner()))
    }
}
