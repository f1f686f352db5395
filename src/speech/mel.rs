//! The spectrum that the recogniser reads: 80 mel bands of 25 ms windows, 100 a second, as Whisper was trained on them (Radford et
//! al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, section 2.2).
//!
//! Thread: language. Allocates: in `new`, and for its result. Blocks: no.

use std::f64::consts::PI;

use super::RATE;
use crate::inference::kernels::Isa;
use crate::inference::network::{Linear, Network};
use crate::inference::plan::{Input, Limits, Plan, Precision};

/// Samples of a window, and from one to the next.
const WINDOW: usize = 400;
pub const HOP: usize = 160;
const BINS: usize = WINDOW / 2 + 1;
pub const BANDS: usize = 80;
/// Windows that are transformed at once.
const BATCH: usize = 100;
/// Below this, and below the loudest less 8 (80 dB), nothing is told apart.
const LEAST: f32 = 1e-10;
const RANGE: f32 = 8.0;

/// See the module.
pub struct Mel {
    /// A discrete Fourier transform with Hann's window in its factors.
    transform: Plan,
    /// For each band its first bin, and the weights of the bins from there on.
    bands: Vec<(usize, Vec<f32>)>,
    windows: Vec<f32>,
    spectra: Vec<f32>,
}

impl Mel {
    pub fn new(isa: Isa) -> Self {
        let mut net = Network::default();
        let rows = net.rows(WINDOW);
        net.linear(rows, transform());
        let limits = Limits {
            rows: BATCH,
            sequences: 1,
        };
        Self {
            transform: Plan::new(&net, isa, Precision::F32, limits),
            bands: (0..BANDS).map(band).collect(),
            windows: vec![0.0; BATCH * WINDOW],
            spectra: vec![0.0; BATCH * 2 * BINS],
        }
    }

    /// `[window][band]` of `count` windows, with silence behind the samples.
    pub fn spectrum(&mut self, samples: &[f32], count: usize) -> Vec<f32> {
        let mut bands = vec![0.0; count * BANDS];
        let mut first = 0;
        for rows in bands.chunks_mut(BATCH * BANDS) {
            let batch = rows.len() / BANDS;
            for (n, window) in self
                .windows
                .chunks_exact_mut(WINDOW)
                .take(batch)
                .enumerate()
            {
                fill(window, samples, (first + n) * HOP);
            }
            let (windows, spectra) = (
                &self.windows[..batch * WINDOW],
                &mut self.spectra[..batch * 2 * BINS],
            );
            self.transform.run(Input::Rows(windows), &[batch], spectra);
            for (row, spectrum) in rows
                .chunks_exact_mut(BANDS)
                .zip(spectra.chunks_exact_mut(2 * BINS))
            {
                let (real, imaginary) = spectrum.split_at_mut(BINS);
                real.iter_mut()
                    .zip(imaginary)
                    .for_each(|(r, i)| *r = *r * *r + *i * *i);
                for (value, (first, weights)) in row.iter_mut().zip(&self.bands) {
                    let power: f32 = weights
                        .iter()
                        .zip(&real[*first..])
                        .map(|(w, p)| w * p)
                        .sum();
                    *value = power.max(LEAST).log10();
                }
            }
            first += batch;
        }
        let loudest = bands.iter().copied().fold(f32::MIN, f32::max);
        for value in &mut bands {
            *value = (value.max(loudest - RANGE) + 4.0) / 4.0;
        }
        bands
    }
}

/// The window whose middle is at `middle`; before the first sample the sound is mirrored.
fn fill(window: &mut [f32], samples: &[f32], middle: usize) {
    for (k, value) in window.iter_mut().enumerate() {
        let at = (middle + k).abs_diff(WINDOW / 2);
        *value = samples.get(at).copied().unwrap_or(0.0);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "computed in f64, used as f32"
)]
fn transform() -> Linear {
    let hann = |n: usize| 0.5 - 0.5 * (2.0 * PI * n as f64 / WINDOW as f64).cos();
    // The turn is taken modulo the window first, where it is exact.
    let turn = |k: usize, n: usize| 2.0 * PI * ((k * n) % WINDOW) as f64 / WINDOW as f64;
    let part = |of: fn(f64) -> f64| {
        (0..BINS).flat_map(move |k| (0..WINDOW).map(move |n| (hann(n) * of(turn(k, n))) as f32))
    };
    Linear {
        weights: part(f64::cos).chain(part(|turn| -turn.sin())).collect(),
        bias: vec![0.0; 2 * BINS].into(),
    }
}

/// A triangle on the mel scale of Slaney's Auditory Toolbox, of area 1 in hertz.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "computed in f64, used as f32"
)]
fn band(index: usize) -> (usize, Vec<f32>) {
    // Linear to 1 kHz (mel 15), then 27 steps for each factor of 6.4.
    let step = 6.4_f64.ln() / 27.0;
    let hertz = |mel: f64| {
        if mel < 15.0 {
            mel * 200.0 / 3.0
        } else {
            1_000.0 * (step * (mel - 15.0)).exp()
        }
    };
    let highest = 15.0 + (f64::from(RATE) / 2.0 / 1_000.0).ln() / step;
    let edge = |n: usize| hertz(highest * n as f64 / (BANDS + 1) as f64);
    let [low, middle, high] = [0, 1, 2].map(|n| edge(index + n));
    let weight = |bin: usize| {
        let f = bin as f64 * f64::from(RATE) / WINDOW as f64;
        let height = ((f - low) / (middle - low)).min((high - f) / (high - middle));
        (height.max(0.0) * 2.0 / (high - low)) as f32
    };
    let first = (0..BINS).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
    let weights = (first..BINS).map(weight).take_while(|&w| w > 0.0);
    (first, weights.collect())
}
