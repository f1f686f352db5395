//! From features, instruction and sensor state to one aligned set, and from that to a chunk.

// What one sensor said at the instant of a frame.
pub mod align;

// Where their readings come in.
pub mod sensors;

// What the other cameras see.
pub mod views;

// The ways home of feature maps.
pub mod home;

// What fusion does with what it is given.
pub mod decider;

// The stage.
pub mod stage;
