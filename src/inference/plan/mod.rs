//! A network compiled for one processor: scales folded into weights, weights packed, activations and sums joined to the
//! products that they follow, memory laid out.
//!
//! Thread: any, one at a time. Allocates: when it is made or cloned; [`Plan::run`] does not. Blocks: no. Locks: no.
//! Syscalls: no.

use std::ops::Range;
use std::sync::Arc;

use super::kernels::Isa;
use super::kernels::attention::{Attention, Part};
pub use super::kernels::bf16::Precision;
use super::kernels::layer_norm;
use super::kernels::memory::Aligned;
use super::kernels::pack::{DepthwiseFilters, Packed};
use super::kernels::pointwise::{self, Activation, Output, Runs, Step};
use super::network::{Network, Rows, Weights, Window};

mod blocked;

mod compile;

mod pictures;

mod turns;

use blocked::{add_rows, copy_rows, from_rows, to_rows};
use pictures::{Canvas, Dense};

/// Stages of a group at most: a product, a depthwise convolution, a product.
const GROUP_MAX: usize = 3;

/// What goes into a network.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Numbers of words, of all sequences one after the other.
    Words(&'a [u32]),
    /// `[row][column]`, of all sequences one after the other.
    Rows(&'a [f32]),
    /// A picture, `[row][column][red, green, blue]`: one sequence, with a row for each patch.
    Picture(&'a [f32]),
}

/// How much comes in one run at most; the memory is laid out for it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows of input, of all sequences together.
    pub rows: usize,
    pub sequences: usize,
}

/// A network that runs. A clone shares the weights and has memory of its own.
pub struct Plan {
    program: Arc<Program>,
    memory: Memory,
}

/// What does not change from run to run.
struct Program {
    isa: Isa,
    limits: Limits,
    stages: Vec<Stage>,
    /// Neighbouring stages that take turns.
    groups: Vec<Group>,
    /// Floats of each slot.
    slots: Vec<usize>,
    attentions: Vec<Heads>,
    /// Rows that a sequence has at most beyond those of its input.
    more: usize,
}

/// Stages that run one after the other, each on some rows at a time where the next needs them: so what goes from one to the
/// next is still near.
struct Group {
    stages: Range<usize>,
    /// Rows of the last stage's output that are computed in one turn; None: each stage does all at once.
    strip: Option<usize>,
}

/// A kind of attention: what of it needs memory of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Heads {
    precision: Precision,
    count: usize,
    /// Columns of each.
    len: usize,
}

/// What a run writes to.
struct Memory {
    /// A value lives in a slot from the stage that makes it to the last that reads it; then the slot is another's.
    slots: Vec<Aligned>,
    attentions: Vec<Attention>,
}

/// One walk over memory.
struct Stage {
    work: Work,
    /// The slot that it writes, and what stands there then.
    to: usize,
    /// A second one, which gets the same as bf16.
    also: Option<usize>,
    precision: Precision,
    rows: Rows,
    columns: usize,
    /// Of a picture: zeros around it.
    edge: usize,
    /// Of a picture: rows that there is room for, if less than all.
    room: usize,
}

enum Work {
    Words {
        table: Weights,
    },
    Rows,
    Patches {
        side: usize,
        patch: usize,
    },
    Picture,
    Dense {
        x: Source,
        dense: Dense,
        activation: Activation,
        residual: Option<Source>,
    },
    /// With a limit to 0..=6 behind it.
    Depthwise {
        x: Source,
        filters: DepthwiseFilters,
        window: Window,
    },
    MaxPool {
        x: Source,
        window: Window,
    },
    First {
        x: Source,
        rows: Weights,
    },
    Positions {
        x: Source,
        table: Weights,
    },
    Linear {
        x: Source,
        packed: Packed,
        activation: Activation,
        residual: Option<Source>,
    },
    Add {
        x: Source,
        y: Source,
    },
    LayerNorm {
        x: Source,
        norm: layer_norm::Norm,
    },
    Attention {
        qkv: Source,
        /// Which of the program's attentions.
        kind: usize,
    },
    /// From f32 to bf16.
    Round {
        x: Source,
    },
    Mean {
        x: Source,
    },
    Take {
        x: Source,
        row: usize,
    },
}

/// A value that a stage reads.
#[derive(Clone, Copy, Debug)]
struct Source {
    slot: usize,
    rows: Rows,
    columns: usize,
    /// Of a picture: zeros around it.
    edge: usize,
    /// It is the network's input, a picture whose channels are neighbours.
    is_interleaved: bool,
    /// Of a picture: rows that there is room for, if less than all.
    room: usize,
}

impl Plan {
    /// With [`Precision::Bf16`] the factors of linear layers and of attention are rounded to bf16; sums, norms, what is added,
    /// and convolutions are f32.
    ///
    /// # Panics
    /// If the network has an operation that no stage does: see [`Network`]'s methods and the compiler's.
    pub fn new(network: &Network, isa: Isa, precision: Precision, limits: Limits) -> Self {
        let program = Arc::new(Program::new(network, isa, precision, limits));
        Self {
            memory: Memory::new(&program),
            program,
        }
    }

    pub fn isa(&self) -> Isa {
        self.program.isa
    }

    /// Computes the network's output for sequences of the given lengths, a row after the other.
    ///
    /// # Panics
    /// If the input is more than the plan's limits or of another kind than the network's, a sequence has no row, or `output` is
    /// not as long as the output's rows.
    pub fn run(&mut self, input: Input<'_>, lengths: &[usize], output: &mut [f32]) {
        self.program.check(input, lengths, output.len());
        let isa = self.program.isa;
        for group in &self.program.groups {
            let stages = &self.program.stages[group.stages.clone()];
            match group.strip {
                Some(rows) => self.memory.run_strips(isa, stages, rows),
                None => {
                    for stage in stages {
                        self.memory.run(isa, stage, input, lengths);
                    }
                }
            }
        }
        let Some(last) = self.program.stages.last() else {
            return;
        };
        let values = &self.memory.slots[last.to];
        match last.rows {
            Rows::Picture { .. } => last.canvas(isa).to_rows(values, output),
            rows => to_rows(Tensor::of(isa, rows, last.columns, lengths), values, output),
        }
    }
}

impl Memory {
    /// Runs a stage on all of its rows.
    fn run(&mut self, isa: Isa, stage: &Stage, input: Input<'_>, lengths: &[usize]) {
        // Taken out, so that the stage can read the others while it writes this one.
        let mut to = std::mem::take(&mut self.slots[stage.to]);
        let mut also = stage.also.map(|slot| std::mem::take(&mut self.slots[slot]));
        let outputs = (&mut *to, also.as_deref_mut());
        stage.run(isa, self, input, lengths, outputs);
        self.slots[stage.to] = to;
        if let (Some(slot), Some(also)) = (stage.also, also) {
            self.slots[slot] = also;
        }
    }

    /// Runs stages on pictures in turns: each time the last makes `strip` rows, and those before it what that needs.
    fn run_strips(&mut self, isa: Isa, stages: &[Stage], strip: usize) {
        let Some(last) = stages.last() else { return };
        let height = last.canvas(isa).height;
        for stage in stages {
            stage.canvas(isa).clear_edge(&mut self.slots[stage.to]);
        }
        let mut done = [0; GROUP_MAX];
        for first in (0..height).step_by(strip) {
            let mut ends = [0; GROUP_MAX];
            let mut end = height.min(first + strip);
            for (stage, at) in stages.iter().zip(&mut ends).rev() {
                *at = end;
                end = stage.rows_needed(end);
            }
            for (index, (stage, end)) in stages.iter().zip(ends).enumerate() {
                let rows = done[index]..end;
                // Only now, because what stood there was still needed.
                if let Some((x, window)) = stage.window().filter(|_| index > 0) {
                    let canvas = Canvas::of(isa, x);
                    canvas.clear_below(rows.clone(), window, &mut self.slots[x.slot]);
                }
                let mut to = std::mem::take(&mut self.slots[stage.to]);
                stage.run_rows(isa, &self.slots, &mut to, rows);
                self.slots[stage.to] = to;
                done[index] = end;
            }
        }
    }
}

impl Program {
    /// Everything that could stop a run half-way. See [`Plan::run`].
    fn check(&self, input: Input<'_>, lengths: &[usize], output: usize) {
        let limits = self.limits;
        let rows: usize = lengths.iter().sum();
        assert!(
            rows <= limits.rows && lengths.len() <= limits.sequences,
            "{} sequences of {rows} rows together are more than {limits:?}",
            lengths.len()
        );
        assert!(!lengths.contains(&0), "a sequence has a row");
        for stage in &self.stages {
            let rows_are = |test: &dyn Fn(usize) -> bool| lengths.iter().all(|&len| test(len));
            match (&stage.work, input) {
                (Work::Words { table }, Input::Words(words)) => {
                    assert_eq!(words.len(), rows, "a word for each row");
                    let count = table.len() / stage.columns;
                    let known = |&word: &u32| usize::try_from(word).is_ok_and(|word| word < count);
                    let unknown = words.iter().find(|word| !known(word));
                    assert_eq!(unknown, None, "one of {count} words");
                }
                (Work::Rows, Input::Rows(values)) => {
                    assert_eq!(values.len(), rows * stage.columns, "the input's length");
                }
                (&Work::Patches { side, patch }, Input::Picture(values)) => {
                    let patches = (side / patch).pow(2);
                    assert_eq!(lengths, [patches], "a sequence with a row for each patch");
                    assert_eq!(values.len(), side * side * 3, "the picture's size");
                }
                (Work::Picture, Input::Picture(values)) => {
                    assert_eq!(lengths.len(), 1, "one picture");
                    let pixels = stage.rows.of(0);
                    assert_eq!(values.len(), pixels * 3, "the picture's size");
                }
                (Work::Words { .. } | Work::Rows | Work::Patches { .. } | Work::Picture, _) => {
                    panic!("another kind of input")
                }
                (Work::Positions { x, table }, _) => {
                    let known = table.len() / stage.columns;
                    assert!(
                        rows_are(&|len| x.rows.of(len) <= known),
                        "a sequence has at most {known} rows"
                    );
                }
                (Work::Take { x, row }, _) => {
                    assert!(rows_are(&|len| *row < x.rows.of(len)), "no row {row}");
                }
                _ => {}
            }
        }
        let Some(last) = self.stages.last() else {
            return;
        };
        let rows = Tensor::of(self.isa, last.rows, last.columns, lengths).rows;
        assert_eq!(output, rows * last.columns, "the output's length");
    }
}

impl Clone for Plan {
    fn clone(&self) -> Self {
        Self {
            memory: Memory::new(&self.program),
            program: Arc::clone(&self.program),
        }
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("isa", &self.program.isa)
            .field("limits", &self.program.limits)
            .finish_non_exhaustive()
    }
}

impl Memory {
    fn new(program: &Program) -> Self {
        let keys_max = program.limits.rows + program.more;
        let attention = |heads: &Heads| {
            let (count, len) = (heads.count, heads.len);
            Attention::new(program.isa, heads.precision, count, len, keys_max)
        };
        Self {
            slots: program.slots.iter().map(|&n| Aligned::zeroed(n)).collect(),
            attentions: program.attentions.iter().map(attention).collect(),
        }
    }
}

/// The shape of a value in this run, as the kernels have it.
#[derive(Clone, Copy, Debug)]
struct Tensor {
    lanes: usize,
    rows: usize,
    columns: usize,
}

impl Tensor {
    fn of(isa: Isa, rows: Rows, columns: usize, lengths: &[usize]) -> Self {
        Self {
            lanes: isa.lanes(),
            rows: lengths.iter().map(|&len| rows.of(len)).sum(),
            columns,
        }
    }

    fn blocks(self) -> usize {
        self.columns.div_ceil(self.lanes)
    }

    /// Words from block to block. An odd number of vectors: with a power of two all blocks of a row would fall into the same
    /// set of the nearest cache, and push each other out.
    fn pitch(self) -> usize {
        (self.rows | 1) * self.lanes
    }
}

/// The first row of each sequence, and how many it has.
fn sequences(rows: Rows, lengths: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    lengths.iter().map(move |&len| {
        let part = (first, rows.of(len));
        first += part.1;
        part
    })
}

impl Stage {
    fn run(
        &self,
        isa: Isa,
        memory: &mut Memory,
        input: Input<'_>,
        lengths: &[usize],
        (to, also): (&mut [f32], Option<&mut [f32]>),
    ) {
        let slots = &memory.slots;
        let tensor = Tensor::of(isa, self.rows, self.columns, lengths);
        let shape = |x: &Source| Tensor::of(isa, x.rows, x.columns, lengths);
        let together = |x: &Source| {
            let parts = sequences(x.rows, lengths).zip(sequences(self.rows, lengths));
            parts.map(|((from, len), (to, _))| (from, to, len))
        };
        match (&self.work, input) {
            (Work::Words { table }, Input::Words(words)) => {
                for (row, &word) in words.iter().enumerate() {
                    let word = usize::try_from(word).unwrap_or(usize::MAX);
                    let values = &table[word * self.columns..][..self.columns];
                    from_rows(tensor, row, values, to);
                }
            }
            (Work::Rows, Input::Rows(values)) => from_rows(tensor, 0, values, to),
            (&Work::Patches { side, patch }, Input::Picture(values)) => {
                blocked::from_picture(tensor, (side, patch), values, to);
            }
            (Work::Picture, Input::Picture(values)) => {
                let canvas = self.canvas(isa);
                canvas.clear_edge(to);
                canvas.fill(values, to);
            }
            // Refused by the check.
            (Work::Words { .. } | Work::Rows | Work::Patches { .. } | Work::Picture, _) => {}
            (Work::Dense { .. } | Work::Depthwise { .. } | Work::MaxPool { .. }, _) => {
                let canvas = self.canvas(isa);
                canvas.clear_edge(to);
                self.run_rows(isa, slots, to, 0..canvas.height);
            }
            (Work::Mean { x }, _) if matches!(x.rows, Rows::Picture { .. }) => {
                Canvas::of(isa, x).mean(&slots[x.slot], tensor.pitch(), to);
            }
            (Work::First { x, rows }, _) => {
                let more = rows.len() / self.columns;
                for (from, first, len) in together(x) {
                    from_rows(tensor, first, rows, to);
                    let x = (shape(x), from, &*slots[x.slot]);
                    copy_rows(x, len, (tensor, first + more, to));
                }
            }
            (Work::Positions { x, table }, _) => {
                for (from, first, len) in together(x) {
                    copy_rows((shape(x), from, &slots[x.slot]), len, (tensor, first, to));
                    add_rows(tensor, first, &table[..len * self.columns], to);
                }
            }
            (
                Work::Linear {
                    x,
                    packed,
                    activation,
                    residual,
                },
                _,
            ) => pointwise::run(
                packed,
                packed.panels(),
                *activation,
                Runs::one(tensor.rows),
                pointwise::Input {
                    values: &slots[x.slot],
                    start: 0,
                    step: Step::Block,
                    segment_stride: shape(x).pitch(),
                    run_stride: 0,
                },
                &mut Output {
                    values: to,
                    precision: self.precision,
                    start: 0,
                    pixel_stride: isa.lanes(),
                    block_stride: tensor.pitch(),
                    run_stride: 0,
                    residual: residual.map(|y| &*slots[y.slot]),
                },
            ),
            (Work::Add { x, y }, _) => {
                let pairs = slots[x.slot].iter().zip(&*slots[y.slot]);
                let all = tensor.blocks() * tensor.pitch();
                for (sum, (x, y)) in to[..all].iter_mut().zip(pairs) {
                    *sum = x + y;
                }
            }
            (Work::LayerNorm { x, norm }, _) => {
                let (f32, bf16) = match self.precision {
                    Precision::F32 => (Some(to), also),
                    Precision::Bf16 => (None, Some(to)),
                };
                let output = layer_norm::Output { f32, bf16 };
                layer_norm::run(norm, tensor.rows, tensor.pitch(), &slots[x.slot], output);
            }
            (Work::Attention { qkv, kind }, _) => {
                let attention = &mut memory.attentions[*kind];
                for (first_row, rows) in sequences(self.rows, lengths) {
                    let part = |which: usize| Part {
                        values: &slots[qkv.slot],
                        pitch: shape(qkv).pitch(),
                        first_row,
                        rows,
                        first_column: which * self.columns,
                    };
                    attention.run(part(0), part(1), part(2), to, tensor.pitch());
                }
            }
            (Work::Round { x }, _) => blocked::round(tensor, &slots[x.slot], to),
            (Work::Mean { x }, _) => {
                for (from, sequence, len) in together(x) {
                    blocked::mean(
                        (shape(x), from, &slots[x.slot]),
                        len,
                        (tensor, sequence, to),
                    );
                }
            }
            (Work::Take { x, row }, _) => {
                for (from, sequence, _) in together(x) {
                    copy_rows(
                        (shape(x), from + row, &slots[x.slot]),
                        1,
                        (tensor, sequence, to),
                    );
                }
            }
        }
    }
}
