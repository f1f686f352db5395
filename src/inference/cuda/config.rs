//! What a user says about the GPU.

use serde::Deserialize;

use super::program::Numbers;
use crate::units::Nanos;

/// `[encoder.cuda]` in the configuration: for `backend = "cuda"` alone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CudaConfig {
    /// Which GPU, as the driver numbers them. Default 0.
    pub device: u32,
    /// What it multiplies with: `"f16"` (default; sums are f32), or `"f32"`, for comparison: without tensor cores. What f16 costs in
    /// accuracy is in `docs/cuda.md`.
    pub precision: Numbers,
    /// How long a frame may take from its launch. One that takes longer is given up and counted as late, and the next one is tried.
    /// Default "50 ms".
    pub deadline: Nanos,
    /// What to do where there is no GPU that can run it: `"none"` (default), refuse to start and say why; or `"plan"`, say why
    /// and use the processor.
    pub fallback: Fallback,
}

/// What stands in for a GPU that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    #[default]
    None,
    Plan,
}

impl Default for CudaConfig {
    fn default() -> Self {
        Self {
            device: 0,
            precision: Numbers::F16,
            deadline: Nanos::from_millis(50),
            fallback: Fallback::default(),
        }
    }
}
