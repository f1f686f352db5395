//! The lock-free part of the real-time side.

#[path = "../../../src/rt/crew.rs"]
pub mod crew;
#[path = "../../../src/rt/futex.rs"]
pub mod futex;
#[path = "../../../src/rt/stop.rs"]
pub mod stop;
#[path = "../../../src/rt/sync.rs"]
pub mod sync;
#[path = "../../../src/rt/wait.rs"]
pub mod wait;
#[path = "../../../src/rt/prefetch.rs"]
pub mod prefetch;
