//! The encoders, by name.
//!
//! A new network is one of [`super::networks`]; another kind of encoder is a file here with an [`Encoder`] of its own and an
//! arm in [`open`].

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

pub mod network;

pub mod null;

pub use network::{Features, NetworkEncoder};
pub use null::NullEncoder;

use super::Encoder;
use super::networks::Model;
use super::preprocess::Crop;
use crate::error::{Fault, Kind, Result};
use crate::frame::FrameFormat;
use crate::inference::cuda::config::CudaConfig;
use crate::inference::engine::Backend;
use crate::inference::plan::Precision;
use crate::models;
use crate::rt::crew::PARTNERS_MAX;

/// Which encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum EncoderName {
    Network(Model),
    /// Touches every byte of the frame and computes nothing: for measuring the runtime itself.
    Null,
}

impl EncoderName {
    const NULL: &str = "null";
}

impl Default for EncoderName {
    fn default() -> Self {
        Self::Network(Model::default())
    }
}

impl TryFrom<String> for EncoderName {
    type Error = String;
    fn try_from(name: String) -> std::result::Result<Self, String> {
        if name == Self::NULL {
            return Ok(Self::Null);
        }
        let model = Model::ALL.into_iter().find(|model| model.name() == name);
        model.map(Self::Network).ok_or_else(|| {
            let known: Vec<&str> = Model::ALL.iter().map(|model| model.name()).collect();
            let known = known.join("`, `");
            format!(
                "no encoder `{name}`: there are `{known}` and `{}`",
                Self::NULL
            )
        })
    }
}

/// `[encoder]` in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderConfig {
    /// `"efficientnet-lite0"` (default), `"efficientnet-lite1"`, `"efficientnet-lite2"`, `"mobilenet-v2"`, `"resnet18"`,
    /// `"vit-tiny"`, `"vit-small"`, `"dinov2-small"`, or `"null"`, which computes nothing.
    pub name: EncoderName,
    /// What computes it: `"plan"` (default, the fastest instruction set of the processor), `"plan-avx512"`,
    /// `"plan-avx2"`, `"plan-neon"`, `"plan-portable"`, `"candle"` (the slow reference), or `"cuda"`, an NVIDIA GPU, where the
    /// binary was built for one (docs/cuda.md).
    pub backend: Backend,
    /// What it multiplies with: `"f32"` (default), `"bf16"`, `"f16"` or `"int8"`, which are refused where the processor has no
    /// instructions for them. What they cost in accuracy is in `docs/inference.md`.
    pub precision: Precision,
    /// For the backend `"cuda"`, which has a precision of its own there.
    pub cuda: CudaConfig,
    /// What it gives: `"map"` (default), the features of each position, or `"summary"`, those of the whole picture.
    pub features: Features,
    /// The weights, a safetensors file. Default for the EfficientNets: those that `reflexarc models fetch` has put into the
    /// cache. The others have no default.
    pub weights: Option<PathBuf>,
    /// Which part of the picture it sees: `"full"` (default, squeezed to the input's shape), `"centre"`, or a table
    /// of fractions.
    pub crop: Crop,
    /// Threads that encode the first camera's frames, one frame each in turn, 1 to 16. Default 1. More of them take more frames
    /// a second; each frame takes as long as with one.
    pub workers: Workers,
    /// Cores whose threads help with each frame: the work of every layer is cut, and a frame takes less time. Default none.
    /// At most the action clock and sensors may have them too, which go first. Several workers have equally many each, the first worker's first.
    #[serde(deserialize_with = "partners")]
    pub partners: Vec<usize>,
}

/// Cores, none twice.
fn partners<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Vec<usize>, D::Error> {
    let cores = Vec::<usize>::deserialize(d)?;
    let twice = (0..cores.len()).find(|&i| cores[..i].contains(&cores[i]));
    if let Some(i) = twice {
        return Err(D::Error::custom(format!(
            "core {} is named twice",
            cores[i]
        )));
    }
    if cores.len() > PARTNERS_MAX {
        return Err(D::Error::custom(format!(
            "more than {PARTNERS_MAX} partners"
        )));
    }
    Ok(cores)
}

/// How many threads encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct Workers(u8);

impl Workers {
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u8> for Workers {
    type Error = String;
    fn try_from(count: u8) -> std::result::Result<Self, String> {
        if (1..=16).contains(&count) {
            Ok(Self(count))
        } else {
            Err(format!("{count} workers: write 1 to 16"))
        }
    }
}

impl EncoderConfig {
    /// Refuses partners that could not help.
    ///
    /// # Errors
    /// `Config`.
    pub fn check_partners(&self) -> Result<()> {
        let (partners, workers) = (self.partners.len(), self.workers.get());
        let refused = |why: String, fix: &str| {
            let what = format!("encoder.partners = {:?}", self.partners);
            Err(Fault::new(Kind::Config, what, why, fix))
        };
        if partners == 0 {
            return Ok(());
        }
        if self.name == EncoderName::Null || matches!(self.backend, Backend::Candle | Backend::Cuda)
        {
            return refused(
                "only networks that run as a plan share their work".to_owned(),
                "leave encoder.partners out, or name a network and leave encoder.backend out",
            );
        }
        if !partners.is_multiple_of(workers) {
            return refused(
                format!("{partners} cores cannot be shared evenly by {workers} workers"),
                "name equally many cores for each worker",
            );
        }
        Ok(())
    }

    /// The file of the models cache that it reads, if any.
    pub fn cached_weights(&self) -> Option<&'static str> {
        match self.name {
            EncoderName::Network(model) if self.weights.is_none() => model.weights(),
            _ => None,
        }
    }

    /// The file that the weights are read from.
    ///
    /// # Errors
    /// `Config` when the encoder has no weights in the cache and none are named.
    pub fn weights_file(&self) -> Result<PathBuf> {
        if let Some(own) = &self.weights {
            return Ok(own.clone());
        }
        match self.name {
            EncoderName::Network(model) => model.weights().map(models::path).ok_or_else(|| {
                Fault::new(
                    Kind::Config,
                    format!("no weights for the encoder `{}`", model.name()),
                    "no package brings them, and encoder.weights is not set",
                    model.fix(),
                )
            }),
            EncoderName::Null => Ok(models::path(models::ENCODER)),
        }
    }
}

/// Makes the encoder for frames of this format: loads weights, takes all memory, warms up.
///
/// # Errors
/// `Model` when the weights are missing or damaged, `Unsupported` when the format or the processor does not fit,
/// `Config` when the crop is not sensible or the weights have no name.
pub fn open(config: &EncoderConfig, format: FrameFormat) -> Result<Box<dyn Encoder>> {
    match config.name {
        EncoderName::Null => Ok(Box::new(NullEncoder::default())),
        EncoderName::Network(model) => {
            let weights = config.weights_file()?;
            let encoder = NetworkEncoder::new(model, &weights, config, format)?;
            Ok(Box::new(encoder))
        }
    }
}
