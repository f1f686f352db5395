//! An examination as data. `docs/doctor.md` explains every key. Within version 1 keys may be added and are never removed
//! or changed in meaning.

use serde::Serialize;

use crate::doctor::check::{Category, Evidence, Fix, Status, Way};
use crate::doctor::command::Subject;
use crate::doctor::examination::{Counts, Examination, Finding};
use crate::doctor::frames::Frames;
use crate::doctor::measured::{Histogram, Measured, Ticks};
use crate::doctor::view::View;

/// The name and major version of the schema.
pub const SCHEMA: &str = "reflexarc-doctor/1";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    version: &'static str,
    /// The board by whose file it was judged.
    board: Option<&'a str>,
    /// How it was found.
    board_said: &'a str,
    /// The folder of a captured tree; null: this machine.
    root: Option<&'a str>,
    cores: Cores<'a>,
    counts: Counts,
    checks: Vec<One<'a>>,
    /// Null: nothing was measured.
    measured: Option<Numbers<'a>>,
}

#[derive(Serialize)]
struct Cores<'a> {
    way: &'a [usize],
    housekeeping: &'a [usize],
    online: &'a [usize],
    from: &'static str,
}

#[derive(Serialize)]
struct One<'a> {
    id: &'static str,
    title: &'static str,
    category: Category,
    way: Way,
    status: Status,
    requested: &'a str,
    effective: &'a str,
    evidence: &'a [Evidence],
    why: &'static str,
    rests_on: &'static str,
    fix: Option<&'a Fix>,
}

#[derive(Serialize)]
struct Numbers<'a> {
    asked_ns: u64,
    histograms: Vec<Histogram>,
    ticks: &'a [Ticks],
    firmware_ns: Option<u64>,
    frames: Option<&'a Frames>,
    refused: &'a [String],
}

impl<'a> Numbers<'a> {
    fn of(measured: &'a Measured) -> Self {
        let histograms = measured.histograms().into_iter();
        Self {
            asked_ns: measured.asked.clamp_u64(),
            histograms: histograms
                .map(|(name, durations)| Histogram::of(name, durations))
                .collect(),
            ticks: &measured.ticks,
            firmware_ns: measured.firmware.as_ref().ok().map(|gap| gap.clamp_u64()),
            frames: measured
                .frames
                .as_ref()
                .and_then(|frames| frames.as_ref().ok()),
            refused: &measured.refused,
        }
    }
}

impl<'a> One<'a> {
    fn of(finding: &'a Finding) -> Self {
        let (check, outcome) = (&finding.check, &finding.outcome);
        Self {
            id: check.id,
            title: check.title,
            category: check.category,
            way: check.way,
            status: outcome.status,
            requested: &outcome.requested,
            effective: &outcome.effective,
            evidence: &outcome.evidence,
            why: check.why,
            rests_on: check.rests_on,
            fix: outcome.fix.as_ref(),
        }
    }
}

/// The text of `--json`.
pub fn document(examination: &Examination, view: &View<'_>, subject: &Subject) -> String {
    let document = Document {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        board: view.board.map(|board| board.name.as_str()),
        board_said: &subject.said,
        root: subject.root.as_deref(),
        cores: Cores {
            way: &view.cores.way,
            housekeeping: &view.cores.housekeeping,
            online: &view.cores.online,
            from: view.cores.from.in_words(),
        },
        counts: examination.counts,
        checks: examination.findings.iter().map(One::of).collect(),
        measured: view.measured.as_ref().map(Numbers::of),
    };
    serde_json::to_string_pretty(&document).expect("it has only texts and numbers")
}
