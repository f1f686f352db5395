//! MobileNetV2 (Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018): 300 million
//! multiply-adds, by the names that timm gives its tensors.
//!
//! Thread: start-up. Allocates: yes.

use super::Until;
use super::layers::Layers;
use crate::error::Result;
use crate::inference::network::{Network, Window};
use crate::inference::tensors::Source;

/// Rows and columns of the picture, in pixels.
pub const SIDE: usize = 224;
/// Channels of the map.
pub const CHANNELS: usize = 1280;

const STEM: usize = 32;
const EPSILON: f64 = 1e-5;

/// Hidden channels per input channel, outputs, blocks, stride of the first.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// # Errors
/// Those of the source.
pub fn network(source: &impl Source, until: Until) -> Result<Network> {
    let mut layers = Layers::new(source, EPSILON);
    let mut x = layers.net.picture(SIDE, SIDE);
    x = layers.convolve(x, ["conv_stem", "bn1"], STEM, Window::centred(3, 2))?;
    x = layers.relu6(x);
    for (stage, (expand, outputs, repeat, first_stride)) in STAGES.into_iter().enumerate() {
        for index in 0..repeat {
            let part = |name: &str| format!("blocks.{stage}.{index}.{name}");
            let stride = if index == 0 { first_stride } else { 1 };
            let inputs = layers.columns(x);
            // The first block does not expand, and its parts have other names.
            let names = match expand {
                1 => ["conv_dw", "bn1", "conv_pw", "bn2"],
                _ => ["conv_dw", "bn2", "conv_pwl", "bn3"],
            };
            let [depthwise, depthwise_norm, project, project_norm] = names.map(part);
            let mut hidden = x;
            if expand > 1 {
                let names = [part("conv_pw"), part("bn1")];
                hidden = layers.pointwise(x, names, expand * inputs)?;
                hidden = layers.relu6(hidden);
            }
            let window = Window::centred(3, stride);
            hidden = layers.depthwise(hidden, [depthwise, depthwise_norm], window)?;
            hidden = layers.relu6(hidden);
            let output = layers.pointwise(hidden, [project, project_norm], outputs)?;
            x = if stride == 1 && inputs == outputs {
                layers.net.add(x, output)
            } else {
                output
            };
        }
    }
    x = layers.pointwise(x, ["conv_head", "bn2"], CHANNELS)?;
    x = layers.relu6(x);
    layers.finish(x, until, "classifier")
}
