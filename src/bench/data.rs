//! A bench as data: what `bench.json` holds. `docs/benchmarking.md` explains every key.
//!
//! Within version 1 keys may be added and are never removed or changed in meaning; a reader ignores those that it does not know.

use serde::{Deserialize, Serialize};

use crate::telemetry::environment::Environment;
use crate::telemetry::report::data::Verdict;

/// The name and major version of the schema.
pub const SCHEMA: &str = "reflexarc-bench/1";

/// Everything about a bench.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// [`SCHEMA`].
    pub schema: String,
    pub kind: Kind,
    pub verdict: Verdict,
    /// Why it is not met, in words.
    pub reasons: Vec<String>,
    /// What a person should take from it, the most important first.
    pub findings: Vec<String>,
    pub subject: Subject,
    pub environment: Environment,
    /// In the order in which they ran.
    pub parts: Vec<Part>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Latency, idle and under load.
    #[default]
    Latency,
    /// Only whether it works, beside a running robot. Its times say nothing.
    Beside,
}

/// What was measured, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    pub started: String,
    pub started_unix_ms: u64,
    pub command: Vec<String>,
    /// How long each part was to last.
    pub seconds: u32,
    /// Empty: not known.
    pub board: String,
    /// How it was found, and which thread plan follows.
    pub board_said: String,
    /// The configuration's file, and the SHA-256 of its bytes; null: the built-in configuration.
    pub config: Option<String>,
    pub config_sha256: Option<String>,
    /// Of this very program; empty if it could not be read.
    pub binary_sha256: String,
}

/// One part: the way of a frame under one load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Part {
    /// `beside`, `idle` or the load's name.
    pub name: String,
    /// What did not work, in words. Empty: all that must work did.
    pub broken: Vec<String>,
    /// The folder of the run's own report, below this file's.
    pub report: Option<String>,
    pub flow: Option<Flow>,
}

/// What passed along the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    pub frames: u64,
    pub feature_maps: u64,
    pub chunks: u64,
    pub actions: u64,
    /// Beats that played a chunk in time.
    pub fresh_beats: u64,
    /// Beats for which the action thread came too late.
    pub missed_beats: u64,
    /// Frames and results that were left behind for newer ones, at all links and sources.
    pub dropped: u64,
    /// Steps that failed, of all stages.
    pub failed: u64,
}
