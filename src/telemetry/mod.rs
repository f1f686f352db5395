//! What is measured: samples from the way, histograms, the live table, the report.
//!
//! A thread of the way tells its `Probe` what happened, as one `Record`; the housekeeping
//! thread's `Collector` makes histograms of it. Nothing on the way waits for that: a record that
//! finds the ring full is lost, and the report says how many were.

// The instants of one frame's way.
pub mod trace;

// What the threads say.
pub mod record;

// The hot end.
pub mod probe;

// The housekeeping end.
pub mod collect;

// All that the records of a run add up to.
pub mod measured;

// Durations counted by size.
pub mod durations;

// Durations over the time of a run.
pub mod timeline;

// From instruction to action.
pub mod instructions;

// Bounded lists of changes.
pub mod changes;

// What a run must reach.
pub mod goals;

// What each thread costs.
pub mod threads;

// The machine, the kernel and the build.
pub mod environment;

// The report of a run: as data, as a page, as text, as interval logs.
pub mod report;

// Numbers and tables for the terminal.
pub(crate) mod columns;

// The table that is redrawn while the run goes on.
pub mod live;
