//! What travels through a stream: elements, and bounds between them.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::units::MonoTime;

/// One record of fixed size, with when it was true and where it came from.
///
/// Elements of a stream are ordered by `(at, source, seq)`; that they arrive in this order is not promised.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Element<T> {
    /// Event time: the instant at which the value was true.
    pub at: MonoTime,
    /// When it came into this process.
    pub arrived: MonoTime,
    /// The source's own counter.
    pub seq: u64,
    /// Which source it came from.
    pub source: u16,
    /// How it came about.
    pub origin: Origin,
    pub value: T,
}

/// Whether somebody measured an element, or the runtime made it up in place of one that was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    Measured,
    /// Made up. Never counts as a sign of life of its source.
    Filled,
}

impl<T> Element<T> {
    /// The same element with another value.
    pub fn with<U>(&self, value: U) -> Element<U> {
        Element {
            at: self.at,
            arrived: self.arrived,
            seq: self.seq,
            source: self.source,
            origin: self.origin,
            value,
        }
    }

    /// What orders elements of all streams.
    pub fn rank(&self) -> (MonoTime, u16, u64) {
        (self.at, self.source, self.seq)
    }
}

/// An element, or the promise that none before an instant comes any more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<T> {
    Element(Element<T>),
    /// Every later element has `at >= bound`. Bounds never go back. [`END`] says that nothing comes any more.
    ///
    /// Flink's watermark `w` ("nothing at or before `w` comes any more") is the bound `w + 1`.
    Bound(MonoTime),
    /// Nothing comes for a while: who joins this stream with others does not wait for it until its next element. That
    /// one may then lie before what the others have reached, and is late there.
    Idle,
}

impl<T> Event<T> {
    /// The same event with another value in it.
    pub fn map<U>(self, function: impl FnOnce(T) -> U) -> Event<U> {
        match self {
            Self::Element(element) => {
                let header = element.with(());
                Event::Element(header.with(function(element.value)))
            }
            Self::Bound(bound) => Event::Bound(bound),
            Self::Idle => Event::Idle,
        }
    }
}

/// The bound of a stream that has ended.
pub const END: MonoTime = MonoTime::FAR;

/// An event of one of two streams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side<L, R> {
    Left(L),
    Right(R),
}
