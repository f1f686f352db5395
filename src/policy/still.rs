//! The `still` policy: commands the position that the sensors report. It computes nothing, so a run with it
//! measures the runtime.
//!
//! Thread: fusion. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use crate::action::Chunk;
use crate::error::StepError;
use crate::policy::{Aligned, Explainer, Phase, Policy, PolicyStatus};
use crate::units::Nanos;

/// Steps of its chunks: long enough that the ladder stays on fresh between two frames of 10 a second.
const STEPS: usize = 20;

/// See the module.
#[derive(Clone, Debug)]
pub struct Still {
    dof: u8,
}

impl Still {
    /// `dof` values an action; those that no sensor reports are 0.
    pub fn new(dof: u8) -> Self {
        Self { dof }
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
        chunk.begin = set.now;
        chunk.step = Nanos::from_millis(10);
        (0..STEPS).try_for_each(|_| chunk.push(&set.state.values))
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
