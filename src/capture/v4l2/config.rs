//! What a user may say about a camera.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::frame::{Matrix, PixelFormat, Range};
use crate::units::{Hertz, Nanos};

/// A V4L2 camera: which one, what it is asked for, and what happens to damaged frames.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct V4l2Config {
    /// The node. `/dev/v4l/by-id/…` names a camera and not the order of plugging in. Default `/dev/video0`.
    pub device: PathBuf,
    /// Pixel formats in order of preference; the first that the camera grants as asked is used.
    /// Default `["YUYV", "NV12", "UYVY", "RGB24", "GREY", "MJPG"]`: cheapest to read first.
    #[serde(deserialize_with = "pixel_formats")]
    pub formats: Vec<PixelFormat>,
    /// Pixels, 16 ..= 8192. Default 640.
    #[serde(deserialize_with = "in_range::<_, 16, 8192>")]
    pub width: u32,
    /// Pixels, 16 ..= 8192. Default 480.
    #[serde(deserialize_with = "in_range::<_, 16, 8192>")]
    pub height: u32,
    /// Frames a second. Default 30.
    pub rate: Hertz,
    /// True: refuse to start unless the camera grants exactly this size and rate. False: take the nearest
    /// and say so. Default true.
    pub exact: bool,
    /// Driver buffers, 3 ..= 32. With a reader on another thread: one is being read, one waits to be read, one
    /// may be on its way back, and one is with the driver; a driver that must have the next one before it lets
    /// go of the last needs 5. Default 4.
    #[serde(deserialize_with = "in_range::<_, 3, 32>")]
    pub buffers: u32,
    /// What happens to frames that the driver flags as damaged or that are too short. Default `"drop"`.
    pub damaged: Damaged,
    /// `"bt601"` or `"bt709"`, for a driver that states its matrix wrongly. Default: what the driver states.
    #[serde(deserialize_with = "matrix")]
    pub matrix: Option<Matrix>,
    /// `"limited"` or `"full"`, for a driver that states its range wrongly. Default: what the driver states.
    #[serde(deserialize_with = "range")]
    pub range: Option<Range>,
    /// Controls to set, by the name or the id that `reflexarc cameras` prints: `brightness = 140`,
    /// `auto_exposure = "Manual Mode"`, `0x00980913 = 3`. Default: none.
    pub controls: BTreeMap<String, ControlValue>,
    /// What happens when the camera is lost.
    pub recovery: RecoveryConfig,
}

/// How a lost camera is noticed, and what is done about it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryConfig {
    /// True: a camera that is lost is opened again, beside the running way. False: the run ends. Default true.
    pub reopen: bool,
    /// A camera that has given nothing for this long is silent: 50 ms ..= 60 s, and never less than three periods.
    /// Default 500 ms.
    #[serde(deserialize_with = "duration::<_, 50, 60_000>")]
    pub silent_after: Nanos,
    /// A camera that has given nothing for this long, or has been frozen for this long, is closed and opened again; twice as long
    /// each time that this brought no frame, up to sixteen times. 200 ms ..= 10 min. Default 2 s.
    #[serde(deserialize_with = "duration::<_, 200, 600_000>")]
    pub reopen_after: Nanos,
    /// A camera whose picture has been the same to the bit for this long is frozen: 100 ms ..= 60 s. Default 1 s.
    #[serde(deserialize_with = "duration::<_, 100, 60_000>")]
    pub frozen_after: Nanos,
    /// What happens to frames of a frozen camera. Default `"drop"`.
    pub frozen: Frozen,
    /// The run ends when the camera has been away for this long, 1 s ..= 1 day. Default: it does not end.
    #[serde(deserialize_with = "end_after")]
    pub give_up_after: Option<Nanos>,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            reopen: true,
            silent_after: Nanos::from_millis(500),
            reopen_after: Nanos::from_secs(2),
            frozen_after: Nanos::from_secs(1),
            frozen: Frozen::Drop,
            give_up_after: None,
        }
    }
}

/// What happens to frames that all show the same picture to the bit. No real sensor does that: its noise changes every frame. A
/// camera of which one looks at a still picture (a converter, a test pattern) does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frozen {
    /// They go back to the driver, counted as frozen: no action follows from an old picture with a new stamp.
    #[default]
    Drop,
    /// They are passed on, and nothing is looked for.
    Use,
}

impl Default for V4l2Config {
    fn default() -> Self {
        use PixelFormat::{Grey, Mjpeg, Nv12, Rgb24, Uyvy, Yuyv};
        Self {
            device: PathBuf::from("/dev/video0"),
            formats: vec![Yuyv, Nv12, Uyvy, Rgb24, Grey, Mjpeg],
            width: 640,
            height: 480,
            rate: Hertz::new(30.0).expect("30 is above 0"),
            exact: true,
            buffers: 4,
            damaged: Damaged::Drop,
            matrix: None,
            range: None,
            controls: BTreeMap::new(),
            recovery: RecoveryConfig::default(),
        }
    }
}

/// What happens to a frame that the driver flags as damaged, or that has too few bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Damaged {
    /// It goes back to the driver, counted as unusable.
    #[default]
    Drop,
    /// It is passed on, marked.
    Use,
}

/// The value of a control.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "a whole number, true, false, or the name of a menu's item"
)]
pub enum ControlValue {
    Switch(bool),
    Number(i64),
    /// An item of a menu, by its name.
    Item(String),
}

impl fmt::Display for ControlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(on) => write!(f, "{on}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Item(name) => write!(f, "\"{name}\""),
        }
    }
}

fn in_range<'de, D: Deserializer<'de>, const MIN: u32, const MAX: u32>(
    d: D,
) -> Result<u32, D::Error> {
    let value = i64::deserialize(d)?;
    u32::try_from(value)
        .ok()
        .filter(|v| (MIN..=MAX).contains(v))
        .ok_or_else(|| Error::custom(format!("{value} is out of range: {MIN} ..= {MAX}")))
}

fn duration<'de, D: Deserializer<'de>, const MIN_MS: i64, const MAX_MS: i64>(
    d: D,
) -> Result<Nanos, D::Error> {
    let (min, max) = (Nanos::from_millis(MIN_MS), Nanos::from_millis(MAX_MS));
    let value = Nanos::deserialize(d)?;
    (min..=max)
        .contains(&value)
        .then_some(value)
        .ok_or_else(|| Error::custom(format!("{value} is out of range: {min} to {max}")))
}

fn end_after<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Nanos>, D::Error> {
    duration::<_, 1_000, 86_400_000>(d).map(Some)
}

fn pixel_formats<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<PixelFormat>, D::Error> {
    let names = Vec::<String>::deserialize(d)?;
    if names.is_empty() {
        return Err(Error::custom("name at least one pixel format"));
    }
    names
        .iter()
        .map(|name| {
            PixelFormat::parse(name).ok_or_else(|| {
                let known = PixelFormat::ALL.map(PixelFormat::name).join(", ");
                Error::custom(format!("`{name}` is no pixel format: known are {known}"))
            })
        })
        .collect()
}

fn matrix<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Matrix>, D::Error> {
    match String::deserialize(d)?.as_str() {
        "bt601" => Ok(Some(Matrix::Bt601)),
        "bt709" => Ok(Some(Matrix::Bt709)),
        other => Err(Error::unknown_variant(other, &["bt601", "bt709"])),
    }
}

fn range<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Range>, D::Error> {
    match String::deserialize(d)?.as_str() {
        "limited" => Ok(Some(Range::Limited)),
        "full" => Ok(Some(Range::Full)),
        other => Err(Error::unknown_variant(other, &["limited", "full"])),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_camera_reads_from_toml_with_defaults_for_the_rest() {
        let text = r#"
            device = "/dev/v4l/by-id/cam"
            formats = ["NV12", "mjpg"]
            rate = 15
            damaged = "use"
            range = "full"
            [controls]
            brightness = 140
            auto_exposure = "Manual Mode"
            hflip = true
        "#;
        let config: V4l2Config = toml::from_str(text).unwrap();
        assert_eq!(config.formats, [PixelFormat::Nv12, PixelFormat::Mjpeg]);
        assert_eq!((config.width, config.height, config.buffers), (640, 480, 4));
        assert_eq!(config.rate.get(), 15.0);
        assert_eq!(config.damaged, Damaged::Use);
        assert_eq!((config.matrix, config.range), (None, Some(Range::Full)));
        assert_eq!(config.controls["brightness"], ControlValue::Number(140));
        assert_eq!(config.controls["hflip"], ControlValue::Switch(true));
        assert!(config.exact);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line_and_the_choices() {
        let rows = [
            ("width = 0", "16 ..= 8192"),
            ("buffers = 2", "3 ..= 32"),
            ("buffers = -1", "3 ..= 32"),
            ("formats = []", "at least one"),
            ("formats = [\"H264\"]", "known are YUYV"),
            ("rate = 0.0", "above 0"),
            ("damaged = \"keep\"", "`drop` or `use`"),
            ("matrix = \"bt2020\"", "`bt601` or `bt709`"),
            ("colour = 1", "unknown field `colour`"),
            ("controls.gain = 1.5", "a whole number, true, false"),
            ("recovery.silent_after = \"10 ms\"", "out of range: 50"),
            ("recovery.reopen_after = 2", "in quotes with its unit"),
            ("recovery.frozen = \"keep\"", "`drop` or `use`"),
            ("recovery.give_up_after = \"0 s\"", "out of range: 1"),
            ("recovery.retry = true", "unknown field `retry`"),
        ];
        for (text, wanted) in rows {
            let error = toml::from_str::<V4l2Config>(text).unwrap_err().to_string();
            assert!(
                error.contains(wanted) && error.contains("line 1"),
                "{text}: {error}"
            );
        }
    }
}
