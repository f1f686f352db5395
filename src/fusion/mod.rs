//! From features, instruction and sensor state to one aligned set, and from that to a chunk.

// What the sensors said lately, and what that means for one instant.
pub mod history;

// What fusion does with what it is given.
pub mod decider;

// The stage.
pub mod stage;
