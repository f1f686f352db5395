//! What a passage of items amounts to: latencies, rate, the most at once, losses.

use serde::Serialize;

use crate::estimate::figure::{count_f64, nanos_f64};
use crate::estimate::queue::{Item, in_system};
use crate::units::Nanos;

/// Latencies of items. All 0 without any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latencies {
    pub mean_ns: i64,
    /// The smallest such that half of all are no longer (nearest rank).
    pub p50_ns: i64,
    pub p99_ns: i64,
    pub max_ns: i64,
    /// Of the item that arrived last.
    pub last_ns: i64,
}

impl Latencies {
    /// Of latencies in the order of arrival.
    pub fn of(latencies: impl IntoIterator<Item = Nanos>) -> Self {
        let mut all: Vec<i64> = latencies.into_iter().map(|l| l.0).collect();
        let Some(&last_ns) = all.last() else {
            return Self::default();
        };
        let sum: i128 = all.iter().map(|&ns| i128::from(ns)).sum();
        let count = all.len();
        // The mean of numbers that fit fits.
        let mean = i64::try_from(sum / count as i128).unwrap_or(i64::MAX);
        all.sort_unstable();
        let rank = |percent: usize| all[(count * percent).div_ceil(100).max(1) - 1];
        Self {
            mean_ns: mean,
            p50_ns: rank(50),
            p99_ns: rank(99),
            max_ns: all[count - 1],
            last_ns,
        }
    }
}

/// The sums over a passage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Account {
    /// Items that arrived.
    pub arrived: u64,
    /// Items whose work was done. The others were dropped.
    pub done: u64,
    pub dropped: u64,
    /// From arrival to done, of those done.
    pub latency: Latencies,
    /// From the start until the last work was done.
    pub makespan_ns: i64,
    /// Items done, over the makespan.
    pub per_second: f64,
    /// The most items that were in the room and at work at once.
    pub in_system_max: u32,
    /// The same in bytes.
    pub memory_bytes: u64,
    /// The most items that the source had to hold at once, where it is blocked.
    pub held_max: u32,
}

impl Account {
    /// Of items of this size.
    pub fn of(items: &[Item], item_bytes: u64) -> Self {
        let in_system_max = in_system(items)
            .iter()
            .map(|step| step.1)
            .max()
            .unwrap_or(0);
        Self::with(items, item_bytes, in_system_max)
    }

    /// Of a batch: all items are there when it begins, and stay until it has ended.
    pub fn of_batch(items: &[Item], item_bytes: u64) -> Self {
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        Self::with(items, item_bytes, count)
    }

    fn with(items: &[Item], item_bytes: u64, in_system_max: u32) -> Self {
        let latencies = items.iter().filter_map(Item::latency);
        let makespan = items
            .iter()
            .filter_map(Item::done)
            .max()
            .unwrap_or_default();
        let done = latencies.clone().count() as u64;
        let arrived = items.len() as u64;
        let seconds = nanos_f64(makespan) / 1e9;
        Self {
            arrived,
            done,
            dropped: arrived - done,
            latency: Latencies::of(latencies),
            makespan_ns: makespan.0,
            per_second: if seconds > 0.0 {
                count_f64(done) / seconds
            } else {
                0.0
            },
            in_system_max,
            memory_bytes: u64::from(in_system_max) * item_bytes,
            held_max: held_max(items),
        }
    }

    pub fn makespan(&self) -> Nanos {
        Nanos(self.makespan_ns)
    }
}

/// The most items at once that had arrived and not entered.
fn held_max(items: &[Item]) -> u32 {
    let held = items.iter().filter_map(|item| {
        let entered = item.entered?;
        (item.arrived < entered).then_some((item.arrived, entered))
    });
    let mut steps: Vec<(Nanos, i32)> = held
        .flat_map(|(arrived, entered)| [(arrived, 1), (entered, -1)])
        .collect();
    steps.sort_unstable();
    let mut count = 0;
    let counts = steps.into_iter().map(|(_, step)| {
        count += step;
        count
    });
    u32::try_from(counts.max().unwrap_or(0)).unwrap_or(0)
}
