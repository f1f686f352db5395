//! Waits until a descriptor has something to read.
//!
//! Thread: the sensor's. Allocates: no. Blocks: until the deadline. Locks: no. Syscalls: `ppoll`.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::clock;
use crate::units::MonoTime;

/// True when there is something (or an error to be read); false when the deadline passed.
pub fn wait(fd: BorrowedFd<'_>, deadline: MonoTime) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // BOUND: ends at the deadline; each turn but the last was ended by a signal.
    loop {
        let left = clock::timespec(MonoTime((deadline - clock::now()).0));
        // SAFETY: one pollfd and the time-out live through the call; no signal mask is changed.
        let ready = unsafe { libc::ppoll(&raw mut poll, 1, &raw const left, std::ptr::null()) };
        if ready != 0 && poll.revents != 0 {
            return true;
        }
        if clock::now() >= deadline {
            return false;
        }
    }
}
