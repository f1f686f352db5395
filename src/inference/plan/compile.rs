//! From a description to stages.
//!
//! What is done at load, so that no frame pays for it: factors go into the weights before them, the scale of a softmax goes
//! into the queries' weights, sums and activations join the product before them, weights are packed. Where values live then, `layout` says.
//!
//! With bf16 all pictures are bf16, and so are rows that only products read; rows that others read too are made as both by a layer
//! norm, and rounded by a stage of its own elsewhere. With int8 only what a depthwise convolution makes is made so.

use super::super::kernels::Isa;
use super::super::kernels::attention::Attention;
use super::super::kernels::depthwise::BYTE_OF_RELU6;
use super::super::kernels::layer_norm::Norm;
use super::super::kernels::pack::{DepthwiseFilters, Packed, Scale};
use super::super::network::{
    self, Activation, Convolution, Linear, Network, Op, Rows, Value, Window,
};
use super::canvas::Canvas;
use super::dense::Dense;
use super::layout::{Draft, Drafts, Layout, edge, key};
use super::pictures::WINDOW_MAX;
use super::turns::edges;
use super::winograd::Winograd;
use super::{Columns, Heads, Limits, Precision, Program, Source, Work};

/// Pixels that a tile can have: how many rows decides between tall and wide tiles, and more than a tile's do not matter.
const TILE_ROWS: usize = 16;

impl Program {
    pub(super) fn new(network: &Network, isa: Isa, precision: Precision, limits: Limits) -> Self {
        let mut compiler = Compiler::new(network, isa, precision, limits);
        for index in 0..network.ops.len() {
            compiler.compile(index);
        }
        compiler.finish()
    }
}

struct Compiler<'a> {
    network: &'a Network,
    isa: Isa,
    precision: Precision,
    limits: Limits,
    /// Which operations use each value.
    users: Vec<Vec<usize>>,
    /// Operations that another's stage does.
    joined: Vec<bool>,
    /// The stages that make each value, put where their last operation stands.
    drafts: Vec<Vec<Draft>>,
    attentions: Vec<Heads>,
    /// Of each value that is a picture: zeros around it.
    edges: Vec<usize>,
}

impl<'a> Compiler<'a> {
    fn new(network: &'a Network, isa: Isa, precision: Precision, limits: Limits) -> Self {
        let count = network.ops.len();
        let mut users = vec![Vec::new(); count];
        for (index, op) in network.ops.iter().enumerate() {
            for value in op.inputs() {
                users[value.index()].push(index);
            }
        }
        Self {
            network,
            isa,
            precision,
            limits,
            users,
            joined: vec![false; count],
            drafts: (0..count).map(|_| Vec::new()).collect(),
            attentions: Vec::new(),
            edges: edges(network),
        }
    }

    fn compile(&mut self, index: usize) {
        if self.joined[index] {
            return;
        }
        let mut value = index;
        let work = match &self.network.ops[index] {
            Op::Words { table } => Work::Words {
                table: table.clone(),
            },
            Op::Rows => Work::Rows,
            &Op::Patches { side, patch } => Work::Patches { side, patch },
            Op::Picture { .. } => Work::Picture,
            Op::Convolution { x, layer } => {
                let work;
                (work, value) = self.convolution(index, *x, layer);
                work
            }
            &Op::MaxPool { x, window } => {
                assert!(window.size <= WINDOW_MAX, "no windows of {window:?}");
                Work::MaxPool {
                    x: self.source(x),
                    window,
                }
            }
            &Op::Condition { index } => Work::Condition { index },
            Op::Constant { rows } => Work::Constant { rows: rows.clone() },
            &Op::Pixels { x } => Work::Pixels { x: self.source(x) },
            &Op::Join { x, y } => Work::Join {
                x: self.source(x),
                y: self.source(y),
            },
            Op::Positions { x, table } => Work::Positions {
                x: self.source(*x),
                table: table.clone(),
            },
            Op::Linear { x, layer } => {
                let work;
                (work, value) = self.linear(index, *x, layer);
                work
            }
            Op::Add { x, y } => Work::Add {
                x: self.source(*x),
                y: self.source(*y),
            },
            Op::LayerNorm { x, norm } => Work::LayerNorm {
                x: self.source(*x),
                norm: Norm::new(self.isa, &norm.gain, &norm.shift, norm.epsilon),
            },
            &Op::Film { x, gains, shifts } => {
                let activation;
                (activation, value) = self.activation(index);
                assert!(
                    matches!(
                        activation,
                        Activation::None | Activation::Relu | Activation::Relu6
                    ),
                    "a plan does {activation:?} only right behind a product"
                );
                Work::Film {
                    x: self.source(x),
                    gains: self.source(gains),
                    shifts: self.source(shifts),
                    activation,
                }
            }
            Op::Attention { reads, heads } => {
                let heads = self.heads(index, reads.keys.of, *heads);
                let columns = |part: network::Columns| Columns {
                    of: self.source_as(part.of, heads.precision),
                    first: part.first,
                };
                Work::Attention {
                    queries: columns(reads.queries),
                    keys: columns(reads.keys),
                    values: columns(reads.values),
                    kind: self.kind(heads),
                }
            }
            Op::Mean { x } => Work::Mean { x: self.source(*x) },
            Op::Take { x, row } => Work::Take {
                x: self.source(*x),
                row: *row,
            },
            op @ (Op::Activate { .. } | Op::Scale { .. }) => {
                panic!("a plan does this only right behind a product: {op:?}")
            }
        };
        self.draft(work, value);
    }

    /// Puts the stage that makes a value, and one that rounds it if that is wanted and the first cannot.
    fn draft(&mut self, work: Work, value: usize) {
        let wanted = |precision| self.is_wanted(value, precision);
        let (f32, bf16) = (wanted(Precision::F32), wanted(Precision::Bf16));
        let (f16, int8) = (wanted(Precision::F16), wanted(Precision::Int8));
        let (precision, also) = match &work {
            Work::LayerNorm { .. } if f32 => (Precision::F32, bf16),
            Work::LayerNorm { .. } | Work::Linear { residual: None, .. } if bf16 && !f32 => {
                (Precision::Bf16, false)
            }
            Work::Attention { kind, .. } => (self.attentions[*kind].precision, false),
            Work::Depthwise { .. } if int8 && !f32 => (Precision::Int8, false),
            _ if self.is_rounded_picture(value) => (Precision::Bf16, false),
            _ => (Precision::F32, false),
        };
        let draft = |work, precision, also| Draft {
            work,
            value,
            precision,
            also,
        };
        self.drafts[value].push(draft(work, precision, also));
        let rounded = [
            (Precision::Bf16, bf16 && !also),
            (Precision::F16, f16),
            (Precision::Int8, int8),
        ];
        for (rounded, is_wanted) in rounded {
            if is_wanted && precision != rounded {
                let x = self.source(Value::of(value));
                let round = draft(Work::Round { x }, rounded, false);
                self.drafts[value].push(round);
            }
        }
    }

    /// Whether some operation reads the value in this precision. The output is read as f32.
    fn is_wanted(&self, value: usize, precision: Precision) -> bool {
        let users = &self.users[value];
        users
            .iter()
            .any(|&user| self.reads_as(user, value) == precision)
            || (users.is_empty() && precision == self.stored(value))
    }

    /// How a value stands that nobody wants otherwise.
    fn stored(&self, value: usize) -> Precision {
        match self.is_rounded_picture(value) {
            true => Precision::Bf16,
            false => Precision::F32,
        }
    }

    /// With bf16 all pictures are, but the network's own where others than convolutions read it.
    fn is_rounded_picture(&self, value: usize) -> bool {
        let convolves = |&user: &usize| matches!(self.network.ops[user], Op::Convolution { .. });
        let is_picture = matches!(self.network.shapes[value].rows, Rows::Picture { .. });
        let is_input = matches!(self.network.ops[value], Op::Picture { .. });
        self.precision == Precision::Bf16
            && is_picture
            && (!is_input || self.users[value].iter().all(convolves))
    }

    /// In which precision an operation reads a value that it is computed from.
    fn reads_as(&self, user: usize, value: usize) -> Precision {
        match &self.network.ops[user] {
            Op::Linear { .. } => self.precision,
            Op::Attention { reads, heads } => self.heads(user, reads.keys.of, *heads).precision,
            Op::Convolution { layer, .. } => {
                let is_first = matches!(self.network.ops[value], Op::Picture { .. });
                match self.precision {
                    Precision::F16 | Precision::Int8 if layer.is_pointwise() && !is_first => {
                        self.precision
                    }
                    _ => self.stored(value),
                }
            }
            _ => self.stored(value),
        }
    }

    /// Whether a value is made as bytes by the depthwise convolution behind which it is limited to 0..=6.
    fn is_made_as_bytes(&self, value: Value) -> bool {
        let Op::Activate { x, .. } = &self.network.ops[value.index()] else {
            return false;
        };
        let of = &self.network.ops[x.index()];
        matches!(of, Op::Convolution { layer, .. } if layer.is_depthwise)
            && !self.is_wanted(value.index(), Precision::F32)
    }

    /// A linear layer with what follows it and is nobody else's: factors, a sum, an activation.
    fn linear(&mut self, index: usize, x: Value, layer: &Linear) -> (Work, usize) {
        let mut layer = layer.clone();
        let mut value = index;
        while let [user] = self.users[value][..] {
            match &self.network.ops[user] {
                Op::Scale { factors, .. } => scale(&mut layer, factors),
                Op::Attention { reads, heads } => {
                    let columns = self.network.shapes[user].columns;
                    let queries = reads.queries;
                    if queries.of.index() == value {
                        let factors = query_factors(queries.first, columns, columns / heads);
                        scale(&mut layer, &factors);
                    }
                    break;
                }
                _ => break,
            }
            self.joined[user] = true;
            value = user;
        }
        let (residual, activation, value) = self.followers(value);
        let rows = self.limits.rows.min(TILE_ROWS);
        let work = Work::Linear {
            x: self.source_as(x, self.precision),
            packed: Packed::for_rows(self.isa, self.precision, &layer.weights, &layer.bias, rows),
            activation,
            residual,
        };
        (work, value)
    }

    /// A convolution with what follows it and is nobody else's: a sum, an activation.
    fn convolution(&mut self, index: usize, x: Value, layer: &Convolution) -> (Work, usize) {
        let (residual, activation, value) = self.followers(index);
        let (of, x) = (x, self.source_as(x, self.reads_as(index, x.index())));
        let work = if layer.is_depthwise {
            assert!(
                activation == Activation::Relu6 && residual.is_none(),
                "a plan limits what a depthwise convolution makes to 0..=6, and adds nothing"
            );
            let Window { size, .. } = layer.window;
            Work::Depthwise {
                x,
                filters: DepthwiseFilters::new(
                    self.isa,
                    x.precision,
                    size,
                    &layer.weights,
                    &layer.bias,
                ),
                window: layer.window,
            }
        } else {
            let Rows::Picture { height, width } = self.network.shapes[index].rows else {
                unreachable!("a convolution makes a picture")
            };
            match Winograd::new(self.isa, layer, (x.columns, x.precision), (height, width)) {
                Some(winograd) => Work::Winograd {
                    x,
                    winograd,
                    activation,
                    residual,
                },
                None => Work::Dense {
                    x,
                    dense: {
                        let is_fixed = self.is_made_as_bytes(of);
                        let scale = is_fixed.then_some(Scale::Fixed(BYTE_OF_RELU6));
                        Dense::new(self.isa, Canvas::of(self.isa, &x), layer, scale, width)
                    },
                    activation,
                    residual,
                },
            }
        };
        (work, value)
    }

    /// The sum and the activation that follow a value and nobody else reads it before: what is added, the activation,
    /// and the value that comes out.
    fn followers(&mut self, mut value: usize) -> (Option<Source>, Activation, usize) {
        let mut residual = None;
        while let [user] = self.users[value][..] {
            match self.network.ops[user] {
                // What is added to itself has to be there first.
                Op::Add { x, y } if x != y && residual.is_none() && !self.joined[user] => {
                    let other = if x.index() == value { y } else { x };
                    residual = Some(self.source(other));
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

    /// The activation that follows a value and nobody else reads it before, and the value that comes out.
    fn activation(&mut self, value: usize) -> (Activation, usize) {
        if let [user] = self.users[value][..]
            && let Op::Activate { activation, .. } = self.network.ops[user]
        {
            self.joined[user] = true;
            return (activation, user);
        }
        (Activation::None, value)
    }

    /// What kind of attention an operation is: in bf16 if its output is read so, and heads begin at blocks.
    fn heads(&self, index: usize, keys: Value, count: usize) -> Heads {
        let len = self.network.shapes[index].columns / count;
        let mut users = self.users[index].iter();
        let for_products = users.all(|&user| matches!(self.network.ops[user], Op::Linear { .. }));
        let is_bf16 = self.precision == Precision::Bf16
            && for_products
            && !self.users[index].is_empty()
            && Attention::takes(self.isa, Precision::Bf16, len);
        Heads {
            precision: if is_bf16 {
                Precision::Bf16
            } else {
                Precision::F32
            },
            count,
            len,
            keys_max: self.network.shape(keys).rows.of(self.limits.rows),
        }
    }

    /// The number of this kind of attention.
    fn kind(&mut self, heads: Heads) -> usize {
        let known = self.attentions.iter().position(|&known| known == heads);
        known.unwrap_or_else(|| {
            self.attentions.push(heads);
            self.attentions.len() - 1
        })
    }

    /// A value as it is stored, with its key in place of its slot.
    fn source(&self, value: Value) -> Source {
        self.source_as(value, self.stored(value.index()))
    }

    fn source_as(&self, value: Value, precision: Precision) -> Source {
        let shape = self.network.shape(value);
        let op = &self.network.ops[value.index()];
        Source {
            slot: key(value.index(), precision),
            rows: shape.rows,
            columns: shape.columns,
            edge: edge(precision, self.edges[value.index()]),
            precision,
            is_interleaved: matches!(op, Op::Picture { .. }),
            room: usize::MAX,
        }
    }

    fn finish(self) -> Program {
        let drafts = Drafts {
            network: self.network,
            isa: self.isa,
            limits: self.limits,
            edges: &self.edges,
            stages: self.drafts.into_iter().flatten().collect(),
        };
        let Layout {
            stages,
            groups,
            slots,
            inner,
            scratch,
        } = drafts.lay_out();
        Program {
            isa: self.isa,
            limits: self.limits,
            stages,
            groups,
            slots,
            inner,
            scratch,
            attentions: self.attentions,
        }
    }
}

/// Multiplies each output by its factor; those behind the last factor stay as they are.
fn scale(layer: &mut Linear, factors: &[f32]) {
    let inputs = layer.weights.len() / layer.bias.len();
    let rows = layer.weights.chunks_exact(inputs);
    let factor = |output: usize| factors.get(output).copied().unwrap_or(1.0);
    layer.weights = rows
        .enumerate()
        .flat_map(|(output, row)| row.iter().map(move |w| w * factor(output)))
        .collect();
    layer.bias = (0..)
        .zip(&*layer.bias)
        .map(|(output, b)| b * factor(output))
        .collect();
}

/// For the queries, which begin at output `first`: the usual scale of a softmax, and the logarithm of e to base 2, because the kernel takes powers of two.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a head has a few hundred columns, and the factor is an f32 like the weights"
)]
fn query_factors(first: usize, columns: usize, head_len: usize) -> Vec<f32> {
    let factor = std::f64::consts::LOG2_E / (head_len as f64).sqrt();
    let mut factors = vec![1.0; first];
    factors.resize(first + columns, factor as f32);
    factors
}
