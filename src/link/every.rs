//! All items in order; a full link gives the new one back. See [`every`].

use super::{LinkCount, count};
use crate::rt::sync::Arc;
use crate::rt::wait::Bell;

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

    /// For what only this end counts.
    pub(crate) fn counted(&self) -> &LinkCount {
        &self.count
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

    /// For what only this end counts.
    pub(crate) fn counted(&self) -> &LinkCount {
        &self.count
    }
}
