//! The latest readings of one sensor, and its state at any instant among them.
//!
//! Thread: fusion. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: none.
//!
//! A picture was taken at an instant at which no sensor reported. The state of that instant lies on the
//! straight line between the readings before and after it. Where no such line can be drawn honestly (no
//! reading after it yet, or too long a gap) the last reading before it is held, up to an age; else the state
//! is missing, and a missing state has no values.

use crate::capture::Count;
use crate::policy::{State, StateStatus};
use crate::rt::sync::Arc;
use crate::sensor::{DOF_MAX, Reading};
use crate::stage::touch;
use crate::units::{MonoTime, Nanos};

/// BOUND: readings that a late one may be put before. At 1 kHz that is 32 ms of reordering, at 100 Hz 320 ms.
const LATE_STEPS_MAX: usize = 32;

/// `[history]` of the configuration.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryConfig {
    /// Readings kept, 2 to 65536. Default 512: five seconds at 100 Hz.
    #[serde(deserialize_with = "readings")]
    pub readings: u32,
    /// A reading is held at most this long, 0 or more. Default 100 ms.
    #[serde(deserialize_with = "not_negative")]
    pub max_age: Nanos,
    /// Readings further apart than this are not joined by a line, 0 or more. Default 100 ms.
    #[serde(deserialize_with = "not_negative")]
    pub max_gap: Nanos,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            readings: 512,
            max_age: Nanos::from_millis(100),
            max_gap: Nanos::from_millis(100),
        }
    }
}

fn readings<'de, D: serde::Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    let count: u32 = serde::Deserialize::deserialize(d)?;
    if !(2..=65_536).contains(&count) {
        return Err(serde::de::Error::custom(format!(
            "a history of {count} readings: write 2 to 65536"
        )));
    }
    Ok(count)
}

fn not_negative<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    let age: Nanos = serde::Deserialize::deserialize(d)?;
    if age < Nanos::ZERO {
        return Err(serde::de::Error::custom(format!(
            "an age of {age} is below zero: write 0 or more, such as \"100 ms\""
        )));
    }
    Ok(age)
}

/// What became of the readings, and how states were found. Written by the fusion thread only; any thread may read.
///
/// `pushed = kept + replaced + too_late + wrong_len`, where what is kept may since have been overwritten by newer
/// readings.
#[derive(Debug, Default)]
pub struct HistoryCounters {
    pub pushed: Count,
    /// Came after a newer one and was put in its place in time.
    pub reordered: Count,
    /// Had the time stamp of one already there, and took its place.
    pub replaced: Count,
    /// Older than the oldest kept, or than the newest by more than 32 readings: dropped.
    pub too_late: Count,
    /// Another number of values than the first reading: dropped.
    pub wrong_len: Count,

    /// States asked for that lay between readings, or at one.
    pub interpolated: Count,
    /// States asked for that were an older reading's.
    pub held: Count,
    /// States asked for that nobody knew.
    pub missing: Count,
}

/// See the module.
#[derive(Debug)]
pub struct History {
    /// A ring in time order: the oldest stands at `start`.
    ring: Box<[Reading]>,
    start: usize,
    len: usize,
    max_age: Nanos,
    max_gap: Nanos,
    counters: Arc<HistoryCounters>,
}

impl History {
    pub fn new(config: &HistoryConfig) -> Self {
        let nothing = Reading {
            at: MonoTime::ZERO,
            arrived: MonoTime::ZERO,
            seq: 0,
            source_index: 0,
            len: 0,
            values: [0.0; DOF_MAX],
        };
        Self {
            ring: vec![nothing; config.readings.max(2) as usize].into_boxed_slice(),
            start: 0,
            len: 0,
            max_age: config.max_age,
            max_gap: config.max_gap,
            counters: Arc::default(),
        }
    }

    pub fn counters(&self) -> Arc<HistoryCounters> {
        Arc::clone(&self.counters)
    }

    /// Readings kept now.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The reading with the newest event time.
    pub fn newest(&self) -> Option<&Reading> {
        self.len.checked_sub(1).map(|last| self.get(last))
    }

    /// Puts a reading in its place in time.
    pub fn push(&mut self, reading: &Reading) {
        self.counters.pushed.add(1);
        if self.newest().is_some_and(|n| n.len != reading.len) {
            self.counters.wrong_len.add(1);
            return;
        }
        // BOUND: LATE_STEPS_MAX readings are looked at.
        let mut place = self.len;
        while place > 0 && self.get(place - 1).at > reading.at {
            if self.len - place == LATE_STEPS_MAX {
                self.counters.too_late.add(1);
                return;
            }
            place -= 1;
        }
        if place > 0 && self.get(place - 1).at == reading.at {
            *self.get_mut(place - 1) = *reading;
            self.counters.replaced.add(1);
            return;
        }
        if self.len == self.ring.len() {
            if place == 0 {
                self.counters.too_late.add(1);
                return;
            }
            self.start = (self.start + 1) % self.ring.len();
            self.len -= 1;
            place -= 1;
        }
        self.counters.reordered.add(u64::from(place < self.len));
        // BOUND: at most LATE_STEPS_MAX readings move.
        for index in (place..self.len).rev() {
            *self.get_mut(index + 1) = *self.get(index);
        }
        *self.get_mut(place) = *reading;
        self.len += 1;
    }

    /// The state at an instant, counted by how it was found. The cases, in order:
    /// - at a reading's own time: that reading, `Interpolated`;
    /// - before the oldest reading: `Missing`, nothing is made up backwards;
    /// - between two readings at most `max_gap` apart: on the line between them, `Interpolated`;
    /// - after the newest, or in a longer gap: the reading before it, `Held` if at most `max_age` old,
    ///   else `Missing`.
    pub fn at(&self, at: MonoTime) -> State {
        let state = self.find(at);
        let count = match state.status {
            StateStatus::Interpolated => &self.counters.interpolated,
            StateStatus::Held(_) => &self.counters.held,
            StateStatus::Missing => &self.counters.missing,
        };
        count.add(1);
        state
    }

    /// Looks for the state at an instant and counts nothing, so that the look that counts finds it in the caches.
    pub fn rehearse(&self, at: MonoTime) {
        touch((self.find(at), self.counters.held.get()));
    }

    fn find(&self, at: MonoTime) -> State {
        let after = self.first_after(at);
        let Some(before) = after.checked_sub(1).map(|index| self.get(index)) else {
            return missing(at);
        };
        let age = at - before.at;
        if age == Nanos::ZERO {
            return state(at, before, StateStatus::Interpolated);
        }
        if after < self.len {
            let next = self.get(after);
            if next.at - before.at <= self.max_gap {
                return between(at, before, next);
            }
        }
        if age <= self.max_age {
            return state(at, before, StateStatus::Held(age));
        }
        missing(at)
    }

    /// The place of the first reading later than `at`; `len` if there is none. Binary search.
    fn first_after(&self, at: MonoTime) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).at <= at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn get(&self, index: usize) -> &Reading {
        &self.ring[(self.start + index) % self.ring.len()]
    }

    fn get_mut(&mut self, index: usize) -> &mut Reading {
        let place = (self.start + index) % self.ring.len();
        &mut self.ring[place]
    }
}

fn missing(at: MonoTime) -> State {
    State {
        at,
        status: StateStatus::Missing,
        len: 0,
        values: [0.0; DOF_MAX],
    }
}

fn state(at: MonoTime, reading: &Reading, status: StateStatus) -> State {
    State {
        at,
        status,
        len: reading.len,
        values: reading.values,
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "gaps are far below 2^53 ns; computed in f64, stored as f32"
)]
fn between(at: MonoTime, before: &Reading, after: &Reading) -> State {
    let share = (at - before.at).0 as f64 / (after.at - before.at).0 as f64;
    let mut state = state(at, before, StateStatus::Interpolated);
    for (value, next) in state.values.iter_mut().zip(&after.values) {
        let (from, to) = (f64::from(*value), f64::from(*next));
        *value = (from + (to - from) * share) as f32;
    }
    state
}
