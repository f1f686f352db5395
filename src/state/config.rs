//! `[state]`: what a run leaves behind for the next one.

use std::path::PathBuf;

use serde::Deserialize;

use crate::units::Nanos;

use super::segments::{FILE_BYTES_MAX, FILES};

/// See docs/state.md.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// `"none"` (default), `"snapshot"` or `"journal"`.
    pub level: Level,
    /// The folder. Default `reflexarc-state`, in the working folder.
    pub path: PathBuf,
    /// Between two snapshots; 100 ms to 1 h. Default 1 s.
    pub every: Every,
    /// What to do with the state of another graph. Default `"cold"`.
    pub on_change: OnChange,
    /// What the journal takes of the disk, MiB; 1 to 64. Default 16.
    pub journal_mib: JournalSize,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            level: Level::None,
            path: "reflexarc-state".into(),
            every: Every(Nanos::from_secs(1)),
            on_change: OnChange::Cold,
            journal_mib: JournalSize(16),
        }
    }
}

/// How much survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing; all is in memory only.
    #[default]
    None,
    /// A snapshot every so often.
    Snapshot,
    /// Snapshots, and every input, decision and action between them.
    Journal,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Snapshot => "snapshot",
            Self::Journal => "journal",
        }
    }
}

/// What to do when camera, encoder, policy, sensors, align or action are not as they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// Begin without the state, and say so.
    #[default]
    Cold,
    /// Do not start.
    Refuse,
}

/// 100 ms to 1 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Nanos")]
pub struct Every(Nanos);

impl Every {
    pub fn get(self) -> Nanos {
        self.0
    }
}

impl TryFrom<Nanos> for Every {
    type Error = String;

    fn try_from(every: Nanos) -> Result<Self, String> {
        // BOUND: below, a slow disk would write all the time; above, hardly anything would be kept.
        match (Nanos::from_millis(100)..=Nanos::from_secs(3600)).contains(&every) {
            true => Ok(Self(every)),
            false => Err(format!("{every} is outside 100 ms to 1 h")),
        }
    }
}

/// 1 to 64 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct JournalSize(u64);

impl JournalSize {
    pub fn bytes(self) -> u64 {
        self.0 * 1024 * 1024
    }
}

impl TryFrom<u64> for JournalSize {
    type Error = String;

    fn try_from(mib: u64) -> Result<Self, String> {
        let max = FILES * FILE_BYTES_MAX / (1024 * 1024);
        match (1..=max).contains(&mib) {
            true => Ok(Self(mib)),
            false => Err(format!(
                "{mib} MiB are outside 1 to {max}: a start reads all of it"
            )),
        }
    }
}
