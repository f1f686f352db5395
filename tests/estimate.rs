//! Promises of `reflexarc estimate`: the document's numbers beside the exact ones, by name; the model against a simulation
//! that shares no line with it; what is measured adds up; a pipeline is judged with the sum.
#![allow(clippy::unwrap_used)]

mod support;

// Every number of W1 to W5 and M1 to M14.
#[path = "estimate/numbers.rs"]
mod numbers;

// The recursion, the closed forms and a simulation tick by tick.
#[path = "estimate/properties.rs"]
mod properties;

// Real threads, a real link, the real clock.
#[path = "estimate/measured.rs"]
mod measured;

// A user's own pipeline.
#[path = "estimate/way.rs"]
mod way;

// The command.
#[path = "estimate/command.rs"]
mod command;
