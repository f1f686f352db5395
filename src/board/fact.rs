//! A fact: a value, where it comes from, and whether anyone saw it hold.
//!
//! In a board file: `count = { value = 6, source = "linux-dts", verified = "no" }`.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::written::Written;

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact<T> {
    pub value: T,
    /// A key of `[sources]`. That it is there is for the lint to say, so that all that are missing are said at once.
    #[serde(default)]
    pub source: String,
    pub verified: Verified,
    /// What a reader should know of it.
    #[serde(default)]
    pub note: Option<String>,
}

/// Where a fact was seen to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    /// On the board.
    Hardware,
    /// In an emulator or a virtual machine.
    Emulator,
    /// Nowhere: it was read.
    No,
}

impl Verified {
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Hardware => "seen on the hardware",
            Self::Emulator => "seen in an emulator or a virtual machine",
            Self::No => "not verified",
        }
    }
}

/// A line of a board file as it was written: a fact or a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `usb.recovery`.
    pub key: String,
    /// The value as it is written, on one line.
    pub value: String,
    /// None: a choice of the project.
    pub fact: Option<Proof>,
}

/// What a fact says besides its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proof {
    pub source: String,
    pub verified: Option<Verified>,
    pub note: String,
}

/// All that a file says, in its order.
pub(super) fn entries(written: &Written) -> Vec<Entry> {
    let Ok(root) = DeTable::parse(written.text()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    walk(written.text(), "", root.get_ref(), &mut found);
    found.sort_by_key(|(start, _)| *start);
    found.into_iter().map(|(_, entry)| entry).collect()
}

fn walk(text: &str, above: &str, table: &DeTable<'_>, found: &mut Vec<(usize, Entry)>) {
    for (name, value) in table {
        let key = match above {
            "" => name.get_ref().to_string(),
            above => format!("{above}.{}", name.get_ref()),
        };
        let (value, fact) = match value.get_ref() {
            // A table on one line that is no fact is a choice in several words.
            DeValue::Table(inner) if !is_fact(inner) && written(text, value).starts_with('{') => {
                (value, None)
            }
            DeValue::Table(inner) => {
                let Some((_, value)) = inner.iter().find(|(key, _)| key.get_ref() == "value")
                else {
                    walk(text, &key, inner, found);
                    continue;
                };
                (value, Some(proof(inner)))
            }
            _ => (value, None),
        };
        let value = one_line(written(text, value));
        found.push((name.span().start, Entry { key, value, fact }));
    }
}

fn is_fact(table: &DeTable<'_>) -> bool {
    table.iter().any(|(key, _)| key.get_ref() == "value")
}

fn written<'t>(text: &'t str, value: &Spanned<DeValue<'_>>) -> &'t str {
    &text[value.span()]
}

fn proof(table: &DeTable<'_>) -> Proof {
    let text = |wanted| text_at(table, wanted).unwrap_or_default().to_owned();
    Proof {
        source: text("source"),
        verified: match text("verified").as_str() {
            "hardware" => Some(Verified::Hardware),
            "emulator" => Some(Verified::Emulator),
            "no" => Some(Verified::No),
            _ => None,
        },
        note: text("note"),
    }
}

fn text_at<'t>(table: &'t DeTable<'_>, wanted: &str) -> Option<&'t str> {
    let (_, value) = table.iter().find(|(key, _)| key.get_ref() == wanted)?;
    value.get_ref().as_str()
}

/// A list over several lines becomes one line; comments within a list are not expected.
fn one_line(written: &str) -> String {
    let words: Vec<&str> = written.split_whitespace().collect();
    let joined = words.join(" ");
    joined.replace("[ ", "[").replace(", ]", "]")
}
