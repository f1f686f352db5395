//! What a report says about the state.

use serde::{Deserialize, Serialize};

use crate::telemetry::durations::Quantiles;

/// `state` in `report.json`; all zeros and empty where no state was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StateReport {
    /// `none`, `snapshot` or `journal`.
    pub level: String,
    pub path: String,
    /// Counts the runs that had this state, from 1; and those of them that did not come to their end.
    pub run: u64,
    pub cut_off: u64,
    /// The number of the first action.
    pub first_number: u64,
    /// What was found at the start, a line each.
    pub found: Vec<String>,
    /// From the last that is known of the run before until the start.
    pub away_ns: Option<u64>,
    /// From the snapshot that was gone on from until the last that is known of its run.
    pub snapshot_age_ns: Option<u64>,
    /// Entries of the journal that were applied to it.
    pub entries_applied: u64,
    pub snapshots: KeptReport,
    pub commits: KeptReport,
    /// Entries given to the journal, and those of them that it lacks.
    pub entries: u64,
    pub entries_lost: u64,
}

/// One kind of write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptReport {
    pub done: u64,
    pub failed: u64,
    /// The words of the first failure.
    pub first_failure: Option<String>,
    /// Until the disk had it, of those that were done.
    pub time: Quantiles,
}

impl StateReport {
    /// Lines for people.
    pub fn lines(&self) -> Vec<String> {
        if self.run == 0 {
            return Vec::new();
        }
        let mut lines = self.found.clone();
        lines.push(format!(
            "run {} of {}, of which {} were cut off; actions are numbered from {}",
            self.run, self.path, self.cut_off, self.first_number
        ));
        for (name, kept) in [("snapshots", &self.snapshots), ("commits", &self.commits)] {
            if kept.done + kept.failed == 0 {
                continue;
            }
            let ms = |ns: u64| crate::units::Nanos(i64::try_from(ns).unwrap_or(i64::MAX));
            lines.push(format!(
                "{name}: {} done, {} failed; p50 {}, p99 {}, longest {}",
                kept.done,
                kept.failed,
                ms(kept.time.p50_ns),
                ms(kept.time.p99_ns),
                ms(kept.time.max_ns)
            ));
        }
        if self.entries > 0 {
            lines.push(format!(
                "journal: {} entries, {} lost",
                self.entries, self.entries_lost
            ));
        }
        lines
    }
}
