//! Links: how a thing gets from one thread to the next.
//!
//! All are single-producer single-consumer, bounded and wait-free: a `push` or `pop` takes a bounded
//! number of steps whatever the other side does. The policy is in the name.
//! - [`every`](every()): all items in order; a full link gives the new item back and counts it.
//! - [`newest`](newest()): the reader gets the newest item; the writer gets the stale one back at once. One item
//!   at most is in flight, so four camera buffers are enough however slow the reader is.
//! - [`recent`](recent()): the newest so many in order; a full link gives the oldest back to the writer.
//!
//! An item is never lost silently: `pushed = popped + stale + expired + in flight` on every link, always
//! (what a full `every` link refused, and what its writer left out on purpose, was never pushed; it is counted as
//! `refused` and as `skipped`).
//!
//! Thread: one writer, one reader. Allocates: in the constructors. Blocks: no. Locks: no.
//! Syscalls: none, except one `futex` wake when the reader sleeps (see [`Bell`](crate::rt::wait::Bell)).

use crate::rt::sync::{AtomicU64, Ordering};

mod every;
mod newest;
// The policies, as they are configured.
pub mod policy;
mod recent;

pub use every::{EveryReader, EveryWriter, every};
pub use newest::{NewestReader, NewestWriter, newest};
pub use recent::{RecentReader, RecentWriter, recent};

/// What passed through a link. Each field has one writer, named in its comment; any thread may read.
///
/// The two ends count on cache lines of their own (two lines each, since processors fetch them in pairs): on a shared one
/// they would take it from each other at every item, which made a stream through an `every` link ten times slower.
#[derive(Debug, Default)]
pub struct LinkCount {
    sent: SentCount,
    taken: TakenCount,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct SentCount {
    /// Written by the link's writer: items that went into the link.
    pushed: AtomicU64,
    /// Written by the link's writer: items given back because the link was full (`every`).
    refused: AtomicU64,
    /// Written by the link's writer: items given back because a newer one came (`newest`, `recent`).
    stale: AtomicU64,
    /// Written by the link's writer: items that it left out on purpose.
    skipped: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct TakenCount {
    /// Written by the link's reader: items taken out.
    popped: AtomicU64,
    /// Written by the link's reader: those of them that it found too old to be worked on.
    expired: AtomicU64,
}

/// A reading of [`LinkCount`]. Exact once both ends are at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTotals {
    pub pushed: u64,
    pub refused: u64,
    pub stale: u64,
    pub skipped: u64,
    /// Taken out and not expired.
    pub popped: u64,
    pub expired: u64,
    pub in_flight: u64,
}

impl LinkCount {
    /// Counts a hand-over by a plain call: in and out at once. Only for the thread that makes the call.
    pub fn pass(&self) {
        count(&self.sent.pushed);
        count(&self.taken.popped);
    }

    /// The writer left an item out on purpose. Only for the writer.
    pub fn skip(&self) {
        count(&self.sent.skipped);
    }

    /// The item popped last was too old to be worked on. Only for the reader.
    pub fn expire(&self) {
        count(&self.taken.expired);
    }

    pub fn totals(&self) -> LinkTotals {
        // ORDERING(count): Relaxed, alone. The numbers are for people; nothing is inferred from them
        // about other memory. What was taken is read first so that in_flight never comes out negative.
        let taken = self.taken.popped.load(Ordering::Relaxed);
        let expired = self.taken.expired.load(Ordering::Relaxed).min(taken);
        let stale = self.sent.stale.load(Ordering::Relaxed);
        let pushed = self.sent.pushed.load(Ordering::Relaxed);
        LinkTotals {
            pushed,
            refused: self.sent.refused.load(Ordering::Relaxed),
            stale,
            skipped: self.sent.skipped.load(Ordering::Relaxed),
            popped: taken - expired,
            expired,
            in_flight: pushed.saturating_sub(taken + stale),
        }
    }
}

/// Adds one to a counter that only the calling thread writes.
fn count(counter: &AtomicU64) {
    // ORDERING(count): Relaxed, alone. One writer, so load and store need no read-modify-write.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
