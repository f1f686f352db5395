//! What survives the end of a run, however it ends: snapshots, a journal, and how the next run goes on from them.
//!
//! docs/state.md says what is kept, what is not, and why an action is never sent again.

// What a user says about it.
pub mod config;

// The checksum of both kinds of files.
pub mod crc;

// Fields of both.
pub mod bytes;

// How both kinds of files begin.
pub mod head;

// One instant on both clocks.
pub mod clocks;

// What a snapshot holds.
pub mod content;

// A snapshot as bytes.
pub mod snapshot;

// The pair of files that takes turns.
pub mod pair;

// The journal as bytes.
pub mod journal;

// Its ring of files.
pub mod segments;

// Whether a state belongs to this configuration.
pub mod graph;

// What the next run begins with.
pub mod recovery;

// What is kept while a run lasts.
pub mod keeper;

// Takes it to the disk.
pub mod writer;

// What the report says about it.
pub mod report;
