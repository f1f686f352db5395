//! The models, by what they are about.

mod bell;
mod crew;
mod every;
mod newest;
mod recent;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs a model in every interleaving there is.
fn exhaustive(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = None;
    builder.check(model);
}

/// Runs a model in every interleaving in which threads are interrupted at most `LOOM_MAX_PREEMPTIONS` times (by default 3)
/// besides where they wait: all of them would take hours.
fn bounded(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(model);
}

/// Counts how often each of the items made from it was dropped. Not part of the model: plain atomics.
#[derive(Clone, Default)]
struct Drops(Arc<[AtomicU32; 8]>);

/// An item that tells when it is dropped.
struct Item {
    number: usize,
    drops: Drops,
}

impl Drops {
    fn item(&self, number: usize) -> Item {
        Item {
            number,
            drops: self.clone(),
        }
    }

    /// Of items 0 .. `made`.
    fn assert_each_once(&self, made: usize) {
        for (number, drops) in self.0.iter().enumerate() {
            let expected = u32::from(number < made);
            assert_eq!(drops.load(Ordering::SeqCst), expected, "item {number}");
        }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.drops.0[self.number].fetch_add(1, Ordering::SeqCst);
    }
}
