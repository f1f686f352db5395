//! EfficientNet-Lite0: a picture of 224 by 224 pixels in, a map of 7 by 7 positions with 1280 features each out.
//!
//! 384 million multiply-adds. [`Backend::Fused`] runs them in kernels of our own, on the calling thread, without
//! allocation; [`Backend::Candle`] runs the same weights on candle, as the reference.
//!
//! Thread: any, one at a time. Allocates: in `load`; on candle also in `run`. Blocks: no. Locks: no (candle: yes).

use std::path::Path;

use serde::Deserialize;

use crate::error::{Fault, Kind, Result, StepError};
use crate::features::{FeatureMap, FeatureShape};
use crate::inference::kernels::Isa;

pub mod spec;

mod candle;

mod classifier;

mod fused;

mod stem;

mod strips;

mod weights;

pub use classifier::{Classifier, pool};

/// The network's output: the map before pooling.
pub const SHAPE: FeatureShape = FeatureShape {
    rows: 7,
    columns: 7,
    channels: spec::HEAD_CHANNELS,
};

/// Values of the network's input: `[row][column][red, green, blue]`, each `(byte - 127) / 128`.
pub const INPUT_LEN: usize = spec::INPUT_SIZE * spec::INPUT_SIZE * spec::INPUT_CHANNELS;

/// What computes the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Own kernels, on the fastest instruction set of this processor.
    #[default]
    Fused,
    /// Own kernels on AVX-512; refused where the processor lacks it.
    FusedAvx512,
    /// Own kernels on AVX2 and FMA; refused where the processor lacks them.
    FusedAvx2,
    /// Own kernels on NEON; only on 64-bit ARM processors, which all have it.
    FusedNeon,
    /// Own kernels in plain Rust.
    FusedPortable,
    /// candle's tensors: slow, the reference.
    Candle,
}

impl Backend {
    /// The instruction set of a fused backend, None for candle.
    fn isa(self) -> Result<Option<Isa>> {
        let name = match self {
            Self::Fused => return Ok(Some(Isa::best())),
            Self::Candle => return Ok(None),
            Self::FusedAvx512 => "avx512",
            Self::FusedAvx2 => "avx2",
            Self::FusedNeon => "neon",
            Self::FusedPortable => "portable",
        };
        Isa::named(name).map(Some).ok_or_else(|| {
            let has: Vec<&str> = Isa::available().map(Isa::name).collect();
            Fault::new(
                Kind::Unsupported,
                format!("this processor cannot run the encoder backend `fused-{name}`"),
                format!("it has {}", has.join(", ")),
                "set `encoder.backend = \"fused\"`, which takes the fastest that is there",
            )
        })
    }
}

enum Engine {
    Fused(Box<fused::Fused>),
    Candle(Box<candle::Reference>),
}

/// The network with its weights and all memory that a forward needs.
pub struct EfficientNetLite0 {
    engine: Engine,
}

impl EfficientNetLite0 {
    /// Reads and checks the weights (18.8 MB) and packs them for the processor.
    pub fn load(path: &Path, backend: Backend) -> Result<Self> {
        let isa = backend.isa()?;
        let weights = weights::Weights::load(path)?;
        let engine = match isa {
            Some(isa) => Engine::Fused(Box::new(fused::Fused::new(isa, &weights))),
            None => {
                let reference = candle::Reference::new(&weights).map_err(|error| {
                    Fault::new(
                        Kind::Internal,
                        "candle does not take the encoder's weights",
                        error.to_string(),
                        "set `encoder.backend = \"fused\"`, and please report this",
                    )
                })?;
                Engine::Candle(Box::new(reference))
            }
        };
        Ok(Self { engine })
    }

    /// What the kernels run on: `avx512`, `avx2`, `neon`, `portable` or `candle`.
    pub fn isa(&self) -> &'static str {
        match &self.engine {
            Engine::Fused(fused) => fused.isa().name(),
            Engine::Candle(_) => "candle",
        }
    }

    /// Computes the feature map of `image`, [`INPUT_LEN`] values. A NaN in the input comes out as NaN.
    ///
    /// # Errors
    /// `Compute` when the image is not [`INPUT_LEN`] long, the map has another shape than [`SHAPE`], or candle fails.
    pub fn run(&mut self, image: &[f32], out: &mut FeatureMap) -> Result<(), StepError> {
        if image.len() != INPUT_LEN || out.shape() != SHAPE {
            return Err(StepError::Compute);
        }
        match &mut self.engine {
            Engine::Fused(fused) => {
                fused.run(image, out.values_mut());
                Ok(())
            }
            Engine::Candle(reference) => reference
                .run(image, out.values_mut())
                .map_err(|_| StepError::Compute),
        }
    }
}
