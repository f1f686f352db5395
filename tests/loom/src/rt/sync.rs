//! The door of `src/rt/sync.rs`, with the model checker behind it.

pub use loom::cell::UnsafeCell;
pub use loom::hint::spin_loop;
pub use loom::sync::Arc;
pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
