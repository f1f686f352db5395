//! Elements, events and chance for the tests.

use reflexarc::stream::element::{Element, Event, Origin};
use reflexarc::units::MonoTime;

/// An element that arrived as it happened.
pub fn element<T>(at: i64, seq: u64, value: T) -> Element<T> {
    Element {
        at: MonoTime(at),
        arrived: MonoTime(at),
        seq,
        source: 0,
        origin: Origin::Measured,
        value,
    }
}

pub fn value<T>(at: i64, value: T) -> Event<T> {
    Event::Element(element(at, at.unsigned_abs(), value))
}

pub fn bound<T>(at: i64) -> Event<T> {
    Event::Bound(MonoTime(at))
}

/// Marsaglia's xorshift: the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}
