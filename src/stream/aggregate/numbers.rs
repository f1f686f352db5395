//! Count, sum, mean, variance, least and greatest.
//!
//! Thread: whichever runs the stream. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use std::marker::PhantomData;

use crate::stream::aggregate::Aggregate;
use crate::stream::aggregate::exact::ExactSum;
use crate::stream::element::Element;
use crate::stream::kept::kept;

/// How many.
#[derive(Debug)]
pub struct Count<T>(PhantomData<fn(T)>);

impl<T> Default for Count<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Count<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> Aggregate for Count<T> {
    type In = T;
    type State = u64;
    type Out = u64;

    const INVERTIBLE: bool = true;

    fn empty(&self) -> u64 {
        0
    }

    fn add(&self, state: &mut u64, _: &Element<T>) {
        *state += 1;
    }

    fn merge(&self, state: &mut u64, part: &u64) {
        *state += part;
    }

    fn remove(&self, state: &mut u64, _: &Element<T>) {
        *state -= 1;
    }

    fn result(&self, state: &u64) -> u64 {
        *state
    }
}

/// The exact sum, rounded once. Not a number if one is not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum;

impl Aggregate for Sum {
    type In = f64;
    type State = ExactSum;
    type Out = f64;

    const INVERTIBLE: bool = true;

    fn empty(&self) -> ExactSum {
        ExactSum::default()
    }

    fn clear(&self, state: &mut ExactSum) {
        state.clear();
    }

    #[inline]
    fn add(&self, state: &mut ExactSum, element: &Element<f64>) {
        state.add(element.value);
    }

    fn merge(&self, state: &mut ExactSum, part: &ExactSum) {
        state.merge(part);
    }

    fn remove(&self, state: &mut ExactSum, element: &Element<f64>) {
        state.remove(element.value);
    }

    fn result(&self, state: &ExactSum) -> f64 {
        state.value()
    }
}

/// The sum by the count; none of nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean;

impl Aggregate for Mean {
    type In = f64;
    type State = (u64, ExactSum);
    type Out = Option<f64>;

    const INVERTIBLE: bool = true;

    fn empty(&self) -> Self::State {
        Self::State::default()
    }

    fn clear(&self, (count, sum): &mut Self::State) {
        *count = 0;
        sum.clear();
    }

    #[inline]
    fn add(&self, (count, sum): &mut Self::State, element: &Element<f64>) {
        *count += 1;
        sum.add(element.value);
    }

    fn merge(&self, (count, sum): &mut Self::State, part: &Self::State) {
        *count += part.0;
        sum.merge(&part.1);
    }

    fn remove(&self, (count, sum): &mut Self::State, element: &Element<f64>) {
        *count -= 1;
        sum.remove(element.value);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 elements take longer than a life"
    )]
    fn result(&self, (count, sum): &Self::State) -> Option<f64> {
        (*count > 0).then(|| sum.value() / *count as f64)
    }
}

/// The mean square distance from the mean.
///
/// Usual running formulas (Welford's, and Chan's for parts) round at each step, so that their result depends on the
/// order. Here the sums of values and of squares are exact, and so is `n Σx² - (Σx)²`: what usually ruins this formula is
/// the rounding before the difference. Exact for magnitudes of 1e-145 to 1e150, and 0.
#[derive(Clone, Copy, Debug)]
pub struct Variance {
    /// What is taken off the count before dividing by it.
    correction: u64,
}

/// Sums of `n`, `x` and `x²`.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    count: u64,
    sum: ExactSum,
    squares: ExactSum,
}

kept!(impl [] Moments { count, sum, squares });

impl Variance {
    /// Of these values, as all there are: divides by the count.
    pub const POPULATION: Self = Self { correction: 0 };
    /// Of what these values are a sample of: divides by the count less 1.
    pub const SAMPLE: Self = Self { correction: 1 };
}

impl Aggregate for Variance {
    type In = f64;
    type State = Moments;
    type Out = Option<f64>;

    const INVERTIBLE: bool = true;

    fn empty(&self) -> Moments {
        Moments::default()
    }

    fn clear(&self, state: &mut Moments) {
        state.count = 0;
        state.sum.clear();
        state.squares.clear();
    }

    fn add(&self, state: &mut Moments, element: &Element<f64>) {
        state.count += 1;
        state.sum.add(element.value);
        state.squares.add_product(element.value, element.value);
    }

    fn merge(&self, state: &mut Moments, part: &Moments) {
        state.count += part.count;
        state.sum.merge(&part.sum);
        state.squares.merge(&part.squares);
    }

    fn remove(&self, state: &mut Moments, element: &Element<f64>) {
        state.count -= 1;
        state.sum.remove(element.value);
        state.squares.remove_product(element.value, element.value);
    }

    /// None of nothing, and of a sample of one.
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 elements take longer than a life"
    )]
    fn result(&self, state: &Moments) -> Option<f64> {
        if state.count <= self.correction {
            return None;
        }
        let sum = state.sum.value();
        if !sum.is_finite() {
            return Some(f64::NAN);
        }
        let count = state.count as f64;
        // BOUND: four parts hold 212 bits, more than the result can show.
        let (sums, squares) = (state.sum.parts::<4>(), state.squares.parts::<4>());
        let mut scaled = ExactSum::default();
        for square in squares.into_iter().filter(|part| *part != 0.0) {
            scaled.add_product(count, square);
        }
        let sums = || sums.into_iter().filter(|part| *part != 0.0);
        for (a, b) in sums().flat_map(|a| sums().map(move |b| (a, b))) {
            scaled.remove_product(a, b);
        }
        let divisor = count * (state.count - self.correction) as f64;
        let variance = scaled.value() / divisor;
        // Not `max`, which would hide a value that is not a number.
        Some(if variance < 0.0 { 0.0 } else { variance })
    }
}

/// The least value; none of nothing. Values that are not numbers are passed over. -0 is less than +0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Min;

/// The greatest value; none of nothing. Values that are not numbers are passed over. +0 is greater than -0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Max;

macro_rules! extreme {
    ($name:ident, $better:ident) => {
        impl Aggregate for $name {
            type In = f64;
            type State = Option<f64>;
            type Out = Option<f64>;

            fn empty(&self) -> Option<f64> {
                None
            }

            fn add(&self, state: &mut Option<f64>, element: &Element<f64>) {
                self.merge(state, &Some(element.value).filter(|value| !value.is_nan()));
            }

            fn merge(&self, state: &mut Option<f64>, part: &Option<f64>) {
                let Some(value) = *part else { return };
                if state.is_none_or(|best| value.total_cmp(&best).$better()) {
                    *state = *part;
                }
            }

            fn result(&self, state: &Option<f64>) -> Option<f64> {
                *state
            }
        }
    };
}
extreme!(Min, is_lt);
extreme!(Max, is_gt);
