//! From what a run left behind to what the next one begins with, and in words what that is.
//!
//! Thread: main, before the run. Allocates: yes. Blocks: on the disk. Locks: no. Syscalls: files.
//!
//! Only what can be trusted comes back: a snapshot whose checksums are right and whose graph is this one, and the journal's
//! whole records behind it. Anything else begins cold, and is said.

use std::path::Path;

use super::clocks::{Away, ClockMap};
use super::config::OnChange;
use super::content::{InForce, Runs, State, WINDOWS_VERSION, id};
use super::journal::What;
use super::pair::Halves;
use super::segments::Journal;
use crate::error::{Fault, Kind, Result};
use crate::units::Nanos;

/// What a run begins with.
#[derive(Clone, Debug, Default)]
pub struct Resumed {
    /// The state at the beginning of the new run.
    pub state: State,
    /// Of the newest snapshot; 0: there was none.
    pub epoch: u64,
    /// The file that holds it.
    pub newest: Option<usize>,
    /// The numbers of the newest segment and entry of the journal.
    pub journal: (u64, u64),
    /// What happened, a line each.
    pub said: Vec<String>,
    /// From the last that is known of the run before until [`Resumed::listens`]; None: there was none, or nobody knows.
    pub away: Option<Nanos>,
    before: Option<Before>,
    /// From the snapshot until the last that is known of the run before.
    pub snapshot_age: Option<Nanos>,
    /// Journal entries that were applied to the snapshot.
    pub replayed: u64,
    /// The machine has not been started anew since the snapshot: its monotonic clock, in which windows lie, goes on.
    pub same_boot: bool,
}

/// The run before.
#[derive(Clone, Copy, Debug)]
struct Before {
    runs: Runs,
    /// The last that is known of it.
    last: ClockMap,
}

/// What the new run is.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    pub graph: u64,
    pub clocks: ClockMap,
    /// The instruction it was started with.
    pub given: Option<&'a str>,
    pub on_change: OnChange,
    /// Numbers that a run may use beyond the newest that a snapshot knows of.
    pub lease: u64,
}

/// A hash of an instruction; 0 stands for none. FNV-1a of 64 bits, as the authors give it.
pub fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step).max(1)
}

/// Reads a folder. Never fails because of what the files hold, but for a graph that may not change.
///
/// # Errors
/// [`Kind::Config`]: the graph is another one, and `on_change` is `refuse`.
pub fn recover(folder: &Path, now: &Now<'_>) -> Result<Resumed> {
    let halves = Halves::read(folder);
    let journal = Journal::read(folder);
    let mut resumed = Resumed {
        newest: halves.newest(),
        journal: journal.highest(),
        ..Resumed::default()
    };
    let damages: Vec<_> = halves
        .damages()
        .into_iter()
        .chain(journal.damages.clone())
        .collect();
    let place = folder.display();
    resumed
        .said
        .extend(damages.iter().map(|damage| format!("in {place} {damage}")));
    match halves.state() {
        Some((snapshot, state)) => {
            resumed.epoch = snapshot.epoch;
            resumed.begin_from(state, &journal);
            let same = snapshot.graph == now.graph;
            if !same && now.on_change == OnChange::Refuse {
                return Err(changed(folder));
            }
            resumed.choose_words(same, state, now);
            resumed.same_boot = state.clocks.boot.is_same(&now.clocks.boot);
            resumed.choose_windows(same);
            if snapshot.has_other(id::WINDOWS, WINDOWS_VERSION) {
                resumed.said.push(
                    "streams begin cold: another version of this program kept them in its own way"
                        .to_owned(),
                );
            }
        }
        None => resumed.begin_anew(&journal, !damages.is_empty(), folder),
    }
    resumed.state.clocks = now.clocks;
    resumed.state.instruction.started_with = now.given.map_or(0, hash);
    resumed.state.numbers.next = resumed.state.numbers.next.saturating_add(now.lease);
    Ok(resumed)
}

fn changed(folder: &Path) -> Fault {
    Fault::new(
        Kind::Config,
        format!(
            "the state in {} is of another configuration",
            folder.display()
        ),
        "camera, encoder, policy, sensors, align or action are not as they were, and state.on_change = \"refuse\"",
        "start with the configuration that it was made with, move the folder away, or set state.on_change = \"cold\"",
    )
}

impl Resumed {
    /// The number of this run's first action.
    pub fn first_number(&self, lease: u64) -> u64 {
        self.state.numbers.next.saturating_sub(lease)
    }

    /// Counts, numbers and the time away: they hold whatever the graph is.
    fn begin_from(&mut self, before: &State, journal: &Journal) {
        let mut state = before.clone();
        let mut last_known = before.clocks.mono;
        for entry in journal.after(before.runs.run, before.progress.journal) {
            self.replayed += 1;
            last_known = last_known.max(entry.arrived);
            match &entry.what {
                What::Instruction { id, text } => {
                    let words = InForce {
                        id: *id,
                        text: text.clone(),
                    };
                    state.instruction.in_force = Some(words).filter(|w| !w.text.is_empty());
                }
                What::Reading { .. } => state.progress.readings += 1,
                What::Decision { .. } => state.progress.frames += 1,
                What::Action { number, .. } => {
                    state.progress.actions += 1;
                    state.numbers.last = state.numbers.last.max(*number);
                    state.numbers.next = state.numbers.next.max(number.saturating_add(1));
                }
                What::Lost { entries } => self.said.push(format!(
                    "the journal lacks {entries} entries, which the disk did not take"
                )),
                _ => {}
            }
        }
        // The monotonic clock of the run before, so these two are of one clock.
        let age = last_known - before.clocks.mono;
        let last = ClockMap {
            mono: last_known,
            utc: before.clocks.utc.saturating_add(age.0),
            ..before.clocks
        };
        let runs = before.runs;
        self.before = Some(Before { runs, last });
        self.snapshot_age = Some(age);
        state.runs = Runs {
            run: before.runs.run.saturating_add(1),
            cut_off: before
                .runs
                .cut_off
                .saturating_add(u64::from(!before.runs.ended)),
            ended: false,
        };
        state.progress.journal = self.journal.1.max(before.progress.journal);
        self.state = state;
    }

    /// The new run begins to listen: input was lost until now. Called once.
    pub fn listens(&mut self, now: ClockMap) {
        self.state.clocks = now;
        let Some(Before { runs, last }) = self.before else {
            return;
        };
        let away = now.since(&last);
        self.away = away.time();
        let age = self.snapshot_age.unwrap_or_default();
        let run = runs.run;
        let how = match (runs.ended, age > Nanos::ZERO) {
            (true, _) => format!("run {run} had come to its end: went on from its last snapshot"),
            (false, true) => format!(
                "run {run} was cut off: went on from the snapshot of {age} before the end and {} journal entries behind it",
                self.replayed
            ),
            (false, false) => format!(
                "run {run} was cut off: went on from its newest snapshot; what came after that is lost"
            ),
        };
        let lost = match away {
            Away::Measured { time, .. } => format!("{time} of input are lost"),
            Away::ByWallClock(time) => format!(
                "{time} of input are lost, by the wall clock, since the machine was started anew"
            ),
            Away::Unknown => "nobody knows how much input is lost: the machine was started anew, and its wall clock \
                              stands before where it was"
                .to_owned(),
        };
        self.said.insert(0, format!("{how}; {lost}"));
        if let Away::Measured {
            wall_stepped: Some(step),
            ..
        } = away
        {
            self.said.push(format!(
                "the wall clock was set by {step} meanwhile, which changes nothing here"
            ));
        }
    }

    /// Which instruction is in force: the one that was, unless this run was started with another.
    fn choose_words(&mut self, same_graph: bool, before: &State, now: &Now<'_>) {
        let given = now.given.map_or(0, hash);
        let restarted_alike = given == 0 || given == before.instruction.started_with;
        let words = self.state.instruction.in_force.take();
        if !same_graph {
            self.said.push(
                "cold start: camera, encoder, policy, sensors, align or action are not as they were; only the numbers \
                 of actions go on"
                    .to_owned(),
            );
            return;
        }
        let Some(words) = words else { return };
        if restarted_alike {
            self.said.push(format!(
                "instruction {} `{}` is in force again",
                words.id, words.text
            ));
            self.state.instruction.in_force = Some(words);
        } else {
            self.said.push(format!(
                "instruction {} `{}` is not in force any more: this run was started with another",
                words.id, words.text
            ));
        }
    }

    /// Windows lie in the time of their boot, and mean nothing in another graph.
    fn choose_windows(&mut self, same_graph: bool) {
        if self.state.windows.is_empty() || same_graph && self.same_boot {
            return;
        }
        self.state.windows.clear();
        if same_graph {
            self.said.push(
                "streams begin cold: the machine was started anew, and the clock that their windows lie in with it"
                    .to_owned(),
            );
        }
    }

    fn begin_anew(&mut self, journal: &Journal, is_damaged: bool, folder: &Path) {
        self.state.runs.run = journal
            .segments
            .iter()
            .map(|(s, _)| s.run)
            .max()
            .unwrap_or(0)
            .saturating_add(1);
        self.state.progress.journal = self.journal.1;
        let place = folder.display();
        if !is_damaged && journal.segments.is_empty() {
            self.said
                .push(format!("there is no state in {place} yet: begun anew"));
            return;
        }
        let sent = journal.segments.iter().flat_map(|(_, entries)| entries);
        let newest = sent.filter_map(|entry| match entry.what {
            What::Action { number, .. } => Some(number.saturating_add(1)),
            _ => None,
        });
        let newest = newest.max();
        self.state.numbers.next = newest.unwrap_or(0);
        self.said.push(format!(
            "cold start: no snapshot in {place} is whole; {}",
            match newest {
                Some(next) =>
                    format!("actions are numbered from {next} on, behind those in the journal"),
                None => "actions are numbered from 0 on, and numbers of earlier runs come again"
                    .to_owned(),
            }
        ));
    }
}
