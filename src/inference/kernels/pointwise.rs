//! 1x1 convolutions, linear layers, and small dense convolutions whose window can be read in place: a matrix product
//! whose result is finished (bias, activation, residual) while it is in registers or in the nearest cache.

use super::Isa;
pub use super::activation::Activation;
use super::lanes::{Lanes, Product, Quads};
use super::last_index;
use super::memory::SharedMut;
use super::pack::{Packed, Panel};
pub use super::precision::Precision;
use super::unrolled;

/// Floats between the windows of neighbouring outputs where the input is a picture of interleaved RGB and the
/// stride is 2.
pub const STEM_STEP: usize = 6;

/// Which pixels: `count` runs of `width` neighbouring pixels.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    pub count: usize,
    pub width: usize,
}

impl Runs {
    pub fn one(width: usize) -> Self {
        Self { count: 1, width }
    }
}

/// How the windows of neighbouring pixels lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A blocked tensor: one vector apart.
    Block,
    /// A blocked tensor at stride 2: two vectors apart.
    Second,
    /// A picture of interleaved RGB at stride 2: [`STEM_STEP`] floats apart.
    Picture,
}

impl Step {
    /// How many words that is.
    pub fn words(self, isa: Isa) -> usize {
        match self {
            Self::Block => isa.lanes(),
            Self::Second => 2 * isa.lanes(),
            Self::Picture => STEM_STEP,
        }
    }
}

/// The input: where its first window begins, and how far apart things are, in words. A word is an f32, or two bf16 if the
/// weights are bf16.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub values: &'a [f32],
    pub start: usize,
    pub step: Step,
    /// From one segment of the walk to the next: for a blocked tensor, from block to block.
    pub segment_stride: usize,
    /// From the first pixel of a run to that of the next.
    pub run_stride: usize,
    /// With weights of bytes for rows that have factors of their own: those.
    pub scales: Option<Scales<'a>>,
}

/// Factors of pixels: that of the first, the others of its run behind it.
#[derive(Clone, Copy, Debug)]
pub struct Scales<'a> {
    pub values: &'a [f32],
    pub start: usize,
    pub run_stride: usize,
}

/// The output: where its first value goes, and how far apart things are, in words. A word is an f32, or two bf16 if that
/// is the output's precision: then a block has twice as many columns, and a residual is not possible.
#[derive(Debug)]
pub struct Output<'a> {
    pub values: SharedMut<'a>,
    pub precision: Precision,
    pub start: usize,
    pub pixel_stride: usize,
    pub block_stride: usize,
    pub run_stride: usize,
    /// Added to the sum before the activation, from the same place as the result goes to in `values`.
    pub residual: Option<&'a [f32]>,
}

/// Computes the output blocks of `panels`, which are neighbours in rising order. `output.start` is where the first
/// pixel of the first of these blocks goes.
///
/// # Panics
/// If a slice is too short for what it is said to hold.
pub fn run(
    weights: &Packed,
    panels: &[Panel],
    activation: Activation,
    runs: Runs,
    input: Input<'_>,
    output: &mut Output<'_>,
) {
    if runs.count == 0 || runs.width == 0 {
        return;
    }
    let Some(first_block) = panels.first().map(|p| p.first_block) else {
        return;
    };
    let (isa, walk) = (weights.isa, weights.walk);
    let step = input.step.words(isa);
    let reads = |segments, length| {
        last_index(
            input.start,
            &[
                (runs.count, input.run_stride),
                (runs.width, step),
                (segments, input.segment_stride),
                (length, 1),
            ],
        )
    };
    let inside = |last: Option<usize>, len: usize| last.is_some_and(|last| last < len);
    assert!(
        inside(reads(walk.segments, walk.last), input.values.len())
            && (walk.segments == 1
                || inside(reads(walk.segments - 1, walk.length), input.values.len())),
        "the input is shorter than its shape"
    );
    let halves = output.precision.columns_per_word();
    assert!(
        halves == 1 || (output.residual.is_none() && first_block % 2 == 0),
        "a residual, or a first block that is the second half of one, with bf16 as output"
    );
    assert!(
        weights.precision == Precision::F32 || input.step == Step::Block,
        "only rows can be bf16 or bytes"
    );
    assert!(
        output.precision != Precision::Int8
            && (weights.precision != Precision::Int8 || output.precision == Precision::F32),
        "sums of bytes go out as f32, and nothing goes out as bytes"
    );
    assert_eq!(
        input.scales.is_some(),
        weights.bytes.is_by_row,
        "factors of rows, for the weights that want them"
    );
    let scaled = input.scales.is_none_or(|scales| {
        let last = last_index(
            scales.start,
            &[(runs.count, scales.run_stride), (runs.width, 1)],
        );
        inside(last, scales.values.len())
    });
    assert!(scaled, "fewer factors than pixels");
    for panel in panels {
        assert!(weights.panels.contains(panel), "a panel of other weights");
        let blocks = (panel.first_block + panel.blocks).saturating_sub(first_block);
        let last = last_index(
            output.start,
            &[
                (runs.count, output.run_stride),
                (runs.width, output.pixel_stride),
                (blocks.div_ceil(halves), output.block_stride),
                (isa.lanes(), 1),
            ],
        );
        assert!(
            inside(last, output.values.len())
                && output.residual.is_none_or(|r| inside(last, r.len())),
            "the output is shorter than its shape"
        );
    }
    let job = Job {
        weights,
        panels,
        first_block,
        activation,
        runs,
        input,
        residual: output
            .residual
            .map_or(std::ptr::null(), |r| r[output.start..].as_ptr()),
        // Inside: the last element that is written comes after it.
        output: output.values.as_mut_ptr().wrapping_add(output.start),
        precision: output.precision,
        pixel_stride: output.pixel_stride,
        block_stride: output.block_stride,
        run_stride: output.run_stride,
    };
    // SAFETY: the asserts above are the contract of `Job`; an `Isa` proves that the processor has the set, and
    // `Packed` was made for it.
    unsafe {
        match weights.precision {
            Precision::F32 => (isa.0.pointwise)(&job),
            Precision::Bf16 => (isa.0.pointwise_bf16)(&job),
            Precision::Int8 => match isa.0.quads {
                Some(quads) => quads(&job),
                None => unreachable!("weights of bytes are packed for sets that take them"),
            },
        }
    }
}

/// What [`run`] has checked.
///
/// Contract: for every pixel of the runs, the walk from its window stays inside `input.values`, and `input.scales`, if there are
/// any, have a factor; and for every pixel
/// and every lane of the panels' blocks, `output` plus the strides, and `residual` unless it is null, are valid; with bf16
/// as output there is a word for each two columns, and `residual` is null. `output` overlaps no input.
pub(super) struct Job<'a> {
    weights: &'a Packed,
    panels: &'a [Panel],
    first_block: usize,
    activation: Activation,
    runs: Runs,
    input: Input<'a>,
    output: *mut f32,
    precision: Precision,
    residual: *const f32,
    pixel_stride: usize,
    block_stride: usize,
    run_stride: usize,
}

/// Pixels of a tile, at most; an instruction set may have less.
pub(super) const TILE_PIXELS_MAX: usize = 14;

/// One tile: some pixels by some neighbouring blocks, in registers from the first to the last step.
///
/// Contract: that of [`Job`], for these pixels and blocks.
pub(super) struct Tile {
    /// The window of the first pixel; those of the others follow at the job's step.
    input: *const f32,
    segments: usize,
    segment_stride: usize,
    length: usize,
    last: usize,
    weights: *const f32,
    bias: *const f32,
    /// Where the panel's first block of the job's first pixel goes, and where its residual comes from (or null).
    output: *mut f32,
    residual: *const f32,
    /// How far from there each pixel goes.
    pixels: [usize; TILE_PIXELS_MAX],
    block_stride: usize,
    relu6: bool,
    /// With weights of bytes: for each output what it is multiplied with, and where its total begins (32-bit integers);
    /// for each pixel its factor.
    scales: *const f32,
    totals: *const f32,
    factors: [f32; TILE_PIXELS_MAX],
}

pub(super) type TileFn = unsafe fn(&Tile);

/// What is done to a finished tile of so many pixels and blocks, out of place if it goes somewhere else as bf16.
pub(super) type FinishFn = unsafe fn(&Tile, usize, usize, Activation, Option<&Rounded>);

/// Where a tile goes as bf16.
///
/// Contract: for each pixel `pixels` from `output`, and from there each two blocks `block_stride` apart, is a vector of words.
pub(super) struct Rounded {
    output: *mut f32,
    pixels: [usize; TILE_PIXELS_MAX],
    block_stride: usize,
    /// The tile begins with the second half of a block.
    odd: bool,
}

/// A tile before it is rounded: as many blocks as a tile has at most, of 16 lanes at most.
type Unrounded = [f32; TILE_PIXELS_MAX * 3 * 16];

/// Walks all tiles of a job: panel by panel, so that a panel's weights are read from near memory by all pixels but
/// the first ones. Where the input's runs follow each other without a gap, tiles reach across them: a picture
/// of 7 by 7 then makes full tiles. `block`, `second` and `picture` give the tile of a shape for each step.
///
/// # Safety
/// The contract of [`Job`]; the tiles are those of an instruction set that the processor has.
pub(super) unsafe fn all_tiles(
    job: &Job<'_>,
    [block, second, picture]: [fn(usize, usize) -> TileFn; 3],
    finish: FinishFn,
) {
    let (weights, input, runs) = (job.weights, &job.input, job.runs);
    let lanes = weights.isa.lanes();
    let step = input.step.words(weights.isa);
    let tile_of = match input.step {
        Step::Block => block,
        Step::Second => second,
        Step::Picture => picture,
    };
    let has_gaps = input.run_stride != runs.width * step;
    let (stretches, length) = if has_gaps {
        (runs.count, runs.width)
    } else {
        (1, runs.count * runs.width)
    };
    let is_rounded = job.precision == Precision::Bf16;
    let halves = job.precision.columns_per_word();
    let mut unrounded: Unrounded = [0.0; _];
    for panel in job.panels {
        let most = weights.isa.0.tile_pixels_max[panel.blocks - 1];
        let first = (panel.first_block - job.first_block) / halves * job.block_stride;
        let mut tile = Tile {
            input: input.values.as_ptr(),
            segments: weights.walk.segments,
            segment_stride: input.segment_stride,
            length: weights.walk.length,
            last: weights.walk.last,
            weights: weights.weights[panel.offset..].as_ptr(),
            bias: weights.bias[panel.first_block * lanes..].as_ptr(),
            // SAFETY: the panel's first block is within the output, by the contract of `Job`.
            output: unsafe { job.output.add(first) },
            residual: if job.residual.is_null() {
                job.residual
            } else {
                // SAFETY: as for the output.
                unsafe { job.residual.add(first) }
            },
            pixels: [0; TILE_PIXELS_MAX],
            block_stride: job.block_stride,
            relu6: job.activation == Activation::Relu6,
            scales: null_or(&weights.bytes.scales, panel.first_block * lanes),
            totals: null_or(&weights.bytes.totals, panel.first_block * lanes),
            factors: [1.0; TILE_PIXELS_MAX],
        };
        let mut rounded = Rounded {
            output: tile.output,
            pixels: [0; TILE_PIXELS_MAX],
            block_stride: job.block_stride,
            odd: !panel.first_block.is_multiple_of(2),
        };
        if is_rounded {
            tile.output = unrounded.as_mut_ptr();
            tile.pixels = std::array::from_fn(|pixel| pixel * lanes);
            tile.block_stride = TILE_PIXELS_MAX * lanes;
        }
        let (mut run, mut column) = (0, 0);
        for stretch in 0..stretches {
            let mut done = 0;
            while done < length {
                let pixels = tile_pixels(length - done, most);
                let places = match is_rounded {
                    true => &mut rounded.pixels,
                    false => &mut tile.pixels,
                };
                for (place, factor) in places[..pixels].iter_mut().zip(&mut tile.factors) {
                    *place = run * job.run_stride + column * job.pixel_stride;
                    if let Some(scales) = input.scales {
                        *factor = scales.values[scales.start + run * scales.run_stride + column];
                    }
                    column += 1;
                    if column == runs.width {
                        (run, column) = (run + 1, 0);
                    }
                }
                let from = input.start + stretch * input.run_stride + done * step;
                tile.input = input.values[from..].as_ptr();
                // SAFETY: the tile's pixels and blocks are among the job's.
                unsafe { tile_of(pixels, panel.blocks)(&tile) };
                if is_rounded || !job.activation.is_in_tile() {
                    let rounded = is_rounded.then_some(&rounded);
                    // SAFETY: the same pixels and blocks, which have just been written.
                    unsafe { finish(&tile, pixels, panel.blocks, job.activation, rounded) };
                }
                done += pixels;
            }
        }
    }
}

/// Where the values from `start` on are, if there are any.
fn null_or(values: &[f32], start: usize) -> *const f32 {
    values
        .get(start..)
        .map_or(std::ptr::null(), <[f32]>::as_ptr)
}

/// How many of the `left` pixels the next tile takes. The last two tiles share evenly what is left, because a
/// tile of very few pixels waits for its own sums (a multiply-add takes 4 cycles).
fn tile_pixels(left: usize, most: usize) -> usize {
    match left {
        _ if left <= most => left,
        _ if left < 2 * most => left.div_ceil(2),
        _ => most,
    }
}

/// The innermost loop of the network: nine tenths of all multiply-adds happen here.
///
/// # Safety
/// The contract of [`Tile`] for `PIXELS` pixels, whose windows are `STEP` floats apart, and `BLOCKS` blocks; the
/// processor has the set of `P`.
#[expect(
    clippy::needless_range_loop,
    reason = "index loops with constant bounds over arrays that must become registers"
)]
#[inline(always)]
pub(super) unsafe fn tile<
    P: Product,
    const PIXELS: usize,
    const BLOCKS: usize,
    const STEP: usize,
>(
    tile: &Tile,
) {
    // SAFETY: the bias has a vector for each block.
    let mut bias = [unsafe { P::Sum::load(tile.bias) }; BLOCKS];
    for block in 1..BLOCKS {
        // SAFETY: as above.
        bias[block] = unsafe { P::Sum::load(tile.bias.wrapping_add(block * P::Sum::N)) };
    }
    let mut sums = [bias; PIXELS];
    // `wrapping_add` gives the same instructions as `add`, and no checks of its own in a test build.
    let mut weights = tile.weights;
    for segment in 0..tile.segments {
        let input = tile.input.wrapping_add(segment * tile.segment_stride);
        let length = if segment + 1 == tile.segments {
            tile.last
        } else {
            tile.length
        };
        for i in 0..length {
            // SAFETY: the packed weights have BLOCKS vectors for each step of the walk.
            let mut w = [unsafe { P::load_words(weights) }; BLOCKS];
            for block in 1..BLOCKS {
                // SAFETY: as above.
                w[block] = unsafe { P::load_words(weights.wrapping_add(block * P::Sum::N)) };
            }
            weights = weights.wrapping_add(BLOCKS * P::Sum::N);
            let input = input.wrapping_add(i);
            unrolled!(for pixel in 0..PIXELS {
                // SAFETY: step `i` of this segment of this pixel's window.
                let x = unsafe { P::splat_word(input.wrapping_add(pixel * STEP)) };
                for block in 0..BLOCKS {
                    sums[pixel][block] = x.add_to(w[block], sums[pixel][block]);
                }
            });
        }
    }
    unrolled!(for pixel in 0..PIXELS {
        for block in 0..BLOCKS {
            let at = tile.pixels[pixel] + block * tile.block_stride;
            let mut sum = sums[pixel][block];
            if !tile.residual.is_null() {
                // SAFETY: a vector of a pixel and block of this tile.
                sum = sum.add(unsafe { P::Sum::load(tile.residual.wrapping_add(at)) });
            }
            if tile.relu6 {
                sum = sum.relu6();
            }
            // SAFETY: as above.
            unsafe { sum.store(tile.output.wrapping_add(at)) };
        }
    });
}

/// As [`tile`], of bytes: the sums are exact, and become f32 at the end.
///
/// # Safety
/// The contract of [`Tile`] for `PIXELS` neighbouring pixels and `BLOCKS` blocks, with `scales` and `totals`; the processor has the
/// set of `Q`.
#[expect(
    clippy::needless_range_loop,
    reason = "index loops with constant bounds over arrays that must become registers"
)]
#[inline(always)]
pub(super) unsafe fn tile_of_bytes<Q: Quads, const PIXELS: usize, const BLOCKS: usize>(
    tile: &Tile,
) {
    // SAFETY: there is a vector of totals for each block.
    let mut totals = [unsafe { Q::load_totals(tile.totals) }; BLOCKS];
    for block in 1..BLOCKS {
        // SAFETY: as above.
        totals[block] = unsafe { Q::load_totals(tile.totals.wrapping_add(block * Q::Sum::N)) };
    }
    let mut totals = [totals; PIXELS];
    let mut weights = tile.weights;
    for segment in 0..tile.segments {
        let input = tile.input.wrapping_add(segment * tile.segment_stride);
        let length = if segment + 1 == tile.segments {
            tile.last
        } else {
            tile.length
        };
        for i in 0..length {
            // SAFETY: the packed weights have BLOCKS vectors for each step of the walk.
            let mut w = [unsafe { Q::load_words(weights) }; BLOCKS];
            for block in 1..BLOCKS {
                // SAFETY: as above.
                w[block] = unsafe { Q::load_words(weights.wrapping_add(block * Q::Sum::N)) };
            }
            weights = weights.wrapping_add(BLOCKS * Q::Sum::N);
            let input = input.wrapping_add(i);
            unrolled!(for pixel in 0..PIXELS {
                // SAFETY: step `i` of this segment of this pixel's window.
                let x = unsafe { Q::splat_word(input.wrapping_add(pixel * Q::Sum::N)) };
                for block in 0..BLOCKS {
                    totals[pixel][block] = x.add_to(w[block], totals[pixel][block]);
                }
            });
        }
    }
    // SAFETY: there is a vector of factors, and of biases, for each block.
    let of_output = |from: *const f32, block: usize| unsafe {
        Q::Sum::load(from.wrapping_add(block * Q::Sum::N))
    };
    unrolled!(for pixel in 0..PIXELS {
        for block in 0..BLOCKS {
            let at = tile.pixels[pixel] + block * tile.block_stride;
            let scale = of_output(tile.scales, block);
            let factor = scale.mul(scale.filled(tile.factors[pixel]));
            let total = Q::sum(totals[pixel][block]);
            let mut sum = total.mul_add(factor, of_output(tile.bias, block));
            if !tile.residual.is_null() {
                // SAFETY: a vector of a pixel and block of this tile.
                sum = sum.add(unsafe { Q::Sum::load(tile.residual.wrapping_add(at)) });
            }
            if tile.relu6 {
                sum = sum.relu6();
            }
            // SAFETY: as above.
            unsafe { sum.store(tile.output.wrapping_add(at)) };
        }
    });
}

/// # Safety
/// The contract of [`Tile`] for `pixels` pixels and `blocks` blocks, whose outputs have been written, and that of [`Rounded`]
/// for the same; the processor has the set of `P`.
#[inline(always)]
pub(super) unsafe fn finish<P: Product>(
    tile: &Tile,
    pixels: usize,
    blocks: usize,
    activation: Activation,
    rounded: Option<&Rounded>,
) {
    for block in 0..blocks {
        for pixel in 0..pixels {
            let from = tile.pixels[pixel] + block * tile.block_stride;
            // SAFETY: a vector of a pixel and block of this tile.
            let sum = unsafe { P::Sum::load(tile.output.wrapping_add(from)) };
            let value = match activation.is_in_tile() {
                true => sum,
                false => activation.apply(sum),
            };
            match rounded {
                // SAFETY: as above.
                None => unsafe { value.store(tile.output.wrapping_add(from)) },
                Some(rounded) => {
                    let half = usize::from(rounded.odd) + block;
                    let at = rounded.pixels[pixel] + half / 2 * rounded.block_stride;
                    let words: *mut u16 = rounded.output.wrapping_add(at).cast();
                    // SAFETY: half a vector of words, by the contract of `Rounded`.
                    unsafe { P::store_rounded(value, words.wrapping_add(half % 2 * P::Sum::N)) };
                }
            }
        }
    }
}
