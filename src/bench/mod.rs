//! `reflexarc bench`: how fast is this machine with this configuration, idle and under load, and what follows from that.
//!
//! Each part is a run of its own process, the very `reflexarc run` that a robot has, so that one part leaves nothing behind
//! for the next and its whole report is kept. `bench.json` has the numbers, `docs/benchmarking.md` says what they mean.
//!
//! Thread: main, which sleeps while a part runs. Allocates: yes. Blocks: yes.

// What bench.json holds.
pub mod data;

// Programs that a bench starts.
mod child;

// What keeps the machine busy.
pub mod loads;

// Clocks, locked and set back.
pub mod clocks;

// Clocks and heat, seen.
pub mod surroundings;

// What the kernel does alone.
mod baseline;

// The form of cyclictest's results.
pub mod cyclictest;

// Does the way of a frame work at all?
pub mod function;

// One run under one load.
mod part;

// Beside a running robot.
mod beside;

// Against an earlier bench.
pub mod compare;

// The verdict.
mod judge;

// What to make of it.
pub mod findings;

// Where the results lie.
mod folder;

// For a terminal.
mod show;

// For a browser.
pub mod page;

// What a core can do at most.
pub mod roof;

// Encoders alone.
pub mod features;

// The command.
pub mod command;
