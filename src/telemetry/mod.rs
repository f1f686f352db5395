//! What is measured: samples from the way, histograms, the live table, the report.
//!
//! A thread of the way tells its [`probe::Probe`] what happened, as one [`record::Record`]; the housekeeping
//! thread's [`collect::Collector`] makes histograms of it. Nothing on the way waits for that: a record that
//! finds the ring full is lost, and the report says how many were.

/// The instants of one frame's way.
pub mod trace;

/// What the threads say.
pub mod record;

/// The hot end.
pub mod probe;

/// The housekeeping end.
pub mod collect;

/// All that the records of a run add up to.
pub mod measured;

/// Durations counted by size.
pub mod durations;

/// Durations over the time of a run.
pub mod timeline;

/// From instruction to action.
pub mod instructions;

/// Bounded lists of changes.
pub mod changes;

/// What a run must reach.
pub mod goals;
