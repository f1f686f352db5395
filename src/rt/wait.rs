//! How a thread waits for its next work, and how another thread wakes it.
//!
//! Each thread of the way has one [`Bell`]. Whoever passes it something rings. Ringing costs one atomic
//! read-modify-write; it makes a system call only when the thread sleeps. The waiting thread spins for a
//! bounded time and then parks on a futex; or never parks (a core of its own); or sleeps until just
//! before the next frame is due and spins from there.
//!
//! Thread: any rings, one waits. Allocates: in `new`. Locks: no. Syscalls: `futex`, `clock_nanosleep`.

use crate::clock;
use crate::rt::futex;
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

impl WaitPolicy {
    /// When a wait for something due at `due` stops sleeping and begins to spin, if it does both.
    pub fn near(self, due: Option<MonoTime>) -> Option<MonoTime> {
        match (self, due) {
            (Self::Timed { lead, .. }, Some(due)) => Some(due - lead),
            _ => None,
        }
    }
}

/// Nobody waits.
const AWAKE: u32 = 0;
/// The owner sleeps, or is about to: ring with a system call.
const PARKED: u32 = 1;

/// Wakes one thread. Cloned to everyone who passes that thread something.
#[derive(Clone, Debug)]
pub struct Bell {
    /// None: nobody ever sleeps on it.
    state: Option<Arc<AtomicU32>>,
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl Bell {
    pub fn new() -> Self {
        Self {
            state: Some(Arc::new(AtomicU32::new(AWAKE))),
        }
    }

    /// A bell that nobody sleeps on, for what is read when its reader comes around anyway. Ringing it costs nothing.
    pub fn silent() -> Self {
        Self { state: None }
    }

    pub fn is_silent(&self) -> bool {
        self.state.is_none()
    }

    /// Wakes the owner if it sleeps. Call after the item has been made visible.
    pub fn ring(&self) {
        let Some(state) = &self.state else { return };
        // ORDERING(bell): AcqRel read-modify-write. It pairs with the owner's swaps in `park_until`. The word is
        // only ever changed by read-modify-writes, so they are totally ordered and each acquires all before
        // it: if ours comes before the owner's swap to PARKED, the owner's last look sees the item; if it
        // comes after, we read PARKED and wake. A plain load here would need a SeqCst fence for the same proof.
        if state.swap(AWAKE, Ordering::AcqRel) == PARKED {
            futex::wake(state);
        }
    }

    /// Sleeps until rung with `ready` true, or until `deadline`. Returns what `ready` said last. Only the owner of the
    /// bell may call this.
    pub fn sleep(&self, deadline: MonoTime, mut ready: impl FnMut() -> bool) -> bool {
        self.park_until(deadline, &mut ready)
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
            WaitPolicy::Timed { late, .. } => match policy.near(due).zip(due) {
                Some((near, due)) => {
                    if self.park_until(near.min(deadline), &mut ready) {
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
        let Some(state) = &self.state else {
            clock::sleep_until(deadline);
            return ready();
        };
        // BOUND: ends at the deadline; each turn but the last was ended by a ring or a signal.
        loop {
            // ORDERING(bell): AcqRel, see `ring`.
            state.swap(PARKED, Ordering::AcqRel);
            let is_ready = ready();
            if is_ready || clock::now() >= deadline {
                // ORDERING(bell): AcqRel, see `ring`. A plain store here would hide a ring that came since the
                // swap above: the next swap to PARKED would read our own store, acquire nothing, and its last
                // look could miss what that ring announced (found by `tests/loom`).
                state.swap(AWAKE, Ordering::AcqRel);
                return is_ready;
            }
            futex::wait(state, PARKED, deadline);
        }
    }
}
