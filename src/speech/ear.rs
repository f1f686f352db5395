//! What the sensor's thread does with sound that somebody listens to: brings it to 16 kHz, cuts it into chunks, and says of
//! each how probably it is speech.
//!
//! Thread: the sensor's. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: none.

use super::resample::Resampler;
use super::silero::Silero;
use super::{CHUNK, Chunk, RATE};
use crate::link::EveryWriter;
use crate::units::{MonoTime, Nanos};

/// See the module.
pub struct Ear {
    detector: Silero,
    resampler: Resampler,
    chunk: Chunk,
    filled: usize,
    /// Where chunks go; without it only the probability counts.
    out: Option<EveryWriter<Chunk>>,
}

impl Ear {
    /// For sound of `rate` samples a second.
    pub fn new(detector: Silero, rate: u32, out: Option<EveryWriter<Chunk>>) -> Self {
        Self {
            detector,
            resampler: Resampler::new(rate),
            chunk: Chunk {
                first: MonoTime::ZERO,
                follows: false,
                probability: 0.0,
                samples: [0.0; CHUNK],
            },
            filled: 0,
            out,
        }
    }

    /// Samples that follow those before, and when the first of them was true.
    pub fn hear(&mut self, samples: &[f32], first: MonoTime, rate: f64) {
        let delay = self.resampler.delay() / f64::from(RATE);
        for (n, &sample) in (0_u32..).zip(samples) {
            let (chunk, filled) = (&mut self.chunk, &mut self.filled);
            let (detector, out) = (&mut self.detector, &mut self.out);
            self.resampler.push(sample, |sample| {
                if *filled == 0 {
                    chunk.first = first + Nanos::from_secs_f64(f64::from(n) / rate - delay);
                }
                chunk.samples[*filled] = sample;
                *filled += 1;
                if *filled == CHUNK {
                    *filled = 0;
                    chunk.probability = detector.hear(&chunk.samples);
                    if let Some(out) = out {
                        // The link counts what finds no room; what follows does not follow then.
                        let lost = out.push(*chunk).is_err();
                        chunk.follows = !lost;
                    }
                }
            });
        }
    }

    /// Of the newest chunk, 0 to 1.
    pub fn probability(&self) -> f32 {
        self.chunk.probability
    }

    /// Sound is missing.
    pub fn forget(&mut self) {
        self.detector.forget();
        self.resampler.forget();
        self.chunk.follows = false;
        self.chunk.probability = 0.0;
        self.filled = 0;
    }
}
