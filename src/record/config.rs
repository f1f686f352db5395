//! What a user says about a recording.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::mcap::write::Compression;

/// `[record]` of the configuration.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordConfig {
    /// The file; what it held is gone. Default: nothing is recorded. As `--record`.
    pub path: Option<PathBuf>,
    /// Which pictures: `"every"` (default; only then can a run be replayed from the pixels on), `"every 10"` (the first
    /// of each ten), or `"none"`. Everything else is always recorded.
    pub frames: Frames,
    /// `"lz4"` (default) or `"none"`.
    pub compression: Compression,
    /// Memory for pictures that wait for the disk, MiB, 1 to 65536. Default 128. At least three pictures are held.
    #[serde(deserialize_with = "mebibytes")]
    pub memory: u32,
    /// What each sensor's readings are, in the order of the sensors: `"joints"` (radian), `"imu"` (acceleration in m/s^2,
    /// angular velocity in radian/s, and perhaps a quaternion x y z w: 6 or 10 values), or `"values"`. Default: joints for
    /// the first, values for the others.
    pub sensors: Vec<SensorKind>,
}

impl Default for RecordConfig {
    fn default() -> Self {
        Self {
            path: None,
            frames: Frames::Every(1),
            compression: Compression::default(),
            memory: 128,
            sensors: Vec::new(),
        }
    }
}

impl RecordConfig {
    pub fn sensor_kind(&self, index: usize) -> SensorKind {
        let default = match index {
            0 => SensorKind::Joints,
            _ => SensorKind::Values,
        };
        self.sensors.get(index).copied().unwrap_or(default)
    }
}

/// What the values of a reading are: decides the message that people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SensorKind {
    Joints,
    Imu,
    Values,
}

/// Which pictures are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    None,
    /// The first of each so many; 1 is all.
    Every(u32),
}

impl FromStr for Frames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let every = text.strip_prefix("every").map(str::trim);
        match (text, every) {
            ("none", _) => Ok(Self::None),
            (_, Some("")) => Ok(Self::Every(1)),
            (_, Some(count)) => match count.parse() {
                Ok(count @ 1..) => Ok(Self::Every(count)),
                _ => Err(format!(
                    "`{text}`: after `every` comes a whole number, 1 or more"
                )),
            },
            _ => Err(format!(
                "`{text}`: write \"every\", \"every 10\" or \"none\""
            )),
        }
    }
}

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Every(1) => f.write_str("every"),
            Self::Every(count) => write!(f, "every {count}"),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Frames {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn mebibytes<'de, D: serde::Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    let count: u32 = serde::Deserialize::deserialize(d)?;
    if !(1..=65_536).contains(&count) {
        return Err(serde::de::Error::custom(format!(
            "{count} MiB for pictures: write 1 to 65536"
        )));
    }
    Ok(count)
}
