//! The one place that reads a clock or sleeps until an instant.
//!
//! Thread: any. Allocates: no. Locks: no. Syscalls: `clock_gettime` (vDSO), `clock_nanosleep`.
//! Only stage loops call these; a step is given `now`.

use crate::units::MonoTime;

/// Now on `CLOCK_MONOTONIC`, the clock of V4L2 time stamps.
pub fn now() -> MonoTime {
    read(libc::CLOCK_MONOTONIC)
}

/// Now on another clock, for converting stamps made on it. Nanoseconds since that clock's epoch.
pub fn read(clock: libc::clockid_t) -> MonoTime {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` is a valid timespec that lives through the call; these clocks exist on every
    // Linux that Rust supports, so the call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut t) };
    MonoTime(t.tv_sec * 1_000_000_000 + t.tv_nsec)
}

/// The same instant as the kernel wants it. Instants before 0 become 0.
pub fn timespec(at: MonoTime) -> libc::timespec {
    let ns = at.0.max(0);
    libc::timespec {
        tv_sec: ns / 1_000_000_000,
        tv_nsec: ns % 1_000_000_000,
    }
}

/// Sleeps until `at` on `CLOCK_MONOTONIC` (absolute, so lateness never accumulates).
/// Returns early only when a signal handler ran; the caller looks at its stop flag and calls again.
pub fn sleep_until(at: MonoTime) {
    let t = timespec(at);
    // SAFETY: `t` is valid through the call, and a null remainder is allowed with TIMER_ABSTIME.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const t,
            std::ptr::null_mut(),
        )
    };
}
