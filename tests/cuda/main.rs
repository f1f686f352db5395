//! The CUDA kernels and their programs without a GPU: compiled for this processor, on fuzzed shapes and on whole networks,
//! against candle; and a runner on a driver that is stood in for, with a device and without.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod camera;
mod emulated;
mod layers;
mod networks;
mod runner;

use reflexarc::inference::cuda::Program;
use reflexarc::inference::cuda::compile::Feed;
use reflexarc::inference::cuda::program::Numbers;
use reflexarc::inference::network::Network;
use reflexarc::inference::plan::{Input, Inputs};
use reflexarc::inference::reference::Reference;

use emulated::Emulator;

/// Multiprocessors of the device that is stood in for: of an Orin Nano, so that both shapes of tiles come.
const MULTIPROCESSORS: usize = 8;

/// A sequence that looks like chance (Steele, Lea and Flood's SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub fn from(&mut self, range: std::ops::RangeInclusive<usize>) -> usize {
        let count = (range.end() - range.start() + 1) as u64;
        range.start() + (self.bits() % count) as usize
    }

    /// From -1 to 1.
    pub fn value(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.value()).collect()
    }
}

/// The largest difference, relative to the largest value; infinite where one is not finite.
pub fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "values");
    let largest = expected.iter().fold(1e-6f32, |most, v| most.max(v.abs()));
    let pairs = found.iter().zip(expected);
    let off = pairs
        .map(|(a, b)| (a - b).abs())
        .map(|d| if d.is_finite() { d } else { f32::INFINITY });
    off.fold(0.0, f32::max) / largest
}

/// The input's bytes, and those of the conditions in their places.
fn bytes(program: &Program, inputs: Inputs<'_>) -> Vec<u8> {
    let Inputs { input, conditions } = inputs;
    let floats =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let mut all = match input {
        Input::Words(words) => words.iter().flat_map(|w| w.to_le_bytes()).collect(),
        Input::Rows(values) | Input::Picture(values) => floats(values),
    };
    for (place, values) in program.conditions.iter().zip(conditions) {
        all.resize(place.start, 0xff);
        all.extend(floats(values));
    }
    all
}

/// How far the kernels are from candle, in f32 and in f16.
pub fn compare<'a>(
    emulator: &Emulator,
    network: &Network,
    inputs: impl Into<Inputs<'a>>,
    rows: usize,
    turned: bool,
) -> [f32; 2] {
    let inputs = inputs.into();
    let candle = Reference::new(network).unwrap();
    let expected = candle.run(inputs, &[rows]).unwrap();
    [Numbers::F32, Numbers::F16].map(|numbers| {
        let program = Program::new(network, &Feed::Values, numbers, rows, MULTIPROCESSORS).unwrap();
        let found = emulator.run(&program, &bytes(&program, inputs), turned);
        difference(&found, &expected)
    })
}
