//! `debounce`, `sample`, `every_nth`: fewer elements, each as it came.
//!
//! The first two go by event time and need it in order ([`InOrder`](super::order::InOrder)); an element that comes for
//! before one already seen is dropped and counted.
//!
//! Thread: whichever runs the stream. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::stream::element::{Element, Event};
use crate::stream::operator::Operator;
use crate::units::{MonoTime, Nanos};

/// When an element that is held is on its own, and goes out.
pub trait Rule {
    /// True if one that lies at `at`, or all from there on, leave the one at `held` behind. `held <= at`.
    fn is_over(&self, held: MonoTime, at: MonoTime) -> bool;
}

/// No other followed within so long.
#[derive(Clone, Copy, Debug)]
pub struct Quiet(Nanos);

impl Rule for Quiet {
    fn is_over(&self, held: MonoTime, at: MonoTime) -> bool {
        at - held >= self.0
    }
}

/// Its period is over: periods begin at the multiples of this.
#[derive(Clone, Copy, Debug)]
pub struct Period(Nanos);

impl Rule for Period {
    fn is_over(&self, held: MonoTime, at: MonoTime) -> bool {
        let end = (held.0.div_euclid(self.0.0) + 1).saturating_mul(self.0.0);
        at.0 >= end
    }
}

/// The last element of each group: it is held until a rule says that the group is over.
#[derive(Clone, Debug)]
pub struct LastOf<T, R> {
    rule: R,
    held: Option<Element<T>>,
    bound: MonoTime,
    pub out_of_order: u64,
}

/// The last element of each burst: one that no other follows within a time.
pub type Debounce<T> = LastOf<T, Quiet>;

/// At most one element a period: the last before each multiple of it. A period without an element gives none.
pub type Sample<T> = LastOf<T, Period>;

impl<T> Debounce<T> {
    pub fn new(quiet: Nanos) -> Self {
        Self::by(Quiet(quiet))
    }
}

impl<T> Sample<T> {
    /// `period` above 0.
    pub fn new(period: Nanos) -> Self {
        Self::by(Period(period.max(Nanos(1))))
    }
}

impl<T, R> LastOf<T, R> {
    fn by(rule: R) -> Self {
        Self {
            rule,
            held: None,
            bound: MonoTime(i64::MIN),
            out_of_order: 0,
        }
    }
}

impl<T: Copy, R: Rule> Operator for LastOf<T, R> {
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
                    Some(held) if self.rule.is_over(held.at, element.at) => {
                        next(Event::Element(held));
                    }
                    _ => {}
                }
                self.held = Some(element);
            }
            Event::Bound(bound) => {
                let rule = &self.rule;
                if let Some(held) = self.held.take_if(|held| rule.is_over(held.at, bound)) {
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
