//! A network compiled for one processor: scales folded into weights, weights packed, activations and sums joined to the
//! products that they follow, memory laid out.
//!
//! Thread: any, one at a time, and partners if it has any. Allocates: when it is made or cloned; [`Plan::run`] does not.
//! Blocks: no; with partners see [`Crew::share`]. Locks: no. Syscalls: no; with partners those of [`Crew::call`].

use std::ops::Range;
use std::sync::Arc;

use super::kernels::Isa;
use super::kernels::attention::Attention;
use super::kernels::layer_norm;
use super::kernels::memory::Aligned;
use super::kernels::pack::{DepthwiseFilters, Packed};
use super::kernels::pointwise::Activation;
pub use super::kernels::precision::Precision;
use super::kernels::winograd::Scratch;
use super::network::{Network, Rows, Weights, Window};

mod blocked;

mod canvas;

mod compile;

mod dense;

mod film;

mod layout;

mod pictures;

mod shares;

mod stages;

mod turns;

mod winograd;

use crate::rt::crew::Crew;
use blocked::to_rows;
use dense::Dense;
use winograd::Winograd;

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

/// What a network is run on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub input: Input<'a>,
    /// Of each [condition](Network::condition) the rows of all sequences, one after the other.
    pub conditions: &'a [&'a [f32]],
}

impl<'a> From<Input<'a>> for Inputs<'a> {
    fn from(input: Input<'a>) -> Self {
        Self {
            input,
            conditions: &[],
        }
    }
}

/// How much comes in one run at most; the memory is laid out for it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows of input, of all sequences together.
    pub rows: usize,
    pub sequences: usize,
}

/// A network that runs. A clone shares the weights, and has memory of its own and no partners.
pub struct Plan {
    program: Arc<Program>,
    memory: Memory,
    /// Who computes it.
    crew: Crew,
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
    /// Floats that stages pass to each other which take turns: of each but the last.
    inner: [usize; GROUP_MAX - 1],
    /// Floats of the memory that Winograd's tiles need.
    scratch: [usize; 2],
    attentions: Vec<Heads>,
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
    /// Keys of a sequence at most.
    keys_max: usize,
}

/// What a run writes to.
struct Memory {
    /// A value lives in a slot from the stage that makes it to the last that reads it; then the slot is another's.
    slots: Vec<Aligned>,
    /// Of each of the crew: what stages that take turns pass to each other.
    inner: Vec<Vec<Aligned>>,
    /// Of the convolution that runs, by Winograd's tiles.
    scratch: Scratch,
    /// Of each kind one for each of the crew.
    attentions: Vec<Vec<Attention>>,
}

/// One walk over memory.
struct Stage {
    work: Work,
    /// The slot that it writes, and what stands there then. None of a stage that takes turns and is not the last.
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
    Winograd {
        x: Source,
        winograd: Winograd,
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
    Condition {
        index: usize,
    },
    Constant {
        rows: Weights,
    },
    Pixels {
        x: Source,
    },
    Join {
        x: Source,
        y: Source,
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
    Film {
        x: Source,
        gains: Source,
        shifts: Source,
        activation: Activation,
    },
    Attention {
        queries: Columns,
        keys: Columns,
        values: Columns,
        /// Which of the program's attentions.
        kind: usize,
    },
    /// From f32 to another precision.
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

/// The columns of a value from one on.
#[derive(Clone, Copy, Debug)]
struct Columns {
    of: Source,
    first: usize,
}

/// A value that a stage reads.
#[derive(Clone, Copy, Debug)]
struct Source {
    slot: usize,
    rows: Rows,
    columns: usize,
    /// Of a picture: zeros around it.
    edge: usize,
    precision: Precision,
    /// It is the network's input, a picture whose channels are neighbours.
    is_interleaved: bool,
    /// Of a picture: rows that there is room for, if less than all.
    room: usize,
}

impl Plan {
    /// With [`Precision::Bf16`] the factors of linear layers, of attention and of dense convolutions are rounded to bf16, and so are
    /// all pictures; sums, norms, the filters of depthwise convolutions, and what is added to rows are f32.
    ///
    /// With [`Precision::Int8`] those of linear layers and of convolutions with windows of one pixel are; all else is f32, but
    /// what a depthwise convolution limits to 0..=6 is stored as bytes.
    ///
    /// # Panics
    /// With int8 unless the set [takes bytes](Isa::takes_bytes); and if the network has an operation that no stage does: see [`Network`]'s methods and the compiler's.
    pub fn new(network: &Network, isa: Isa, precision: Precision, limits: Limits) -> Self {
        let program = Arc::new(Program::new(network, isa, precision, limits));
        Self {
            memory: Memory::new(&program, 1),
            program,
            crew: Crew::alone(),
        }
    }

    /// Shares the work of each run with the crew's partners. The result is the same to the bit, with however many of them
    /// and whether they come or not.
    pub fn share_with(&mut self, crew: Crew) {
        self.memory = Memory::new(&self.program, crew.size());
        self.crew = crew;
    }

    /// Wakes the partners for a run that comes soon: some 50 us later they are there. Without this a run begins alone.
    pub fn call_partners(&mut self) {
        self.crew.call();
    }

    /// Lets partners sleep that were called for a run which does not come.
    pub fn dismiss_partners(&mut self) {
        self.crew.dismiss();
    }

    /// Who computes it, and what the partners have done so far.
    pub fn crew(&self) -> &Crew {
        &self.crew
    }

    pub fn isa(&self) -> Isa {
        self.program.isa
    }

    /// Computes the network's output for sequences of the given lengths, a row after the other.
    ///
    /// # Panics
    /// If the input is more than the plan's limits or of another kind than the network's, a sequence has no row, or `output` is
    /// not as long as the output's rows.
    pub fn run<'a>(
        &mut self,
        inputs: impl Into<Inputs<'a>>,
        lengths: &[usize],
        output: &mut [f32],
    ) {
        self.run_on(inputs.into(), lengths, output);
    }

    fn run_on(&mut self, inputs: Inputs<'_>, lengths: &[usize], output: &mut [f32]) {
        self.program.check(inputs, lengths, output.len());
        let (isa, crew) = (self.program.isa, &mut self.crew);
        crew.call();
        for group in &self.program.groups {
            let stages = &self.program.stages[group.stages.clone()];
            match group.strip {
                Some(rows) => self.memory.run_strips(isa, crew, stages, rows),
                None => {
                    for stage in stages {
                        self.memory.run(isa, crew, stage, inputs, lengths);
                    }
                }
            }
        }
        crew.dismiss();
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

impl Program {
    /// Everything that could stop a run half-way. See [`Plan::run`].
    fn check(&self, inputs: Inputs<'_>, lengths: &[usize], output: usize) {
        let limits = self.limits;
        let rows: usize = lengths.iter().sum();
        assert!(
            rows <= limits.rows && lengths.len() <= limits.sequences,
            "{} sequences of {rows} rows together are more than {limits:?}",
            lengths.len()
        );
        assert!(!lengths.contains(&0), "a sequence has a row");
        let is_condition = |stage: &&Stage| matches!(stage.work, Work::Condition { .. });
        let conditions = self.stages.iter().filter(is_condition).count();
        assert_eq!(inputs.conditions.len(), conditions, "the conditions");
        for stage in &self.stages {
            let rows_are = |test: &dyn Fn(usize) -> bool| lengths.iter().all(|&len| test(len));
            match (&stage.work, inputs.input) {
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
                (Work::Condition { index }, _) => {
                    let values = inputs.conditions[*index].len();
                    let wanted = lengths.len() * stage.columns;
                    assert_eq!(values, wanted, "a row of condition {index} a sequence");
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
            memory: Memory::new(&self.program, 1),
            program: Arc::clone(&self.program),
            crew: Crew::alone(),
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
    fn new(program: &Program, crew: usize) -> Self {
        let attention = |heads: &Heads| {
            let (count, len) = (heads.count, heads.len);
            let new = || Attention::new(program.isa, heads.precision, count, len, heads.keys_max);
            std::iter::repeat_with(new).take(crew).collect()
        };
        let floats = |counts: &[usize]| counts.iter().map(|&n| Aligned::zeroed(n)).collect();
        let inner = || floats(&program.inner);
        Self {
            slots: floats(&program.slots),
            inner: std::iter::repeat_with(inner).take(crew).collect(),
            scratch: Scratch::with_room(program.scratch),
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

    /// Where its rows' factors stand, if it is of bytes: behind them.
    fn scales(self) -> usize {
        let words = self.columns.div_ceil(Precision::Int8.columns_per_word());
        words.div_ceil(self.lanes) * self.pitch()
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
