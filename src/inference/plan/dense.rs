//! Dense convolutions whose windows are read in place, as products.
//!
//! Thread: the plan's, and its partners'. Allocates: in `new`. Blocks: no; waits for partners. Locks: no.

use std::sync::Arc;

use super::super::kernels::Isa;
use super::super::kernels::pack::{Packed, Scale, Walk};
use super::super::kernels::pointwise::{
    Activation, Input, Output, Precision, Runs, STEM_STEP, Scales, Step,
};
use super::super::network::{Convolution, Weights, Window};
use super::canvas::Canvas;
use super::pictures::Strip;
use super::shares::{self, Hands};

/// A dense convolution, packed.
pub struct Dense {
    weights: Packed,
    window: Window,
    step: Step,
}

impl Dense {
    /// For pictures laid out as `input`, whose numbers' precision is that of the weights.
    ///
    /// # Panics
    /// If no kernel has the stride.
    pub fn new(
        isa: Isa,
        input: Canvas,
        layer: &Convolution,
        scale: Option<Scale>,
        width: usize,
    ) -> Self {
        let window = layer.window;
        let step = match (input.is_interleaved, window.stride) {
            (true, stride) if stride * input.channels == STEM_STEP => Step::Picture,
            (false, 1) => Step::Block,
            (false, 2) => Step::Second,
            (_, stride) => panic!(
                "no kernel for a stride of {stride} on {} channels",
                input.channels
            ),
        };
        let (walk, weights) = match window.size {
            // As linear layers: what fills up a pixel's last block is not read.
            1 => (
                Walk::columns(isa, input.precision(), input.channels),
                Arc::clone(&layer.weights),
            ),
            _ => along(input, layer),
        };
        let weights = match input.precision() {
            Precision::F32 => Packed::new(isa, walk, &weights, &layer.bias, width),
            Precision::Bf16 => Packed::of_pairs(isa, walk, &weights, &layer.bias, width),
            Precision::F16 => Packed::of_halves(isa, walk, &weights, &layer.bias, width),
            Precision::Int8 => {
                let scale = scale.unwrap_or(Scale::OfRow);
                Packed::of_bytes(isa, walk, &weights, &layer.bias, scale, width)
            }
        };
        Self {
            weights,
            window,
            step,
        }
    }

    pub fn window(&self) -> Window {
        self.window
    }

    pub fn run(
        &self,
        hands: &mut Hands<'_>,
        strip: Strip<'_>,
        activation: Activation,
        residual: Option<&[f32]>,
    ) {
        let Strip {
            input: (input, values),
            output: (output, to),
            rows,
        } = strip;
        let mut first = rows.start;
        while first < rows.end {
            // Up to where the output goes on in the place of earlier rows. (An input with such places is read by windows of
            // one row, and ends with the strip.)
            let left = output.room - (first + output.edge) % output.room;
            let count = left.min(rows.end - first);
            shares::product(
                hands,
                &self.weights,
                activation,
                Runs {
                    count,
                    width: output.width,
                },
                Input {
                    values,
                    start: input.window_start(first, self.window, 0),
                    step: self.step,
                    segment_stride: input.block_stride(),
                    run_stride: self.window.stride * input.row_stride(),
                    scales: self.weights.is_by_row().then(|| Scales {
                        values,
                        start: input.scales() + first * input.width,
                        run_stride: input.width,
                    }),
                },
                &Output {
                    // SAFETY: one after the other.
                    values: unsafe { to.another() },
                    precision: output.precision(),
                    start: output.start(first),
                    pixel_stride: output.lanes,
                    block_stride: output.block_stride(),
                    run_stride: output.row_stride(),
                    residual,
                },
            );
            output.fill_up(first..first + count, &to);
            first += count;
        }
    }
}

/// A window's walk, and weights from `[output][channel][row][column]` to `[output][row][block][column][lane][channel of the
/// lane]`, filled up with zeros.
fn along(input: Canvas, layer: &Convolution) -> (Walk, Weights) {
    let Window { size, .. } = layer.window;
    // Where a window begins within a word, the number before it counts for nothing.
    let (_, lead) = input.column(input.skip(layer.window));
    let words = (lead + size * input.numbers()).div_ceil(input.per_lane);
    let walk = Walk::window(size * input.blocks(), words);
    let (outputs, plane) = (layer.bias.len(), size * size);
    let (length, total) = (words * input.per_lane, walk.total() * input.per_lane);
    let mut weights = vec![0.0; outputs * total];
    let filters = layer.weights.chunks_exact(input.channels * plane);
    for (filter, to) in filters.zip(weights.chunks_exact_mut(total)) {
        for (channel, filter) in filter.chunks_exact(plane).enumerate() {
            let (block, place) = (channel / input.numbers(), channel % input.numbers());
            for (tap, &w) in filter.iter().enumerate() {
                let (y, x) = (tap / size, tap % size);
                let segment = y * input.blocks() + block;
                to[segment * length + lead + x * input.numbers() + place] = w;
            }
        }
    }
    (walk, weights.into())
}
