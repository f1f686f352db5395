//! The first and the last element, by event time.
//!
//! Thread: whichever runs the stream. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use std::fmt::Debug;
use std::marker::PhantomData;

use crate::stream::aggregate::Aggregate;
use crate::stream::element::Element;

macro_rules! end {
    ($(#[$doc:meta])* $name:ident, $goes_before:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<T>(PhantomData<fn(T)>);

        impl<T> Default for $name<T> {
            fn default() -> Self {
                Self(PhantomData)
            }
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self::default()
            }
        }

        impl<T: Copy + Debug> Aggregate for $name<T> {
            type In = T;
            type State = Option<Element<T>>;
            type Out = Option<T>;

            fn empty(&self) -> Self::State {
                None
            }

            fn add(&self, state: &mut Self::State, element: &Element<T>) {
                if state.is_none_or(|kept| element.rank().cmp(&kept.rank()).$goes_before()) {
                    *state = Some(*element);
                }
            }

            fn merge(&self, state: &mut Self::State, part: &Self::State) {
                if let Some(element) = part {
                    self.add(state, element);
                }
            }

            fn result(&self, state: &Self::State) -> Option<T> {
                state.map(|element| element.value)
            }
        }
    };
}
end! {
    /// The value of the element with the least `(at, source, seq)`, whenever it came.
    First, is_lt
}
end! {
    /// The value of the element with the greatest `(at, source, seq)`, whenever it came.
    Last, is_gt
}
