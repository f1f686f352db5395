//! What `reflexarc bench features --json` prints. Times in nanoseconds; docs/benchmarking.md explains every key.

use serde::{Deserialize, Serialize};

use crate::bench::data::Percentiles;

/// Raised when a key changes its meaning.
pub const SCHEMA: &str = "reflexarc-bench-features-1";

/// All of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Features {
    pub schema: String,
    pub version: String,
    pub commit: String,
    pub cpu_model: String,
    pub kernel: String,
    /// The kernel keeps other work off the first core.
    pub isolated: bool,
    pub governor: Option<String>,
    pub rows: Vec<Row>,
}

/// A network in one precision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub encoder: String,
    pub precision: String,
    /// The instruction set, or `candle`.
    pub backend: String,
    /// The features thread and its partners.
    pub threads: usize,
    pub cores: Vec<usize>,
    /// `trained`, or `made up`, which takes the same time.
    pub weights: String,
    /// Tokens of the sentence, ends included; 0 of a picture.
    pub words: usize,
    pub seconds: u32,
    pub forwards: Percentiles,
    pub min_ns: u64,
    pub allocations_per_forward: f64,
    pub allocated_bytes_per_forward: f64,
    /// Of the measured time, what the thread did not have its core. 0..=1.
    pub without_core: f64,
    /// Of one forward.
    pub multiply_adds: u64,
    /// Weights that one forward reads.
    pub weight_bytes: u64,
    /// Multiply-adds a second at p50, times two.
    pub flops: f64,
    /// What all cores together could do, measured in the same run; null where no loop is written for it.
    pub peak_flops: Option<f64>,
    /// `flops / peak_flops`.
    pub of_peak: Option<f64>,
    /// Bytes of weights a second at p50.
    pub bytes_per_s: f64,
    /// At which one core reads as many bytes again and again, measured in the same run.
    pub peak_bytes_per_s: f64,
    /// `bytes_per_s / peak_bytes_per_s`.
    pub of_bandwidth: f64,
    pub limit: Limit,
    /// What the kernel did not grant.
    pub refused: Vec<String>,
    pub advice: Vec<String>,
}

/// Which roof a network is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    Arithmetic,
    Memory,
    #[default]
    Neither,
}

impl Row {
    /// Seconds after which there would be so many forwards.
    pub fn seconds_for(&self, forwards: u64) -> u64 {
        let count = self.forwards.count.max(1);
        (u64::from(self.seconds) * forwards).div_ceil(count).max(1)
    }
}
