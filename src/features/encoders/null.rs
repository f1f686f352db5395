//! An encoder that computes nothing: what is left of a run's time is the runtime's own.
//!
//! It still touches every byte of every frame, so that the bytes have to travel to this core as they do for a
//! real encoder.
//!
//! Thread: features. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use crate::error::StepError;
use crate::features::{Encoder, FeatureMap, FeatureShape, FrameView};

/// Bytes summed up at once: a cache line.
const CHUNK: usize = 64;

/// Sums up the frame's bytes; its feature map is that one number.
#[derive(Debug, Default)]
pub struct NullEncoder {
    sum: u64,
}

impl NullEncoder {
    pub const SHAPE: FeatureShape = FeatureShape {
        rows: 1,
        columns: 1,
        channels: 1,
    };

    /// What the frame loaded last adds up to: its bytes taken as little-endian 64-bit words, modulo 2^64; a rest of
    /// less than a cache line is added byte by byte.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

impl Encoder for NullEncoder {
    fn name(&self) -> &'static str {
        "null"
    }

    fn shape(&self) -> FeatureShape {
        Self::SHAPE
    }

    /// # Errors
    /// `BadFrame` when the frame has no bytes.
    fn load(&mut self, frame: FrameView<'_>) -> Result<(), StepError> {
        if frame.bytes.is_empty() {
            return Err(StepError::BadFrame);
        }
        self.sum = sum(frame.bytes);
        Ok(())
    }

    /// The upper 24 bits of the sum, which an f32 holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit in an f32")]
    fn encode(&mut self, out: &mut FeatureMap) -> Result<(), StepError> {
        let [value] = out.values_mut() else {
            return Err(StepError::Compute);
        };
        *value = (self.sum >> 40) as f32;
        Ok(())
    }
}

/// Eight sums side by side, which the compiler turns into vectors.
fn sum(bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<CHUNK>();
    let mut sums = [0u64; CHUNK / 8];
    for chunk in chunks {
        let (words, _) = chunk.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    let rest = rest.iter().map(|&b| u64::from(b)).sum();
    sums.into_iter().fold(rest, u64::wrapping_add)
}
