//! Windows: results over many elements, as soon as the bound says that none of them is missing.
//!
//! A window of time is `[start, end)`. It is over when the bound has reached `end`, and closed when it has reached
//! `end + lateness`. Results come by `(end, key, start)`, each before the bound that set it free. An element all of whose
//! windows are closed is late: it goes out at the right port as it came, so that nothing vanishes (the rule of Flink).
//!
//! Everything is kept in memory that was taken when the stream was built, whatever the rate: windows of time and of
//! elements share panes as wide as the greatest common divisor of size and slide; keys are numbers below `keys`.
//!
//! | kind | its windows |
//! |---|---|
//! | [`tumbling`, `sliding`](time) | of a fixed length, beginning at every multiple of the slide |
//! | [`count`] | the last so many elements of a key, after every so many of them |
//! | [`session`] | elements of a key no further apart than a gap |
//! | [`trailing`] | for each element what came within so long before it |
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use crate::error::Result;
use crate::state::bytes::Fields;
use crate::stream::aggregate::Aggregate;
use crate::stream::element::{Element, Event, Origin, Side};
use crate::stream::kept::{Kept, kept};
use crate::stream::operator::Operator;
use crate::stream::window::config::{Kind, WindowConfig};
use crate::stream::window::count::CountWindows;
use crate::stream::window::session::Sessions;
use crate::stream::window::time::TimeWindows;
use crate::stream::window::trailing::Trailing;
use crate::units::{MonoTime, Nanos};

// What a user says.
pub mod config;

// Parts that windows are put together from.
mod pane;

// Elements too far ahead to have a pane yet.
mod parked;

// The kinds.
pub mod time;

pub mod count;

pub mod session;

pub mod trailing;

/// What is said of one window of one key. As an element its time is the last instant of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window<R> {
    pub key: u32,
    pub start: MonoTime,
    /// The first instant that is not in it any more.
    pub end: MonoTime,
    /// How many elements.
    pub count: u64,
    /// Event times of the first and the last element; of an empty window, `start`.
    pub min_at: MonoTime,
    pub max_at: MonoTime,
    /// How many of the elements were made up.
    pub filled: u64,
    /// 0 for what is said first of this window, then 1, 2, …
    pub revision: u32,
    /// Nothing more will be said of this window.
    pub is_final: bool,
    pub result: R,
}

kept!(impl [R: Kept] Window<R> {
    key, start, end, count, min_at, max_at, filled, revision, is_final, result,
});

/// What became of the elements that came: `elements` is the sum of all after it but `parked` and `results`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that came.
    pub elements: u64,
    /// Those that are or were in a window, or are parked until they are.
    pub admitted: u64,
    /// Those that went out at the late port.
    pub late: u64,
    /// Dropped: their key is too high.
    pub without_place: u64,
    /// Dropped: they lie between two windows (`allow_gaps`).
    pub in_gap: u64,
    /// Dropped: neither panes nor buffer had room. A larger `disorder` or `buffer` prevents it.
    pub no_room: u64,
    /// Dropped: their time is none (more than 70 years from the clock's zero).
    pub impossible: u64,
    /// Of those admitted, those that at first were too far ahead of the bound to have a pane.
    pub parked: u64,
    /// Results given.
    pub results: u64,
}

kept!(impl [] Counts {
    elements, admitted, late, without_place, in_gap, no_room, impossible, parked, results,
});

/// What a window operator gives: results to the left, late elements to the right.
pub type Given<T, R> = Side<Event<Window<R>>, Event<T>>;

/// Times beyond this are no times. Sums of it with any length of a window stay in range.
const FARTHEST: u64 = 1 << 61;

fn is_possible(at: MonoTime) -> bool {
    at.0.unsigned_abs() < FARTHEST
}

/// Before the first bound.
const NO_BOUND: MonoTime = MonoTime(i64::MIN);

/// What every kind does with its input's bound.
#[derive(Clone, Debug)]
struct Out {
    counts: Counts,
    /// How long after its end a window waits for late elements.
    lateness: Nanos,
    /// The input's bound.
    reached: MonoTime,
    /// No result that is still to come lies before this.
    bound: MonoTime,
}

kept!(impl [] Out { counts, reached, bound });

impl Out {
    fn new(lateness: Nanos) -> Self {
        Self {
            counts: Counts::default(),
            lateness,
            reached: NO_BOUND,
            bound: NO_BOUND,
        }
    }

    /// A window's element. Its number is the operator's own.
    fn give<T, R>(
        &mut self,
        window: Window<R>,
        arrived: MonoTime,
        next: &mut impl FnMut(Given<T, R>),
    ) {
        let is_made_up = window.filled == window.count;
        let element = Element {
            at: (window.end - Nanos(1)).max(self.bound),
            arrived,
            seq: self.counts.results,
            source: 0,
            origin: if is_made_up {
                Origin::Filled
            } else {
                Origin::Measured
            },
            value: window,
        };
        self.counts.results += 1;
        next(Side::Left(Event::Element(element)));
    }

    fn late<T, R>(&mut self, element: Element<T>, next: &mut impl FnMut(Given<T, R>)) {
        self.counts.late += 1;
        next(Side::Right(Event::Element(element)));
    }

    /// Passes the bound on: results to come lie at or behind it less the lateness; of late elements nothing is known.
    fn pass_bound<T, R>(&mut self, next: &mut impl FnMut(Given<T, R>)) {
        let is_end = self.reached == MonoTime::FAR;
        let bound = if is_end {
            MonoTime::FAR
        } else {
            self.reached - self.lateness
        };
        if bound > self.bound {
            self.bound = bound;
            next(Side::Left(Event::Bound(bound)));
        }
        if is_end {
            next(Side::Right(Event::Bound(bound)));
        }
    }
}

/// What one kind of windows does with what comes. The rest is the same for all.
trait OfKind<T, R> {
    fn element(&mut self, element: Element<T>, next: &mut impl FnMut(Given<T, R>));

    /// Gives out what a bound sets free, which lies beyond the one before.
    fn advance(&mut self, bound: MonoTime, next: &mut impl FnMut(Given<T, R>));

    fn out(&mut self) -> &mut Out;
}

#[inline]
fn take<T, R>(
    windows: &mut impl OfKind<T, R>,
    event: Event<T>,
    next: &mut impl FnMut(Given<T, R>),
) {
    match event {
        Event::Element(element) => windows.element(element, next),
        Event::Bound(bound) if bound > windows.out().reached => {
            windows.advance(bound, next);
            windows.out().reached = bound;
            windows.out().pass_bound(next);
        }
        Event::Bound(_) => {}
        Event::Idle => {
            next(Side::Left(Event::Idle));
            next(Side::Right(Event::Idle));
        }
    }
}

/// Windows of the kind that a configuration asks for.
#[derive(Clone, Debug)]
pub enum Windows<T, A: Aggregate, K, P = fn(&T) -> bool> {
    Time(TimeWindows<T, A, K>),
    Count(CountWindows<T, A, K>),
    Session(Sessions<T, A, K>),
    Trailing(Trailing<T, A, K, P>),
}

impl<T, A, K, P> Kept for Windows<T, A, K, P>
where
    T: Copy + Default + Kept,
    A: Aggregate<In = T, State: Kept, Out: Default + Kept>,
{
    fn keep(&self, out: &mut Vec<u8>) {
        match self {
            Self::Time(windows) => windows.keep(out),
            Self::Count(windows) => windows.keep(out),
            Self::Session(windows) => windows.keep(out),
            Self::Trailing(windows) => windows.keep(out),
        }
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        match self {
            Self::Time(windows) => windows.put_back(from),
            Self::Count(windows) => windows.put_back(from),
            Self::Session(windows) => windows.put_back(from),
            Self::Trailing(windows) => windows.put_back(from),
        }
    }
}

impl<T: Copy, A, K> Windows<T, A, K>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
{
    /// `key` gives a number below `config.keys` for each value.
    ///
    /// # Errors
    /// As [`WindowConfig::check`], and when the windows would take more memory than is reasonable.
    pub fn new(config: &WindowConfig, key: K, aggregate: A) -> Result<Self> {
        Self::when(config, key, aggregate, |_| true)
    }
}

impl<T: Copy, A, K, P> Windows<T, A, K, P>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
    P: Fn(&T) -> bool,
{
    /// Trailing windows end only at elements whose value satisfies `trigger`; other kinds do not ask.
    ///
    /// # Errors
    /// As [`Windows::new`].
    pub fn when(config: &WindowConfig, key: K, aggregate: A, trigger: P) -> Result<Self> {
        config.check()?;
        config.check_memory(size_of::<T>(), size_of::<A::State>())?;
        Ok(match config.kind {
            Kind::Tumbling | Kind::Sliding => Self::Time(TimeWindows::new(config, key, aggregate)),
            Kind::Count => Self::Count(CountWindows::new(config, key, aggregate)),
            Kind::Session => Self::Session(Sessions::new(config, key, aggregate)),
            Kind::Trailing => Self::Trailing(Trailing::new(config, key, aggregate, trigger)),
        })
    }

    pub fn counts(&self) -> Counts {
        match self {
            Self::Time(windows) => windows.counts(),
            Self::Count(windows) => windows.counts(),
            Self::Session(windows) => windows.counts(),
            Self::Trailing(windows) => windows.counts(),
        }
    }
}

impl<T: Copy, A, K, P> Operator for Windows<T, A, K, P>
where
    A: Aggregate<In = T>,
    K: Fn(&T) -> usize,
    P: Fn(&T) -> bool,
{
    type In = Event<T>;
    type Out = Given<T, A::Out>;

    #[inline]
    fn push(&mut self, event: Event<T>, next: &mut impl FnMut(Self::Out)) {
        match self {
            Self::Time(windows) => take(windows, event, next),
            Self::Count(windows) => take(windows, event, next),
            Self::Session(windows) => take(windows, event, next),
            Self::Trailing(windows) => take(windows, event, next),
        }
    }
}

/// Only what goes to the left: results without late elements, which are counted.
#[derive(Clone, Debug)]
pub struct OnTime<W>(pub W);

impl<L, R, W: Operator<Out = Side<L, R>>> Operator for OnTime<W> {
    type In = W::In;
    type Out = L;

    #[inline]
    fn push(&mut self, event: W::In, next: &mut impl FnMut(L)) {
        self.0.push(event, &mut |given| {
            if let Side::Left(result) = given {
                next(result);
            }
        });
    }
}
