//! `debounce`, `sample`, `every_nth`: fewer elements, each as it came.
//!
//! The first two go by event time and need it in order ([`InOrder`](super::order::InOrder)); an element that comes for
//! before one already seen is dropped and counted.
//!
//! Thread: whichever runs the stream. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::stream::element::{Element, Event};
use crate::stream::operator::Operator;
use crate::units::{MonoTime, Nanos};

/// The last element of each burst: one that no other follows within `quiet`.
#[derive(Clone, Debug)]
pub struct Debounce<T> {
    quiet: Nanos,
    held: Option<Element<T>>,
    bound: MonoTime,
    pub out_of_order: u64,
}

impl<T> Debounce<T> {
    pub fn new(quiet: Nanos) -> Self {
        Self {
            quiet,
            held: None,
            bound: MonoTime(i64::MIN),
            out_of_order: 0,
        }
    }
}

impl<T: Copy> Operator for Debounce<T> {
    type In = Event<T>;
    type Out = Event<T>;

    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Event<T>)) {
        match event {
            Event::Element(element) => {
                match self.held {
                    Some(held) if element.at < held.at => {
                        self.out_of_order += 1;
                        return;
                    }
                    Some(held) if element.at - held.at >= self.quiet => next(Event::Element(held)),
                    _ => {}
                }
                self.held = Some(element);
            }
            Event::Bound(bound) => {
                if let Some(held) = self.held.take_if(|held| bound - held.at >= self.quiet) {
                    next(Event::Element(held));
                }
                // What is held may still come out, with its own time.
                let bound = self.held.map_or(bound, |held| bound.min(held.at));
                if bound > self.bound {
                    self.bound = bound;
                    next(Event::Bound(bound));
                }
            }
            Event::Idle => next(Event::Idle),
        }
    }
}

/// At most one element a period: the last before each multiple of `period`. A period without an element gives none.
#[derive(Clone, Debug)]
pub struct Sample<T> {
    period: Nanos,
    held: Option<Element<T>>,
    bound: MonoTime,
    pub out_of_order: u64,
}

impl<T> Sample<T> {
    /// `period` above 0.
    pub fn new(period: Nanos) -> Self {
        Self {
            period: period.max(Nanos(1)),
            held: None,
            bound: MonoTime(i64::MIN),
            out_of_order: 0,
        }
    }

    /// The end of the period that an instant lies in.
    fn end(&self, at: MonoTime) -> MonoTime {
        MonoTime((at.0.div_euclid(self.period.0) + 1).saturating_mul(self.period.0))
    }
}

impl<T: Copy> Operator for Sample<T> {
    type In = Event<T>;
    type Out = Event<T>;

    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Event<T>)) {
        match event {
            Event::Element(element) => {
                match self.held {
                    Some(held) if element.at < held.at => {
                        self.out_of_order += 1;
                        return;
                    }
                    Some(held) if element.at >= self.end(held.at) => next(Event::Element(held)),
                    _ => {}
                }
                self.held = Some(element);
            }
            Event::Bound(bound) => {
                let end = self.held.map(|held| self.end(held.at));
                if end.is_some_and(|end| bound >= end)
                    && let Some(held) = self.held.take()
                {
                    next(Event::Element(held));
                }
                let bound = self.held.map_or(bound, |held| bound.min(held.at));
                if bound > self.bound {
                    self.bound = bound;
                    next(Event::Bound(bound));
                }
            }
            Event::Idle => next(Event::Idle),
        }
    }
}

/// Every n-th element, beginning with the first.
#[derive(Clone, Debug)]
pub struct EveryNth<T> {
    n: u64,
    seen: u64,
    value: std::marker::PhantomData<fn(T)>,
}

impl<T> EveryNth<T> {
    /// `n` of at least 1.
    pub fn new(n: u64) -> Self {
        Self {
            n: n.max(1),
            seen: 0,
            value: std::marker::PhantomData,
        }
    }
}

impl<T> Operator for EveryNth<T> {
    type In = Event<T>;
    type Out = Event<T>;

    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Event<T>)) {
        if let Event::Element(_) = event {
            self.seen += 1;
            if !(self.seen - 1).is_multiple_of(self.n) {
                return;
            }
        }
        next(event);
    }
}
