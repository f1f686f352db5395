//! The encoders, by name.
//!
//! A new one is a file here with an [`Encoder`] of its own and an arm in [`open`].

use std::path::PathBuf;

use serde::Deserialize;

pub mod efficientnet_lite0;

pub mod null;

pub use efficientnet_lite0::EfficientNetLite0Encoder;
pub use null::NullEncoder;

use super::Encoder;
use super::efficientnet_lite0::Backend;
use super::preprocess::Crop;
use crate::error::Result;
use crate::frame::FrameFormat;
use crate::models;

/// Which encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum EncoderName {
    /// 7 x 7 positions with 1280 features each, from real weights.
    #[default]
    #[serde(rename = "efficientnet-lite0")]
    EfficientNetLite0,
    /// Touches every byte of the frame and computes nothing: for measuring the runtime itself.
    #[serde(rename = "null")]
    Null,
}

/// `[encoder]` in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderConfig {
    /// `"efficientnet-lite0"` (default) or `"null"`.
    pub name: EncoderName,
    /// What computes it: `"fused"` (default, the fastest instruction set of the processor), `"fused-avx512"`,
    /// `"fused-avx2"`, `"fused-neon"`, `"fused-portable"`, or `"candle"` (the slow reference).
    pub backend: Backend,
    /// The weights. Default: those that `reflexarc models fetch` has put into the cache.
    pub weights: Option<PathBuf>,
    /// Which part of the picture it sees: `"full"` (default, squeezed to the input's shape), `"centre"`, or a table
    /// of fractions.
    pub crop: Crop,
    /// Threads that encode the first camera's frames, one frame each in turn, 1 to 16. Default 1. More of them take more frames
    /// a second; each frame takes as long as with one.
    pub workers: Workers,
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
    /// The file that the weights are read from.
    pub fn weights_file(&self) -> PathBuf {
        let own = self.weights.clone();
        own.unwrap_or_else(|| models::path(models::ENCODER))
    }
}

/// Makes the encoder for frames of this format: loads weights, takes all memory, warms up.
///
/// # Errors
/// `Model` when the weights are missing or damaged, `Unsupported` when the format or the processor does not fit,
/// `Config` when the crop is not sensible.
pub fn open(config: &EncoderConfig, format: FrameFormat) -> Result<Box<dyn Encoder>> {
    match config.name {
        EncoderName::Null => Ok(Box::new(NullEncoder::default())),
        EncoderName::EfficientNetLite0 => {
            let weights = config.weights_file();
            let encoder =
                EfficientNetLite0Encoder::new(&weights, config.backend, format, config.crop)?;
            Ok(Box::new(encoder))
        }
    }
}
