//! When items arrive, and how much work each of them is.

use crate::scene::dice::Dice;
use crate::units::Nanos;

/// Separates the chance of arrivals from that of work, so that both can follow from one seed.
const ARRIVALS: u64 = 1;
const WORK: u64 = 2;

/// When items arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// The first after one interval, then one each interval, as the document has it: item i at i x interval.
    Periodic { interval: Nanos },
    /// Independent of each other, with this interval on average (a Poisson process).
    Poisson { mean: Nanos, seed: u64 },
    /// At these instants, in order.
    Listed(Vec<Nanos>),
}

impl Arrivals {
    /// The first `count` instants, never decreasing.
    pub fn instants(&self, count: u32) -> Vec<Nanos> {
        match self {
            Self::Periodic { interval } => (1..=i64::from(count)).map(|i| *interval * i).collect(),
            Self::Poisson { mean, seed } => {
                let mut dice = Dice::new(*seed, ARRIVALS);
                let mut at = Nanos::ZERO;
                let gap = move |_| {
                    // The distances of a Poisson process are exponential: the inverse of their distribution at an even throw.
                    at += Nanos::from_secs_f64(-(1.0 - dice.unit()).ln() * mean.as_secs_f64());
                    at
                };
                (0..count).map(gap).collect()
            }
            Self::Listed(instants) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                let mut instants: Vec<_> = instants.iter().copied().take(count).collect();
                instants.sort_unstable();
                instants
            }
        }
    }

    /// The time between two items, on average.
    pub fn interval(&self) -> Nanos {
        match self {
            Self::Periodic { interval } => *interval,
            Self::Poisson { mean, .. } => *mean,
            Self::Listed(instants) => {
                let last = instants.iter().max().copied().unwrap_or_default();
                Nanos(last.0 / i64::try_from(instants.len().max(1)).unwrap_or(i64::MAX))
            }
        }
    }
}

/// How much work an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The same for each.
    Fixed(Nanos),
    /// A bell around `mean` with this standard deviation; never below 0.
    Bell {
        mean: Nanos,
        deviation: Nanos,
        seed: u64,
    },
}

impl Work {
    /// The work of the first `count` items.
    pub fn list(&self, count: u32) -> Vec<Nanos> {
        match *self {
            Self::Fixed(work) => (0..count).map(|_| work).collect(),
            Self::Bell {
                mean,
                deviation,
                seed,
            } => {
                let mut dice = Dice::new(seed, WORK);
                let spread = deviation.as_secs_f64();
                (0..count)
                    .map(|_| (mean + Nanos::from_secs_f64(dice.bell() * spread)).max(Nanos::ZERO))
                    .collect()
            }
        }
    }

    pub fn mean(&self) -> Nanos {
        match *self {
            Self::Fixed(work) => work,
            Self::Bell { mean, .. } => mean,
        }
    }
}
