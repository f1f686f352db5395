//! A model of the kernel's futex: looking at the word and going to sleep are one step, and only `wake` ends a sleep.
//!
//! The kernel looks at the word under a lock of its own; here that is a loom mutex. Like the kernel's, it orders what
//! is done before `wake` before the sleeper's return. Code must not lean on that, since a thread that finds the word
//! changed never sleeps; loom tries that case too.

use loom::sync::{Condvar, Mutex};

use crate::rt::sync::{AtomicU32, Ordering};
use crate::units::MonoTime;

loom::lazy_static! {
    static ref KERNEL: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

pub fn wait(word: &AtomicU32, expected: u32, deadline: MonoTime) {
    if deadline <= crate::clock::NOW {
        return;
    }
    let lock = KERNEL.0.lock().unwrap();
    if word.load(Ordering::Relaxed) == expected {
        drop(KERNEL.1.wait(lock).unwrap());
    }
}

/// Sleepers on other words wake too, as they may from the kernel for no reason.
pub fn wake(_word: &AtomicU32) {
    let _lock = KERNEL.0.lock().unwrap();
    KERNEL.1.notify_all();
}
