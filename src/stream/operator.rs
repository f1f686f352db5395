//! What an operator is, and how two become one.
//!
//! An operator that has nothing to say for an element says nothing: there is no empty output. It passes on every bound
//! that still holds for its output, also while it drops all elements, so that whoever waits downstream knows how far
//! time has come. What a bound sets free is given out before the bound itself.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use std::marker::PhantomData;

use crate::stream::element::{Event, Side};

/// A step of a stream. Operators are put together by type, so a whole chain compiles into one function.
pub trait Operator {
    /// [`Event`]s of one type, or [`Side`]s of two streams' events.
    type In;
    type Out;

    /// Takes one event in and gives what follows from it to `next`, in order.
    fn push(&mut self, event: Self::In, next: &mut impl FnMut(Self::Out));
}

/// Where a stream begins: passes everything on.
#[derive(Debug)]
pub struct Input<T>(PhantomData<fn(T)>);

impl<T> Clone for Input<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> Default for Input<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T> Operator for Input<T> {
    type In = Event<T>;
    type Out = Event<T>;

    #[inline]
    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Event<T>)) {
        next(event);
    }
}

/// First one operator, then another.
#[derive(Clone, Debug)]
pub struct Then<A, B>(pub A, pub B);

impl<A: Operator, B: Operator<In = A::Out>> Operator for Then<A, B> {
    type In = A::In;
    type Out = B::Out;

    #[inline]
    fn push(&mut self, event: A::In, next: &mut impl FnMut(B::Out)) {
        let Self(first, then) = self;
        first.push(event, &mut |between| then.push(between, next));
    }
}

/// Gives the same events to two streams. Each sees all of them.
#[derive(Debug)]
pub struct Fan<E>(PhantomData<fn(E)>);

impl<E> Clone for Fan<E> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<E> Default for Fan<E> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Copy> Operator for Fan<E> {
    type In = E;
    type Out = Side<E, E>;

    #[inline]
    fn push(&mut self, event: E, next: &mut impl FnMut(Side<E, E>)) {
        next(Side::Left(event));
        next(Side::Right(event));
    }
}

/// One operator for each side.
#[derive(Clone, Debug)]
pub struct Both<A, B>(pub A, pub B);

impl<A: Operator, B: Operator> Operator for Both<A, B> {
    type In = Side<A::In, B::In>;
    type Out = Side<A::Out, B::Out>;

    #[inline]
    fn push(&mut self, event: Self::In, next: &mut impl FnMut(Self::Out)) {
        match event {
            Side::Left(event) => self.0.push(event, &mut |out| next(Side::Left(out))),
            Side::Right(event) => self.1.push(event, &mut |out| next(Side::Right(out))),
        }
    }
}
