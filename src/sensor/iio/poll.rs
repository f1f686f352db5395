//! A device without a buffer: each value is read from its file in sysfs when it is due.
//!
//! Thread: the sensor's. Allocates: in `open`. Blocks: in `next`, until the deadline; a read takes as long as the
//! device's bus does (I2C: about a millisecond a value). Locks: no. Syscalls: `clock_nanosleep`, one `pread` a value.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use super::{Device, Scale, choose};
use crate::clock;
use crate::error::{Fault, Kind, Result, StepError};
use crate::rt::sync::Arc;
use crate::sensor::config::SensorConfig;
use crate::sensor::counters::SensorCounters;
use crate::sensor::{DOF_MAX, Reading, SensorSource};
use crate::units::{Hertz, MonoTime, Nanos};

/// See the module.
#[derive(Debug)]
pub struct PolledDevice {
    device: Device,
    names: Vec<String>,
    /// Open for good: the kernel makes the value anew at each read from the start.
    channels: Vec<(File, Scale)>,
    len: u8,
    rate: Hertz,
    source_index: u8,
    due: MonoTime,
    seq: u32,
    counters: Arc<SensorCounters>,
}

impl PolledDevice {
    pub fn open(device: Device, config: &SensorConfig, source_index: u8) -> Result<Self> {
        let mut there: Vec<String> = fs::read_dir(&device.folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix("_raw").map(str::to_owned))
            .filter(|name| name.starts_with("in_"))
            .collect();
        there.sort();
        let names = choose(&device, &config.iio, &there)?;
        let channels = names
            .iter()
            .map(|name| {
                let path = device.file(&format!("{name}_raw"));
                let file = File::open(&path).map_err(|e| {
                    let fix = "give this user the right to read it with a udev rule";
                    let what = format!("cannot read {}", path.display());
                    Fault::from_io(what, &e, Kind::NoDevice, fix)
                })?;
                Ok((file, device.scale(name)))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            len: u8::try_from(channels.len()).expect("at most DOF_MAX, checked by choose"),
            device,
            names,
            channels,
            rate: config.iio.rate.unwrap_or_else(default_rate),
            source_index,
            due: MonoTime::ZERO,
            seq: 0,
            counters: Arc::default(),
        })
    }

    fn read(&self) -> Result<[f32; DOF_MAX], StepError> {
        let mut values = [0.0; DOF_MAX];
        for (value, (file, scale)) in values.iter_mut().zip(&self.channels) {
            let mut text = [0; 32];
            let len = file.read_at(&mut text, 0).map_err(|e| lost(&e))?;
            let raw: f64 = std::str::from_utf8(&text[..len])
                .ok()
                .and_then(|text| text.trim_ascii().parse().ok())
                .ok_or(StepError::BadFrame)?;
            *value = scale.apply(raw);
            if !value.is_finite() {
                return Err(StepError::NotFinite);
            }
        }
        Ok(values)
    }
}

fn default_rate() -> Hertz {
    Hertz::new(100.0).expect("100 Hz is a rate")
}

/// An unplugged device, or a sample that failed (a bus error, a converter that was not ready)?
fn lost(error: &io::Error) -> StepError {
    match error.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO) => StepError::DeviceLost,
        _ => StepError::BadFrame,
    }
}

impl SensorSource for PolledDevice {
    fn describe(&self) -> String {
        let (title, channels) = (self.device.title(), self.names.join(", "));
        format!("iio {title}, polled at {}: {channels}", self.rate)
    }

    fn start(&mut self) -> Result<()> {
        self.due = clock::now();
        Ok(())
    }

    fn next(&mut self, deadline: MonoTime) -> Result<Option<Reading>, StepError> {
        // BOUND: ends at the deadline, also when every read fails.
        loop {
            let until = self.due.min(deadline);
            while clock::now() < until {
                clock::sleep_until(until);
            }
            if self.due > deadline {
                return Ok(None);
            }
            let begin = clock::now();
            let values = self.read();
            let end = clock::now();
            self.due = next_beat(self.due, self.rate.period(), end);
            self.counters.received.add(1);
            match values {
                Ok(values) => {
                    self.counters.accepted.add(1);
                    self.counters.unstamped.add(1);
                    self.seq = self.seq.wrapping_add(1);
                    return Ok(Some(Reading {
                        // The device was asked somewhere in between.
                        at: begin + Nanos((end - begin).0 / 2),
                        arrived: end,
                        seq: self.seq,
                        source_index: self.source_index,
                        len: self.len,
                        values,
                    }));
                }
                Err(error) => {
                    self.counters.unreadable.add(1);
                    if error == StepError::DeviceLost {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn counters(&self) -> Option<Arc<SensorCounters>> {
        Some(Arc::clone(&self.counters))
    }
}

/// The first beat after now: beats that were missed are not made up for.
fn next_beat(last: MonoTime, period: Nanos, now: MonoTime) -> MonoTime {
    let behind = (now - last).0.max(0) / period.0.max(1);
    last + period * (behind + 1)
}
