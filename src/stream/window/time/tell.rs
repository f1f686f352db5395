//! What is said of windows of time: once they are over, again when a late element came, before they are over, and while
//! nothing comes.
//!
//! Thread: whichever runs the stream. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use super::TimeWindows;
use crate::stream::aggregate::Aggregate;
use crate::stream::kept::{Kept, kept};
use crate::stream::window::config::Empty;
use crate::stream::window::{Given, Window};
use crate::units::{MonoTime, Nanos};

/// What was said of a window so far.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    window: i64,
    times: u32,
    /// How many elements were in it when something was said last.
    count: u64,
}

impl Said {
    pub const NOTHING: Self = Self {
        window: i64::MIN,
        times: 0,
        count: 0,
    };
}

/// A key of which empty windows are told.
#[derive(Clone, Debug)]
pub struct Silent<R> {
    /// Empty windows in a row; none before the first result.
    windows: Option<u32>,
    last: Option<R>,
}

kept!(impl [] Said { window, times, count });
kept!(impl [R: Kept + Default] Silent<R> { windows, last });

impl<R> Default for Silent<R> {
    fn default() -> Self {
        Self {
            windows: None,
            last: None,
        }
    }
}

impl<R> Silent<R> {
    /// Something was said of it, and its next window is told even if it is empty.
    pub fn goes_on(&self, at_most: u32) -> bool {
        self.windows.is_some_and(|windows| windows < at_most)
    }
}

impl<T: Copy, A, K> TimeWindows<T, A, K>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
{
    /// A window is over: gives out its result.
    pub(super) fn close(
        &mut self,
        key: usize,
        window: i64,
        bound: MonoTime,
        next: &mut impl FnMut(Given<T, A::Out>),
    ) {
        let is_final = self.grid.end(window) + self.out.lateness <= bound;
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
    pub(super) fn gather(&mut self, key: usize, window: i64) -> bool {
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
    pub(super) fn revise(
        &mut self,
        key: usize,
        at: MonoTime,
        next: &mut impl FnMut(Given<T, A::Out>),
    ) {
        let reached = self.out.reached;
        let open = self
            .grid
            .first_ending_after(reached - self.out.lateness, self.over);
        let first = self.grid.first_ending_after(at, open).max(open);
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
    pub(super) fn partial(
        &mut self,
        before: MonoTime,
        reached: MonoTime,
        next: &mut impl FnMut(Given<T, A::Out>),
    ) {
        let first = self
            .grid
            .first_ending_after(reached - self.out.lateness, self.over);
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
