//! AVX-512 with AVX512-BF16: an instruction that multiplies and sums pairs of bf16, and those that round to them.

use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};

use super::avx512::{Zmm, quads};
use super::lanes::{Lanes, Product};
use super::tile::Tile;

/// As one of the plain set; a value exists only on a processor that has what converts.
type Converting = Zmm<true>;

/// Two bf16 a word. A value exists only on a processor with AVX512-BF16.
#[derive(Clone, Copy)]
struct ZmmPairs(Converting);

impl ZmmPairs {
    #[inline(always)]
    fn pairs(self) -> __m512bh {
        // SAFETY: both are 64 bytes of which any are a value.
        unsafe { std::mem::transmute::<__m512, __m512bh>(self.0.0) }
    }
}

impl Product for ZmmPairs {
    type Sum = Converting;
    type Total = Converting;

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self(unsafe { Converting::load(from) })
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self(unsafe { Converting::splat(from) })
    }

    #[inline(always)]
    unsafe fn begin(tile: &Tile, block: usize) -> Converting {
        // SAFETY: the caller's contract is the same.
        unsafe { <Converting as Product>::begin(tile, block) }
    }

    #[inline(always)]
    fn add_to(self, weights: Self, total: Converting) -> Converting {
        // SAFETY: the set is there because `self` is.
        Zmm(unsafe { _mm512_dpbf16_ps(total.0, weights.pairs(), self.pairs()) })
    }

    #[inline(always)]
    unsafe fn end(total: Converting, _: &Tile, _: usize, _: usize) -> Converting {
        total
    }
}

// As for the plain set.
super::instantiate! {
    name: "avx512",
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    lanes: Converting,
    pairs: ZmmPairs,
    tiles: {
        1 => 14: [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
        2 => 14: [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
        3 => 9: [1 2 3 4 5 6 7 8 9],
    },
}

/// With the plain set's product of fours of bytes.
pub(super) static TABLE: super::Table = super::Table {
    quads: Some(quads::run),
    ..PLAIN
};
