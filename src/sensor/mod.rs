//! Sensor readings at 100 Hz and more.
//!
//! A sensor is named by one line, in the configuration and on the command line:
//!
//! | line | readings come from |
//! |---|---|
//! | `udp:HOST:PORT` | UDP datagrams that arrive there (`udp:0.0.0.0:9100` for any network) |
//! | `unix:PATH` | a Unix datagram socket, made there |
//! | `csv:PATH` | a recording with a header line and its own time stamps |
//! | `iio:NAME` | a Linux industrial I/O device, by number (`iio:device0`) or by name (`iio:lsm6dsl`) |
//! | `microphone:hw:CARD,DEVICE` | a microphone: how loud it is; see [`crate::microphone`] |
//! | `wav:PATH` | the same of a sound file |
//! | `kafka:HOST:PORT/TOPIC` | a partition of a Kafka topic, one message a record |
//!
//! Messages are compact or JSON, as documented in [`crate::wire`]; the first byte tells which.

// What a user says about a sensor.
pub mod config;

// What became of the readings.
pub mod counters;

// From a sender's time stamp to this machine's clock.
pub mod stamp;

// From datagram to reading.
mod intake;

// Waiting for a descriptor.
pub(crate) mod readable;

// What the two kinds of socket share.
mod datagram;

// Readings from UDP.
mod udp;

// Readings from a Unix datagram socket.
mod unix_datagram;

// Readings from a recording.
mod csv;

// Readings from a Linux industrial I/O device.
mod iio;

// Readings from a topic of Kafka.
mod kafka;

use crate::error::{Result, StepError};
use crate::link::EveryWriter;
use crate::microphone;
use crate::rt::sync::Arc;
use crate::speech::Chunk;
use crate::stage::Item;
use crate::units::MonoTime;
use config::{SensorAddress, SensorConfig};
use counters::SensorCounters;

/// Values of one reading or action, at most.
pub const DOF_MAX: usize = 16;

/// One reading of a robot's joints or another sensor; fixed size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// When the values were true (event time), on `CLOCK_MONOTONIC`.
    pub at: MonoTime,
    /// When it arrived in this process.
    pub arrived: MonoTime,
    /// The sender's counter.
    pub seq: u32,
    /// Index of the sensor in the configuration.
    pub source_index: u8,
    /// How many of `values` are used.
    pub len: u8,
    /// In the sensor's own unit (joints: radian).
    pub values: [f32; DOF_MAX],
}

impl Reading {
    pub fn values(&self) -> &[f32] {
        &self.values[..usize::from(self.len)]
    }
}

impl Item for Reading {
    fn captured(&self) -> MonoTime {
        self.at
    }
}

/// A stream of readings. `next` is called in a loop on the sensor's thread.
pub trait SensorSource: Send {
    /// One line for people: `udp 127.0.0.1:9100, 100 Hz`.
    fn describe(&self) -> String;

    /// Binds, opens, begins. Takes all its memory.
    fn start(&mut self) -> Result<()>;

    /// The next reading, waiting for it at most until `deadline`. None when the deadline passed or the
    /// recording has ended. The one call that may block; it neither allocates nor locks.
    fn next(&mut self, deadline: MonoTime) -> Result<Option<Reading>, StepError>;

    /// The source's own counts, if it keeps any.
    fn counters(&self) -> Option<Arc<SensorCounters>> {
        None
    }
}

/// Opens a sensor. `source_index` is its place in the configuration. Files are read here and wrong names
/// found; sockets are bound, and devices begin, in [`SensorSource::start`].
pub fn open(config: &SensorConfig, source_index: u8) -> Result<Box<dyn SensorSource>> {
    Ok(match &config.source {
        SensorAddress::Udp(address) => Box::new(udp::open(address, config, source_index)?),
        SensorAddress::Unix(path) => Box::new(unix_datagram::open(path, config, source_index)),
        SensorAddress::Csv(path) => Box::new(csv::Recording::open(path, config, source_index)?),
        SensorAddress::Iio(name) => iio::open(name, config, source_index)?,
        SensorAddress::Microphone(_) | SensorAddress::Wav(_) => {
            return open_heard(config, source_index, None);
        }
        SensorAddress::Kafka(topic) => {
            Box::new(kafka::KafkaSensor::new(topic, config, source_index))
        }
    })
}

/// Opens a microphone or sound file that `listener` is given the sound of; another sensor has none.
pub fn open_heard(
    config: &SensorConfig,
    source_index: u8,
    listener: Option<EveryWriter<Chunk>>,
) -> Result<Box<dyn SensorSource>> {
    let source = match &config.source {
        SensorAddress::Microphone(address) => microphone::Source::Device(address),
        SensorAddress::Wav(path) => microphone::Source::File(path),
        _ => return open(config, source_index),
    };
    let sensor = microphone::open(&source, &config.microphone, source_index, listener)?;
    Ok(Box::new(sensor))
}
