//! From a description to launches.
//!
//! What is done at load: factors go into the weights before them, the scale of a softmax goes into the queries' weights, sums
//! and activations join the product before them, positions join the class token, rows are padded to eight values, weights are laid
//! out as they are read, and values that are not needed at the same time share memory.

use std::ops::Range;

use super::super::network::{Activation, Network, Norm, Op, Reads, Value, Window};
use super::program::{ALIGNMENT, Constants, Numbers, Place, Program};
use super::tables::Camera;
use crate::error::{Fault, Kind, Result};

/// Values are read by so many: rows are padded to a multiple.
pub(super) const LANES: usize = 8;
/// Values of a pixel of the input picture: red, green, blue, 0.
pub(super) const COLOURS: usize = 4;
/// What a product takes of a sum at a time, at most: weights are padded to a multiple.
pub(super) const DEPTH: usize = 64;
/// What comes from the processor for each frame.
#[derive(Clone, Debug)]
pub enum Feed {
    /// What the network describes: f32, or numbers of words.
    Values,
    /// A frame's bytes, where the network describes a picture.
    Camera(Box<Camera>),
}

impl Program {
    /// For one sequence of `rows` rows, or one picture, on a device with so many multiprocessors.
    ///
    /// # Errors
    /// `Unsupported` if there is no kernel for what the network does.
    pub fn new(
        network: &Network,
        feed: &Feed,
        numbers: Numbers,
        rows: usize,
        multiprocessors: usize,
    ) -> Result<Self> {
        let mut compiler = Compiler {
            network,
            feed,
            numbers,
            len: rows,
            multiprocessors,
            users: users(network),
            joined: vec![false; network.ops.len()],
            drafts: Vec::new(),
            constants: Constants::default(),
            input: 0,
            conditions: Vec::new(),
            beside: 0,
        };
        compiler.input = compiler.input_bytes();
        compiler.beside = compiler.input.next_multiple_of(ALIGNMENT);
        compiler.drafts.resize_with(network.ops.len(), || None);
        for index in 0..network.ops.len() {
            if !compiler.joined[index] {
                compiler.compile(index)?;
            }
        }
        compiler.finish()
    }
}

/// Which operations use each value.
fn users(network: &Network) -> Vec<Vec<usize>> {
    let mut users = vec![Vec::new(); network.ops.len()];
    for (index, op) in network.ops.iter().enumerate() {
        for value in op.inputs() {
            users[value.index()].push(index);
        }
    }
    users
}

/// A launch that makes a value, before values have places.
pub(super) enum Draft {
    /// From the processor's memory.
    Feed,
    Words {
        table: Place,
    },
    Product(Product),
    Windows {
        x: Value,
        filters: Place,
        bias: Place,
        window: Window,
        activation: Activation,
    },
    /// Rows that do not change: no launch.
    Constant {
        rows: Place,
    },
    /// From the processor's memory, beside the input.
    Condition {
        offset: usize,
    },
    Combine {
        x: Value,
        front: Option<Value>,
        factors: Place,
        y: Added,
        skip: usize,
        activation: Activation,
    },
    Film {
        x: Value,
        gains: Value,
        shifts: Value,
        activation: Activation,
    },
    LayerNorm {
        x: Value,
        gain: Place,
        shift: Place,
        epsilon: f32,
    },
    Attention {
        reads: Reads,
        heads: usize,
    },
    Mean {
        x: Value,
    },
}

/// A sum over windows times a matrix.
pub(super) struct Product {
    pub(super) x: Value,
    pub(super) weights: Place,
    pub(super) bias: Place,
    pub(super) residual: Option<Value>,
    pub(super) window: Window,
    pub(super) activation: Activation,
}

/// What is added: a value, or rows that do not change.
#[derive(Clone, Copy)]
pub(super) enum Added {
    Nothing,
    Value(Value),
    Constant(Place),
}

pub(super) struct Compiler<'a> {
    pub(super) network: &'a Network,
    pub(super) feed: &'a Feed,
    pub(super) numbers: Numbers,
    pub(super) len: usize,
    pub(super) multiprocessors: usize,
    users: Vec<Vec<usize>>,
    /// Operations that another's launch does.
    joined: Vec<bool>,
    /// What makes each value, put where its last operation stands.
    pub(super) drafts: Vec<Option<Draft>>,
    pub(super) constants: Constants,
    /// Bytes of the input, and where those beside it begin and end.
    pub(super) input: usize,
    pub(super) conditions: Vec<Range<usize>>,
    /// Where the next one is put.
    beside: usize,
}

impl Compiler<'_> {
    fn compile(&mut self, index: usize) -> Result<()> {
        let (mut value, network) = (index, self.network);
        let draft = match &network.ops[index] {
            Op::Words { table } => {
                let columns = network.shapes[index].columns;
                Draft::Words {
                    table: self.padded_rows(table, columns),
                }
            }
            Op::Rows | Op::Patches { .. } | Op::Picture { .. } => Draft::Feed,
            Op::Convolution { x, layer } if layer.is_depthwise => {
                let activation;
                (activation, value) = self.activation_of(index);
                self.refuse_pixels(*x, "a depthwise convolution or a pool")?;
                let columns = network.shapes[index].columns;
                Draft::Windows {
                    x: *x,
                    filters: self.depthwise_filters(layer),
                    bias: self.padded_floats(&layer.bias, columns),
                    window: layer.window,
                    activation,
                }
            }
            Op::Convolution { x, layer } => {
                let (weights, bias) = self.convolution_weights(*x, layer);
                let residual;
                let activation;
                (residual, activation, value) = self.followers(index);
                Draft::Product(Product {
                    x: *x,
                    weights,
                    bias,
                    residual,
                    window: layer.window,
                    activation,
                })
            }
            Op::Linear { x, layer } => {
                let (factors, last) = self.factors(index);
                let residual;
                let activation;
                (residual, activation, value) = self.followers(last);
                let (weights, bias, window) = self.linear_weights(*x, layer, &factors)?;
                Draft::Product(Product {
                    x: *x,
                    weights,
                    bias,
                    residual,
                    window,
                    activation,
                })
            }
            &Op::MaxPool { x, window } => {
                self.refuse_pixels(x, "a depthwise convolution or a pool")?;
                let none = Place::NOWHERE;
                Draft::Windows {
                    x,
                    filters: none,
                    bias: none,
                    window,
                    activation: Activation::None,
                }
            }
            Op::Constant { rows } => Draft::Constant {
                rows: self.padded_rows(rows, network.shapes[index].columns),
            },
            Op::Condition { .. } => self.condition(network.shapes[index].columns),
            &Op::Join { x: front, y: x } => {
                let y;
                (y, value) = self.positions_behind(index);
                Draft::Combine {
                    x,
                    front: Some(front),
                    factors: Place::NOWHERE,
                    y,
                    skip: 0,
                    activation: Activation::None,
                }
            }
            &Op::Pixels { x } => combined(x, Place::NOWHERE, Added::Nothing, 0, Activation::None),
            &Op::Film { x, gains, shifts } => {
                let activation;
                (activation, value) = self.activation_of(index);
                Draft::Film {
                    x,
                    gains,
                    shifts,
                    activation,
                }
            }
            Op::Positions { x, table } => {
                let y = self.positions(*x, table)?;
                combined(*x, Place::NOWHERE, y, 0, Activation::None)
            }
            &Op::Activate { x, activation } => {
                combined(x, Place::NOWHERE, Added::Nothing, 0, activation)
            }
            Op::Scale { x, factors } => {
                let factors = self.padded_floats(factors, factors.len());
                combined(*x, factors, Added::Nothing, 0, Activation::None)
            }
            &Op::Add { x, y } => {
                let activation;
                (activation, value) = self.activation_of(index);
                combined(x, Place::NOWHERE, Added::Value(y), 0, activation)
            }
            &Op::Take { x, row } => {
                if row >= self.rows(x) {
                    return Err(refused(format!("row {row} is taken of {}", self.rows(x))));
                }
                combined(x, Place::NOWHERE, Added::Nothing, row, Activation::None)
            }
            Op::LayerNorm { x, norm } => self.layer_norm(*x, norm)?,
            &Op::Attention { reads, heads } => {
                let len = network.shapes[index].columns / heads;
                if !matches!(len, 32 | 64) {
                    return Err(refused(format!(
                        "attention has heads of {len} columns; there are kernels for 32 and 64"
                    )));
                }
                // Its scale went into the layer that makes the queries.
                if self.users[reads.queries.of.index()] != [index] {
                    return Err(refused(
                        "others read the queries of an attention".to_owned(),
                    ));
                }
                Draft::Attention { reads, heads }
            }
            &Op::Mean { x } => {
                self.refuse_pixels(x, "a mean")?;
                Draft::Mean { x }
            }
        };
        if let Draft::Combine { .. } | Draft::Film { .. } = &draft {
            for read in draft.reads() {
                self.refuse_pixels(read, "a sum or a factor")?;
            }
        }
        self.drafts[value] = Some(draft);
        Ok(())
    }

    /// The next row beside the input.
    fn condition(&mut self, columns: usize) -> Draft {
        let offset = self.beside;
        self.beside = (offset + 4 * columns).next_multiple_of(ALIGNMENT);
        self.conditions.push(offset..offset + 4 * columns);
        Draft::Condition { offset }
    }

    fn layer_norm(&mut self, x: Value, norm: &Norm) -> Result<Draft> {
        self.refuse_pixels(x, "a layer norm")?;
        let columns = norm.gain.len();
        Ok(Draft::LayerNorm {
            x,
            gain: self.padded_floats(&norm.gain, columns),
            shift: self.padded_floats(&norm.shift, columns),
            epsilon: norm.epsilon,
        })
    }

    /// Pixels of the input have four values, and only products read them.
    fn refuse_pixels(&self, x: Value, by: &str) -> Result<()> {
        match self.is_pixels(x) {
            true => Err(refused(format!(
                "the input picture goes into {by}, not into a convolution"
            ))),
            false => Ok(()),
        }
    }

    pub(super) fn is_pixels(&self, x: Value) -> bool {
        matches!(
            self.network.ops[x.index()],
            Op::Picture { .. } | Op::Patches { .. }
        )
    }

    // ---- what joins a product -------------------------------------------------------------------------------

    /// The only operation that reads the value, if it is one and no other launch does it.
    fn only_user(&self, value: usize) -> Option<usize> {
        match self.users[value][..] {
            [user] if !self.joined[user] => Some(user),
            _ => None,
        }
    }

    /// The sum and the activation that follow a value which nobody else reads: what is added, the activation, and the value that
    /// comes out.
    fn followers(&mut self, mut value: usize) -> (Option<Value>, Activation, usize) {
        let mut residual = None;
        while let Some(user) = self.only_user(value) {
            match self.network.ops[user] {
                Op::Add { x, y }
                    if residual.is_none() && !self.is_pixels(x) && !self.is_pixels(y) =>
                {
                    residual = Some(if x.index() == value { y } else { x });
                }
                Op::Activate { activation, .. } => {
                    self.joined[user] = true;
                    return (residual, activation, user);
                }
                _ => break,
            }
            self.joined[user] = true;
            value = user;
        }
        (residual, Activation::None, value)
    }

    /// As [`followers`](Self::followers), the activation alone.
    fn activation_of(&mut self, value: usize) -> (Activation, usize) {
        if let Some(user) = self.only_user(value)
            && let Op::Activate { activation, .. } = self.network.ops[user]
        {
            self.joined[user] = true;
            return (activation, user);
        }
        (Activation::None, value)
    }

    /// What each output of a linear layer is multiplied with behind it, and the value that comes of it.
    fn factors(&mut self, mut value: usize) -> (Vec<f32>, usize) {
        let columns = self.network.shapes[value].columns;
        let mut all = vec![1.0f32; columns];
        while let Some(user) = self.only_user(value) {
            match &self.network.ops[user] {
                Op::Scale { factors, .. } => {
                    for (all, factor) in all.iter_mut().zip(&**factors) {
                        *all *= factor;
                    }
                }
                Op::Attention { reads, heads } => {
                    let columns = self.network.shapes[user].columns;
                    if reads.queries.of.index() == value {
                        let factor = query_factor(columns / heads);
                        for all in &mut all[reads.queries.first..][..columns] {
                            *all *= factor;
                        }
                    }
                    break;
                }
                _ => break,
            }
            self.joined[user] = true;
            value = user;
        }
        (all, value)
    }

    fn positions_behind(&mut self, index: usize) -> (Added, usize) {
        if let Some(user) = self.only_user(index)
            && let Op::Positions { x, table } = &self.network.ops[user]
            && let Ok(y) = self.positions(*x, table)
        {
            self.joined[user] = true;
            return (y, user);
        }
        (Added::Nothing, index)
    }

    fn positions(&mut self, x: Value, table: &[f32]) -> Result<Added> {
        let (columns, rows) = (self.network.shape(x).columns, self.rows(x));
        let known = table.len() / columns;
        if rows > known {
            return Err(refused(format!(
                "there are positions for {known} rows, not for {rows}"
            )));
        }
        Ok(Added::Constant(
            self.padded_rows(&table[..rows * columns], columns),
        ))
    }
}

fn combined(x: Value, factors: Place, y: Added, skip: usize, activation: Activation) -> Draft {
    Draft::Combine {
        x,
        front: None,
        factors,
        y,
        skip,
        activation,
    }
}

/// The usual scale of a softmax, and the logarithm of e to base 2, because the kernel takes powers of two.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a head has a few hundred columns"
)]
fn query_factor(head_len: usize) -> f32 {
    (std::f64::consts::LOG2_E / (head_len as f64).sqrt()) as f32
}

pub(super) fn refused(why: String) -> Fault {
    Fault::new(
        Kind::Unsupported,
        "the backend \"cuda\" cannot run this network",
        why,
        "set the backend to \"plan\"",
    )
}
