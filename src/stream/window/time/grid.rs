//! Where windows of a fixed length of time, and the panes that they are put together from, lie.
//!
//! Window `k` is `[offset + k slide, offset + k slide + size)`, by Euclidean division, so that times before 0 are as good as
//! others. Most questions are about a place next to that of the question before: a guess saves the division.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::stream::window::config::WindowConfig;
use crate::units::{MonoTime, Nanos};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub size: Nanos,
    pub slide: Nanos,
    offset: Nanos,
    pane: Nanos,
    /// Panes of a slide, and of a window.
    in_slide: i64,
    in_window: i64,
    /// The pane found last begins here.
    last: (MonoTime, i64),
}

impl Grid {
    pub fn new(config: &WindowConfig) -> Self {
        let pane = config.pane();
        Self {
            size: config.size,
            slide: config.slide,
            offset: config.offset,
            pane,
            in_slide: config.slide.0 / pane.0,
            in_window: config.size.0 / pane.0,
            last: (MonoTime(config.offset.0), 0),
        }
    }

    pub fn panes_in_window(&self) -> usize {
        usize::try_from(self.in_window).unwrap_or(usize::MAX)
    }

    /// The last window that begins at or before an instant.
    pub fn window_at(&self, at: MonoTime) -> i64 {
        (at - self.offset).0.div_euclid(self.slide.0)
    }

    /// The first window that ends after an instant; it is found sooner where it is this one or the next.
    #[inline]
    pub fn first_ending_after(&self, at: MonoTime, guess: i64) -> i64 {
        let end = self.end(guess);
        if end > at && end - self.slide <= at {
            guess
        } else if end <= at && end + self.slide > at {
            guess + 1
        } else {
            self.window_at(at - self.size) + 1
        }
    }

    #[inline]
    pub fn start(&self, window: i64) -> MonoTime {
        MonoTime(
            self.offset
                .0
                .saturating_add(window.saturating_mul(self.slide.0)),
        )
    }

    #[inline]
    pub fn end(&self, window: i64) -> MonoTime {
        self.start(window) + self.size
    }

    #[inline]
    pub fn pane_at(&mut self, at: MonoTime) -> i64 {
        let (begin, pane) = self.last;
        let into = (at - begin).0;
        if (0..self.pane.0).contains(&into) {
            return pane;
        }
        self.last = if (self.pane.0..2 * self.pane.0).contains(&into) {
            (begin + self.pane, pane + 1)
        } else {
            let pane = (at - self.offset).0.div_euclid(self.pane.0);
            (MonoTime(self.offset.0 + pane * self.pane.0), pane)
        };
        self.last.1
    }

    /// The panes of a window: the first, and the first that is not in it any more.
    #[inline]
    pub fn panes(&self, window: i64) -> (i64, i64) {
        let first = window.saturating_mul(self.in_slide);
        (first, first.saturating_add(self.in_window))
    }

    /// The first window from `window` on that has this pane in it or begins after it.
    #[inline]
    pub fn first_with(&self, pane: i64, window: i64) -> i64 {
        if self.panes(window).1 > pane {
            return window;
        }
        // The first `k` with `k in_slide + in_window > pane`; it is behind `window`, which was not.
        (pane - self.in_window).div_euclid(self.in_slide) + 1
    }

    /// The last window that begins at or before a pane.
    pub fn last_with(&self, pane: i64) -> i64 {
        pane.div_euclid(self.in_slide)
    }
}
