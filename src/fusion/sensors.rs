//! Where sensor readings come into fusion, and how long it waits for them.
//!
//! Thread: fusion, or a neighbour's by a plain call. Allocates: when built. Blocks: at most as long as `[align]` says, 0 by
//! default. Locks: no. Syscalls: one futex wait where it blocks.

use crate::clock;
use crate::frame::FrameMeta;
use crate::fusion::align::SensorLane;
use crate::fusion::decider::Decider;
use crate::record::tap::{FusionEvent, FusionTap};
use crate::rt::wait::Bell;
use crate::sensor::Reading;
use crate::stage::Inlet;
use crate::telemetry::probe::Probe;
use crate::telemetry::record::Record;

/// One sensor.
pub struct SensorInput {
    pub readings: Inlet<Reading>,
    pub lane: SensorLane,
}

/// The links of all sensors. See the module.
pub struct SensorLinks {
    links: Vec<Inlet<Reading>>,
    /// Rung by every reading if one is ever waited for, else silent.
    bell: Bell,
}

impl SensorLinks {
    pub fn new(links: Vec<Inlet<Reading>>, bell: Bell) -> Self {
        Self { links, bell }
    }

    /// Takes the readings that have come.
    pub fn read(&mut self, decider: &mut Decider, probe: &mut Probe, tap: &mut Option<FusionTap>) {
        for (sensor, readings) in self.links.iter_mut().enumerate() {
            // BOUND: the capacity of the link.
            while let Some(reading) = readings.pop() {
                if readings.is_expired(&reading) {
                    continue;
                }
                probe.record(Record::Reading(reading));
                decider.read(sensor, &reading);
                if let Some(tap) = tap {
                    let sensor = u8::try_from(sensor).unwrap_or(u8::MAX);
                    tap.tell(FusionEvent::Read { sensor, reading });
                }
            }
        }
    }

    /// Waits for the readings around a frame's time, where the configuration says so and they are not there yet.
    pub fn wait(
        &mut self,
        frame: &FrameMeta,
        decider: &mut Decider,
        probe: &mut Probe,
        tap: &mut Option<FusionTap>,
    ) {
        let at = frame.captured;
        // BOUND: the sensors of the configuration; all waits run from the frame's arrival, and none is above 50 ms.
        for sensor in 0..self.links.len() {
            let deadline = frame.arrived + decider.lane(sensor).wait();
            if decider.lane(sensor).is_settled(at) || clock::now() >= deadline {
                continue;
            }
            // BOUND: until the deadline; each turn has taken a reading, or is the last.
            let mut came = true;
            while came && !decider.lane(sensor).is_settled(at) {
                let readings = &self.links[sensor];
                came = self.bell.sleep(deadline, || !readings.is_empty());
                self.read(decider, probe, tap);
            }
            decider.lane(sensor).count_wait(at);
        }
    }
}
