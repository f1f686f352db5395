//! Sound as one more sensor: so many readings a second of how loud it is.
//!
//! Values of a reading: [`Level::rms`] and [`Level::peak`] in dBFS, [`Level::crossings`] a second. A reading is about the
//! samples since the one before; its time is that of the last of them. With an [`Ear`] there is a fourth, if it is asked for:
//! the probability, 0 to 1, that the last 32 ms were speech.
//!
//! Thread: main until `start`, then the sensor's. Allocates: in `open`. Blocks: in `next`, until the deadline. Locks: no.
//! Syscalls: those of the [`Sound`].

use super::level::{Level, Meter};
use super::{Heard, Sound};
use crate::clock;
use crate::error::{Result, StepError};
use crate::rt::sync::Arc;
use crate::sensor::counters::SensorCounters;
use crate::sensor::{DOF_MAX, Reading, SensorSource};
use crate::speech::ear::Ear;
use crate::units::{Hertz, MonoTime, Nanos};

/// Values of a reading.
const VALUES: u8 = 3;

/// See the module.
pub struct SoundSensor {
    sound: Box<dyn Sound>,
    readings: Hertz,
    meter: Meter,
    /// Who listens to it.
    ear: Option<Ear>,
    /// Its probability of speech is among the values.
    tells_speech: bool,
    /// Samples of one reading at most.
    samples: Box<[f32]>,
    /// Samples taken, and those at which the reading ends that is being made.
    taken: u64,
    end: u64,
    /// Readings since the stream began or went on.
    made: u64,
    seq: u32,
    source_index: u8,
    /// The time of the last reading, if there was one.
    last: Option<MonoTime>,
    counters: Arc<SensorCounters>,
}

impl SoundSensor {
    pub fn new(
        sound: Box<dyn Sound>,
        readings: Hertz,
        source_index: u8,
        counters: Arc<SensorCounters>,
    ) -> Self {
        let mut sensor = Self {
            readings,
            meter: Meter::default(),
            ear: None,
            tells_speech: false,
            samples: Box::default(),
            taken: 0,
            end: 0,
            made: 0,
            seq: 0,
            source_index,
            last: None,
            counters,
            sound,
        };
        sensor.end = sensor.end_of(1);
        // A reading has at most one sample more than the one before.
        sensor.samples = vec![0.0; usize::try_from(sensor.end).unwrap_or(0) + 1].into();
        sensor
    }

    /// Has somebody listen, whose probability of speech is told as well.
    pub fn with_ear(self, ear: Ear, tells_speech: bool) -> Self {
        Self {
            ear: Some(ear),
            tells_speech,
            ..self
        }
    }

    /// The sample at which reading `number`, from 1, ends: readings are as even as whole samples allow.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "positive, and below 2^53 for a thousand years"
    )]
    fn end_of(&self, number: u64) -> u64 {
        let ends = number as f64 * (self.sound.rate() / self.readings.get());
        (ends.floor() as u64).max(number)
    }

    /// The stream was interrupted: what was begun is forgotten, and the readings that are missing are counted.
    fn begin_anew(&mut self) {
        self.meter.clear();
        if let Some(ear) = &mut self.ear {
            ear.forget();
        }
        self.taken = 0;
        self.made = 0;
        self.end = self.end_of(1);
    }

    /// Numbers the reading that ended at `at`; readings that an interruption swallowed leave a gap in the numbers.
    fn number(&mut self, at: MonoTime) -> u32 {
        let periods = match (self.last, self.made) {
            // The first after an interruption.
            (Some(last), 1) => {
                ((at - last).0 + self.readings.period().0 / 2) / self.readings.period().0.max(1)
            }
            _ => 1,
        };
        let step = u32::try_from(periods).unwrap_or(1).max(1);
        self.counters.gaps.add(u64::from(step - 1));
        self.seq = self.seq.wrapping_add(step);
        self.last = Some(at);
        self.seq
    }

    fn reading(&mut self, at: MonoTime) -> Reading {
        let arrived = clock::now();
        // A stamp is an estimate; nothing is heard before it was said.
        let at = at.min(arrived);
        self.made += 1;
        self.end = self.end_of(self.made + 1);
        let Level {
            rms,
            peak,
            crossings,
        } = self.meter.level(self.sound.rate());
        let mut values = [0.0; DOF_MAX];
        let speech = self.ear.as_ref().map_or(0.0, Ear::probability);
        values[..4].copy_from_slice(&[rms, peak, crossings, speech]);
        let len = VALUES + u8::from(self.tells_speech);
        values[usize::from(len)..].fill(0.0);
        self.counters.received.add(1);
        self.counters.accepted.add(1);
        self.counters.jitter.add(arrived - at);
        Reading {
            at,
            arrived,
            seq: self.number(at),
            source_index: self.source_index,
            len,
            values,
        }
    }
}

impl SensorSource for SoundSensor {
    fn describe(&self) -> String {
        format!(
            "{}; level, peak, zero crossings{} at {}",
            self.sound.describe(),
            if self.tells_speech { ", speech" } else { "" },
            self.readings
        )
    }

    fn start(&mut self) -> Result<()> {
        Ok(())
    }

    fn next(&mut self, deadline: MonoTime) -> Result<Option<Reading>, StepError> {
        // BOUND: ends at the deadline, or with a reading: each turn brings a sample or a wait.
        loop {
            let missing = usize::try_from(self.end - self.taken).unwrap_or(0);
            let room = missing.min(self.samples.len());
            match self.sound.read(&mut self.samples[..room], deadline) {
                Heard::Nothing => return Ok(None),
                Heard::Gap => self.begin_anew(),
                Heard::Samples { count, first } => {
                    self.meter.take(&self.samples[..count]);
                    if let Some(ear) = &mut self.ear {
                        ear.hear(&self.samples[..count], first, self.sound.rate());
                    }
                    self.taken += count as u64;
                    if self.taken >= self.end {
                        return Ok(Some(self.reading(first + self.sound_time(count - 1))));
                    }
                }
            }
            if clock::now() >= deadline {
                return Ok(None);
            }
        }
    }

    fn counters(&self) -> Option<Arc<SensorCounters>> {
        Some(Arc::clone(&self.counters))
    }
}

impl SoundSensor {
    #[expect(clippy::cast_precision_loss, reason = "samples of one reading")]
    fn sound_time(&self, samples: usize) -> Nanos {
        Nanos::from_secs_f64(samples as f64 / self.sound.rate())
    }
}
