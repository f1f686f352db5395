//! How numbers are stored where they are multiplied.

/// How numbers are stored where they are multiplied. Sums are always f32, or exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    F32,
    /// Half the memory, and twice the speed where the processor multiplies pairs (AVX512-BF16). Each factor is rounded
    /// to 8 bits.
    Bf16,
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
            Self::Bf16 => 2,
            Self::Int8 => 4,
        }
    }
}
