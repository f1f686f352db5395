//! From a device's rate to 16 kHz: a polyphase filter with a Kaiser window.
//!
//! The filter is the one of `scipy.signal.resample_poly`: a windowed sinc of `20 max(up, down) + 1` taps at the lower of the
//! two rates' bounds, Kaiser's beta 5. Its delay of 10 periods of the lower rate (0.6 ms at 16 kHz) is taken off the stamps.
//!
//! Thread: the sensor's. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: none.

use super::RATE;

/// Taps on each side, in periods of the lower rate.
const REACH: usize = 10;
const BETA: f64 = 5.0;

/// See the module.
#[derive(Clone, Debug)]
pub struct Resampler {
    up: usize,
    down: usize,
    /// `[phase][tap]`, the newest sample's first.
    taps: Box<[f32]>,
    each: usize,
    /// The last samples, twice over, so that the newest lie side by side.
    ring: Box<[f32]>,
    at: usize,
    /// Where the next output lies, in steps of `1 / up` of an input's period after the newest input.
    phase: usize,
}

impl Resampler {
    /// From `rate` samples a second.
    pub fn new(rate: u32) -> Self {
        let common = gcd(rate, RATE);
        let (up, down) = ((RATE / common) as usize, (rate / common) as usize);
        let wide = up.max(down);
        let half = REACH * wide;
        // Each phase has the taps that fall on an input; the first has one more than the others can have.
        let each = (2 * half + 1).div_ceil(up);
        let filter = filter(half, wide, up);
        let tap = |phase: usize, tap: usize| filter.get(phase + tap * up).copied().unwrap_or(0.0);
        let taps = (0..up).flat_map(|p| (0..each).map(move |t| (p, t)));
        Self {
            up,
            down,
            taps: taps.map(|(p, t)| tap(p, t)).collect(),
            each,
            ring: vec![0.0; 2 * each].into(),
            at: 0,
            phase: 0,
        }
    }

    /// Samples of 16 kHz by which what comes out is behind what went in.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub fn delay(&self) -> f64 {
        let half = (REACH * self.up.max(self.down)) as f64;
        if self.up == self.down {
            0.0
        } else {
            half / self.down as f64
        }
    }

    /// Forgets what it heard: sound is missing.
    pub fn forget(&mut self) {
        self.ring.fill(0.0);
        self.phase = 0;
    }

    /// Takes one sample; `give` is called for each that comes out.
    pub fn push(&mut self, sample: f32, mut give: impl FnMut(f32)) {
        if self.up == self.down {
            return give(sample);
        }
        self.at = if self.at == 0 {
            self.each - 1
        } else {
            self.at - 1
        };
        self.ring[self.at] = sample;
        self.ring[self.at + self.each] = sample;
        let newest = &self.ring[self.at..self.at + self.each];
        // BOUND: `up / down` times, rounded up.
        while self.phase < self.up {
            let taps = &self.taps[self.phase * self.each..][..self.each];
            give(
                taps.iter()
                    .zip(newest)
                    .map(|(tap, sample)| tap * sample)
                    .sum(),
            );
            self.phase += self.down;
        }
        self.phase -= self.up;
    }
}

/// The windowed sinc, scaled so that the sum of its taps is `up`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "computed in f64, used as f32"
)]
fn filter(half: usize, wide: usize, up: usize) -> Vec<f32> {
    let taps = (0..=2 * half).map(|n| {
        let x = n as f64 - half as f64;
        let inner = 1.0 - (x / half as f64).powi(2);
        sinc(x / wide as f64) * bessel(BETA * inner.max(0.0).sqrt())
    });
    let taps: Vec<f64> = taps.collect();
    let sum: f64 = taps.iter().sum();
    taps.iter()
        .map(|tap| (tap / sum * up as f64) as f32)
        .collect()
}

fn sinc(x: f64) -> f64 {
    let x = std::f64::consts::PI * x;
    if x == 0.0 { 1.0 } else { x.sin() / x }
}

/// The modified Bessel function of the first kind and order 0, by its series; up to 5 it needs 20 terms.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
