//! Pictures in the kernels' layout, and the stages that work on them, some rows at a time.
//!
//! A picture stands as `[row][block][pixel][lane]` with an edge of zeros around it. So the window of a pixel is a walk in equal
//! steps, over the blocks of its first row, then those of the second: dense convolutions of every size are products
//! that read it in place. And the rows of all channels are neighbours, which is what lets stages take turns strip by strip.

use std::ops::Range;

use super::super::kernels::Isa;
use super::super::kernels::depthwise::{self, Plane};
use super::super::kernels::memory::{Aligned, SharedMut};
use super::super::kernels::pack::{DepthwiseFilters, Packed, Scale, Walk};
use super::super::kernels::pointwise::{
    Activation, Input, Output, Precision, Runs, STEM_STEP, Scales, Step,
};
use super::super::kernels::quantise;
use super::super::kernels::winograd::{self, Picture};
use super::super::network::{Convolution, Rows, Window};
use super::blocked::from_rows;
use super::shares::{self, Hands};
use super::{Source, Stage, Tensor, Work};

/// Rows and columns of the largest filter of a depthwise convolution.
const DEPTHWISE_MAX: usize = 5;

/// A picture with its edge.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    pub height: usize,
    pub width: usize,
    /// Rows and columns of zeros on each side.
    edge: usize,
    channels: usize,
    lanes: usize,
    /// Channels of a lane.
    per_lane: usize,
    /// Red, green and blue of a pixel are neighbours: there are no blocks.
    is_interleaved: bool,
    /// Rows that there is room for, those of the edge among them. Where it is less than all, a row takes the place of the
    /// one that came so many before it.
    room: usize,
}

impl Canvas {
    /// One with room for all of its rows.
    pub fn new(isa: Isa, rows: Rows, channels: usize, edge: usize, is_interleaved: bool) -> Self {
        let Rows::Picture { height, width } = rows else {
            unreachable!("the description checks which values are pictures")
        };
        Self {
            height,
            width,
            edge,
            channels,
            lanes: isa.lanes(),
            per_lane: 1,
            is_interleaved,
            room: height + 2 * edge,
        }
    }

    pub fn of_precision(self, precision: Precision) -> Self {
        Self {
            per_lane: precision.columns_per_word(),
            ..self
        }
    }

    pub fn with_room(self, rows: usize) -> Self {
        Self {
            room: self.room.min(rows),
            ..self
        }
    }

    pub fn of(isa: Isa, x: &Source) -> Self {
        Self::new(isa, x.rows, x.columns, x.edge, x.is_interleaved)
            .of_precision(x.precision)
            .with_room(x.room)
    }

    pub fn blocks(self) -> usize {
        match self.is_interleaved {
            true => 1,
            false => self.channels.div_ceil(self.per_lane * self.lanes),
        }
    }

    /// Floats of a pixel in one block.
    fn pixel(self) -> usize {
        match self.is_interleaved {
            true => self.channels,
            false => self.lanes,
        }
    }

    /// From block to block.
    fn block_stride(self) -> usize {
        (self.width + 2 * self.edge) * self.pixel()
    }

    fn row_stride(self) -> usize {
        self.blocks() * self.block_stride()
    }

    pub fn floats(self) -> usize {
        self.room * self.row_stride()
    }

    /// Of bytes: where the factors of its pixels stand, row by row, behind them all.
    fn scales(self) -> usize {
        self.floats()
    }

    /// Where a row begins: its first pixel in the first block.
    fn start(self, row: usize) -> usize {
        self.place(row + self.edge) + self.edge * self.pixel()
    }

    /// Where a row begins, its edge included; rows count from the first of the edge.
    fn place(self, row: usize) -> usize {
        row % self.room * self.row_stride()
    }

    /// Where row `tap` of the first window of an output row begins.
    fn window_start(self, row: usize, window: Window, tap: usize) -> usize {
        let skip = self.edge - window.before;
        self.place(row * window.stride + skip + tap) + skip * self.pixel()
    }

    /// How many rows that windows at output row `end - 1` and before reach over, those of the edge above among them.
    fn reach(self, end: usize, window: Window) -> usize {
        let skip = self.edge - window.before;
        (end.max(1) - 1) * window.stride + skip + window.size
    }

    /// What windows read from output row `row` on.
    pub fn windows_from(self, values: &[f32], row: usize, window: Window) -> Picture<'_> {
        let skip = self.edge - window.before;
        Picture {
            values,
            start: self.window_start(row, window, 0),
            height: self.height + 2 * self.edge - skip - row * window.stride,
            width: self.width + 2 * self.edge - skip,
            row_stride: self.row_stride(),
            block_stride: self.block_stride(),
        }
    }

    /// Some rows to write, and what is added to them.
    pub fn rows_from<'a>(
        self,
        values: SharedMut<'a>,
        rows: Range<usize>,
        residual: Option<&'a [f32]>,
    ) -> winograd::Canvas<'a> {
        winograd::Canvas {
            values,
            start: self.start(rows.start),
            height: rows.len(),
            width: self.width,
            row_stride: self.row_stride(),
            block_stride: self.block_stride(),
            residual,
        }
    }

    /// Writes the zeros left, right and above, and if there is room for all rows, below.
    pub fn clear_edge(self, values: &mut [f32]) {
        if self.edge == 0 {
            return;
        }
        let side = self.edge * self.pixel();
        for line in values[..self.floats()].chunks_exact_mut(self.block_stride()) {
            line[..side].fill(0.0);
            let end = line.len() - side;
            line[end..].fill(0.0);
        }
        self.clear_rows(0..self.edge, values);
        if self.room == self.height + 2 * self.edge {
            self.clear_rows(self.room - self.edge..self.room, values);
        }
    }

    /// Writes zeros to whole rows, which count from the first of the edge.
    fn clear_rows(self, rows: Range<usize>, values: &mut [f32]) {
        for row in rows {
            values[self.place(row)..][..self.row_stride()].fill(0.0);
        }
    }

    /// Writes the zeros below that windows reach at output rows `rows`, and did not at those before, if there were any.
    pub fn clear_below(
        self,
        rows: Range<usize>,
        window: Window,
        is_first: bool,
        values: &mut [f32],
    ) {
        let below = self.edge + self.height;
        let before = match is_first {
            true => 0,
            false => self.reach(rows.start, window),
        };
        self.clear_rows(before.max(below)..self.reach(rows.end, window), values);
    }

    /// Writes an interleaved picture.
    pub fn fill(self, pixels: &[f32], values: &mut [f32]) {
        let len = self.width * self.channels;
        for (row, pixels) in pixels.chunks_exact(len).enumerate() {
            values[self.start(row)..][..len].copy_from_slice(pixels);
        }
    }

    /// The pixels of a row in one block.
    pub fn line(self, row: usize, block: usize) -> Range<usize> {
        let start = self.start(row) + block * self.block_stride();
        start..start + self.width * self.pixel()
    }

    /// Writes `[row][column][channel]`.
    pub fn to_rows(self, values: &[f32], pixels: &mut [f32]) {
        let rows = pixels.chunks_exact_mut(self.width * self.channels);
        for (row, pixels) in rows.enumerate() {
            for block in 0..self.blocks() {
                let line = &values[self.line(row, block)];
                let first = block * self.lanes;
                let count = self.lanes.min(self.channels - first);
                let pixels = pixels.chunks_exact_mut(self.channels);
                for (pixel, vector) in pixels.zip(line.chunks_exact(self.lanes)) {
                    pixel[first..first + count].copy_from_slice(&vector[..count]);
                }
            }
        }
    }

    /// Writes the pixels, row by row, as the rows of a tensor.
    pub fn to_tensor(self, values: &[f32], tensor: Tensor, to: &mut [f32]) {
        for row in 0..self.height {
            let first = row * self.width;
            if self.is_interleaved {
                from_rows(tensor, first, &values[self.line(row, 0)], to);
                continue;
            }
            for block in 0..self.blocks() {
                let line = &values[self.line(row, block)];
                to[block * tensor.pitch() + first * self.lanes..][..line.len()]
                    .copy_from_slice(line);
            }
        }
    }

    /// The mean of each channel over all pixels, as vectors `pitch` floats apart.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a picture has less than 2^24 pixels"
    )]
    pub fn mean(self, values: &[f32], pitch: usize, means: &mut [f32]) {
        let pixels = (self.height * self.width) as f32;
        for block in 0..self.blocks() {
            let mean = &mut means[block * pitch..][..self.lanes];
            mean.fill(0.0);
            for row in 0..self.height {
                for vector in values[self.line(row, block)].chunks_exact(self.lanes) {
                    for (sum, v) in mean.iter_mut().zip(vector) {
                        *sum += v;
                    }
                }
            }
            for sum in mean {
                *sum /= pixels;
            }
        }
    }
}

/// A dense convolution, packed.
pub struct Dense {
    weights: Packed,
    window: Window,
    step: Step,
}

impl Dense {
    /// # Panics
    /// If no kernel has the stride.
    pub fn new(isa: Isa, input: Canvas, layer: &Convolution, width: usize) -> Self {
        let Window { size, stride, .. } = layer.window;
        let step = match (input.is_interleaved, stride) {
            (true, _) if stride * input.channels == STEM_STEP => Step::Picture,
            (false, 1) => Step::Block,
            (false, 2) => Step::Second,
            _ => panic!(
                "no kernel for a stride of {stride} on {} channels",
                input.channels
            ),
        };
        let length = size * input.pixel();
        let walk = Walk::window(size * input.blocks(), length);
        // From [output][channel][row][column] to [output][row][block][column][lane], filled up with zeros.
        let (outputs, plane) = (layer.bias.len(), size * size);
        let mut weights = vec![0.0; outputs * walk.total()];
        for (output, filter) in layer
            .weights
            .chunks_exact(input.channels * plane)
            .enumerate()
        {
            let to = &mut weights[output * walk.total()..][..walk.total()];
            for (channel, filter) in filter.chunks_exact(plane).enumerate() {
                let (block, lane) = (channel / input.pixel(), channel % input.pixel());
                for (tap, &w) in filter.iter().enumerate() {
                    let (y, x) = (tap / size, tap % size);
                    let segment = y * input.blocks() + block;
                    to[segment * length + x * input.pixel() + lane] = w;
                }
            }
        }
        Self {
            weights: Packed::new(isa, walk, &weights, &layer.bias, width),
            window: layer.window,
            step,
        }
    }
}

impl Dense {
    /// One with windows of one pixel, on bytes.
    pub fn of_bytes(isa: Isa, layer: &Convolution, scale: Scale, width: usize) -> Self {
        Self {
            weights: Packed::of_bytes(isa, &layer.weights, &layer.bias, scale, width),
            window: layer.window,
            step: Step::Block,
        }
    }
}

/// What a strip of a stage reads and writes.
struct Strip<'a> {
    input: (Canvas, &'a [f32]),
    output: (Canvas, SharedMut<'a>),
    rows: Range<usize>,
}

impl Stage {
    /// What it reads, through which window.
    pub fn window(&self) -> Option<(&Source, Window)> {
        match &self.work {
            Work::Dense { x, dense, .. } => Some((x, dense.window)),
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

impl Dense {
    pub fn window(&self) -> Window {
        self.window
    }

    fn run(
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
                    precision: Precision::F32,
                    start: output.start(first),
                    pixel_stride: output.lanes,
                    block_stride: output.block_stride(),
                    run_stride: output.row_stride(),
                    residual,
                },
            );
            first += count;
        }
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
                    let line = output.line(row, block / output.per_lane);
                    // SAFETY: a line of one of this part's rows, and one after the other.
                    let to = unsafe { to.another() }.part(line);
                    match output.per_lane {
                        1 => depthwise::run(filters, block, plane, 1, output.width, to),
                        _ => depthwise::run_to_bytes(filters, block, plane, output.width, to),
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
    for (x, largest) in pixels.chunks_exact_mut(lanes).enumerate() {
        largest.fill(f32::NEG_INFINITY);
        for y in inside(row, input.height) {
            let columns = inside(x, input.width);
            let line = &values[input.line(y, block)];
            let line = &line[columns.start * lanes..columns.end * lanes];
            for vector in line.chunks_exact(lanes) {
                for (most, &v) in largest.iter_mut().zip(vector) {
                    // A NaN stays one.
                    *most = if v > *most || v.is_nan() { v } else { *most };
                }
            }
        }
    }
}
