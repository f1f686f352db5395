//! EfficientNet-Lite: EfficientNet without squeeze-and-excite and with ReLU6 in place of swish, made for embedded processors
//! (Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite variants by
//! the same group, 2020). The weights keep the names of the PyTorch port, and TensorFlow's padding.
//!
//! Thread: start-up. Allocates: yes.

use super::Until;
use super::layers::Layers;
use crate::error::Result;
use crate::inference::network::{Network, Window};
use crate::inference::tensors::Source;

/// Channels of the map, of all of them.
pub const CHANNELS: usize = 1280;

const STEM: usize = 32;
const EPSILON: f64 = 1e-3;

/// What tells one from another: how the smallest is scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    /// Rows and columns of the picture, in pixels.
    pub side: usize,
    /// Channels, by those of the smallest.
    pub width: f64,
    /// Blocks of a stage, by those of the smallest.
    pub depth: f64,
}

/// 384 million multiply-adds.
pub const LITE0: Spec = Spec {
    side: 224,
    width: 1.0,
    depth: 1.0,
};

/// 0.6 thousand million multiply-adds.
pub const LITE1: Spec = Spec {
    side: 240,
    width: 1.0,
    depth: 1.1,
};

/// 0.9 thousand million multiply-adds.
pub const LITE2: Spec = Spec {
    side: 260,
    width: 1.1,
    depth: 1.2,
};

/// Some blocks of the same kind, as the smallest network has them; the first may have a stride.
struct Stage {
    repeat: usize,
    kernel: usize,
    stride: usize,
    /// Hidden channels per input channel.
    expand: usize,
    outputs: usize,
}

const fn stage(
    repeat: usize,
    kernel: usize,
    stride: usize,
    expand: usize,
    outputs: usize,
) -> Stage {
    Stage {
        repeat,
        kernel,
        stride,
        expand,
        outputs,
    }
}

/// Repeat, kernel, stride, expand, outputs.
const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, 320),
];

impl Spec {
    /// Rows and columns of the map.
    pub fn map_side(self) -> usize {
        self.side.div_ceil(32)
    }

    /// The nearest multiple of 8, but not less than nine tenths.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "hundreds of channels"
    )]
    fn channels(self, of_smallest: usize) -> usize {
        let scaled = of_smallest as f64 * self.width;
        let rounded = ((scaled + 4.0) as usize / 8 * 8).max(8);
        if (rounded as f64) < 0.9 * scaled {
            rounded + 8
        } else {
            rounded
        }
    }

    /// The first and the last stage are not scaled.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few blocks"
    )]
    fn repeat(self, stage: usize) -> usize {
        let repeat = STAGES[stage].repeat;
        if stage == 0 || stage == STAGES.len() - 1 {
            return repeat;
        }
        (repeat as f64 * self.depth).ceil() as usize
    }
}

/// # Errors
/// Those of the source.
pub fn network(spec: Spec, source: &impl Source, until: Until) -> Result<Network> {
    let mut layers = Layers::new(source, EPSILON);
    let mut x = layers.net.picture(spec.side, spec.side);
    let mut pixels = spec.side;
    x = layers.convolve(x, ["_conv_stem", "_bn0"], STEM, Window::same(3, 2, pixels))?;
    x = layers.relu6(x);
    pixels = pixels.div_ceil(2);
    let mut index = 0;
    for (at, stage) in STAGES.iter().enumerate() {
        for repetition in 0..spec.repeat(at) {
            let part = |name: &str| format!("_blocks.{index}.{name}");
            let stride = if repetition == 0 { stage.stride } else { 1 };
            let (inputs, outputs) = (layers.columns(x), spec.channels(stage.outputs));
            let mut hidden = x;
            if stage.expand > 1 {
                let names = [part("_expand_conv"), part("_bn0")];
                hidden = layers.pointwise(x, names, stage.expand * inputs)?;
                hidden = layers.relu6(hidden);
            }
            let window = Window::same(stage.kernel, stride, pixels);
            hidden = layers.depthwise(hidden, [part("_depthwise_conv"), part("_bn1")], window)?;
            hidden = layers.relu6(hidden);
            let names = [part("_project_conv"), part("_bn2")];
            let output = layers.pointwise(hidden, names, outputs)?;
            x = if stride == 1 && inputs == outputs {
                layers.net.add(x, output)
            } else {
                output
            };
            pixels = pixels.div_ceil(stride);
            index += 1;
        }
    }
    x = layers.pointwise(x, ["_conv_head", "_bn1"], CHANNELS)?;
    x = layers.relu6(x);
    layers.finish(x, until, "_fc")
}
