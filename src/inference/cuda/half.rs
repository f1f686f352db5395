//! Numbers of 16 bits: 10 of fraction, 5 of exponent (IEEE 754 binary16).
//!
//! Thread: start-up. Allocates: no.

/// The nearest, of two equally near the one whose last bit is 0; beyond 65504 infinity.
#[expect(clippy::cast_possible_truncation, reason = "the bits that are kept")]
pub fn bits(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let size = bits & 0x7fff_ffff;
    if size > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    // Halfway between the largest and what would be the next.
    if size >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    // Below 2^-14 the last bit stands for 2^-24: adding a number whose last bit stands for the same rounds there.
    if size < 0x3880_0000 {
        let sum = f32::from_bits(size) + 0.5;
        return sign | (sum.to_bits() - 0.5f32.to_bits()) as u16;
    }
    let rounded = size + 0xfff + (size >> 13 & 1);
    sign | ((rounded - (112 << 23)) >> 13) as u16
}

#[cfg(test)]
mod tests {
    use super::bits;

    #[test]
    fn known_numbers_have_the_bits_of_the_standard() {
        let known = [
            (0.0, 0),
            (-0.0, 0x8000),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (65519.99, 0x7bff),
            (65520.0, 0x7c00),
            (1e9, 0x7c00),
            (6.103_515_6e-5, 0x0400),
            (5.960_464_5e-8, 0x0001),
            (2.980_232_2e-8, 0),
            (2.980_232_6e-8, 1),
            (1.0 / 3.0, 0x3555),
            (f32::INFINITY, 0x7c00),
            (f32::NEG_INFINITY, 0xfc00),
            // Halfway: to the even one.
            (1.0 + 1.0 / 2048.0, 0x3c00),
            (1.0 + 3.0 / 2048.0, 0x3c02),
            (0.999_999_9, 0x3c00),
        ];
        for (x, expected) in known {
            assert_eq!(bits(x), expected, "{x}");
        }
        assert_eq!(bits(f32::NAN) & 0x7c00, 0x7c00);
        assert_ne!(bits(f32::NAN) & 0x3ff, 0);
    }
}
