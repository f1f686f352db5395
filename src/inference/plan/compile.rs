//! From a description to stages.
//!
//! What is done at load, so that no frame pays for it: factors go into the weights before them, the scale of a softmax goes
//! into the queries' weights, sums and activations join the product before them, weights are packed, and values that are
//! not needed at the same time share a slot.

use super::super::kernels::Isa;
use super::super::kernels::layer_norm::Norm;
use super::super::kernels::pack::{Packed, Walk};
use super::super::network::{Activation, Linear, Network, Op, Rows, Value};
use super::{Limits, Program, Source, Stage, Work};

/// Pixels that a tile can have: how many rows decides between tall and wide tiles, and more than a tile's do not matter.
const TILE_ROWS: usize = 16;

impl Program {
    pub(super) fn new(network: &Network, isa: Isa, limits: Limits) -> Self {
        let mut compiler = Compiler::new(network, isa, limits);
        for index in 0..network.ops.len() {
            compiler.compile(index);
        }
        compiler.finish()
    }
}

/// A stage whose values have no slots yet.
struct Draft {
    /// With the numbers of values where slots will be.
    work: Work,
    value: usize,
}

struct Compiler<'a> {
    network: &'a Network,
    isa: Isa,
    limits: Limits,
    /// Which operations use each value.
    users: Vec<Vec<usize>>,
    /// Operations that another's stage does.
    joined: Vec<bool>,
    /// The stage that makes each value: stages are put where their last operation stands.
    drafts: Vec<Option<Draft>>,
    attentions: Vec<(usize, usize)>,
}

impl<'a> Compiler<'a> {
    fn new(network: &'a Network, isa: Isa, limits: Limits) -> Self {
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
            limits,
            users,
            joined: vec![false; count],
            drafts: (0..count).map(|_| None).collect(),
            attentions: Vec::new(),
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
            Op::First { x, rows } => Work::First {
                x: self.source(*x),
                rows: rows.clone(),
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
            Op::Attention { qkv, heads } => {
                let head_len = self.network.shapes[index].columns / heads;
                Work::Attention {
                    qkv: self.source(*qkv),
                    kind: self.attention(*heads, head_len),
                }
            }
            Op::Mean { x } => Work::Mean { x: self.source(*x) },
            Op::Take { x, row } => Work::Take {
                x: self.source(*x),
                row: *row,
            },
            op @ (Op::Activate { .. } | Op::Scale { .. }) => {
                panic!("a plan does this only right behind a linear layer: {op:?}")
            }
        };
        self.drafts[value] = Some(Draft { work, value });
    }

    /// A linear layer with what follows it and is nobody else's: factors, a sum, an activation.
    fn linear(&mut self, index: usize, x: Value, layer: &Linear) -> (Work, usize) {
        let (mut value, mut layer) = (index, layer.clone());
        let (mut activation, mut residual) = (Activation::None, None);
        while let [user] = self.users[value][..] {
            match &self.network.ops[user] {
                Op::Scale { factors, .. } if residual.is_none() => scale(&mut layer, factors),
                // The queries come first.
                Op::Attention { qkv, heads } => {
                    let columns = self.network.shape(*qkv).columns / 3;
                    scale(&mut layer, &query_factors(columns, columns / heads));
                    break;
                }
                Op::Add { x, y } if residual.is_none() && !self.joined[user] => {
                    let other = if x.index() == value { *y } else { *x };
                    residual = Some(self.source(other));
                }
                Op::Activate { activation: a, .. } => {
                    activation = *a;
                    self.joined[user] = true;
                    value = user;
                    break;
                }
                _ => break,
            }
            self.joined[user] = true;
            value = user;
        }
        let inputs = layer.weights.len() / layer.bias.len();
        let rows = self.limits.rows.min(TILE_ROWS);
        let work = Work::Linear {
            x: self.source(x),
            packed: Packed::new(
                self.isa,
                Walk::channels(self.isa, inputs),
                &layer.weights,
                &layer.bias,
                rows,
            ),
            activation,
            residual,
        };
        (work, value)
    }

    /// The number of this kind of attention.
    fn attention(&mut self, heads: usize, head_len: usize) -> usize {
        let kind = (heads, head_len);
        let known = self.attentions.iter().position(|&known| known == kind);
        known.unwrap_or_else(|| {
            self.attentions.push(kind);
            self.attentions.len() - 1
        })
    }

    /// With the value's number in place of its slot.
    fn source(&self, value: Value) -> Source {
        let shape = self.network.shape(value);
        Source {
            slot: value.index(),
            rows: shape.rows,
            columns: shape.columns,
        }
    }

    /// Gives each value a slot that no other needs while it lives, and each slot the size of its largest value.
    fn finish(self) -> Program {
        let mut drafts: Vec<Draft> = self.drafts.into_iter().flatten().collect();
        let mut last_use = vec![0; self.network.ops.len()];
        for (place, draft) in drafts.iter_mut().enumerate() {
            for source in draft.work.sources() {
                last_use[source.slot] = place;
            }
        }
        let more = |rows| match rows {
            Rows::Each { more } => more,
            Rows::One => 0,
        };
        let more = self.network.shapes.iter().map(|s| more(s.rows)).max();
        let more = more.unwrap_or(0);
        let (mut slots, mut free): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut slot_of = vec![usize::MAX; self.network.ops.len()];
        let mut stages = Vec::new();
        for (place, mut draft) in drafts.into_iter().enumerate() {
            let to = free.pop().unwrap_or_else(|| {
                slots.push(0);
                slots.len() - 1
            });
            let shape = self.network.shapes[draft.value];
            let rows = match shape.rows {
                Rows::Each { more } => self.limits.rows + more * self.limits.sequences,
                Rows::One => self.limits.sequences,
            };
            // A pitch has one row more where the rows are even.
            let floats = self.isa.blocks(shape.columns) * self.isa.lanes() * (rows + 1);
            slots[to] = slots[to].max(floats);
            slot_of[draft.value] = to;
            for source in draft.work.sources() {
                let value = source.slot;
                source.slot = slot_of[value];
                if last_use[value] == place && !free.contains(&source.slot) {
                    free.push(source.slot);
                }
            }
            stages.push(Stage {
                work: draft.work,
                to,
                rows: shape.rows,
                columns: shape.columns,
            });
        }
        Program {
            isa: self.isa,
            limits: self.limits,
            stages,
            slots,
            attentions: self.attentions,
            more,
        }
    }
}

impl Work {
    /// What it reads.
    fn sources(&mut self) -> impl Iterator<Item = &mut Source> {
        let (first, second) = match self {
            Self::Words { .. } | Self::Rows => (None, None),
            Self::Linear { x, residual, .. } => (Some(x), residual.as_mut()),
            Self::Add { x, y } => (Some(x), Some(y)),
            Self::Attention { qkv: x, .. }
            | Self::First { x, .. }
            | Self::Positions { x, .. }
            | Self::LayerNorm { x, .. }
            | Self::Mean { x }
            | Self::Take { x, .. } => (Some(x), None),
        };
        first.into_iter().chain(second)
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

/// The usual scale of a softmax, and the logarithm of e to base 2, because the kernel takes powers of two.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a head has a few hundred columns, and the factor is an f32 like the weights"
)]
fn query_factors(columns: usize, head_len: usize) -> Vec<f32> {
    let factor = std::f64::consts::LOG2_E / (head_len as f64).sqrt();
    vec![factor as f32; columns]
}
