//! A TOML file as it was written, so that a mistake in it is shown where it stands: file, line, why, fix.
//!
//! Thread: main, before the run. Allocates: yes. Blocks: on the disk.

use std::fs;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use crate::error::{Fault, Kind, Result};

const EXAMPLE: &str = "reflexarc.example.toml shows every key with its unit, range and default";

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    name: String,
    text: String,
    /// Where a person finds what may be written, for the fixes.
    guide: &'static str,
}

impl Written {
    pub fn new(text: &str, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            guide: EXAMPLE,
        }
    }

    /// The same text, of a kind of file that another guide explains.
    pub fn explained_by(self, guide: &'static str) -> Self {
        Self { guide, ..self }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| {
            let fix =
                "name a TOML file that you may read, or leave the option out to use the defaults";
            let what = format!("the file {name} could not be read");
            Fault::from_io(what, &error, Kind::Config, fix)
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + valid.iter().filter(|b| **b == b'\n').count();
            Fault::new(
                Kind::Config,
                format!("{name} line {line} is not text"),
                "a byte there is not UTF-8, in which TOML files are written",
                "save the file as UTF-8; or name another one, if this is no TOML file",
            )
        })?;
        Ok(Self::new(&text, &name))
    }

    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(&self.text).map_err(|error| self.explain(&error))
    }

    /// Whether the file has a table or a value of this name at its top.
    pub fn has(&self, key: &str) -> bool {
        DeTable::parse(&self.text).is_ok_and(|root| root.get_ref().contains_key(key))
    }

    /// Adds the line to a fault that was found later and that names a key of this file, such as
    /// `threads.cores`.
    pub fn locate(&self, mut fault: Fault) -> Fault {
        if fault.kind != Kind::Config {
            return fault;
        }
        let Ok(root) = DeTable::parse(&self.text) else {
            return fault;
        };
        let words = fault
            .what
            .split_whitespace()
            .chain(fault.why.split_whitespace());
        let places: Vec<_> = words
            .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
            .filter(|word| word.contains('.'))
            .filter_map(|key| key_at(root.get_ref(), key))
            .collect();
        // A key that stands in the file rather than the table of one that has its default.
        let exact = places.iter().find(|(_, exact)| *exact);
        if let Some((span, _)) = exact.or(places.first()) {
            fault.what = format!("{}: {}", self.place(span.start), fault.what);
        }
        fault
    }

    /// `robot.toml line 12`.
    fn place(&self, at: usize) -> String {
        let before = &self.text[..at.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        format!("{} line {line}", self.name)
    }

    fn explain(&self, error: &Error) -> Fault {
        let message = plain(error.message());
        let root = DeTable::parse(&self.text).ok();
        let span = error.span().map(|span| {
            let within = root
                .as_ref()
                .and_then(|root| named_in(root.get_ref(), &span, &message));
            within.unwrap_or(span)
        });
        let what = span.map_or_else(
            || self.name.clone(),
            |span| {
                let place = self.place(span.start);
                match self.line_of(span.start) {
                    "" => place,
                    line => format!("{place}: `{line}`"),
                }
            },
        );
        let fix = if root.is_none() {
            fix_for_syntax(&message, self.guide)
        } else {
            fix_for(&message, self.guide)
        };
        Fault::new(Kind::Config, what, message, fix)
    }

    fn line_of(&self, at: usize) -> &str {
        let start = self.text[..at.min(self.text.len())]
            .rfind('\n')
            .map_or(0, |at| at + 1);
        self.text[start..].lines().next().unwrap_or_default().trim()
    }
}

/// Where `key` of the form `table.key` stands and true, or where the longest part of it that is there stands.
fn key_at(root: &DeTable<'_>, key: &str) -> Option<(Range<usize>, bool)> {
    let (mut table, mut place) = (root, None);
    for part in key.split('.') {
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == part) else {
            return place.map(|place| (place, false));
        };
        place = Some(name.span());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    place.map(|place| (place, true))
}

/// A range is checked when its whole table has been read, and the error then carries the table's place. Such a
/// message begins with the name of the key: `` `width` is 3 ``. This is where that key stands.
fn named_in(root: &DeTable<'_>, table: &Range<usize>, message: &str) -> Option<Range<usize>> {
    let key = message.strip_prefix('`')?.split('`').next()?;
    for (name, value) in root {
        let DeValue::Table(inner) = value.get_ref() else {
            continue;
        };
        let is_it = value.span() == *table || name.span() == *table;
        let found = if is_it {
            let found = inner.iter().find(|(name, _)| name.get_ref() == key);
            found.map(|(name, _): (&Spanned<_>, _)| name.span())
        } else {
            named_in(inner, table, message)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// serde speaks of Rust's types; people who write a file know numbers, text and lists.
fn plain(message: &str) -> String {
    let mut text = message.trim().replace('\n', " ");
    for (rust, human) in [
        (
            "invalid basic string, expected `\"`",
            "the text has no quote at its end",
        ),
        (
            "string values must be quoted, expected literal string",
            "text must stand in quotes",
        ),
        ("expected u8", "expected a whole number from 0 to 255"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected i64", "expected a whole number"),
        ("expected f32", "expected a number"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list in [ ]"),
        ("expected a string", "expected text in quotes"),
        ("expected path string", "expected a path in quotes"),
        ("floating point `", "the number `"),
        ("integer `", "the number `"),
        ("string \"", "the text \""),
        ("boolean `", "`"),
        ("invalid type: sequence", "invalid type: a list"),
        ("invalid type: map", "invalid type: a table"),
    ] {
        text = text.replace(rust, human);
    }
    if let Some((before, _)) = text.split_once("expected struct ") {
        text = format!("{before}expected a table of keys");
    }
    text
}

/// serde lists the known keys of an unknown one; the nearest is most likely what was meant.
fn fix_for(message: &str, guide: &str) -> String {
    let Some((kind, rest)) = message
        .strip_prefix("unknown ")
        .and_then(|rest| rest.split_once(' '))
    else {
        return match message.strip_prefix("missing field ") {
            Some(key) => format!("add {key} to this table; {guide}"),
            None => format!("correct the value; {guide}"),
        };
    };
    let mut words = rest.split('`').skip(1).step_by(2);
    let wrong = words.next().unwrap_or_default();
    let nearest = words.min_by_key(|known| distance(wrong, known));
    match nearest {
        Some(known) if distance(wrong, known) <= 1 + wrong.len() / 3 => {
            format!("did you mean `{known}`? {guide}")
        }
        _ if kind == "variant" => format!("write one of those; {guide}"),
        _ => format!("remove it, or move it to the table that it belongs to; {guide}"),
    }
}

fn fix_for_syntax(message: &str, guide: &str) -> String {
    if message.starts_with("duplicate key") {
        return "keep one of the two lines".to_owned();
    }
    format!("write `key = value`, with text and durations in quotes; {guide}")
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
