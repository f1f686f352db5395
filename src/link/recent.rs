//! The newest so many items in order; a full link gives the oldest back to the writer. See [`recent`].
//!
//! Single-producer rings cannot drop their oldest item, because that end belongs to the reader. Here each place of the ring
//! is one word that either end may exchange, and the word says whose turn it holds: the writer swaps its item in and gets
//! out what was left there; the reader takes a place only if the turn that it looked at is still the one there, and learns
//! from a turn that is not how far the writer has come. Items stay in cells which change hands whole, so nothing is read
//! while it is written. It is the exchange of [`newest`](super::newest()) with several places.

use std::mem::MaybeUninit;

use super::{LinkCount, count};
use crate::rt::sync::{Arc, AtomicU8, AtomicU64, Ordering, UnsafeCell};
use crate::rt::wait::Bell;

/// The low 16 bits of a place: which cell it holds.
const INDEX: u64 = 0xffff;
/// Set while that cell holds an item that the reader has not taken.
const FRESH: u64 = 1 << 16;
/// The rest: the turn, which is the item's number. 47 bits last for 4000 years of a thousand items a second.
const TURN: u32 = 17;

/// Places of a link, at most.
// BOUND: a place's cell has 16 bits, and each end keeps one more cell.
const CAPACITY_MAX: usize = 1 << 15;

/// How often one `pop` tries to take a place that the writer goes on overwriting. After that it says that there is
/// nothing, and the next call goes on.
// BOUND: each failed try means that the writer has gone around the whole ring since the one before.
const TRIES: usize = 8;

struct Ring<T> {
    /// One a place, one that the writer fills next, one that the reader emptied last.
    cells: Box<[UnsafeCell<MaybeUninit<T>>]>,
    places: Box<[AtomicU64]>,
    /// Items that the writer has put in, so that a reader which it has left behind finds the oldest at once.
    written: AtomicU64,
    /// Set by the end that goes first.
    abandoned: AtomicU8,
}

// SAFETY: a cell is touched only by the end that owns its index, and indices change hands through `places` with Release
// and Acquire; items themselves move between threads, so T must be Send.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; dropping the ring drops what is in it, on the thread of the last end.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> std::fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        for place in &self.places {
            // ORDERING: Relaxed is enough, `&mut self` proves that both ends are gone (Arc's own Release/Acquire on its
            // count ordered their last accesses before this).
            let word = place.load(Ordering::Relaxed);
            if word & FRESH != 0 {
                // SAFETY: FRESH says that this cell holds an item nobody took; nobody else is left.
                self.cells[cell(word)].with_mut(|p| unsafe { (*p).assume_init_drop() });
            }
        }
    }
}

fn cell(word: u64) -> usize {
    (word & INDEX) as usize
}

fn word(turn: u64, fresh: bool, cell: usize) -> u64 {
    turn << TURN | if fresh { FRESH } else { 0 } | cell as u64
}

/// The writing end of a [`recent`] link.
#[derive(Debug)]
pub struct RecentWriter<T> {
    ring: Arc<Ring<T>>,
    /// The cell that belongs to this end.
    own: usize,
    /// The number of the next item.
    turn: u64,
    bell: Bell,
    count: Arc<LinkCount>,
}

/// The reading end of a [`recent`] link.
#[derive(Debug)]
pub struct RecentReader<T> {
    ring: Arc<Ring<T>>,
    own: usize,
    /// The number of the next item, unless it has been overwritten.
    turn: u64,
    count: Arc<LinkCount>,
}

/// A link that passes items in order and holds the newest `capacity` of them. `bell` is rung for the reader's thread.
///
/// # Panics
/// If `capacity` is 0 or above 32768.
pub fn recent<T: Send>(capacity: usize, bell: &Bell) -> (RecentWriter<T>, RecentReader<T>) {
    assert!(
        (1..=CAPACITY_MAX).contains(&capacity),
        "a link needs room for 1 to {CAPACITY_MAX} items"
    );
    let empty = || UnsafeCell::new(MaybeUninit::uninit());
    let ring = Arc::new(Ring {
        cells: std::iter::repeat_with(empty).take(capacity + 2).collect(),
        places: (0..capacity)
            .map(|place| AtomicU64::new(word(0, false, place)))
            .collect(),
        written: AtomicU64::new(0),
        abandoned: AtomicU8::new(0),
    });
    let count = Arc::new(LinkCount::default());
    let writer = RecentWriter {
        ring: Arc::clone(&ring),
        own: capacity,
        turn: 0,
        bell: bell.clone(),
        count: Arc::clone(&count),
    };
    let reader = RecentReader {
        ring,
        own: capacity + 1,
        turn: 0,
        count,
    };
    (writer, reader)
}

impl<T> Ring<T> {
    fn place(&self, turn: u64) -> &AtomicU64 {
        let len = self.places.len() as u64;
        let at = usize::try_from(turn % len).unwrap_or(0);
        &self.places[at]
    }
}

impl<T> RecentWriter<T> {
    /// Passes the item on. Gives back the oldest if the link was full.
    pub fn push(&mut self, item: T) -> Option<T> {
        let ring = &*self.ring;
        // SAFETY: `own` is this end's cell, and it is empty: it came either from the start, or out of the last swap below,
        // where an item that had not been taken was taken out of it.
        ring.cells[self.own].with_mut(|p| unsafe { (*p).write(item) });
        // ORDERING(recent): AcqRel. Release publishes the item just written to the reader's Acquire exchange in `pop`;
        // Acquire makes the reader's last use of the cell that we get happen before ours.
        let before = ring
            .place(self.turn)
            .swap(word(self.turn, true, self.own), Ordering::AcqRel);
        self.turn += 1;
        // ORDERING(written): Release, so that who has seen this number finds the items up to it in their places.
        ring.written.store(self.turn, Ordering::Release);
        self.own = cell(before);
        count(&self.count.sent.pushed);
        self.bell.ring();
        if before & FRESH == 0 {
            return None;
        }
        count(&self.count.sent.stale);
        // SAFETY: FRESH says the cell holds an item that was not taken; the swap made the cell ours.
        Some(ring.cells[self.own].with_mut(|p| unsafe { (*p).assume_init_read() }))
    }

    /// True when the reader has gone.
    pub fn is_abandoned(&self) -> bool {
        // ORDERING(abandoned): Acquire, pairs with the Release in `Drop` of the reader.
        self.ring.abandoned.load(Ordering::Acquire) != 0
    }

    pub fn count(&self) -> Arc<LinkCount> {
        Arc::clone(&self.count)
    }

    /// For what only this end counts.
    pub(crate) fn counted(&self) -> &LinkCount {
        &self.count
    }
}

impl<T> Drop for RecentWriter<T> {
    fn drop(&mut self) {
        // ORDERING(abandoned): Release, so that a reader which sees it has also seen the last push.
        self.ring.abandoned.store(1, Ordering::Release);
        self.bell.ring();
    }
}

impl<T> RecentReader<T> {
    /// The oldest item that is still there.
    pub fn pop(&mut self) -> Option<T> {
        let ring = &*self.ring;
        for _ in 0..TRIES {
            let place = ring.place(self.turn);
            // ORDERING(recent): Acquire, pairs with the Release of the writer's swap: who has seen that the writer went
            // around sees all that it wrote before, so the place looked at next holds at least the turn expected there
            // (with a Relaxed load it may still show an older one; found by `tests/loom`).
            let seen = place.load(Ordering::Acquire);
            if seen & FRESH == 0 {
                return None;
            }
            let turn = seen >> TURN;
            if turn != self.turn {
                // The writer has gone around: all that is older than one round before this turn, or before its newest, has been
                // given back to it.
                let round = ring.places.len() as u64;
                // ORDERING(written): Acquire, see `push`. It may be one behind; the exchange finds out.
                let written = ring.written.load(Ordering::Acquire);
                self.turn = (turn + 1).max(written) - round;
                continue;
            }
            // ORDERING(recent): AcqRel on success: Acquire sees the item that the writer's swap released; Release hands our
            // empty cell over. On failure nothing changes hands.
            let taken = place.compare_exchange(
                seen,
                word(turn, false, self.own),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if taken.is_ok() {
                self.own = cell(seen);
                self.turn += 1;
                count(&self.count.taken.popped);
                // SAFETY: FRESH was set, so the cell holds an item; the exchange made the cell ours alone.
                return Some(ring.cells[self.own].with_mut(|p| unsafe { (*p).assume_init_read() }));
            }
        }
        None
    }

    pub fn is_empty(&self) -> bool {
        // ORDERING: Relaxed, alone. Only a hint; the exchange in `pop` synchronises.
        self.ring.place(self.turn).load(Ordering::Relaxed) & FRESH == 0
    }

    /// True when the writer has gone. Items already in the link can still be popped.
    pub fn is_abandoned(&self) -> bool {
        // ORDERING(abandoned): Acquire, pairs with the Release in `Drop` of the writer.
        self.ring.abandoned.load(Ordering::Acquire) != 0
    }

    pub fn count(&self) -> Arc<LinkCount> {
        Arc::clone(&self.count)
    }

    /// For what only this end counts.
    pub(crate) fn counted(&self) -> &LinkCount {
        &self.count
    }
}

impl<T> Drop for RecentReader<T> {
    fn drop(&mut self) {
        // ORDERING(abandoned): Release, pairs with the Acquire in the writer's `is_abandoned`.
        self.ring.abandoned.store(1, Ordering::Release);
    }
}
