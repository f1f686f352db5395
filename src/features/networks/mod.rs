//! The vision networks, as descriptions: each can be an encoder, by its name.
//!
//! A new one is a file here with its description, and a [`Model`] below.

// What convolutional networks are made of.
mod layers;

// EfficientNet-Lite0, 1 and 2.
pub mod efficientnet_lite;

pub mod mobilenet_v2;

pub mod resnet18;

pub mod siglip;

// ViT and DINOv2.
pub mod vision_transformer;

// How the last three begin.
mod patches;

// Their positions, for another number of patches.
mod positions;

pub use layers::CLASSES;

use super::FeatureShape;
use super::preprocess::OutputSpec;
use crate::error::Result;
use crate::inference::network::Network;
use crate::inference::tensors::Source;
use crate::models;
use efficientnet_lite::{LITE0, LITE1, LITE2};
use vision_transformer::{DINOV2_SMALL, VIT_SMALL, VIT_TINY};

/// How far a network goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The features of each position: of a vision transformer its class token first, then those of its patches.
    Map,
    /// The features of the whole picture: the mean of all positions, the class token, or what a learnt query makes of them.
    Summary,
    /// A number for each class of ImageNet.
    Classes,
}

/// A network that turns a picture into features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    #[default]
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
    MobileNetV2,
    ResNet18,
    VitTiny,
    VitSmall,
    DinoV2Small,
    SiglipBase,
}

/// In 8-bit steps: what is subtracted from red, green and blue, and what they are then divided by.
type Normalisation = ([f32; 3], [f32; 3]);

/// The mean and the spread of ImageNet's pictures, `255 * (0.485, 0.456, 0.406)` and `255 * (0.229, 0.224, 0.225)`.
const IMAGENET: Normalisation = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);
/// From -1 to 1.
const HALF: Normalisation = ([127.5; 3], [127.5; 3]);
/// What TensorFlow's networks for small processors were trained on.
const LITE: Normalisation = ([127.0; 3], [128.0; 3]);

impl Model {
    pub const ALL: [Self; 9] = [
        Self::EfficientNetLite0,
        Self::EfficientNetLite1,
        Self::EfficientNetLite2,
        Self::MobileNetV2,
        Self::ResNet18,
        Self::VitTiny,
        Self::VitSmall,
        Self::DinoV2Small,
        Self::SiglipBase,
    ];

    /// As in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => "efficientnet-lite0",
            Self::EfficientNetLite1 => "efficientnet-lite1",
            Self::EfficientNetLite2 => "efficientnet-lite2",
            Self::MobileNetV2 => "mobilenet-v2",
            Self::ResNet18 => "resnet18",
            Self::VitTiny => "vit-tiny",
            Self::VitSmall => "vit-small",
            Self::DinoV2Small => "dinov2-small",
            Self::SiglipBase => "siglip-base",
        }
    }

    /// The picture that it was trained on.
    pub fn input(self) -> OutputSpec {
        let (side, (mean, std)) = match self {
            Self::EfficientNetLite0 => (LITE0.side, LITE),
            Self::EfficientNetLite1 => (LITE1.side, LITE),
            Self::EfficientNetLite2 => (LITE2.side, LITE),
            Self::MobileNetV2 => (mobilenet_v2::SIDE, IMAGENET),
            Self::ResNet18 => (resnet18::SIDE, IMAGENET),
            Self::VitTiny => (VIT_TINY.side, HALF),
            Self::VitSmall => (VIT_SMALL.side, HALF),
            Self::DinoV2Small => (DINOV2_SMALL.side, IMAGENET),
            Self::SiglipBase => (siglip::SIDE, HALF),
        };
        OutputSpec {
            width: side,
            height: side,
            mean,
            std,
        }
    }

    /// The map of its features, without a class token.
    pub fn map(self) -> FeatureShape {
        let (side, channels) = match self {
            Self::EfficientNetLite0 => (LITE0.map_side(), efficientnet_lite::CHANNELS),
            Self::EfficientNetLite1 => (LITE1.map_side(), efficientnet_lite::CHANNELS),
            Self::EfficientNetLite2 => (LITE2.map_side(), efficientnet_lite::CHANNELS),
            Self::MobileNetV2 => (mobilenet_v2::SIDE / 32, mobilenet_v2::CHANNELS),
            Self::ResNet18 => (resnet18::SIDE / 32, resnet18::CHANNELS),
            Self::VitTiny => (VIT_TINY.map_side(), VIT_TINY.columns),
            Self::VitSmall => (VIT_SMALL.map_side(), VIT_SMALL.columns),
            Self::DinoV2Small => (DINOV2_SMALL.map_side(), DINOV2_SMALL.columns),
            Self::SiglipBase => (siglip::MAP_SIDE, siglip::COLUMNS),
        };
        FeatureShape {
            rows: side,
            columns: side,
            channels,
        }
    }

    /// Rows of its input, as a plan counts them: patches, or one picture.
    pub fn rows(self) -> usize {
        match self {
            Self::SiglipBase => siglip::PATCHES,
            _ => self.transformer().map_or(1, |spec| spec.patches()),
        }
    }

    /// Rows of the output of [`Until::Map`] in front of the map's: the class token.
    pub fn rows_in_front(self) -> usize {
        usize::from(self.transformer().is_some())
    }

    /// With a class token.
    fn transformer(self) -> Option<vision_transformer::Spec> {
        match self {
            Self::VitTiny => Some(VIT_TINY),
            Self::VitSmall => Some(VIT_SMALL),
            Self::DinoV2Small => Some(DINOV2_SMALL),
            _ => None,
        }
    }

    /// Where `reflexarc models fetch` puts its weights, below the cache; None where no package has them.
    pub fn weights(self) -> Option<&'static str> {
        match self {
            Self::EfficientNetLite0 => Some(models::ENCODER),
            Self::EfficientNetLite1 => Some(models::ENCODER_LITE1),
            Self::EfficientNetLite2 => Some(models::ENCODER_LITE2),
            _ => None,
        }
    }

    /// What to do about a file of weights that cannot be used.
    pub fn fix(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => {
                "run `reflexarc models fetch`, which replaces a damaged file of the cache, or name an EfficientNet-Lite0 file with `encoder.weights`"
            }
            Self::EfficientNetLite1 | Self::EfficientNetLite2 => {
                "run `reflexarc models fetch encoders`, which replaces a damaged file of the cache, or name another file with `encoder.weights`"
            }
            Self::MobileNetV2 | Self::ResNet18 => {
                "name with `encoder.weights` a safetensors file of f32 with the tensors of timm's model: `mobilenetv2_100`, `resnet18`"
            }
            Self::VitTiny | Self::VitSmall | Self::DinoV2Small => {
                "name with `encoder.weights` a safetensors file of f32 with the tensors of timm's model: `vit_tiny_patch16_224`, \
                 `vit_small_patch16_224`, `vit_small_patch14_dinov2`"
            }
            Self::SiglipBase => {
                "name with `encoder.weights` the `model.safetensors` of google/siglip-base-patch16-224, or one of f32 with the tensors \
                 of its `vision_model`"
            }
        }
    }

    /// The description, with weights from `source`.
    ///
    /// # Panics
    /// Where a vision transformer is asked for classes.
    ///
    /// # Errors
    /// Those of the source.
    pub fn network(self, source: &impl Source, until: Until) -> Result<Network> {
        match self {
            Self::EfficientNetLite0 => efficientnet_lite::network(LITE0, source, until),
            Self::EfficientNetLite1 => efficientnet_lite::network(LITE1, source, until),
            Self::EfficientNetLite2 => efficientnet_lite::network(LITE2, source, until),
            Self::MobileNetV2 => mobilenet_v2::network(source, until),
            Self::ResNet18 => resnet18::network(source, until),
            Self::VitTiny => vision_transformer::network(VIT_TINY, source, until),
            Self::VitSmall => vision_transformer::network(VIT_SMALL, source, until),
            Self::DinoV2Small => vision_transformer::network(DINOV2_SMALL, source, until),
            Self::SiglipBase => siglip::network(source, until),
        }
    }
}
