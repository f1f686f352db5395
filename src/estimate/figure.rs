//! A number of the document beside the exact one, and how both are written.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::estimate::notes::Note;
use crate::units::Nanos;

/// A number with its unit, or words where the document has no number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Time(Nanos),
    PerSecond(f64),
    Bytes(u64),
    BytesPerSecond(f64),
    /// Of 100.
    Percent(f64),
    /// A ratio.
    Times(f64),
    Count(u64),
    Words(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::Time(time) => spell_time(time),
            Self::PerSecond(rate) => format!("{} /s", digits(rate)),
            Self::Bytes(bytes) => spell_bytes(count_f64(bytes), ""),
            Self::BytesPerSecond(rate) => spell_bytes(rate, "/s"),
            Self::Percent(share) => format!("{} %", digits(share)),
            Self::Times(ratio) => format!("{} x", digits(ratio)),
            Self::Count(count) => count.to_string(),
            Self::Words(words) => words.to_owned(),
        };
        f.pad(&text)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (unit, value) = match *self {
            Self::Time(time) => ("s", time.as_secs_f64()),
            Self::PerSecond(rate) => ("1/s", rate),
            Self::Bytes(bytes) => ("B", count_f64(bytes)),
            Self::BytesPerSecond(rate) => ("B/s", rate),
            Self::Percent(share) => ("%", share),
            Self::Times(ratio) => ("x", ratio),
            Self::Count(count) => ("", count_f64(count)),
            Self::Words(words) => return to.serialize_str(words),
        };
        let mut number = to.serialize_struct("Value", 2)?;
        number.serialize_field("value", &value)?;
        number.serialize_field("unit", unit)?;
        number.end()
    }
}

/// One row of a comparison.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Figure {
    pub name: String,
    /// What the document says, or its formulas.
    pub document: Option<Value>,
    pub exact: Value,
    /// Why they differ.
    pub notes: Vec<Note>,
}

impl Figure {
    pub fn new(
        name: impl Into<String>,
        document: impl Into<Option<Value>>,
        exact: Value,
        notes: &[Note],
    ) -> Self {
        Self {
            name: name.into(),
            document: document.into(),
            exact,
            notes: notes.to_vec(),
        }
    }
}

/// A duration to the microsecond or three digits after the point, without trailing zeros.
pub fn spell_time(time: Nanos) -> String {
    let (scale, unit) = match time.0.unsigned_abs() {
        0 => return "0 s".to_owned(),
        1..1_000 => (1.0, "ns"),
        1_000..1_000_000 => (1e3, "us"),
        1_000_000..1_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    format!("{} {unit}", digits(nanos_f64(time) / scale))
}

fn spell_bytes(bytes: f64, per: &str) -> String {
    let (scale, unit) = match bytes {
        b if b < 1e3 => (1.0, "B"),
        b if b < 1e6 => (1e3, "kB"),
        b if b < 1e9 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{} {unit}{per}", digits(bytes / scale))
}

/// At most three digits after the point, without trailing zeros.
fn digits(number: f64) -> String {
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "for people, and for ratios of such numbers"
)]
pub fn count_f64(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "for people, and for ratios of such numbers"
)]
pub fn nanos_f64(time: Nanos) -> f64 {
    time.0 as f64
}

/// `part` of `whole`, as a ratio; 0 where there is no whole.
pub fn ratio(part: Nanos, whole: Nanos) -> f64 {
    if whole == Nanos::ZERO {
        return 0.0;
    }
    nanos_f64(part) / nanos_f64(whole)
}
