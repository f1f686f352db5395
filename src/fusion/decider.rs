//! What fusion does with what it is given: no links and no clock, so that a recorded run can be decided again.
//!
//! Thread: fusion, or a replay's. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use crate::action::Chunk;
use crate::clock;
use crate::error::StepError;
use crate::features::stage::Features;
use crate::fusion::align::SensorLane;
use crate::language::Instruction;
use crate::policy::{Aligned, Memory, Policy, PolicyStatus, State, View};
use crate::sensor::Reading;
use crate::units::MonoTime;

/// See the module. The same calls in the same order, with the same instants, give the same chunks.
pub struct Decider {
    policy: Box<dyn Policy>,
    lanes: Vec<SensorLane>,
    /// One for each sensor, at the time of the frame that was decided on last.
    states: Box<[State]>,
    instruction: Option<Instruction>,
}

impl Decider {
    /// One lane a sensor, in the order of the configuration.
    pub fn new(policy: Box<dyn Policy>, lanes: Vec<SensorLane>) -> Self {
        let states = vec![State::missing(MonoTime::ZERO); lanes.len()].into_boxed_slice();
        Self {
            policy,
            lanes,
            states,
            instruction: None,
        }
    }

    /// Values a step of a chunk.
    pub fn dof(&self) -> u8 {
        self.policy.dof()
    }

    /// A reading of this sensor came.
    pub fn read(&mut self, sensor: usize, reading: &Reading) {
        self.lanes[sensor].push(reading);
    }

    /// From now on this instruction is in force.
    pub fn hear(&mut self, instruction: Instruction) {
        self.instruction = Some(instruction);
    }

    /// The instruction in force; 0: none yet.
    pub fn instruction_id(&self) -> u32 {
        self.instruction.as_ref().map_or(0, |i| i.id)
    }

    /// What this sensor said lately.
    pub fn lane(&self, sensor: usize) -> &SensorLane {
        &self.lanes[sensor]
    }

    /// The state of each sensor, as the policy last saw it.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// The state of the first sensor, as the policy last saw it; missing at this instant if there is no sensor.
    pub fn state(&self, at: MonoTime) -> State {
        let missing = || State::missing(at);
        self.states.first().copied().unwrap_or_else(missing)
    }

    /// Brings every sensor to the frame's time and runs the policy; `views` is what the other cameras see at that time. A
    /// chunk left without steps means that the policy had nothing to say.
    pub fn decide(
        &mut self,
        features: &Features,
        views: &[Option<View<'_>>],
        now: MonoTime,
        chunk: &mut Chunk,
    ) -> Result<(), StepError> {
        for (state, lane) in self.states.iter_mut().zip(&self.lanes) {
            *state = lane.at(features.meta.captured);
        }
        let set = Aligned {
            now,
            frame: &features.meta,
            features: &features.map,
            views,
            instruction: self.instruction.as_ref(),
            states: &self.states,
        };
        chunk.clear();
        self.policy.decide(&set, chunk)
    }

    /// What the policy remembers.
    pub fn memory(&self) -> Memory {
        self.policy.memory()
    }

    /// In place of a set that is not known: the policy remembers what it remembered after it. False if it cannot.
    pub fn recall(&mut self, memory: &Memory) -> bool {
        self.policy.recall(memory, self.instruction.as_ref())
    }

    pub fn status(&self) -> PolicyStatus {
        self.policy.status()
    }

    /// See [`Step::rehearse`](crate::stage::Step::rehearse).
    pub fn rehearse(&mut self, chunk: &mut Chunk) {
        self.policy.rehearse(chunk);
        let now = clock::now();
        for lane in &self.lanes {
            lane.rehearse(now);
        }
    }
}
