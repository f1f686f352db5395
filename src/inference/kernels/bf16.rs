//! The number format bf16: the upper half of an f32, that is its whole range with 8 bits of precision.

/// Rounds to the nearest bf16, from the middle between two to the even one. A NaN that arithmetic gives stays one.
pub fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    // The sum could carry a NaN over into another number.
    let half = match value.is_nan() {
        true => 0,
        false => 0x7fff + ((bits >> 16) & 1),
    };
    let [_, _, low, high] = bits.wrapping_add(half).to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// A word of two bf16 that are neighbours in memory.
pub fn word([first, second]: [f32; 2]) -> f32 {
    f32::from_bits(u32::from(round(first)) | u32::from(round(second)) << 16)
}

/// The two numbers of a word.
pub fn numbers(word: f32) -> [f32; 2] {
    let bits = word.to_bits();
    [f32::from_bits(bits << 16), f32::from_bits(bits & !0xffff)]
}

/// The sum of two words, number by number.
pub fn add(x: f32, y: f32) -> f32 {
    let ([a, b], [c, d]) = (numbers(x), numbers(y));
    word([a + c, b + d])
}
