//! Windows of a fixed length of time, one after the other or overlapping.
//!
//! An element touches one pane, whatever the number of windows it is in. A window `k` is
//! `[offset + k slide, offset + k slide + size)`, by Euclidean division, so that times before 0 are as good as others.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use crate::stream::aggregate::Aggregate;
use crate::stream::element::{Element, Event, Side};
use crate::stream::kept::{Kept, kept};
use crate::stream::operator::Operator;
use crate::stream::window::config::{Emission, Empty, LateRule, WindowConfig};
use crate::stream::window::pane::{Pane, PaneRing};
use crate::stream::window::parked::Parked;
use crate::stream::window::{Counts, Given, NO_BOUND, Out, Window, is_possible};
use crate::units::{MonoTime, Nanos};

/// Tumbling and sliding windows. See [the module](self).
#[derive(Clone, Debug)]
pub struct TimeWindows<T, A: Aggregate, K> {
    grid: Grid,
    lateness: Nanos,
    late: LateRule,
    emission: Emission,
    early_every: Nanos,
    key: K,
    aggregate: A,
    rings: Box<[PaneRing<A::State>]>,
    /// What was said of windows, `windows` of each key; none is kept where each is spoken of once.
    said: Box<[Said]>,
    windows: usize,
    /// For each key what goes on while nothing comes, if that is wanted.
    silent: Box<[Silent<A::Out>]>,
    empty: Empty,
    empty_max: u32,
    parked: Parked<T>,
    /// Panes before this one are not needed any more. None before the first bound.
    oldest: Option<i64>,
    /// Panes of a key, which is how far ahead of `oldest` there is room.
    panes: i64,
    /// A bound before this changes nothing but the bound.
    quiet_until: MonoTime,
    gathered: Pane<A::State>,
    out: Out,
}

/// Where windows and panes lie.
#[derive(Clone, Copy, Debug)]
struct Grid {
    size: Nanos,
    slide: Nanos,
    offset: Nanos,
    pane: Nanos,
    /// The pane found last begins here: most elements lie in the same one as the element before.
    last: (MonoTime, i64),
}

impl Grid {
    /// The last window that begins at or before an instant.
    fn window_at(&self, at: MonoTime) -> i64 {
        (at - self.offset).0.div_euclid(self.slide.0)
    }

    /// The first window that ends after an instant.
    fn first_ending_after(&self, at: MonoTime) -> i64 {
        self.window_at(at - self.size) + 1
    }

    fn start(&self, window: i64) -> MonoTime {
        MonoTime(
            self.offset
                .0
                .saturating_add(window.saturating_mul(self.slide.0)),
        )
    }

    fn end(&self, window: i64) -> MonoTime {
        self.start(window) + self.size
    }

    fn pane_at(&mut self, at: MonoTime) -> i64 {
        let (begin, pane) = self.last;
        let into = (at - begin).0;
        if (0..self.pane.0).contains(&into) {
            return pane;
        }
        let pane = (at - self.offset).0.div_euclid(self.pane.0);
        self.last = (MonoTime(self.offset.0 + pane * self.pane.0), pane);
        pane
    }

    /// The panes of a window: the first, and the first that is not in it any more.
    fn panes(&self, window: i64) -> (i64, i64) {
        let first = window.saturating_mul(self.slide.0 / self.pane.0);
        (first, first.saturating_add(self.size.0 / self.pane.0))
    }

    /// The first window that has this pane in it.
    fn first_with(&self, pane: i64) -> i64 {
        self.first_ending_after(MonoTime(self.offset.0 + pane * self.pane.0))
    }
}

/// What was said of a window so far.
#[derive(Clone, Copy, Debug)]
struct Said {
    window: i64,
    times: u32,
    /// How many elements were in it when something was said last.
    count: u64,
}

/// A key of which empty windows are told.
#[derive(Clone, Debug)]
struct Silent<R> {
    /// Empty windows in a row; none before the first result.
    windows: Option<u32>,
    last: Option<R>,
}

kept!(impl [] Said { window, times, count });
kept!(impl [R: Kept + Default] Silent<R> { windows, last });
kept!(impl [T: Kept + Default, A: Aggregate<State: Kept, Out: Kept + Default>, K] TimeWindows<T, A, K> {
    rings, said, silent, parked, oldest, quiet_until, out,
});

impl<T: Copy, A: Aggregate<In = T>, K> TimeWindows<T, A, K> {
    /// `config` was checked.
    pub(super) fn new(config: &WindowConfig, key: K, aggregate: A) -> Self {
        let grid = Grid {
            size: config.size,
            slide: config.slide,
            offset: config.offset,
            pane: config.pane(),
            last: (MonoTime(config.offset.0), 0),
        };
        let nothing = aggregate.empty();
        let keys = config.keys as usize;
        let panes = config.panes();
        let (first, end) = grid.panes(0);
        let in_window = usize::try_from(end - first).unwrap_or(usize::MAX);
        let ring = PaneRing::new(panes, in_window, &nothing);
        let windows = match config.emission {
            Emission::Final => 0,
            Emission::Eager | Emission::Early => config.windows(),
        };
        let said = Said {
            window: i64::MIN,
            times: 0,
            count: 0,
        };
        let silent_keys = if config.empty == Empty::Skip { 0 } else { keys };
        let silent = (0..silent_keys).map(|_| Silent {
            windows: None,
            last: None,
        });
        Self {
            grid,
            lateness: config.lateness,
            late: config.late,
            emission: config.emission,
            early_every: config.early_every,
            key,
            aggregate,
            rings: vec![ring; keys].into_boxed_slice(),
            said: vec![said; windows * keys].into_boxed_slice(),
            windows,
            silent: silent.collect(),
            empty: config.empty,
            empty_max: config.empty_max,
            parked: Parked::new(config.buffer as usize),
            oldest: None,
            panes: i64::try_from(panes).unwrap_or(i64::MAX),
            quiet_until: NO_BOUND,
            gathered: Pane::empty(nothing),
            out: Out::new(),
        }
    }

    pub fn counts(&self) -> Counts {
        self.out.counts
    }
}

impl<T: Copy, A, K> TimeWindows<T, A, K>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
{
    fn element(&mut self, element: Element<T>, next: &mut impl FnMut(Given<T, A::Out>)) {
        self.out.counts.elements += 1;
        let key = (self.key)(&element.value);
        if key >= self.rings.len() {
            self.out.counts.without_place += 1;
        } else if !is_possible(element.at) {
            self.out.counts.impossible += 1;
        } else if self.is_late(element.at) {
            self.out.late(element, next);
        } else if self.is_in_gap(element.at) {
            self.out.counts.in_gap += 1;
        } else if self.admit(key, element) {
            self.out.counts.admitted += 1;
            if self.emission == Emission::Eager && element.at < self.out.reached {
                self.revise(key, element.at, next);
            }
        } else {
            self.out.counts.no_room += 1;
        }
    }

    fn is_late(&self, at: MonoTime) -> bool {
        let reached = self.out.reached;
        // A window that an element on time is in is not over.
        if at >= reached || at + self.lateness >= reached {
            return false;
        }
        let last = self.grid.window_at(at);
        let is_in_it = at < self.grid.end(last);
        self.late == LateRule::Element
            || !is_in_it
            || self.grid.end(last) + self.lateness <= reached
    }

    fn is_in_gap(&self, at: MonoTime) -> bool {
        self.grid.slide > self.grid.size && at >= self.grid.end(self.grid.window_at(at))
    }

    /// Puts an element into its pane, or aside until there is one. False if there is no room.
    fn admit(&mut self, key: usize, element: Element<T>) -> bool {
        let pane = self.grid.pane_at(element.at);
        let ring = &mut self.rings[key];
        let is_ahead = match (self.oldest, ring.used()) {
            (Some(oldest), _) => pane >= oldest.saturating_add(self.panes),
            (None, Some((_, last))) => pane > last && !ring.has_room_for(pane),
            (None, None) => false,
        };
        if is_ahead {
            self.out.counts.parked += 1;
            return self.parked.put(key, element);
        }
        let has_room = ring.has_room_for(pane);
        if has_room {
            ring.add(pane, &self.aggregate, &element);
        }
        has_room
    }

    /// Goes as far as the bound in steps that leave room for what is parked.
    fn advance(&mut self, bound: MonoTime, next: &mut impl FnMut(Given<T, A::Out>)) {
        // BOUND: each step but the last takes at least one element from those parked.
        loop {
            let step = self
                .parked
                .first()
                .map_or(bound, |(_, parked)| parked.at.min(bound));
            if step < bound || step >= self.quiet_until {
                self.fire(step, bound, next);
                self.unpark();
            }
            self.out.reached = step;
            if step == bound {
                break;
            }
        }
    }

    fn unpark(&mut self) {
        // BOUND: the number of elements parked.
        while let Some((key, element)) = self.parked.first().copied() {
            let pane = self.grid.pane_at(element.at);
            let ring = &mut self.rings[key];
            let is_ahead = self
                .oldest
                .is_none_or(|oldest| pane >= oldest.saturating_add(self.panes));
            if is_ahead {
                break;
            }
            self.parked.take_first();
            if ring.has_room_for(pane) {
                ring.add(pane, &self.aggregate, &element);
            } else {
                self.out.counts.admitted -= 1;
                self.out.counts.no_room += 1;
            }
        }
    }

    /// Gives out what is over between the bound so far and `step`, on the way to `bound`, and lets go of closed panes.
    fn fire(&mut self, step: MonoTime, bound: MonoTime, next: &mut impl FnMut(Given<T, A::Out>)) {
        let before = self.out.reached;
        let after_end = match self.emission {
            Emission::Eager => Nanos::ZERO,
            Emission::Final | Emission::Early => self.lateness,
        };
        let mut window = match before {
            NO_BOUND => i64::MIN,
            before => self.grid.first_ending_after(before - after_end),
        };
        let mut last = self.grid.first_ending_after(step - after_end) - 1;
        if step == MonoTime::FAR {
            // Windows are empty from there to the end of time.
            last = last.min(self.last_used().unwrap_or(i64::MIN));
        }
        // BOUND: a window's length of panes behind each element, and `empty_max` windows.
        while let Some(due) = self.next_due(window).filter(|due| *due <= last) {
            for key in 0..self.rings.len() {
                self.close(key, due, bound, next);
            }
            window = due + 1;
            // What no window needs any more goes at once: then the next one with an element is found without a search.
            let closed = self.grid.end(due) + after_end - self.lateness;
            self.forget(self.grid.panes(self.grid.first_ending_after(closed)).0);
        }
        if self.emission == Emission::Early && step == bound && step != MonoTime::FAR {
            self.partial(before, step, next);
        }
        let open = self.grid.first_ending_after(step - self.lateness);
        let oldest = self.grid.panes(open).0;
        self.oldest = Some(oldest);
        self.forget(oldest);
        self.quiet_until = match self.emission {
            Emission::Early => step,
            _ => {
                let over = self.grid.first_ending_after(step - after_end);
                let closed = self.grid.end(open) + self.lateness;
                closed.min(self.grid.end(over) + after_end)
            }
        };
    }

    fn forget(&mut self, oldest: i64) {
        for ring in &mut self.rings {
            if ring.used().is_some_and(|(first, _)| first < oldest) {
                ring.forget_before(oldest);
            }
        }
    }

    /// The first window from here on of which something is to be said.
    fn next_due(&self, window: i64) -> Option<i64> {
        let is_told = |silent: &Silent<A::Out>| silent.windows.is_some_and(|n| n < self.empty_max);
        if window > i64::MIN && self.silent.iter().any(is_told) {
            return Some(window);
        }
        let used = self.rings.iter().filter_map(PaneRing::used);
        // An earlier pane may be in use still, for its later windows or for late elements.
        used.map(|(first, _)| self.grid.first_with(first).max(window))
            .min()
    }

    /// The last window with an element in it.
    fn last_used(&self) -> Option<i64> {
        let used = self.rings.iter().filter_map(PaneRing::used);
        let last = used.map(|(_, last)| last).max()?;
        Some(last.div_euclid(self.grid.slide.0 / self.grid.pane.0))
    }

    /// A window is over: gives out its result.
    fn close(
        &mut self,
        key: usize,
        window: i64,
        bound: MonoTime,
        next: &mut impl FnMut(Given<T, A::Out>),
    ) {
        let is_final = self.grid.end(window) + self.lateness <= bound;
        if self.gather(key, window) {
            let result = self.aggregate.result(&self.gathered.state);
            if let Some(silent) = self.silent.get_mut(key) {
                silent.windows = Some(0);
                if self.empty == Empty::Hold {
                    silent.last = Some(result.clone());
                }
            }
            self.say(key, window, is_final, result, next);
        } else if let Some(silent) = self.silent.get_mut(key)
            && let Some(windows) = silent.windows.as_mut().filter(|n| **n < self.empty_max)
        {
            *windows += 1;
            let held = silent.last.clone();
            let result = held.unwrap_or_else(|| self.aggregate.result(&self.gathered.state));
            self.say(key, window, is_final, result, next);
        }
    }

    /// Puts a window together. False if it is empty.
    fn gather(&mut self, key: usize, window: i64) -> bool {
        let (first, end) = self.grid.panes(window);
        self.rings[key].collect(first, end, &self.aggregate, &mut self.gathered);
        self.gathered.count > 0
    }

    /// A result of the window that was put together.
    fn say(
        &mut self,
        key: usize,
        window: i64,
        is_final: bool,
        result: A::Out,
        next: &mut impl FnMut(Given<T, A::Out>),
    ) {
        let start = self.grid.start(window);
        let (count, is_empty) = (self.gathered.count, self.gathered.count == 0);
        let mut revision = 0;
        if let Some(said) = self.said(key, window) {
            revision = said.times;
            said.times += 1;
            said.count = count;
        }
        let window = Window {
            key: u32::try_from(key).unwrap_or(u32::MAX),
            start,
            end: start + self.grid.size,
            count,
            min_at: if is_empty {
                start
            } else {
                self.gathered.min_at
            },
            max_at: if is_empty {
                start
            } else {
                self.gathered.max_at
            },
            filled: self.gathered.filled,
            revision,
            is_final,
            result,
        };
        let arrived = if is_empty {
            start
        } else {
            self.gathered.arrived
        };
        self.out.give(window, arrived, next);
    }

    /// What was said of a window; as good as new if its place was another one's.
    fn said(&mut self, key: usize, window: i64) -> Option<&mut Said> {
        let windows = i64::try_from(self.windows).ok().filter(|n| *n > 0)?;
        let place = usize::try_from(window.rem_euclid(windows)).ok()?;
        let said = self.said.get_mut(key * self.windows + place)?;
        if said.window != window {
            *said = Said {
                window,
                times: 0,
                count: 0,
            };
        }
        Some(said)
    }

    /// A late element came: says anew what was said of its windows that are over.
    fn revise(&mut self, key: usize, at: MonoTime, next: &mut impl FnMut(Given<T, A::Out>)) {
        let reached = self.out.reached;
        let open = self.grid.first_ending_after(reached - self.lateness);
        let first = self.grid.first_ending_after(at).max(open);
        // BOUND: the windows that an instant is in.
        for window in first..=self.grid.window_at(at) {
            if self.grid.end(window) > reached {
                break;
            }
            self.gather(key, window);
            let result = self.aggregate.result(&self.gathered.state);
            self.say(key, window, false, result, next);
        }
    }

    /// Results of windows that are not over, where the bound has passed a multiple of `early_every` after their start.
    fn partial(
        &mut self,
        before: MonoTime,
        reached: MonoTime,
        next: &mut impl FnMut(Given<T, A::Out>),
    ) {
        let first = self.grid.first_ending_after(reached - self.lateness);
        let last = self.grid.window_at(reached - Nanos(1));
        let every = self.early_every.0;
        // BOUND: the windows that are open, of each key.
        for window in first..=last {
            let start = self.grid.start(window);
            let ticks = |at: MonoTime| (at - start).0.clamp(0, self.grid.size.0 - 1) / every;
            if ticks(reached) <= ticks(before) {
                continue;
            }
            for key in 0..self.rings.len() {
                let is_new = self.gather(key, window) && {
                    let count = self.gathered.count;
                    self.said(key, window)
                        .is_some_and(|said| said.count != count)
                };
                if is_new {
                    let result = self.aggregate.result(&self.gathered.state);
                    self.say(key, window, false, result, next);
                }
            }
        }
    }
}

impl<T: Copy, A, K> Operator for TimeWindows<T, A, K>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
{
    type In = Event<T>;
    type Out = Given<T, A::Out>;

    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Self::Out)) {
        match event {
            Event::Element(element) => self.element(element, next),
            Event::Bound(bound) if bound > self.out.reached => {
                self.advance(bound, next);
                self.out.pass_bound(self.lateness, next);
            }
            Event::Bound(_) => {}
            Event::Idle => {
                next(Side::Left(Event::Idle));
                next(Side::Right(Event::Idle));
            }
        }
    }
}
