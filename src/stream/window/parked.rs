//! Elements that lie too far ahead of the bound to have a pane yet, in order of event time.
//!
//! A jump of time in a source, say after a reconnection, must neither lose what is before it nor what is behind it.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use std::collections::VecDeque;

use crate::stream::element::Element;
use crate::stream::kept::{Kept, kept};

/// Elements with their key, at most so many.
#[derive(Debug)]
pub struct Parked<T> {
    elements: VecDeque<(usize, Element<T>)>,
    capacity: usize,
}

kept!(impl [T: Kept + Default] Parked<T> { elements });

/// A copy has the same room: a queue's own would have only what it needs just now.
impl<T: Clone> Clone for Parked<T> {
    fn clone(&self) -> Self {
        let mut elements = VecDeque::with_capacity(self.capacity);
        elements.extend(self.elements.iter().cloned());
        Self {
            elements,
            capacity: self.capacity,
        }
    }
}

impl<T: Copy> Parked<T> {
    pub fn new(capacity: usize) -> Self {
        Self {
            elements: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    /// False if there is no room.
    pub fn put(&mut self, key: usize, element: Element<T>) -> bool {
        if self.elements.len() == self.capacity {
            return false;
        }
        // BOUND: the capacity; most come in order and go to the end.
        let place = self
            .elements
            .partition_point(|(_, parked)| parked.rank() <= element.rank());
        self.elements.insert(place, (key, element));
        true
    }

    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    pub fn first(&self) -> Option<&(usize, Element<T>)> {
        self.elements.front()
    }

    pub fn take_first(&mut self) -> Option<(usize, Element<T>)> {
        self.elements.pop_front()
    }
}
