//! The state of a run while it lasts: made of what the collector is told, and handed to the writer.
//!
//! Thread: main; a housekeeping thread once the pipeline runs. Allocates: yes. Blocks: in `open` and `start`, on the disk.
//! Locks: no. Syscalls: clocks.
//!
//! The threads of the way do nothing for it: their probes say all that is kept. A snapshot lies between two records of the
//! probes, so never within a step.

use crate::cli;
use crate::config::Config;
use crate::console;
use crate::error::{Fault, Kind, Result};
use crate::link::{self, EveryWriter};
use crate::rt::thread;
use crate::rt::wait::Bell;
use crate::telemetry::record::{Record, Tick};
use crate::telemetry::trace::{Mark, Stage};
use crate::units::{MonoTime, Nanos};

use super::clocks::{BootId, ClockMap};
use super::config::Level;
use super::content::{InForce, State, TEXT_BYTES_MAX};
use super::graph;
use super::journal::{Entry, Segment, What};
use super::pair::{Folder, Pair};
use super::recovery::{self, Now, Resumed};
use super::report::StateReport;
use super::segments::Ring;
use super::writer::{JOBS, Job, Writer, Written};

/// A run may go on for this long without a snapshot before a later one could use its numbers of actions again: on a full
/// disk, say.
// BOUND: at 1 kHz 600,000 numbers; at the 32 bits that a datagram has for them, 7000 starts.
const NUMBERS_AHEAD: Nanos = Nanos::from_secs(600);

/// What begins a run that is not gone on with.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// The number of the first action.
    pub first_number: u64,
    /// In force from the start, in place of the one that the run is started with.
    pub instruction: Option<InForce>,
    /// What configured streams had in their windows.
    pub windows: Vec<u8>,
}

/// A state that was found and is not yet kept.
#[derive(Debug)]
pub struct Found {
    level: Level,
    folder: Folder,
    resumed: Resumed,
    graph: u64,
    lease: u64,
    boot: BootId,
    every: Nanos,
    journal_bytes: u64,
}

impl Found {
    /// Reads what is there. None: no state is kept. `given` is the instruction that the run is started with.
    ///
    /// # Errors
    /// The folder cannot be used, or holds the state of another graph, which may not be.
    pub fn open(config: &Config, given: Option<&str>) -> Result<Option<Self>> {
        let wanted = &config.state;
        if wanted.level == Level::None {
            return Ok(None);
        }
        let boot = BootId::read();
        let folder = Folder::open(&wanted.path)?;
        let graph = graph::of(config);
        let ahead = NUMBERS_AHEAD + wanted.every.get() * 2;
        let beats = ahead.clamp_u64() / config.action.rate.period().clamp_u64().max(1);
        let lease = beats + 1;
        let resumed = recovery::recover(
            folder.path(),
            &Now {
                graph,
                clocks: ClockMap::now(boot),
                given,
                on_change: wanted.on_change,
                lease,
            },
        )?;
        Ok(Some(Self {
            level: wanted.level,
            folder,
            resumed,
            graph,
            lease,
            boot,
            every: wanted.every.get(),
            journal_bytes: wanted.journal_mib.bytes(),
        }))
    }

    pub fn resume(&self) -> Resume {
        Resume {
            first_number: self.resumed.first_number(self.lease),
            instruction: self.resumed.state.instruction.in_force.clone(),
            windows: self.resumed.state.windows.clone(),
        }
    }

    /// Something else that begins with this state has to say how.
    pub fn say(&mut self, lines: Vec<String>) {
        self.resumed.said.extend(lines);
    }

    /// Tells what was found, and begins to keep the state: before the first action it is on the disk that this run's
    /// numbers are taken.
    pub fn start(mut self) -> Result<Keeper> {
        self.resumed.listens(ClockMap::now(self.boot));
        self.resumed
            .said
            .iter()
            .for_each(|said| console::line(format_args!("state: {said}")));
        let (segment, entry) = self.resumed.journal;
        let state = self.resumed.state.clone();
        let ring = (self.level == Level::Journal).then(|| {
            let head = Segment {
                graph: self.graph,
                run: state.runs.run,
                segment: segment + 1,
                first: entry + 1,
                mono: state.clocks.mono.0,
                utc: state.clocks.utc,
            };
            Ring::new(self.folder.path(), self.journal_bytes, head)
        });
        let mut writer = Writer::new(Pair::new(self.folder.path(), self.resumed.newest), ring);
        // Both files, so that whichever is lost, the other knows of this run.
        let mut epoch = self.resumed.epoch;
        for _ in 0..2 {
            epoch += 1;
            writer.snapshot(&state.snapshot(self.graph, epoch));
        }
        let (jobs, waiting) = link::every(JOBS, &Bell::silent());
        let handle = thread::housekeeping("state", move || writer.run(waiting)).map_err(|e| {
            let what = "the thread that keeps the state could not be started";
            Fault::from_io(what, &e, Kind::Internal, "raise ulimit -u")
        })?;
        let mut keeper = Keeper {
            due: state.clocks.mono + self.every,
            entry,
            heard: 0,
            lost_samples: 0,
            left_out: 0,
            state,
            epoch,
            found: self,
            jobs,
            handle,
        };
        keeper.tell_clocks();
        Ok(keeper)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Keeper {
    found: Found,
    state: State,
    epoch: u64,
    /// The newest entry's number.
    entry: u64,
    due: MonoTime,
    /// The newest instruction that was heard; 0: none.
    heard: u32,
    /// Of the probes.
    lost_samples: u64,
    /// Jobs that found the link full.
    left_out: u64,
    jobs: EveryWriter<Job>,
    handle: std::thread::JoinHandle<Written>,
}

impl Keeper {
    /// Something happened on the way.
    pub fn see(&mut self, record: &Record) {
        match record {
            Record::Reading(reading) => {
                self.state.progress.readings += 1;
                let what = What::Reading {
                    len: reading.len,
                    values: reading.values,
                };
                let source = u16::from(reading.source_index);
                self.journal(reading.at, reading.arrived, source, what);
            }
            Record::Step(step) if step.stage == Stage::Fusion => {
                self.state.progress.frames += 1;
                let (begin, outcome) = (step.begin, step.outcome);
                let what = What::Decision { begin, outcome };
                let source = u16::from(step.source_index);
                self.journal(step.captured, step.end, source, what);
            }
            Record::Frame(trace) => {
                let what = What::Frame {
                    frame: trace.seq,
                    instruction: trace.instruction_id,
                };
                let (captured, written) = (trace.at(Mark::Captured), trace.at(Mark::Written));
                self.journal(captured, written, u16::from(trace.source_index), what);
            }
            Record::Tick(tick) => self.see_tick(tick),
            _ => {}
        }
    }

    fn see_tick(&mut self, tick: &Tick) {
        self.state.progress.actions += 1;
        let last = &mut self.state.numbers.last;
        *last = (*last).max(tick.number);
        let what = What::Action {
            number: tick.number,
            captured: tick.captured,
            rung: tick.rung,
            sent: tick.write_failed.is_none(),
        };
        self.journal(tick.scheduled, tick.written, 0, what);
    }

    /// The newest instruction that was heard. Calls with one that is known already cost nothing.
    pub fn hear(&mut self, now: MonoTime, id: u32, text: &str) {
        if self.heard == id {
            return;
        }
        self.heard = id;
        // None is better than an older one.
        let is_kept = text.len() <= TEXT_BYTES_MAX;
        let text = if is_kept {
            text.to_owned()
        } else {
            String::new()
        };
        let words = InForce {
            id,
            text: text.clone(),
        };
        self.state.instruction.in_force = is_kept.then_some(words);
        self.journal(now, now, 0, What::Instruction { id, text });
    }

    /// Takes a snapshot when one is due. `lost_samples`: records of the probes that were lost so far; `windows` appends
    /// what configured streams have in theirs.
    pub fn turn(
        &mut self,
        now: MonoTime,
        lost_samples: impl FnOnce() -> u64,
        windows: impl FnOnce(&mut Vec<u8>),
    ) {
        if now < self.due {
            return;
        }
        self.due = now + self.found.every;
        self.tell_lost(now, lost_samples());
        self.state.windows.clear();
        windows(&mut self.state.windows);
        self.snapshot();
    }

    fn tell_lost(&mut self, now: MonoTime, lost_samples: u64) {
        let entries = lost_samples.saturating_sub(self.lost_samples);
        if entries > 0 {
            self.lost_samples = lost_samples;
            self.journal(now, now, 0, What::Lost { entries });
        }
    }

    fn snapshot(&mut self) {
        self.epoch += 1;
        self.tell_clocks();
        let what = What::Epoch { epoch: self.epoch };
        let now = self.state.clocks.mono;
        self.journal(now, now, 0, what);
        let numbers = &mut self.state.numbers;
        numbers.next = numbers
            .next
            .max(numbers.last.saturating_add(self.found.lease));
        self.state.progress.journal = self.entry;
        let snapshot = self.state.snapshot(self.found.graph, self.epoch);
        self.give(Job::Snapshot(Box::new(snapshot)));
    }

    fn tell_clocks(&mut self) {
        let clocks = ClockMap::now(self.found.boot);
        self.state.clocks = clocks;
        self.journal(clocks.mono, clocks.mono, 0, What::Clocks(clocks));
    }

    fn journal(&mut self, event: MonoTime, arrived: MonoTime, source: u16, what: What) {
        if self.found.level != Level::Journal {
            return;
        }
        self.entry += 1;
        let entry = Entry {
            number: self.entry,
            event,
            arrived,
            source,
            what,
        };
        self.give(Job::Entry(Box::new(entry)));
    }

    fn give(&mut self, job: Job) {
        self.left_out += u64::from(self.jobs.push(job).is_err());
    }

    /// The run has come to its end, and all records were seen.
    pub fn finish(mut self, now: MonoTime, lost_samples: u64) -> StateReport {
        self.tell_lost(now, lost_samples);
        self.state.runs.ended = true;
        // The streams have come to their end too, and all windows were given out.
        self.state.windows.clear();
        self.snapshot();
        let Self {
            found,
            state,
            jobs,
            handle,
            left_out,
            ..
        } = self;
        drop(jobs);
        // A panic there has been printed already.
        let written = handle.join().unwrap_or_default();
        let resumed = &found.resumed;
        StateReport {
            level: found.level.name().to_owned(),
            path: found.folder.path().display().to_string(),
            run: state.runs.run,
            cut_off: state.runs.cut_off,
            first_number: resumed.first_number(found.lease),
            found: resumed.said.clone(),
            away_ns: resumed.away.map(Nanos::clamp_u64),
            snapshot_age_ns: resumed.snapshot_age.map(Nanos::clamp_u64),
            entries_applied: resumed.replayed,
            snapshots: written.snapshots,
            commits: written.commits,
            entries: written.entries + left_out,
            entries_lost: written.entries_lost + left_out,
        }
    }
}

/// The instruction that a run is started with, if words of the command line or the configuration give one.
pub fn given<'a>(config: &'a Config, args: &'a cli::Run) -> Option<&'a str> {
    let given = args.instruct.as_deref();
    given.or(config.language.instruction.as_deref())
}
