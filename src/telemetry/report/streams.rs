//! What configured streams have said, for the report.

use serde::{Deserialize, Serialize};

use crate::stream::configured::config::StreamConfig;
use crate::stream::configured::running::Summary;

/// One `[[stream]]`. `elements = put_aside + refused by a condition + kept`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamReport {
    pub name: String,
    /// `mean of speed of sensor-0 when policy.confidence > 0.5`.
    pub what: String,
    /// Elements of its port.
    pub elements: u64,
    /// Repeated, from the future, or too old.
    pub put_aside: u64,
    /// Those for which all conditions held.
    pub kept: u64,
    /// Of those, the ones that came when all their windows had been closed.
    pub late: u64,
    /// Windows of which something was said.
    pub results: u64,
    /// The last result, the least and the greatest; null where there is none.
    pub last: Option<f64>,
    pub least: Option<f64>,
    pub greatest: Option<f64>,
    /// Results that could not be written to its file.
    pub unwritten: u64,
}

impl StreamReport {
    pub fn new(config: &StreamConfig, summary: &Summary) -> Self {
        Self {
            name: config.name.clone(),
            what: config.describe(),
            elements: summary.elements,
            put_aside: summary.put_aside,
            kept: summary.kept,
            late: summary.late,
            results: summary.results,
            last: summary.last.and_then(|window| window.result),
            least: summary.least,
            greatest: summary.greatest,
            unwritten: summary.unwritten,
        }
    }

    /// In a line for the terminal.
    pub fn line(&self) -> String {
        let value = |value: Option<f64>| value.map_or("none".to_owned(), |v| format!("{v:.4}"));
        let mut line = format!(
            "{}: {}: last {}, {} to {}; {} results from {} of {} elements",
            self.name,
            self.what,
            value(self.last),
            value(self.least),
            value(self.greatest),
            self.results,
            self.kept,
            self.elements
        );
        for (count, what) in [
            (self.put_aside, "put aside"),
            (self.late, "late"),
            (self.unwritten, "results not written"),
        ] {
            if count > 0 {
                line += &format!("; {count} {what}");
            }
        }
        line
    }
}
