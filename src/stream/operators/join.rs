//! `join`: all pairs of two streams that lie close enough in time (Flink's interval join).
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use std::collections::VecDeque;

use crate::stream::element::{Element, Event, Origin, Side};
use crate::stream::operator::Operator;
use crate::stream::operators::merge::Progress;
use crate::units::{MonoTime, Nanos};

/// Pairs with `left.at + from <= right.at <= left.at + to`, both ends included, whose values satisfy `fits`. A pair has
/// the time of its later half, and is made up if one of its halves is.
///
/// An element is late, and dropped, if it lies before what both streams have reached together: a pair of it could lie
/// before a bound that has gone out. Until it is certain that nothing can come any more that it makes a pair with, an
/// element is kept; when there is no room for a new one, the oldest of its side goes early, counted.
#[derive(Clone, Debug)]
pub struct Join<L, R, F> {
    from: Nanos,
    to: Nanos,
    fits: F,
    left: Kept<L>,
    right: Kept<R>,
    progress: Progress<2>,
    /// Elements before what both streams had reached.
    pub late: u64,
    /// Elements that had to make room before their time.
    pub evicted: u64,
}

impl<L: Copy, R: Copy, F: Fn(&L, &R) -> bool> Join<L, R, F> {
    /// Keeps at most `capacity` elements of each side, at least 1. `from <= to`.
    pub fn new(from: Nanos, to: Nanos, capacity: usize, fits: F) -> Self {
        Self {
            from,
            to,
            fits,
            left: Kept::new(capacity),
            right: Kept::new(capacity),
            progress: Progress::default(),
            late: 0,
            evicted: 0,
        }
    }

    /// True, and counted, if an element comes too late.
    fn is_late(&mut self, at: MonoTime) -> bool {
        let is_late = at < self.progress.reached();
        self.late += u64::from(is_late);
        is_late
    }

    fn advance(&mut self, further: Option<MonoTime>, next: &mut impl FnMut(Event<(L, R)>)) {
        if let Some(reached) = further {
            // Nothing before `reached` comes from either side: what reaches only before it is done with.
            let (from, to) = (self.from, self.to);
            self.left.forget(|at| at + to < reached);
            self.right.forget(|at| at - from < reached);
            // The later half of a pair to come has yet to come itself.
            next(Event::Bound(reached));
        }
        if self.progress.is_idle() {
            next(Event::Idle);
        }
    }
}

impl<L: Copy, R: Copy, F: Fn(&L, &R) -> bool> Operator for Join<L, R, F> {
    type In = Side<Event<L>, Event<R>>;
    type Out = Event<(L, R)>;

    #[inline]
    fn push(&mut self, event: Self::In, next: &mut impl FnMut(Event<(L, R)>)) {
        let further = match event {
            Side::Left(Event::Element(l)) => {
                self.progress.awake(0);
                if self.is_late(l.at) {
                    return;
                }
                for r in self.right.within(l.at + self.from, l.at + self.to) {
                    if (self.fits)(&l.value, &r.value) {
                        next(Event::Element(pair(&l, r)));
                    }
                }
                self.evicted += u64::from(self.left.put(l));
                return;
            }
            Side::Right(Event::Element(r)) => {
                self.progress.awake(1);
                if self.is_late(r.at) {
                    return;
                }
                for l in self.left.within(r.at - self.to, r.at - self.from) {
                    if (self.fits)(&l.value, &r.value) {
                        next(Event::Element(pair(l, &r)));
                    }
                }
                self.evicted += u64::from(self.right.put(r));
                return;
            }
            Side::Left(Event::Bound(bound)) => self.progress.bound(0, bound),
            Side::Right(Event::Bound(bound)) => self.progress.bound(1, bound),
            Side::Left(Event::Idle) => self.progress.idle(0),
            Side::Right(Event::Idle) => self.progress.idle(1),
        };
        self.advance(further, next);
    }
}

/// A pair's header is that of its later half.
fn pair<L: Copy, R: Copy>(l: &Element<L>, r: &Element<R>) -> Element<(L, R)> {
    let value = (l.value, r.value);
    let mut pair = if l.at > r.at {
        l.with(value)
    } else {
        r.with(value)
    };
    pair.arrived = l.arrived.max(r.arrived);
    if l.origin == Origin::Filled || r.origin == Origin::Filled {
        pair.origin = Origin::Filled;
    }
    pair
}

/// Elements in order of event time, at most so many.
#[derive(Debug)]
struct Kept<T> {
    elements: VecDeque<Element<T>>,
    capacity: usize,
}

impl<T: Clone> Clone for Kept<T> {
    /// With all its room: a copied deque has none to spare, and would allocate later.
    fn clone(&self) -> Self {
        let mut elements = VecDeque::with_capacity(self.capacity);
        elements.extend(self.elements.iter().cloned());
        Self { elements, ..*self }
    }
}

impl<T: Copy> Kept<T> {
    fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            elements: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    /// True if the oldest had to go.
    fn put(&mut self, element: Element<T>) -> bool {
        let is_full = self.elements.len() == self.capacity;
        if is_full {
            self.elements.pop_front();
        }
        // BOUND: the capacity; most come in order and go to the end.
        let place = self.elements.partition_point(|kept| kept.at <= element.at);
        self.elements.insert(place, element);
        is_full
    }

    /// Those from `first` to `last`, both included.
    fn within(&self, first: MonoTime, last: MonoTime) -> impl Iterator<Item = &Element<T>> {
        let begin = self.elements.partition_point(|kept| kept.at < first);
        // BOUND: the capacity.
        self.elements
            .range(begin..)
            .take_while(move |kept| kept.at <= last)
    }

    fn forget(&mut self, is_over: impl Fn(MonoTime) -> bool) {
        // BOUND: the capacity.
        while self.elements.front().is_some_and(|kept| is_over(kept.at)) {
            self.elements.pop_front();
        }
    }
}
