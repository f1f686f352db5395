//! The real-time side of the process: threads, waiting, memory, and proof of what the kernel granted.

// Atomics and cells through one door, so that loom can replace them.
pub mod sync;

// Sleeping on a word of memory.
pub mod futex;

// How a thread waits for work: spin, park, or sleep until just before the expected frame.
pub mod wait;

// Work that a thread shares with partners on other cores.
pub mod crew;

// Starting threads with class, core and name.
pub mod thread;

// The one flag that ends a run.
pub mod stop;

// Locked memory, prefaulted stacks, the sealed allocator.
pub mod memory;

// Memory that is asked for before it is needed.
pub mod prefetch;

// Keeping cores out of deep sleep.
pub mod latency;

// What a person may fix about one thread.
pub mod choice;

// How each thread of a plan waits.
mod seat;

// Which stage runs on which thread and core.
pub mod plan;

// What the service manager is told.
pub mod notify;

// The two signals that end a run.
pub mod signal;
