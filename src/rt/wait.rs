//! How a thread waits for its next work, and how another thread wakes it.
//!
//! Each thread of the way has one [`Bell`]. Whoever passes it something rings. Ringing costs one atomic
//! read-modify-write; it makes a system call only when the thread sleeps. The waiting thread spins for a
//! bounded time and then parks on a futex; or never parks (a core of its own); or sleeps until just
//! before the next frame is due and spins from there.
//!
//! Thread: any rings, one waits. Allocates: in `new`. Locks: no. Syscalls: `futex`, `clock_nanosleep`.

use crate::clock;
use crate::rt::sync::{Arc, AtomicU32, Ordering};
use crate::units::{MonoTime, Nanos};

/// How a thread waits. Chosen per thread by the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitPolicy {
    /// Look again and again, never sleep. Only for a core that nothing else needs.
    Spin,
    /// Look for this long, then park until rung.
    Park { spin: Nanos },
    /// Sleep until `lead` before the next item is due, spin until `late` after, then park.
    Timed { lead: Nanos, late: Nanos },
}

/// Nobody waits.
const AWAKE: u32 = 0;
/// The owner sleeps, or is about to: ring with a system call.
const PARKED: u32 = 1;

/// Wakes one thread. Cloned to everyone who passes that thread something.
#[derive(Clone, Debug)]
pub struct Bell {
    state: Arc<AtomicU32>,
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl Bell {
    pub fn new() -> Self {
        Self {
            state: Arc::new(AtomicU32::new(AWAKE)),
        }
    }

    /// Wakes the owner if it sleeps. Call after the item has been made visible.
    pub fn ring(&self) {
        // ORDERING(bell): AcqRel read-modify-write. It pairs with the owner's swap to PARKED in `wait`.
        // Both are RMWs on one location, so they are totally ordered: if ours comes first, the owner's swap
        // acquires our release and its last look sees the item; if the owner's comes first, we read
        // PARKED and wake it. A plain load here would need a SeqCst fence for the same proof.
        if self.state.swap(AWAKE, Ordering::AcqRel) == PARKED {
            futex_wake(&self.state);
        }
    }

    /// Waits until `ready` says so, or until `deadline`. `due` is when the next item is expected, if
    /// that is known. Returns what `ready` said last. Only the owner of the bell may call this.
    pub fn wait(
        &self,
        policy: WaitPolicy,
        due: Option<MonoTime>,
        deadline: MonoTime,
        mut ready: impl FnMut() -> bool,
    ) -> bool {
        if ready() {
            return true;
        }
        let spin_end = match policy {
            WaitPolicy::Spin => deadline,
            WaitPolicy::Park { spin } => (clock::now() + spin).min(deadline),
            WaitPolicy::Timed { lead, late } => match due {
                Some(due) => {
                    if self.park_until((due - lead).min(deadline), &mut ready) {
                        return true;
                    }
                    (due + late).min(deadline)
                }
                None => MonoTime::ZERO,
            },
        };
        // BOUND: `spin_end <= deadline`; the clock is read every 32 looks (about 1 us).
        while clock::now() < spin_end {
            for _ in 0..32 {
                if ready() {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        self.park_until(deadline, &mut ready)
    }

    /// Sleeps until rung with `ready` true, or until `deadline`.
    fn park_until(&self, deadline: MonoTime, ready: &mut impl FnMut() -> bool) -> bool {
        // BOUND: ends at the deadline; each turn but the last was ended by a ring or a signal.
        loop {
            // ORDERING(bell): AcqRel, see `ring`.
            self.state.swap(PARKED, Ordering::AcqRel);
            // ORDERING(bell): Relaxed below: taking the flag back infers nothing.
            if ready() {
                self.state.store(AWAKE, Ordering::Relaxed);
                return true;
            }
            if clock::now() >= deadline {
                self.state.store(AWAKE, Ordering::Relaxed);
                return false;
            }
            futex_wait(&self.state, PARKED, deadline);
        }
    }
}

/// Sleeps while `*state == expected`, until woken or until `deadline`.
#[cfg(not(loom))]
fn futex_wait(state: &AtomicU32, expected: u32, deadline: MonoTime) {
    let at = clock::timespec(deadline);
    // SAFETY: the word and the timespec live through the call. FUTEX_WAIT_BITSET takes an absolute
    // CLOCK_MONOTONIC time; spurious returns are allowed by the caller's loop.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            std::ptr::from_ref(state),
            libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
            expected,
            &raw const at,
            std::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        );
    }
}

#[cfg(not(loom))]
fn futex_wake(state: &AtomicU32) {
    // SAFETY: the word lives through the call; waking nobody is fine.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            std::ptr::from_ref(state),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        );
    }
}

/// The model's futex: yields until the word changes, so a lost wake-up is a model that never ends.
#[cfg(loom)]
fn futex_wait(state: &AtomicU32, expected: u32, _deadline: MonoTime) {
    while state.load(Ordering::Relaxed) == expected {
        loom::thread::yield_now();
    }
}

#[cfg(loom)]
fn futex_wake(_state: &AtomicU32) {}
