//! The weights of the network, with batch normalisation folded into the convolutions.
//!
//! Batch normalisation is `(x - mean) / sqrt(variance + epsilon) * gain + shift` a channel: a constant factor and a
//! constant sum when the network only runs. So the factor goes into the convolution's weights and the sum becomes its
//! bias. The factor is computed in f64 and the weights are rounded once.
//!
//! The input's normalisation is *not* folded into the stem, although it is linear too: the padding around the
//! picture is 0 after normalisation, and folding would make it 0 before.

use std::path::Path;

use super::spec::{self, Block};
use crate::error::Result;
use crate::inference::tensors::{TensorFile, Tensors};

/// A convolution with a bias.
pub struct Convolution {
    /// `[output][input][row][column]`; a depthwise convolution has one input.
    pub weights: Vec<f32>,
    /// One value an output.
    pub bias: Vec<f32>,
}

pub struct BlockWeights {
    /// Of the blocks that expand.
    pub expand: Option<Convolution>,
    pub depthwise: Convolution,
    pub project: Convolution,
}

pub struct Weights {
    pub stem: Convolution,
    /// As many as [`spec::blocks`].
    pub blocks: Vec<BlockWeights>,
    pub head: Convolution,
}

impl Weights {
    pub fn load(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path, spec::FIX)?;
        let reader = Reader {
            tensors: file.tensors()?,
        };
        let stem = reader.convolution(
            "_conv_stem",
            "_bn0",
            [
                spec::STEM_CHANNELS,
                spec::INPUT_CHANNELS,
                spec::STEM_KERNEL,
                spec::STEM_KERNEL,
            ],
        )?;
        let blocks = spec::blocks();
        let last = blocks.last().map_or(spec::STEM_CHANNELS, |b| b.outputs);
        let blocks = blocks
            .iter()
            .map(|block| reader.block(block))
            .collect::<Result<_>>()?;
        let head = reader.convolution("_conv_head", "_bn1", [spec::HEAD_CHANNELS, last, 1, 1])?;
        Ok(Self { stem, blocks, head })
    }
}

struct Reader<'a> {
    tensors: Tensors<'a>,
}

impl Reader<'_> {
    fn block(&self, block: &Block) -> Result<BlockWeights> {
        let name = |part: &str| format!("_blocks.{}.{part}", block.index);
        let expand = if block.expands() {
            let shape = [block.hidden, block.inputs, 1, 1];
            Some(self.convolution(&name("_expand_conv"), &name("_bn0"), shape)?)
        } else {
            None
        };
        let shape = [block.hidden, 1, block.kernel, block.kernel];
        let depthwise = self.convolution(&name("_depthwise_conv"), &name("_bn1"), shape)?;
        let shape = [block.outputs, block.hidden, 1, 1];
        let project = self.convolution(&name("_project_conv"), &name("_bn2"), shape)?;
        Ok(BlockWeights {
            expand,
            depthwise,
            project,
        })
    }

    /// A convolution without bias, and the batch normalisation after it.
    fn convolution(
        &self,
        convolution: &str,
        normalisation: &str,
        shape: [usize; 4],
    ) -> Result<Convolution> {
        let mut weights = self
            .tensors
            .read(&format!("{convolution}.weight"), &shape)?;
        let outputs = shape[0];
        let channel = |part: &str| {
            self.tensors
                .read(&format!("{normalisation}.{part}"), &[outputs])
        };
        let (gain, shift) = (channel("weight")?, channel("bias")?);
        let (mean, variance) = (channel("running_mean")?, channel("running_var")?);
        let mut bias = vec![0.0; outputs];
        for (output, filter) in weights
            .chunks_exact_mut(shape[1..].iter().product())
            .enumerate()
        {
            let spread = (f64::from(variance[output]) + spec::BATCH_NORM_EPSILON).sqrt();
            // A negative variance makes it NaN.
            if !spread.is_normal() {
                return Err(self.tensors.damaged(
                    format!(
                        "tensor `{normalisation}.running_var` holds {} at position {output}, expected a variance of 0 or more",
                        variance[output]
                    ),
                ));
            }
            let factor = f64::from(gain[output]) / spread;
            for w in filter {
                *w = narrow(f64::from(*w) * factor);
            }
            bias[output] = narrow(f64::from(shift[output]) - f64::from(mean[output]) * factor);
        }
        Ok(Convolution { weights, bias })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is what is wanted"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}
