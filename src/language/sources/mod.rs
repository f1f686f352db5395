//! Where instructions come from: the configuration, a timed script, standard input, a Unix socket, a Kafka topic, a microphone.
//!
//! Thread: language. Blocks: in `poll` only.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;

use crate::inference::plan::Precision;
use crate::speech::config::SpeechConfig;
use crate::units::Nanos;

// Bytes into lines, and lines into instructions.
pub mod lines;

// A file of instructions with times.
pub mod script;

// A Unix socket that takes instructions and answers.
pub mod socket;

// Standard input.
pub mod stdin;

// A topic of Kafka.
pub mod kafka;

/// `[language]`: where instructions come from. All sources can be used together; the newest instruction
/// counts.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LanguageConfig {
    /// The instruction to begin with, in English: "look at the cat". Default: none, the robot waits for one.
    pub instruction: Option<String>,
    /// Reads an instruction from each line of standard input. Default: false.
    pub stdin: bool,
    /// A Unix stream socket to make, only for this user (mode 0600): each line that comes is an instruction,
    /// answered by `ok 3 "look at the cat"` or `error: ...`. Default: none.
    pub socket: Option<PathBuf>,
    /// A file of timed instructions, each line as `5.0s look at the cat`, counted from the start of the run;
    /// or, if its name ends in `.toml`, `[[instruction]]` tables with `at = "5.0 s"` and `text`.
    /// Default: none.
    pub script: Option<PathBuf>,
    /// A topic of Kafka, `"HOST:PORT/TOPIC"`, or a table with `topic`, `partition`, `begin` (`"latest"`, `"earliest"`),
    /// `wait` and `oldest`: the value of each record is an instruction. Default: none.
    pub kafka: Option<kafka::InstructionTopic>,
    /// Instructions spoken in English into the first `[[sensor]]` that is a microphone or a sound file; `{}` for all as by default.
    /// Default: none.
    pub microphone: Option<SpeechConfig>,
    /// What the text encoder multiplies with: `f32`; `bf16`, which halves the time of an instruction where the processor
    /// multiplies pairs of bf16 (AVX512-BF16), and is refused elsewhere, with a cosine to the embedding in f32 of 0.9999 or
    /// more; or `int8`, a quarter of the time, 0.988 or more. Default: f32.
    pub precision: Precision,
}

/// Waits until one of `fds` can be read without blocking, its other end has gone, or `timeout` has
/// passed. Gives for each whether it is worth reading; none after a signal.
pub(super) fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Nanos) -> Vec<bool> {
    let mut polls: Vec<_> = fds
        .iter()
        .map(|fd| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // Rounded up, so that a wait for a time in the script ends at it and not just before it.
    let millis = i32::try_from(timeout.0.max(0).div_euclid(1_000_000) + 1).unwrap_or(i32::MAX);
    let millis = if timeout.0 <= 0 { 0 } else { millis };
    let count = libc::nfds_t::try_from(polls.len()).unwrap_or(0);
    // SAFETY: `polls` is an array of `count` initialised entries that lives through the call, and the
    // descriptors are borrowed, so they stay open.
    let ready = unsafe { libc::poll(polls.as_mut_ptr(), count, millis) };
    polls
        .iter()
        .map(|poll| ready > 0 && poll.revents != 0)
        .collect()
}
