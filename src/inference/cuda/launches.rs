//! Places for values, and a launch for each that is computed.
//!
//! Thread: start-up. Allocates: yes.

use std::ops::Range;

use super::super::network::{Activation, Op, Rows, Value, Window};
use super::camera::blocks;
use super::compile::{Added, COLOURS, Compiler, DEPTH, Draft, Feed, LANES, Product, refused};
use super::program::{Arena, Arguments, Launch, Numbers, Place, Program, Region};
use crate::error::Result;

/// Rows and columns of the tiles of products.
const WIDE: usize = 64;
const DEEP: usize = 32;
/// Threads of a block, of products, attention, rows and windows alike.
const THREADS: usize = 128;
/// Threads of a block that brings the output to the processor.
const PUBLISH_THREADS: usize = 256;
/// Queries of a block of attention.
const QUERIES: usize = 16;
const QUERIES_F32: usize = 4;

/// Where each value is.
struct Layout {
    places: Vec<Place>,
    /// Of those in the arena.
    parts: Vec<Range<usize>>,
}

impl Layout {
    fn place(&self, value: Value) -> Place {
        self.places[value.index()]
    }

    fn part(&self, value: Value) -> Range<usize> {
        self.parts[value.index()].clone()
    }
}

/// A kernel, its blocks, and what it gets.
type Call = (&'static str, [u32; 3], Arguments);

impl Compiler<'_> {
    /// Gives each value a part of the arena that no other needs while it lives.
    pub(super) fn finish(mut self) -> Result<Program> {
        let drafts = std::mem::take(&mut self.drafts);
        let Some(output) = drafts.len().checked_sub(1) else {
            return Err(refused("it has no operation".to_owned()));
        };
        if matches!(self.network.ops[output], Op::Patches { .. }) {
            return Err(refused("its output is the patches of its input".to_owned()));
        }
        let mut last_use = vec![0; drafts.len()];
        for (at, draft) in drafts.iter().enumerate() {
            for value in draft.iter().flat_map(Draft::reads) {
                last_use[value.index()] = at;
            }
        }
        let mut arena = Arena::default();
        let mut layout = Layout {
            places: vec![Place::NOWHERE; drafts.len()],
            parts: vec![0..0; drafts.len()],
        };
        let mut launches = Vec::new();
        for (at, draft) in drafts.iter().enumerate() {
            let Some(draft) = draft else { continue };
            if let Draft::Constant { rows } = draft {
                layout.places[at] = *rows;
                continue;
            }
            let value = Value::of(at);
            let part = arena.take(self.bytes(value));
            layout.places[at] = Place::at(Region::Arena, part.start);
            layout.parts[at] = part;
            let scratch: Vec<Range<usize>> = match (draft, self.feed) {
                (Draft::Feed, Feed::Camera(camera)) => {
                    let scratch = camera.scratch().into_iter();
                    scratch.map(|bytes| arena.take(bytes)).collect()
                }
                _ => Vec::new(),
            };
            launches.extend(self.launches(draft, value, &layout, &scratch)?);
            let over = draft.reads().filter(|read| last_use[read.index()] == at);
            let over = over.map(|read| &layout.parts[read.index()]);
            // Constants have no part.
            for part in scratch.iter().chain(over).filter(|p| !p.is_empty()) {
                arena.give_back(part);
            }
        }
        let output = Value::of(output);
        launches.push(self.publish(output, &layout));
        let rows = self.rows(output);
        Ok(Program {
            words: self.words(),
            launches,
            constants: self.constants.bytes,
            arena: arena.bytes,
            input: self.input,
            conditions: self.conditions,
            output: rows * self.network.shape(output).columns,
        })
    }

    /// Bytes of the input itself.
    pub(super) fn input_bytes(&self) -> usize {
        let first = Value::of(0);
        match (self.feed, self.network.ops.first()) {
            (_, None) => 0,
            (Feed::Camera(camera), _) => camera.frame_bytes(),
            (_, Some(Op::Words { .. })) => 4 * self.len,
            (_, Some(Op::Patches { side, .. })) => 4 * side * side * 3,
            _ => 4 * self.rows(first) * self.network.shape(first).columns,
        }
    }

    /// How many words there are, where the input is words.
    fn words(&self) -> Option<usize> {
        match self.network.ops.first() {
            Some(Op::Words { table }) => Some(table.len() / self.network.shapes[0].columns),
            _ => None,
        }
    }

    /// Values from row to row.
    pub(super) fn pitch(&self, x: Value) -> usize {
        match self.is_pixels(x) {
            true => COLOURS,
            false => self.network.shape(x).columns.next_multiple_of(LANES),
        }
    }

    /// As kernels count them: of patches the pixels.
    pub(super) fn rows(&self, x: Value) -> usize {
        match self.network.ops[x.index()] {
            Op::Patches { side, .. } => side * side,
            _ => self.network.shape(x).rows.of(self.len),
        }
    }

    /// Height and width of what windows walk over: rows that are no picture are one row of pixels.
    fn sides(&self, x: Value) -> (usize, usize) {
        match (&self.network.ops[x.index()], self.network.shape(x).rows) {
            (&Op::Patches { side, .. }, _) => (side, side),
            (_, Rows::Picture { height, width }) => (height, width),
            _ => (1, self.rows(x)),
        }
    }

    fn bytes(&self, x: Value) -> usize {
        self.rows(x) * self.pitch(x) * self.numbers.bytes()
    }

    fn launches(
        &mut self,
        draft: &Draft,
        value: Value,
        layout: &Layout,
        scratch: &[Range<usize>],
    ) -> Result<Vec<Launch>> {
        if let (Draft::Feed, Feed::Camera(camera)) = (draft, self.feed) {
            let sides = (camera.height, camera.width);
            if !self.is_pixels(value) || self.sides(value) != sides {
                return Err(refused("a camera's frame is no input of it".to_owned()));
            }
            let to = layout.part(value);
            return Ok(camera.launches(self.numbers, &mut self.constants, scratch, &to));
        }
        let (kernel, grid, arguments) = self.call(draft, value, layout);
        let reads = draft.reads().map(|read| layout.part(read));
        Ok(vec![Launch {
            kernel,
            grid,
            block: blocks(THREADS, 1),
            arguments,
            reads: reads.filter(|part| !part.is_empty()).collect(),
            writes: Some(layout.part(value)),
        }])
    }

    fn call(&self, draft: &Draft, value: Value, layout: &Layout) -> Call {
        let place = |value: Value| layout.place(value);
        let to = place(value);
        let (rows, pitch) = (self.rows(value), self.pitch(value));
        // A thread has a vector.
        let vectors = [blocks(rows * pitch / LANES, THREADS), 1, 1];
        match draft {
            Draft::Feed => {
                let columns = match self.is_pixels(value) {
                    true => 3,
                    false => self.network.shape(value).columns,
                };
                self.take(0, to, [rows, columns, pitch])
            }
            Draft::Condition { offset } => {
                let columns = self.network.shape(value).columns;
                self.take(*offset, to, [rows, columns, pitch])
            }
            Draft::Words { table } => {
                let input = Place::at(Region::Input, 0);
                let arguments = Arguments::new(&[input, *table, to]).counts(&[rows, pitch]);
                (self.kernel("words_f32", "words_f16"), vectors, arguments)
            }
            Draft::Constant { .. } => unreachable!("it is there before the first launch"),
            Draft::Product(product) => self.product(product, value, layout),
            Draft::Windows {
                x,
                filters,
                bias,
                window,
                activation,
            } => {
                let ((height, width), (to_height, to_width)) = (self.sides(*x), self.sides(value));
                let Window {
                    size,
                    stride,
                    before,
                    ..
                } = *window;
                let counts = [
                    pitch,
                    height,
                    width,
                    to_height,
                    to_width,
                    size,
                    stride,
                    before,
                    number(*activation),
                ];
                let pointers = [place(*x), *filters, *bias, to];
                let kernel = match filters.0 {
                    Some(_) => self.kernel("depthwise_f32", "depthwise_f16"),
                    None => self.kernel("max_pool_f32", "max_pool_f16"),
                };
                (kernel, vectors, Arguments::new(&pointers).counts(&counts))
            }
            Draft::Combine {
                x,
                front,
                factors,
                y,
                skip,
                activation,
            } => {
                let (front, front_rows) = match front {
                    Some(front) => (place(*front), self.rows(*front)),
                    None => (Place::NOWHERE, 0),
                };
                let y = match y {
                    Added::Nothing => Place::NOWHERE,
                    Added::Value(y) => place(*y),
                    Added::Constant(y) => *y,
                };
                let counts = [rows, pitch, front_rows, *skip, number(*activation)];
                let pointers = [place(*x), front, *factors, y, to];
                let arguments = Arguments::new(&pointers).counts(&counts);
                (
                    self.kernel("combine_f32", "combine_f16"),
                    vectors,
                    arguments,
                )
            }
            Draft::Film {
                x,
                gains,
                shifts,
                activation,
            } => {
                let pointers = [place(*x), place(*gains), place(*shifts), to];
                let counts = [rows, pitch, number(*activation)];
                let arguments = Arguments::new(&pointers).counts(&counts);
                (self.kernel("film_f32", "film_f16"), vectors, arguments)
            }
            Draft::LayerNorm {
                x,
                gain,
                shift,
                epsilon,
            } => {
                let counts = [rows, pitch, self.network.shape(value).columns];
                let arguments = Arguments::new(&[place(*x), *gain, *shift, to]).counts(&counts);
                let kernel = self.kernel("layer_norm_f32", "layer_norm_f16");
                let grid = [blocks(rows, THREADS / 32), 1, 1];
                (kernel, grid, arguments.float(*epsilon))
            }
            Draft::Attention { reads, heads } => {
                let parts = reads.all();
                let [queries, keys, values] =
                    parts.map(|part| place(part.of).further(part.first * self.numbers.bytes()));
                let [query_pitch, key_pitch, value_pitch] = parts.map(|part| self.pitch(part.of));
                let keys_count = self.rows(reads.keys.of);
                let counts = [rows, keys_count, query_pitch, key_pitch, value_pitch, pitch];
                let kernel = match self.network.shape(value).columns / heads {
                    32 => self.kernel("attention_32_f32", "attention_32_f16"),
                    _ => self.kernel("attention_64_f32", "attention_64_f16"),
                };
                let each = match self.numbers {
                    Numbers::F32 => QUERIES_F32,
                    Numbers::F16 => QUERIES,
                };
                let grid = [blocks(rows, each), blocks(*heads, 1), 1];
                let arguments = Arguments::new(&[queries, keys, values, to]).counts(&counts);
                (kernel, grid, arguments)
            }
            Draft::Mean { x } => {
                let arguments = Arguments::new(&[place(*x), to]).counts(&[self.rows(*x), pitch]);
                let grid = [blocks(pitch / LANES, 16), 1, 1];
                (self.kernel("mean_f32", "mean_f16"), grid, arguments)
            }
        }
    }

    /// From the processor's memory: rows of so many columns, to so many apart.
    fn take(&self, offset: usize, to: Place, [rows, columns, pitch]: [usize; 3]) -> Call {
        let from = Place::at(Region::Input, offset);
        let arguments = Arguments::new(&[from, to]).counts(&[rows, columns, pitch]);
        let grid = [blocks(rows * pitch, THREADS), 1, 1];
        (self.kernel("take_f32", "take_f16"), grid, arguments)
    }

    fn product(&self, product: &Product, value: Value, layout: &Layout) -> Call {
        let Product {
            x,
            weights,
            bias,
            residual,
            window,
            activation,
        } = product;
        let (height, width) = self.sides(*x);
        let to_width = match self.network.ops[x.index()] {
            Op::Patches { side, patch } => side / patch,
            _ => self.sides(value).1,
        };
        let (rows, columns, x_pitch) = (self.rows(value), self.pitch(value), self.pitch(*x));
        let inner = window.size * window.size * x_pitch;
        let residual = residual.map_or(Place::NOWHERE, |residual| layout.place(residual));
        let pointers = [
            layout.place(*x),
            *weights,
            *bias,
            residual,
            layout.place(value),
        ];
        let counts = [
            rows,
            columns,
            inner,
            inner.next_multiple_of(DEPTH),
            x_pitch,
            height,
            width,
            to_width,
            window.size,
            window.stride,
            window.before,
            number(*activation),
        ];
        let tiles = |side: usize| rows.div_ceil(side) * columns.div_ceil(side);
        // Large tiles read less, if there is one for each multiprocessor.
        let is_wide = tiles(WIDE) >= self.multiprocessors;
        let is_rows = *window == Window::centred(1, 1);
        let (side, kernel) = match (self.numbers, is_wide, is_rows, x_pitch) {
            (Numbers::F32, _, true, LANES..) => (DEEP, "rows_f32"),
            (Numbers::F32, ..) => (DEEP, "window_f32"),
            (_, true, true, LANES..) => (WIDE, "wide_rows_f16"),
            (_, true, false, LANES..) => (WIDE, "wide_window_f16"),
            (_, true, ..) => (WIDE, "wide_colours_f16"),
            (_, false, true, LANES..) => (DEEP, "deep_rows_f16"),
            (_, false, false, LANES..) => (DEEP, "deep_window_f16"),
            (_, false, ..) => (DEEP, "deep_colours_f16"),
        };
        let grid = [blocks(columns, side), blocks(rows, side), 1];
        (kernel, grid, Arguments::new(&pointers).counts(&counts))
    }

    fn publish(&self, output: Value, layout: &Layout) -> Launch {
        let (rows, columns) = (self.rows(output), self.network.shape(output).columns);
        let pointers = [
            layout.place(output),
            Place::at(Region::Output, 0),
            Place::at(Region::Done, 0),
            Place::at(Region::Counters, 0),
        ];
        Launch {
            kernel: self.kernel("publish_f32", "publish_f16"),
            grid: [blocks(rows * columns, PUBLISH_THREADS), 1, 1],
            block: blocks(PUBLISH_THREADS, 1),
            arguments: Arguments::new(&pointers).counts(&[rows, columns, self.pitch(output)]),
            reads: vec![layout.part(output)],
            writes: None,
        }
    }

    fn kernel(&self, f32: &'static str, f16: &'static str) -> &'static str {
        match self.numbers {
            Numbers::F32 => f32,
            Numbers::F16 => f16,
        }
    }
}

impl Draft {
    /// The values that it is made of.
    pub(super) fn reads(&self) -> impl Iterator<Item = Value> {
        let all = match self {
            Self::Feed | Self::Words { .. } | Self::Constant { .. } | Self::Condition { .. } => {
                [None; 3]
            }
            Self::Product(product) => [Some(product.x), product.residual, None],
            Self::Combine { x, front, y, .. } => {
                let y = match y {
                    Added::Value(y) => Some(*y),
                    Added::Nothing | Added::Constant(_) => None,
                };
                [Some(*x), *front, y]
            }
            Self::Film {
                x, gains, shifts, ..
            } => [Some(*x), Some(*gains), Some(*shifts)],
            Self::Attention { reads, .. } => reads.all().map(|part| Some(part.of)),
            Self::Windows { x, .. } | Self::LayerNorm { x, .. } | Self::Mean { x } => {
                [Some(*x), None, None]
            }
        };
        all.into_iter().flatten()
    }
}

/// As `kernels/values.cuh` numbers them.
fn number(activation: Activation) -> usize {
    match activation {
        Activation::None => 0,
        Activation::Relu => 1,
        Activation::Relu6 => 2,
        Activation::Gelu => 3,
        Activation::Silu => 4,
        Activation::GeluTanh => 5,
    }
}
