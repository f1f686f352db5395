//! Kernels of encoders: products, convolutions, norms and attention on tensors whose columns lie in blocks of one vector.
//!
//! Thread: any. Allocates: when weights are packed and buffers are made. Blocks: no. Locks: no. Syscalls: no.
//!
//! # Layout
//! An activation is stored as `[block][pixel][lane]`: channels are cut into blocks of as many as one vector
//! register holds (16 with AVX-512), and the last block is filled up with zeros. (A row of a transformer is a pixel, its
//! columns are the channels. In bf16 a lane is a word of two neighbouring columns.) That layout makes every load and
//! store a whole vector, so there are no masks; neighbouring pixels are one vector apart, so a kernel addresses
//! them with constants instead of a pointer each; and a depthwise convolution walks memory in a straight line.
//!
//! # Adding an instruction set
//! The loops are written once, generic over `lanes::Lanes` (a vector register and what it can do).
//! A new set is an implementation of that trait and one line of `instantiate!` with the tile shapes that
//! fit its registers; an instruction for pairs of bf16 or fours of bytes is an implementation of `lanes::Product` or `lanes::Quads` beside it. A new kind of layer is one generic loop and one more entry in `Table`.
//!
//! # Where `unsafe` is, and what it rests on
//! 1. *The processor has the instructions.* An [`Isa`] can only be got from [`Isa::available`], which asks the
//!    processor, and the loops are reached only through an `Isa`.
//! 2. *Pointers stay inside their slices.* The safe entries ([`pointwise::run`], [`depthwise::run`], [`pool::run`],
//!    [`layer_norm::run`], [`softmax::run`], [`winograd::Job::new`]) compute the last element that the loop will touch, with checked
//!    arithmetic, before they enter it.

pub mod attention;

pub mod depthwise;

pub mod halves;

pub mod layer_norm;

pub mod memory;

pub mod pack;

pub mod pointwise;

pub mod pool;

pub mod round;

pub mod softmax;

pub mod winograd;

mod activation;

pub mod bf16;

pub mod precision;

pub mod quantise;

mod lanes;

mod tile;

#[cfg(target_arch = "x86_64")]
mod avx2;

#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "x86_64")]
mod avx512_bf16;

#[cfg(target_arch = "aarch64")]
mod neon;

mod portable;

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;

/// The loops of one instruction set.
struct Table {
    name: &'static str,
    /// Channels of a block: the lanes of a vector register.
    lanes: usize,
    /// The most pixels of a tile that is one, two, three, ... blocks wide. Pixels times blocks is what the
    /// registers hold.
    tile_pixels_max: &'static [usize],
    pointwise: unsafe fn(&pointwise::Job),
    /// With words of two bf16 as input and weights.
    pointwise_bf16: unsafe fn(&pointwise::Job),
    /// With words of two f16 as input and weights, if the set can multiply those.
    halves: Option<unsafe fn(&pointwise::Job)>,
    /// With words of four bytes as input and weights, if the set can multiply those faster than f32.
    quads: Option<unsafe fn(&pointwise::Job)>,
    quantise: unsafe fn(&quantise::Job),
    /// `Quads::OFFSET`.
    byte_offset: i32,
    depthwise: unsafe fn(&depthwise::Job),
    pool: unsafe fn(&pool::Job),
    round: unsafe fn(&round::Job),
    layer_norm: unsafe fn(&layer_norm::Job),
    softmax: unsafe fn(&softmax::Job),
    scale: unsafe fn(&softmax::ScaleJob),
    winograd_spread: unsafe fn(&winograd::Spread),
    winograd_gather: unsafe fn(&winograd::Gather),
}

/// An instruction set that this processor has. Holding one is the proof.
#[derive(Clone, Copy)]
pub struct Isa(&'static Table);

impl Isa {
    /// The sets that this processor has, the fastest first. The portable one is always there, and last.
    pub fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let native = {
            let avx512 = is_x86_feature_detected!("avx512f").then(|| {
                let has_quads = is_x86_feature_detected!("avx512vnni");
                let has_pairs =
                    is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw");
                match has_pairs {
                    true if has_quads => &avx512_bf16::TABLE,
                    _ if has_quads => &avx512::TABLE_QUADS,
                    _ => &avx512::TABLE,
                }
            });
            let avx2 = (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"))
                .then_some(&avx2::TABLE);
            [avx512, avx2]
        };
        #[cfg(target_arch = "aarch64")]
        let native = {
            let has_halves = is_aarch64_feature_detected!("fp16");
            [Some(match is_aarch64_feature_detected!("dotprod") {
                true if has_halves => &neon::TABLE_BOTH,
                true => &neon::TABLE_QUADS,
                false if has_halves => &neon::TABLE_HALVES,
                false => &neon::TABLE,
            })]
        };
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let native: [Option<&'static Table>; 0] = [];
        native
            .into_iter()
            .flatten()
            .chain([&portable::TABLE])
            .map(Self)
    }

    /// The fastest set of this processor.
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self(&portable::TABLE))
    }

    /// The set of this name, if the processor has it: `avx512`, `avx2`, `neon`, `portable`.
    pub fn named(name: &str) -> Option<Self> {
        Self::available().find(|isa| isa.name() == name)
    }

    /// This set without its instruction for pairs of bf16, if it has one: what an older processor runs.
    pub fn without_pairs(self) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::ptr::eq(self.0, &avx512_bf16::TABLE) {
            return Some(Self(&avx512::TABLE_QUADS));
        }
        None
    }

    /// This set without its instructions for pairs of bf16 and fours of bytes, if it has any: what an older processor runs.
    pub fn without_quads(self) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        let (with, without) = ([&avx512::TABLE_QUADS, &avx512_bf16::TABLE], &avx512::TABLE);
        #[cfg(target_arch = "aarch64")]
        if std::ptr::eq(self.0, &neon::TABLE_BOTH) {
            return Some(Self(&neon::TABLE_HALVES));
        }
        #[cfg(target_arch = "aarch64")]
        let (with, without) = ([&neon::TABLE_QUADS], &neon::TABLE);
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if with.iter().any(|with| std::ptr::eq(self.0, *with)) {
            return Some(Self(without));
        }
        None
    }

    /// This set without its instructions for f16, if it has any: what an older processor runs.
    pub fn without_halves(self) -> Option<Self> {
        #[cfg(target_arch = "aarch64")]
        for (with, without) in [
            (&neon::TABLE_BOTH, &neon::TABLE_QUADS),
            (&neon::TABLE_HALVES, &neon::TABLE),
        ] {
            if std::ptr::eq(self.0, with) {
                return Some(Self(without));
            }
        }
        None
    }

    /// Whether it can multiply f16 at all; the portable set can, to the same bits, but not fast.
    pub fn takes_halves(self) -> bool {
        self.0.halves.is_some()
    }

    /// Whether it has instructions for f16.
    pub fn has_halves(self) -> bool {
        self.without_halves().is_some()
    }

    /// Whether it can multiply bytes at all: AVX-512 without VNNI and NEON without dot products cannot.
    pub fn takes_bytes(self) -> bool {
        self.0.quads.is_some()
    }

    /// Whether it has an instruction that multiplies pairs of bf16; without one, bf16 is slower than f32.
    pub fn has_pairs(self) -> bool {
        self.without_pairs().is_some()
    }

    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Channels of a block.
    pub fn lanes(self) -> usize {
        self.0.lanes
    }

    /// How many blocks hold `channels` channels.
    pub fn blocks(self, channels: usize) -> usize {
        channels.div_ceil(self.lanes())
    }
}

impl std::fmt::Debug for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Isa {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// The index of the last element of a walk: the start plus, for each dimension, `(count - 1) * stride`. None
/// when a dimension is empty or the sum does not fit: then there is no such element.
fn last_index(start: usize, dimensions: &[(usize, usize)]) -> Option<usize> {
    dimensions
        .iter()
        .try_fold(start, |index, &(count, stride)| {
            index.checked_add(count.checked_sub(1)?.checked_mul(stride)?)
        })
}

/// A `for` loop over `0..COUNT`, at most 17, written out: COUNT is a constant, and so is the loop variable in each copy of
/// the body.
///
/// The sums of a tile are registers only if every index is a constant. The compiler's own unrolling makes them so at
/// `opt-level = 3` alone; at 2, as in tests, the sums went through memory and a forward took six times as long.
macro_rules! unrolled {
    (for $i:ident in 0..$count:ident $body:block) => {
        unrolled!(@ $i $count $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    (@ $i:ident $count:ident $body:block $($n:literal)*) => {
        const { assert!($count <= 17) };
        $(
            if $n < $count {
                let $i: usize = $n;
                $body
            }
        )*
    };
}
use unrolled;

/// The product for one kind of words: its tiles compiled for `$feature`.
///
/// `$pixels x $blocks` are the tile shapes; see `Table::tile_pixels_max` for what they must cover: every number of
/// pixels from 1 to the most, for every number of blocks. `$picture` is that step of `pointwise::Step`, or any other where it is not
/// needed.
macro_rules! product {
    (
        $(#[$feature:meta])?
        words: $words:ty,
        picture: $picture:expr,
        tiles: { $( $blocks:literal => $most:literal: [$($pixels:literal)*] ),* $(,)? } $(,)?
    ) => {
        use super::super::activation::Activation;
        use super::super::lanes::{Lanes, Product};
        use super::super::pointwise::Job;
        use super::super::tile::{self, Target, Tile, TileFn};

        /// One tile. Its contract is that of `tile::tile`, and the processor has the set.
        $(#[$feature])?
        unsafe fn tile<const PIXELS: usize, const BLOCKS: usize, const STEP: usize>(tile: &Tile) {
            // SAFETY: the caller keeps the contract of `tile::tile`, and the set is there.
            unsafe { tile::tile::<$words, PIXELS, BLOCKS, STEP>(tile) }
        }

        /// The tile of this shape.
        fn tile_of<const STEP: usize>(pixels: usize, blocks: usize) -> TileFn {
            match (blocks, pixels) {
                $($( ($blocks, $pixels) => tile::<$pixels, $blocks, STEP>, )*)*
                _ => unreachable!("no tile of {pixels} pixels by {blocks} blocks"),
            }
        }

        /// Contract: that of `pointwise::Job`, and the processor has the set.
        pub(in super::super) unsafe fn run(job: &Job) {
            const BLOCK: usize = <<$words as Product>::Sum as Lanes>::N;
            let tiles: [fn(usize, usize) -> TileFn; 3] = [
                tile_of::<BLOCK>,
                tile_of::<{ 2 * BLOCK }>,
                tile_of::<{ $picture }>,
            ];
            // SAFETY: as above.
            unsafe { tile::all_tiles(job, tiles, finish) }
        }

        /// Contract: that of `tile::finish`, and the processor has the set.
        $(#[$feature])?
        unsafe fn finish(
            tile: &Tile,
            to: &Target,
            pixels: usize,
            blocks: usize,
            activation: Activation,
        ) {
            // SAFETY: as above.
            unsafe {
                tile::finish::<<$words as Product>::Sum>(tile, to, pixels, blocks, activation);
            }
        }
    };
}
use product;

/// Makes one instruction set: the loops compiled for `$feature`, and `PLAIN`, their table. `$pairs` are its words of two bf16. The
/// tiles are those of `product!`.
macro_rules! instantiate {
    (
        name: $name:literal,
        $(#[$feature:meta])?
        lanes: $lanes:ident,
        pairs: $pairs:ident,
        tiles: $tiles:tt $(,)?
    ) => {
        super::instantiate! {
            @ $name, [$(#[$feature])?], $lanes, $pairs, $tiles, $tiles
        }
    };
    (
        @ $name:literal, [$(#[$feature:meta])?], $lanes:ident, $pairs:ident, $tiles:tt,
        { $( $blocks:literal => $most:literal: [$($pixels:literal)*] ),* $(,)? }
    ) => {
        const PLAIN: super::Table = super::Table {
            name: $name,
            lanes: <$lanes as super::lanes::Lanes>::N,
            tile_pixels_max: &[$($most),*],
            pointwise: singles::run,
            pointwise_bf16: pairs::run,
            halves: None,
            quads: None,
            byte_offset: 0,
            quantise,
            depthwise,
            pool,
            round,
            layer_norm,
            softmax,
            scale,
            winograd_spread,
            winograd_gather,
        };

        /// Words of one f32.
        mod singles {
            super::super::product! {
                $(#[$feature])?
                words: super::$lanes,
                picture: super::super::pointwise::STEM_STEP,
                tiles: $tiles,
            }
        }

        /// Words of two bf16.
        mod pairs {
            super::super::product! {
                $(#[$feature])?
                words: super::$pairs,
                picture: super::super::pointwise::STEM_STEP / 2,
                tiles: $tiles,
            }
        }

        /// Contract: that of `quantise::Job`, and the processor has the set.
        $(#[$feature])?
        unsafe fn quantise(job: &super::quantise::Job) {
            // SAFETY: as above.
            unsafe { super::quantise::all_rows::<$lanes>(job) }
        }

        /// Contract: that of `layer_norm::Job`, and the processor has the set.
        $(#[$feature])?
        unsafe fn layer_norm(job: &super::layer_norm::Job) {
            // SAFETY: as above.
            unsafe { super::layer_norm::all_rows::<$lanes>(job) }
        }

        /// Contract: that of `softmax::Job`, and the processor has the set.
        $(#[$feature])?
        unsafe fn softmax(job: &super::softmax::Job) {
            // SAFETY: as above.
            unsafe { super::softmax::all_rows::<$lanes>(job) }
        }

        /// Contract: that of `softmax::ScaleJob`, and the processor has the set.
        $(#[$feature])?
        unsafe fn scale(job: &super::softmax::ScaleJob) {
            // SAFETY: as above.
            unsafe { super::softmax::scale_rows::<$lanes>(job) }
        }

        /// Contract: that of `winograd::Spread`, and the processor has the set.
        $(#[$feature])?
        unsafe fn winograd_spread(job: &super::winograd::Spread) {
            // SAFETY: as above.
            unsafe { super::winograd::spread_all::<$lanes>(job) }
        }

        /// Contract: that of `winograd::Gather`, and the processor has the set.
        $(#[$feature])?
        unsafe fn winograd_gather(job: &super::winograd::Gather) {
            // SAFETY: as above.
            unsafe { super::winograd::gather_all::<$lanes>(job) }
        }

        /// Contract: that of `round::Job`, and the processor has the set.
        $(#[$feature])?
        unsafe fn round(job: &super::round::Job) {
            // SAFETY: as above.
            unsafe { super::round::all::<$lanes>(job) }
        }

        /// Contract: that of `pool::Job`, and the processor has the set.
        $(#[$feature])?
        unsafe fn pool(job: &super::pool::Job) {
            // SAFETY: as above.
            unsafe { super::pool::all_windows::<$lanes>(job) }
        }

        /// Contract: that of `depthwise::Job`, and the processor has the set.
        $(#[$feature])?
        unsafe fn depthwise(job: &super::depthwise::Job) {
            // SAFETY: as above.
            unsafe { super::depthwise::all_rows::<$lanes>(job) }
        }
    };
}
use instantiate;
