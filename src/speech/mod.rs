//! From sound to words: when somebody speaks, and what was said.
//!
//! ```text
//!  microphone --> to 16 kHz --> 32 ms chunks, each with the probability of speech   (the sensor's thread: ear)
//!                                    | link
//!                                    v
//!               utterances --> recogniser --> an instruction like any other         (the language thread: listener)
//! ```

// From a device's rate to 16 kHz.
pub mod resample;

// The probability that a chunk is speech.
pub mod silero;

// What the sensor's thread does with sound that somebody listens to.
pub mod ear;

// Where an utterance begins and ends.
pub mod utterance;

// The spectrum that the recogniser reads.
pub mod mel;

// The recogniser.
pub mod whisper;

// What a user says about it.
pub mod config;

// From chunks to instructions.
pub mod listener;

use crate::units::MonoTime;

/// Samples a second of everything here.
pub const RATE: u32 = 16_000;
/// Samples of a chunk: 32 ms.
pub const CHUNK: usize = 512;

/// A piece of sound at [`RATE`], with no gap inside.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// When its first sample was true.
    pub first: MonoTime,
    /// No sound is missing between the chunk before and this one.
    pub follows: bool,
    /// That somebody speaks, 0 to 1.
    pub probability: f32,
    pub samples: [f32; CHUNK],
}
