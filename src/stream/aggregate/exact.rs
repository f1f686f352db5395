//! Sums of floating-point numbers without any rounding.
//!
//! The sum is kept as a fixed-point number wide enough for all finite `f64`: chunks of 32 bits in 64-bit words, so that
//! carries wait (R. Neal, *Fast exact summation using small and large superaccumulators*, arXiv 1505.05571). It is rounded
//! once, when it is read. That makes addition associative and gives it an inverse: parts may be summed in any order, and
//! what was added can be taken out again without a trace.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::state::bytes::Fields;
use crate::stream::kept::Kept;

/// Bits of a chunk that hold the number; the others hold carries.
const CHUNK_BITS: usize = 32;
const CHUNK_MASK: u128 = 0xffff_ffff;
/// Finite numbers take 2098 bits, 2^63 of them 63 more, and a sign.
const CHUNKS: usize = (2098 + 63) / CHUNK_BITS + 2;
/// Each addition changes a chunk by less than 2^32, so this many leave it below 2^63.
const CARRY_AFTER: u32 = 1 << 30;

const MANTISSA_BITS: u32 = 52;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;
const EXPONENT_MAX: u64 = 0x7ff;
const INFINITY: u64 = EXPONENT_MAX << MANTISSA_BITS;

/// The exact sum of any number of `f64`.
#[derive(Clone, Debug)]
pub struct ExactSum {
    /// In units of the least positive `f64`, 2^-1074; chunk 0 is the lowest. All outside `low..=high` are 0.
    chunks: [i64; CHUNKS],
    low: usize,
    high: usize,
    /// Additions since carries were last moved on.
    additions: u32,
    not_a_number: i64,
    infinite: i64,
    minus_infinite: i64,
}

impl Default for ExactSum {
    fn default() -> Self {
        Self {
            chunks: [0; CHUNKS],
            low: CHUNKS,
            high: 0,
            additions: 0,
            not_a_number: 0,
            infinite: 0,
            minus_infinite: 0,
        }
    }
}

/// The chunks in use.
impl Kept for ExactSum {
    fn keep(&self, out: &mut Vec<u8>) {
        self.low.keep(out);
        self.high.keep(out);
        let used = self.chunks.get(self.low..=self.high);
        used.unwrap_or_default().keep(out);
        self.additions.keep(out);
        self.not_a_number.keep(out);
        self.infinite.keep(out);
        self.minus_infinite.keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        *self = Self::default();
        self.low.put_back(from)?;
        self.high.put_back(from)?;
        if self.low > CHUNKS || self.high >= CHUNKS {
            return None;
        }
        if let Some(used) = self.chunks.get_mut(self.low..=self.high) {
            used.put_back(from)?;
        }
        self.additions.put_back(from)?;
        self.not_a_number.put_back(from)?;
        self.infinite.put_back(from)?;
        self.minus_infinite.put_back(from)
    }
}

impl ExactSum {
    pub fn add(&mut self, x: f64) {
        self.put(x, 1);
    }

    /// Takes out what was added.
    pub fn remove(&mut self, x: f64) {
        self.put(x, -1);
    }

    #[inline]
    fn put(&mut self, x: f64, times: i64) {
        let bits = x.to_bits();
        let exponent = bits >> MANTISSA_BITS & EXPONENT_MAX;
        if exponent == EXPONENT_MAX {
            return self.put_special(x, times);
        }
        // The number is mantissa * 2^shift, in units of 2^-1074.
        let (mantissa, shift) = match exponent {
            0 => (bits & MANTISSA, 0),
            _ => (bits & MANTISSA | 1 << MANTISSA_BITS, exponent as usize - 1),
        };
        let sign = if x.is_sign_negative() { -times } else { times };
        let low = shift / CHUNK_BITS;
        let wide = u128::from(mantissa) << (shift % CHUNK_BITS);
        self.chunks[low] += sign * (wide & CHUNK_MASK) as i64;
        self.chunks[low + 1] += sign * (wide >> CHUNK_BITS & CHUNK_MASK) as i64;
        self.chunks[low + 2] += sign * (wide >> (2 * CHUNK_BITS)) as i64;
        self.low = self.low.min(low);
        self.high = self.high.max(low + 2);
        self.count(1);
    }

    #[cold]
    fn put_special(&mut self, x: f64, times: i64) {
        if x.is_nan() {
            self.not_a_number += times;
        } else if x > 0.0 {
            self.infinite += times;
        } else {
            self.minus_infinite += times;
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, part: &Self) {
        self.not_a_number += part.not_a_number;
        self.infinite += part.infinite;
        self.minus_infinite += part.minus_infinite;
        if part.low > part.high {
            return;
        }
        for (chunk, more) in self.chunks[part.low..=part.high]
            .iter_mut()
            .zip(&part.chunks[part.low..=part.high])
        {
            *chunk += more;
        }
        self.low = self.low.min(part.low);
        self.high = self.high.max(part.high);
        // Chunks whose carries have been moved on are still worth an addition.
        self.count(part.additions + 1);
    }

    fn count(&mut self, additions: u32) {
        self.additions += additions;
        if self.additions >= CARRY_AFTER {
            self.carry();
        }
    }

    /// Moves carries on: then every chunk but the highest one in use is in `0..2^32`, and that one has the sign.
    fn carry(&mut self) {
        self.additions = 0;
        let mut at = self.low;
        // BOUND: the number of chunks. The highest keeps its carry while it is short.
        while at < self.high
            || (at == self.high && self.chunks[at] >> CHUNK_BITS != self.chunks[at] >> 63)
        {
            let carry = self.chunks[at] >> CHUNK_BITS;
            self.chunks[at] -= carry << CHUNK_BITS;
            self.chunks[at + 1] += carry;
            at += 1;
            self.high = self.high.max(at);
        }
    }

    /// The sum, rounded once: to the nearest `f64`, to even on a tie, infinite if too large.
    pub fn value(&self) -> f64 {
        if self.not_a_number > 0 || (self.infinite > 0 && self.minus_infinite > 0) {
            return f64::NAN;
        }
        if self.infinite > 0 {
            return f64::INFINITY;
        }
        if self.minus_infinite > 0 {
            return f64::NEG_INFINITY;
        }
        let mut sum = self.clone();
        sum.carry();
        let mut from_top = (sum.low..=sum.high).rev().map(|at| sum.chunks[at]);
        let is_negative = from_top
            .find(|chunk| *chunk != 0)
            .is_some_and(|top| top < 0);
        if is_negative {
            for chunk in &mut sum.chunks {
                *chunk = -*chunk;
            }
            sum.carry();
        }
        let magnitude = f64::from_bits(sum.magnitude());
        if is_negative { -magnitude } else { magnitude }
    }

    /// The bits of the rounded sum, which is not negative and whose carries have been moved on.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "chunks are in 0..2^32, and a mantissa has 54 bits"
    )]
    fn magnitude(&self) -> u64 {
        let Some(top) = (self.low..=self.high)
            .rev()
            .find(|at| self.chunks[*at] != 0)
        else {
            return 0;
        };
        let chunk = |below: usize| {
            top.checked_sub(below)
                .map_or(0, |at| self.chunks[at] as u128)
        };
        let leading = chunk(0) << (2 * CHUNK_BITS) | chunk(1) << CHUNK_BITS | chunk(2);
        // `leading` is in units of 2^unit, and the whole sum has this many bits.
        let leading_bits = 128 - leading.leading_zeros() as usize;
        let bits = (leading_bits + top * CHUNK_BITS).saturating_sub(2 * CHUNK_BITS);
        let mantissa_bits = MANTISSA_BITS as usize + 1;
        if bits <= mantissa_bits {
            // The number is in units of the least `f64`, and so are these bits: also where it is subnormal.
            return (leading >> ((2 - top.min(2)) * CHUNK_BITS)) as u64;
        }
        let cut = leading_bits - mantissa_bits;
        let mut mantissa = (leading >> cut) as u64;
        let rest = leading & ((1 << cut) - 1);
        let half = 1 << (cut - 1);
        let is_more = || (self.low..top.saturating_sub(2)).any(|at| self.chunks[at] != 0);
        if rest > half || (rest == half && (mantissa % 2 == 1 || is_more())) {
            mantissa += 1;
        }
        // The leading one of the mantissa counts into the exponent, and so does a carry out of it.
        let exponent = (bits - mantissa_bits) as u64;
        (mantissa + (exponent << MANTISSA_BITS)).min(INFINITY)
    }

    /// The sum as numbers that add up to it, the greatest first: as many as it takes, at most `N`, the others 0.
    pub fn parts<const N: usize>(&self) -> [f64; N] {
        let mut rest = self.clone();
        let mut parts = [0.0; N];
        for part in &mut parts {
            *part = rest.value();
            if *part == 0.0 || !part.is_finite() {
                break;
            }
            rest.remove(*part);
        }
        parts
    }

    /// Adds a product of two numbers, exactly where it is neither too large for an `f64` nor below 2^-968.
    pub fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add(product);
        if product.is_finite() {
            self.add(a.mul_add(b, -product));
        }
    }

    /// Takes out what [`add_product`](Self::add_product) added.
    pub fn remove_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.remove(product);
        if product.is_finite() {
            self.remove(a.mul_add(b, -product));
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss
)]
mod tests {
    use super::*;

    fn sum(numbers: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        for x in numbers {
            sum.add(*x);
        }
        sum.value()
    }

    #[test]
    fn one_number_comes_back_as_it_went_in() {
        let least = f64::from_bits(1);
        let edges = [
            0.0,
            1.0,
            -1.0,
            0.1,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            least,
            -least,
            1e300,
            1e-310,
            4503599627370496.0,
        ];
        for x in edges {
            assert_eq!(sum(&[x]).to_bits(), (x + 0.0).to_bits(), "{x:e}");
        }
        let mut bits = 1_u64;
        for _ in 0..100_000 {
            bits = bits
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let x = f64::from_bits(bits ^ bits >> 31);
            if x.is_finite() {
                assert_eq!(sum(&[x]), x, "{x:e}");
            }
        }
    }

    #[test]
    fn a_sum_is_rounded_once_and_ties_go_to_even() {
        // What one would add in a wider type, and read as f64 in the end.
        assert_eq!(sum(&[1e16, 1.0, 1.0]), 1e16 + 2.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        let ulp = f64::EPSILON;
        assert_eq!(sum(&[1.0, ulp / 2.0]), 1.0);
        assert_eq!(sum(&[1.0 + ulp, ulp / 2.0]), 1.0 + 2.0 * ulp);
        assert_eq!(sum(&[1.0, ulp / 2.0, 1e-300]), 1.0 + ulp);
        assert_eq!(sum(&[-1.0, -ulp / 2.0, -1e-300]), -1.0 - ulp);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[f64::MAX, f64::MAX, f64::MIN]), f64::MAX);
        assert_eq!(sum(&[]), 0.0);
    }

    #[test]
    fn a_sum_is_the_same_as_that_of_whole_numbers() {
        let mut bits = 7_u64;
        for round in 0..2_000 {
            let mut whole = 0_i128;
            let mut exact = ExactSum::default();
            let mut parts = [ExactSum::default(), ExactSum::default()];
            for k in 0..1 + round % 50 {
                bits = bits
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let x = (bits as i64 >> 11) as f64 * f64::from(1_u32 << (bits >> 3 & 31));
                whole += x as i128;
                exact.add(x);
                parts[usize::from(k % 3 == 0)].add(x);
            }
            // Rust rounds an integer to the nearest f64, ties to even.
            assert_eq!(exact.value(), whole as f64);
            let [mut one, other] = parts;
            one.merge(&other);
            assert_eq!(one.value(), whole as f64);
        }
    }

    #[test]
    fn what_is_taken_out_leaves_no_trace() {
        let mut exact = ExactSum::default();
        for x in [0.1, 1e200, -3.5, f64::INFINITY, f64::NAN] {
            exact.add(x);
        }
        assert!(exact.value().is_nan());
        for x in [1e200, f64::NAN, f64::INFINITY, -3.5] {
            exact.remove(x);
        }
        assert_eq!(exact.value(), 0.1);
    }

    #[test]
    fn carries_are_moved_on_before_a_chunk_is_full() {
        let mut exact = ExactSum {
            additions: CARRY_AFTER - 3,
            ..ExactSum::default()
        };
        for _ in 0..10 {
            exact.add(-f64::MAX);
            exact.add(f64::MAX);
            exact.add(-0.3);
        }
        assert_eq!(exact.value(), sum(&[-0.3; 10]));
    }
}
