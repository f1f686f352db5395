//! How a duration went over the time of a run, in a bounded number of intervals.
//!
//! Thread: housekeeping. Allocates: yes, up to a bound.
//!
//! Each interval keeps all its samples, counted by size at the resolution of [`Durations`], so merged
//! intervals still have true percentiles and the interval log has the whole truth. When the intervals
//! run out, neighbours are merged and intervals become twice as long.
//!
//! [`Durations`]: crate::telemetry::durations::Durations

use crate::units::{MonoTime, Nanos};

/// BOUND: half to all of this many points, on a plot about 900 pixels wide. An interval's counts take 16 bytes
/// for each distinct size: some KiB in practice, and 27 x 1024 sizes at most.
pub const INTERVALS_MAX: i64 = 128;

/// Length of an interval at first: seven frames at 30 Hz, 25 beats at 100 Hz; 32 s before the first merge.
pub const INTERVAL_FIRST: Nanos = Nanos::from_millis(250);

/// The samples of one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Counts intervals of the present width from the beginning of the run.
    index: i64,
    /// `(size, count)`, by size, upwards.
    counts: Vec<(u64, u64)>,
    max: u64,
}

impl Interval {
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|c| c.1).sum()
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// As in `Durations::at_quantile`, but rounded down to the resolution.
    pub fn at_quantile(&self, quantile: f64) -> u64 {
        let rank = rank(quantile, self.count());
        let mut seen = 0;
        for &(size, count) in &self.counts {
            seen += count;
            if seen >= rank {
                return size;
            }
        }
        self.max
    }

    pub fn counts(&self) -> &[(u64, u64)] {
        &self.counts
    }

    fn absorb(&mut self, later: &Self) {
        self.counts.extend_from_slice(&later.counts);
        self.counts.sort_unstable();
        self.counts.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        self.max = self.max.max(later.max);
    }
}

/// The rank, from 1, of the sample at `quantile` among `count`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "counts stay far below 2^53, and `as` saturates"
)]
fn rank(quantile: f64, count: u64) -> u64 {
    ((quantile * count as f64).ceil() as u64).clamp(1, count.max(1))
}

/// A run in intervals.
#[derive(Clone, Debug)]
pub struct Timeline {
    began: MonoTime,
    width: Nanos,
    /// By index, upwards; intervals without samples are left out.
    closed: Vec<Interval>,
    open_index: i64,
    /// Sizes seen in the open interval, in order of arrival.
    open: Vec<u64>,
    open_max: u64,
}

impl Timeline {
    pub fn new(began: MonoTime) -> Self {
        Self {
            began,
            width: INTERVAL_FIRST,
            closed: Vec::new(),
            open_index: 0,
            open: Vec::new(),
            open_max: 0,
        }
    }

    /// Adds a sample of `ns`, which the histogram counts as `bucket`. A sample from before the open interval
    /// (another thread's, collected late) is counted in the open one.
    pub fn record(&mut self, at: MonoTime, ns: u64, bucket: u64) {
        let mut index = self.index_of(at);
        if index > self.open_index {
            self.close();
            // BOUND: each turn halves the index; 62 turns at most.
            while index >= INTERVALS_MAX {
                self.merge_neighbours();
                index = self.index_of(at);
            }
            self.open_index = index;
        }
        self.open.push(bucket);
        self.open_max = self.open_max.max(ns);
    }

    /// Length of an interval.
    pub fn width(&self) -> Nanos {
        self.width
    }

    /// The intervals with samples, and when each began, since the beginning of the run.
    pub fn intervals(&self) -> impl Iterator<Item = (Nanos, Interval)> {
        let mut all = self.clone();
        all.close();
        let width = all.width;
        all.closed.into_iter().map(move |i| (width * i.index, i))
    }

    fn index_of(&self, at: MonoTime) -> i64 {
        ((at - self.began).0 / self.width.0).max(0)
    }

    /// Ends the open interval.
    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.open.sort_unstable();
        let mut counts: Vec<(u64, u64)> = Vec::new();
        for &size in &self.open {
            match counts.last_mut() {
                Some(last) if last.0 == size => last.1 += 1,
                _ => counts.push((size, 1)),
            }
        }
        let interval = Interval {
            index: self.open_index,
            counts,
            max: self.open_max,
        };
        self.open.clear();
        self.open_max = 0;
        self.keep(interval);
    }

    fn keep(&mut self, interval: Interval) {
        match self.closed.last_mut() {
            Some(last) if last.index == interval.index => last.absorb(&interval),
            _ => self.closed.push(interval),
        }
    }

    /// Makes intervals twice as long.
    fn merge_neighbours(&mut self) {
        self.width = self.width * 2;
        self.open_index /= 2;
        for mut interval in std::mem::take(&mut self.closed) {
            interval.index /= 2;
            self.keep(interval);
        }
    }
}
