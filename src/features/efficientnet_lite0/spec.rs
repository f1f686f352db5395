//! The network in one table, and what follows from it: names, shapes and paddings.
//!
//! EfficientNet-Lite0 is EfficientNet-B0 without squeeze-and-excite and with ReLU6 in place of swish, made for
//! embedded processors (Tan and Le, "EfficientNet", ICML 2019; the Lite variants by the same group, 2020). The
//! weights keep the names of the PyTorch port, and TensorFlow's padding.

/// Rows and columns of the input picture, in pixels.
pub const INPUT_SIZE: usize = 224;
/// Red, green, blue.
pub const INPUT_CHANNELS: usize = 3;
/// Channels after the stem.
pub const STEM_CHANNELS: usize = 32;
/// Rows and columns of the stem's filters; its stride is 2.
pub const STEM_KERNEL: usize = 3;
/// Channels of the feature map.
pub const HEAD_CHANNELS: usize = 1280;
/// ImageNet classes of the classifier.
pub const CLASSES: usize = 1000;
/// What batch normalisation adds to the variance.
pub const BATCH_NORM_EPSILON: f64 = 1e-3;
/// What to do about a file of weights that cannot be used.
pub const FIX: &str = "run `reflexarc models fetch`, which replaces a damaged file of the cache, or name an EfficientNet-Lite0 file with `encoder.weights`";

/// Some blocks of the same kind; the first may have a stride.
#[derive(Clone, Copy, Debug)]
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

/// One inverted residual block: a 1x1 convolution to the hidden channels (unless they are the inputs), a depthwise
/// convolution, a 1x1 convolution to the outputs, and the input added where the shapes allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Counts blocks from 0, as the tensor names do.
    pub index: usize,
    pub kernel: usize,
    pub stride: usize,
    pub inputs: usize,
    pub hidden: usize,
    pub outputs: usize,
    /// Rows and columns of the input.
    pub input_size: usize,
}

impl Block {
    /// True when the block begins with a 1x1 convolution.
    pub fn expands(&self) -> bool {
        self.hidden != self.inputs
    }

    /// True when the block's input is added to its output.
    pub fn is_residual(&self) -> bool {
        self.stride == 1 && self.inputs == self.outputs
    }

    /// Rows and columns of the output.
    pub fn output_size(&self) -> usize {
        self.input_size.div_ceil(self.stride)
    }

    /// Zeros before and after each row and column of the depthwise convolution's input.
    pub fn padding(&self) -> (usize, usize) {
        same_padding(self.input_size, self.kernel, self.stride)
    }

    /// Multiply-adds of this block.
    pub fn multiply_adds(&self) -> usize {
        let (input, output) = (self.input_size.pow(2), self.output_size().pow(2));
        let expand = if self.expands() {
            input * self.inputs * self.hidden
        } else {
            0
        };
        expand + output * self.hidden * (self.kernel.pow(2) + self.outputs)
    }
}

/// The blocks in order.
pub fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut inputs, mut input_size) = (STEM_CHANNELS, INPUT_SIZE.div_ceil(2));
    for stage in STAGES {
        for repetition in 0..stage.repeat {
            let block = Block {
                index: blocks.len(),
                kernel: stage.kernel,
                stride: if repetition == 0 { stage.stride } else { 1 },
                inputs,
                hidden: inputs * stage.expand,
                outputs: stage.outputs,
                input_size,
            };
            (inputs, input_size) = (block.outputs, block.output_size());
            blocks.push(block);
        }
    }
    blocks
}

/// Multiply-adds of one forward, without pooling and classifier.
pub fn multiply_adds() -> usize {
    let blocks = blocks();
    let stem = INPUT_SIZE.div_ceil(2).pow(2) * STEM_KERNEL.pow(2) * INPUT_CHANNELS * STEM_CHANNELS;
    let head = blocks
        .last()
        .map_or(0, |b| b.output_size().pow(2) * b.outputs * HEAD_CHANNELS);
    stem + blocks.iter().map(Block::multiply_adds).sum::<usize>() + head
}

/// TensorFlow's SAME padding: as many outputs as `ceil(input / stride)`; of an odd number of zeros the greater half
/// comes after. So at stride 2 the padding is not symmetric, and a network trained so is wrong by a pixel with
/// symmetric padding.
pub fn same_padding(input: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let reach = (input.div_ceil(stride) - 1) * stride + kernel;
    let total = reach.saturating_sub(input);
    (total / 2, total - total / 2)
}
