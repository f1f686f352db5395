//! Tiles of a matrix product: some pixels by some neighbouring output blocks, whose sums are registers from the first to the last
//! step, and the walk over all tiles of a job.

use std::mem::MaybeUninit;

use super::activation::Activation;
use super::lanes::{Lanes, Product};
use super::pack::Panel;
use super::pointwise::{Job, Step};
use super::precision::Precision;
use super::unrolled;

/// Pixels of a tile, at most; an instruction set may have less.
const PIXELS_MAX: usize = 14;
/// Blocks of a tile, at most.
const BLOCKS_MAX: usize = 3;
/// Lanes of a block, at most.
const LANES_MAX: usize = 16;

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
    pub(super) bias: *const f32,
    /// With weights of bytes: for each output what it is multiplied with, and where its total begins (32-bit integers);
    /// for each pixel its factor.
    pub(super) scales: *const f32,
    pub(super) totals: *const f32,
    pub(super) factors: [f32; PIXELS_MAX],
    /// Between which values the sums are limited.
    limits: [f32; 2],
    to: Target,
}

/// Where a tile goes, and from where what is added to it comes.
///
/// Contract: at the offset of each of the tile's pixels plus that of each of its blocks, `start` and, unless it is null,
/// `residual` have a vector of f32, or half of one of bf16.
#[derive(Clone, Copy)]
pub(super) struct Target {
    start: *mut u8,
    residual: *const u8,
    /// In bytes.
    pixels: [usize; PIXELS_MAX],
    blocks: [usize; BLOCKS_MAX],
    is_bf16: bool,
    /// Its pixels are of more than one run.
    is_bent: bool,
}

/// Where a panel's first pixel goes.
struct Begin {
    start: *mut u8,
    residual: *const u8,
}

impl Target {
    /// Of a panel: that of the first block at the job's first pixel. Pixels are neighbours.
    ///
    /// # Safety
    /// The contract of [`Job`], whose panel it is.
    unsafe fn of(job: &Job<'_>, panel: Panel) -> Self {
        let word = size_of::<f32>();
        let halves = job.precision.columns_per_word();
        let first = (panel.first_block - job.first_block) / halves * job.block_stride * word;
        // A panel may begin with the second half of a block of bf16.
        let odd = panel.first_block % halves;
        let half = job.weights.isa().lanes() * word / 2;
        let block = |block: usize| {
            let block = odd + block;
            block / halves * job.block_stride * word + block % halves * half
        };
        Self {
            // SAFETY: the panel's first block is within the output, by the contract of `Job`.
            start: unsafe { job.output.cast::<u8>().add(first) },
            residual: match job.residual.is_null() {
                true => std::ptr::null(),
                // SAFETY: as for the output.
                false => unsafe { job.residual.cast::<u8>().add(first) },
            },
            pixels: neighbours(job),
            blocks: std::array::from_fn(block),
            is_bf16: job.precision == Precision::Bf16,
            is_bent: false,
        }
    }

    /// Moves it to a tile of so many pixels that begins with another pixel of the job's, from where its panel begins.
    fn begin(
        &mut self,
        job: &Job<'_>,
        begin: &Begin,
        (run, column): (usize, usize),
        pixels: usize,
    ) {
        let word = size_of::<f32>();
        let first = (run * job.run_stride + column * job.pixel_stride) * word;
        // Inside: it is where a pixel of the job's goes.
        self.start = begin.start.wrapping_add(first);
        if !self.residual.is_null() {
            self.residual = begin.residual.wrapping_add(first);
        }
        if job.runs.count > 1 && (self.is_bent || column + pixels > job.runs.width) {
            self.is_bent = false;
            for (i, place) in self.pixels[..pixels].iter_mut().enumerate() {
                let (down, across) = ((column + i) / job.runs.width, (column + i) % job.runs.width);
                let at = (run + down) * job.run_stride + across * job.pixel_stride;
                // Runs may lie in any order, so the difference may be less than nothing.
                *place = (at * word).wrapping_sub(first);
                self.is_bent |= down > 0;
            }
            // Those behind them stand as they did.
            if !self.is_bent {
                self.pixels = neighbours(job);
            }
        }
    }

    /// Memory for a tile of f32 that is not finished.
    fn unfinished(values: &mut Unfinished, lanes: usize) -> Self {
        let vector = lanes * size_of::<f32>();
        Self {
            start: values.as_mut_ptr().cast(),
            residual: std::ptr::null(),
            pixels: std::array::from_fn(|pixel| pixel * vector),
            blocks: std::array::from_fn(|block| block * PIXELS_MAX * vector),
            is_bf16: false,
            is_bent: false,
        }
    }

    /// What is added to a pixel and block.
    ///
    /// # Safety
    /// The contract of [`Target`], whose residual is not null; the processor has the set of `V`.
    #[inline(always)]
    unsafe fn residual<V: Lanes>(&self, pixel: usize, block: usize) -> V {
        let at = self.pixels[pixel] + self.blocks[block];
        let from = self.residual.wrapping_add(at);
        match self.is_bf16 {
            // SAFETY: half a vector of words.
            true => unsafe { V::load_bf16(from.cast()) },
            // SAFETY: a vector.
            false => unsafe { V::load(from.cast()) },
        }
    }

    /// Where a pixel and block goes.
    #[inline(always)]
    fn at(&self, pixel: usize, block: usize) -> *mut u8 {
        let at = self.pixels[pixel] + self.blocks[block];
        self.start.wrapping_add(at)
    }
}

pub(super) type TileFn = unsafe fn(&Tile);

/// What is done to a tile that is not finished, of so many pixels and blocks.
pub(super) type FinishFn = unsafe fn(&Tile, &Target, usize, usize, Activation);

/// A tile whose sums are not finished.
type Unfinished = [MaybeUninit<f32>; PIXELS_MAX * BLOCKS_MAX * LANES_MAX];

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
    let lanes = weights.isa().lanes();
    let step = input.step.words(weights.isa(), weights.precision());
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
    let is_finished = job.activation.is_in_tile();
    let mut unfinished: Unfinished = [const { MaybeUninit::uninit() }; _];
    for &panel in job.panels {
        let most = weights.isa().0.tile_pixels_max[panel.blocks - 1];
        let first = panel.first_block * lanes;
        // SAFETY: the panel is the job's.
        let mut to = unsafe { Target::of(job, panel) };
        let mut tile = Tile {
            input: input.values.as_ptr(),
            segments: weights.walk.segments,
            segment_stride: input.segment_stride,
            length: weights.walk.length,
            last: weights.walk.last,
            weights: weights.weights[panel.offset..].as_ptr(),
            bias: weights.bias[first..].as_ptr(),
            scales: null_or(&weights.bytes.scales, first),
            totals: null_or(&weights.bytes.totals, first),
            factors: [1.0; PIXELS_MAX],
            limits: job.activation.limits(),
            to: match is_finished {
                true => to,
                false => Target::unfinished(&mut unfinished, lanes),
            },
        };
        let begin = Begin {
            start: to.start,
            residual: to.residual,
        };
        let (mut run, mut column) = (0, 0);
        for stretch in 0..stretches {
            let mut done = 0;
            while done < length {
                let pixels = tile_pixels(length - done, most);
                if let Some(scales) = input.scales {
                    for (i, factor) in tile.factors[..pixels].iter_mut().enumerate() {
                        let (down, across) = ((column + i) / runs.width, (column + i) % runs.width);
                        let at = (run + down) * scales.run_stride + across;
                        *factor = scales.values[scales.start + at];
                    }
                }
                let place = if is_finished { &mut tile.to } else { &mut to };
                place.begin(job, &begin, (run, column), pixels);
                column += pixels;
                while column >= runs.width {
                    (run, column) = (run + 1, column - runs.width);
                }
                let from = input.start + stretch * input.run_stride + done * step;
                tile.input = input.values[from..].as_ptr();
                // SAFETY: the tile's pixels and blocks are among the job's.
                unsafe { tile_of(pixels, panel.blocks)(&tile) };
                if !is_finished {
                    // SAFETY: the same pixels and blocks, which have just been written.
                    unsafe { finish(&tile, &to, pixels, panel.blocks, job.activation) };
                }
                done += pixels;
            }
        }
    }
}

/// How far pixels of a run are apart, in bytes.
fn neighbours(job: &Job<'_>) -> [usize; PIXELS_MAX] {
    std::array::from_fn(|pixel| pixel * job.pixel_stride * size_of::<f32>())
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

/// # Safety
/// The contract of [`Tile`] for `PIXELS` pixels and `BLOCKS` blocks whose windows are `STEP` words apart; the processor has the
/// set of `P`.
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
    // SAFETY: the tile has the block.
    let mut totals = [unsafe { P::begin(tile, 0) }; BLOCKS];
    for block in 1..BLOCKS {
        // SAFETY: as above.
        totals[block] = unsafe { P::begin(tile, block) };
    }
    let mut totals = [totals; PIXELS];
    // `wrapping_add` gives the same instructions as `add`, and no checks of its own in a test build.
    let mut weights = tile.weights;
    let mut unsettled = 0;
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
                    totals[pixel][block] = x.add_to(w[block], totals[pixel][block]);
                }
            });
        }
        if P::UNSETTLED_MAX < usize::MAX {
            unsettled += length;
            if unsettled >= P::UNSETTLED_MAX || segment + 1 == tile.segments {
                unsettled = 0;
                unrolled!(for pixel in 0..PIXELS {
                    for block in 0..BLOCKS {
                        totals[pixel][block] = P::settle(totals[pixel][block]);
                    }
                });
            }
        }
    }
    // What is asked once for the tile, not once for each vector.
    // SAFETY: one float each.
    let splat = |limit: &f32| unsafe { P::Sum::splat(limit) };
    let [least, most] = tile.limits.each_ref().map(splat);
    let (to, has_residual) = (&tile.to, !tile.to.residual.is_null());
    let mut sums = [[least; BLOCKS]; PIXELS];
    unrolled!(for pixel in 0..PIXELS {
        for block in 0..BLOCKS {
            // SAFETY: a pixel and block of this tile.
            sums[pixel][block] = unsafe { P::end(totals[pixel][block], tile, pixel, block) };
        }
    });
    if has_residual {
        unrolled!(for pixel in 0..PIXELS {
            for block in 0..BLOCKS {
                // SAFETY: a pixel and block of this tile, which has a residual.
                let residual = unsafe { to.residual::<P::Sum>(pixel, block) };
                sums[pixel][block] = sums[pixel][block].add(residual);
            }
        });
    }
    if to.is_bf16 {
        unrolled!(for pixel in 0..PIXELS {
            for block in 0..BLOCKS {
                let sum = sums[pixel][block].limited(least, most);
                // SAFETY: half a vector of words of a pixel and block of this tile.
                unsafe { sum.store_bf16(to.at(pixel, block).cast()) };
            }
        });
    } else {
        unrolled!(for pixel in 0..PIXELS {
            for block in 0..BLOCKS {
                let sum = sums[pixel][block].limited(least, most);
                // SAFETY: a vector of a pixel and block of this tile.
                unsafe { sum.store(to.at(pixel, block).cast()) };
            }
        });
    }
}

/// # Safety
/// The contract of [`Tile`] for `pixels` pixels and `blocks` blocks, which have been written, and that of [`Target`]
/// for the same; the processor has the set of `V`.
#[inline(always)]
pub(super) unsafe fn finish<V: Lanes>(
    tile: &Tile,
    to: &Target,
    pixels: usize,
    blocks: usize,
    activation: Activation,
) {
    for block in 0..blocks {
        for pixel in 0..pixels {
            // SAFETY: a vector of a pixel and block of this tile.
            let mut sum = unsafe { V::load(tile.to.at(pixel, block).cast()) };
            if !to.residual.is_null() {
                // SAFETY: as above.
                sum = sum.add(unsafe { to.residual::<V>(pixel, block) });
            }
            let (value, to_here) = (activation.apply(sum), to.at(pixel, block));
            match to.is_bf16 {
                // SAFETY: half a vector of words of this pixel and block.
                true => unsafe { value.store_bf16(to_here.cast()) },
                // SAFETY: a vector of it.
                false => unsafe { value.store(to_here.cast()) },
            }
        }
    }
}
