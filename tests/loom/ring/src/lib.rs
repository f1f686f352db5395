//! A ring with rtrb's interface and protocol on loom's atomics, so that `every` links can be modelled.
//!
//! rtrb is proven by its own tests (Miri, ThreadSanitizer). What these models prove is what `link.rs` adds: counting,
//! bells and the order of dropping. So the stand-in keeps rtrb's synchronisation and nothing else: a Release
//! store of the position by the end that moved it, an Acquire load by the other, a flag set when the first end goes.

use std::fmt;
use std::mem::MaybeUninit;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Debug)]
pub enum PushError<T> {
    Full(T),
}

#[derive(Debug)]
pub struct PopError;

pub struct RingBuffer<T> {
    items: Vec<UnsafeCell<MaybeUninit<T>>>,
    /// Counts items taken; written by the consumer.
    head: AtomicUsize,
    /// Counts items put in; written by the producer.
    tail: AtomicUsize,
    abandoned: AtomicBool,
}

// SAFETY: a cell is touched by the producer while its item is not yet counted in `tail`, and by the consumer until it is
// counted in `head`; loom itself checks that no two accesses meet.
unsafe impl<T: Send> Send for RingBuffer<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for RingBuffer<T> {}

impl<T> RingBuffer<T> {
    #[expect(clippy::new_ret_no_self, reason = "rtrb's name")]
    pub fn new(capacity: usize) -> (Producer<T>, Consumer<T>) {
        let ring = Arc::new(Self {
            items: (0..capacity)
                .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
                .collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            abandoned: AtomicBool::new(false),
        });
        (
            Producer {
                ring: Arc::clone(&ring),
            },
            Consumer { ring },
        )
    }

    fn len(&self) -> usize {
        self.tail.load(Ordering::Acquire) - self.head.load(Ordering::Acquire)
    }

    fn cell(&self, position: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.items[position % self.items.len()]
    }
}

impl<T> Drop for RingBuffer<T> {
    fn drop(&mut self) {
        for position in self.head.load(Ordering::Relaxed)..self.tail.load(Ordering::Relaxed) {
            // SAFETY: items between head and tail were put in and not taken; both ends are gone.
            self.cell(position)
                .with_mut(|p| unsafe { (*p).assume_init_drop() });
        }
    }
}

pub struct Producer<T> {
    ring: Arc<RingBuffer<T>>,
}

impl<T> Producer<T> {
    pub fn push(&mut self, item: T) -> Result<(), PushError<T>> {
        if self.is_full() {
            return Err(PushError::Full(item));
        }
        let tail = self.ring.tail.load(Ordering::Relaxed);
        // SAFETY: the ring is not full, so the consumer is done with this cell.
        self.ring
            .cell(tail)
            .with_mut(|p| unsafe { (*p).write(item) });
        self.ring.tail.store(tail + 1, Ordering::Release);
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        self.ring.len() == self.ring.items.len()
    }

    pub fn is_abandoned(&self) -> bool {
        self.ring.abandoned.load(Ordering::Acquire)
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.ring.abandoned.store(true, Ordering::Release);
    }
}

pub struct Consumer<T> {
    ring: Arc<RingBuffer<T>>,
}

impl<T> Consumer<T> {
    pub fn pop(&mut self) -> Result<T, PopError> {
        if self.is_empty() {
            return Err(PopError);
        }
        let head = self.ring.head.load(Ordering::Relaxed);
        // SAFETY: the ring is not empty, so the item at its head is whole and not yet taken.
        let item = self
            .ring
            .cell(head)
            .with_mut(|p| unsafe { (*p).assume_init_read() });
        self.ring.head.store(head + 1, Ordering::Release);
        Ok(item)
    }

    pub fn is_empty(&self) -> bool {
        self.ring.len() == 0
    }

    pub fn is_abandoned(&self) -> bool {
        self.ring.abandoned.load(Ordering::Acquire)
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.ring.abandoned.store(true, Ordering::Release);
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Producer")
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Consumer")
    }
}
