//! Windows of a fixed length of time, one after the other or overlapping.
//!
//! An element touches one pane, whatever the number of windows it is in.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use self::grid::Grid;
use self::tell::{Said, Silent};
use crate::stream::aggregate::Aggregate;
use crate::stream::element::Element;
use crate::stream::kept::{Kept, kept};
use crate::stream::window::config::{Emission, Empty, LateRule, WindowConfig};
use crate::stream::window::pane::{Pane, PaneRing};
use crate::stream::window::parked::Parked;
use crate::stream::window::{Counts, Given, NO_BOUND, OfKind, Out, is_possible};
use crate::units::{MonoTime, Nanos};

// Where windows and their panes lie.
mod grid;

// What is said of them.
mod tell;

/// Tumbling and sliding windows. See [the module](self).
#[derive(Clone, Debug)]
pub struct TimeWindows<T, A: Aggregate, K> {
    grid: Grid,
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
    /// The first window that was not over when something was last given out.
    over: i64,
    /// A bound before this changes nothing but the bound.
    quiet_until: MonoTime,
    gathered: Pane<A::State>,
    out: Out,
}

kept!(impl [T: Kept + Default, A: Aggregate<State: Kept, Out: Kept + Default>, K] TimeWindows<T, A, K> {
    rings, said, silent, parked, oldest, quiet_until, out,
});

impl<T: Copy, A: Aggregate<In = T>, K> TimeWindows<T, A, K> {
    /// `config` was checked.
    pub(super) fn new(config: &WindowConfig, key: K, aggregate: A) -> Self {
        let grid = Grid::new(config);
        let nothing = aggregate.empty();
        let keys = config.keys as usize;
        let panes = config.panes();
        let ring = PaneRing::new(panes, grid.panes_in_window(), &nothing);
        let windows = match config.emission {
            Emission::Final => 0,
            Emission::Eager | Emission::Early => config.windows(),
        };
        let silent_keys = if config.empty == Empty::Skip { 0 } else { keys };
        Self {
            grid,
            late: config.late,
            emission: config.emission,
            early_every: config.early_every,
            key,
            aggregate,
            rings: vec![ring; keys].into_boxed_slice(),
            said: vec![Said::NOTHING; windows * keys].into_boxed_slice(),
            windows,
            silent: (0..silent_keys).map(|_| Silent::default()).collect(),
            empty: config.empty,
            empty_max: config.empty_max,
            parked: Parked::new(config.buffer as usize),
            oldest: None,
            panes: i64::try_from(panes).unwrap_or(i64::MAX),
            over: 0,
            quiet_until: NO_BOUND,
            gathered: Pane::empty(nothing),
            out: Out::new(config.lateness),
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
    #[inline]
    fn is_late(&self, at: MonoTime) -> bool {
        let reached = self.out.reached;
        // A window that an element on time is in is not over.
        if at >= reached || at + self.out.lateness >= reached {
            return false;
        }
        let last = self.grid.window_at(at);
        let is_in_it = at < self.grid.end(last);
        self.late == LateRule::Element
            || !is_in_it
            || self.grid.end(last) + self.out.lateness <= reached
    }

    #[inline]
    fn is_in_gap(&self, at: MonoTime) -> bool {
        self.grid.slide > self.grid.size && at >= self.grid.end(self.grid.window_at(at))
    }

    /// Puts an element into its pane, or aside until there is one. False if there is no room.
    #[inline]
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

    /// In steps that leave room for what is parked.
    #[inline(never)]
    fn advance_in_steps(&mut self, bound: MonoTime, next: &mut impl FnMut(Given<T, A::Out>)) {
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
            Emission::Final | Emission::Early => self.out.lateness,
        };
        let mut window = match before {
            NO_BOUND => i64::MIN,
            before => self.grid.first_ending_after(before - after_end, self.over),
        };
        let over = self.grid.first_ending_after(step - after_end, self.over);
        let mut last = over - 1;
        if step == MonoTime::FAR {
            // Windows are empty from there to the end of time.
            last = last.min(self.last_used().unwrap_or(i64::MIN));
        }
        // BOUND: a window's length of panes behind each element, and `empty_max` windows.
        while window <= last
            && let Some(due) = self.next_due(window).filter(|due| *due <= last)
        {
            for key in 0..self.rings.len() {
                self.close(key, due, bound, next);
            }
            window = due + 1;
            // What no window needs any more goes at once: then the next one with an element is found without a search.
            let closed = self.grid.end(due) + after_end - self.out.lateness;
            let open = self.grid.first_ending_after(closed, window);
            self.forget(self.grid.panes(open).0);
        }
        if self.emission == Emission::Early && step == bound && step != MonoTime::FAR {
            self.partial(before, step, next);
        }
        let open = self.grid.first_ending_after(step - self.out.lateness, over);
        let oldest = self.grid.panes(open).0;
        self.over = over;
        self.oldest = Some(oldest);
        self.forget(oldest);
        self.quiet_until = match self.emission {
            Emission::Early => step,
            _ => {
                let closed = self.grid.end(open) + self.out.lateness;
                closed.min(self.grid.end(over) + after_end)
            }
        };
    }

    fn forget(&mut self, oldest: i64) {
        for ring in &mut self.rings {
            if ring.used().is_some_and(|(first, _)| first < oldest) {
                ring.forget_before(oldest, &self.aggregate);
            }
        }
    }

    /// The first window from here on of which something is to be said.
    fn next_due(&self, window: i64) -> Option<i64> {
        if window > i64::MIN && self.silent.iter().any(|key| key.goes_on(self.empty_max)) {
            return Some(window);
        }
        let used = self.rings.iter().filter_map(PaneRing::used);
        // An earlier pane may be in use still, for its later windows or for late elements.
        used.map(|(first, _)| self.grid.first_with(first, window))
            .min()
    }

    /// The last window with an element in it.
    fn last_used(&self) -> Option<i64> {
        let used = self.rings.iter().filter_map(PaneRing::used);
        let last = used.map(|(_, last)| last).max()?;
        Some(self.grid.last_with(last))
    }
}

impl<T: Copy, A, K> OfKind<T, A::Out> for TimeWindows<T, A, K>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
{
    #[inline]
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

    /// Goes as far as the bound; most bounds set nothing free.
    #[inline]
    fn advance(&mut self, bound: MonoTime, next: &mut impl FnMut(Given<T, A::Out>)) {
        if bound < self.quiet_until && self.parked.is_empty() {
            self.out.reached = bound;
            return;
        }
        self.advance_in_steps(bound, next);
    }

    fn out(&mut self) -> &mut Out {
        &mut self.out
    }
}
