//! SIGINT and SIGTERM: the first asks the run to stop cleanly, the second ends the process at once. SIGUSR1: an
//! operator says that the robot may go on after a safe stop.
//!
//! Thread: the handler runs on any thread. It only touches an atomic and may call `_exit`; both are
//! async-signal-safe.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

static SEEN: AtomicU32 = AtomicU32::new(0);
static RESETS: AtomicU32 = AtomicU32::new(0);

/// Exit code after a second signal: as a shell reports death by SIGINT.
const EXIT_AT_ONCE: i32 = 130;

extern "C" fn on_signal(_signal: libc::c_int) {
    // ORDERING(signal): Relaxed, alone. Only the number of signals matters.
    if SEEN.fetch_add(1, Ordering::Relaxed) > 0 {
        // SAFETY: _exit is async-signal-safe and does not return.
        unsafe { libc::_exit(EXIT_AT_ONCE) };
    }
}

extern "C" fn on_reset(_signal: libc::c_int) {
    // ORDERING(signal): Relaxed, alone.
    RESETS.fetch_add(1, Ordering::Relaxed);
}

/// Installs the handlers, and ignores SIGPIPE and SIGXFSZ (a closed pipe and a full file are write errors).
pub fn install() -> io::Result<()> {
    // SAFETY: an all-zero sigaction is valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let (end, reset): (extern "C" fn(libc::c_int), extern "C" fn(libc::c_int)) =
        (on_signal, on_reset);
    // After a reset whatever it interrupted goes on.
    for (signal, handler, flags) in [
        (libc::SIGINT, end, 0),
        (libc::SIGTERM, end, 0),
        (libc::SIGUSR1, reset, libc::SA_RESTART),
    ] {
        action.sa_flags = flags;
        action.sa_sigaction = handler as usize;
        // SAFETY: `action` is valid, and its handler is async-signal-safe.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: ignoring a signal is always allowed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    // A file that may not grow any further is an error of the write, not the end of the run.
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    Ok(())
}

/// How often an operator has said that the robot may go on.
pub fn resets() -> u32 {
    // ORDERING(signal): Relaxed, alone.
    RESETS.load(Ordering::Relaxed)
}

/// True once a signal to end came.
pub fn came() -> bool {
    // ORDERING(signal): Relaxed, alone.
    SEEN.load(Ordering::Relaxed) > 0
}
