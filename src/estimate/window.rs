//! Windows: how long an item waits for one, whether their work can keep up, and how many are empty.

use crate::estimate::closed::{Periodic, ceil_div};
use crate::estimate::figure::ratio;
use crate::stream::window::config::SIZES;
use crate::units::Nanos;

/// Time windows `[start, start + size)`, one each `slide`; tumbling where they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    size: Nanos,
    slide: Nanos,
}

impl Window {
    /// Refuses a size outside of [`SIZES`], and a slide outside of its shortest to `size`.
    pub fn new(size: Nanos, slide: Nanos) -> Result<Self, String> {
        let (shortest, longest) = (SIZES.start(), SIZES.end());
        if !SIZES.contains(&size) {
            return Err(format!(
                "a window of {size} is outside of {shortest} to {longest}"
            ));
        }
        if !(*shortest..=size).contains(&slide) {
            return Err(format!(
                "a slide of {slide} is outside of {shortest} to the window's size of {size}"
            ));
        }
        Ok(Self { size, slide })
    }

    pub fn size(&self) -> Nanos {
        self.size
    }

    pub fn slide(&self) -> Nanos {
        self.slide
    }

    /// The longest that an item waits until the first window that has it is complete. It comes as a window begins.
    pub fn longest_wait(&self) -> Nanos {
        self.slide
    }

    /// The same on average, for items that come at any time.
    pub fn mean_wait(&self) -> Nanos {
        Nanos(self.slide.0 / 2)
    }

    /// When the first window that has the item is complete.
    pub fn complete(&self, item: Nanos) -> Nanos {
        self.slide * (item.0.div_euclid(self.slide.0) + 1)
    }

    /// The windows as a stream of their own: window k, from 1, is complete at k x slide.
    pub fn stream(&self, windows: u32, work: Nanos, workers: u16) -> Periodic {
        Periodic {
            items: windows,
            interval: self.slide,
            work,
            workers,
        }
    }

    /// The share of windows in which no item of a periodic source is new, over all phases.
    pub fn share_without_new(&self, interval: Nanos) -> f64 {
        (1.0 - ratio(self.slide, interval)).max(0.0)
    }

    /// The fewest and the most items of a periodic source that a window holds.
    pub fn holds(&self, interval: Nanos) -> (i64, i64) {
        if interval <= Nanos::ZERO {
            return (0, 0);
        }
        (
            self.size.0.div_euclid(interval.0),
            ceil_div(self.size, interval),
        )
    }

    /// Of the first `windows` windows of the slide's grid, how many hold no item that was not in the one before.
    pub fn without_new(&self, items: &[Nanos], windows: u32) -> u32 {
        let mut has_new = vec![false; usize::try_from(windows).unwrap_or(0)];
        for item in items {
            let slot = usize::try_from(item.0.div_euclid(self.slide.0));
            if let Some(slot) = slot.ok().and_then(|slot| has_new.get_mut(slot)) {
                *slot = true;
            }
        }
        let without = has_new.iter().filter(|has_new| !**has_new).count();
        u32::try_from(without).unwrap_or(u32::MAX)
    }
}
