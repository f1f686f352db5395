//! Sessions: elements of a key no further apart than a gap.
//!
//! A session is `[first, last + gap)`. An element up to a gap before or after one belongs to it (so also exactly a gap, as
//! in Flink), and may make one of two. Where one would become longer than `max` another begins; which elements that parts
//! depends on the order in which they come, so who sets `max` and has elements out of order puts an
//! [`InOrder`](crate::stream::operators::order::InOrder) before.
//!
//! Eager results of a session that grew stand for those of its parts.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use std::ops::Range;

use crate::stream::aggregate::Aggregate;
use crate::stream::element::Element;
use crate::stream::kept::{Kept, kept};
use crate::stream::window::config::{Emission, WindowConfig};
use crate::stream::window::pane::Pane;
use crate::stream::window::{Counts, Given, OfKind, Out, Window, is_possible};
use crate::units::{MonoTime, Nanos};

/// See [the module](self).
#[derive(Clone, Debug)]
pub struct Sessions<T, A: Aggregate, K> {
    gap: Nanos,
    max: Nanos,
    is_eager: bool,
    key: K,
    aggregate: A,
    /// `places` for each key; one without elements is free.
    sessions: Box<[Session<A::State>]>,
    places: usize,
    /// No session is over before this.
    next_over: MonoTime,
    out: Out,
    value: std::marker::PhantomData<fn(T)>,
}

#[derive(Clone, Debug)]
struct Session<S> {
    elements: Pane<S>,
    /// It has grown since something was said of it.
    is_new: bool,
    /// How often something was said of it.
    times: u32,
}

kept!(impl [S: Kept] Session<S> { elements, is_new, times });
kept!(impl [T, A: Aggregate<State: Kept>, K] Sessions<T, A, K> { sessions, next_over, out });

impl<S: Clone> Session<S> {
    fn is_open(&self) -> bool {
        self.elements.count > 0
    }

    fn free<A: Aggregate<State = S>>(&mut self, aggregate: &A) {
        self.elements.clear(aggregate);
        self.is_new = false;
        self.times = 0;
    }
}

impl<T, A: Aggregate<In = T>, K> Sessions<T, A, K> {
    /// `config` was checked.
    pub(super) fn new(config: &WindowConfig, key: K, aggregate: A) -> Self {
        let session = Session {
            elements: Pane::empty(aggregate.empty()),
            is_new: false,
            times: 0,
        };
        let places = config.sessions();
        Self {
            gap: config.gap,
            max: config.max,
            is_eager: config.emission == Emission::Eager,
            key,
            aggregate,
            sessions: vec![session; places * config.keys as usize].into_boxed_slice(),
            places,
            next_over: MonoTime::FAR,
            out: Out::new(config.lateness),
            value: std::marker::PhantomData,
        }
    }

    pub fn counts(&self) -> Counts {
        self.out.counts
    }

    fn end(&self, place: usize) -> MonoTime {
        self.sessions[place].elements.max_at + self.gap
    }

    /// How long after its end something is said of a session.
    fn said_after(&self) -> Nanos {
        if self.is_eager {
            Nanos::ZERO
        } else {
            self.out.lateness
        }
    }
}

impl<T, A, K> Sessions<T, A, K>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
{
    /// The earliest open session that an instant belongs to.
    fn nearest(&self, places: Range<usize>, at: MonoTime) -> Option<usize> {
        let elements = |place: usize| &self.sessions[place].elements;
        // BOUND: the sessions of a key.
        places
            .filter(|place| self.sessions[*place].is_open())
            .filter(|place| self.belong_together(elements(*place), at, at))
            .min_by_key(|place| elements(*place).min_at)
    }

    /// Whether a session and what lies from `first` to `last` are one.
    fn belong_together(&self, one: &Pane<A::State>, first: MonoTime, last: MonoTime) -> bool {
        first <= one.max_at + self.gap
            && one.min_at <= last + self.gap
            && one.max_at.max(last) - one.min_at.min(first) <= self.max
    }

    /// Puts together what an element has brought together: a session before it and one after it.
    fn unite(&mut self, places: Range<usize>, grown: usize) {
        // BOUND: the sessions of a key.
        for place in places.filter(|place| *place != grown) {
            let Pane { min_at, max_at, .. } = self.sessions[grown].elements;
            let other = &self.sessions[place];
            if !other.is_open() || !self.belong_together(&other.elements, min_at, max_at) {
                continue;
            }
            // Two different places of one slice.
            let [grown, other] = self
                .sessions
                .get_disjoint_mut([grown, place])
                .unwrap_or_else(|_| unreachable!("a session is not united with itself"));
            if other.elements.min_at < grown.elements.min_at {
                std::mem::swap(&mut grown.elements, &mut other.elements);
            }
            grown.elements.merge(&self.aggregate, &other.elements);
            grown.times = grown.times.max(other.times);
            other.free(&self.aggregate);
        }
    }

    /// Of the sessions of which something is to be said the first by `(end, key, start)`.
    fn first_over(&self, bound: MonoTime) -> Option<usize> {
        let said_after = self.said_after();
        let is_over = |place: &usize| {
            let session = &self.sessions[*place];
            session.is_open() && session.is_new && self.end(*place) + said_after <= bound
        };
        (0..self.sessions.len())
            .filter(is_over)
            .min_by_key(|place| {
                let start = self.sessions[*place].elements.min_at;
                (self.end(*place), place / self.places, start)
            })
    }

    fn say(
        &mut self,
        place: usize,
        key: usize,
        bound: MonoTime,
        next: &mut impl FnMut(Given<T, A::Out>),
    ) {
        let end = self.end(place);
        let session = &mut self.sessions[place];
        let elements = &session.elements;
        let window = Window {
            key: u32::try_from(key).unwrap_or(u32::MAX),
            start: elements.min_at,
            end,
            count: elements.count,
            min_at: elements.min_at,
            max_at: elements.max_at,
            filled: elements.filled,
            revision: session.times,
            is_final: end + self.out.lateness <= bound,
            result: self.aggregate.result(&elements.state),
        };
        let arrived = elements.arrived;
        session.is_new = false;
        session.times += 1;
        self.out.give(window, arrived, next);
    }
}

impl<T, A, K> OfKind<T, A::Out> for Sessions<T, A, K>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
{
    fn element(&mut self, element: Element<T>, next: &mut impl FnMut(Given<T, A::Out>)) {
        self.out.counts.elements += 1;
        let key = (self.key)(&element.value);
        let places =
            key.saturating_mul(self.places)..(key.saturating_add(1)).saturating_mul(self.places);
        if places.end > self.sessions.len() {
            self.out.counts.without_place += 1;
            return;
        }
        if !is_possible(element.at) {
            self.out.counts.impossible += 1;
            return;
        }
        let own = self.nearest(places.clone(), element.at);
        if own.is_none() && element.at + self.gap + self.out.lateness <= self.out.reached {
            self.out.late(element, next);
            return;
        }
        let free = || {
            places
                .clone()
                .find(|place| !self.sessions[*place].is_open())
        };
        let Some(place) = own.or_else(free) else {
            self.out.counts.no_room += 1;
            return;
        };
        self.out.counts.admitted += 1;
        let session = &mut self.sessions[place];
        session.elements.add(&self.aggregate, &element);
        session.is_new = true;
        self.unite(places, place);
        self.next_over = self.next_over.min(self.end(place));
        if self.is_eager && self.end(place) <= self.out.reached {
            self.say(place, key, self.out.reached, next);
        }
    }

    fn advance(&mut self, bound: MonoTime, next: &mut impl FnMut(Given<T, A::Out>)) {
        if bound < self.next_over {
            return;
        }
        let said_after = self.said_after();
        // BOUND: the sessions that are open.
        while let Some(place) = self.first_over(bound) {
            self.say(place, place / self.places, bound, next);
            if !self.is_eager {
                self.sessions[place].free(&self.aggregate);
            }
        }
        self.next_over = MonoTime::FAR;
        for session in &mut self.sessions {
            let end = session.elements.max_at + self.gap;
            if !session.is_open() {
                continue;
            }
            if end + self.out.lateness <= bound {
                session.free(&self.aggregate);
            } else {
                let due = if session.is_new {
                    said_after
                } else {
                    self.out.lateness
                };
                self.next_over = self.next_over.min(end + due);
            }
        }
    }

    fn out(&mut self) -> &mut Out {
        &mut self.out
    }
}
