//! Bytes into lines, and lines into instructions. A bad line is refused with its reason and costs no other.
//!
//! Thread: language. Memory: at most [`LINE_BYTES_MAX`] and one read.

use std::fmt;

use crate::units::{MonoTime, Nanos};

/// Longest line in bytes. The encoder reads at most 256 tokens, about 1,500 bytes of English.
pub const LINE_BYTES_MAX: usize = 4096;
/// Most bytes that one read brings.
pub const READ_BYTES_MAX: usize = 4096;

/// Why a line is not an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLine {
    TooLong,
    NotUtf8,
    /// A control character other than a tab: the input is probably not text.
    Control(char),
    /// It was given so long ago that it is not wanted any more.
    TooOld(Nanos),
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the line is longer than {LINE_BYTES_MAX} bytes"),
            Self::NotUtf8 => f.write_str("the line is not UTF-8 text"),
            Self::Control(c) => write!(
                f,
                "the line has the control character U+{:04X}; is it text?",
                u32::from(*c)
            ),
            Self::TooOld(age) => write!(f, "it was given {age} ago, longer than `oldest` allows"),
        }
    }
}

/// One line, used or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The instruction, without the space around it.
    pub text: Result<String, BadLine>,
    /// When the newest bytes of its source were read; its own last byte came then or just before.
    pub received: MonoTime,
}

/// What has been read of one source and not yet been used.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    received: MonoTime,
    /// Of `bytes`, from the start, that hold no line end.
    searched: usize,
    /// The rest of a line that was too long is being thrown away.
    skipping: bool,
}

impl Lines {
    /// Whether the source may be read. A source that sends faster than its lines are used must wait, so
    /// that memory stays bounded.
    pub fn has_room(&self) -> bool {
        self.bytes.len() <= LINE_BYTES_MAX
    }

    /// Takes what a read at `now` brought.
    pub fn push(&mut self, bytes: &[u8], now: MonoTime) {
        self.bytes.extend_from_slice(bytes);
        self.received = now;
    }

    /// The next line. None: no whole line is left. Empty lines are skipped.
    pub fn pop(&mut self) -> Option<Line> {
        let received = self.received;
        self.pop_text().map(|text| Line { text, received })
    }

    fn pop_text(&mut self) -> Option<Result<String, BadLine>> {
        loop {
            let found = self.bytes[self.searched..].iter().position(|&b| b == b'\n');
            let Some(found) = found else {
                return self.keep_rest();
            };
            let end = self.searched + found;
            self.searched = 0;
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if let Some(instruction) = instruction(&line[..end]) {
                return Some(instruction);
            }
        }
    }

    /// The line that the end of the input cuts short: whoever sends `printf "look at the cat"` means it.
    pub fn finish(&mut self) -> Option<Line> {
        let received = self.received;
        self.rest_as_text().map(|text| Line { text, received })
    }

    fn rest_as_text(&mut self) -> Option<Result<String, BadLine>> {
        let line = std::mem::take(&mut self.bytes);
        self.searched = 0;
        match std::mem::take(&mut self.skipping) {
            true => None,
            false => instruction(&line),
        }
    }

    /// No line ends in what is there: keeps it, unless it is too long already.
    fn keep_rest(&mut self) -> Option<Result<String, BadLine>> {
        self.searched = self.bytes.len();
        if self.skipping || self.bytes.len() > LINE_BYTES_MAX {
            let was_skipping = std::mem::replace(&mut self.skipping, true);
            self.bytes.clear();
            self.searched = 0;
            return (!was_skipping).then_some(Err(BadLine::TooLong));
        }
        None
    }
}

/// A line's text without the space around it; None if there is nothing else.
pub fn instruction(line: &[u8]) -> Option<Result<String, BadLine>> {
    if line.len() > LINE_BYTES_MAX {
        return Some(Err(BadLine::TooLong));
    }
    let Ok(text) = std::str::from_utf8(line) else {
        return Some(Err(BadLine::NotUtf8));
    };
    // Some editors begin a file with this mark.
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some(control) => Some(Err(BadLine::Control(control))),
        None if text.is_empty() => None,
        None => Some(Ok(text.to_owned())),
    }
}
