//! `filter`, `map`, `filter_map`, `split`: one element at a time, without memory.
//!
//! Thread: whichever runs the stream. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use std::marker::PhantomData;

use crate::stream::element::{Event, Side};
use crate::stream::operator::Operator;

/// Only elements whose value satisfies `keep`. A dropped one leaves the chain; bounds go on.
#[derive(Debug)]
pub struct Filter<T, F>(F, PhantomData<fn(T)>);

/// Another value for each element; its times, number and origin stay.
#[derive(Debug)]
pub struct Map<T, F>(F, PhantomData<fn(T)>);

/// Another value for some elements; the others are dropped.
#[derive(Debug)]
pub struct FilterMap<T, F>(F, PhantomData<fn(T)>);

/// Elements that satisfy a condition to the left, all others to the right. Bounds go to both.
#[derive(Debug)]
pub struct Split<T, F>(F, PhantomData<fn(T)>);

macro_rules! made_of_a_function {
    ($($name:ident),*) => {$(
        impl<T, F> $name<T, F> {
            pub fn new(function: F) -> Self {
                Self(function, PhantomData)
            }
        }

        impl<T, F: Clone> Clone for $name<T, F> {
            fn clone(&self) -> Self {
                Self::new(self.0.clone())
            }
        }
    )*};
}
made_of_a_function!(Filter, Map, FilterMap, Split);

impl<T, F: Fn(&T) -> bool> Operator for Filter<T, F> {
    type In = Event<T>;
    type Out = Event<T>;

    #[inline]
    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Event<T>)) {
        match &event {
            Event::Element(element) if !(self.0)(&element.value) => {}
            _ => next(event),
        }
    }
}

impl<T, U, F: Fn(&T) -> U> Operator for Map<T, F> {
    type In = Event<T>;
    type Out = Event<U>;

    #[inline]
    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Event<U>)) {
        next(event.map(|value| (self.0)(&value)));
    }
}

impl<T, U, F: Fn(&T) -> Option<U>> Operator for FilterMap<T, F> {
    type In = Event<T>;
    type Out = Event<U>;

    #[inline]
    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Event<U>)) {
        next(match event {
            Event::Element(element) => match (self.0)(&element.value) {
                Some(value) => Event::Element(element.with(value)),
                None => return,
            },
            Event::Bound(bound) => Event::Bound(bound),
            Event::Idle => Event::Idle,
        });
    }
}

impl<T: Copy, F: Fn(&T) -> bool> Operator for Split<T, F> {
    type In = Event<T>;
    type Out = Side<Event<T>, Event<T>>;

    #[inline]
    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Self::Out)) {
        match &event {
            Event::Element(element) if (self.0)(&element.value) => next(Side::Left(event)),
            Event::Element(_) => next(Side::Right(event)),
            Event::Bound(_) | Event::Idle => {
                next(Side::Left(event));
                next(Side::Right(event));
            }
        }
    }
}
