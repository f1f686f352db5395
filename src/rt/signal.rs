//! SIGINT and SIGTERM: the first asks the run to stop cleanly, the second ends the process at once.
//!
//! Thread: the handler runs on any thread. It only touches an atomic and may call `_exit`; both are
//! async-signal-safe.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

static SEEN: AtomicU32 = AtomicU32::new(0);

/// Exit code after a second signal: as a shell reports death by SIGINT.
const EXIT_AT_ONCE: i32 = 130;

extern "C" fn on_signal(_signal: libc::c_int) {
    // ORDERING(signal): Relaxed, alone. Only the number of signals matters.
    if SEEN.fetch_add(1, Ordering::Relaxed) > 0 {
        // SAFETY: _exit is async-signal-safe and does not return.
        unsafe { libc::_exit(EXIT_AT_ONCE) };
    }
}

/// Installs the handler for both signals, and ignores SIGPIPE (a closed pipe is a write error).
pub fn install() -> io::Result<()> {
    // SAFETY: an all-zero sigaction is valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = on_signal;
    action.sa_sigaction = handler as usize;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: `action` is valid, and its handler is async-signal-safe.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: ignoring a signal is always allowed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    Ok(())
}

/// True once a signal came.
pub fn came() -> bool {
    // ORDERING(signal): Relaxed, alone.
    SEEN.load(Ordering::Relaxed) > 0
}
