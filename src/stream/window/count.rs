//! Windows of so many elements: of each key the last `count`, after every `every` of them.
//!
//! Elements are counted as they come; who wants them by event time puts an
//! [`InOrder`](crate::stream::operators::order::InOrder) before. Those that lie before the bound by more than the lateness
//! are late. Flink's count windows are these with `partial`, except that it forgets what is left at the end.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use crate::stream::aggregate::Aggregate;
use crate::stream::element::Element;
use crate::stream::kept::{Kept, kept};
use crate::stream::window::config::WindowConfig;
use crate::stream::window::pane::{Pane, PaneRing};
use crate::stream::window::{Counts, Given, OfKind, Out, Window, is_possible};
use crate::units::{MonoTime, Nanos};

/// See [the module](self).
#[derive(Clone, Debug)]
pub struct CountWindows<T, A: Aggregate, K> {
    count: i64,
    every: i64,
    /// Elements of a pane: the greatest common divisor of both.
    pane: i64,
    partial: bool,
    key: K,
    aggregate: A,
    rings: Box<[PaneRing<A::State>]>,
    /// Elements of each key so far.
    seen: Box<[i64]>,
    gathered: Pane<A::State>,
    out: Out,
    value: std::marker::PhantomData<fn(T)>,
}

kept!(impl [T, A: Aggregate<State: Kept>, K] CountWindows<T, A, K> { rings, seen, out });

impl<T, A: Aggregate<In = T>, K> CountWindows<T, A, K> {
    /// `config` was checked.
    pub(super) fn new(config: &WindowConfig, key: K, aggregate: A) -> Self {
        let (count, every) = (i64::from(config.count), i64::from(config.every));
        let as_time = WindowConfig::sliding(Nanos(count), Nanos(every));
        let pane = as_time.pane().0;
        let in_window = usize::try_from(count / pane).unwrap_or(usize::MAX);
        let nothing = aggregate.empty();
        let keys = config.keys as usize;
        Self {
            count,
            every,
            pane,
            partial: config.partial,
            key,
            aggregate,
            rings: vec![PaneRing::new(in_window + 1, in_window, &nothing); keys].into_boxed_slice(),
            seen: vec![0; keys].into_boxed_slice(),
            gathered: Pane::empty(nothing),
            out: Out::new(config.lateness),
            value: std::marker::PhantomData,
        }
    }

    pub fn counts(&self) -> Counts {
        self.out.counts
    }
}

impl<T, A, K> CountWindows<T, A, K>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
{
    /// The window of elements up to number `end`.
    fn say(&mut self, key: usize, end: i64, next: &mut impl FnMut(Given<T, A::Out>)) {
        let first = (end - self.count).max(0) / self.pane;
        let behind = end.div_euclid(self.pane);
        self.rings[key].collect(first, behind, &self.aggregate, &mut self.gathered);
        let gathered = &self.gathered;
        let window = Window {
            key: u32::try_from(key).unwrap_or(u32::MAX),
            start: gathered.min_at,
            end: gathered.max_at + Nanos(1),
            count: gathered.count,
            min_at: gathered.min_at,
            max_at: gathered.max_at,
            filled: gathered.filled,
            revision: 0,
            is_final: true,
            result: self.aggregate.result(&gathered.state),
        };
        let arrived = gathered.arrived;
        self.out.give(window, arrived, next);
    }

    /// What came after each key's last window, which is not as many as it should be.
    fn rest(&mut self, next: &mut impl FnMut(Given<T, A::Out>)) {
        for key in 0..self.rings.len() {
            let seen = self.seen[key];
            if self.partial && seen % self.every != 0 {
                self.say(key, (seen / self.every + 1) * self.every, next);
            }
        }
    }
}

impl<T, A, K> OfKind<T, A::Out> for CountWindows<T, A, K>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
{
    fn element(&mut self, element: Element<T>, next: &mut impl FnMut(Given<T, A::Out>)) {
        self.out.counts.elements += 1;
        let key = (self.key)(&element.value);
        let Some(seen) = self.seen.get_mut(key) else {
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
        self.out.counts.admitted += 1;
        self.rings[key].add(*seen / self.pane, &self.aggregate, &element);
        *seen += 1;
        if *seen % self.every == 0 {
            let end = *seen;
            if end >= self.count || self.partial {
                self.say(key, end, next);
            }
            // The next window begins there.
            let begin = (end + self.every - self.count) / self.pane;
            self.rings[key].forget_before(begin, &self.aggregate);
        }
    }

    fn advance(&mut self, bound: MonoTime, next: &mut impl FnMut(Given<T, A::Out>)) {
        if bound == MonoTime::FAR {
            self.rest(next);
        }
    }

    fn out(&mut self) -> &mut Out {
        &mut self.out
    }
}
