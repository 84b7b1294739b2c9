//! A table of the map, read key by key.
//!
//! Deserialising into structures would stop at the first key that does not fit. A [`Reader`] goes on: a value of
//! the wrong type is reported and counts as absent, and in the end [`Reader::finish`] reports the keys that nobody
//! asked for. So one run shows everything that is wrong, each mistake at its place.

use std::fmt::Display;

use toml::de::{DeTable, DeValue};

use super::source::{At, Place, Problems};
use super::words;

/// One table, and which of its keys were asked for.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) problems: &'a Problems<'a>,
    table: &'a DeTable<'a>,
    file: usize,
    place: Place,
    asked: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// Reads `table`, which stands at `place` in `file`.
    pub(super) fn new(problems: &'a Problems<'a>, table: &'a DeTable<'a>, file: usize, place: Place) -> Self {
        Self { problems, table, file, place, asked: Vec::new() }
    }

    /// The table's header, or the braces of an inline table.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The first key in the table, or its header where it has none.
    pub(super) fn first_key(&self) -> Place {
        let keys = self.table.keys().map(|key| Place::new(self.file, key.span()));
        keys.min_by_key(|place| place.start()).unwrap_or(self.place)
    }

    /// Is there such a key? Does not count as asking for it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where the key itself stands; the table where it does not.
    pub(super) fn key_place(&self, key: &str) -> Place {
        self.table.get_key_value(key).map_or(self.place, |(key, _)| Place::new(self.file, key.span()))
    }

    /// Where the value of `key` stands; the table where there is none.
    pub(super) fn value_place(&self, key: &str) -> Place {
        self.table.get(key).map_or(self.place, |value| Place::new(self.file, value.span()))
    }

    /// Counts as asking for `key`.
    pub(super) fn allow(&mut self, key: &'static str) {
        self.asked.push(key);
    }

    /// Any value.
    pub(super) fn value(&mut self, key: &'static str) -> Option<At<&'a DeValue<'a>>> {
        self.allow(key);
        self.table.get(key).map(|value| self.at(value))
    }

    fn at(&self, value: &'a toml::Spanned<DeValue<'a>>) -> At<&'a DeValue<'a>> {
        At { value: value.get_ref(), place: Place::new(self.file, value.span()) }
    }

    fn typed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        convert: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<At<T>> {
        let At { value, place } = self.value(key)?;
        match convert(value) {
            Some(value) => Some(At { value, place }),
            None => {
                self.wrong_type(&format!("`{key}`"), expected, At { value, place });
                None
            }
        }
    }

    /// Reports that `what` is not `expected`.
    pub(super) fn wrong_type(&self, what: &str, expected: &str, found: At<&DeValue<'_>>) {
        let found_type = match found.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problems.report(found.place, format!("{what} must be {expected}, not {found_type}"));
    }

    /// Text.
    pub(super) fn string(&mut self, key: &'static str) -> Option<At<&'a str>> {
        self.typed(key, "a string", DeValue::as_str)
    }

    /// Text that must be there.
    pub(super) fn required_string(&mut self, key: &'static str) -> Option<At<&'a str>> {
        if !self.has(key) {
            self.problems.report(self.place, format!("`{key}` is missing"));
        }
        self.string(key)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<At<bool>> {
        self.typed(key, "`true` or `false`", DeValue::as_bool)
    }

    /// One word of `known`.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, known: &[(&str, T)]) -> Option<At<T>> {
        let At { value, place } = self.string(key)?;
        let found = known.iter().find(|(word, _)| *word == value);
        if found.is_none() {
            let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
            let message = format!("unknown {key} {}", words::quote(value));
            let help =
                if self.problems.is_full() { String::new() } else { words::help(value, "known are", &words) };
            self.problems.report_with_help(place, message, help);
        }
        found.map(|(_, value)| At { value: *value, place })
    }

    /// The values of a list.
    pub(super) fn values(&mut self, key: &'static str) -> Option<At<Vec<At<&'a DeValue<'a>>>>> {
        let list = self.typed(key, "a list", DeValue::as_array)?;
        Some(At { value: list.value.iter().map(|value| self.at(value)).collect(), place: list.place })
    }

    /// A list of texts. What is no text is reported and left out.
    pub(super) fn strings(&mut self, key: &'static str) -> Option<At<Vec<At<&'a str>>>> {
        let At { value, place } = self.values(key)?;
        Some(At { value: value.into_iter().filter_map(|value| self.item(key, value)).collect(), place })
    }

    /// One value of the list `key`, which must be text.
    pub(super) fn item(&self, key: &str, item: At<&'a DeValue<'a>>) -> Option<At<&'a str>> {
        let text = item.value.as_str();
        if text.is_none() {
            self.wrong_type(&format!("a value of `{key}`"), "a string", item);
        }
        text.map(|value| At { value, place: item.place })
    }

    /// `text` as `parse` reads it; its error is reported where the text stands.
    pub(super) fn parsed<T, E: Display>(
        &self,
        text: At<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        parse(text.value).map_err(|error| self.problems.report(text.place, error.to_string())).ok()
    }

    /// A table.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Reader<'a>> {
        let At { value, place } = self.typed(key, "a table", DeValue::as_table)?;
        Some(Reader::new(self.problems, value, self.file, place))
    }

    /// Tables with a header of their own each, `[[header]]`.
    pub(super) fn tables(&mut self, key: &'static str, header: &str) -> Vec<Reader<'a>> {
        let Some(At { value, place }) = self.value(key) else { return Vec::new() };
        let Some(list) = value.as_array() else {
            let message = format!("`{key}` must be a list of tables");
            self.problems.report_with_help(place, message, format!("write `[[{header}]]` above each"));
            return Vec::new();
        };
        let items = list.iter().map(|item| self.at(item));
        let tables = items.filter_map(|item| match item.value.as_table() {
            Some(table) => Some(Reader::new(self.problems, table, self.file, item.place)),
            None => {
                self.wrong_type(&format!("each `{key}`"), "a table", item);
                None
            }
        });
        tables.collect()
    }

    /// All keys with their values, for tables whose keys are free. [`Reader::finish`] is not for these.
    pub(super) fn entries(&self) -> impl Iterator<Item = (At<&'a str>, At<&'a DeValue<'a>>)> {
        self.table.iter().map(|(key, value)| {
            (At { value: key.get_ref().as_ref(), place: Place::new(self.file, key.span()) }, self.at(value))
        })
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        self.finish_with(|_| None);
    }

    /// As [`Reader::finish`], with message and help of the caller's for the keys that it knows.
    pub(super) fn finish_with(mut self, known: impl Fn(&str) -> Option<(String, Option<String>)>) {
        self.asked.sort_unstable();
        self.asked.dedup();
        for (At { value: key, place }, _) in self.entries() {
            if self.asked.contains(&key) {
                continue;
            }
            match known(key) {
                Some((message, Some(help))) => self.problems.report_with_help(place, message, help),
                Some((message, None)) => self.problems.report(place, message),
                None => {
                    let help = if self.problems.is_full() {
                        String::new()
                    } else {
                        words::help(key, "known keys are", &self.asked)
                    };
                    self.problems.report_with_help(place, format!("unknown key {}", words::quote(key)), help);
                }
            }
        }
    }
}
