//! Sleeping on a word of memory: the two system calls behind [`Bell`](super::wait::Bell).
//!
//! Thread: any. Allocates: no. Locks: no. Syscalls: `futex`.

use crate::clock;
use crate::rt::sync::AtomicU32;
use crate::units::MonoTime;

/// Sleeps while `*word == expected`, until woken or until `deadline`. May return for no reason; the caller looks again.
pub fn wait(word: &AtomicU32, expected: u32, deadline: MonoTime) {
    let at = clock::timespec(deadline);
    // SAFETY: the word and the timespec live through the call. FUTEX_WAIT_BITSET takes an absolute
    // CLOCK_MONOTONIC time.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            std::ptr::from_ref(word),
            libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
            expected,
            &raw const at,
            std::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        );
    }
}

/// Wakes the thread that sleeps on the word, if one does.
pub fn wake(word: &AtomicU32) {
    // SAFETY: the word lives through the call; waking nobody is fine.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            std::ptr::from_ref(word),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        );
    }
}
