//! What a network computes, said once: a list of operations, each on the results of earlier ones.
//!
//! A description says nothing about how: [`Plan`](super::plan::Plan) compiles it for a processor and
//! [`Reference`](super::reference::Reference) hands it to candle.
//!
//! Thread: start-up. Allocates: yes.
//!
//! # Values
//! A value is a table of rows. Its columns are known here; its rows come with the input, which is one *sequence* of
//! rows or several that do not see each other: sentences side by side, or one picture.

use std::sync::Arc;

pub use super::kernels::pointwise::Activation;

/// Numbers that a network has learnt. Shared, because the largest (a table of words) are used as they are.
pub type Weights = Arc<[f32]>;

/// The result of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(usize);

impl Value {
    pub(super) fn of(index: usize) -> Self {
        Self(index)
    }

    pub(super) fn index(self) -> usize {
        self.0
    }
}

/// How many rows a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// One for each row of the input, and so many more for each sequence.
    Each { more: usize },
    /// One for each sequence.
    One,
    /// One for each pixel.
    Picture { height: usize, width: usize },
}

impl Rows {
    /// Of a sequence of `len` rows of input.
    pub fn of(self, len: usize) -> usize {
        match self {
            Self::Each { more } => len + more,
            Self::One => 1,
            Self::Picture { height, width } => height * width,
        }
    }
}

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
    pub fn joined<const N: usize>(layers: [Self; N]) -> Self {
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
    pub(super) fn is_pointwise(&self) -> bool {
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

/// See the builder methods of [`Network`], which have the same names.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Words { table: Weights },
    Rows,
    Patches { side: usize, patch: usize },
    Picture { height: usize, width: usize },
    Convolution { x: Value, layer: Convolution },
    MaxPool { x: Value, window: Window },
    First { x: Value, rows: Weights },
    Positions { x: Value, table: Weights },
    Linear { x: Value, layer: Linear },
    Activate { x: Value, activation: Activation },
    Scale { x: Value, factors: Weights },
    Add { x: Value, y: Value },
    LayerNorm { x: Value, norm: Norm },
    Attention { qkv: Value, heads: usize },
    Mean { x: Value },
    Take { x: Value, row: usize },
}

impl Op {
    /// What it is computed from.
    pub(super) fn inputs(&self) -> impl Iterator<Item = Value> {
        let (first, second) = match *self {
            Self::Words { .. } | Self::Rows | Self::Patches { .. } | Self::Picture { .. } => {
                (None, None)
            }
            Self::Add { x, y } => (Some(x), Some(y)),
            Self::Attention { qkv: x, .. }
            | Self::Convolution { x, .. }
            | Self::MaxPool { x, .. }
            | Self::First { x, .. }
            | Self::Positions { x, .. }
            | Self::Linear { x, .. }
            | Self::Activate { x, .. }
            | Self::Scale { x, .. }
            | Self::LayerNorm { x, .. }
            | Self::Mean { x }
            | Self::Take { x, .. } => (Some(x), None),
        };
        first.into_iter().chain(second)
    }
}

/// The shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub rows: Rows,
    pub columns: usize,
}

/// A description. The value that was added last is the network's output.
///
/// Every method that adds an operation panics where shapes do not fit: a description is part of the program, and
/// weights from a file are checked when they are read.
/// A clone shares the weights.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub(super) ops: Vec<Op>,
    pub(super) shapes: Vec<Shape>,
}

impl Network {
    /// The input is words: for each the row of `table` that it numbers. A table has `columns` columns.
    pub fn words(&mut self, table: &Weights, columns: usize) -> Value {
        assert!(
            !table.is_empty() && table.len().is_multiple_of(columns),
            "a table of {} values has no {columns} columns",
            table.len()
        );
        let table = Arc::clone(table);
        self.push(Op::Words { table }, Rows::Each { more: 0 }, columns)
    }

    /// The input is rows of `columns` numbers.
    pub fn rows(&mut self, columns: usize) -> Value {
        self.push(Op::Rows, Rows::Each { more: 0 }, columns)
    }

    /// The input is one picture of `side` by `side` pixels, `[row][column][red, green, blue]`, that is cut into squares of
    /// `patch` by `patch`: each is a row of the value, in the same order of rows, columns and colours.
    pub fn patches(&mut self, side: usize, patch: usize) -> Value {
        assert!(
            side.is_multiple_of(patch),
            "{side} pixels are no patches of {patch}"
        );
        let op = Op::Patches { side, patch };
        self.push(op, Rows::Each { more: 0 }, patch * patch * 3)
    }

    /// The input is one picture, `[row][column][red, green, blue]`.
    pub fn picture(&mut self, height: usize, width: usize) -> Value {
        let op = Op::Picture { height, width };
        self.push(op, Rows::Picture { height, width }, 3)
    }

    pub fn convolution(&mut self, x: Value, layer: Convolution) -> Value {
        let inputs = self.shape(x).columns;
        let (outputs, size) = (layer.bias.len(), layer.window.size);
        let connected = if layer.is_depthwise { 1 } else { inputs };
        assert!(
            layer.weights.len() == outputs * connected * size * size
                && (!layer.is_depthwise || outputs == inputs),
            "filters of {size} by {size} from {inputs} to {outputs} channels"
        );
        let rows = self.windows(x, layer.window);
        self.push(Op::Convolution { x, layer }, rows, outputs)
    }

    /// The largest value of each window, of which at least one pixel is in the picture.
    pub fn max_pool(&mut self, x: Value, window: Window) -> Value {
        assert!(
            window.before < window.size && window.after < window.size,
            "a window beside the picture"
        );
        let columns = self.shape(x).columns;
        let rows = self.windows(x, window);
        self.push(Op::MaxPool { x, window }, rows, columns)
    }

    /// How many windows a picture has.
    fn windows(&self, x: Value, window: Window) -> Rows {
        let Rows::Picture { height, width } = self.shape(x).rows else {
            panic!("windows on what is no picture")
        };
        let count = |pixels: usize| {
            let left = (pixels + window.before + window.after).checked_sub(window.size);
            left.expect("a window is not larger than the picture") / window.stride + 1
        };
        Rows::Picture {
            height: count(height),
            width: count(width),
        }
    }

    /// Puts `rows` in front of each sequence: the class token of a vision transformer.
    pub fn first(&mut self, x: Value, rows: Weights) -> Value {
        let Shape {
            rows: Rows::Each { more },
            columns,
        } = self.shape(x)
        else {
            panic!("rows in front of a sequence of one")
        };
        assert!(rows.len().is_multiple_of(columns), "rows of {columns}");
        let more = more + rows.len() / columns;
        self.push(Op::First { x, rows }, Rows::Each { more }, columns)
    }

    /// Adds row `i` of `table` to row `i` of each sequence. A sequence has at most as many rows as the table.
    pub fn positions(&mut self, x: Value, table: Weights) -> Value {
        let Shape { rows, columns } = self.shape(x);
        assert!(table.len().is_multiple_of(columns), "rows of {columns}");
        self.push(Op::Positions { x, table }, rows, columns)
    }

    pub fn linear(&mut self, x: Value, layer: Linear) -> Value {
        let Shape { rows, columns } = self.shape(x);
        let outputs = layer.bias.len();
        assert_eq!(
            layer.weights.len(),
            outputs * columns,
            "weights from {columns} to {outputs} columns"
        );
        self.push(Op::Linear { x, layer }, rows, outputs)
    }

    pub fn activate(&mut self, x: Value, activation: Activation) -> Value {
        let Shape { rows, columns } = self.shape(x);
        self.push(Op::Activate { x, activation }, rows, columns)
    }

    /// Multiplies each column by its factor (Touvron et al., "Going deeper with Image Transformers": LayerScale).
    pub fn scale(&mut self, x: Value, factors: Weights) -> Value {
        let Shape { rows, columns } = self.shape(x);
        assert_eq!(factors.len(), columns, "a factor for each column");
        self.push(Op::Scale { x, factors }, rows, columns)
    }

    pub fn add(&mut self, x: Value, y: Value) -> Value {
        let Shape { rows, columns } = self.shape(x);
        assert_eq!(self.shape(x), self.shape(y), "sums of equal shapes");
        self.push(Op::Add { x, y }, rows, columns)
    }

    pub fn layer_norm(&mut self, x: Value, norm: Norm) -> Value {
        let Shape { rows, columns } = self.shape(x);
        let lengths = (norm.gain.len(), norm.shift.len());
        assert_eq!(lengths, (columns, columns), "a gain and a shift a column");
        self.push(Op::LayerNorm { x, norm }, rows, columns)
    }

    /// Softmax attention of each sequence's rows to each other, by `heads` heads. `qkv` makes the queries, the keys and the
    /// values, of equal width, one after the other.
    pub fn attention(&mut self, x: Value, qkv: Linear, heads: usize) -> Value {
        let qkv = self.linear(x, qkv);
        let Shape { rows, columns } = self.shape(qkv);
        assert!(
            columns.is_multiple_of(3 * heads),
            "{columns} columns are no queries, keys and values of {heads} heads"
        );
        self.push(Op::Attention { qkv, heads }, rows, columns / 3)
    }

    /// The mean of each sequence's rows, or of a picture's pixels.
    pub fn mean(&mut self, x: Value) -> Value {
        let Shape { columns, .. } = self.shape(x);
        self.push(Op::Mean { x }, Rows::One, columns)
    }

    /// Row `row` of each sequence, which must have one.
    pub fn take(&mut self, x: Value, row: usize) -> Value {
        let Shape { columns, .. } = self.shape(x);
        self.push(Op::Take { x, row }, Rows::One, columns)
    }

    pub fn shape(&self, value: Value) -> Shape {
        self.shapes[value.0]
    }

    /// The shape of the output.
    ///
    /// # Panics
    /// If there is no operation.
    pub fn output(&self) -> Shape {
        let Some(&last) = self.shapes.last() else {
            panic!("a network without operations")
        };
        last
    }

    /// Multiply-adds of its products and convolutions, for one sequence of `len` rows: nearly all of its work.
    pub fn multiply_adds(&self, len: usize) -> usize {
        let ops = self.ops.iter().zip(&self.shapes);
        let work = ops.map(|(op, shape)| {
            let rows = shape.rows.of(len);
            match op {
                Op::Linear { layer, .. } => rows * layer.weights.len(),
                Op::Convolution { layer, .. } => rows * layer.weights.len(),
                // Each row with each, for the scores and for the mix.
                Op::Attention { .. } => 2 * rows * rows * shape.columns,
                _ => 0,
            }
        });
        work.sum()
    }

    /// Weights that a run of one sequence of `len` rows reads, each at least once: all but the rows of tables that it does not
    /// need.
    pub fn weights_read(&self, len: usize) -> usize {
        let ops = self.ops.iter().zip(&self.shapes);
        let weights = ops.map(|(op, shape)| match op {
            Op::Linear { layer, .. } => layer.weights.len() + layer.bias.len(),
            Op::Convolution { layer, .. } => layer.weights.len() + layer.bias.len(),
            Op::LayerNorm { norm, .. } => norm.gain.len() + norm.shift.len(),
            Op::First { rows, .. } => rows.len(),
            Op::Words { .. } | Op::Positions { .. } => shape.rows.of(len) * shape.columns,
            _ => 0,
        });
        weights.sum()
    }

    fn push(&mut self, op: Op, rows: Rows, columns: usize) -> Value {
        assert!(
            op.inputs().next().is_some() || self.ops.is_empty(),
            "a network has one input, and that comes first"
        );
        self.ops.push(op);
        self.shapes.push(Shape { rows, columns });
        Value(self.ops.len() - 1)
    }
}
