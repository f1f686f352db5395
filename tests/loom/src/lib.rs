//! All interleavings, and all values that a weak memory model lets a load return, of the lock-free code: links, bells,
//! the stop flag. `scripts/dev loom`.
//!
//! The files checked are the runtime's own, compiled here with loom's atomics behind the same door
//! (`crate::rt::sync`), a clock that stands still, and a model of the kernel's futex. rtrb, which `every` links are
//! built on, is replaced by the ring in `ring/`, because loom cannot see rtrb's atomics.
//!
//! A lost wake-up shows as a deadlock, which loom reports with the interleaving that led to it.
#![cfg(test)]
#![allow(dead_code, reason = "models use a part of each file")]

#[path = "../../../src/link/mod.rs"]
mod link;
#[path = "../../../src/units.rs"]
mod units;

/// Time stands still: waits end because of a ring or not at all.
mod clock {
    use crate::units::MonoTime;

    pub const NOW: MonoTime = MonoTime(1);

    pub fn now() -> MonoTime {
        NOW
    }

    /// Only a silent bell sleeps by the clock, and no model waits on one.
    pub fn sleep_until(_at: MonoTime) {
        unreachable!("a model waits on a silent bell");
    }
}

mod rt {
    #[path = "../../../../src/rt/crew.rs"]
    pub mod crew;
    pub mod futex;
    #[path = "../../../../src/rt/stop.rs"]
    pub mod stop;
    pub mod sync;
    #[path = "../../../../src/rt/wait.rs"]
    pub mod wait;
}

mod models;
