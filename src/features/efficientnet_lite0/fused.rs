//! The fast path: each block in one go, strip by strip, in memory that stays near the core.
//!
//! Thread: any, one at a time. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: no.
//!
//! A block's hidden tensor is six times as large as its input and never needs to exist as a whole. The output is
//! made in strips of rows. For a strip, one panel of hidden channels after the other is expanded into padded rows,
//! from which the depthwise convolution at once makes its part of the strip; then the projection turns the strip
//! into output rows. Hidden rows that the next strip needs again stay in a ring.

use std::ops::Range;

use super::spec::{self, Block};
use super::stem::Stem;
use super::strips::Strips;
use super::weights::{BlockWeights, Convolution, Weights};
use crate::inference::kernels::Isa;
use crate::inference::kernels::depthwise::{self, Plane};
use crate::inference::kernels::memory::Aligned;
use crate::inference::kernels::pack::{DepthwiseFilters, Packed, Panel, Walk};
use crate::inference::kernels::pointwise::{
    self, Activation, Input, Output, Precision, Runs, Step,
};

/// Bytes of a strip and its hidden rows together, at most. They stay in the second-level cache of the small boards
/// (512 KiB) beside the block's input and the weights that pass by; where it is larger (1 MiB, Zen 4) every limit
/// from 384 to 900 KiB is as fast within 1 %.
const STRIP_BYTES_MAX: usize = 384 << 10;

/// The network packed for one instruction set, with all memory that a forward needs.
pub struct Fused {
    isa: Isa,
    blocks: Vec<FusedBlock>,
    head: Packed,
    /// A block's input and output; they change roles from block to block.
    activations: [Aligned; 2],
    scratch: Scratch,
}

/// Memory that a block needs only while it runs.
struct Scratch {
    /// Padded hidden rows, `[block][slot][pixel][lane]`.
    ring: Aligned,
    /// The depthwise convolution's output for one strip, `[block][pixel][lane]`.
    strip: Aligned,
}

impl Fused {
    pub fn new(isa: Isa, weights: &Weights) -> Self {
        let mut stem = Some(Stem::new(isa, &weights.stem));
        let blocks: Vec<FusedBlock> = spec::blocks()
            .into_iter()
            .zip(&weights.blocks)
            .map(|(spec, weights)| FusedBlock::new(isa, spec, weights, &mut stem))
            .collect();
        let most = |floats: fn(&FusedBlock) -> usize| blocks.iter().map(floats).max().unwrap_or(0);
        let last = blocks.last().map_or(0, |b| b.spec.output_size().pow(2));
        let activation = most(FusedBlock::output_floats);
        Self {
            isa,
            head: pack(isa, &weights.head, last),
            activations: [Aligned::zeroed(activation), Aligned::zeroed(activation)],
            scratch: Scratch {
                ring: Aligned::zeroed(most(FusedBlock::ring_floats)),
                strip: Aligned::zeroed(most(FusedBlock::strip_floats)),
            },
            blocks,
        }
    }

    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// `picture` is `[row][column][red, green, blue]`, normalised; `map` is `[row][column][channel]`.
    ///
    /// # Panics
    /// If a length is not that of the network's input or output.
    pub fn run(&mut self, picture: &[f32], map: &mut [f32]) {
        let [mut input, mut output] = self.activations.each_mut().map(|a| &mut **a);
        for (index, block) in self.blocks.iter_mut().enumerate() {
            let from = if index == 0 { picture } else { &*input };
            block.run(from, &mut self.scratch, output);
            std::mem::swap(&mut input, &mut output);
        }
        let lanes = self.isa.lanes();
        let pixels = map.len() / spec::HEAD_CHANNELS;
        pointwise::run(
            &self.head,
            self.head.panels(),
            Activation::Relu6,
            Runs::one(pixels),
            blocked(input, 0, pixels, lanes),
            &mut Output {
                values: map.into(),
                precision: Precision::F32,
                start: 0,
                pixel_stride: spec::HEAD_CHANNELS,
                block_stride: lanes,
                run_stride: 0,
                residual: None,
            },
        );
    }
}

/// Packs a 1x1 convolution over blocked channels.
fn pack(isa: Isa, convolution: &Convolution, pixels: usize) -> Packed {
    let inputs = convolution.weights.len() / convolution.bias.len();
    let walk = Walk::channels(isa, inputs);
    Packed::new(isa, walk, &convolution.weights, &convolution.bias, pixels)
}

/// A blocked tensor of `pixels` pixels, from pixel `first` on, as the input of a 1x1 convolution in one run.
fn blocked(values: &[f32], first: usize, pixels: usize, lanes: usize) -> Input<'_> {
    Input {
        values,
        start: first * lanes,
        step: Step::Block,
        segment_stride: pixels * lanes,
        run_stride: 0,
    }
}

/// What makes the hidden rows of a block.
enum Front {
    /// The first block has no expansion; its hidden rows are the stem's output.
    Stem(Stem),
    /// A 1x1 convolution on rows of `width` pixels, in a picture of `pixels`.
    Expand {
        weights: Packed,
        width: usize,
        pixels: usize,
    },
}

impl Front {
    fn panels(&self) -> &[Panel] {
        match self {
            Self::Stem(stem) => stem.panels(),
            Self::Expand { weights, .. } => weights.panels(),
        }
    }

    /// Makes the hidden rows `rows` of one panel.
    fn run(&mut self, panel: usize, input: &[f32], rows: Range<usize>, output: &mut Output<'_>) {
        match self {
            Self::Stem(stem) => stem.run(panel, input, rows, output),
            Self::Expand {
                weights,
                width,
                pixels,
            } => {
                let lanes = weights.isa().lanes();
                let runs = Runs {
                    count: rows.len(),
                    width: *width,
                };
                let input = Input {
                    run_stride: *width * lanes,
                    ..blocked(input, rows.start * *width, *pixels, lanes)
                };
                let panel = &weights.panels()[panel..=panel];
                pointwise::run(weights, panel, Activation::Relu6, runs, input, output);
            }
        }
    }
}

struct FusedBlock {
    spec: Block,
    lanes: usize,
    front: Front,
    depthwise: DepthwiseFilters,
    project: Packed,
    strips: Strips,
}

impl FusedBlock {
    /// Takes the stem if it has no expansion of its own.
    fn new(isa: Isa, spec: Block, weights: &BlockWeights, stem: &mut Option<Stem>) -> Self {
        let front = match &weights.expand {
            Some(convolution) => Front::Expand {
                weights: pack(isa, convolution, spec.input_size.pow(2)),
                width: spec.input_size,
                pixels: spec.input_size.pow(2),
            },
            None => Front::Stem(stem.take().expect("only the first block has no expansion")),
        };
        let (before, after) = spec.padding();
        let row_floats = (before + spec.input_size + after) * isa.lanes();
        let depthwise = &weights.depthwise;
        let mut block = Self {
            lanes: isa.lanes(),
            front,
            depthwise: DepthwiseFilters::new(isa, spec.kernel, &depthwise.weights, &depthwise.bias),
            project: pack(isa, &weights.project, spec.output_size().pow(2)),
            strips: Strips::new(&spec, spec.output_size(), row_floats),
            spec,
        };
        for rows in (1..spec.output_size()).rev() {
            if (block.ring_floats() + block.strip_floats()) * size_of::<f32>() <= STRIP_BYTES_MAX {
                break;
            }
            block.strips = Strips::new(&spec, rows, row_floats);
        }
        block
    }

    fn output_floats(&self) -> usize {
        self.spec.output_size().pow(2) * self.project.blocks() * self.lanes
    }

    fn ring_floats(&self) -> usize {
        let planes = if self.strips.keeps_rows {
            self.depthwise.blocks()
        } else {
            let blocks = self.front.panels().iter().map(|p| p.blocks);
            blocks.max().unwrap_or(0)
        };
        planes * self.strips.plane_floats()
    }

    fn strip_floats(&self) -> usize {
        let pixels = self.strips.rows_max() * self.spec.output_size();
        pixels * self.depthwise.blocks() * self.lanes
    }

    fn run(&mut self, input: &[f32], scratch: &mut Scratch, output: &mut [f32]) {
        self.clear_padding(&mut scratch.ring);
        for index in 0..self.strips.strips.len() {
            self.make_strip(index, input, scratch);
            self.project(index, input, &scratch.strip, output);
        }
    }

    /// Writes zeros where the ring stands for the padding; the block before has left its rows there.
    fn clear_padding(&self, ring: &mut [f32]) {
        let (before, after) = self.spec.padding();
        let row_floats = self.strips.row_floats;
        for plane in ring[..self.ring_floats()].chunks_exact_mut(self.strips.plane_floats()) {
            let (rows, zeros) = plane.split_at_mut(self.strips.ring_rows * row_floats);
            zeros.fill(0.0);
            for row in rows.chunks_exact_mut(row_floats) {
                row[..before * self.lanes].fill(0.0);
                row[row_floats - after * self.lanes..].fill(0.0);
            }
        }
    }

    /// Makes the hidden rows that strip `index` is the first to need, and the strip of them, panel by panel.
    fn make_strip(&mut self, index: usize, input: &[f32], scratch: &mut Scratch) {
        let (strips, lanes) = (&self.strips, self.lanes);
        let strip = &strips.strips[index];
        let (plane_floats, row_floats) = (strips.plane_floats(), strips.row_floats);
        let (rows, width) = (strip.output_rows.len(), self.spec.output_size());
        let (before, _) = self.spec.padding();
        for panel_index in 0..self.front.panels().len() {
            let panel = self.front.panels()[panel_index];
            let first = if strips.keeps_rows {
                panel.first_block
            } else {
                0
            };
            let planes = &mut scratch.ring[first * plane_floats..][..panel.blocks * plane_floats];
            for rows in strips.contiguous(strip.new_rows.clone()) {
                let slot = rows.start % strips.ring_rows;
                let mut output = Output {
                    values: planes.into(),
                    precision: Precision::F32,
                    start: slot * row_floats + before * lanes,
                    pixel_stride: lanes,
                    block_stride: plane_floats,
                    run_stride: row_floats,
                    residual: None,
                };
                self.front.run(panel_index, input, rows, &mut output);
            }
            for (values, block) in planes.chunks_exact(plane_floats).zip(panel.range()) {
                let plane = Plane {
                    values,
                    rows: &strip.row_starts,
                    row_floats,
                    stride: self.spec.stride,
                };
                let floats = rows * width * lanes;
                let to = &mut scratch.strip[block * floats..][..floats];
                depthwise::run(&self.depthwise, block, plane, rows, width, to);
            }
        }
    }

    /// Turns strip `index` into output rows.
    fn project(&self, index: usize, input: &[f32], strip: &[f32], output: &mut [f32]) {
        let size = self.spec.output_size();
        let rows = &self.strips.strips[index].output_rows;
        let pixels = rows.len() * size;
        pointwise::run(
            &self.project,
            self.project.panels(),
            Activation::None,
            Runs::one(pixels),
            blocked(strip, 0, pixels, self.lanes),
            &mut Output {
                values: output.into(),
                precision: Precision::F32,
                start: rows.start * size * self.lanes,
                pixel_stride: self.lanes,
                block_stride: size.pow(2) * self.lanes,
                run_stride: 0,
                residual: self.spec.is_residual().then_some(input),
            },
        );
    }
}
