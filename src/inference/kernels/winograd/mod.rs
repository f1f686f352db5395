//! Dense 3x3 convolutions at stride 1 by Winograd's minimal filtering, four by four outputs at a time: 36 multiplications in
//! place of 144 for each channel of input and output (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
//! CVPR 2016, F(4x4, 3x3)).
//!
//! Thread: any. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: no.
//!
//! A tile of 6 by 6 inputs is *spread* into 36 values; each of these is a place of its own, at which all tiles and all channels
//! make a matrix product with the filters' values there; the 36 sums of a tile are *gathered* into 4 by 4 outputs. All steps are
//! linear, so the result is the convolution's but for rounding, which is some ten times as large as that of the direct sum
//! (1e-6 of the largest value): the constants go up to 8.

use std::ops::Range;

mod transforms;

use super::Isa;
use super::activation::Activation;
use super::last_index;
use super::memory::{Aligned, SharedMut};
use super::pack::{Packed, Walk};
use super::pointwise::{self, Input, Output, Precision, Runs, Step};
pub(super) use transforms::{Gather, Spread, gather_all, spread_all};

/// Rows and columns of outputs of a tile.
pub const TILE: usize = 4;
/// Rows and columns of inputs of a tile.
const REACH: usize = TILE + 2;
/// Values that a tile is spread into.
pub const PLACES: usize = REACH * REACH;

/// What the filters become: `G g G^T`.
const G: [[f64; 3]; REACH] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// The filters of a convolution, spread and packed for one instruction set.
#[derive(Debug)]
pub struct Filters {
    isa: Isa,
    /// One for each place.
    products: Vec<Packed>,
    bias: Aligned,
    inputs: usize,
}

impl Filters {
    /// `weights` is `[output][input][row][column]`, `bias` has one value an output. `tiles` is about how many tiles one call
    /// will compute.
    ///
    /// # Panics
    /// If the lengths do not fit each other.
    pub fn new(isa: Isa, weights: &[f32], bias: &[f32], tiles: usize) -> Self {
        let outputs = bias.len();
        let inputs = weights.len() / (outputs * 9);
        assert!(
            outputs > 0 && inputs > 0 && weights.len() == outputs * inputs * 9,
            "filters of 3 by 3"
        );
        let none = vec![0.0; outputs];
        let products = (0..PLACES).map(|place| {
            let spread: Vec<f32> = weights
                .chunks_exact(9)
                .map(|g| filter_at(g, place))
                .collect();
            let walk = Walk::channels(isa, inputs);
            Packed::new(isa, walk, &spread, &none, tiles)
        });
        let mut padded = Aligned::zeroed(isa.blocks(outputs) * isa.lanes());
        padded[..outputs].copy_from_slice(bias);
        Self {
            isa,
            products: products.collect(),
            bias: padded,
            inputs,
        }
    }

    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Multiply-adds of a tile, but for those of spreading and gathering.
    pub fn multiply_adds(&self) -> usize {
        PLACES * self.inputs * self.bias.len()
    }

    fn input_blocks(&self) -> usize {
        self.isa.blocks(self.inputs)
    }

    fn output_blocks(&self) -> usize {
        self.bias.len() / self.isa.lanes()
    }
}

/// A filter's value at a place, computed in f64 and rounded once.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is what is wanted"
)]
fn filter_at(g: &[f32], place: usize) -> f32 {
    let (down, across) = (G[place / REACH], G[place % REACH]);
    let terms = g.iter().enumerate();
    let sum: f64 = terms
        .map(|(tap, &w)| down[tap / 3] * across[tap % 3] * f64::from(w))
        .sum();
    sum as f32
}

/// Memory for the tiles of one call.
#[derive(Debug, Default)]
pub struct Scratch {
    spread: Aligned,
    sums: Aligned,
}

impl Scratch {
    /// Floats for so many tiles of these filters: what is spread, and the sums.
    pub fn floats(filters: &Filters, tiles: usize) -> [usize; 2] {
        let lanes = filters.isa.lanes();
        let shape = Shape::of(lanes, TILE, TILE * tiles);
        [filters.input_blocks(), filters.output_blocks()]
            .map(|blocks| PLACES * shape.place_stride(lanes, blocks))
    }

    pub fn with_room([spread, sums]: [usize; 2]) -> Self {
        Self {
            spread: Aligned::zeroed(spread),
            sums: Aligned::zeroed(sums),
        }
    }
}

/// A blocked picture to read: pixels are neighbours, one vector of words each. A word is an f32 or two bf16.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    pub values: &'a [f32],
    pub precision: Precision,
    /// Where the window of the first output begins, in the first block.
    pub start: usize,
    /// From there on: what is beyond counts as zeros.
    pub height: usize,
    pub width: usize,
    /// Words from row to row.
    pub row_stride: usize,
    /// Words from block to block.
    pub block_stride: usize,
}

/// A blocked picture to write, of words of f32 or of two bf16.
#[derive(Debug)]
pub struct Canvas<'a> {
    pub values: SharedMut<'a>,
    pub precision: Precision,
    /// Where the first output goes, in the first block.
    pub start: usize,
    /// Rows and columns of outputs.
    pub height: usize,
    pub width: usize,
    /// Words from row to row.
    pub row_stride: usize,
    /// Words from block to block.
    pub block_stride: usize,
    /// Added before the activation, from the same place as the result goes to in `values`, and as precise.
    pub residual: Option<&'a [f32]>,
}

/// The outputs of one call, checked. Three steps after each other make them, each in parts that may be done at the same time.
#[derive(Debug)]
pub struct Job<'a> {
    filters: &'a Filters,
    activation: Activation,
    input: Picture<'a>,
    output: Canvas<'a>,
    spread: SharedMut<'a>,
    sums: SharedMut<'a>,
    shape: Shape,
    spread_stride: usize,
    sums_stride: usize,
}

impl<'a> Job<'a> {
    /// Of all outputs of `output`.
    ///
    /// # Panics
    /// If a picture is empty, a slice is too short for what it is said to hold, or the scratch for its tiles.
    pub fn new(
        filters: &'a Filters,
        activation: Activation,
        input: Picture<'a>,
        output: Canvas<'a>,
        scratch: &'a mut Scratch,
    ) -> Self {
        let lanes = filters.isa.lanes();
        let (read, written) = (filters.input_blocks(), filters.output_blocks());
        let inside = |last: Option<usize>, len: usize| last.is_some_and(|last| last < len);
        assert!(
            [input.precision, output.precision]
                .iter()
                .all(|p| matches!(p, Precision::F32 | Precision::Bf16)),
            "tiles of f16 or bytes"
        );
        let [read_words, written_words] = [(read, input.precision), (written, output.precision)]
            .map(|(blocks, precision)| blocks.div_ceil(precision.columns_per_word()));
        let last = last_index(
            input.start,
            &[
                (input.height, input.row_stride),
                (input.width, lanes),
                (read_words, input.block_stride),
                (lanes, 1),
            ],
        );
        assert!(
            inside(last, input.values.len()),
            "the input is shorter than its shape"
        );
        let last = last_index(
            output.start,
            &[
                (output.height, output.row_stride),
                (output.width, lanes),
                (written_words, output.block_stride),
                (lanes, 1),
            ],
        );
        assert!(
            inside(last, output.values.len())
                && output.residual.is_none_or(|r| inside(last, r.len())),
            "the output is shorter than its shape"
        );
        let shape = Shape::of(lanes, output.height, output.width);
        let floats = Scratch::floats(filters, shape.tiles());
        assert!(
            floats[0] <= scratch.spread.len() && floats[1] <= scratch.sums.len(),
            "no room for {} tiles",
            shape.tiles()
        );
        Self {
            filters,
            activation,
            input,
            output,
            spread: (&mut scratch.spread).into(),
            sums: (&mut scratch.sums).into(),
            shape,
            spread_stride: shape.place_stride(lanes, read),
            sums_stride: shape.place_stride(lanes, written),
        }
    }

    /// Parts of the first step: blocks of the input.
    pub fn spreads(&self) -> usize {
        self.filters.input_blocks()
    }

    /// Parts of the last step: blocks of the output.
    pub fn gathers(&self) -> usize {
        self.filters.output_blocks()
    }

    /// Multiply-adds of the second step.
    pub fn multiply_adds(&self) -> usize {
        self.shape.tiles() * self.filters.multiply_adds()
    }

    /// The first step: spreads the tiles of these blocks of the input.
    ///
    /// # Panics
    /// If there is no such block.
    ///
    /// # Safety
    /// Nobody else does the same block, or another step, at the same time.
    pub unsafe fn spread(&self, blocks: Range<usize>) {
        assert!(blocks.end <= self.spreads(), "{blocks:?}");
        let input = self.input;
        // SAFETY: by the caller, what this writes is nobody else's now.
        let mut output = unsafe { self.spread.another() };
        let job = Spread {
            shape: self.shape,
            blocks,
            input: input.values[input.start..].as_ptr(),
            is_bf16: input.precision == Precision::Bf16,
            height: input.height,
            width: input.width,
            row_stride: input.row_stride,
            block_stride: input.block_stride,
            output: output.as_mut_ptr(),
            place_stride: self.spread_stride,
        };
        // SAFETY: the asserts above and those of `new` are the contract of `Spread`; an `Isa` proves that the processor has the
        // set.
        unsafe { (self.filters.isa.0.winograd_spread)(&job) };
    }

    /// The second step: the products at these of the [`PLACES`].
    ///
    /// # Panics
    /// If there is no such place.
    ///
    /// # Safety
    /// The first step is done; and nobody else does the same place, or another step, at the same time.
    pub unsafe fn multiply(&self, places: Range<usize>) {
        // SAFETY: by the caller, nobody writes it now.
        let values = unsafe { self.spread.another() };
        let len = values.len();
        let values = &*values.part(0..len);
        for place in places {
            let weights = &self.filters.products[place];
            let input = Input {
                values,
                start: place * self.spread_stride,
                step: Step::Block,
                segment_stride: self.shape.pitch,
                run_stride: 0,
                scales: None,
            };
            let mut output = Output {
                // SAFETY: by the caller, what this writes is nobody else's now.
                values: unsafe { self.sums.another() },
                precision: Precision::F32,
                start: place * self.sums_stride,
                pixel_stride: self.filters.isa.lanes(),
                block_stride: self.shape.pitch,
                run_stride: 0,
                residual: None,
            };
            let (panels, tiles) = (weights.panels(), Runs::one(self.shape.tiles()));
            pointwise::run(weights, panels, Activation::None, tiles, input, &mut output);
        }
    }

    /// The last step: gathers the sums of these blocks of the output.
    ///
    /// # Panics
    /// If there is no such block.
    ///
    /// # Safety
    /// The second step is done; and nobody else does the same block, or another step, at the same time.
    pub unsafe fn gather(&self, blocks: Range<usize>) {
        assert!(blocks.end <= self.gathers(), "{blocks:?}");
        let output = &self.output;
        // SAFETY: by the caller, nobody writes them now.
        let mut sums = unsafe { self.sums.another() };
        // SAFETY: by the caller, what this writes is nobody else's now.
        let mut values = unsafe { output.values.another() };
        let job = Gather {
            shape: self.shape,
            blocks,
            sums: sums.as_mut_ptr(),
            place_stride: self.sums_stride,
            bias: self.filters.bias.as_ptr(),
            activation: self.activation,
            residual: output
                .residual
                .map_or(std::ptr::null(), |r| r[output.start..].as_ptr()),
            // Inside: the last element that is written comes after it.
            output: values.as_mut_ptr().wrapping_add(output.start),
            is_bf16: output.precision == Precision::Bf16,
            height: output.height,
            width: output.width,
            row_stride: output.row_stride,
            block_stride: output.block_stride,
        };
        // SAFETY: the asserts above and those of `new` are the contract of `Gather`; an `Isa` proves that the processor has the
        // set.
        unsafe { (self.filters.isa.0.winograd_gather)(&job) };
    }
}

/// Tiles, row by row.
#[derive(Clone, Copy, Debug)]
struct Shape {
    down: usize,
    across: usize,
    /// Floats from block to block of what is spread and summed: an odd number of vectors, so that a tile's blocks do not push
    /// each other out of the nearest cache.
    pitch: usize,
}

impl Shape {
    fn of(lanes: usize, height: usize, width: usize) -> Self {
        let [down, across] = [height, width].map(|pixels| pixels.div_ceil(TILE));
        Self {
            down,
            across,
            pitch: ((down * across) | 1) * lanes,
        }
    }

    fn tiles(self) -> usize {
        self.down * self.across
    }

    /// Floats from place to place: an odd number of vectors, for the same reason.
    fn place_stride(self, lanes: usize, blocks: usize) -> usize {
        blocks * self.pitch + if blocks.is_multiple_of(2) { lanes } else { 0 }
    }
}
