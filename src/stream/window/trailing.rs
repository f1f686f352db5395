//! Trailing windows: for each element, or each that triggers, what came within so long before it.
//!
//! The window of an element at `t` is `[t - size + 1 ns, t + delay]`, with all elements of its key in it, also others at
//! `t`. There is one result for each trigger, by event time, when nothing more can come for it. An element that lies
//! before the bound by more than the lateness is late.
//!
//! Elements enter the aggregate in order of event time and leave it in the same order. If it is invertible they are taken
//! out again; otherwise there are two stacks (the one that is left from holds what each element and all after it come to),
//! which costs three merges an element on average, and as many as there are elements in the window at worst.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use std::collections::VecDeque;

use crate::state::bytes::Fields;
use crate::stream::aggregate::Aggregate;
use crate::stream::element::{Element, Origin};
use crate::stream::kept::Kept;
use crate::stream::window::config::WindowConfig;
use crate::stream::window::{Counts, Given, OfKind, Out, Window, is_possible};
use crate::units::{MonoTime, Nanos};

/// See [the module](self).
#[derive(Clone, Debug)]
pub struct Trailing<T, A: Aggregate, K, P> {
    size: Nanos,
    delay: Nanos,
    key: K,
    trigger: P,
    aggregate: A,
    tracks: Box<[Track<T, A::State>]>,
    /// No result is due before the bound reaches this.
    next_due: MonoTime,
    out: Out,
}

/// The elements of one key, and what some of them come to.
#[derive(Debug)]
struct Track<T, S> {
    /// By event time, each with whether it triggers.
    elements: VecDeque<(Element<T>, bool)>,
    capacity: usize,
    /// The first of them that is not in the aggregate.
    entered: usize,
    /// The first that may still trigger.
    pending: usize,
    filled: u64,
    /// For each of the first elements what it and all after it on this stack come to; the earliest is the last. Empty if
    /// the aggregate is invertible.
    leaving: Vec<S>,
    /// What the elements behind come to.
    coming: S,
    gathered: S,
}

/// A copy has the same room: a queue's own would have only what it needs just now.
impl<T: Clone, S: Clone> Clone for Track<T, S> {
    fn clone(&self) -> Self {
        let mut elements = VecDeque::with_capacity(self.capacity);
        elements.extend(self.elements.iter().cloned());
        let mut leaving = Vec::with_capacity(self.leaving.capacity());
        leaving.extend_from_slice(&self.leaving);
        Self {
            elements,
            capacity: self.capacity,
            entered: self.entered,
            pending: self.pending,
            filled: self.filled,
            leaving,
            coming: self.coming.clone(),
            gathered: self.gathered.clone(),
        }
    }
}

impl<T: Copy, S: Clone> Track<T, S> {
    fn new(capacity: usize, stack: usize, nothing: &S) -> Self {
        Self {
            elements: VecDeque::with_capacity(capacity),
            capacity,
            entered: 0,
            pending: 0,
            filled: 0,
            leaving: Vec::with_capacity(stack),
            coming: nothing.clone(),
            gathered: nothing.clone(),
        }
    }

    /// False if there is no room.
    fn put(&mut self, element: Element<T>, triggers: bool) -> bool {
        if self.elements.len() == self.capacity {
            return false;
        }
        // BOUND: the capacity; most come in order and go to the end.
        let place = self
            .elements
            .partition_point(|(kept, _)| kept.rank() <= element.rank());
        debug_assert!(place >= self.entered, "what entered was complete");
        self.elements.insert(place, (element, triggers));
        // An element at the instant of one that triggered is late, so what was passed lies before.
        self.pending = self.pending.min(place);
        true
    }

    /// The next element that triggers.
    fn next_trigger(&mut self) -> Option<Element<T>> {
        // BOUND: each element is passed once, and again when one comes before it.
        while let Some((element, triggers)) = self.elements.get(self.pending) {
            if *triggers {
                return Some(*element);
            }
            self.pending += 1;
        }
        None
    }

    /// Lets elements up to an instant into the aggregate.
    fn enter<A: Aggregate<In = T, State = S>>(&mut self, last: MonoTime, aggregate: &A) {
        // BOUND: the capacity; each element enters once.
        while let Some((element, _)) = self.elements.get(self.entered)
            && element.at <= last
        {
            aggregate.add(&mut self.coming, element);
            self.filled += u64::from(element.origin == Origin::Filled);
            self.entered += 1;
        }
    }

    /// Lets go of the elements before an instant.
    fn leave<A: Aggregate<In = T, State = S>>(&mut self, first: MonoTime, aggregate: &A) {
        // BOUND: the capacity; each element leaves once.
        while let Some((element, _)) = self.elements.front().copied()
            && element.at < first
        {
            if self.entered > 0 {
                self.take_out(&element, aggregate);
                self.entered -= 1;
                self.filled -= u64::from(element.origin == Origin::Filled);
            }
            self.elements.pop_front();
            self.pending = self.pending.saturating_sub(1);
        }
    }

    /// Takes the earliest element out of the aggregate.
    fn take_out<A: Aggregate<In = T, State = S>>(&mut self, element: &Element<T>, aggregate: &A) {
        if A::INVERTIBLE {
            aggregate.remove(&mut self.coming, element);
            return;
        }
        if self.leaving.is_empty() {
            // BOUND: the capacity. All that entered change stacks, the last first.
            self.stack(self.entered, aggregate);
            aggregate.clear(&mut self.coming);
        }
        self.leaving.pop();
    }

    /// Puts the first elements on the stack that is left from.
    fn stack<A: Aggregate<In = T, State = S>>(&mut self, count: usize, aggregate: &A) {
        let mut behind = aggregate.empty();
        for (element, _) in self.elements.range(..count).rev() {
            let mut one = aggregate.empty();
            aggregate.add(&mut one, element);
            aggregate.merge(&mut one, &behind);
            self.leaving.push(one.clone());
            behind = one;
        }
    }

    /// What the elements that entered come to.
    fn result<A: Aggregate<In = T, State = S>>(&mut self, aggregate: &A) -> A::Out {
        match self.leaving.last() {
            None => aggregate.result(&self.coming),
            Some(earlier) => {
                self.gathered.clone_from(earlier);
                aggregate.merge(&mut self.gathered, &self.coming);
                aggregate.result(&self.gathered)
            }
        }
    }
}

/// The stack that is left from is not written down but made anew from its elements.
impl<T, A, K, P> Kept for Trailing<T, A, K, P>
where
    T: Copy + Default + Kept,
    A: Aggregate<In = T, State: Kept>,
{
    fn keep(&self, out: &mut Vec<u8>) {
        for track in &self.tracks {
            track.elements.keep(out);
            track.entered.keep(out);
            track.pending.keep(out);
            track.filled.keep(out);
            track.leaving.len().keep(out);
            track.coming.keep(out);
        }
        self.next_due.keep(out);
        self.out.keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        for track in &mut self.tracks {
            let mut leaving = 0;
            track.elements.put_back(from)?;
            track.entered.put_back(from)?;
            track.pending.put_back(from)?;
            track.filled.put_back(from)?;
            leaving.put_back(from)?;
            track.coming.put_back(from)?;
            if track.entered > track.elements.len() || leaving > track.entered {
                return None;
            }
            track.leaving.clear();
            track.stack(leaving, &self.aggregate);
        }
        self.next_due.put_back(from)?;
        self.out.put_back(from)
    }
}

impl<T: Copy, A: Aggregate<In = T>, K, P> Trailing<T, A, K, P> {
    /// `config` was checked.
    pub(super) fn new(config: &WindowConfig, key: K, aggregate: A, trigger: P) -> Self {
        let capacity = config.buffer as usize;
        let stack = if A::INVERTIBLE { 0 } else { capacity };
        let nothing = aggregate.empty();
        // A clone of a vector has no room to spare, so each is made.
        let tracks = (0..config.keys).map(|_| Track::new(capacity, stack, &nothing));
        Self {
            size: config.size,
            delay: config.delay,
            key,
            trigger,
            aggregate,
            tracks: tracks.collect(),
            next_due: MonoTime::FAR,
            out: Out::new(config.lateness),
        }
    }

    pub fn counts(&self) -> Counts {
        self.out.counts
    }

    /// When the result of a trigger is due.
    fn due(&self, trigger: MonoTime) -> MonoTime {
        trigger + self.delay + Nanos(1) + self.out.lateness
    }
}

impl<T: Copy, A, K, P> Trailing<T, A, K, P>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
    P: Fn(&T) -> bool,
{
    /// The trigger that comes first by event time and key.
    fn first_pending(&mut self) -> Option<(Element<T>, usize)> {
        let tracks = self.tracks.iter_mut().enumerate();
        let pending = tracks.filter_map(|(key, track)| Some((track.next_trigger()?, key)));
        // BOUND: the number of keys.
        pending.min_by_key(|(trigger, key)| (trigger.at, *key))
    }

    fn say(&mut self, key: usize, trigger: &Element<T>, next: &mut impl FnMut(Given<T, A::Out>)) {
        let (start, last) = (trigger.at - self.size + Nanos(1), trigger.at + self.delay);
        let track = &mut self.tracks[key];
        track.pending += 1;
        track.leave(start, &self.aggregate);
        track.enter(last, &self.aggregate);
        let of = |index: usize| track.elements.get(index).map_or(trigger.at, |(e, _)| e.at);
        let window = Window {
            key: u32::try_from(key).unwrap_or(u32::MAX),
            start,
            end: last + Nanos(1),
            count: track.entered as u64,
            min_at: of(0),
            max_at: of(track.entered.saturating_sub(1)),
            filled: track.filled,
            revision: 0,
            is_final: true,
            result: track.result(&self.aggregate),
        };
        self.out.give(window, trigger.arrived, next);
    }
}

impl<T: Copy, A, K, P> OfKind<T, A::Out> for Trailing<T, A, K, P>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
    P: Fn(&T) -> bool,
{
    fn element(&mut self, element: Element<T>, next: &mut impl FnMut(Given<T, A::Out>)) {
        self.out.counts.elements += 1;
        let Some(track) = self.tracks.get_mut((self.key)(&element.value)) else {
            self.out.counts.without_place += 1;
            return;
        };
        if !is_possible(element.at) {
            self.out.counts.impossible += 1;
            return;
        }
        if element.at + self.out.lateness < self.out.reached {
            self.out.late(element, next);
            return;
        }
        let triggers = (self.trigger)(&element.value);
        if !track.put(element, triggers) {
            self.out.counts.no_room += 1;
            return;
        }
        self.out.counts.admitted += 1;
        if triggers {
            self.next_due = self.next_due.min(self.due(element.at));
        }
    }

    fn advance(&mut self, bound: MonoTime, next: &mut impl FnMut(Given<T, A::Out>)) {
        if bound >= self.next_due {
            // BOUND: the elements that trigger.
            while let Some((trigger, key)) = self.first_pending()
                && self.due(trigger.at) <= bound
            {
                self.say(key, &trigger, next);
            }
            let first = self.first_pending();
            self.next_due = first.map_or(MonoTime::FAR, |(trigger, _)| self.due(trigger.at));
        }
        // Whoever triggers from here on does not look back further than this.
        let oldest = bound - self.out.lateness - self.size + Nanos(1);
        for track in &mut self.tracks {
            let pending = track.next_trigger();
            let first = pending.map_or(oldest, |trigger| {
                oldest.min(trigger.at - self.size + Nanos(1))
            });
            track.leave(first, &self.aggregate);
        }
    }

    fn out(&mut self) -> &mut Out {
        &mut self.out
    }
}
