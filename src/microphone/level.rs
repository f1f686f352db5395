//! What is told of sound that is no word: how loud it is, its highest sample, how often it crosses zero.
//!
//! Thread: the sensor's. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

/// Below this nothing is told apart from silence: 20 dB below the least step of 16 bits. dBFS.
pub const SILENCE: f32 = -120.0;

/// Of one stretch of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Root of the mean square, dB relative to a sample of 1. A sine as loud as can be has -3.01.
    pub rms: f32,
    /// The largest sample of either sign, dB relative to 1. From 0 on the microphone is overdriven.
    pub peak: f32,
    /// Changes of sign, a second.
    pub crossings: f32,
}

/// Takes samples until the level is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    squares: f64,
    peak: f32,
    crossings: u32,
    count: u32,
    /// The sign of the sample before, also where that was in the stretch before.
    was_negative: Option<bool>,
}

impl Meter {
    pub fn take(&mut self, samples: &[f32]) {
        for &sample in samples {
            self.squares += f64::from(sample) * f64::from(sample);
            self.peak = self.peak.max(sample.abs());
            let is_negative = sample.is_sign_negative();
            self.crossings += u32::from(self.was_negative == Some(!is_negative));
            self.was_negative = Some(is_negative);
        }
        self.count += u32::try_from(samples.len()).unwrap_or(u32::MAX);
    }

    /// The level of what came since the last call, at `rate` samples a second; begins anew.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "computed in f64, told as f32"
    )]
    pub fn level(&mut self, rate: f64) -> Level {
        let count = f64::from(self.count.max(1));
        let decibels = |power: f64| (10.0 * power.log10()).max(f64::from(SILENCE)) as f32;
        let level = Level {
            rms: decibels(self.squares / count),
            peak: decibels(f64::from(self.peak) * f64::from(self.peak)),
            crossings: (f64::from(self.crossings) * rate / count) as f32,
        };
        *self = Self {
            was_negative: self.was_negative,
            ..Self::default()
        };
        level
    }

    /// Forgets what came: the stream was interrupted.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
