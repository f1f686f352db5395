//! The stages that work on pictures, some rows at a time.
//!
//! Thread: the plan's, and its partners'. Allocates: no. Blocks: no; waits for partners. Locks: no.

use std::ops::Range;

use super::super::kernels::depthwise::{self, Plane};
use super::super::kernels::memory::{Aligned, SharedMut};
use super::super::kernels::pack::DepthwiseFilters;
use super::super::kernels::pointwise::Precision;
use super::super::kernels::pool::{self, Columns, Lines};
use super::super::kernels::quantise;
use super::super::kernels::{Isa, halves};
use super::super::network::{Rows, Window};
use super::canvas::Canvas;
use super::shares::{self, Hands};
use super::{Source, Stage, Work};

/// Rows and columns of the largest filter of a depthwise convolution.
const DEPTHWISE_MAX: usize = 5;
/// Rows of a window of which the largest values are taken, at most.
// BOUND: the networks' have 3.
pub const WINDOW_MAX: usize = 16;

/// What a strip of a stage reads and writes.
pub struct Strip<'a> {
    pub input: (Canvas, &'a [f32]),
    pub output: (Canvas, SharedMut<'a>),
    pub rows: Range<usize>,
}

impl Stage {
    /// What it reads, through which window.
    pub fn window(&self) -> Option<(&Source, Window)> {
        match &self.work {
            Work::Dense { x, dense, .. } => Some((x, dense.window())),
            Work::Depthwise { x, window, .. } => Some((x, *window)),
            Work::Winograd { x, winograd, .. } => Some((x, winograd.window())),
            _ => None,
        }
    }

    /// What it reads, if that is a picture.
    pub fn source(&self) -> Option<&Source> {
        match &self.work {
            Work::MaxPool { x, .. } | Work::Round { x } => Some(x),
            _ => self.window().map(|(x, _)| x),
        }
    }

    /// The first row of its input that its output rows from `first` on need.
    pub fn first_needed(&self, first: usize) -> usize {
        let window = self.window();
        window.map_or(first, |(_, w)| (first * w.stride).saturating_sub(w.before))
    }

    /// The rows of its input, from 0 on, that its output rows up to `end` need.
    pub fn rows_needed(&self, end: usize) -> usize {
        let Some((x, window)) = self.window() else {
            return end;
        };
        let Rows::Picture { height, .. } = x.rows else {
            return end;
        };
        let reach = (end.max(1) - 1) * window.stride + window.size;
        reach.saturating_sub(window.before).min(height)
    }

    /// Computes some rows of a picture, but not its edge, from what it reads and the slots of what it adds.
    pub fn run_rows(
        &self,
        isa: Isa,
        hands: &mut Hands<'_>,
        (x, slots): (&[f32], &[Aligned]),
        to: SharedMut<'_>,
        rows: Range<usize>,
    ) {
        let canvas = self.canvas(isa);
        let values = x;
        let strip = |x: &Source| Strip {
            input: (Canvas::of(isa, x), values),
            output: (canvas, to),
            rows,
        };
        match &self.work {
            Work::Dense {
                x,
                dense,
                activation,
                residual,
            } => {
                let residual = residual.map(|y| &*slots[y.slot]);
                dense.run(hands, strip(x), *activation, residual);
            }
            Work::Depthwise { x, filters, window } => strip(x).depthwise(hands, filters, *window),
            Work::MaxPool { x, window } => strip(x).max_pool(hands, isa, *window),
            Work::Round { x } if self.precision == Precision::F16 => strip(x).halve(hands),
            Work::Round { x } => strip(x).quantise(hands, isa),
            _ => {}
        }
    }

    pub fn canvas(&self, isa: Isa) -> Canvas {
        let is_interleaved = matches!(self.work, Work::Picture);
        Canvas::new(isa, self.rows, self.columns, self.edge, is_interleaved)
            .of_precision(self.precision)
            .with_room(self.room)
    }
}

impl Strip<'_> {
    fn depthwise(self, hands: &mut Hands<'_>, filters: &DepthwiseFilters, window: Window) {
        let (input, values) = self.input;
        let (output, to) = self.output;
        let size = filters.size();
        let multiply_adds = self.rows.len() * output.width * output.channels * size * size;
        shares::rows(hands, self.rows, multiply_adds, &to, |rows, to| {
            let (mut first, mut taps) = ([0; DEPTHWISE_MAX], [0; DEPTHWISE_MAX]);
            for row in rows {
                for (tap, at) in first[..size].iter_mut().enumerate() {
                    *at = input.window_start(row, window, tap);
                }
                for block in 0..filters.blocks() {
                    for (at, first) in taps[..size].iter_mut().zip(&first) {
                        *at = first + block * input.block_stride();
                    }
                    let plane = Plane {
                        values,
                        rows: &taps[..size],
                        row_floats: ((output.width - 1) * window.stride + size) * input.lanes,
                        stride: window.stride,
                    };
                    let to_bytes = output.precision() == Precision::Int8;
                    let line = match to_bytes {
                        true => output.line(row, block / output.per_lane),
                        false => output.line(row, block),
                    };
                    // SAFETY: a line of one of this part's rows, and one after the other.
                    let to = unsafe { to.another() }.part(line);
                    match to_bytes {
                        true => depthwise::run_to_bytes(filters, block, plane, output.width, to),
                        false => depthwise::run(filters, block, plane, 1, output.width, to),
                    }
                }
            }
        });
    }

    /// Rounds to bytes, each pixel with a factor of its own.
    fn quantise(self, hands: &mut Hands<'_>, isa: Isa) {
        let (input, values) = self.input;
        let (output, to) = self.output;
        let width = input.width;
        let work = 2 * self.rows.len() * width * input.channels;
        shares::rows(hands, self.rows, work, &to, |rows, to| {
            for row in rows {
                let scales = output.scales() + row * width;
                let from = quantise::Rows {
                    rows: width,
                    blocks: input.blocks(),
                    pitch: input.block_stride(),
                    values: &values[input.start(row)..],
                };
                // SAFETY: of these two, one has the row's words and the other its factors, which stand behind all words.
                let (words, factors) = unsafe { (to.another(), to.another()) };
                let to = quantise::Bytes {
                    words: words.skip(output.start(row)),
                    pitch: output.block_stride(),
                    scales: factors.part(scales..scales + width),
                };
                quantise::run(isa, from, to);
            }
        });
    }

    /// Rounds to f16.
    fn halve(self, hands: &mut Hands<'_>) {
        let (input, values) = self.input;
        let (output, to) = self.output;
        let (lanes, width) = (input.lanes, input.width);
        let work = self.rows.len() * width * input.channels;
        shares::rows(hands, self.rows, work, &to, |rows, to| {
            for row in rows {
                for block in 0..input.blocks() {
                    let from = input.start(row) + block * input.block_stride();
                    let at = output.start(row) + block / 2 * output.block_stride();
                    // SAFETY: this part's rows, and one block after the other.
                    let words = unsafe { to.another() }.part(at..at + width * lanes);
                    let pixels = values[from..][..width * lanes].chunks_exact(lanes);
                    // Two blocks of f32 become one of words.
                    for (pixel, words) in pixels.zip(words.chunks_exact_mut(lanes)) {
                        let half = &mut words[block % 2 * (lanes / 2)..][..lanes / 2];
                        halves::round_all(pixel, half);
                    }
                }
            }
        });
    }

    fn max_pool(self, hands: &mut Hands<'_>, isa: Isa, window: Window) {
        let (input, values) = self.input;
        let (output, to) = self.output;
        // A comparison is about a multiply-add.
        let comparisons = self.rows.len() * output.width * output.channels * window.size.pow(2);
        let columns = Columns {
            size: window.size,
            stride: window.stride,
            before: window.before,
        };
        shares::rows(hands, self.rows, comparisons, &to, |rows, to| {
            for row in rows {
                // Windows are cut at the picture's edge, whose zeros are no values.
                let first = (row * window.stride).saturating_sub(window.before);
                let end = row * window.stride + window.size - window.before;
                let met = first..end.min(input.height);
                let mut lines = [0; WINDOW_MAX];
                let lines = &mut lines[..met.len()];
                for block in 0..output.blocks() {
                    for (line, row) in lines.iter_mut().zip(met.clone()) {
                        *line = input.line(row, block).start;
                    }
                    let lines = Lines {
                        values,
                        precision: input.precision(),
                        rows: lines,
                        width: input.width,
                    };
                    // SAFETY: a line of one of this part's rows, and one after the other.
                    let pixels = unsafe { to.another() }.part(output.line(row, block));
                    pool::run(isa, lines, columns, pixels);
                }
            }
        });
    }
}
