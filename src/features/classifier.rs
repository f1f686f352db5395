//! From the feature map of an EfficientNet-Lite to ImageNet classes: average pooling and one matrix.

use std::path::Path;

use super::FeatureMap;
use super::networks::{CLASSES, Model, efficientnet_lite};
use crate::error::Result;
use crate::inference::tensors::TensorFile;

/// The last layer of the network. A class's weights can also be applied to each position of the feature map instead
/// of to the average: that shows where in the picture the class was seen (Zhou et al., "Learning Deep Features for
/// Discriminative Localization", CVPR 2016).
pub struct Classifier {
    /// `[class][channel]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Classifier {
    /// Classes that it knows.
    pub const CLASSES: usize = CLASSES;
    /// Channels of the feature map that it takes.
    pub const CHANNELS: usize = efficientnet_lite::CHANNELS;

    /// From the same file as the network.
    pub fn load(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path, Model::EfficientNetLite0.fix())?;
        let tensors = file.tensors()?;
        Ok(Self {
            weights: tensors.read("_fc.weight", &[Self::CLASSES, Self::CHANNELS])?,
            bias: tensors.read("_fc.bias", &[Self::CLASSES])?,
        })
    }

    /// A class's weight for each channel.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn weights(&self, class: usize) -> &[f32] {
        &self.weights[class * Self::CHANNELS..][..Self::CHANNELS]
    }

    /// What a class's logit is where all channels are 0.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn bias(&self, class: usize) -> f32 {
        self.bias[class]
    }

    /// One class's logit for one position of the feature map, or for the average of all (the softmax over all
    /// classes' logits gives probabilities).
    ///
    /// # Panics
    /// If there is no such class, or `features` is not [`Self::CHANNELS`] long.
    pub fn logit(&self, class: usize, features: &[f32]) -> f32 {
        assert_eq!(features.len(), Self::CHANNELS);
        dot(self.weights(class), features) + self.bias[class]
    }

    /// All classes' logits, 1.3 million multiply-adds. Does not allocate.
    ///
    /// # Panics
    /// If `features` is not [`Self::CHANNELS`] or `logits` not [`Self::CLASSES`] long.
    pub fn logits(&self, features: &[f32], logits: &mut [f32]) {
        assert_eq!(logits.len(), Self::CLASSES);
        for (class, logit) in logits.iter_mut().enumerate() {
            *logit = self.logit(class, features);
        }
    }
}

/// The average of all positions, channel by channel. Does not allocate.
///
/// # Panics
/// If `pooled` is not as long as the map has channels.
pub fn pool(map: &FeatureMap, pooled: &mut [f32]) {
    let shape = map.shape();
    assert_eq!(pooled.len(), shape.channels);
    pooled.fill(0.0);
    for position in map.values().chunks_exact(shape.channels) {
        for (sum, v) in pooled.iter_mut().zip(position) {
            *sum += v;
        }
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a map has at most thousands of positions"
    )]
    let positions = (shape.rows * shape.columns) as f32;
    for sum in pooled {
        *sum /= positions;
    }
}

/// Sums in 16 lanes, which the compiler turns into vectors; one running sum would have to be added in order.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sums = [0.0f32; 16];
    for (x, y) in a.0.iter().zip(b.0) {
        for i in 0..16 {
            sums[i] += x[i] * y[i];
        }
    }
    let rest: f32 = a.1.iter().zip(b.1).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}
