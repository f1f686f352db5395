//! The encoder of real runs: camera frame, preprocess, EfficientNet-Lite0, feature map.
//!
//! Thread: features. Allocates: in `new`; after that only for MJPEG frames and on the candle backend. Blocks: no.
//! Locks: no (candle: yes). Syscalls: no.

use std::path::Path;

use crate::error::{Fault, Kind, Result, StepError};
use crate::features::efficientnet_lite0::{Backend, EfficientNetLite0, SHAPE, spec};
use crate::features::preprocess::{Crop, OutputSpec, Preprocess};
use crate::features::{Encoder, FeatureMap, FeatureShape, FrameView};
use crate::frame::FrameFormat;

/// What the network was trained on: `(byte - 127) / 128`.
const INPUT: OutputSpec = OutputSpec {
    width: spec::INPUT_SIZE,
    height: spec::INPUT_SIZE,
    mean: [127.0; 3],
    std: [128.0; 3],
};

/// Forwards before the first frame: the first one brings weights and buffers into memory and caches, the second
/// shows that the first was enough, the third that the processor has left its idle frequency.
const WARM_UP_FORWARDS: usize = 3;

/// Reads frames of one format and computes their feature maps.
pub struct EfficientNetLite0Encoder {
    preprocess: Preprocess,
    network: EfficientNetLite0,
    /// The normalised picture.
    input: Vec<f32>,
}

impl EfficientNetLite0Encoder {
    /// Loads the weights, takes all memory and warms up: about half a second.
    pub fn new(weights: &Path, backend: Backend, format: FrameFormat, crop: Crop) -> Result<Self> {
        let mut encoder = Self {
            preprocess: Preprocess::new(format, crop, INPUT)?,
            network: EfficientNetLite0::load(weights, backend)?,
            input: vec![0.0; INPUT.len()],
        };
        let mut map = FeatureMap::new(SHAPE);
        for _ in 0..WARM_UP_FORWARDS {
            encoder.encode(&mut map).map_err(|error| {
                Fault::new(
                    Kind::Model,
                    format!("the encoder failed on a grey picture: {error:?}"),
                    format!("weights from {}", weights.display()),
                    "run `reflexarc models fetch`, which replaces a damaged file of the cache, or name another file with `encoder.weights`",
                )
            })?;
        }
        Ok(encoder)
    }

    /// What the kernels run on: `avx512`, `avx2`, `neon`, `portable` or `candle`.
    pub fn isa(&self) -> &'static str {
        self.network.isa()
    }
}

impl Encoder for EfficientNetLite0Encoder {
    fn name(&self) -> &'static str {
        "efficientnet-lite0"
    }

    fn shape(&self) -> FeatureShape {
        SHAPE
    }

    fn load(&mut self, frame: FrameView<'_>) -> Result<(), StepError> {
        self.preprocess.run(frame, &mut self.input)
    }

    fn encode(&mut self, out: &mut FeatureMap) -> Result<(), StepError> {
        self.network.run(&self.input, out)?;
        if all_finite(out.values()) {
            Ok(())
        } else {
            Err(StepError::NotFinite)
        }
    }
}

/// True when no value is infinite or NaN. `v * 0` is 0 for finite values only, and NaN spoils every sum that it gets
/// into; 16 sums side by side become vectors (4 us for the whole map).
fn all_finite(values: &[f32]) -> bool {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut sums = [0.0f32; 16];
    for chunk in chunks {
        for (sum, v) in sums.iter_mut().zip(chunk) {
            *sum += v * 0.0;
        }
    }
    sums.iter().chain(rest).all(|v| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_that_is_not_finite_is_found_wherever_it_stands() {
        for len in [1, 15, 16, 17, 100] {
            let mut values = vec![f32::MAX; len];
            assert!(all_finite(&values));
            for at in 0..len {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    values[at] = bad;
                    assert!(!all_finite(&values), "{bad} at {at} of {len}");
                }
                values[at] = f32::MAX;
            }
        }
    }
}
