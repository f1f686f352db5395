//! The reference: the same network on candle's tensors, layer by layer.
//!
//! Slow (over 100 ms a picture) but general, and written by others: what the fast path is checked against, and a
//! backend for processors that it was never tried on.
//!
//! Thread: any; candle also computes on rayon's threads. Allocates: yes, thousands of times a picture.

use candle_core::{Device, Result, Tensor};

use super::spec::{self, Block};
use super::weights::{Convolution, Weights};

pub struct Reference {
    stem: Layer,
    blocks: Vec<ReferenceBlock>,
    head: Layer,
}

struct ReferenceBlock {
    spec: Block,
    expand: Option<Layer>,
    depthwise: Layer,
    project: Layer,
}

/// A convolution with bias.
struct Layer {
    /// `[output][input of its group][row][column]`.
    weights: Tensor,
    /// `[1][output][1][1]`.
    bias: Tensor,
    stride: usize,
    groups: usize,
    /// Zeros before and after, in both directions.
    padding: (usize, usize),
}

impl Layer {
    /// A convolution from `inputs` channels of `size` by `size`, in `groups` groups.
    fn new(
        convolution: &Convolution,
        (inputs, size): (usize, usize),
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> Result<Self> {
        let outputs = convolution.bias.len();
        let shape = (outputs, inputs / groups, kernel, kernel);
        Ok(Self {
            weights: Tensor::from_slice(&convolution.weights, shape, &Device::Cpu)?,
            bias: Tensor::from_slice(&convolution.bias, (1, outputs, 1, 1), &Device::Cpu)?,
            stride,
            groups,
            padding: spec::same_padding(size, kernel, stride),
        })
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let (before, after) = self.padding;
        input
            .pad_with_zeros(2, before, after)?
            .pad_with_zeros(3, before, after)?
            .conv2d(&self.weights, 0, self.stride, 1, self.groups)?
            .broadcast_add(&self.bias)
    }

    fn forward_relu6(&self, input: &Tensor) -> Result<Tensor> {
        self.forward(input)?.clamp(0f32, 6f32)
    }
}

impl Reference {
    pub fn new(weights: &Weights) -> Result<Self> {
        let stem = (spec::INPUT_CHANNELS, spec::INPUT_SIZE);
        let specs = spec::blocks();
        let last = specs.last().map_or(stem, |b| (b.outputs, b.output_size()));
        Ok(Self {
            stem: Layer::new(&weights.stem, stem, spec::STEM_KERNEL, 2, 1)?,
            blocks: specs
                .into_iter()
                .zip(&weights.blocks)
                .map(|(spec, weights)| {
                    let hidden = (spec.hidden, spec.input_size);
                    Ok(ReferenceBlock {
                        expand: weights
                            .expand
                            .as_ref()
                            .map(|c| Layer::new(c, (spec.inputs, spec.input_size), 1, 1, 1))
                            .transpose()?,
                        depthwise: Layer::new(
                            &weights.depthwise,
                            hidden,
                            spec.kernel,
                            spec.stride,
                            spec.hidden,
                        )?,
                        project: Layer::new(
                            &weights.project,
                            (spec.hidden, spec.output_size()),
                            1,
                            1,
                            1,
                        )?,
                        spec,
                    })
                })
                .collect::<Result<_>>()?,
            head: Layer::new(&weights.head, last, 1, 1, 1)?,
        })
    }

    /// `picture` is `[row][column][red, green, blue]`, normalised; `map` is `[row][column][channel]`.
    pub fn run(&self, picture: &[f32], map: &mut [f32]) -> Result<()> {
        let shape = (1, spec::INPUT_SIZE, spec::INPUT_SIZE, spec::INPUT_CHANNELS);
        let picture = Tensor::from_slice(picture, shape, &Device::Cpu)?.permute((0, 3, 1, 2))?;
        let mut x = self.stem.forward_relu6(&picture.contiguous()?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let features = self.head.forward_relu6(&x)?.permute((0, 2, 3, 1))?;
        map.copy_from_slice(&features.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }
}

impl ReferenceBlock {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let hidden = match &self.expand {
            Some(layer) => layer.forward_relu6(input)?,
            None => input.clone(),
        };
        let output = self
            .project
            .forward(&self.depthwise.forward_relu6(&hidden)?)?;
        if self.spec.is_residual() {
            output + input
        } else {
            Ok(output)
        }
    }
}
