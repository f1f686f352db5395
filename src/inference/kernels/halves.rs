//! The number format f16 (binary16 of IEEE 754): 11 bits of precision between 2^-14 and 65504, less down to 2^-24.

/// Rounds to the nearest f16, from the middle between two to the even one; what is too large becomes infinite. A NaN stays one.
pub fn round(value: f64) -> u16 {
    let sign = u16::from(value.is_sign_negative()) << 15;
    let size = value.abs();
    // The middle between the largest f16 and what would be the next.
    const TOO_LARGE: f64 = 65520.0;
    const INFINITE: u16 = 0x7c00;
    sign | match size {
        _ if size.is_nan() => INFINITE | 0x200,
        _ if size >= TOO_LARGE => INFINITE,
        _ => {
            // Whole numbers of what the last bit is worth; below 2^-14 that is always 2^-24.
            let exponent = exponent(size).max(-14);
            let whole = (size / 2f64.powi(exponent - 10)).round_ties_even();
            // A number that was rounded up to the next power carries into the exponent, as it should.
            whole_to_u16(whole) + power_bits(exponent)
        }
    }
}

/// The number that these bits are.
pub fn number(bits: u16) -> f32 {
    let (exponent, fraction) = (bits >> 10 & 0x1f, f32::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// A word of two f16 that are neighbours in memory.
pub fn word([first, second]: [f32; 2]) -> f32 {
    let [first, second] = [first, second].map(|number| u32::from(round(f64::from(number))));
    f32::from_bits(first | second << 16)
}

/// The two numbers of a word.
pub fn numbers(word: f32) -> [f32; 2] {
    let [a, b, c, d] = word.to_bits().to_le_bytes();
    [[a, b], [c, d]].map(|bytes| number(u16::from_le_bytes(bytes)))
}

/// Rounds eight numbers, as [`round`] does.
#[cfg(target_arch = "aarch64")]
fn eight(values: &[f32; 8]) -> [u16; 8] {
    use std::arch::aarch64::{vcvt_f16_f32, vld1q_f32, vreinterpret_u16_f16, vst1_u16};
    let mut halves = [0; 8];
    for four in [0, 4] {
        // SAFETY: NEON is part of the baseline; four numbers are read and written in arrays of eight, from the first or the fifth.
        unsafe {
            let rounded = vcvt_f16_f32(vld1q_f32(values.as_ptr().add(four)));
            vst1_u16(halves.as_mut_ptr().add(four), vreinterpret_u16_f16(rounded));
        }
    }
    halves
}

#[cfg(not(target_arch = "aarch64"))]
fn eight(values: &[f32; 8]) -> [u16; 8] {
    values.map(|value| round(f64::from(value)))
}

/// Rounds numbers, eight for each four words.
///
/// # Panics
/// If there are not twice as many numbers as words, or they are no multiple of eight.
pub fn round_all(numbers: &[f32], words: &mut [f32]) {
    let (numbers, rest) = numbers.as_chunks::<8>();
    let (words, no_words) = words.as_chunks_mut::<4>();
    assert!(
        rest.is_empty() && no_words.is_empty() && numbers.len() == words.len(),
        "two numbers for each word, and whole vectors"
    );
    for (words, numbers) in words.iter_mut().zip(numbers) {
        let halves = eight(numbers).map(u32::from);
        *words = std::array::from_fn(|i| f32::from_bits(halves[2 * i] | halves[2 * i + 1] << 16));
    }
}

/// Of 2 to this power, as f64 says it; of 0 and what is smaller than any f16 something below -14.
fn exponent(size: f64) -> i32 {
    let [.., a, b] = size.to_bits().to_le_bytes();
    i32::from(u16::from_le_bytes([a, b]) >> 4) - 1023
}

/// What is added to 1024..=2048 (or less, where the exponent is -14 for smaller numbers) so that it is the bits of an f16.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0..=29 times 1024"
)]
fn power_bits(exponent: i32) -> u16 {
    ((exponent + 14) * 1024) as u16
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0..=2048"
)]
fn whole_to_u16(whole: f64) -> u16 {
    whole as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_and_what_is_between_two_goes_to_the_nearer() {
        for bits in 0..0x7c00u16 {
            for sign in [0, 0x8000] {
                let bits = bits | sign;
                assert_eq!(round(f64::from(number(bits))), bits);
            }
            let (this, next) = (f64::from(number(bits)), f64::from(number(bits + 1)));
            if next.is_infinite() {
                continue;
            }
            let middle = f64::midpoint(this, next);
            assert_eq!(
                round(middle),
                bits + (bits & 1),
                "from the middle of {this}"
            );
            assert_eq!(round(middle.next_down()), bits);
            assert_eq!(round(middle.next_up()), bits + 1);
        }
    }

    #[test]
    fn what_is_too_large_is_infinite_and_a_nan_stays_one() {
        assert_eq!(round(65504.0), 0x7bff);
        assert_eq!(round(65519.9), 0x7bff);
        assert_eq!(round(65520.0), 0x7c00);
        assert_eq!(round(-1e300), 0xfc00);
        assert_eq!(round(1e-300), 0);
        assert!(number(round(f64::NAN)).is_nan());
        assert_eq!(number(round(f64::from(f32::INFINITY))), f32::INFINITY);
    }

    #[test]
    fn eight_are_rounded_as_one_is() {
        let numbers: [f32; 16] = [
            1e-9,
            3e-8,
            -7e-6,
            6.2e-5,
            0.1,
            -1.0 / 3.0,
            77.77,
            2049.0,
            2051.0,
            -65519.0,
            7e4,
            0.0,
            -0.0,
            1e30,
            4e-41,
            1.0,
        ];
        let mut words = [0.0; 8];
        round_all(&numbers, &mut words);
        for (word, pair) in words.iter().zip(numbers.as_chunks::<2>().0) {
            assert_eq!(word.to_bits(), super::word(*pair).to_bits(), "{pair:?}");
        }
    }
}
