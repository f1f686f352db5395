//! What operations have learnt, and how they are shaped.
//!
//! Thread: start-up. Allocates: yes.

use std::sync::Arc;

/// Numbers that a network has learnt. Shared, because the largest (a table of words) are used as they are.
pub type Weights = Arc<[f32]>;

/// Each row times a matrix, plus a bias.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[output][input]`.
    pub weights: Weights,
    /// One value an output.
    pub bias: Weights,
}

impl Linear {
    /// The outputs of several layers on the same input, one after the other.
    pub fn joined(layers: impl IntoIterator<Item = Self>) -> Self {
        let layers: Vec<Self> = layers.into_iter().collect();
        let all = |pick: fn(&Self) -> &[f32]| layers.iter().flat_map(pick).copied().collect();
        Self {
            weights: all(|layer| &layer.weights),
            bias: all(|layer| &layer.bias),
        }
    }
}

/// Each row to mean 0 and variance 1, then times a gain plus a shift.
#[derive(Clone, Debug)]
pub struct Norm {
    pub gain: Weights,
    pub shift: Weights,
    /// Added to the variance.
    pub epsilon: f32,
}

/// A square window that walks over a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns.
    pub size: usize,
    /// Pixels from one to the next.
    pub stride: usize,
    /// Rows and columns of zeros above and left of the picture.
    pub before: usize,
    /// Rows and columns of zeros below and right of it.
    pub after: usize,
}

impl Window {
    /// Its middle begins on the first pixel: the padding of most networks. `size` is odd.
    pub fn centred(size: usize, stride: usize) -> Self {
        Self {
            size,
            stride,
            before: size / 2,
            after: size / 2,
        }
    }

    /// As many windows as steps fit into `pixels`, with the padding divided evenly and an odd one behind: that of
    /// TensorFlow.
    pub fn same(size: usize, stride: usize, pixels: usize) -> Self {
        let reach = (pixels.div_ceil(stride) - 1) * stride + size;
        let padding = reach.saturating_sub(pixels);
        Self {
            size,
            stride,
            before: padding / 2,
            after: padding.div_ceil(2),
        }
    }
}

/// A convolution with square filters and a bias.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// `[output][input][row][column]`; a depthwise convolution has one input for each output.
    pub weights: Weights,
    /// One value an output.
    pub bias: Weights,
    pub window: Window,
    pub is_depthwise: bool,
}

/// Batch normalisation of a network that only runs: `(x - mean) / sqrt(variance + epsilon) * gain + shift`, by channel.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    pub gain: Vec<f32>,
    pub shift: Vec<f32>,
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    pub epsilon: f64,
}

impl Convolution {
    /// Windows of one pixel, one after the other: a linear layer of each pixel.
    pub(in crate::inference) fn is_pointwise(&self) -> bool {
        self.window == Window::centred(1, 1) && !self.is_depthwise
    }

    /// With a batch normalisation behind it folded in: its factor goes into the weights, its sum into the bias. Computed in
    /// f64, and rounded once.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to f32 is what is wanted"
    )]
    pub fn normalised(mut self, norm: &BatchNorm) -> Self {
        let outputs = self.bias.len();
        let factor = |output: usize| {
            let variance = f64::from(norm.variance[output]);
            f64::from(norm.gain[output]) / (variance + norm.epsilon).sqrt()
        };
        let rows = self.weights.chunks_exact(self.weights.len() / outputs);
        let weights = rows.enumerate().flat_map(|(output, row)| {
            let factor = factor(output);
            row.iter().map(move |&w| (f64::from(w) * factor) as f32)
        });
        let bias = self.bias.iter().enumerate().map(|(output, &b)| {
            let off = f64::from(b) - f64::from(norm.mean[output]);
            (f64::from(norm.shift[output]) + off * factor(output)) as f32
        });
        (self.weights, self.bias) = (weights.collect(), bias.collect());
        self
    }
}
