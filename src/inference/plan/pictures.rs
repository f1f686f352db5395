//! The stages that work on pictures, some rows at a time.
//!
//! Thread: the plan's, and its partners'. Allocates: no. Blocks: no; waits for partners. Locks: no.

use std::ops::Range;

use super::super::kernels::depthwise::{self, Plane};
use super::super::kernels::memory::{Aligned, SharedMut};
use super::super::kernels::pack::DepthwiseFilters;
use super::super::kernels::pointwise::Precision;
use super::super::kernels::quantise;
use super::super::kernels::{Isa, bf16, halves};
use super::super::network::{Rows, Window};
use super::canvas::Canvas;
use super::shares::{self, Hands};
use super::{Source, Stage, Work};

/// Rows and columns of the largest filter of a depthwise convolution.
const DEPTHWISE_MAX: usize = 5;

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
            Work::MaxPool { x, window } => strip(x).max_pool(hands, *window),
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
            let mut taps = [0; DEPTHWISE_MAX];
            for row in rows {
                for block in 0..filters.blocks() {
                    for (tap, at) in taps[..size].iter_mut().enumerate() {
                        let start = input.window_start(row, window, tap);
                        *at = start + block * input.block_stride();
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

    fn max_pool(self, hands: &mut Hands<'_>, window: Window) {
        let (input, values) = self.input;
        let (output, to) = self.output;
        // A comparison is about a multiply-add.
        let comparisons = self.rows.len() * output.width * output.channels * window.size.pow(2);
        shares::rows(hands, self.rows, comparisons, &to, |rows, to| {
            for row in rows {
                for block in 0..output.blocks() {
                    // SAFETY: a line of one of this part's rows, and one after the other.
                    let pixels = unsafe { to.another() }.part(output.line(row, block));
                    pool_line((input, values), window, (row, block), pixels);
                }
            }
        });
    }
}

/// The largest values of the windows of one row of pixels in one block.
fn pool_line(
    (input, values): (Canvas, &[f32]),
    window: Window,
    (row, block): (usize, usize),
    pixels: &mut [f32],
) {
    let lanes = input.lanes;
    // Windows are cut at the picture's edge, whose zeros are no values.
    let inside = |first: usize, pixels: usize| {
        let first = first * window.stride;
        let end = (first + window.size).saturating_sub(window.before);
        first.saturating_sub(window.before)..end.min(pixels)
    };
    // A NaN stays one.
    let larger = |most: f32, v: f32| if v > most || v.is_nan() { v } else { most };
    for (x, largest) in pixels.chunks_exact_mut(lanes).enumerate() {
        largest.fill(match input.per_lane {
            1 => f32::NEG_INFINITY,
            _ => bf16::word([f32::NEG_INFINITY; 2]),
        });
        for y in inside(row, input.height) {
            let columns = inside(x, input.width);
            let line = &values[input.line(y, block)];
            let line = &line[columns.start * lanes..columns.end * lanes];
            for vector in line.chunks_exact(lanes) {
                for (most, &v) in largest.iter_mut().zip(vector) {
                    *most = match input.per_lane {
                        1 => larger(*most, v),
                        _ => {
                            let ([a, b], [c, d]) = (bf16::numbers(*most), bf16::numbers(v));
                            bf16::word([larger(a, c), larger(b, d)])
                        }
                    };
                }
            }
        }
    }
}
