//! From the records of a run to the elements of its ports.
//!
//! Thread: main. Allocates: no. Blocks: no. Locks: no.

use crate::policy::Phase;
use crate::sensor::{DOF_MAX, Reading};
use crate::stream::configured::port::{AGE, Port, Row, SPEED};
use crate::stream::element::{Element, Origin};
use crate::stream::kept::kept;
use crate::telemetry::record::Record;
use crate::telemetry::trace::Mark;
use crate::units::{MonoTime, Nanos};

/// Sensors whose speeds can be told.
// BOUND: `source_index` of a reading is this wide; a robot has a handful.
const SENSORS_MAX: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Tap {
    /// The reading before, of each sensor.
    before: [Option<Reading>; SENSORS_MAX],
    /// Elements that each port has given: the numbers of those that have none of their own.
    given: u64,
}

kept!(impl [] Reading { at, arrived, seq, source_index, len, values });
kept!(impl [] Tap { before, given });

impl Default for Tap {
    fn default() -> Self {
        Self {
            before: [None; SENSORS_MAX],
            given: 0,
        }
    }
}

impl Tap {
    /// The element that a record tells of, if it does.
    pub fn element(&mut self, record: &Record) -> Option<(Port, Element<Row>)> {
        self.given += 1;
        Some(match record {
            Record::Reading(reading) => (Port::Sensor(reading.source_index), self.reading(reading)),
            Record::Frame(trace) => {
                let ms = |from, to| (trace.at(to) - trace.at(from)).as_millis_f64();
                let values = [
                    ms(Mark::Captured, Mark::Written),
                    ms(Mark::HandedOver, Mark::Encoded),
                    ms(Mark::Encoded, Mark::Fused),
                ];
                let times = (trace.at(Mark::Captured), trace.at(Mark::Written));
                (Port::Frame, self.numbered(times, &values))
            }
            Record::Tick(tick) => {
                let age = if tick.captured.is_set() {
                    tick.written - tick.captured
                } else {
                    Nanos::ZERO
                };
                let values = [
                    age.as_millis_f64(),
                    (tick.begin - tick.scheduled).as_millis_f64(),
                    f64::from(tick.rung as u8),
                    f64::from(tick.missed),
                ];
                let times = (tick.scheduled, tick.written);
                (Port::Action, self.numbered(times, &values))
            }
            Record::Policy { at, status } => {
                let values = [
                    f64::from(status.confidence),
                    f64::from(status.match_score),
                    f64::from(status.object),
                    phase(status.phase),
                    f64::from(status.offset[0]),
                    f64::from(status.offset[1]),
                ];
                (Port::Policy, self.numbered((*at, *at), &values))
            }
            Record::InstructionReady {
                id,
                received,
                encoded,
            } => {
                let values = [f64::from(*id), (*encoded - *received).as_millis_f64()];
                let times = (*received, *encoded);
                (Port::Instruction, self.numbered(times, &values))
            }
            Record::Step(_) | Record::RungChange { .. } => return None,
        })
    }

    fn reading(&mut self, reading: &Reading) -> Element<Row> {
        let mut row = Row::default();
        for (field, value) in row.0.iter_mut().zip(reading.values()) {
            *field = f64::from(*value);
        }
        let before = self.before.get_mut(usize::from(reading.source_index));
        let before = before.and_then(|before| before.replace(*reading));
        let seconds = before.map(|before| (reading.at - before.at).as_secs_f64());
        if let Some((before, seconds)) = before.zip(seconds.filter(|seconds| *seconds > 0.0)) {
            let count = usize::from(reading.len.min(before.len));
            let mut sum = 0.0;
            for place in 0..count {
                let change = row.0[place] - f64::from(before.values[place]);
                row.0[DOF_MAX + place] = change / seconds;
                sum += change.abs() / seconds;
            }
            row.0[SPEED] = sum / f64::from(reading.len.max(1));
        }
        row.0[AGE] = (reading.arrived - reading.at).as_millis_f64();
        Element {
            at: reading.at,
            arrived: reading.arrived,
            seq: u64::from(reading.seq),
            source: u16::from(reading.source_index),
            origin: Origin::Measured,
            value: row,
        }
    }

    fn numbered(&self, (at, arrived): (MonoTime, MonoTime), values: &[f64]) -> Element<Row> {
        let mut row = Row::default();
        row.0[..values.len()].copy_from_slice(values);
        Element {
            at,
            arrived,
            seq: self.given,
            source: 0,
            origin: Origin::Measured,
            value: row,
        }
    }
}

fn phase(phase: Phase) -> f64 {
    f64::from(match phase {
        Phase::Idle => 0,
        Phase::NoMatch => 1,
        Phase::Searching => 2,
        Phase::Tracking => 3,
        Phase::Locked => 4,
        Phase::NotFound => 5,
    })
}
