//! One aggregate of numbers, by its name in a configuration file.
//!
//! Thread: whichever runs the stream. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::state::bytes::Fields;
use crate::stream::aggregate::Aggregate;
use crate::stream::aggregate::ends::{First, Last};
use crate::stream::aggregate::numbers::{Max, Mean, Min, Sum, Variance};
use crate::stream::aggregate::quantile::Quantile;
use crate::stream::element::Element;
use crate::stream::kept::Kept;

/// What is said of the numbers in a window. None where there is nothing to say: the mean of no numbers.
///
/// `count`, `sum`, `mean`, `min`, `max`, `variance` (of all there are), `variance-of-sample`, `median`, `p90`, `p99`,
/// `first`, `last`. Takes as much memory as the largest of them (9 KiB a pane), since which one it is is said at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    Count,
    Sum,
    Mean,
    Min,
    Max,
    Variance,
    VarianceOfSample,
    Median,
    P90,
    P99,
    First,
    Last,
}

/// The state of a [`Statistic`].
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a box would allocate after start"
)]
pub enum State {
    Count(u64),
    Sum(<Sum as Aggregate>::State),
    Mean(<Mean as Aggregate>::State),
    Extreme(Option<f64>),
    Moments(<Variance as Aggregate>::State),
    Bins(<Quantile as Aggregate>::State),
    End(Option<Element<f64>>),
}

/// Which one it is stands in the configuration.
impl Kept for State {
    fn keep(&self, out: &mut Vec<u8>) {
        match self {
            Self::Count(count) => count.keep(out),
            Self::Sum(sum) => sum.keep(out),
            Self::Mean(mean) => mean.keep(out),
            Self::Extreme(best) => best.keep(out),
            Self::Moments(moments) => moments.keep(out),
            Self::Bins(bins) => bins.keep(out),
            Self::End(end) => end.keep(out),
        }
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        match self {
            Self::Count(count) => count.put_back(from),
            Self::Sum(sum) => sum.put_back(from),
            Self::Mean(mean) => mean.put_back(from),
            Self::Extreme(best) => best.put_back(from),
            Self::Moments(moments) => moments.put_back(from),
            Self::Bins(bins) => bins.put_back(from),
            Self::End(end) => end.put_back(from),
        }
    }
}

impl Statistic {
    fn quantile(self) -> Quantile {
        let q = match self {
            Self::P90 => 0.9,
            Self::P99 => 0.99,
            _ => 0.5,
        };
        Quantile::new(q).unwrap_or(Quantile::MEDIAN)
    }

    fn variance(self) -> Variance {
        match self {
            Self::VarianceOfSample => Variance::SAMPLE,
            _ => Variance::POPULATION,
        }
    }
}

/// A state never meets another statistic than the one that made it.
impl Aggregate for Statistic {
    type In = f64;
    type State = State;
    type Out = Option<f64>;

    fn empty(&self) -> State {
        match self {
            Self::Count => State::Count(0),
            Self::Sum => State::Sum(Sum.empty()),
            Self::Mean => State::Mean(Mean.empty()),
            Self::Min | Self::Max => State::Extreme(None),
            Self::Variance | Self::VarianceOfSample => State::Moments(self.variance().empty()),
            Self::Median | Self::P90 | Self::P99 => State::Bins(self.quantile().empty()),
            Self::First | Self::Last => State::End(None),
        }
    }

    fn clear(&self, state: &mut State) {
        match state {
            State::Count(count) => *count = 0,
            State::Sum(state) => Sum.clear(state),
            State::Mean(state) => Mean.clear(state),
            State::Extreme(best) => *best = None,
            State::Moments(state) => self.variance().clear(state),
            State::Bins(state) => self.quantile().clear(state),
            State::End(end) => *end = None,
        }
    }

    fn add(&self, state: &mut State, element: &Element<f64>) {
        match state {
            State::Count(count) => *count += 1,
            State::Sum(state) => Sum.add(state, element),
            State::Mean(state) => Mean.add(state, element),
            State::Extreme(best) if *self == Self::Min => Min.add(best, element),
            State::Extreme(best) => Max.add(best, element),
            State::Moments(state) => self.variance().add(state, element),
            State::Bins(state) => self.quantile().add(state, element),
            State::End(end) if *self == Self::First => First::default().add(end, element),
            State::End(end) => Last::default().add(end, element),
        }
    }

    fn merge(&self, state: &mut State, part: &State) {
        match (state, part) {
            (State::Count(count), State::Count(more)) => *count += more,
            (State::Sum(state), State::Sum(part)) => Sum.merge(state, part),
            (State::Mean(state), State::Mean(part)) => Mean.merge(state, part),
            (State::Extreme(state), State::Extreme(part)) if *self == Self::Min => {
                Min.merge(state, part);
            }
            (State::Extreme(state), State::Extreme(part)) => Max.merge(state, part),
            (State::Moments(state), State::Moments(part)) => self.variance().merge(state, part),
            (State::Bins(state), State::Bins(part)) => self.quantile().merge(state, part),
            (State::End(state), State::End(part)) if *self == Self::First => {
                First::default().merge(state, part);
            }
            (State::End(state), State::End(part)) => Last::default().merge(state, part),
            _ => debug_assert!(false, "states of different statistics"),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 elements take longer than a life"
    )]
    fn result(&self, state: &State) -> Option<f64> {
        match state {
            State::Count(count) => Some(*count as f64),
            State::Sum(state) => Some(Sum.result(state)),
            State::Mean(state) => Mean.result(state),
            State::Extreme(best) => *best,
            State::Moments(state) => self.variance().result(state),
            State::Bins(state) => self.quantile().result(state),
            State::End(end) => end.map(|element| element.value),
        }
    }
}
