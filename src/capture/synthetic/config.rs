//! What a synthetic source can be told: size, rate, format, and every fault that a camera can have.

use serde::Deserialize;

use super::code;
use crate::capture::Pace;
use crate::capture::v4l2::Damaged;
use crate::frame::{FrameFormat, PixelFormat};
use crate::units::{Hertz, Nanos};

/// A camera made of arithmetic. All defaults together are a faultless 1920x1080 camera at 30 Hz.
///
/// Exposures are counted from 0, those that a gap swallows included; every fault below is chosen per exposure
/// and follows from `seed` alone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SyntheticConfig {
    /// Pixels, 16 to 8192, even for YUYV, UYVY and NV12. Default 1920.
    pub width: u32,
    /// Pixels, 16 to 8192, even for NV12. Default 1080.
    pub height: u32,
    /// Exposures a second, up to 10 kHz. Default 30 Hz. Unused with `pace = "fastest"`.
    pub rate: Hertz,
    /// `real-time` (default), or `fastest`: a new frame whenever a slot is free, none is lost.
    pub pace: Pace,
    /// YUYV (default), UYVY, NV12, RGB24, GREY or MJPG.
    pub format: PixelFormat,
    /// Bytes after each row that belong to no pixel, as some drivers have; 0 (default) to 4096, not for MJPG.
    pub row_padding: u32,
    /// Buffers, 2 to 32. Default 4, as with a camera.
    pub slots: u32,
    /// The same seed gives the same pixels, times and faults. Default 1.
    pub seed: u64,
    /// Ends after this many exposures. Default: never.
    pub frames: Option<u64>,
    /// Each exposure is early or late by up to this much, evenly spread; at most half a period. Default 0.
    pub jitter: Nanos,
    /// From the exposure's stamp to the moment the frame can be taken (read-out and transfer); at most 1 s.
    /// Default 0.
    pub delay: Nanos,
    /// Exposures that are lost in the device: their sequence numbers are skipped. At most 90 %.
    pub gaps: When,
    /// Exposures lost at each gap, 1 to 1000. Default 1.
    pub gap_length: u32,
    /// Exposures before which the camera pauses; no sequence number is lost.
    pub stalls: When,
    /// How long each pause is; up to 1 min. Default 200 ms.
    pub stall_length: Nanos,
    /// Frames that carry the driver's error flag. Their embedded code is damaged too.
    pub errors: When,
    /// Frames with half their bytes.
    pub shorts: When,
    /// Exposures in whose place the frame before is delivered again, same number, stamp and pixels.
    pub repeats: When,
    /// Frames whose stamp lies in the future.
    pub future_stamps: When,
    /// How far in the future, up to 1 min. Default 100 ms.
    pub future_by: Nanos,
    /// What happens to frames with an error flag or too few bytes: `drop` (default) or `use`.
    pub damaged: Damaged,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self {
            width: 1920,
            height: 1080,
            rate: Hertz::new(30.0).expect("30 is above 0"),
            pace: Pace::RealTime,
            format: PixelFormat::Yuyv,
            row_padding: 0,
            slots: 4,
            seed: 1,
            frames: None,
            jitter: Nanos::ZERO,
            delay: Nanos::ZERO,
            gaps: When::Never,
            gap_length: 1,
            stalls: When::Never,
            stall_length: Nanos::from_millis(200),
            errors: When::Never,
            shorts: When::Never,
            repeats: When::Never,
            future_stamps: When::Never,
            future_by: Nanos::from_millis(100),
            damaged: Damaged::Drop,
        }
    }
}

impl<'de> Deserialize<'de> for SyntheticConfig {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // The derived function of the same name, by `remote = "Self"`: fields first, then what they mean together.
        let config = Self::deserialize(d)?;
        config.check().map_err(serde::de::Error::custom)?;
        Ok(config)
    }
}

impl SyntheticConfig {
    /// The format of the frames.
    pub fn frame_format(&self) -> FrameFormat {
        let mut format = FrameFormat::packed(self.format, self.width, self.height);
        format.stride += self.row_padding;
        format
    }

    /// What is out of range or impossible together, in words.
    pub fn check(&self) -> Result<(), String> {
        let Self { width, height, .. } = *self;
        for (name, pixels) in [("width", width), ("height", height)] {
            if !(16..=8192).contains(&pixels) {
                return Err(format!(
                    "`{name}` is {pixels}, it must be 16 to 8192 pixels"
                ));
            }
        }
        let pairs = matches!(
            self.format,
            PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Nv12
        );
        if pairs && width % 2 != 0 {
            return Err(format!(
                "`width` is {width}, but {} shares colour between two pixels: make it even",
                self.format.name()
            ));
        }
        if self.format == PixelFormat::Nv12 && height % 2 != 0 {
            return Err(format!(
                "`height` is {height}, but NV12 shares colour between two rows: make it even"
            ));
        }
        if code::Layout::of(&self.frame_format()).is_none() {
            return Err(format!(
                "{width}x{height} {} is too small for the embedded frame number",
                self.format.name()
            ));
        }
        if self.row_padding > 4096 || (self.row_padding > 0 && self.format == PixelFormat::Mjpeg) {
            return Err("`row_padding` must be 0 to 4096 bytes, and 0 for MJPG".to_owned());
        }
        self.check_times()
    }

    fn check_times(&self) -> Result<(), String> {
        if !(2..=32).contains(&self.slots) {
            return Err(format!("`slots` is {}, it must be 2 to 32", self.slots));
        }
        if self.rate.get() > 10_000.0 || self.rate.get() < 0.001 {
            return Err(format!(
                "`rate` is {}, it must be 0.001 Hz to 10 kHz; for no limit write pace = \"fastest\"",
                self.rate
            ));
        }
        let half_period = Nanos(self.rate.period().0 / 2);
        let minute = Nanos::from_secs(60);
        for (name, value, max) in [
            ("jitter", self.jitter, half_period),
            ("delay", self.delay, Nanos::from_secs(1)),
            ("stall_length", self.stall_length, minute),
            ("future_by", self.future_by, minute),
        ] {
            if value < Nanos::ZERO || value > max {
                return Err(format!("`{name}` is {value}, it must be 0 to {max}"));
            }
        }
        if !(1..=1000).contains(&self.gap_length) {
            return Err(format!(
                "`gap_length` is {}, it must be 1 to 1000",
                self.gap_length
            ));
        }
        let swallows_all = match self.gaps {
            When::Chance(p) => p > 0.9,
            When::Every(n) => n < 2,
            When::Never | When::At(_) => false,
        };
        if swallows_all {
            return Err("`gaps` must leave a frame: at most 90%, or every 2 and more".to_owned());
        }
        Ok(())
    }
}

/// Which exposures something happens to. As text: `never`, `2.5%`, `every 10`, `at 5 9 100`; on a command line
/// without spaces `every10`, `at5+9+100`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum When {
    #[default]
    Never,
    /// Each exposure with this probability, 0 to 1.
    Chance(f64),
    /// Exposures n, 2n, 3n and so on; n is at least 1. Never exposure 0.
    Every(u64),
    /// These exposures, ascending.
    At(Vec<u64>),
}

impl When {
    /// Whether it happens to this exposure. `salt` separates the faults of one source from each other.
    pub(super) fn hits(&self, exposure: u64, seed: u64, salt: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Chance(p) => unit(random(seed, salt, exposure)) < *p,
            Self::Every(n) => exposure > 0 && exposure.is_multiple_of(*n),
            Self::At(list) => list.binary_search(&exposure).is_ok(),
        }
    }
}

impl std::str::FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            format!(
                "`{text}` does not say when: write \"never\", \"2.5%\", \"every 10\" or \"at 5 9 100\""
            )
        };
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Some(number) = text.strip_suffix('%') {
            let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
            if !(0.0..=100.0).contains(&percent) {
                return Err(format!("`{text}` must be 0% to 100%"));
            }
            return Ok(Self::Chance(percent / 100.0));
        }
        if let Some(number) = text.strip_prefix("every") {
            let n: u64 = number.trim().parse().map_err(|_| wrong())?;
            return if n == 0 {
                Err(wrong())
            } else {
                Ok(Self::Every(n))
            };
        }
        let list = text.strip_prefix("at").ok_or_else(wrong)?;
        let mut list = list
            .split(|c: char| c == '+' || c == ',' || c.is_whitespace())
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().map_err(|_| wrong()))
            .collect::<Result<Vec<u64>, _>>()?;
        if list.is_empty() {
            return Err(wrong());
        }
        list.sort_unstable();
        Ok(Self::At(list))
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A number that follows from its three arguments alone: the `index`-th of a splitmix64 sequence that starts where
/// seed and salt say (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(super) fn random(seed: u64, salt: u64, index: u64) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    // Seed and salt are mixed first: added unmixed, seed 2 would give seed 1's sequence one step ahead.
    let start = mix(seed ^ mix(salt));
    mix(start.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A random number as 0 ..= 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits of chance are plenty")]
pub(super) fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}
