//! Sums of floating-point numbers of any magnitude, without any rounding.
//!
//! The sum is kept as a fixed-point number wide enough for all finite `f64`: chunks of 32 bits in 64-bit words, so that
//! carries wait (R. Neal, *Fast exact summation using small and large superaccumulators*, arXiv 1505.05571). It is rounded
//! once, when it is read.
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

/// A finite number as mantissa and shift: it is `mantissa * 2^shift`, in units of 2^-1074, and its sign.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an exponent has eleven bits"
)]
pub fn split(x: f64) -> Option<(u64, usize)> {
    let bits = x.to_bits();
    match bits >> MANTISSA_BITS & EXPONENT_MAX {
        EXPONENT_MAX => None,
        0 => Some((bits & MANTISSA, 0)),
        exponent => Some((bits & MANTISSA | 1 << MANTISSA_BITS, exponent as usize - 1)),
    }
}

/// The exact sum of any number of `f64`, of any magnitude.
#[derive(Clone, Debug)]
pub struct WideSum {
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

impl Default for WideSum {
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
impl Kept for WideSum {
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

impl WideSum {
    pub fn add(&mut self, x: f64) {
        self.put(x, 1);
    }

    /// Takes out what was added.
    pub fn remove(&mut self, x: f64) {
        self.put(x, -1);
    }

    fn put(&mut self, x: f64, times: i64) {
        let Some((mantissa, shift)) = split(x) else {
            return self.put_special(x, times);
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

    /// Adds `number` * 2^`shift` units.
    #[expect(clippy::cast_possible_truncation, reason = "a chunk of it")]
    pub fn add_whole(&mut self, number: i128, shift: usize) {
        if number == 0 {
            return;
        }
        let sign = number.signum() as i64;
        let mut rest = number.unsigned_abs();
        let mut at = shift / CHUNK_BITS;
        // The lowest chunk has room above the shift.
        let mut take = CHUNK_BITS - shift % CHUNK_BITS;
        self.low = self.low.min(at);
        // BOUND: a number of 128 bits touches five chunks.
        while rest > 0 {
            let part = rest & ((1 << take) - 1);
            let into = CHUNK_BITS - take;
            self.chunks[at] += sign * ((part as i64) << into);
            self.high = self.high.max(at);
            rest >>= take;
            at += 1;
            take = CHUNK_BITS;
        }
        self.count(1);
    }

    /// False if all that was ever added since it was last empty is nothing.
    pub fn is_used(&self) -> bool {
        self.low <= self.high
            || self.not_a_number != 0
            || self.infinite != 0
            || self.minus_infinite != 0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if self.low <= self.high {
            self.chunks[self.low..=self.high].fill(0);
        }
        self.low = CHUNKS;
        self.high = 0;
        self.additions = 0;
        self.not_a_number = 0;
        self.infinite = 0;
        self.minus_infinite = 0;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_are_moved_on_before_a_chunk_is_full() {
        let mut sum = WideSum {
            additions: CARRY_AFTER - 3,
            ..WideSum::default()
        };
        for _ in 0..10 {
            sum.add(-f64::MAX);
            sum.add(f64::MAX);
            sum.add(-0.3);
        }
        let mut few = WideSum::default();
        (0..10).for_each(|_| few.add(-0.3));
        assert_eq!(sum.value(), few.value());
    }
}
