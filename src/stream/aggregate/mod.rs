//! What is said of many elements together: how many, their sum, mean, extremes, spread, quantiles, the first and the last.
//!
//! Sums are exact ([`exact::ExactSum`]), and so are mean and variance before their last rounding. So their results depend
//! on the elements only: neither on the order in which they came nor on how a window is put together from parts, to the
//! last bit.
//!
//! Thread: whichever runs the stream. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use std::fmt;
use std::marker::PhantomData;

use crate::stream::element::Element;

// Sums without rounding, of similar numbers and of any.
pub mod exact;

mod wide;

// Count, sum, mean, variance, least and greatest.
pub mod numbers;

// The value below which so many lie.
pub mod quantile;

// First and last.
pub mod ends;

// One of them by its name in a file.
pub mod statistic;

/// How elements become one result. The state has a fixed size and is taken when a stream is built.
///
/// Any type may implement it. What is promised of an implementation: `merge` of the states of two parts gives the state of
/// the whole, where `part` holds the elements after those of `state` in event time; `remove` undoes `add`.
pub trait Aggregate {
    type In;
    type State: Clone + fmt::Debug;
    type Out: Clone + fmt::Debug;

    /// True if [`remove`](Self::remove) works: a window that moves then costs what comes and goes, not what it holds.
    const INVERTIBLE: bool = false;

    /// The state of no elements.
    fn empty(&self) -> Self::State;

    /// Makes a state that of no elements again.
    fn clear(&self, state: &mut Self::State) {
        *state = self.empty();
    }

    fn add(&self, state: &mut Self::State, element: &Element<Self::In>);

    /// Puts the state of later elements behind that of earlier ones.
    fn merge(&self, state: &mut Self::State, part: &Self::State);

    /// Takes the earliest element out again. Called only if it is [`INVERTIBLE`](Self::INVERTIBLE).
    fn remove(&self, _state: &mut Self::State, _element: &Element<Self::In>) {}

    fn result(&self, state: &Self::State) -> Self::Out;
}

/// An aggregate of something that is computed from each value: `of(|seen: &Seen| seen.speed, Mean)`.
pub fn of<T, F, A>(function: F, aggregate: A) -> Of<T, F, A>
where
    F: Fn(&T) -> A::In,
    A: Aggregate,
{
    Of {
        function,
        aggregate,
        value: PhantomData,
    }
}

/// See [`of`].
pub struct Of<T, F, A> {
    function: F,
    aggregate: A,
    value: PhantomData<fn(T)>,
}

impl<T, F: Clone, A: Clone> Clone for Of<T, F, A> {
    fn clone(&self) -> Self {
        Self {
            function: self.function.clone(),
            aggregate: self.aggregate.clone(),
            value: PhantomData,
        }
    }
}

impl<T, F, A: fmt::Debug> fmt::Debug for Of<T, F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Of").field(&self.aggregate).finish()
    }
}

impl<T, F: Fn(&T) -> A::In, A: Aggregate> Aggregate for Of<T, F, A> {
    type In = T;
    type State = A::State;
    type Out = A::Out;

    const INVERTIBLE: bool = A::INVERTIBLE;

    fn empty(&self) -> A::State {
        self.aggregate.empty()
    }

    fn clear(&self, state: &mut A::State) {
        self.aggregate.clear(state);
    }

    fn add(&self, state: &mut A::State, element: &Element<T>) {
        let value = (self.function)(&element.value);
        self.aggregate.add(state, &element.with(value));
    }

    fn merge(&self, state: &mut A::State, part: &A::State) {
        self.aggregate.merge(state, part);
    }

    fn remove(&self, state: &mut A::State, element: &Element<T>) {
        let value = (self.function)(&element.value);
        self.aggregate.remove(state, &element.with(value));
    }

    fn result(&self, state: &A::State) -> A::Out {
        self.aggregate.result(state)
    }
}

macro_rules! several_at_once {
    ($($name:ident $place:tt),*) => {
        /// Several results of the same elements.
        impl<T, $($name: Aggregate<In = T>),*> Aggregate for ($($name,)*) {
            type In = T;
            type State = ($($name::State,)*);
            type Out = ($($name::Out,)*);

            const INVERTIBLE: bool = $($name::INVERTIBLE &&)* true;

            fn empty(&self) -> Self::State {
                ($(self.$place.empty(),)*)
            }

            fn clear(&self, state: &mut Self::State) {
                $(self.$place.clear(&mut state.$place);)*
            }

            fn add(&self, state: &mut Self::State, element: &Element<T>) {
                $(self.$place.add(&mut state.$place, element);)*
            }

            fn merge(&self, state: &mut Self::State, part: &Self::State) {
                $(self.$place.merge(&mut state.$place, &part.$place);)*
            }

            fn remove(&self, state: &mut Self::State, element: &Element<T>) {
                $(self.$place.remove(&mut state.$place, element);)*
            }

            fn result(&self, state: &Self::State) -> Self::Out {
                ($(self.$place.result(&state.$place),)*)
            }
        }
    };
}
several_at_once!(A 0, B 1);
several_at_once!(A 0, B 1, C 2);
several_at_once!(A 0, B 1, C 2, D 3);
several_at_once!(A 0, B 1, C 2, D 3, E 4);
several_at_once!(A 0, B 1, C 2, D 3, E 4, F 5);
