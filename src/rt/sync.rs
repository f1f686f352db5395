//! The only door to atomics, shared pointers and cells of the lock-free code.
//!
//! `tests/loom` compiles the files of that code with a door of its own, which lets the model checker's versions in:
//! so the very code that runs is the code that is checked.

pub use std::hint::spin_loop;
pub use std::sync::Arc;
pub use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering, fence,
};

/// `std`'s cell with loom's way of access: a pointer that lives for one closure.
#[derive(Debug)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    pub fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
        access(self.0.get())
    }

    pub fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}
