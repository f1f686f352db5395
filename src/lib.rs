//! reflexarc: from camera to action in one process, with the age of every action's data proven.
//!
//! The words: a *frame* is one camera picture in a *slot* of memory with one owner; a *link* passes things
//! between threads; a *stage* is a piece of work (capture, features, fusion, action), run by a *step*; a
//! *chunk* is a policy's sequence of targets and an *action* one of them, sent on a *beat* of the action clock.
//!
//! The modules stand in the order in which a frame meets them.

// Quantities as types.
pub mod units;

// The one place that reads a clock.
pub mod clock;

// Errors that explain themselves.
pub mod error;

// Angles, poses and the pinhole lens of a pan-tilt camera.
pub mod lens;

// What is known about a frame besides its bytes.
pub mod frame;

// Frame memory with one owner.
pub mod slot;

// How things get from thread to thread.
pub mod link;

// Threads, waiting, memory.
pub mod rt;

// Where frames come from.
pub mod capture;

// A closed loop without hardware.
pub mod scene;

// Networks on this processor.
pub mod inference;

// From frame to feature map.
pub mod features;

// Real weights, names, photographs and footage.
pub mod models;

// Topics of Kafka, for instructions and readings.
pub mod kafka;

// From text to instruction.
pub mod language;

// From sensors to state.
pub mod sensor;

// From microphones and sound files to sensors.
pub mod microphone;

// From sound to words.
pub mod speech;

// Event time, bounds, windows, alignment: a small stream engine.
pub mod stream;

// Bringing features, words and sensors to one instant.
pub mod fusion;

// From one aligned set to a chunk of actions.
pub mod policy;

// From chunk to robot.
pub mod action;

// Snapshots, journal, and going on after the end.
pub mod state;

// How actions leave and readings enter.
pub mod wire;

// How stages are joined: by a plain call or by a link.
pub mod stage;

// The whole way, top to bottom.
pub mod pipeline;

// Batch against stream, computed and measured; a pipeline before it runs.
pub mod estimate;

// Recordings: written, replayed, compared.
pub mod record;

// What is known of a board, and which one this is.
pub mod board;

// Whether this machine is fit for it.
pub mod doctor;

// One TOML file and what it says.
pub mod config;

// What a person is told.
pub mod console;

// The command line.
pub mod cli;

// `reflexarc run`.
pub mod run;

// What is measured and reported.
pub mod telemetry;

// `reflexarc bench`: latency idle and under load, and what to make of it.
pub mod bench;
