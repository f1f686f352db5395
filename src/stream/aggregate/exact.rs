//! Sums of floating-point numbers without any rounding.
//!
//! The sum is a fixed-point number that is rounded once, when it is read. That makes addition associative and gives it an
//! inverse: parts may be summed in any order, and what was added can be taken out again without a trace. Numbers of similar
//! magnitude, which is what sensors give, are summed in one word of 128 bits whose lowest bit is chosen by the first of
//! them: room for a mantissa, and for 75 binades of carries and of differences in magnitude. What does not fit there goes to
//! a number as wide (`super::wide`) as all `f64` need.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::state::bytes::Fields;
use crate::stream::aggregate::wide::{WideSum, split};
use crate::stream::kept::Kept;

/// The exact sum of any number of `f64`.
#[derive(Clone, Debug, Default)]
pub struct ExactSum {
    narrow: Narrow,
    /// What did not fit.
    wide: WideSum,
}

impl Kept for ExactSum {
    fn keep(&self, out: &mut Vec<u8>) {
        self.narrow.keep(out);
        self.wide.is_used().keep(out);
        if self.wide.is_used() {
            self.wide.keep(out);
        }
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        self.narrow.put_back(from)?;
        let mut is_wide = false;
        is_wide.put_back(from)?;
        self.wide.clear();
        if is_wide {
            self.wide.put_back(from)?;
        }
        Some(())
    }
}

impl ExactSum {
    #[inline]
    pub fn add(&mut self, x: f64) {
        if !self.narrow.put(x, false) {
            self.put_far(x, false);
        }
    }

    /// Takes out what was added.
    #[inline]
    pub fn remove(&mut self, x: f64) {
        if !self.narrow.put(x, true) {
            self.put_far(x, true);
        }
    }

    #[cold]
    fn put_far(&mut self, x: f64, is_out: bool) {
        if x == 0.0 {
            return;
        }
        if self.narrow.make_room(x) && self.narrow.put(x, is_out) {
            return;
        }
        if is_out {
            self.wide.remove(x);
        } else {
            self.wide.add(x);
        }
    }

    /// Adds another sum.
    #[inline]
    pub fn merge(&mut self, part: &Self) {
        if !self.narrow.merge(&part.narrow) {
            self.wide.add_whole(part.narrow.sum, part.narrow.unit);
        }
        if part.wide.is_used() {
            self.wide.merge(&part.wide);
        }
    }

    /// Forgets everything.
    #[inline]
    pub fn clear(&mut self) {
        // With the same unit: what comes next is probably like what came before.
        self.narrow.sum = 0;
        if self.wide.is_used() {
            self.wide.clear();
        }
    }

    /// The sum, rounded once: to the nearest `f64`, to even on a tie, infinite if too large.
    #[inline]
    pub fn value(&self) -> f64 {
        if self.wide.is_used() {
            self.wide_value()
        } else {
            self.narrow.value()
        }
    }

    #[cold]
    fn wide_value(&self) -> f64 {
        let mut sum = self.wide.clone();
        sum.add_whole(self.narrow.sum, self.narrow.unit);
        sum.value()
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

/// How far a mantissa may be moved up in a word of 127 bits and a sign.
const ROOM: usize = 127 - 53;
/// The first number lies at least this far above the lowest bit: smaller ones may follow.
const BELOW: usize = 16;
/// Units are chosen in such steps, so that sums of similar numbers have the same.
const STEP: usize = 32;
/// That of the greatest numbers, with nothing below.
const UNIT_MAX: usize = 2045;
/// No unit was chosen yet: nothing fits.
const NO_UNIT: usize = usize::MAX / 2;

/// A sum of numbers whose bits all lie within one word.
#[derive(Clone, Copy, Debug)]
struct Narrow {
    /// In units of 2^(`unit` - 1074).
    sum: i128,
    unit: usize,
}

impl Kept for Narrow {
    fn keep(&self, out: &mut Vec<u8>) {
        self.sum.cast_unsigned().keep(out);
        self.unit.keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        let mut sum = 0_u128;
        sum.put_back(from)?;
        self.sum = sum.cast_signed();
        self.unit.put_back(from)?;
        let is_chosen = self.unit <= UNIT_MAX;
        (is_chosen || (self.unit == NO_UNIT && self.sum == 0)).then_some(())
    }
}

impl Default for Narrow {
    fn default() -> Self {
        Self {
            sum: 0,
            unit: NO_UNIT,
        }
    }
}

impl Narrow {
    /// False if the number does not fit: then nothing has changed.
    #[inline]
    fn put(&mut self, x: f64, is_out: bool) -> bool {
        let Some((mantissa, shift)) = split(x) else {
            return false;
        };
        // Below the unit this wraps, and is more than there is room for.
        let up = shift.wrapping_sub(self.unit);
        if up > ROOM {
            return false;
        }
        let term = i128::from(mantissa) << up;
        let is_less = x.is_sign_negative() != is_out;
        let term = if is_less { -term } else { term };
        match self.sum.checked_add(term) {
            Some(sum) => {
                self.sum = sum;
                true
            }
            None => false,
        }
    }

    /// Chooses a unit with which the number may fit. False if there is none.
    fn make_room(&mut self, x: f64) -> bool {
        let Some((_, shift)) = split(x) else {
            return false;
        };
        if self.sum == 0 {
            self.unit = shift.saturating_sub(BELOW) / STEP * STEP;
            true
        } else if shift < self.unit {
            self.lower(shift / STEP * STEP)
        } else {
            // Only where the low bits are all 0.
            let up = (shift - self.unit).saturating_sub(ROOM).div_ceil(STEP) * STEP;
            let is_free = (self.sum.trailing_zeros() as usize) >= up;
            if up > 0 && is_free {
                self.sum >>= up;
                self.unit += up;
            }
            up > 0 && is_free
        }
    }

    /// A lower unit, if the sum still fits.
    #[inline]
    fn lower(&mut self, unit: usize) -> bool {
        let by = self.unit - unit;
        let bits = 128 - self.sum.unsigned_abs().leading_zeros() as usize;
        let fits = by < 127 && bits + by < 127;
        if fits {
            self.sum <<= by;
            self.unit = unit;
        }
        fits
    }

    /// False if the part does not fit: then the sum has not changed.
    #[inline]
    fn merge(&mut self, part: &Self) -> bool {
        if part.sum == 0 {
            return true;
        }
        if self.sum == 0 {
            *self = *part;
            return true;
        }
        let mut part = *part;
        let has_one_unit = self.unit == part.unit
            || (self.unit > part.unit && self.lower(part.unit))
            || (self.unit < part.unit && part.lower(self.unit));
        if !has_one_unit {
            return false;
        }
        match self.sum.checked_add(part.sum) {
            Some(sum) => {
                self.sum = sum;
                true
            }
            None => false,
        }
    }

    /// Rounded to nearest, to even on a tie: as an integer is, since what is subnormal needs no rounding here.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "this is the rounding")]
    fn value(&self) -> f64 {
        if self.sum == 0 {
            return 0.0;
        }
        self.sum as f64 * power_of_two(self.unit)
    }
}

/// 2^(`unit` - 1074), for a unit that some number has: at most 2046.
#[inline]
fn power_of_two(unit: usize) -> f64 {
    match unit as u64 {
        unit @ 0..52 => f64::from_bits(1 << unit),
        unit => f64::from_bits((unit - 51) << 52),
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

    const MANTISSAS: u64 = (1 << 52) - 1;

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
    fn numbers_of_any_magnitudes_are_summed_as_if_all_were_wide() {
        let mut bits = 11_u64;
        let mut next = move || {
            bits = bits
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            bits >> 8
        };
        for round in 0..4_000 {
            // How far apart the magnitudes lie decides what fits into a word.
            let spread = [1, 20, 60, 74, 90, 300, 2000][round % 7];
            let middle = 40 + next() % (2046 - 80);
            let (mut exact, mut part) = (ExactSum::default(), ExactSum::default());
            let mut wide = WideSum::default();
            let mut kept = Vec::new();
            for _ in 0..1 + next() % 40 {
                let exponent = (middle + next() % spread).min(2045);
                // Often with few bits set, and sometimes nothing.
                let mantissa = next() & (MANTISSAS >> (next() % 53)) << (next() % 30) & MANTISSAS;
                let x = f64::from_bits(exponent << 52 | mantissa | (next() & 1) << 63);
                let x = if next() % 20 == 0 { 0.0 } else { x };
                match next() % 8 {
                    0 => part.add(x),
                    1 => {
                        exact.merge(&part);
                        part.clear();
                        exact.add(x);
                    }
                    2 if !kept.is_empty() => {
                        let old = kept.swap_remove(next() as usize % kept.len());
                        exact.remove(old);
                        wide.remove(old);
                        exact.add(x);
                    }
                    _ => {
                        exact.add(x);
                        kept.push(x);
                    }
                }
                wide.add(x);
            }
            exact.merge(&part);
            assert_eq!(
                exact.value().to_bits(),
                wide.value().to_bits(),
                "round {round}"
            );
            let parts: [f64; 40] = exact.parts();
            let mut rest = exact.clone();
            for x in parts.into_iter().take_while(|x| x.is_finite()) {
                rest.remove(x);
            }
            if exact.value().is_finite() {
                assert_eq!(rest.value(), 0.0, "round {round}: the parts are the whole");
            }
        }
    }

    #[test]
    fn a_sum_that_outgrows_its_word_is_still_exact() {
        let mut exact = ExactSum::default();
        let mut doubled = 1.0;
        exact.add(1.0);
        for _ in 0..200 {
            exact.merge(&exact.clone());
            doubled *= 2.0;
        }
        exact.add(1.0);
        assert_eq!(exact.value(), doubled);
        exact.remove(doubled);
        assert_eq!(exact.value(), 1.0);
    }

    #[test]
    fn readings_of_a_sensor_stay_in_one_word() {
        let mut exact = ExactSum::default();
        for k in 1..100_000_u32 {
            exact.add((f64::from(k) * 0.37).sin() * 1e3 + 1e-6);
        }
        assert!(!exact.wide.is_used());
    }
}
