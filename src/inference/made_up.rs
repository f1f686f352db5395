//! Weights of no training, for measuring and for tests: the time of a network does not depend on them.
//!
//! Thread: any. Allocates: yes.

use super::tensors::Source;
use crate::error::Result;

/// A tensor of whatever name and shape it is asked for: always the same for the same name, and such that the size of what
/// goes through a network stays about what it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct MadeUp;

impl Source for MadeUp {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (mean, spread) = range(name, shape);
        let mut random = SplitMix(name.bytes().fold(1, |seed, byte| {
            seed.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte)
        }));
        let count = shape.iter().product();
        Ok((0..count).map(|_| mean + spread * random.next()).collect())
    }
}

/// The middle of a tensor's values, and how far they go from there.
fn range(name: &str, shape: &[usize]) -> (f32, f32) {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand inputs at most")]
    let inputs = shape[1..].iter().product::<usize>() as f32;
    match shape.len() {
        1 if name.ends_with("running_var") => (1.0, 0.5),
        1 if name.ends_with("gamma") => (0.5, 0.5),
        1 if name.ends_with("weight") => (1.0, 0.2),
        1 => (0.0, 0.1),
        3 => (0.0, 1.0),
        // About half of what comes out of some convolutions is cut off behind them.
        4 => (0.0, (4.0 / inputs).sqrt()),
        _ => (0.0, (3.0 / inputs).sqrt()),
    }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct SplitMix(u64);

impl SplitMix {
    /// From -1 to 1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit in an f32")]
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}
