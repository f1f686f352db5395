//! Other programs that a bench starts. None outlives it: whatever ends the bench ends them.
//!
//! Thread: main. Blocks: up to [`PATIENCE`] at the end of a program that does not end when asked.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::clock;
use crate::rt::signal;
use crate::units::{MonoTime, Nanos};

/// How long a program may take to end after it was asked.
const PATIENCE: Nanos = Nanos::from_secs(8);
/// How often it is looked whether something has ended. Rare, for each look is a wake-up on a housekeeping core.
const LOOK_EVERY: Nanos = Nanos::from_millis(50);

/// A program that runs, and with it all that it starts in its process group.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// What asks it to end.
    ask: libc::c_int,
    ended: Option<ExitStatus>,
}

impl Program {
    /// Starts it. Its output goes to `log`; it may run on `cores`, or wherever this process may if there are none.
    pub fn start(command: &mut Command, log: &Path, cores: &[usize]) -> io::Result<Self> {
        let out = File::create(log)?;
        let cores = core_set(cores);
        let prepare = move || {
            // SAFETY: prctl takes two numbers here, and is a plain system call: allowed between fork and exec.
            let done = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            if done != 0 {
                return Err(io::Error::last_os_error());
            }
            let Some(set) = &cores else { return Ok(()) };
            // SAFETY: `set` is a valid set of the size given, 0 is this process; a plain system call.
            let done = unsafe { libc::sched_setaffinity(0, size_of_val(set), set) };
            if done == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            // The terminal's Ctrl-C reaches this process alone, which then ends the others in order.
            .process_group(0);
        // SAFETY: `prepare` makes system calls only; it neither allocates nor locks.
        let command = unsafe { command.pre_exec(prepare) };
        Ok(Self {
            child: command.spawn()?,
            ask: libc::SIGINT,
            ended: None,
        })
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits for its end, for `until`, for a signal, or for `stop` to say why it has to end early.
    pub fn wait(&mut self, until: MonoTime, mut stop: impl FnMut() -> Option<String>) -> Waited {
        // BOUND: `until`.
        loop {
            if let Some(status) = self.has_ended() {
                return Waited::Ended(status);
            }
            if signal::came() {
                return Waited::Signal;
            }
            if let Some(why) = stop() {
                return Waited::Stopped(why);
            }
            let now = clock::now();
            if now >= until {
                return Waited::TooLong;
            }
            clock::sleep_until((now + LOOK_EVERY).min(until));
        }
    }

    /// Asks it to end, waits, and ends it.
    pub fn end(&mut self) {
        self.send(self.ask);
        let until = clock::now() + PATIENCE;
        // BOUND: PATIENCE.
        while self.has_ended().is_none() && clock::now() < until {
            clock::sleep_until(clock::now() + LOOK_EVERY);
        }
        // Also to what it left behind in its group.
        self.send(libc::SIGKILL);
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
    }

    /// To the whole group. Without one any more, that is an error and no matter.
    fn send(&self, signal: libc::c_int) {
        let group = i32::try_from(self.child.id()).unwrap_or(0);
        if group > 1 {
            // SAFETY: kill takes numbers. The group is this child's: it was made its leader before it ran.
            unsafe { libc::kill(-group, signal) };
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.has_ended().is_none() {
            self.end();
        }
    }
}

/// Why the wait is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    Ended(ExitStatus),
    Signal,
    /// As `stop` said.
    Stopped(String),
    TooLong,
}

fn core_set(cores: &[usize]) -> Option<libc::cpu_set_t> {
    if cores.is_empty() {
        return None;
    }
    // SAFETY: an all-zero cpu_set_t is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &core in cores {
        if core < libc::CPU_SETSIZE as usize {
            // SAFETY: `core` is below CPU_SETSIZE.
            unsafe { libc::CPU_SET(core, &mut set) };
        }
    }
    Some(set)
}

/// The first program of this name in PATH.
pub fn find(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Where root's tools are, which a user's PATH often lacks.
    let more = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
