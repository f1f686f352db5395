//! A vector register: what the loops need of it.

use super::tile::Tile;

/// A vector of `N` f32.
///
/// The constructors are unsafe: a value exists only in code that runs on a processor which has the
/// instructions. So the operations on a value need no proof of their own and are safe.
///
/// Every method is `#[inline(always)]` in every implementation: the loops and these methods must end up in one
/// function that is compiled for the instruction set, or each operation would become a call.
pub(super) trait Lanes: Copy {
    const N: usize;

    /// # Safety
    /// `from` is valid for reading `N` floats (any alignment), and the processor has the set.
    unsafe fn load(from: *const f32) -> Self;

    /// All lanes become the one float at `from`.
    ///
    /// # Safety
    /// `from` is valid for reading one float, and the processor has the set.
    unsafe fn splat(from: *const f32) -> Self;

    /// # Safety
    /// `to` is valid for writing `N` floats (any alignment).
    unsafe fn store(self, to: *mut f32);

    /// `self * factor + addend`. Rounded once where the set can do that.
    fn mul_add(self, factor: Self, addend: Self) -> Self;

    fn add(self, other: Self) -> Self;

    fn sub(self, other: Self) -> Self;

    fn mul(self, other: Self) -> Self;

    fn div(self, other: Self) -> Self;

    /// The larger of each two lanes. A NaN in `other` stays.
    fn max(self, other: Self) -> Self;

    /// The smaller of each two lanes. A NaN in `other` stays.
    fn min(self, other: Self) -> Self;

    /// To the nearest whole number, from the middle between two to the even one; between -2^22 and 2^22.
    fn round(self) -> Self;

    /// 2 to the power of each lane: whole numbers in -126..=127.
    fn power_of_two(self) -> Self;

    /// The sum of all lanes.
    fn sum(self) -> f32;

    /// The largest lane.
    fn largest(self) -> f32;

    /// A vector whose lanes are all `value`; `self` only proves that the set is there.
    fn filled(self, value: f32) -> Self;

    /// The bf16 in the lower half of each lane's bits, as an f32: it is the upper half of one.
    fn lower_bf16(self) -> Self;

    /// The bf16 in the upper half of each lane's bits, as an f32.
    fn upper_bf16(self) -> Self;

    /// `N` bf16 that are neighbours, each as an f32.
    ///
    /// # Safety
    /// `from` is valid for reading `N` 16-bit words (any alignment), and the processor has the set.
    unsafe fn load_bf16(from: *const u16) -> Self;

    /// Rounds each lane to the nearest bf16, from the middle between two to the even one. A NaN that arithmetic
    /// gives stays one.
    ///
    /// # Safety
    /// `to` is valid for writing `N` 16-bit words (any alignment).
    unsafe fn store_bf16(self, to: *mut u16);

    /// Rounds as [`store_bf16`](Self::store_bf16): words whose lower halves are `lower`, and whose upper halves are `upper`.
    fn words_of_bf16(lower: Self, upper: Self) -> Self;

    /// Rounds each lane to the nearest whole number, from the middle between two to the even one, limits it to 0..=255 and
    /// stores it as the byte that the set's [`Quads`] reads. What becomes of a NaN is not said.
    ///
    /// # Safety
    /// `to` is valid for writing `N` bytes (any alignment).
    unsafe fn store_bytes(self, to: *mut u8);

    /// Limits each lane. A NaN stays a NaN, so that it is found at the end of the network.
    #[inline(always)]
    fn limited(self, least: Self, most: Self) -> Self {
        most.min(least.max(self))
    }
}

/// A vector of words of 32 bits, and how those of an input and of weights are multiplied and summed.
pub(super) trait Product: Copy {
    type Sum: Lanes;
    /// What products are added to.
    type Total: Copy;

    /// # Safety
    /// `from` is valid for reading as many words as a sum has lanes (any alignment), and the processor has the set.
    unsafe fn load_words(from: *const f32) -> Self;

    /// # Safety
    /// `from` is valid for reading one word, and the processor has the set.
    unsafe fn splat_word(from: *const f32) -> Self;

    /// Where the sums of a block of a tile's begin.
    ///
    /// # Safety
    /// The contract of [`Tile`], which has the block; the processor has the set.
    unsafe fn begin(tile: &Tile, block: usize) -> Self::Total;

    /// `total` plus the product of `self` and `weights`, lane by lane.
    fn add_to(self, weights: Self, total: Self::Total) -> Self::Total;

    /// After so many words at most, and what one segment has more, totals are [settled](Self::settle).
    const UNSETTLED_MAX: usize = usize::MAX;

    /// Adds what a total has gathered in few bits to what it has in many.
    #[inline(always)]
    fn settle(total: Self::Total) -> Self::Total {
        total
    }

    /// What a total of a pixel and block of a tile's becomes. It is settled.
    ///
    /// # Safety
    /// As for [`begin`](Self::begin).
    unsafe fn end(total: Self::Total, tile: &Tile, pixel: usize, block: usize) -> Self::Sum;
}

/// A word is an f32.
impl<V: Lanes> Product for V {
    type Sum = V;
    type Total = V;

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        unsafe { V::load(from) }
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        unsafe { V::splat(from) }
    }

    #[inline(always)]
    unsafe fn begin(tile: &Tile, block: usize) -> V {
        // SAFETY: there is a vector of bias for each block.
        unsafe { V::load(tile.bias.wrapping_add(block * V::N)) }
    }

    #[inline(always)]
    fn add_to(self, weights: Self, total: V) -> V {
        self.mul_add(weights, total)
    }

    #[inline(always)]
    unsafe fn end(total: V, _: &Tile, _: usize, _: usize) -> V {
        total
    }
}

/// A word is two bf16, which are widened to f32 and multiplied as such: for sets that have no instruction for pairs.
#[derive(Clone, Copy)]
pub(super) struct Pairs<V>(V);

impl<V: Lanes> Product for Pairs<V> {
    type Sum = V;
    type Total = V;

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self(unsafe { V::load(from) })
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self(unsafe { V::splat(from) })
    }

    #[inline(always)]
    unsafe fn begin(tile: &Tile, block: usize) -> V {
        // SAFETY: the caller's contract is the same.
        unsafe { <V as Product>::begin(tile, block) }
    }

    #[inline(always)]
    fn add_to(self, weights: Self, total: V) -> V {
        let lower = self.0.lower_bf16().mul_add(weights.0.lower_bf16(), total);
        self.0.upper_bf16().mul_add(weights.0.upper_bf16(), lower)
    }

    #[inline(always)]
    unsafe fn end(total: V, _: &Tile, _: usize, _: usize) -> V {
        total
    }
}

/// A vector of words of four bytes, and how those of an input and of weights are multiplied and summed: exactly.
pub(super) trait Quads: Copy {
    type Sum: Lanes;
    /// A vector of 32-bit integers, as many as a sum has lanes.
    type Total: Copy;

    /// What a byte of the input is less than the number that [`Lanes::store_bytes`] was given: 0 where the set multiplies
    /// 0..=255 with -128..=127, 128 where it multiplies -128..=127 with the same.
    const OFFSET: i32;

    /// # Safety
    /// `from` is valid for reading as many words as a sum has lanes (any alignment), and the processor has the set.
    unsafe fn load_words(from: *const f32) -> Self;

    /// # Safety
    /// `from` is valid for reading one word, and the processor has the set.
    unsafe fn splat_word(from: *const f32) -> Self;

    /// # Safety
    /// As for [`load_words`](Self::load_words): the words are 32-bit integers.
    unsafe fn load_totals(from: *const f32) -> Self::Total;

    /// `total` plus the four products of `self` and `weights`, lane by lane.
    fn add_to(self, weights: Self, total: Self::Total) -> Self::Total;

    /// Rounded to f32.
    fn sum(total: Self::Total) -> Self::Sum;
}

/// Words of four bytes as a product: totals begin where a tile says, and are multiplied with the factors of output and pixel.
#[derive(Clone, Copy)]
pub(super) struct Fours<Q>(Q);

impl<Q: Quads> Product for Fours<Q> {
    type Sum = Q::Sum;
    type Total = Q::Total;

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self(unsafe { Q::load_words(from) })
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self(unsafe { Q::splat_word(from) })
    }

    #[inline(always)]
    unsafe fn begin(tile: &Tile, block: usize) -> Q::Total {
        // SAFETY: with weights of bytes there is a vector of totals for each block.
        unsafe { Q::load_totals(tile.totals.wrapping_add(block * Q::Sum::N)) }
    }

    #[inline(always)]
    fn add_to(self, weights: Self, total: Q::Total) -> Q::Total {
        self.0.add_to(weights.0, total)
    }

    #[inline(always)]
    unsafe fn end(total: Q::Total, tile: &Tile, pixel: usize, block: usize) -> Q::Sum {
        // SAFETY: with weights of bytes there is a vector of factors, and of biases, for each block.
        let of_output =
            |from: *const f32| unsafe { Q::Sum::load(from.wrapping_add(block * Q::Sum::N)) };
        let scale = of_output(tile.scales);
        let factor = scale.mul(scale.filled(tile.factors[pixel]));
        Q::sum(total).mul_add(factor, of_output(tile.bias))
    }
}

/// A vector of words of two f16, and how those of an input and of weights are multiplied and summed: for a while in f16.
pub(super) trait Halves: Copy {
    type Sum: Lanes;
    /// Sums of f16: of even and of odd columns for each lane.
    type Part: Copy;

    /// # Safety
    /// `from` is valid for reading as many words as a sum has lanes (any alignment), and the processor has the set.
    unsafe fn load_words(from: *const f32) -> Self;

    /// # Safety
    /// `from` is valid for reading one word, and the processor has the set.
    unsafe fn splat_word(from: *const f32) -> Self;

    /// # Safety
    /// The processor has the set.
    unsafe fn nothing() -> Self::Part;

    /// `part` plus the products of `self` and `weights`, each rounded once.
    fn add_to(self, weights: Self, part: Self::Part) -> Self::Part;

    /// `sum` plus both sums of each lane, in f32; and nothing.
    fn settle(sum: Self::Sum, part: Self::Part) -> (Self::Sum, Self::Part);
}

/// Words of two f16 as a product: a total is an f32 for each lane, and what has been summed since that was settled.
#[derive(Clone, Copy)]
pub(super) struct Twos<H>(H);

impl<H: Halves> Product for Twos<H> {
    type Sum = H::Sum;
    type Total = (H::Sum, H::Part);

    #[inline(always)]
    unsafe fn load_words(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self(unsafe { H::load_words(from) })
    }

    #[inline(always)]
    unsafe fn splat_word(from: *const f32) -> Self {
        // SAFETY: the caller's contract is the same.
        Self(unsafe { H::splat_word(from) })
    }

    #[inline(always)]
    unsafe fn begin(tile: &Tile, block: usize) -> Self::Total {
        // SAFETY: the caller's contract is the same.
        unsafe { (<H::Sum as Product>::begin(tile, block), H::nothing()) }
    }

    #[inline(always)]
    fn add_to(self, weights: Self, (sum, part): Self::Total) -> Self::Total {
        (sum, self.0.add_to(weights.0, part))
    }

    /// Rounding errors grow with the number of sums that are rounded, and settling takes as long as some four words.
    const UNSETTLED_MAX: usize = 32;

    #[inline(always)]
    fn settle((sum, part): Self::Total) -> Self::Total {
        H::settle(sum, part)
    }

    #[inline(always)]
    unsafe fn end((sum, _): Self::Total, _: &Tile, _: usize, _: usize) -> H::Sum {
        sum
    }
}
