//! What the program tells a person. A reader that went away (`reflexarc … | head`) never ends a run: the standard macros panic then.
//!
//! Thread: housekeeping and the command line. Blocks: on a terminal or pipe that is full.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use crate::error::{Fault, Kind, Result};

/// The answer of a command, on standard output.
///
/// # Errors
/// It cannot be written, as on a full disk. That the reader has seen enough and left is none.
pub fn answer(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Fault::from_io(
            "the answer cannot be written to standard output",
            &e,
            Kind::Output,
            "free some space, or send it elsewhere",
        )),
        _ => Ok(()),
    }
}

/// A line for whoever watches, on standard error. Whether it is seen changes nothing.
pub fn line(text: impl fmt::Display) {
    piece(format_args!("{text}\n"));
}

/// The same without an end of line, shown at once.
pub fn piece(text: impl fmt::Display) {
    let mut to = io::stderr().lock();
    let _ = write!(to, "{text}").and_then(|()| to.flush());
}
