//! Promises about what survives a run: every damage is detected, nothing is read wrongly, no number of an action comes
//! twice, and a run that is killed at any instant can be gone on from.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

// Damaged and cut files.
mod damage;

// What the next run begins with.
mod recovery;

// The journal's ring of files.
mod ring;

// Configured streams.
mod windows;

// The real program, killed.
mod killed;

// A disk that is full, a folder that is in use.
mod disk;
