//! Streams as one writes them down: read from left to right, put together by type, checked before the first element.
//!
//! ```
//! use reflexarc::stream::builder::Stream;
//! use reflexarc::stream::element::{Element, Event};
//! # use reflexarc::units::MonoTime;
//!
//! let sure = Stream::input().filter(|seen: &(f32, f32)| seen.0 > 0.5);
//! // A description is a value: two streams made of the same one each see everything.
//! let mut speeds = sure.clone().map(|seen| seen.1).start();
//! let mut count = sure.map(|_| 1).start();
//! # let at = MonoTime(1);
//! # let element = |value| Event::Element(Element { at, arrived: at, seq: 0, source: 0, origin: Default::default(), value });
//! let mut out = Vec::new();
//! speeds.push(element((0.9, 3.0)), |event| out.push(event));
//! speeds.push(element((0.1, 4.0)), |event| out.push(event));
//! assert_eq!(out, [element((0.9, 3.0)).map(|seen| seen.1)]);
//! # count.push(element((0.9, 3.0)), |_| {});
//! ```
//!
//! Thread: any until it is started. Allocates: in descriptions. Blocks: no. Locks: no. Syscalls: none.

use crate::error::Result;
use crate::stream::aggregate::Aggregate;
use crate::stream::align::choice::Between;
use crate::stream::element::{Element, Event, Side};
use crate::stream::operator::{Both, Fan, Input, Operator, Then};
use crate::stream::operators::fill::{Fill, FillConfig};
use crate::stream::operators::join::Join;
use crate::stream::operators::merge::Merge;
use crate::stream::operators::order::InOrder;
use crate::stream::operators::pick::{Filter, FilterMap, Map, Split};
use crate::stream::operators::scan::Scan;
use crate::stream::operators::thin::{Debounce, EveryNth, Sample};
use crate::stream::window::config::WindowConfig;
use crate::stream::window::{OnTime, Window, Windows};
use crate::units::Nanos;

/// What a stream does, as a value. Every call takes one description and returns another; a clone is an independent stream.
#[derive(Clone, Debug)]
pub struct Stream<O>(O);

/// A stream of one input.
type Chain<O, B> = Stream<Then<O, B>>;
/// Each element to one of two streams.
type Parted<O, T, F, A, B> = Chain<O, Then<Split<T, F>, Both<A, B>>>;
/// The same events to two streams.
type Tee<O, A, B> = Chain<O, Then<Fan<<O as Operator>::Out>, Both<A, B>>>;

/// The results of windows.
type OfWindows<O, T, A, K> = Chain<O, OnTime<Windows<T, A, K>>>;
/// Results to one stream, late elements to another.
type Windowed<O, T, R, K, A, B> = Chain<O, Then<Windows<T, R, K>, Both<A, B>>>;

impl<T> Stream<Input<T>> {
    /// Where a stream begins.
    pub fn input() -> Self {
        Self(Input::default())
    }
}

impl<O: Operator> Stream<O> {
    /// Goes on with any operator.
    pub fn then<B: Operator<In = O::Out>>(self, operator: B) -> Chain<O, B> {
        Stream(Then(self.0, operator))
    }

    /// Gives everything to two streams, each of which begins with [`Stream::input`].
    pub fn tee<A, B>(self, left: Stream<A>, right: Stream<B>) -> Tee<O, A, B>
    where
        O::Out: Copy,
        A: Operator<In = O::Out>,
        B: Operator<In = O::Out>,
    {
        self.then(Then(Fan::default(), Both(left.0, right.0)))
    }

    /// This stream and another side by side, with an input each.
    pub fn beside<B: Operator>(self, other: Stream<B>) -> Stream<Both<O, B>> {
        Stream(Both(self.0, other.0))
    }

    /// The operator as it was described, to be pushed into.
    pub fn start(self) -> Running<O> {
        Running(self.0)
    }
}

impl<T, O: Operator<Out = Event<T>>> Stream<O> {
    /// Only elements whose value satisfies `keep`.
    pub fn filter<F: Fn(&T) -> bool>(self, keep: F) -> Chain<O, Filter<T, F>> {
        self.then(Filter::new(keep))
    }

    /// Another value for each element.
    pub fn map<U, F: Fn(&T) -> U>(self, function: F) -> Chain<O, Map<T, F>> {
        self.then(Map::new(function))
    }

    /// Another value for some elements; the others are dropped.
    pub fn filter_map<U, F: Fn(&T) -> Option<U>>(self, function: F) -> Chain<O, FilterMap<T, F>> {
        self.then(FilterMap::new(function))
    }

    /// A state for each of so many keys, changed by each element. See [`Scan`].
    pub fn scan<S, U, K, F>(
        self,
        keys: usize,
        key: K,
        initial: S,
        step: F,
    ) -> Chain<O, Scan<T, S, K, F>>
    where
        S: Clone,
        K: Fn(&T) -> usize,
        F: Fn(&mut S, &Element<T>) -> Option<U>,
    {
        self.then(Scan::new(keys, key, initial, step))
    }

    /// Elements that satisfy the condition into one stream, all others into another.
    pub fn split<F, A, B>(
        self,
        condition: F,
        yes: Stream<A>,
        no: Stream<B>,
    ) -> Parted<O, T, F, A, B>
    where
        T: Copy,
        F: Fn(&T) -> bool,
        A: Operator<In = Event<T>>,
        B: Operator<In = Event<T>>,
    {
        self.then(Then(Split::new(condition), Both(yes.0, no.0)))
    }

    /// By event time, once nothing earlier can come; holds at most so many.
    pub fn in_order(self, capacity: usize) -> Chain<O, InOrder<T>>
    where
        T: Copy,
    {
        self.then(InOrder::new(capacity))
    }

    /// The last of each burst, once no other has followed for so long. See [`Debounce`].
    pub fn debounce(self, quiet: Nanos) -> Chain<O, Debounce<T>>
    where
        T: Copy,
    {
        self.then(Debounce::new(quiet))
    }

    /// The last of each period. See [`Sample`].
    pub fn sample(self, period: Nanos) -> Chain<O, Sample<T>>
    where
        T: Copy,
    {
        self.then(Sample::new(period))
    }

    /// One result for each window and key; late elements are counted and dropped. See [`window`](super::window).
    ///
    /// # Errors
    /// Windows that cannot be, with the reason.
    pub fn window<A, K>(
        self,
        config: &WindowConfig,
        key: K,
        aggregate: A,
    ) -> Result<OfWindows<O, T, A, K>>
    where
        T: Copy,
        A: Aggregate<In = T>,
        K: Fn(&T) -> usize,
    {
        Ok(self.then(OnTime(Windows::new(config, key, aggregate)?)))
    }

    /// As [`window`](Self::window), and late elements into a stream of their own.
    ///
    /// # Errors
    /// As [`window`](Self::window).
    pub fn window_and_late<R, K, A, B>(
        self,
        config: &WindowConfig,
        key: K,
        aggregate: R,
        results: Stream<A>,
        late: Stream<B>,
    ) -> Result<Windowed<O, T, R, K, A, B>>
    where
        T: Copy,
        R: Aggregate<In = T>,
        K: Fn(&T) -> usize,
        A: Operator<In = Event<Window<R::Out>>>,
        B: Operator<In = Event<T>>,
    {
        let windows = Windows::new(config, key, aggregate)?;
        Ok(self.then(Then(windows, Both(results.0, late.0))))
    }

    /// Every n-th element, beginning with the first.
    pub fn every_nth(self, n: u64) -> Chain<O, EveryNth<T>> {
        self.then(EveryNth::new(n))
    }
}

impl<T: Between, O: Operator<Out = Event<T>>> Stream<O> {
    /// What is missing from a periodic stream is made up, and marked so. See [`Fill`].
    pub fn fill(self, config: FillConfig<T>) -> Chain<O, Fill<T>> {
        self.then(Fill::new(config))
    }
}

impl<T, O: Operator<Out = Side<Event<T>, Event<T>>>> Stream<O> {
    /// Two streams of one type as one, in the order in which their elements come.
    pub fn merge(self) -> Chain<O, Merge<T>> {
        self.then(Merge::default())
    }
}

impl<L: Copy, R: Copy, O: Operator<Out = Side<Event<L>, Event<R>>>> Stream<O> {
    /// Pairs of two streams that lie close enough in time and fit. See [`Join`].
    pub fn join<F: Fn(&L, &R) -> bool>(
        self,
        from: Nanos,
        to: Nanos,
        capacity: usize,
        fits: F,
    ) -> Chain<O, Join<L, R, F>> {
        self.then(Join::new(from, to, capacity, fits))
    }
}

/// A stream at work.
#[derive(Clone, Debug)]
pub struct Running<O>(O);

impl<O: Operator> Running<O> {
    /// Pushes one event in and gives what follows from it to `out`.
    #[inline]
    pub fn push(&mut self, event: O::In, mut out: impl FnMut(O::Out)) {
        self.0.push(event, &mut out);
    }
}
