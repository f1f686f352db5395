//! The thread that takes the state to the disk.
//!
//! Thread: housekeeping, its own. Allocates: yes. Blocks: on the disk. Locks: no. Syscalls: files.
//!
//! A disk that refuses does not end the run: it is said once, counted, and tried again.

use std::io;

use crate::clock;
use crate::console;
use crate::link::EveryReader;
use crate::telemetry::durations::Durations;
use crate::units::Nanos;

use super::journal::Entry;
use super::pair::Pair;
use super::report::KeptReport;
use super::segments::Ring;
use super::snapshot::Snapshot;

/// Entries that come within this time share a commit.
pub const COMMIT_EVERY: Nanos = Nanos::from_millis(20);
/// Jobs that may wait.
// BOUND: 2 kHz of readings, beats and frames for 4 s, in which a slow disk may stand still.
pub const JOBS: usize = 8192;

/// What is to be kept.
#[derive(Debug)]
pub enum Job {
    Snapshot(Box<Snapshot>),
    Entry(Box<Entry>),
}

/// The writing ends, and what became of what they were given.
#[derive(Debug)]
pub struct Writer {
    pair: Pair,
    ring: Option<Ring>,
    snapshots: Kept,
    commits: Kept,
    entries: u64,
}

/// What the writer did.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub snapshots: KeptReport,
    pub commits: KeptReport,
    pub entries: u64,
    pub entries_lost: u64,
}

/// One kind of write.
#[derive(Debug)]
struct Kept {
    what: &'static str,
    is_failing: bool,
    report: KeptReport,
    times: Durations,
}

impl Kept {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            is_failing: false,
            report: KeptReport::default(),
            times: Durations::new(),
        }
    }

    fn count(&mut self, time: Nanos, result: io::Result<()>) {
        match result {
            Ok(()) => {
                self.report.done += 1;
                self.times.record(time);
                if std::mem::take(&mut self.is_failing) {
                    console::line(format_args!("{} again", self.what));
                }
            }
            Err(e) => {
                self.report.failed += 1;
                self.report
                    .first_failure
                    .get_or_insert_with(|| e.to_string());
                if !std::mem::replace(&mut self.is_failing, true) {
                    console::line(format_args!(
                        "warning: not {}: {e}; the run goes on, and it is tried again",
                        self.what
                    ));
                }
            }
        }
    }

    fn report(self) -> KeptReport {
        KeptReport {
            time: self.times.quantiles(),
            ..self.report
        }
    }
}

impl Writer {
    /// Without a ring there is no journal.
    pub fn new(pair: Pair, ring: Option<Ring>) -> Self {
        Self {
            pair,
            ring,
            snapshots: Kept::new("keeping the state"),
            commits: Kept::new("keeping the journal"),
            entries: 0,
        }
    }

    pub fn snapshot(&mut self, snapshot: &Snapshot) {
        // The journal first: a snapshot never knows more than the entries before it.
        self.commit();
        let begin = clock::now();
        let result = self.pair.write(snapshot);
        self.snapshots.count(clock::now() - begin, result);
    }

    fn append(&mut self, entry: &Entry) {
        if let Some(ring) = &mut self.ring {
            self.entries += 1;
            if let Err(e) = ring.append(entry) {
                self.commits.count(Nanos::ZERO, Err(e));
            }
        }
    }

    fn commit(&mut self) {
        if let Some(ring) = self.ring.as_mut().filter(|ring| ring.has_waiting()) {
            let begin = clock::now();
            let result = ring.commit();
            self.commits.count(clock::now() - begin, result);
        }
    }

    /// Until the other end has gone.
    pub fn run(mut self, mut jobs: EveryReader<Job>) -> Written {
        loop {
            let turn = clock::now();
            // Looked at before the link is emptied, so what was pushed before the end is written.
            let is_last = jobs.is_abandoned();
            while let Some(job) = jobs.pop() {
                match job {
                    Job::Snapshot(snapshot) => self.snapshot(&snapshot),
                    Job::Entry(entry) => self.append(&entry),
                }
            }
            self.commit();
            if is_last {
                return self.finish();
            }
            clock::sleep_until(turn + COMMIT_EVERY);
        }
    }

    fn finish(self) -> Written {
        Written {
            snapshots: self.snapshots.report(),
            commits: self.commits.report(),
            entries: self.entries,
            entries_lost: self.ring.as_ref().map_or(0, Ring::lost_in_all),
        }
    }
}
