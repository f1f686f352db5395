//! The `still` policy: commands the position that the sensors report. It computes nothing, so a run with it
//! measures the runtime.
//!
//! Thread: fusion. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use crate::action::Chunk;
use crate::error::StepError;
use crate::language::Instruction;
use crate::policy::{Aligned, Explainer, Memory, Phase, Policy, PolicyStatus};
use crate::sensor::DOF_MAX;
use crate::stream::align::choice::Status;
use crate::units::Nanos;

/// Its chunks reach 200 ms ahead: the ladder stays on fresh between two frames of 10 a second.
const STEPS: usize = 3;
const STEP: Nanos = Nanos::from_millis(100);

/// See the module.
#[derive(Clone, Debug)]
pub struct Still {
    dof: u8,
    /// What is commanded while no sensor reports; None: nothing.
    unreported: Option<[f32; DOF_MAX]>,
    /// The first sensor says where the joints are.
    is_reported: bool,
}

impl Still {
    /// `dof` values an action, all 0 while no sensor reports: for runs that only measure.
    pub fn new(dof: u8) -> Self {
        Self::at(dof, &[])
    }

    /// While no sensor reports, this position (radian); values that it lacks are 0.
    pub fn at(dof: u8, position: &[f32]) -> Self {
        let value = |j| position.get(j).copied().unwrap_or(0.0);
        Self {
            dof,
            unreported: Some(std::array::from_fn(value)),
            is_reported: true,
        }
    }

    /// While no sensor reports, nothing: the robot holds where it is.
    pub fn where_reported(dof: u8) -> Self {
        Self {
            dof,
            unreported: None,
            is_reported: true,
        }
    }

    /// The sensors report something else, such as how loud it is.
    pub fn without_joints(self) -> Self {
        Self {
            is_reported: false,
            ..self
        }
    }
}

impl Policy for Still {
    fn name(&self) -> &'static str {
        "still"
    }

    fn dof(&self) -> u8 {
        self.dof
    }

    fn decide(&mut self, set: &Aligned<'_>, chunk: &mut Chunk) -> Result<(), StepError> {
        let state = set.state();
        let values = match (state.status, self.unreported) {
            (_, Some(values)) if !self.is_reported => values,
            (Status::Missing, None) => return Ok(()),
            (Status::Missing, Some(values)) => values,
            _ => state.values,
        };
        chunk.begin = set.now;
        chunk.step = STEP;
        (0..STEPS).try_for_each(|_| chunk.push(&values))
    }

    fn rehearse(&mut self, chunk: &mut Chunk) {
        let _ = (0..STEPS).try_for_each(|_| chunk.push(&[0.0; DOF_MAX]));
    }

    fn memory(&self) -> Memory {
        Memory::NOTHING
    }

    fn recall(&mut self, memory: &Memory, _: Option<&Instruction>) -> bool {
        *memory == Memory::NOTHING
    }

    fn status(&self) -> PolicyStatus {
        PolicyStatus {
            phase: Phase::Idle,
            object: -1,
            ..PolicyStatus::default()
        }
    }

    fn explainer(&self) -> Explainer {
        Box::new(|_| "holds the position that the sensors report".to_owned())
    }
}
