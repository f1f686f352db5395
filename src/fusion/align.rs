//! Sensors at the instant of a frame: their readings in lanes of the stream engine, and what a policy gets of them.
//!
//! Thread: fusion. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: none.

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

use crate::capture::Count;
use crate::policy::State;
use crate::rt::sync::Arc;
use crate::sensor::{DOF_MAX, Reading};
use crate::stage::touch;
use crate::stream::align::choice::{Answer, Between, Choice, Status, slerp};
use crate::stream::align::lane::Lane;
use crate::stream::element::{Element, Event, Origin};
use crate::stream::time::{SourceTime, SourceTimeConfig};
use crate::units::{MonoTime, Nanos};

/// BOUND: readings that a late one may be put before. At 1 kHz that is 32 ms of reordering, at 100 Hz 320 ms.
const LATE_STEPS_MAX: usize = 32;

/// BOUND: the longest that fusion may wait for a reading: the goal of the whole stage.
const WAIT_MAX: Nanos = Nanos::from_millis(50);

/// `[align]` of the configuration, and `[sensor.align]` for one sensor.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlignConfig {
    /// `"interpolate"` (default), `"nearest"`, `"hold"` or `"latest"`.
    pub choice: ChoiceName,
    /// Readings kept, 2 to 65536. Default 512: five seconds at 100 Hz.
    #[serde(deserialize_with = "readings")]
    pub readings: u32,
    /// A reading is held at most this long, 0 or more. Default 100 ms.
    #[serde(deserialize_with = "not_negative")]
    pub max_age: Nanos,
    /// Readings further apart than this are not joined by a line, 0 or more. Default 100 ms.
    #[serde(deserialize_with = "not_negative")]
    pub max_gap: Nanos,
    /// The nearest reading may be so far away, 0 or more. Default 50 ms.
    #[serde(deserialize_with = "not_negative")]
    pub tolerance: Nanos,
    /// Behind the newest reading the values go on as they went last, for at most this long, 0 or more. Default 0: they are
    /// held.
    #[serde(deserialize_with = "not_negative")]
    pub max_ahead: Nanos,
    /// The state when nobody knows it, at most 16 values. Default: none, and the policy is told that it is missing.
    #[serde(deserialize_with = "default_state")]
    pub default: Vec<f32>,
    /// Where a unit quaternion begins among the values, 0 to 12; it turns on the shorter arc. Default: there is none.
    #[serde(deserialize_with = "quaternion")]
    pub quaternion: Option<u8>,
    /// A reading may arrive after one that is so much later, 0 or more. Only matters with `wait`. Default 0.
    #[serde(deserialize_with = "not_negative")]
    pub disorder: Nanos,
    /// How long after a frame's arrival fusion waits for the readings around it, 0 to 50 ms. Default 0: by then the
    /// features have taken longer than the readings.
    #[serde(deserialize_with = "wait")]
    pub wait: Nanos,
}

/// What a state is made of where a sensor knows better than nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChoiceName {
    /// The line between the readings before and after.
    #[default]
    Interpolate,
    /// The nearest reading.
    Nearest,
    /// The reading before.
    Hold,
    /// The newest reading, whatever its time.
    Latest,
}

impl Default for AlignConfig {
    fn default() -> Self {
        Self {
            choice: ChoiceName::default(),
            readings: 512,
            max_age: Nanos::from_millis(100),
            max_gap: Nanos::from_millis(100),
            tolerance: Nanos::from_millis(50),
            max_ahead: Nanos::ZERO,
            default: Vec::new(),
            quaternion: None,
            disorder: Nanos::ZERO,
            wait: Nanos::ZERO,
        }
    }
}

fn readings<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    let count = u32::deserialize(d)?;
    if !(2..=65_536).contains(&count) {
        return Err(D::Error::custom(format!(
            "{count} readings to align by: write 2 to 65536"
        )));
    }
    Ok(count)
}

fn not_negative<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    let span = Nanos::deserialize(d)?;
    if span < Nanos::ZERO {
        return Err(D::Error::custom(format!(
            "a time of {span} is below zero: write 0 or more, such as \"100 ms\""
        )));
    }
    Ok(span)
}

fn wait<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    let wait = not_negative(d)?;
    if wait > WAIT_MAX {
        return Err(D::Error::custom(format!(
            "a wait of {wait} for readings: at most {WAIT_MAX}, which is the goal of the whole fusion stage"
        )));
    }
    Ok(wait)
}

fn default_state<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f32>, D::Error> {
    let values = Vec::<f32>::deserialize(d)?;
    if values.len() > DOF_MAX || values.iter().any(|value| !value.is_finite()) {
        return Err(D::Error::custom(format!(
            "a default state of {} values: write at most {DOF_MAX} finite ones",
            values.len()
        )));
    }
    Ok(values)
}

fn quaternion<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u8>, D::Error> {
    let first = u8::deserialize(d)?;
    if usize::from(first) + 4 > DOF_MAX {
        return Err(D::Error::custom(format!(
            "a quaternion that begins at value {first} ends behind the last value: write 0 to {}",
            DOF_MAX - 4
        )));
    }
    Ok(Some(first))
}

impl AlignConfig {
    fn chain(&self) -> Vec<Choice<Values>> {
        let mut chain = vec![match self.choice {
            ChoiceName::Interpolate => Choice::Interpolate {
                max_gap: self.max_gap,
            },
            ChoiceName::Nearest => Choice::Nearest {
                tolerance: self.tolerance,
            },
            ChoiceName::Hold => Choice::Hold {
                max_age: self.max_age,
            },
            ChoiceName::Latest => Choice::Latest,
        }];
        if self.max_ahead > Nanos::ZERO {
            chain.push(Choice::Predict {
                max_ahead: self.max_ahead,
                max_gap: self.max_gap,
            });
        }
        if self.choice != ChoiceName::Hold {
            chain.push(Choice::Hold {
                max_age: self.max_age,
            });
        }
        if !self.default.is_empty() {
            let mut values = [0.0; DOF_MAX];
            values[..self.default.len()].copy_from_slice(&self.default);
            chain.push(Choice::Default(Values {
                len: u8::try_from(self.default.len()).unwrap_or(u8::MAX),
                quaternion: self.quaternion,
                values,
            }));
        }
        chain
    }
}

/// What became of the readings, and how states were found. Written by the fusion thread only; any thread may read.
///
/// `pushed = kept + too_late + wrong_len`, where what is kept may since have been overwritten by newer readings.
#[derive(Debug, Default)]
pub struct AlignCounters {
    pub pushed: Count,
    /// Came after a later one and were put in their place in time.
    pub reordered: Count,
    /// Older than the oldest kept, or than the newest by more than 32 readings: dropped.
    pub too_late: Count,
    /// Another number of values than the first reading: dropped.
    pub wrong_len: Count,

    /// States asked for that were a reading's own.
    pub exact: Count,
    /// Between two readings.
    pub interpolated: Count,
    /// The nearest reading's.
    pub nearest: Count,
    /// The newest reading's.
    pub latest: Count,
    /// Beyond the newest reading, as it went on.
    pub predicted: Count,
    /// An older reading's.
    pub held: Count,
    /// The configured one.
    pub default: Count,
    /// Nobody knew.
    pub missing: Count,
    /// Frames whose fusion waited for a reading, and got it.
    pub waited: Count,
    /// Frames whose fusion waited for a reading in vain.
    pub gave_up: Count,
}

impl AlignCounters {
    fn of(&self, status: Status) -> &Count {
        match status {
            Status::Exact => &self.exact,
            Status::Interpolated(_) => &self.interpolated,
            Status::Nearest(_) => &self.nearest,
            Status::Latest(_) => &self.latest,
            Status::Predicted(_) => &self.predicted,
            Status::Held(_) => &self.held,
            Status::Default => &self.default,
            Status::Missing => &self.missing,
        }
    }
}

/// The values of one reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Values {
    len: u8,
    quaternion: Option<u8>,
    values: [f32; DOF_MAX],
}

impl Between for Values {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "computed in f64, given as what came in"
    )]
    fn between(&self, other: &Self, share: f64) -> Self {
        let mut out = *self;
        for (value, to) in out.values.iter_mut().zip(&other.values) {
            *value = value.between(to, share);
        }
        if let Some(first) = self.quaternion.map(usize::from) {
            let of =
                |values: &[f32; DOF_MAX]| std::array::from_fn(|i| f64::from(values[first + i]));
            let turned = slerp(of(&self.values), of(&other.values), share);
            for (value, turned) in out.values[first..].iter_mut().zip(turned) {
                *value = turned as f32;
            }
        }
        out
    }
}

/// One sensor's readings, and its state at any instant among them.
#[derive(Debug)]
pub struct SensorLane {
    lane: Lane<Values>,
    time: SourceTime,
    chain: Vec<Choice<Values>>,
    quaternion: Option<u8>,
    wait: Nanos,
    len: Option<u8>,
    counters: Arc<AlignCounters>,
}

impl SensorLane {
    pub fn new(config: &AlignConfig) -> Self {
        let time = SourceTimeConfig {
            disorder: config.disorder,
            // The sensor's own intake has put aside what lies in the future.
            max_future: Nanos::MAX,
            ..SourceTimeConfig::default()
        };
        Self {
            lane: Lane::new(config.readings as usize, LATE_STEPS_MAX),
            time: SourceTime::new(time),
            chain: config.chain(),
            quaternion: config.quaternion,
            wait: config.wait,
            len: None,
            counters: Arc::default(),
        }
    }

    pub fn counters(&self) -> Arc<AlignCounters> {
        Arc::clone(&self.counters)
    }

    /// Readings kept now.
    pub fn len(&self) -> usize {
        self.lane.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lane.is_empty()
    }

    /// When the newest reading was true.
    pub fn newest(&self) -> Option<MonoTime> {
        self.lane.latest().map(|element| element.at)
    }

    /// How long after its arrival a frame's fusion may wait for this sensor.
    pub fn wait(&self) -> Nanos {
        self.wait
    }

    /// Puts a reading in its place in time.
    pub fn push(&mut self, reading: &Reading) {
        self.counters.pushed.add(1);
        if *self.len.get_or_insert(reading.len) != reading.len {
            self.counters.wrong_len.add(1);
            return;
        }
        let element = Element {
            at: reading.at,
            arrived: reading.arrived,
            seq: u64::from(reading.seq),
            source: u16::from(reading.source_index),
            origin: Origin::Measured,
            value: Values {
                len: reading.len,
                quaternion: self.quaternion,
                values: reading.values,
            },
        };
        let before = self.lane.counts();
        self.lane.push(&element);
        let now = self.lane.counts();
        self.counters
            .reordered
            .add(now.reordered - before.reordered);
        self.counters.too_late.add(now.too_late - before.too_late);
        let lane = &mut self.lane;
        self.time.learn(reading.at, &mut |event: Event<()>| {
            if let Event::Bound(bound) = event {
                lane.raise(bound);
            }
        });
    }

    /// True if no reading that comes in time can change the state at this instant.
    pub fn is_settled(&self, at: MonoTime) -> bool {
        self.lane.choose_first(at, &self.chain).is_settled
    }

    /// Takes note of a wait for readings around this instant.
    pub fn count_wait(&self, at: MonoTime) {
        let count = if self.is_settled(at) {
            &self.counters.waited
        } else {
            &self.counters.gave_up
        };
        count.add(1);
    }

    /// The state at an instant, counted by how it was found.
    pub fn at(&self, at: MonoTime) -> State {
        let answer = self.lane.choose_first(at, &self.chain);
        self.counters.of(answer.status).add(1);
        state(at, &answer)
    }

    /// Looks for the state at an instant and counts nothing, so that the look that counts finds it in the caches.
    pub fn rehearse(&self, at: MonoTime) {
        let answer = self.lane.choose_first(at, &self.chain);
        touch((state(at, &answer), self.counters.of(answer.status).get()));
    }
}

fn state(at: MonoTime, answer: &Answer<Values>) -> State {
    let values = answer.value.unwrap_or_default();
    State {
        at,
        status: answer.status,
        is_filled: answer.is_filled,
        len: values.len,
        values: values.values,
    }
}
