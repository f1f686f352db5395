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
}

impl Rows {
    /// Of a sequence of `len` rows of input.
    pub fn of(self, len: usize) -> usize {
        match self {
            Self::Each { more } => len + more,
            Self::One => 1,
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

/// See the builder methods of [`Network`], which have the same names.
#[derive(Debug)]
pub(super) enum Op {
    Words { table: Weights },
    Rows,
    Patches { side: usize, patch: usize },
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
            Self::Words { .. } | Self::Rows | Self::Patches { .. } => (None, None),
            Self::Add { x, y } => (Some(x), Some(y)),
            Self::Attention { qkv: x, .. }
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
#[derive(Debug, Default)]
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

    /// The mean of each sequence's rows.
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
