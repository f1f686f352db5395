//! The one flag that ends a run.

use crate::rt::sync::{Arc, AtomicBool, Ordering};

/// Asked for by a signal, by the end of the input or by the run's duration; looked at by every loop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks every loop to end.
    pub fn ask(&self) {
        // ORDERING(stop): Release, pairs with `asked`: who sees the flag sees what led to it.
        self.0.store(true, Ordering::Release);
    }

    pub fn asked(&self) -> bool {
        // ORDERING(stop): Acquire, pairs with `ask`.
        self.0.load(Ordering::Acquire)
    }
}
