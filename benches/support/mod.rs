//! What all benches share: peers run in turn in one process, exact percentiles, machine facts, one table and
//! one JSON file of results.
//!
//! A bench is a plain `main` (`harness = false`) that first checks that every peer gives the right result, then
//! times them:
//!
//! ```ignore
//! mod support;
//! use support::{Bench, Peer};
//!
//! fn main() {
//!     let mut bench = Bench::start("slots", "What does one slot's way through the pool cost?");
//!     bench.compare("one cycle", 2_000, &mut [
//!         Peer::timed("pool", 100, || cycle(&pool)),          // 100 operations a call
//!         Peer::measured("two threads", || ping_pong()),      // measures itself, returns ns per operation
//!     ]);
//!     bench.finish();
//! }
//! ```
//!
//! Why peers take turns: clocks, caches and neighbours on a machine drift over seconds, so two peers measured one
//! after the other differ for reasons of their own. Taking turns call by call, a drift hits all of them, and the
//! ratios hold although the numbers move.
//!
//! With `--test` (as `cargo test --benches` passes it) everything runs a few times and nothing is written.

#![allow(dead_code, reason = "each bench uses its own part of this module")]

pub mod machine;
pub mod stats;

use std::path::PathBuf;

use reflexarc::clock;
use serde_json::{Value, json};

pub use stats::Summary;

/// Rounds of a comparison when the bench only proves that it still runs.
const ROUNDS_QUICK: usize = 3;

/// One way of doing the work.
pub struct Peer<'a> {
    name: String,
    operations: u64,
    run: Box<dyn FnMut() -> u64 + 'a>,
}

impl<'a> Peer<'a> {
    /// `body` does `operations` operations; the harness times the call and divides.
    ///
    /// Reading the clock costs about 25 ns twice, so an operation faster than a microsecond needs many a call.
    pub fn timed(name: impl Into<String>, operations: u64, mut body: impl FnMut() + 'a) -> Self {
        let run = move || {
            let begin = clock::now();
            body();
            (clock::now() - begin).clamp_u64()
        };
        Self {
            name: name.into(),
            operations: operations.max(1),
            run: Box::new(run),
        }
    }

    /// `body` measures itself and returns nanoseconds of one operation.
    pub fn measured(name: impl Into<String>, body: impl FnMut() -> u64 + 'a) -> Self {
        Self {
            name: name.into(),
            operations: 1,
            run: Box::new(body),
        }
    }
}

/// A running bench: its question, what it has measured so far, and the machine it runs on.
pub struct Bench {
    name: &'static str,
    question: &'static str,
    quick: bool,
    machine: Value,
    groups: Vec<Value>,
    notes: Vec<(String, Value)>,
}

impl Bench {
    /// Reads the command line and the machine's facts. `name` names the result file.
    pub fn start(name: &'static str, question: &'static str) -> Self {
        let quick = std::env::args().any(|a| a == "--test");
        let machine = if quick { Value::Null } else { machine::facts() };
        say(&format!("{name}: {question}"));
        if !quick {
            say(&machine::one_line(&machine));
        }
        Self {
            name,
            question,
            quick,
            machine,
            groups: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// True when the bench only has to prove that it still runs.
    pub fn is_quick(&self) -> bool {
        self.quick
    }

    /// `full` in a real run, `quick` in a test run.
    pub fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// Runs the peers in turn, `rounds` times, after one round that is not counted, and prints the table. The
    /// peer that begins changes from round to round. The first peer is the one that ratios refer to.
    pub fn compare(&mut self, title: &str, rounds: usize, peers: &mut [Peer<'_>]) -> Vec<Summary> {
        let rounds = self.size(rounds, ROUNDS_QUICK);
        let mut samples = vec![Vec::with_capacity(rounds); peers.len()];
        for peer in peers.iter_mut() {
            (peer.run)();
        }
        for round in 0..rounds {
            for turn in 0..peers.len() {
                let index = (round + turn) % peers.len();
                samples[index].push((peers[index].run)());
            }
        }
        let measured = peers
            .iter()
            .zip(samples)
            .map(|(peer, ns)| (peer.name.clone(), peer.operations, ns))
            .collect();
        self.record(title, measured)
    }

    /// Takes samples measured elsewhere: name, operations a sample, nanoseconds of each sample.
    pub fn record(&mut self, title: &str, measured: Vec<(String, u64, Vec<u64>)>) -> Vec<Summary> {
        let summaries: Vec<Summary> = measured
            .into_iter()
            .map(|(name, operations, ns)| Summary::new(name, operations, ns))
            .collect();
        say(&stats::table(title, &summaries));
        let rows: Vec<Value> = summaries.iter().map(Summary::to_json).collect();
        self.groups.push(json!({ "title": title, "peers": rows }));
        summaries
    }

    /// Keeps and prints one more number or fact, such as bytes moved or the peak of the core.
    pub fn note(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        say(&format!("  {key}: {value}"));
        self.notes.push((key.to_owned(), value));
    }

    /// Writes `benches/runs/<name>.json`, unless this is a test run.
    ///
    /// # Panics
    /// If the file cannot be written: then the numbers on the screen are the only ones.
    pub fn finish(self) {
        if self.quick {
            return;
        }
        let notes: serde_json::Map<String, Value> = self.notes.into_iter().collect();
        let all = json!({
            "bench": self.name,
            "question": self.question,
            "machine": self.machine,
            "load_at_end": machine::load(),
            "notes": notes,
            "groups": self.groups,
        });
        let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
        let folder = root.join("benches/runs");
        let path = folder.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(&all).expect("plain values always serialise");
        std::fs::create_dir_all(&folder).expect("benches/runs can be made");
        std::fs::write(&path, text + "\n").expect("the result file can be written");
        say(&format!("written: benches/runs/{}.json", self.name));
    }
}

/// Prints a line for the person who runs the bench.
#[expect(
    clippy::disallowed_macros,
    reason = "a bench is run by a person, and nothing is timed while it prints"
)]
pub fn say(line: &str) {
    println!("{line}");
}
