//! `in_order`: elements by event time, once nothing earlier can come.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use crate::stream::element::{Element, Event};
use crate::stream::operator::Operator;
use crate::units::MonoTime;

/// Holds elements until the bound has passed them, and gives them out by `(at, source, seq)`.
///
/// When it is full the earliest goes out early, and whatever comes for before it is late: dropped and counted, so that
/// the output is in order whatever happens.
#[derive(Debug)]
pub struct InOrder<T> {
    /// In descending order: the earliest is the last.
    held: Vec<Element<T>>,
    capacity: usize,
    /// Nothing before this goes out any more.
    reached: MonoTime,
    /// Elements that came for before what had gone out.
    pub late: u64,
    /// Elements that went out before their time because there was no room.
    pub early: u64,
}

impl<T: Clone> Clone for InOrder<T> {
    /// With all its room: a copied vector has none to spare, and would allocate later.
    fn clone(&self) -> Self {
        let mut held = Vec::with_capacity(self.capacity);
        held.extend_from_slice(&self.held);
        Self { held, ..*self }
    }
}

impl<T: Copy> InOrder<T> {
    /// Holds `capacity` elements, at least 1.
    pub fn new(capacity: usize) -> Self {
        Self {
            held: Vec::with_capacity(capacity.max(1)),
            capacity: capacity.max(1),
            reached: MonoTime(i64::MIN),
            late: 0,
            early: 0,
        }
    }

    fn put(&mut self, element: Element<T>) {
        // BOUND: the number of elements held. Most come in order and find their place at the first look.
        let place = self
            .held
            .iter()
            .position(|held| held.rank() <= element.rank())
            .unwrap_or(self.held.len());
        self.held.insert(place, element);
    }
}

impl<T: Copy> Operator for InOrder<T> {
    type In = Event<T>;
    type Out = Event<T>;

    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Event<T>)) {
        match event {
            Event::Element(element) if element.at < self.reached => self.late += 1,
            Event::Element(element) => {
                if self.held.len() == self.capacity {
                    // The earliest of those held and the new one has to go.
                    self.early += 1;
                    match self.held.pop() {
                        Some(earliest) if earliest.rank() <= element.rank() => {
                            self.reached = earliest.at;
                            next(Event::Element(earliest));
                        }
                        earliest => {
                            self.held.extend(earliest);
                            self.reached = element.at;
                            next(Event::Element(element));
                            return;
                        }
                    }
                }
                self.put(element);
            }
            Event::Bound(bound) => {
                // BOUND: the number of elements held.
                while self.held.last().is_some_and(|held| held.at < bound) {
                    if let Some(element) = self.held.pop() {
                        next(Event::Element(element));
                    }
                }
                self.reached = self.reached.max(bound);
                next(Event::Bound(bound));
            }
            Event::Idle => next(Event::Idle),
        }
    }
}
