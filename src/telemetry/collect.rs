//! The housekeeping end of telemetry: empties the probes and keeps what they said.
//!
//! Thread: housekeeping. Allocates: for each probe, and up to the bounds of `Measured`. Blocks: no.
//! Locks: no. Syscalls: no.

use crate::link::EveryReader;
use crate::telemetry::goals::GoalsConfig;
use crate::telemetry::measured::Measured;
use crate::telemetry::probe::{PROBE_RECORDS, Probe, probe};
use crate::telemetry::record::Record;
use crate::units::MonoTime;

/// How many records one probe passed and lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTotals {
    /// The thread's name.
    pub name: String,
    pub recorded: u64,
    /// Records that found the ring full.
    pub lost: u64,
}

/// Owns the reading ends of all probes and everything measured.
#[derive(Debug)]
pub struct Collector {
    probes: Vec<(String, EveryReader<Record>)>,
    measured: Measured,
}

impl Collector {
    /// `began` is the instant from which the run's time is counted.
    pub fn new(began: MonoTime, goals: &GoalsConfig) -> Self {
        Self {
            probes: Vec::new(),
            measured: Measured::new(began, goals),
        }
    }

    /// A probe for one thread. Make all probes before the first frame.
    pub fn probe(&mut self, thread: &str) -> Probe {
        self.probe_of(thread, PROBE_RECORDS)
    }

    /// A probe with another capacity than usual, in records.
    pub fn probe_of(&mut self, thread: &str, capacity: usize) -> Probe {
        let (writer, reader) = probe(capacity);
        self.probes.push((thread.to_owned(), reader));
        writer
    }

    /// Takes what the probes hold. Call every 20 to 50 ms, and once after the threads have ended.
    /// Returns how many records it took.
    pub fn collect(&mut self) -> u64 {
        self.collect_each(|_| {})
    }

    /// The same, and shows each record to `see`: for who wants single frames, not their sums.
    pub fn collect_each(&mut self, mut see: impl FnMut(&Record)) -> u64 {
        let before = self.measured.records;
        for (_, ring) in &mut self.probes {
            // BOUND: one ring full. A thread that records faster than this loop reads cannot hold it up.
            for _ in 0..PROBE_RECORDS {
                let Some(record) = ring.pop() else { break };
                self.measured.apply(&record);
                see(&record);
            }
        }
        self.measured.records - before
    }

    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    pub fn probes(&self) -> impl Iterator<Item = ProbeTotals> {
        self.probes.iter().map(|(name, ring)| {
            let totals = ring.count().totals();
            ProbeTotals {
                name: name.clone(),
                recorded: totals.pushed,
                lost: totals.refused,
            }
        })
    }
}
