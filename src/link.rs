//! Links: how a thing gets from one thread to the next.
//!
//! Both are single-producer single-consumer, bounded and wait-free: a `push` or `pop` takes a fixed
//! number of steps whatever the other side does. The policy is in the name.
//! - [`every`]: all items in order; a full link gives the new item back and counts it.
//! - [`newest`]: the reader gets the newest item; the writer gets the stale one back at once. One item
//!   at most is in flight, so four camera buffers are enough however slow the reader is.
//!
//! An item is never lost silently: `pushed = popped + stale + in flight` on every link, always
//! (an item refused by a full `every` link was never pushed; it is counted as `refused`).
//!
//! Thread: one writer, one reader. Allocates: in the constructors. Blocks: no. Locks: no.
//! Syscalls: none, except one `futex` wake when the reader sleeps (see [`Bell`]).

use std::mem::MaybeUninit;

use crate::rt::sync::{Arc, AtomicU8, AtomicU64, Ordering, UnsafeCell};
use crate::rt::wait::Bell;

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
    /// Written by the link's writer: items given back because a newer one came (`newest`).
    stale: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct TakenCount {
    /// Written by the link's reader: items taken out.
    popped: AtomicU64,
}

/// A reading of [`LinkCount`]. Exact once both ends are at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTotals {
    pub pushed: u64,
    pub refused: u64,
    pub stale: u64,
    pub popped: u64,
    pub in_flight: u64,
}

impl LinkCount {
    /// Counts a hand-over by a plain call: in and out at once. Only for the thread that makes the call.
    pub fn pass(&self) {
        count(&self.sent.pushed);
        count(&self.taken.popped);
    }

    pub fn totals(&self) -> LinkTotals {
        // ORDERING(count): Relaxed, alone. The numbers are for people; nothing is inferred from them
        // about other memory. `popped` is read first so that in_flight never comes out negative.
        let popped = self.taken.popped.load(Ordering::Relaxed);
        let stale = self.sent.stale.load(Ordering::Relaxed);
        let pushed = self.sent.pushed.load(Ordering::Relaxed);
        LinkTotals {
            pushed,
            refused: self.sent.refused.load(Ordering::Relaxed),
            stale,
            popped,
            in_flight: pushed.saturating_sub(popped + stale),
        }
    }
}

/// Adds one to a counter that only the calling thread writes.
fn count(counter: &AtomicU64) {
    // ORDERING(count): Relaxed, alone. One writer, so load and store need no read-modify-write.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

// ---------------------------------------------------------------------------------------------
// every

/// The writing end of an [`every`] link.
#[derive(Debug)]
pub struct EveryWriter<T> {
    // Fields are dropped in the order of their declaration: the ring is marked abandoned before the bell rings for the
    // last time, so that a sleeping reader finds out why.
    ring: rtrb::Producer<T>,
    bell: LastRing,
    count: Arc<LinkCount>,
}

/// Rings when it is dropped.
#[derive(Debug)]
struct LastRing(Bell);

impl Drop for LastRing {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// The reading end of an [`every`] link.
#[derive(Debug)]
pub struct EveryReader<T> {
    ring: rtrb::Consumer<T>,
    count: Arc<LinkCount>,
}

/// A link that passes all items in order. `bell` is rung for the reader's thread.
///
/// # Panics
/// If `capacity` is 0.
pub fn every<T: Send>(capacity: usize, bell: &Bell) -> (EveryWriter<T>, EveryReader<T>) {
    assert!(capacity > 0, "a link needs room for one item");
    let (producer, consumer) = rtrb::RingBuffer::new(capacity);
    let count = Arc::new(LinkCount::default());
    let writer = EveryWriter {
        ring: producer,
        bell: LastRing(bell.clone()),
        count: Arc::clone(&count),
    };
    (
        writer,
        EveryReader {
            ring: consumer,
            count,
        },
    )
}

impl<T> EveryWriter<T> {
    /// Passes the item on, or gives it back (counted) when the link is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        match self.ring.push(item) {
            Ok(()) => {
                count(&self.count.sent.pushed);
                self.bell.0.ring();
                Ok(())
            }
            Err(rtrb::PushError::Full(item)) => {
                count(&self.count.sent.refused);
                Err(item)
            }
        }
    }

    /// True when there is room for an item.
    pub fn has_room(&self) -> bool {
        !self.ring.is_full()
    }

    /// True when the reader has gone; items pushed from now on are never read.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    pub fn count(&self) -> Arc<LinkCount> {
        Arc::clone(&self.count)
    }
}

impl<T> EveryReader<T> {
    /// The oldest item, if there is one.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.ring.pop().ok()?;
        count(&self.count.taken.popped);
        Some(item)
    }

    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// True when the writer has gone. Items already in the link can still be popped.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    pub fn count(&self) -> Arc<LinkCount> {
        Arc::clone(&self.count)
    }
}

// ---------------------------------------------------------------------------------------------
// newest

/// The cell indices 0, 1, 2 take the low bits of the state byte.
const INDEX: u8 = 0b011;
/// Set while the exchanged cell holds an item that the reader has not taken.
const FRESH: u8 = 0b100;

/// Three cells and one byte. At any moment one cell belongs to the writer, one to the reader, and the
/// third, named by `middle`, to whoever exchanges it next. Only cells change hands, in one atomic swap;
/// so neither side ever waits for, or sees a half of, what the other does.
struct Exchange<T> {
    cells: [UnsafeCell<MaybeUninit<T>>; 3],
    middle: AtomicU8,
    /// Set by the end that goes first.
    abandoned: AtomicU8,
}

// SAFETY: a cell is touched only by the end that owns its index, and indices change hands through
// `middle` with Release and Acquire; items themselves move between threads, so T must be Send.
unsafe impl<T: Send> Sync for Exchange<T> {}
// SAFETY: as above; dropping the exchange drops at most one T, on the thread of the last end.
unsafe impl<T: Send> Send for Exchange<T> {}

impl<T> std::fmt::Debug for Exchange<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

impl<T> Drop for Exchange<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed is enough, `&mut self` proves that both ends are gone (Arc's own
        // Release/Acquire on its count ordered their last accesses before this).
        let middle = self.middle.load(Ordering::Relaxed);
        if middle & FRESH != 0 {
            let cell = &self.cells[usize::from(middle & INDEX)];
            // SAFETY: FRESH says that this cell holds an item nobody took; nobody else is left.
            cell.with_mut(|p| unsafe { (*p).assume_init_drop() });
        }
    }
}

/// The writing end of a [`newest`] link.
#[derive(Debug)]
pub struct NewestWriter<T> {
    shared: Arc<Exchange<T>>,
    /// The cell that belongs to this end.
    own: u8,
    bell: Bell,
    count: Arc<LinkCount>,
}

/// The reading end of a [`newest`] link.
#[derive(Debug)]
pub struct NewestReader<T> {
    shared: Arc<Exchange<T>>,
    own: u8,
    count: Arc<LinkCount>,
}

/// A link that hands the reader the newest item and the writer the stale one. `bell` is rung for the
/// reader's thread.
pub fn newest<T: Send>(bell: &Bell) -> (NewestWriter<T>, NewestReader<T>) {
    let shared = Arc::new(Exchange {
        cells: std::array::from_fn(|_| UnsafeCell::new(MaybeUninit::uninit())),
        middle: AtomicU8::new(1),
        abandoned: AtomicU8::new(0),
    });
    let count = Arc::new(LinkCount::default());
    let writer = NewestWriter {
        shared: Arc::clone(&shared),
        own: 0,
        bell: bell.clone(),
        count: Arc::clone(&count),
    };
    (
        writer,
        NewestReader {
            shared,
            own: 2,
            count,
        },
    )
}

impl<T> NewestWriter<T> {
    /// Makes `item` the newest. Gives back the one before if the reader has not taken it.
    pub fn push(&mut self, item: T) -> Option<T> {
        let shared = &*self.shared;
        // SAFETY: `own` is this end's cell, and it is empty: it came either from the start, or out of
        // the last exchange below, where a fresh item was taken out of it.
        shared.cells[usize::from(self.own)].with_mut(|p| unsafe { (*p).write(item) });
        // ORDERING(newest): AcqRel. Release publishes the item just written to the reader's Acquire swap
        // in `pop`; Acquire makes the reader's last use of the cell that we get happen before ours.
        let before = shared.middle.swap(self.own | FRESH, Ordering::AcqRel);
        self.own = before & INDEX;
        count(&self.count.sent.pushed);
        self.bell.ring();
        if before & FRESH == 0 {
            return None;
        }
        count(&self.count.sent.stale);
        // SAFETY: FRESH says the cell holds an item that was not taken; the swap made the cell ours.
        Some(shared.cells[usize::from(self.own)].with_mut(|p| unsafe { (*p).assume_init_read() }))
    }

    /// True when the reader has gone.
    pub fn is_abandoned(&self) -> bool {
        // ORDERING(abandoned): Acquire, pairs with the Release in `Drop` of the reader.
        self.shared.abandoned.load(Ordering::Acquire) != 0
    }

    pub fn count(&self) -> Arc<LinkCount> {
        Arc::clone(&self.count)
    }
}

impl<T> Drop for NewestWriter<T> {
    fn drop(&mut self) {
        // ORDERING(abandoned): Release, so that a reader which sees it has also seen the last push.
        self.shared.abandoned.store(1, Ordering::Release);
        self.bell.ring();
    }
}

impl<T> NewestReader<T> {
    /// The newest item, if one came since the last call.
    pub fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let shared = &*self.shared;
        // ORDERING(newest): AcqRel. Acquire sees the item that the writer's swap released; Release hands
        // our empty cell over. Only this end clears FRESH, so it is still set since the check above.
        let before = shared.middle.swap(self.own, Ordering::AcqRel);
        self.own = before & INDEX;
        count(&self.count.taken.popped);
        // SAFETY: FRESH was set, so the cell holds an item; the swap made the cell ours alone.
        Some(shared.cells[usize::from(self.own)].with_mut(|p| unsafe { (*p).assume_init_read() }))
    }

    pub fn is_empty(&self) -> bool {
        // ORDERING: Relaxed, alone. Only a hint; the swap in `pop` synchronises.
        self.shared.middle.load(Ordering::Relaxed) & FRESH == 0
    }

    /// True when the writer has gone. An item already in the link can still be popped.
    pub fn is_abandoned(&self) -> bool {
        // ORDERING(abandoned): Acquire, pairs with the Release in `Drop` of the writer.
        self.shared.abandoned.load(Ordering::Acquire) != 0
    }

    pub fn count(&self) -> Arc<LinkCount> {
        Arc::clone(&self.count)
    }
}

impl<T> Drop for NewestReader<T> {
    fn drop(&mut self) {
        // ORDERING(abandoned): Release, pairs with the Acquire in the writer's `is_abandoned`.
        self.shared.abandoned.store(1, Ordering::Release);
    }
}
