//! The first convolution: 3x3 at stride 2 on the picture itself, read in place.
//!
//! Thread: any, one at a time. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: no.

use std::ops::Range;

use super::spec::{INPUT_CHANNELS, INPUT_SIZE, STEM_KERNEL};
use super::weights::Convolution;
use crate::inference::kernels::Isa;
use crate::inference::kernels::memory::Aligned;
use crate::inference::kernels::pack::{Packed, Panel, Walk};
use crate::inference::kernels::pointwise::{
    self, Activation, Input, Output, Runs, STEM_STEP, Step,
};

const STRIDE: usize = 2;
/// Floats of a picture row.
const ROW: usize = INPUT_SIZE * INPUT_CHANNELS;
/// Floats of a window's row.
const WINDOW: usize = STEM_KERNEL * INPUT_CHANNELS;
/// Rows and columns of the output.
const OUTPUT_SIZE: usize = INPUT_SIZE.div_ceil(STRIDE);
/// Outputs, in each direction, whose window lies inside the picture. The padding of an even size at stride 2 is one
/// row below and one column to the right.
const INSIDE: usize = (INPUT_SIZE - STEM_KERNEL) / STRIDE + 1;
/// Floats of a picture row with its padding.
const PADDED_ROW: usize = ((OUTPUT_SIZE - 1) * STRIDE + STEM_KERNEL) * INPUT_CHANNELS;

const _: () = assert!(STEM_STEP == STRIDE * INPUT_CHANNELS);
const _: () = assert!(
    INSIDE + 1 == OUTPUT_SIZE,
    "one window reaches over the edge"
);

pub struct Stem {
    weights: Packed,
    /// The rows of windows that reach over the edge, with their padding.
    edge: Aligned,
}

impl Stem {
    pub fn new(isa: Isa, convolution: &Convolution) -> Self {
        // From [output][channel][row][column] to the order of the picture: [output][row][column][channel].
        let window = STEM_KERNEL * STEM_KERNEL;
        let mut weights = Vec::with_capacity(convolution.weights.len());
        for filter in convolution.weights.chunks_exact(window * INPUT_CHANNELS) {
            for tap in 0..window {
                weights.extend((0..INPUT_CHANNELS).map(|channel| filter[channel * window + tap]));
            }
        }
        let walk = Walk::window(STEM_KERNEL, WINDOW);
        Self {
            weights: Packed::new(isa, walk, &weights, &convolution.bias, INSIDE),
            edge: Aligned::zeroed(STEM_KERNEL * PADDED_ROW),
        }
    }

    pub fn panels(&self) -> &[Panel] {
        self.weights.panels()
    }

    /// Computes the output rows `rows` of one panel, to where `output` says: one run is one row.
    pub fn run(
        &mut self,
        panel: usize,
        picture: &[f32],
        rows: Range<usize>,
        output: &mut Output<'_>,
    ) {
        let inside = rows.start..rows.end.min(INSIDE).max(rows.start);
        let panel = &self.weights.panels()[panel..=panel];
        let start = output.start;
        let input = Input {
            values: picture,
            start: inside.start * STRIDE * ROW,
            step: Step::Picture,
            segment_stride: ROW,
            run_stride: STRIDE * ROW,
        };
        let runs = Runs {
            count: inside.len(),
            width: INSIDE,
        };
        pointwise::run(&self.weights, panel, Activation::Relu6, runs, input, output);
        for row in rows.clone() {
            // The last column of a row inside, and all of a row that reaches over the lower edge.
            let first = if inside.contains(&row) { INSIDE } else { 0 };
            let width = OUTPUT_SIZE - first;
            gather(&mut self.edge, picture, row, first);
            output.start =
                start + (row - rows.start) * output.run_stride + first * output.pixel_stride;
            let input = Input {
                values: &self.edge,
                start: 0,
                step: Step::Picture,
                segment_stride: PADDED_ROW,
                run_stride: 0,
            };
            pointwise::run(
                &self.weights,
                panel,
                Activation::Relu6,
                Runs::one(width),
                input,
                output,
            );
        }
    }
}

/// Copies what the windows of output row `row` cover from column `first` on, and the zeros around the picture.
fn gather(edge: &mut [f32], picture: &[f32], row: usize, first: usize) {
    let skip = first * STEM_STEP;
    for (i, to) in edge.chunks_exact_mut(PADDED_ROW).enumerate() {
        let to = &mut to[..PADDED_ROW - skip];
        let (inside, padding) = to.split_at_mut(ROW - skip);
        let from = (row * STRIDE + i) * ROW;
        match picture.get(from..from + ROW) {
            Some(values) => inside.copy_from_slice(&values[skip..]),
            None => inside.fill(0.0),
        }
        padding.fill(0.0);
    }
}
