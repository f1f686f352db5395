//! A file of instructions with times, counted from the start of the run.
//!
//! Lines: a time, then the instruction; `#` begins a comment line:
//! ```text
//! # The cat first, then the motorcycle.
//! 0s    look at the cat
//! 7.5 s find the motorcycle
//! ```
//! The same in a file whose name ends in `.toml`:
//! ```toml
//! [[instruction]]
//! at = "7.5 s"
//! text = "find the motorcycle"
//! ```

use std::path::Path;

use serde::Deserialize;
use serde::de::Error;

use crate::error::{Fault, Kind, Result};
use crate::units::Nanos;

/// Largest script: 1 MiB is more than ten thousand instructions, so a larger file is a mistake.
const BYTES_MAX: u64 = 1 << 20;

/// One instruction of a script.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// Since the start of the run, not negative.
    #[serde(deserialize_with = "not_negative")]
    pub at: Nanos,
    #[serde(deserialize_with = "not_empty")]
    pub text: String,
}

/// Reads a script; its instructions come in the order of their times.
///
/// # Errors
/// [`Kind::BadInput`] if the file cannot be read, with the line if it cannot be understood.
pub fn load(file: &Path) -> Result<Vec<Timed>> {
    let unreadable = |e: &std::io::Error| {
        Fault::from_io(
            format!("cannot read the script {}", file.display()),
            e,
            Kind::BadInput,
            "let `language.script` name a text file",
        )
    };
    let bytes = std::fs::metadata(file).map_err(|e| unreadable(&e))?.len();
    if bytes > BYTES_MAX {
        return Err(wrong(
            file,
            format!("it has {bytes} bytes, more than {BYTES_MAX}"),
        ));
    }
    let text = std::fs::read_to_string(file).map_err(|e| unreadable(&e))?;
    let parsed = match file.extension().is_some_and(|e| e == "toml") {
        true => from_toml(&text),
        false => from_lines(&text),
    };
    let mut script = parsed.map_err(|why| wrong(file, why))?;
    script.sort_by_key(|timed| timed.at);
    Ok(script)
}

fn wrong(file: &Path, why: String) -> Fault {
    Fault::new(
        Kind::BadInput,
        format!("the script {} cannot be used", file.display()),
        why,
        "write a time and an instruction on each line, such as `5.0s look at the cat`",
    )
}

fn from_lines(text: &str) -> std::result::Result<Vec<Timed>, String> {
    let lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
    lines
        .map(|(line, number)| (line.trim(), number))
        .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, number)| timed(line).map_err(|why| format!("line {number}: {why}")))
        .collect()
}

/// `5.0s look at the cat`, or with a space before the unit.
fn timed(line: &str) -> std::result::Result<Timed, String> {
    let word = |text: &str| -> usize { text.find(char::is_whitespace).unwrap_or(text.len()) };
    let (first, rest) = line.split_at(word(line));
    let rest = rest.trim_start();
    let (second, after) = rest.split_at(word(rest));
    let (at, text) = match (first.parse(), format!("{first}{second}").parse()) {
        (Ok(at), _) => (at, rest),
        // A number alone and then its unit.
        (Err(_), Ok(at)) if first.parse::<f64>().is_ok() => (at, after.trim_start()),
        (Err(why), _) => return Err(why),
    };
    match () {
        () if at < Nanos::ZERO => Err(format!("the time {first} is before the start")),
        () if text.is_empty() => Err("no instruction follows the time".to_owned()),
        () => Ok(Timed {
            at,
            text: text.to_owned(),
        }),
    }
}

fn from_toml(text: &str) -> std::result::Result<Vec<Timed>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Script {
        instruction: Vec<Timed>,
    }
    // The parser's message names line and column, and shows the line.
    let script: Script = toml::from_str(text).map_err(|e| e.to_string())?;
    Ok(script.instruction)
}

fn not_negative<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Nanos, D::Error> {
    let at = Nanos::deserialize(d)?;
    match at < Nanos::ZERO {
        true => Err(D::Error::custom("a time before the start")),
        false => Ok(at),
    }
}

fn not_empty<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<String, D::Error> {
    let text = String::deserialize(d)?;
    match text.trim() {
        "" => Err(D::Error::custom("an empty instruction")),
        text => Ok(text.to_owned()),
    }
}
