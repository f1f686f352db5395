//! What the player of actions and the sensors have counted themselves, as data. Unlike what is made of telemetry's
//! samples, these counts are exact also where samples were lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::{ActionCounters, Refusal, Rung};
use crate::capture::Count;
use crate::fusion::align::AlignCounters;
use crate::sensor::counters::SensorCounters;
use crate::telemetry::durations::Quantiles;
use crate::wire::Malformed;

/// Counts by reason.
type Reasons = BTreeMap<String, u64>;

fn named<'a>(counts: impl IntoIterator<Item = (&'a str, &'a Count)>) -> Reasons {
    let counts = counts.into_iter();
    counts.map(|(n, c)| (n.to_owned(), c.get())).collect()
}

/// The player of actions: `offered = accepted + refused` and `accepted = played + unplayed + waiting`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlayerReport {
    /// Beats by rung.
    pub beats: Reasons,
    /// Changes of rung that happened, such as `fresh to tail`.
    pub rung_changes: Reasons,
    /// Chunks given to the player.
    pub offered: u64,
    pub accepted: u64,
    /// By reason.
    pub refused: Reasons,
    /// Chunks that gave at least one action.
    pub played: u64,
    /// Chunks that a newer one or a stop overtook before their first action.
    pub unplayed: u64,
    /// Chunks that were still to be played when this was counted.
    pub waiting: u64,
    /// Beats on which a limit kept a joint from where its chunk wanted it.
    pub limited: u64,
}

impl PlayerReport {
    /// Exact once the action thread has ended.
    pub fn new(counters: &ActionCounters) -> Self {
        let (accepted, played) = (counters.accepted.get(), counters.played.get());
        let unplayed = counters.unplayed.get();
        Self {
            beats: named(Rung::ALL.iter().map(|r| r.name()).zip(&counters.ticks)),
            rung_changes: rung_changes(counters),
            offered: counters.offered.get(),
            accepted,
            refused: named(Refusal::ALL.iter().map(|r| r.name()).zip(&counters.refused)),
            played,
            unplayed,
            waiting: accepted.saturating_sub(played + unplayed),
            limited: counters.limited.get(),
        }
    }
}

fn rung_changes(counters: &ActionCounters) -> Reasons {
    let mut changes = Reasons::new();
    for (from, row) in Rung::ALL.iter().zip(&counters.changes) {
        for (to, count) in Rung::ALL.iter().zip(row) {
            if count.get() > 0 {
                let name = format!("{} to {}", from.name(), to.name());
                changes.insert(name, count.get());
            }
        }
    }
    changes
}

/// One sensor, from its readings to the states that fusion asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SensorReport {
    pub name: String,
    /// Age of a reading on arrival.
    pub age: Quantiles,
    /// Absent for a sensor that cannot lose a reading, such as the scene's joints.
    #[serde(default)]
    pub intake: Option<IntakeReport>,
    #[serde(default)]
    pub align: AlignReport,
    /// How the state was found at the time of each frame: `exact`, `interpolated`, `nearest`, `latest`, `predicted`,
    /// `held`, `default`, `missing`. Predicted and default ones are made up.
    #[serde(default)]
    pub states: Reasons,
}

impl SensorReport {
    /// The counts of a sensor. Exact once its thread and fusion's have ended.
    pub fn count(mut self, intake: Option<&SensorCounters>, align: &AlignCounters) -> Self {
        self.intake = intake.map(IntakeReport::new);
        self.align = AlignReport::new(align);
        self.states = named([
            ("exact", &align.exact),
            ("interpolated", &align.interpolated),
            ("nearest", &align.nearest),
            ("latest", &align.latest),
            ("predicted", &align.predicted),
            ("held", &align.held),
            ("default", &align.default),
            ("missing", &align.missing),
        ]);
        self
    }
}

/// What arrived: `received = accepted + refused`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IntakeReport {
    /// Datagrams, records, rows or samples that came.
    pub received: u64,
    /// Those that became a reading.
    pub accepted: u64,
    /// By reason.
    pub refused: Reasons,
    /// What was odd, by kind. Such readings are among `accepted`, except gaps and what a broker no longer had (`gone`), which
    /// never came; `interrupted` and `resumed` count lost connections and devices.
    pub odd: Reasons,
    /// Interarrival jitter of RFC 3550 at the end of the run.
    pub jitter_ns: u64,
}

impl IntakeReport {
    fn new(counters: &SensorCounters) -> Self {
        let malformed = Malformed::ALL.iter().map(|m| m.name());
        let others = [
            ("wrong length", &counters.wrong_len),
            ("unreadable", &counters.unreadable),
            ("duplicate", &counters.duplicates),
            ("too old", &counters.too_old),
            ("from the future", &counters.from_future),
        ];
        Self {
            received: counters.received.get(),
            accepted: counters.accepted.get(),
            refused: named(malformed.zip(&counters.malformed).chain(others)),
            odd: named([
                ("clamped stamp", &counters.clamped),
                ("unstamped", &counters.unstamped),
                ("reordered", &counters.reordered),
                ("gap", &counters.gaps),
                ("restart", &counters.restarts),
                ("overrun", &counters.overruns),
                ("interrupted", &counters.interrupted),
                ("resumed", &counters.resumed),
                ("gone", &counters.gone),
            ]),
            jitter_ns: counters.jitter.mean().clamp_u64(),
        }
    }
}

/// What became of the readings in fusion: `pushed` less `dropped` took a place of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlignReport {
    pub pushed: u64,
    /// Came after a newer one and were put in their place in time.
    pub reordered: u64,
    /// By reason.
    pub dropped: Reasons,
    /// Frames whose fusion waited for a reading, and got it.
    pub waited: u64,
    /// Frames whose fusion waited for a reading in vain.
    pub gave_up: u64,
}

impl AlignReport {
    fn new(counters: &AlignCounters) -> Self {
        Self {
            pushed: counters.pushed.get(),
            reordered: counters.reordered.get(),
            waited: counters.waited.get(),
            gave_up: counters.gave_up.get(),
            dropped: named([
                ("too late", &counters.too_late),
                ("wrong length", &counters.wrong_len),
            ]),
        }
    }
}
