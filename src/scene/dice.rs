//! Chance that a seed repeats: noise, jitter and the order of the photographs.

/// A stream of random numbers that follows from its seed: splitmix64 (Steele, Lea, Flood: Fast splittable
/// pseudorandom number generators, 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// `stream` separates the uses of one seed, so that one more throw in one of them changes no other.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03));
        dice.throw();
        dice
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly spread over 0 ..= 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits of chance are plenty")]
    pub fn unit(&mut self) -> f64 {
        (self.throw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Evenly spread over -1 ..= 1.
    pub fn spread(&mut self) -> f64 {
        self.unit() * 2.0 - 1.0
    }

    /// Mean 0, standard deviation 1: twelve even throws, which makes a bell cut off at ±6 and needs no logarithm.
    pub fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// A random order, by Fisher and Yates.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the remainder is below the index"
    )]
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, (self.throw() % (last as u64 + 1)) as usize);
        }
    }
}
