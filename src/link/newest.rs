//! The newest item; a stale one goes back to the writer. See [`newest`].

use std::mem::MaybeUninit;

use super::{LinkCount, count};
use crate::rt::sync::{Arc, AtomicU8, Ordering, UnsafeCell};
use crate::rt::wait::Bell;

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

    /// Puts `item` in the place of the one that still waits, which comes back. Where none waits, because the reader has
    /// taken it, the link stays empty and `item` itself comes back as the error.
    pub fn replace(&mut self, item: T) -> Result<T, T> {
        let shared = &*self.shared;
        // ORDERING: Relaxed, alone. Only a guess; the exchange below finds out whether it still holds.
        let seen = shared.middle.load(Ordering::Relaxed);
        if seen & FRESH == 0 {
            return Err(item);
        }
        // SAFETY: as in `push`: `own` is this end's cell, and it is empty.
        shared.cells[usize::from(self.own)].with_mut(|p| unsafe { (*p).write(item) });
        // ORDERING(newest): AcqRel on success, as in `push`. On failure nothing changes hands, and our cell is ours still.
        let exchanged = shared.middle.compare_exchange(
            seen,
            self.own | FRESH,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        match exchanged {
            Ok(before) => {
                self.own = before & INDEX;
                count(&self.count.sent.pushed);
                count(&self.count.sent.stale);
                self.bell.ring();
                // SAFETY: FRESH was set in what the exchange replaced, so the cell holds an item, and it is ours now.
                Ok(shared.cells[usize::from(self.own)]
                    .with_mut(|p| unsafe { (*p).assume_init_read() }))
            }
            // SAFETY: the exchange failed, so the cell is still ours, with the item that was written above.
            Err(_) => Err(shared.cells[usize::from(self.own)]
                .with_mut(|p| unsafe { (*p).assume_init_read() })),
        }
    }

    /// True when the reader has gone.
    pub fn is_abandoned(&self) -> bool {
        // ORDERING(abandoned): Acquire, pairs with the Release in `Drop` of the reader.
        self.shared.abandoned.load(Ordering::Acquire) != 0
    }

    pub fn count(&self) -> Arc<LinkCount> {
        Arc::clone(&self.count)
    }

    /// For what only this end counts.
    pub(crate) fn counted(&self) -> &LinkCount {
        &self.count
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

    /// For what only this end counts.
    pub(crate) fn counted(&self) -> &LinkCount {
        &self.count
    }
}

impl<T> Drop for NewestReader<T> {
    fn drop(&mut self) {
        // ORDERING(abandoned): Release, pairs with the Acquire in the writer's `is_abandoned`.
        self.shared.abandoned.store(1, Ordering::Release);
    }
}
