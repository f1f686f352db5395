//! Boards: what is known of each, from where, and which one this machine is.
//!
//! A board is a file, `boards/NAME/board.toml`. It holds *facts* (a value, its source, and whether anyone saw it on
//! the hardware) and *choices* of this project (which cores are isolated, which thread runs where). The files of the
//! project are built in; files on disk come before them. Nothing is taken from a board that was not identified.
//!
//! Thread: main, before the run. Allocates: yes. Blocks: on the disk.

// A value with its source.
pub mod fact;

// Core sets, USB ids, versions.
pub mod values;

// What a board file may say.
pub mod file;

// All boards that are known.
pub mod registry;

// The files of this machine, or of a captured one.
pub mod tree;

// One of them that is not read like the others.
mod kernel_log;

// What tells boards apart in them.
pub mod evidence;

// Which board that is, and why not the others.
pub mod detect;

// Mistakes that no single key shows.
pub mod lint;

// Boards as text.
pub mod show;

// The board of a run.
pub mod choose;

// `reflexarc board`.
pub mod command;
