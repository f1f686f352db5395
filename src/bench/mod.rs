//! `reflexarc bench`: how fast is this machine with this configuration, idle and under load, and what follows from that.
//!
//! Each part is a run of its own process, the very `reflexarc run` that a robot has, so that one part leaves nothing behind
//! for the next and its whole report is kept. `bench.json` has the numbers, `docs/benchmarking.md` says what they mean.
//!
//! Thread: main, which sleeps while a part runs. Allocates: yes. Blocks: yes.

// What bench.json holds.
pub mod data;

// Does the way of a frame work at all?
pub mod function;

// Beside a running robot.
mod beside;

// Where the results lie.
mod folder;

// For a terminal.
mod show;

// The command.
pub mod command;
