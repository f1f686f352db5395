//! The fusion stage: brings instruction and sensor state to the frame's time, runs the policy, publishes
//! one chunk of actions.
//!
//! Thread: fusion, or a neighbour's by a plain call. Allocates: when built. Blocks: no. Locks: no.
//! Syscalls: at most one futex wake.

use crate::action::Chunk;
use crate::clock;
use crate::features::stage::Features;
use crate::fusion::history::History;
use crate::language::Instruction;
use crate::link::{EveryReader, EveryWriter, NewestReader, NewestWriter};
use crate::policy::{Aligned, Policy, PolicyStatus, State, StateStatus};
use crate::rt::sync::Arc;
use crate::sensor::{DOF_MAX, Reading};
use crate::stage::{StageCount, Step};
use crate::telemetry::probe::Probe;
use crate::telemetry::record::{self, Outcome, Record};
use crate::telemetry::trace::{Mark, Stage};
use crate::units::MonoTime;

/// One sensor as fusion sees it.
pub struct SensorInput {
    pub readings: EveryReader<Reading>,
    pub history: History,
}

/// See the module.
pub struct FusionStage {
    policy: Box<dyn Policy>,
    sensors: Vec<SensorInput>,
    instructions: NewestReader<Instruction>,
    instruction: Option<Instruction>,
    chunk: Chunk,
    chunks: NewestWriter<Chunk>,
    maps_home: EveryWriter<Features>,
    status: PolicyStatus,
    count: Arc<StageCount>,
    probe: Probe,
}

impl FusionStage {
    pub fn new(
        policy: Box<dyn Policy>,
        sensors: Vec<SensorInput>,
        instructions: NewestReader<Instruction>,
        chunks: NewestWriter<Chunk>,
        maps_home: EveryWriter<Features>,
        probe: Probe,
    ) -> Self {
        let chunk = Chunk::new(policy.dof());
        Self {
            policy,
            sensors,
            instructions,
            instruction: None,
            chunk,
            chunks,
            maps_home,
            status: PolicyStatus::default(),
            count: Arc::default(),
            probe,
        }
    }

    pub fn count(&self) -> Arc<StageCount> {
        Arc::clone(&self.count)
    }

    fn read_side_inputs(&mut self) {
        for sensor in &mut self.sensors {
            // BOUND: the capacity of the link.
            while let Some(reading) = sensor.readings.pop() {
                self.probe.record(Record::Reading {
                    source_index: reading.source_index,
                    at: reading.at,
                    arrived: reading.arrived,
                });
                sensor.history.push(&reading);
            }
        }
        if let Some(instruction) = self.instructions.pop() {
            self.probe.record(Record::InstructionReady {
                id: instruction.id,
                received: instruction.received,
                encoded: instruction.encoded,
            });
            self.instruction = Some(instruction);
        }
    }

    /// The state at the frame's time. A policy sees the first sensor; further ones are recorded.
    fn state_at(&self, at: MonoTime) -> State {
        match self.sensors.first() {
            Some(sensor) => sensor.history.at(at),
            None => State {
                at,
                status: StateStatus::Missing,
                len: 0,
                values: [0.0; DOF_MAX],
            },
        }
    }

    fn tell_status(&mut self, now: MonoTime) {
        let status = self.policy.status();
        if status != self.status {
            self.status = status;
            self.probe.record(Record::Policy { at: now, status });
        }
    }
}

impl Step<Features> for FusionStage {
    fn step(&mut self, features: Features) {
        let begin = clock::now();
        self.read_side_inputs();
        let mut trace = features.trace;
        trace.stamp(Mark::FusionBegin, begin);
        trace.instruction_id = self.instruction.as_ref().map_or(0, |i| i.id);
        let set = Aligned {
            now: begin,
            frame: &features.meta,
            features: &features.map,
            instruction: self.instruction.as_ref(),
            state: self.state_at(features.meta.captured),
        };
        self.chunk.clear();
        let decided = self.policy.decide(&set, &mut self.chunk);
        let end = clock::now();
        trace.stamp(Mark::Fused, end);
        self.chunk.trace = trace;
        let outcome = match decided {
            Ok(()) if self.chunk.steps().is_empty() => {
                self.count.held.add(1);
                Outcome::Dropped
            }
            Ok(()) => {
                self.count.passed.add(1);
                // A stale chunk is a plain value, and the link has counted it.
                let _stale = self.chunks.push(self.chunk);
                Outcome::Ok
            }
            Err(error) => {
                self.count.failed.add(1);
                Outcome::Failed(error)
            }
        };
        self.probe.record(Record::Step(record::Step {
            stage: Stage::Fusion,
            source_index: trace.source_index,
            outcome,
            ready: trace.at(Mark::Encoded),
            begin,
            end,
            captured: trace.at(Mark::Captured),
        }));
        // The way home has room for every map.
        drop(self.maps_home.push(features));
        self.tell_status(end);
    }

    fn idle(&mut self, _now: MonoTime) {
        self.read_side_inputs();
    }
}
