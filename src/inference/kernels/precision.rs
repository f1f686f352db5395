//! How numbers are stored where they are multiplied.

/// How numbers are stored where they are multiplied. Sums are f32, or exact; with f16 those of some dozens of products are f16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    F32,
    /// Half the memory, and twice the speed where the processor multiplies pairs (AVX512-BF16). Each factor is rounded
    /// to 8 bits.
    Bf16,
    /// Half the memory, and twice the speed where the processor multiplies eight f16 at once (ARMv8.2 with fp16: Cortex-A76,
    /// A78AE). Each factor is rounded to 11 bits, and so is each sum of up to 64 words' products, of even and of odd inputs; those
    /// sums are added in f32. Products and sums beyond 65504 are infinite.
    F16,
    /// A quarter of the memory, and up to four times the speed where the processor multiplies bytes by fours (AVX512-VNNI,
    /// dot products of ARM). Weights are whole numbers in -127..=127 times a factor of each output's own; inputs are
    /// whole numbers in -127..=127 times a factor of each row's (or pixel's) own, which is found as it runs, or in 0..=255
    /// where their range is known. The sums of the products are exact.
    Int8,
}

impl Precision {
    /// Columns of a word of 32 bits.
    pub fn columns_per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 | Self::F16 => 2,
            Self::Int8 => 4,
        }
    }
}
