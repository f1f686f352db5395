//! The encoder of real runs: camera frame, preprocess, network, feature map.
//!
//! Thread: features. Allocates: in `new`; after that only for MJPEG frames and on the candle backend. Blocks: no.
//! Locks: no (candle: yes). Syscalls: no.

use std::path::Path;

use serde::Deserialize;

use super::EncoderConfig;
use crate::error::{Fault, Kind, Result, StepError};
use crate::features::networks::{Model, Until};
use crate::features::preprocess::Preprocess;
use crate::features::{Encoder, FeatureMap, FeatureShape, FrameView};
use crate::frame::FrameFormat;
use crate::inference::engine::Engine;
use crate::inference::plan::Input;
use crate::inference::tensors::TensorFile;
use crate::rt::crew::Crew;

/// Forwards before the first frame: the first one brings weights and buffers into memory and caches, the second
/// shows that the first was enough, the third that the processor has left its idle frequency.
const WARM_UP_FORWARDS: usize = 3;

/// What an encoder gives of what its network finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Features {
    /// Those of each position of the picture.
    #[default]
    Map,
    /// Those of the whole picture, as a map of one position: the mean of all, or a vision transformer's class token.
    Summary,
}

/// Reads frames of one format and computes their feature maps.
pub struct NetworkEncoder {
    model: Model,
    preprocess: Preprocess,
    engine: Engine,
    shape: FeatureShape,
    /// The normalised picture.
    input: Vec<f32>,
    /// What the network puts out where that is more than the map, else empty.
    output: Vec<f32>,
}

impl NetworkEncoder {
    /// Loads the weights, takes all memory and warms up: about half a second.
    pub fn new(
        model: Model,
        weights: &Path,
        config: &EncoderConfig,
        format: FrameFormat,
    ) -> Result<Self> {
        let input = model.input();
        let until = match config.features {
            Features::Map => Until::Map,
            Features::Summary => Until::Summary,
        };
        let file = TensorFile::read(weights, model.fix())?;
        let network = model.network(&file.tensors()?, until)?;
        let engine = Engine::new(&network, config.backend, config.precision, model.rows())?;
        let shape = match config.features {
            Features::Map => model.map(),
            Features::Summary => FeatureShape {
                rows: 1,
                columns: 1,
                ..model.map()
            },
        };
        let output = match engine.output_len() {
            len if len == shape.len() => Vec::new(),
            len => vec![0.0; len],
        };
        let mut encoder = Self {
            model,
            preprocess: Preprocess::new(format, config.crop, input)?,
            engine,
            shape,
            input: vec![0.0; input.len()],
            output,
        };
        let mut map = FeatureMap::new(shape);
        for _ in 0..WARM_UP_FORWARDS {
            encoder.encode(&mut map).map_err(|error| {
                Fault::new(
                    Kind::Model,
                    format!("the encoder failed on a grey picture: {error:?}"),
                    format!("weights from {}", weights.display()),
                    model.fix(),
                )
            })?;
        }
        Ok(encoder)
    }

    /// What it computes on: `avx512`, `avx2`, `neon`, `portable` or `candle`.
    pub fn computes_on(&self) -> &'static str {
        self.engine.name()
    }

    /// Computes the map of a normalised picture, `[row][column][red, green, blue]`, in place of a frame.
    ///
    /// # Errors
    /// `Compute` when the picture or the map has another size than the network's, or candle fails; `NotFinite` when the map
    /// has a value that is none.
    pub fn encode_picture(
        &mut self,
        picture: &[f32],
        out: &mut FeatureMap,
    ) -> Result<(), StepError> {
        if picture.len() != self.input.len() {
            return Err(StepError::Compute);
        }
        self.input.copy_from_slice(picture);
        self.encode(out)
    }
}

impl Encoder for NetworkEncoder {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn shape(&self) -> FeatureShape {
        self.shape
    }

    fn share_with(&mut self, crew: Crew) {
        self.engine.share_with(crew);
    }

    fn load(&mut self, frame: FrameView<'_>) -> Result<(), StepError> {
        // They wake while the frame is read.
        self.engine.call_partners();
        let read = self.preprocess.run(frame, &mut self.input);
        if read.is_err() {
            self.engine.dismiss_partners();
        }
        read
    }

    fn encode(&mut self, out: &mut FeatureMap) -> Result<(), StepError> {
        if out.shape() != self.shape {
            return Err(StepError::Compute);
        }
        let (input, rows) = (Input::Picture(&self.input), self.model.rows());
        if self.output.is_empty() {
            self.engine.run(input, rows, out.values_mut())?;
        } else {
            self.engine.run(input, rows, &mut self.output)?;
            // A class token comes first.
            let map = self.output.len() - self.shape.len();
            out.values_mut().copy_from_slice(&self.output[map..]);
        }
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
