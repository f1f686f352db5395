//! Standard input, one instruction a line. Its end is not an error: the run goes on without it.
//!
//! Thread: language. Blocks: no; it is read only when `poll` says that bytes are there.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::lines::{Line, Lines, READ_BYTES_MAX};
use crate::clock;

/// Standard input until its end.
#[derive(Debug)]
pub struct Stdin {
    /// A duplicate of descriptor 0, read without the buffer of `std::io::stdin`, which `poll` knows
    /// nothing of. None after the end.
    input: Option<File>,
    lines: Lines,
}

impl Stdin {
    pub fn open() -> io::Result<Self> {
        Self::from_fd(io::stdin().as_fd())
    }

    /// As standard input, from another descriptor.
    pub fn from_fd(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self {
            input: Some(File::from(fd.try_clone_to_owned()?)),
            lines: Lines::default(),
        })
    }

    /// What to wait for: nothing after the end, nor while lines wait to be used, nor while this process is
    /// in the background of a terminal, where a read would stop the whole process.
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        let input = self.input.as_ref()?;
        (self.lines.has_room() && !is_background_of(input)).then_some(input.as_fd())
    }

    /// Takes what is there.
    pub fn read(&mut self) {
        let mut bytes = [0; READ_BYTES_MAX];
        match self.input.as_mut().map(|input| input.read(&mut bytes)) {
            Some(Ok(count @ 1..)) => self.lines.push(&bytes[..count], clock::now()),
            Some(Err(e))
                if matches!(
                    e.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            // The end, or an error that will not go away (a terminal that has gone).
            _ => self.input = None,
        }
    }

    /// The next line.
    pub fn pop(&mut self) -> Option<Line> {
        let next = self.lines.pop();
        match self.input {
            None => next.or_else(|| self.lines.finish()),
            Some(_) => next,
        }
    }
}

fn is_background_of(input: &File) -> bool {
    if !input.is_terminal() {
        return false;
    }
    // SAFETY: takes an open descriptor and only asks.
    let foreground = unsafe { libc::tcgetpgrp(input.as_raw_fd()) };
    // SAFETY: takes nothing, and cannot fail.
    let own = unsafe { libc::getpgrp() };
    foreground != own
}
