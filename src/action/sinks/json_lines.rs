//! Actions as JSON lines, in a file or on standard output.
//!
//! Thread: action for `write`; a housekeeping thread writes. Allocates: in `open`. Blocks: no. Locks: no.
//! Syscalls: none on the action thread.
//!
//! A write to a disk or a pipe may block, whatever its flags say. So the action thread only passes a copy of
//! the action on; a thread of the housekeeping side, which looks every 10 ms, writes the text.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::JoinHandle;

use crate::action::{Action, Sink};
use crate::clock;
use crate::console;
use crate::error::{Fault, Kind, Result, StepError};
use crate::link::{self, EveryReader, EveryWriter};
use crate::rt;
use crate::rt::wait::Bell;
use crate::units::Nanos;
use crate::wire::{Message, json};

/// How often the writer looks for actions.
const LOOK_EVERY: Nanos = Nanos::from_millis(10);
/// BOUND: actions that wait to be written: a disk that stands still for 1 s at 1 kHz, 10 s at 100 Hz.
const WAITING_MAX: usize = 1024;
/// How long the end of a run waits for a reader that has stopped reading.
const LAST_WRITE_WITHIN: Nanos = Nanos::from_secs(2);

#[derive(Debug)]
pub struct JsonLines {
    name: String,
    /// None only while this is being dropped.
    link: Option<EveryWriter<Action>>,
    writer: Option<JoinHandle<()>>,
}

impl JsonLines {
    pub fn open(path: &Path) -> Result<Self> {
        let (name, out): (_, Box<dyn Write + Send>) = if path == Path::new("-") {
            ("standard output".to_owned(), Box::new(io::stdout()))
        } else {
            let name = path.display().to_string();
            let file = create(path).map_err(|e| {
                Fault::from_io(
                    format!("cannot write actions to {name}"),
                    &e,
                    Kind::Output,
                    "choose a file in a folder that exists and may be written to; a pipe needs a reader first",
                )
            })?;
            (name, Box::new(BufWriter::new(file)))
        };
        // Nobody sleeps on this bell, so the action thread never makes a system call to ring it.
        let (link, actions) = link::every(WAITING_MAX, &Bell::silent());
        let place = name.clone();
        let writer = rt::thread::housekeeping("json-lines", move || {
            if let Err(e) = copy(actions, out) {
                let fix =
                    "free some space or keep the reader running; the run goes on without this file";
                let what = format!("actions are no longer written to {place}");
                console::line(Fault::from_io(what, &e, Kind::Output, fix));
            }
        })
        .map_err(|e| {
            Fault::from_io(
                "cannot start the thread that writes JSON lines",
                &e,
                Kind::Internal,
                "raise the limit of threads (`ulimit -u`)",
            )
        })?;
        Ok(Self {
            name,
            link: Some(link),
            writer: Some(writer),
        })
    }
}

impl Sink for JsonLines {
    fn describe(&self) -> String {
        format!("json {}", self.name)
    }

    fn write(&mut self, action: &Action) -> Result<(), StepError> {
        let Some(link) = self.link.as_mut().filter(|link| !link.is_abandoned()) else {
            return Err(StepError::DeviceLost);
        };
        link.push(*action).map_err(|_| StepError::WouldBlock)
    }
}

/// Everything passed on so far is written before the sink is gone, unless the reader has stopped reading.
impl Drop for JsonLines {
    fn drop(&mut self) {
        drop(self.link.take());
        let Some(writer) = self.writer.take() else {
            return;
        };
        let deadline = clock::now() + LAST_WRITE_WITHIN;
        while !writer.is_finished() && clock::now() < deadline {
            clock::sleep_until(clock::now() + Nanos::from_millis(1));
        }
        if writer.is_finished() {
            // It returns nothing, and a panic there has been printed already.
            let _ = writer.join();
        }
    }
}

/// Begins the file anew. A pipe without a reader is refused instead of waited for.
fn create(path: &Path) -> io::Result<File> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    // SAFETY: the descriptor is open; this sets its flags to "none", so writes wait as usual.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// Writes every action until the sink is dropped.
fn copy(mut actions: EveryReader<Action>, mut out: impl Write) -> io::Result<()> {
    let mut line = [0; json::JSON_BYTES_MAX];
    loop {
        // Looked at before the link is emptied, so what was pushed before the drop is written.
        let is_last = actions.is_abandoned();
        while let Some(action) = actions.pop() {
            let len = json::write(&Message::of_action(&action), &mut line);
            out.write_all(&line[..len])?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        if is_last {
            return Ok(());
        }
        clock::sleep_until(clock::now() + LOOK_EVERY);
    }
}
