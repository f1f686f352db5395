//! What a user says about one sensor.
//!
//! Thread: main, before the run. Allocates: yes. Blocks: no.

use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

use super::DOF_MAX;
use crate::fusion::align::AlignConfig;
use crate::kafka::{KafkaConfig, TopicAddress};
use crate::microphone::address::Address;
use crate::microphone::config::MicrophoneConfig;
use crate::units::{Hertz, Nanos};

/// One `[[sensor]]` of the configuration. Only `source` must be given.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensorConfig {
    /// Where readings come from, such as `"udp:0.0.0.0:9100"`.
    pub source: SensorAddress,
    /// Values of a reading, 1 to 16; others are refused. Default: as many as the first reading has.
    #[serde(default, deserialize_with = "value_count")]
    pub values: Option<u8>,
    /// The clock of the sender's time stamps (datagrams, Kafka). Default `"monotonic"`. A stamp of 0 means the time of
    /// arrival; from Kafka the record's own time stamp (milliseconds since 1970, by whom the topic says), so that what a broker
    /// has kept for a while does not count as new, except where this is `"arrival"`.
    #[serde(default)]
    pub clock: StampClock,
    /// A stamp later than its arrival by at most this counts as the arrival; a later one is refused.
    /// Default 5 ms.
    #[serde(default = "default_tolerance", deserialize_with = "not_negative")]
    pub tolerance: Nanos,
    /// A reading older than this when it arrives is refused. Default 1 s.
    #[serde(default = "default_oldest", deserialize_with = "not_negative")]
    pub oldest: Nanos,
    /// How its readings are brought to a frame's instant. Default: as `[align]` says.
    #[serde(default)]
    pub align: Option<AlignConfig>,
    /// How a recording is to be read (`csv:`).
    #[serde(default)]
    pub csv: CsvConfig,
    /// How a device is to be used (`iio:`).
    #[serde(default)]
    pub iio: IioConfig,
    /// How a microphone or sound file is to be used (`microphone:`, `wav:`).
    #[serde(default)]
    pub microphone: MicrophoneConfig,
    /// How a topic is to be followed (`kafka:`).
    #[serde(default)]
    pub kafka: KafkaConfig,
}

impl SensorConfig {
    /// A sensor with all defaults.
    pub fn at(source: SensorAddress) -> Self {
        Self {
            source,
            values: None,
            clock: StampClock::default(),
            tolerance: default_tolerance(),
            oldest: default_oldest(),
            align: None,
            csv: CsvConfig::default(),
            iio: IioConfig::default(),
            microphone: MicrophoneConfig::default(),
            kafka: KafkaConfig::default(),
        }
    }

    /// Whether its values may be the positions of joints. Those of a microphone are not.
    pub fn may_tell_joints(&self) -> bool {
        !self.is_sound()
    }

    /// A microphone or a sound file.
    pub fn is_sound(&self) -> bool {
        matches!(
            self.source,
            SensorAddress::Microphone(_) | SensorAddress::Wav(_)
        )
    }

    /// Readings a second, where the configuration says or the device does.
    pub fn rate(&self) -> Option<Hertz> {
        match self.source {
            SensorAddress::Microphone(_) | SensorAddress::Wav(_) => Some(self.microphone.readings),
            _ => self.iio.rate,
        }
    }
}

fn default_tolerance() -> Nanos {
    Nanos::from_millis(5)
}

fn default_oldest() -> Nanos {
    Nanos::from_secs(1)
}

/// Where readings come from, as in the table of [`super`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SensorAddress {
    /// A host name or address and a port of this machine.
    Udp(String),
    Unix(PathBuf),
    Csv(PathBuf),
    /// `device0`, or what the device's `name` file says.
    Iio(String),
    Microphone(Address),
    /// A sound file.
    Wav(PathBuf),
    Kafka(TopicAddress),
}

impl FromStr for SensorAddress {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            Err(format!(
                "`{line}` is not a sensor: {why}. Write `udp:HOST:PORT`, `unix:PATH`, `csv:PATH`, \
                 `iio:NAME`, `microphone:hw:CARD,DEVICE`, `wav:PATH` or `kafka:HOST:PORT/TOPIC`"
            ))
        };
        let Some((kind, rest)) = line.split_once(':') else {
            return refuse("it has no `:`");
        };
        if rest.is_empty() {
            return refuse("nothing stands after the `:`");
        }
        match kind {
            "udp" => match rest.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
                Some(Ok(_)) => Ok(Self::Udp(rest.to_owned())),
                Some(Err(_)) => refuse("the port is not a number from 0 to 65535"),
                None => refuse("a UDP address needs a port"),
            },
            "unix" => Ok(Self::Unix(rest.into())),
            "csv" => Ok(Self::Csv(rest.into())),
            "iio" => Ok(Self::Iio(rest.to_owned())),
            "microphone" => rest.parse().map(Self::Microphone),
            "wav" => Ok(Self::Wav(rest.into())),
            "kafka" => rest.parse().map(Self::Kafka),
            _ => refuse("there is no such kind"),
        }
    }
}

impl<'de> serde::Deserialize<'de> for SensorAddress {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let line = String::deserialize(d)?;
        line.parse().map_err(D::Error::custom)
    }
}

/// The clock of a sender's time stamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StampClock {
    /// `CLOCK_MONOTONIC` of this machine: a sender on the same host.
    #[default]
    Monotonic,
    /// `CLOCK_REALTIME`, nanoseconds since 1970: a sender on a host with the same time (PTP, NTP).
    Realtime,
    /// The sender's stamps are not looked at: a reading is as old as its arrival.
    Arrival,
}

/// `[sensor.csv]`: the form of a recording.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvConfig {
    /// Name of the column with the time. Default `"time"`.
    pub time: String,
    /// Unit of that column. Default `"s"`.
    pub unit: TimeUnit,
    /// What its zero is. Default `"relative"`.
    pub origin: TimeOrigin,
    /// Names of the columns with the values, in the order of the joints. Default: all but the time, in
    /// the order of the file.
    pub columns: Vec<String>,
    /// Byte between columns. Default: the one of `,` `;` and tab that the header has most of.
    pub separator: Option<char>,
}

impl Default for CsvConfig {
    fn default() -> Self {
        Self {
            time: "time".to_owned(),
            unit: TimeUnit::Seconds,
            origin: TimeOrigin::Relative,
            columns: Vec::new(),
            separator: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub enum TimeUnit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Millis,
    #[serde(rename = "us")]
    Micros,
    #[serde(rename = "ns")]
    Nanos,
}

impl TimeUnit {
    /// Decimal places from this unit down to nanoseconds.
    pub(super) fn places(self) -> u32 {
        match self {
            Self::Seconds => 9,
            Self::Millis => 6,
            Self::Micros => 3,
            Self::Nanos => 0,
        }
    }
}

/// How the times of a recording are brought onto the clock of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeOrigin {
    /// Time 0 is the start of the run.
    Relative,
    /// The first row is the start of the run, whatever its time says (years since 1970, say).
    Absolute,
}

/// `[sensor.iio]`: how an industrial I/O device is used.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IioConfig {
    /// Channels in the order of the values, such as `["in_accel_x", "in_accel_y"]`. Default: all.
    pub channels: Vec<String>,
    /// Default `"auto"`.
    pub mode: IioMode,
    /// Samples a second: set in the device (buffer), or how often it is asked (poll, default 100 Hz).
    #[serde(deserialize_with = "some_rate")]
    pub rate: Option<Hertz>,
    /// Samples that the kernel keeps for us, 2 to 4096. Default 128.
    #[serde(deserialize_with = "buffer_length")]
    pub buffer: u32,
    /// Where the kernel shows the devices. Default `/sys/bus/iio/devices`.
    pub root: PathBuf,
    /// Where the device nodes are. Default `/dev`.
    pub nodes: PathBuf,
}

impl Default for IioConfig {
    fn default() -> Self {
        Self {
            channels: Vec::new(),
            mode: IioMode::Auto,
            rate: None,
            buffer: 128,
            root: "/sys/bus/iio/devices".into(),
            nodes: "/dev".into(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IioMode {
    /// The buffer if the device has one, else poll.
    Auto,
    /// The device samples by itself, with the kernel's time stamps.
    Buffer,
    /// Each value is read from sysfs when it is due. Reading may take as long as the device's bus does.
    Poll,
}

fn value_count<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u8>, D::Error> {
    let count = u8::deserialize(d)?;
    if count == 0 || usize::from(count) > DOF_MAX {
        return Err(D::Error::custom(format!(
            "a reading has 1 to 16 values, not {count}"
        )));
    }
    Ok(Some(count))
}

fn not_negative<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    let time = Nanos::deserialize(d)?;
    if time < Nanos::ZERO {
        return Err(D::Error::custom(format!(
            "{time} is below zero: this is how far a stamp may be off"
        )));
    }
    Ok(time)
}

fn some_rate<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Hertz>, D::Error> {
    Hertz::deserialize(d).map(Some)
}

fn buffer_length<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    let length = u32::deserialize(d)?;
    if !(2..=4096).contains(&length) {
        return Err(D::Error::custom(format!(
            "a buffer of {length} samples: write 2 to 4096"
        )));
    }
    Ok(length)
}
