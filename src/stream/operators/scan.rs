//! `scan`: what follows from an element and all before it, for each key.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use std::marker::PhantomData;

use crate::stream::element::{Element, Event};
use crate::stream::operator::Operator;

/// A state for each key. `step` changes it by an element and may say something.
///
/// Keys are numbers below the number of keys given; an element with a higher one is dropped and counted, so that memory
/// stays what it was when the stream was built.
#[derive(Clone, Debug)]
pub struct Scan<T, S, K, F> {
    states: Box<[S]>,
    key: K,
    step: F,
    /// Elements whose key is too high.
    pub without_place: u64,
    value: PhantomData<fn(T)>,
}

impl<T, S: Clone, K: Fn(&T) -> usize, F> Scan<T, S, K, F> {
    /// `keys` states, each beginning as `initial`.
    pub fn new(keys: usize, key: K, initial: S, step: F) -> Self {
        Self {
            states: vec![initial; keys].into_boxed_slice(),
            key,
            step,
            without_place: 0,
            value: PhantomData,
        }
    }
}

impl<T, U, S, K, F> Operator for Scan<T, S, K, F>
where
    K: Fn(&T) -> usize,
    F: Fn(&mut S, &Element<T>) -> Option<U>,
{
    type In = Event<T>;
    type Out = Event<U>;

    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Event<U>)) {
        match event {
            Event::Element(element) => {
                let Some(state) = self.states.get_mut((self.key)(&element.value)) else {
                    self.without_place += 1;
                    return;
                };
                if let Some(value) = (self.step)(state, &element) {
                    next(Event::Element(element.with(value)));
                }
            }
            Event::Bound(bound) => next(Event::Bound(bound)),
            Event::Idle => next(Event::Idle),
        }
    }
}
