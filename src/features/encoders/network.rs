//! The encoder of real runs: camera frame, preprocess, network, feature map.
//!
//! Thread: features. Allocates: in `new`; after that only for MJPEG frames and on the candle backend. Blocks: no; for a GPU it
//! looks until a deadline. Locks: no (candle and NVIDIA's driver: yes). Syscalls: no (the driver: few).

use std::path::Path;

use serde::Deserialize;

use super::EncoderConfig;
use crate::error::{Fault, Kind, Result, StepError};
use crate::features::networks::{Model, Until};
use crate::features::preprocess::Preprocess;
use crate::features::{Encoder, FeatureMap, FeatureShape, FrameView, Remark};
use crate::frame::FrameFormat;
use crate::inference::cuda::compile::Feed;
use crate::inference::cuda::config::Fallback;
use crate::inference::cuda::runner::Runner;
use crate::inference::engine::{Backend, Engine, only_own_precision};
use crate::inference::network::Network;
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
    computes: Computes,
    shape: FeatureShape,
    /// The normalised picture; empty where a GPU makes it.
    input: Vec<f32>,
    /// What the network puts out where that is more than the map, else empty.
    output: Vec<f32>,
    /// See [`Encoder::remark`].
    remark: Option<Remark>,
}

/// What computes the map.
enum Computes {
    /// Of the picture that is made here.
    Here(Box<Engine>),
    /// Of the frame itself.
    Device(Box<Runner>),
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
        let preprocess = Preprocess::new(format, config.crop, input)?;
        let (computes, remark) = computes(&network, model, config, &preprocess)?;
        let shape = match config.features {
            Features::Map => model.map(),
            Features::Summary => FeatureShape {
                rows: 1,
                columns: 1,
                ..model.map()
            },
        };
        let (input, len) = match &computes {
            Computes::Here(engine) => (vec![0.0; input.len()], engine.output_len()),
            Computes::Device(runner) => (Vec::new(), runner.output_len()),
        };
        let output = match len {
            len if len == shape.len() => Vec::new(),
            len => vec![0.0; len],
        };
        let mut encoder = Self {
            model,
            preprocess,
            computes,
            shape,
            input,
            output,
            remark,
        };
        let mut map = FeatureMap::new(shape);
        for _ in 0..WARM_UP_FORWARDS {
            encoder.warm_up(&mut map).map_err(|error| {
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

    /// What it computes on: `avx512`, `avx2`, `neon`, `portable`, `candle` or `cuda`.
    pub fn computes_on(&self) -> &'static str {
        match &self.computes {
            Computes::Here(engine) => engine.name(),
            Computes::Device(_) => "cuda",
        }
    }

    fn warm_up(&mut self, out: &mut FeatureMap) -> Result<(), StepError> {
        if let Computes::Device(runner) = &mut self.computes {
            runner.begin(&vec![0; runner.input_len()])?;
        }
        self.encode(out)
    }

    /// Computes the map of a normalised picture, `[row][column][red, green, blue]`, in place of a frame.
    ///
    /// # Errors
    /// `Compute` when the picture or the map has another size than the network's, candle fails, or a GPU computes it, which takes
    /// frames alone; `NotFinite` when the map has a value that is none.
    pub fn encode_picture(
        &mut self,
        picture: &[f32],
        out: &mut FeatureMap,
    ) -> Result<(), StepError> {
        if picture.len() != self.input.len() || matches!(self.computes, Computes::Device(_)) {
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
        if let Computes::Here(engine) = &mut self.computes {
            engine.share_with(crew);
        }
    }

    fn remark(&self) -> Option<&Remark> {
        self.remark.as_ref()
    }

    fn load(&mut self, frame: FrameView<'_>) -> Result<(), StepError> {
        match &mut self.computes {
            Computes::Here(engine) => {
                // They wake while the frame is read.
                engine.call_partners();
                let read = self.preprocess.run(frame, &mut self.input);
                if read.is_err() {
                    engine.dismiss_partners();
                }
                read
            }
            Computes::Device(runner) => runner.begin(self.preprocess.raw(frame)?),
        }
    }

    fn encode(&mut self, out: &mut FeatureMap) -> Result<(), StepError> {
        if out.shape() != self.shape {
            return Err(StepError::Compute);
        }
        let to = match self.output.is_empty() {
            true => out.values_mut(),
            false => &mut self.output,
        };
        match &mut self.computes {
            Computes::Here(engine) => {
                engine.run(Input::Picture(&self.input), self.model.rows(), to)?;
            }
            Computes::Device(runner) => runner.finish(to)?,
        }
        if !self.output.is_empty() {
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

/// The device or the engine that is asked for, or the one that stands in for a device, with what is to be said of it.
fn computes(
    network: &Network,
    model: Model,
    config: &EncoderConfig,
    preprocess: &Preprocess,
) -> Result<(Computes, Option<Remark>)> {
    let engine = |backend| {
        let engine = Engine::new(network, backend, config.precision, model.rows())?;
        Ok(Computes::Here(Box::new(engine)))
    };
    if config.backend != Backend::Cuda {
        return Ok((engine(config.backend)?, None));
    }
    let may_fall_back = config.cuda.fallback == Fallback::Plan;
    if !may_fall_back {
        only_own_precision(config.precision)?;
    }
    let feed = Feed::Camera(Box::new(preprocess.for_device()));
    match Runner::new(network, &feed, model.rows(), &config.cuda) {
        Ok(runner) => {
            let device = runner.device();
            let text = format!(
                "the encoder computes on GPU {}, {} (sm_{}, {} multiprocessors), in {}",
                config.cuda.device,
                device.name,
                device.architecture,
                device.multiprocessors,
                config.cuda.precision.name()
            );
            let is_warning = false;
            let remark = Remark { text, is_warning };
            Ok((Computes::Device(Box::new(runner)), Some(remark)))
        }
        Err(fault) if may_fall_back => {
            let text = format!(
                "the encoder computes on the processor instead of a GPU: {}: {}",
                fault.what, fault.why
            );
            let is_warning = true;
            let remark = Remark { text, is_warning };
            Ok((engine(Backend::Plan)?, Some(remark)))
        }
        Err(fault) => Err(fault),
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
