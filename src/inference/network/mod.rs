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
//!
//! Beside the input, each sequence can have *conditions*: rows of numbers such as a robot's state, or what an
//! instruction means.

use std::sync::Arc;

pub use super::kernels::pointwise::Activation;
pub use layers::{BatchNorm, Convolution, Linear, Norm, Weights, Window};

mod layers;

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
    /// As many for each sequence.
    Fixed { rows: usize },
    /// One for each pixel.
    Picture { height: usize, width: usize },
}

impl Rows {
    /// One for each sequence.
    pub const ONE: Self = Self::Fixed { rows: 1 };

    /// Of a sequence of `len` rows of input.
    pub fn of(self, len: usize) -> usize {
        match self {
            Self::Each { more } => len + more,
            Self::Fixed { rows } => rows,
            Self::Picture { height, width } => height * width,
        }
    }
}

/// See the builder methods of [`Network`], which have the same names.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Words {
        table: Weights,
    },
    Rows,
    Patches {
        side: usize,
        patch: usize,
    },
    Picture {
        height: usize,
        width: usize,
    },
    Convolution {
        x: Value,
        layer: Convolution,
    },
    MaxPool {
        x: Value,
        window: Window,
    },
    Condition {
        index: usize,
    },
    Constant {
        rows: Weights,
    },
    Pixels {
        x: Value,
    },
    Join {
        x: Value,
        y: Value,
    },
    Positions {
        x: Value,
        table: Weights,
    },
    Linear {
        x: Value,
        layer: Linear,
    },
    Activate {
        x: Value,
        activation: Activation,
    },
    Scale {
        x: Value,
        factors: Weights,
    },
    Add {
        x: Value,
        y: Value,
    },
    LayerNorm {
        x: Value,
        norm: Norm,
    },
    Film {
        x: Value,
        gains: Value,
        shifts: Value,
    },
    Attention {
        reads: Reads,
        heads: usize,
    },
    Mean {
        x: Value,
    },
    Take {
        x: Value,
        row: usize,
    },
}

/// The columns of a value from one on: one part of the product that made them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) of: Value,
    pub(super) first: usize,
}

/// What an attention is computed from, each as wide as its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) queries: Columns,
    pub(super) keys: Columns,
    pub(super) values: Columns,
}

impl Reads {
    pub(super) fn all(self) -> [Columns; 3] {
        [self.queries, self.keys, self.values]
    }
}

impl Op {
    /// What it is computed from, each once.
    pub(super) fn inputs(&self) -> impl Iterator<Item = Value> {
        let all = match *self {
            Self::Words { .. }
            | Self::Rows
            | Self::Patches { .. }
            | Self::Picture { .. }
            | Self::Condition { .. }
            | Self::Constant { .. } => [None; 3],
            Self::Add { x, y } | Self::Join { x, y } => [Some(x), Some(y), None],
            Self::Film { x, gains, shifts } => [Some(x), Some(gains), Some(shifts)],
            Self::Attention { reads, .. } => reads.all().map(|part| Some(part.of)),
            Self::Convolution { x, .. }
            | Self::MaxPool { x, .. }
            | Self::Pixels { x }
            | Self::Positions { x, .. }
            | Self::Linear { x, .. }
            | Self::Activate { x, .. }
            | Self::Scale { x, .. }
            | Self::LayerNorm { x, .. }
            | Self::Mean { x }
            | Self::Take { x, .. } => [Some(x), None, None],
        };
        let is_new = move |&at: &usize| all[at].is_some() && !all[..at].contains(&all[at]);
        (0..all.len()).filter(is_new).filter_map(move |at| all[at])
    }

    /// Whether it is what the network is run on.
    fn is_input(&self) -> bool {
        matches!(
            self,
            Self::Words { .. } | Self::Rows | Self::Patches { .. } | Self::Picture { .. }
        )
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

    /// A row of `columns` numbers for each sequence, which comes beside the input: see
    /// [`Inputs::conditions`](super::plan::Inputs). They are counted in the order in which they are added.
    pub fn condition(&mut self, columns: usize) -> Value {
        let is_condition = |op: &&Op| matches!(op, Op::Condition { .. });
        let index = self.ops.iter().filter(is_condition).count();
        self.push(Op::Condition { index }, Rows::ONE, columns)
    }

    /// Rows of `columns` numbers that are the same in every run, and the same for each sequence.
    pub fn constant(&mut self, rows: Weights, columns: usize) -> Value {
        assert!(
            !rows.is_empty() && rows.len().is_multiple_of(columns),
            "rows of {columns}"
        );
        let count = rows.len() / columns;
        self.push(Op::Constant { rows }, Rows::Fixed { rows: count }, columns)
    }

    /// The pixels of a picture, as the rows of a sequence: row by row.
    pub fn pixels(&mut self, x: Value) -> Value {
        let Shape {
            rows: Rows::Picture { height, width },
            columns,
        } = self.shape(x)
        else {
            panic!("pixels of what is no picture")
        };
        let rows = height * width;
        self.push(Op::Pixels { x }, Rows::Fixed { rows }, columns)
    }

    /// The rows of each sequence of `x`, then those of `y`, of which one at most has as many as the input.
    pub fn join(&mut self, x: Value, y: Value) -> Value {
        let columns = self.shape(x).columns;
        assert_eq!(columns, self.shape(y).columns, "rows of equal columns");
        let rows = match (self.shape(x).rows, self.shape(y).rows) {
            (Rows::Fixed { rows: x }, Rows::Fixed { rows: y }) => Rows::Fixed { rows: x + y },
            (Rows::Fixed { rows }, Rows::Each { more })
            | (Rows::Each { more }, Rows::Fixed { rows }) => Rows::Each { more: more + rows },
            shapes => panic!("{shapes:?} are not joined"),
        };
        self.push(Op::Join { x, y }, rows, columns)
    }

    /// Puts `rows` in front of each sequence: the class token of a vision transformer.
    pub fn first(&mut self, x: Value, rows: Weights) -> Value {
        let columns = self.shape(x).columns;
        let rows = self.constant(rows, columns);
        self.join(rows, x)
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

    /// Multiplies each column of a sequence or of a picture by 1 plus its gain and adds its shift, both of which are computed:
    /// from a condition, usually (Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", 2018).
    pub fn film(&mut self, x: Value, gains: Value, shifts: Value) -> Value {
        let Shape { rows, columns } = self.shape(x);
        for factor in [gains, shifts] {
            let one = Shape {
                rows: Rows::ONE,
                columns,
            };
            assert_eq!(self.shape(factor), one, "a row of factors");
        }
        self.push(Op::Film { x, gains, shifts }, rows, columns)
    }

    /// Softmax attention of each sequence's rows to each other, by `heads` heads. `qkv` makes the queries, the keys and the
    /// values, of equal width, one after the other.
    pub fn attention(&mut self, x: Value, qkv: Linear, heads: usize) -> Value {
        let of = self.linear(x, qkv);
        let columns = self.shape(of).columns / 3;
        let part = |which: usize| Columns {
            of,
            first: which * columns,
        };
        let reads = Reads {
            queries: part(0),
            keys: part(1),
            values: part(2),
        };
        self.attention_of(reads, columns, heads)
    }

    /// Softmax attention of the rows of one value to those of another, by `heads` heads: which rows ask, which are asked, and
    /// what those answer, each with the layer that makes it so. All three layers are equally wide, and a row answers for each
    /// that is asked. Layers on the same value become one product.
    pub fn attend(
        &mut self,
        queries: (Value, Linear),
        keys: (Value, Linear),
        values: (Value, Linear),
        heads: usize,
    ) -> Value {
        let layers = [queries, keys, values];
        let columns = layers[0].1.bias.len();
        for (_, layer) in &layers {
            assert_eq!(layer.bias.len(), columns, "layers of a width");
        }
        let mut parts = [None; 3];
        for at in 0..layers.len() {
            if parts[at].is_some() {
                continue;
            }
            let value = layers[at].0;
            let is_same = |&other: &usize| layers[other].0 == value;
            let same: Vec<usize> = (at..layers.len()).filter(is_same).collect();
            let joined = same.iter().map(|&other| layers[other].1.clone());
            let of = self.linear(value, Linear::joined(joined));
            for (place, other) in same.into_iter().enumerate() {
                let first = place * columns;
                parts[other] = Some(Columns { of, first });
            }
        }
        let [Some(queries), Some(keys), Some(values)] = parts else {
            unreachable!("each layer is its own at least")
        };
        let reads = Reads {
            queries,
            keys,
            values,
        };
        self.attention_of(reads, columns, heads)
    }

    fn attention_of(&mut self, reads: Reads, columns: usize, heads: usize) -> Value {
        let shapes = reads.all().map(|part| self.shape(part.of));
        for (part, shape) in reads.all().iter().zip(shapes) {
            assert!(
                part.first + columns <= shape.columns && columns.is_multiple_of(heads),
                "{} columns are no queries, keys and values of {heads} heads",
                shape.columns
            );
            let is_picture = matches!(shape.rows, Rows::Picture { .. });
            assert!(!is_picture, "attention to a picture: see `pixels`");
        }
        let [queries, keys, values] = shapes.map(|shape| shape.rows);
        assert_eq!(keys, values, "a value for each key");
        self.push(Op::Attention { reads, heads }, queries, columns)
    }

    /// The mean of each sequence's rows, or of a picture's pixels.
    pub fn mean(&mut self, x: Value) -> Value {
        let Shape { columns, .. } = self.shape(x);
        self.push(Op::Mean { x }, Rows::ONE, columns)
    }

    /// Row `row` of each sequence, which must have one.
    pub fn take(&mut self, x: Value, row: usize) -> Value {
        let Shape { columns, .. } = self.shape(x);
        self.push(Op::Take { x, row }, Rows::ONE, columns)
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
                Op::Attention { reads, .. } => {
                    let keys = self.shape(reads.keys.of).rows.of(len);
                    2 * rows * keys * shape.columns
                }
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
            Op::Constant { rows } => rows.len(),
            Op::Words { .. } | Op::Positions { .. } => shape.rows.of(len) * shape.columns,
            _ => 0,
        });
        weights.sum()
    }

    fn push(&mut self, op: Op, rows: Rows, columns: usize) -> Value {
        assert_eq!(
            op.is_input(),
            self.ops.is_empty(),
            "a network has one input, and that comes first"
        );
        self.ops.push(op);
        self.shapes.push(Shape { rows, columns });
        Value(self.ops.len() - 1)
    }
}
