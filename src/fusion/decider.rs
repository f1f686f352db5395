//! What fusion does with what it is given: no links and no clock, so that a recorded run can be decided again.
//!
//! Thread: fusion, or a replay's. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use crate::action::Chunk;
use crate::clock;
use crate::error::StepError;
use crate::features::stage::Features;
use crate::fusion::history::History;
use crate::language::Instruction;
use crate::policy::{Aligned, Policy, PolicyStatus, State, StateStatus};
use crate::sensor::{DOF_MAX, Reading};
use crate::units::MonoTime;

/// See the module. The same calls in the same order, with the same instants, give the same chunks.
pub struct Decider {
    policy: Box<dyn Policy>,
    histories: Vec<History>,
    instruction: Option<Instruction>,
}

impl Decider {
    /// One history a sensor, in the order of the configuration.
    pub fn new(policy: Box<dyn Policy>, histories: Vec<History>) -> Self {
        Self {
            policy,
            histories,
            instruction: None,
        }
    }

    /// Values a step of a chunk.
    pub fn dof(&self) -> u8 {
        self.policy.dof()
    }

    /// A reading of this sensor came.
    pub fn read(&mut self, sensor: usize, reading: &Reading) {
        self.histories[sensor].push(reading);
    }

    /// From now on this instruction is in force.
    pub fn hear(&mut self, instruction: Instruction) {
        self.instruction = Some(instruction);
    }

    /// The instruction in force; 0: none yet.
    pub fn instruction_id(&self) -> u32 {
        self.instruction.as_ref().map_or(0, |i| i.id)
    }

    /// Runs the policy on the set that belongs to these features. Tells how the state was found; a chunk left without
    /// steps means that the policy had nothing to say.
    pub fn decide(
        &mut self,
        features: &Features,
        now: MonoTime,
        chunk: &mut Chunk,
    ) -> (StateStatus, Result<(), StepError>) {
        let set = Aligned {
            now,
            frame: &features.meta,
            features: &features.map,
            instruction: self.instruction.as_ref(),
            state: self.state_at(features.meta.captured),
        };
        chunk.clear();
        let status = set.state.status;
        (status, self.policy.decide(&set, chunk))
    }

    pub fn status(&self) -> PolicyStatus {
        self.policy.status()
    }

    /// See [`Step::rehearse`](crate::stage::Step::rehearse).
    pub fn rehearse(&mut self, chunk: &mut Chunk) {
        self.policy.rehearse(chunk);
        if let Some(history) = self.histories.first() {
            history.rehearse(clock::now());
        }
    }

    /// The state at the frame's time. A policy sees the first sensor; further ones are recorded.
    fn state_at(&self, at: MonoTime) -> State {
        match self.histories.first() {
            Some(history) => history.at(at),
            None => State {
                at,
                status: StateStatus::Missing,
                len: 0,
                values: [0.0; DOF_MAX],
            },
        }
    }
}
