//! The fusion stage: brings instruction and sensor state to the frame's time, runs the policy, publishes
//! one chunk of actions.
//!
//! Thread: fusion, or a neighbour's by a plain call. Allocates: when built. Blocks: no. Locks: no.
//! Syscalls: at most one futex wake.

use crate::action::Chunk;
use crate::clock;
use crate::error::StepError;
use crate::features::stage::Features;
use crate::fusion::decider::Decider;
use crate::fusion::home::MapsHome;
use crate::fusion::sensors::{SensorInput, SensorLinks};
use crate::fusion::views::Views;
use crate::language::Instruction;
use crate::link::{EveryReader, NewestReader, NewestWriter};
use crate::policy::{Policy, PolicyStatus};
use crate::record::tap::{FusionEvent, FusionStep, FusionTap};
use crate::rt::sync::Arc;
use crate::rt::wait::Bell;
use crate::stage::{StageCount, Step, touch};
use crate::telemetry::probe::Probe;
use crate::telemetry::record::{self, Outcome, Record};
use crate::telemetry::trace::{Mark, Stage, Trace};
use crate::units::MonoTime;

/// Chunks that circulate between the fusion and the action stage. They are some KiB each, so only their
/// address moves.
// BOUND: 1 being filled + 1 in the link + 1 being played + 1 on its way home.
pub const CHUNK_COUNT: usize = 4;

/// What fusion brings to a frame's time, or takes as it is.
pub struct SideInputs {
    pub sensors: Vec<SensorInput>,
    /// Rung by every reading if one is ever waited for, else silent.
    pub readings_bell: Bell,
    pub views: Views,
    pub instructions: NewestReader<Instruction>,
}

/// See the module.
pub struct FusionStage {
    decider: Decider,
    sensors: SensorLinks,
    /// What the other cameras see.
    views: Views,
    instructions: NewestReader<Instruction>,
    chunks: NewestWriter<Box<Chunk>>,
    chunks_home: EveryReader<Box<Chunk>>,
    /// Chunks ready to be filled; never more than `CHUNK_COUNT`, so it never grows.
    free: Vec<Box<Chunk>>,
    /// The way home of each features stage's maps, by its number.
    maps_home: MapsHome,
    status: PolicyStatus,
    count: Arc<StageCount>,
    probe: Probe,
    tap: Option<FusionTap>,
}

impl FusionStage {
    pub fn new(
        policy: Box<dyn Policy>,
        inputs: SideInputs,
        chunks: NewestWriter<Box<Chunk>>,
        chunks_home: EveryReader<Box<Chunk>>,
        maps_home: MapsHome,
        probe: Probe,
    ) -> Self {
        let SideInputs {
            sensors,
            readings_bell,
            views,
            instructions,
        } = inputs;
        let free = (0..CHUNK_COUNT)
            .map(|_| Box::new(Chunk::new(policy.dof())))
            .collect();
        let (links, lanes) = sensors
            .into_iter()
            .map(|sensor| (sensor.readings, sensor.lane))
            .unzip();
        Self {
            decider: Decider::new(policy, lanes),
            sensors: SensorLinks::new(links, readings_bell),
            views,
            instructions,
            chunks,
            chunks_home,
            free,
            maps_home,
            status: PolicyStatus::default(),
            count: Arc::default(),
            probe,
            tap: None,
        }
    }

    /// The run is recorded.
    pub fn with_tap(mut self, tap: Option<FusionTap>) -> Self {
        self.tap = tap;
        self
    }

    pub fn count(&self) -> Arc<StageCount> {
        Arc::clone(&self.count)
    }

    fn read_side_inputs(&mut self) {
        self.sensors
            .read(&mut self.decider, &mut self.probe, &mut self.tap);
        self.views.read(&mut self.maps_home);
        if let Some(instruction) = self.instructions.pop() {
            self.probe.record(Record::InstructionReady {
                id: instruction.id,
                received: instruction.received,
                encoded: instruction.encoded,
            });
            if let Some(tap) = &mut self.tap {
                tap.hear(&instruction);
            }
            self.decider.hear(instruction);
        }
    }

    fn tell_status(&mut self, now: MonoTime) {
        let status = self.decider.status();
        if status != self.status {
            self.status = status;
            self.probe.record(Record::Policy { at: now, status });
        }
    }
}

impl FusionStage {
    fn free_chunk(&mut self) -> Option<Box<Chunk>> {
        // BOUND: CHUNK_COUNT chunks exist.
        while let Some(chunk) = self.chunks_home.pop() {
            self.free.push(chunk);
        }
        self.free.pop()
    }

    /// Runs the policy and publishes what it says. Returns when the chunk was ready, and the outcome.
    fn decide(&mut self, features: &Features, begin: MonoTime) -> (MonoTime, Outcome) {
        // Every chunk is on its way: only when the action stage has died.
        let Some(mut chunk) = self.free_chunk() else {
            return (clock::now(), Outcome::Failed(StepError::Compute));
        };
        let views = self.views.at(features.meta.captured);
        let seen = &views[..self.views.len()];
        let decided = self.decider.decide(features, seen, begin, &mut chunk);
        let end = clock::now();
        let outcome = match decided {
            Err(error) => Outcome::Failed(error),
            Ok(()) if chunk.steps().is_empty() => Outcome::Dropped,
            Ok(()) => Outcome::Ok,
        };
        if outcome != Outcome::Ok {
            self.free.push(chunk);
            return (end, outcome);
        }
        chunk.trace = features.trace;
        chunk.trace.stamp(Mark::FusionBegin, begin);
        chunk.trace.stamp(Mark::Fused, end);
        chunk.trace.instruction_id = self.decider.instruction_id();
        // The link has counted a stale chunk.
        if let Some(stale) = self.chunks.push(chunk) {
            if let Some(tap) = &mut self.tap {
                tap.stale(&stale);
            }
            self.free.push(stale);
        }
        (end, outcome)
    }
}

impl Step<Box<Features>> for FusionStage {
    fn step(&mut self, features: Box<Features>) {
        self.read_side_inputs();
        self.sensors.wait(
            &features.meta,
            &mut self.decider,
            &mut self.probe,
            &mut self.tap,
        );
        let begin = clock::now();
        let (end, outcome) = self.decide(&features, begin);
        // All that follows is bookkeeping; the chunk is on its way.
        match outcome {
            Outcome::Ok => self.count.passed.add(1),
            Outcome::Dropped => self.count.held.add(1),
            Outcome::Failed(_) => self.count.failed.add(1),
        }
        let trace = features.trace;
        self.maps_home.send(features);
        self.probe.record(Record::Step(record::Step {
            stage: Stage::Fusion,
            source_index: trace.source_index,
            outcome,
            ready: trace.at(Mark::Encoded),
            begin,
            end,
            captured: trace.at(Mark::Captured),
        }));
        if let Some(tap) = &mut self.tap {
            tap.tell(FusionEvent::Step(FusionStep {
                seq: trace.seq,
                begin,
                end,
                outcome,
                state: self.decider.state(trace.at(Mark::Captured)),
                instruction_id: self.decider.instruction_id(),
                memory: self.decider.memory(),
            }));
        }
        self.tell_status(end);
    }

    fn discard(&mut self, features: Box<Features>) {
        self.maps_home.send(features);
    }

    fn idle(&mut self, _now: MonoTime) {
        self.read_side_inputs();
    }

    fn rehearse(&mut self) {
        self.read_side_inputs();
        if let Some(mut chunk) = self.free_chunk() {
            chunk.clear();
            chunk.trace = Trace::default();
            self.decider.rehearse(&mut chunk);
            self.free.push(chunk);
        }
        touch(self.chunks.is_abandoned());
        self.maps_home.rehearse();
    }
}
