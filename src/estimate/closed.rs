//! Closed forms, where there are any: they say at once what the recursion finds out item by item.
//!
//! Item i (from 1) of a periodic stream arrives at i x interval and is `work` long for each of W workers. Times are exact.

use crate::estimate::figure::ratio;
use crate::units::Nanos;

/// A periodic stream of equal items with room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periodic {
    pub items: u32,
    pub interval: Nanos,
    pub work: Nanos,
    pub workers: u16,
}

impl Periodic {
    /// Work that comes over work that can be done; above 1 the backlog grows for ever.
    pub fn utilisation(&self) -> f64 {
        ratio(self.work, self.interval * i64::from(self.workers))
    }

    /// Of item i, from 1: each worker gets every W-th item, and falls behind by what its work exceeds W intervals.
    pub fn latency(&self, item: u32) -> Nanos {
        let rounds = i64::from(item.saturating_sub(1) / u32::from(self.workers));
        let behind = self.work - self.interval * i64::from(self.workers);
        self.work + behind.max(Nanos::ZERO) * rounds
    }

    /// From the start until the last item is done.
    pub fn makespan(&self) -> Nanos {
        self.interval * i64::from(self.items) + self.latency(self.items)
    }

    /// Items a second for ever: as they come, or as they can be worked on.
    pub fn steady_rate(&self) -> f64 {
        let by_arrival = 1.0 / self.interval.as_secs_f64();
        let by_work = f64::from(self.workers) / self.work.as_secs_f64();
        by_arrival.min(by_work)
    }

    /// The most items at once, those at work included.
    pub fn in_system_max(&self) -> u32 {
        if self.items == 0 || self.work <= Nanos::ZERO {
            return 0;
        }
        let workers = i64::from(self.workers);
        let most = if self.work <= self.interval * workers {
            // Those that came less than `work` ago.
            ceil_div(self.work, self.interval)
        } else {
            // As the last comes, worker j has been busy since the j-th item.
            let busy = workers.min(i64::from(self.items));
            let done = (1..=busy)
                .map(|j| (self.interval * (i64::from(self.items) - j)).0 / self.work.0)
                .sum::<i64>();
            i64::from(self.items) - done
        };
        u32::try_from(most).unwrap_or(u32::MAX).min(self.items)
    }

    /// All collected first: from the start until the last is done.
    pub fn batch_makespan(&self) -> Nanos {
        let rounds = i64::from(self.items.div_ceil(u32::from(self.workers)));
        self.interval * i64::from(self.items) + self.work * rounds
    }

    /// The longest latency with a `newest` link before one worker, while items go on coming: one that is not taken within
    /// an interval has given way to the next. The very last has no next, and waits for the work before it: twice `work`.
    pub fn newest_only_bound(&self) -> Nanos {
        if self.work <= self.interval {
            self.work
        } else {
            self.work + self.interval
        }
    }
}

/// Rounded up; 0 for no interval.
pub fn ceil_div(time: Nanos, interval: Nanos) -> i64 {
    if interval <= Nanos::ZERO {
        return 0;
    }
    time.0.div_euclid(interval.0) + i64::from(time.0.rem_euclid(interval.0) != 0)
}

/// Poisson arrivals, equal work, one worker, room for all (M/D/1), for ever.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoissonFixed {
    pub interval: Nanos,
    pub work: Nanos,
}

impl PoissonFixed {
    /// Mean latency: work and `utilisation x work / (2 (1 - utilisation))` of waiting (Pollaczek, 1930; Khinchine, 1932).
    /// None from a utilisation of 1 on: it grows without bound.
    pub fn mean_latency(&self) -> Option<Nanos> {
        let busy = ratio(self.work, self.interval);
        let work = self.work.as_secs_f64();
        (busy < 1.0).then(|| Nanos::from_secs_f64(work + busy * work / (2.0 * (1.0 - busy))))
    }

    /// The share of items whose latency is at most `limit` (Erlang: The theory of probabilities and telephone
    /// conversations, 1909). None from a utilisation of 1 on.
    ///
    /// The sum alternates; to 25 works of waiting the error stays below 1e-4. Beyond that the tail is exponential, and is
    /// continued as such.
    pub fn share_within(&self, limit: Nanos) -> Option<f64> {
        let busy = ratio(self.work, self.interval);
        if busy >= 1.0 {
            return None;
        }
        let waits = ratio(limit - self.work, self.work);
        if waits < 0.0 {
            return Some(0.0);
        }
        let far = 24.0;
        if waits <= far {
            return Some(erlang(busy, waits));
        }
        let (near_left, far_left) = (1.0 - erlang(busy, far - 1.0), 1.0 - erlang(busy, far));
        Some(1.0 - far_left * (far_left / near_left).powf(waits - far))
    }

    /// The latency that `share` of all items (below 1) do not exceed, to the microsecond.
    pub fn latency_at(&self, share: f64) -> Option<Nanos> {
        self.share_within(self.work)?;
        let (mut low, mut high) = (self.work, self.work * 10_000);
        // BOUND: each turn halves what is left of 10,000 works.
        while high - low > Nanos::from_micros(1) {
            let middle = Nanos(low.0 + (high - low).0 / 2);
            if self.share_within(middle)? < share {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(high)
    }
}

/// The share of waits of at most `waits` works.
fn erlang(busy: f64, waits: f64) -> f64 {
    let mut sum = 0.0;
    let mut whole = 0.0;
    let mut log_factorial = 0.0;
    // BOUND: as many terms as whole works, 24 at most (see `share_within`).
    while whole <= waits {
        let left = busy * (waits - whole);
        let sign = if whole % 2.0 == 0.0 { 1.0 } else { -1.0 };
        // left^k e^left / k!, by logarithms: the parts would overflow before the term does.
        let power = if whole == 0.0 {
            0.0
        } else {
            whole * left.max(f64::MIN_POSITIVE).ln()
        };
        sum += sign * (left + power - log_factorial).exp();
        whole += 1.0;
        log_factorial += whole.ln();
    }
    (1.0 - busy) * sum
}
