//! `merge`: two streams into one, and how far time has come in both.
//!
//! Thread: whichever runs the stream. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use std::marker::PhantomData;

use crate::stream::element::{Event, Side};
use crate::stream::operator::Operator;
use crate::units::MonoTime;

/// How far time has come in several inputs together: the least of the bounds of those that are not idle, or of all where
/// all are. Never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Progress<const N: usize> {
    bounds: [MonoTime; N],
    idle: [bool; N],
    reached: MonoTime,
}

impl<const N: usize> Default for Progress<N> {
    fn default() -> Self {
        Self {
            bounds: [MonoTime(i64::MIN); N],
            idle: [false; N],
            reached: MonoTime(i64::MIN),
        }
    }
}

impl<const N: usize> Progress<N> {
    /// Where all inputs together have come to.
    pub fn reached(&self) -> MonoTime {
        self.reached
    }

    /// The bound of one input.
    pub fn of(&self, input: usize) -> MonoTime {
        self.bounds[input]
    }

    /// An element came from this input: it is awake.
    pub fn awake(&mut self, input: usize) {
        self.idle[input] = false;
    }

    /// This input's bound. Some if all together have come further.
    pub fn bound(&mut self, input: usize, bound: MonoTime) -> Option<MonoTime> {
        self.bounds[input] = self.bounds[input].max(bound);
        self.advance()
    }

    /// This input is not waited for. Some if all together have come further.
    pub fn idle(&mut self, input: usize) -> Option<MonoTime> {
        self.idle[input] = true;
        self.advance()
    }

    /// True when no input is waited for.
    pub fn is_idle(&self) -> bool {
        self.idle.iter().all(|idle| *idle)
    }

    fn advance(&mut self) -> Option<MonoTime> {
        let all = self.is_idle();
        let inputs = self.bounds.iter().zip(&self.idle);
        let least = inputs
            .filter(|(_, idle)| all || !**idle)
            .map(|(bound, _)| *bound)
            .min()?;
        (least > self.reached).then(|| {
            self.reached = least;
            least
        })
    }
}

/// The elements of two streams as they come.
#[derive(Clone, Debug)]
pub struct Merge<T> {
    progress: Progress<2>,
    value: PhantomData<fn(T)>,
}

impl<T> Default for Merge<T> {
    fn default() -> Self {
        Self {
            progress: Progress::default(),
            value: PhantomData,
        }
    }
}

impl<T> Operator for Merge<T> {
    type In = Side<Event<T>, Event<T>>;
    type Out = Event<T>;

    #[inline]
    fn push(&mut self, event: Self::In, next: &mut impl FnMut(Event<T>)) {
        let (input, event) = match event {
            Side::Left(event) => (0, event),
            Side::Right(event) => (1, event),
        };
        let further = match event {
            Event::Element(_) => {
                self.progress.awake(input);
                next(event);
                return;
            }
            Event::Bound(bound) => self.progress.bound(input, bound),
            Event::Idle => self.progress.idle(input),
        };
        if let Some(bound) = further {
            next(Event::Bound(bound));
        }
        if self.progress.is_idle() {
            next(Event::Idle);
        }
    }
}
