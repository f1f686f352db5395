//! The kernel's log, whole, as text.
//!
//! Thread: main. Blocks: no. Syscalls: reads of `/dev/kmsg`.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

/// The path of the log below a root. In a captured tree it is a plain file.
pub const PATH: &str = "dev/kmsg";

/// The kernel hands out records of at most this size (`PRINTK_MESSAGE_MAX` and what it puts before it).
const RECORD_MAX: usize = 8192;
// BOUND: the largest log that a kernel is built with by default on large machines holds fewer records.
const RECORDS_MAX: usize = 200_000;

/// All records from the oldest that is kept.
pub fn read() -> io::Result<Vec<u8>> {
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")?;
    let mut text = Vec::new();
    let mut record = vec![0; RECORD_MAX];
    for _ in 0..RECORDS_MAX {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&record[..length]),
            Err(error) => match error.raw_os_error() {
                // The end.
                Some(libc::EAGAIN) => break,
                // It was overwritten while it was read; the next one is the oldest.
                Some(libc::EPIPE) => {}
                _ => return Err(error),
            },
        }
    }
    Ok(text)
}
