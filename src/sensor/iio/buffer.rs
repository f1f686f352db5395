//! A device that samples by itself: the kernel fills a buffer, and stamps each sample.
//!
//! Thread: the sensor's. Allocates: in `open` and `start`. Blocks: in `next`, until the deadline. Locks: no.
//! Syscalls: `read`, `ppoll`.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::scan::{self, SampleType};
use super::{Device, Scale, choose, text, write};
use crate::clock;
use crate::error::{Fault, Kind, Result, StepError};
use crate::rt::sync::Arc;
use crate::sensor::config::{IioConfig, SensorConfig};
use crate::sensor::counters::SensorCounters;
use crate::sensor::stamp::{StampRule, ahead_of_monotonic};
use crate::sensor::{DOF_MAX, Reading, SensorSource, readable};
use crate::units::MonoTime;

/// The channel of the kernel's time stamps.
const TIMESTAMP: &str = "in_timestamp";

/// See the module.
#[derive(Debug)]
pub struct BufferedDevice {
    device: Device,
    config: IioConfig,
    node: PathBuf,
    chosen: Vec<String>,
    rule: StampRule,
    source_index: u8,
    seq: u32,
    counters: Arc<SensorCounters>,
    running: Option<Running>,
}

/// What exists from `start` on.
#[derive(Debug)]
struct Running {
    file: File,
    sample: Sample,
    /// Bytes read and not yet used: a device gives whole samples, a pipe may not.
    bytes: Box<[u8]>,
    begin: usize,
    end: usize,
}

/// The layout of one sample.
#[derive(Debug)]
struct Sample {
    bytes: usize,
    /// In the order of the values.
    channels: Vec<Channel>,
    len: u8,
    stamp: Option<(Channel, libc::clockid_t)>,
}

#[derive(Clone, Debug)]
struct Channel {
    start: usize,
    kind: SampleType,
    scale: Scale,
}

impl BufferedDevice {
    pub fn open(device: Device, config: &SensorConfig, source_index: u8) -> Result<Self> {
        let channels: Vec<String> = scan_elements(&device)
            .into_iter()
            .filter(|name| name != TIMESTAMP)
            .collect();
        let chosen = choose(&device, &config.iio, &channels)?;
        Ok(Self {
            node: config.iio.nodes.join(&device.node),
            device,
            chosen,
            rule: StampRule {
                clock: config.clock,
                tolerance: config.tolerance,
                oldest: config.oldest,
            },
            config: config.iio.clone(),
            source_index,
            seq: 0,
            counters: Arc::default(),
            running: None,
        })
    }

    /// Turns the chosen channels and the time stamp on and all others off.
    fn enable_channels(&self) -> Result<()> {
        for name in scan_elements(&self.device) {
            let on = name == TIMESTAMP || self.chosen.contains(&name);
            let attribute = format!("scan_elements/{name}_en");
            let fix = "run as root once, or give this user the right to write the device's files with a udev rule";
            self.device
                .set(&attribute, if on { "1" } else { "0" }, fix)?;
        }
        Ok(())
    }

    /// The layout of what is really on: a device may only know some combinations.
    fn sample(&self) -> Result<Sample> {
        let damaged = |name: &str| {
            Fault::new(
                Kind::Unsupported,
                format!(
                    "{} does not say how channel {name} is stored",
                    self.device.title()
                ),
                "its scan_elements index or type file is missing or of an unknown form",
                "report the device with the content of scan_elements; iio.mode = \"poll\" may work",
            )
        };
        let mut enabled = Vec::new();
        for name in scan_elements(&self.device) {
            let read = |what| text(&self.device.file(&format!("scan_elements/{name}_{what}")));
            if read("en").ok().as_deref() != Some("1") {
                continue;
            }
            let index = read("index").ok().and_then(|t| t.parse::<u32>().ok());
            let kind = read("type").ok().and_then(|t| SampleType::parse(&t));
            let (Some(index), Some(kind)) = (index, kind) else {
                return Err(damaged(&name));
            };
            enabled.push((index, name, kind));
        }
        enabled.sort_by_key(|(index, ..)| *index);
        let kinds: Vec<SampleType> = enabled.iter().map(|(_, _, kind)| *kind).collect();
        let (starts, bytes) = scan::place(&kinds);
        let find = |wanted: &str| {
            let place = enabled.iter().position(|(_, name, _)| name == wanted)?;
            Some(Channel {
                start: starts[place],
                kind: kinds[place],
                scale: self.device.scale(wanted),
            })
        };
        let channels = self
            .chosen
            .iter()
            .map(|name| find(name).ok_or_else(|| damaged(name)))
            .collect::<Result<Vec<_>>>()?;
        let count: usize = channels.iter().map(|c| c.kind.repeat).sum();
        let len = u8::try_from(count).ok().filter(|_| count <= DOF_MAX);
        let Some(len) = len else {
            return Err(Fault::new(
                Kind::Config,
                format!(
                    "the channels of {} have {count} values",
                    self.device.title()
                ),
                "a reading has at most 16",
                "choose fewer with iio.channels",
            ));
        };
        let stamp = find(TIMESTAMP).map(|channel| (channel, self.stamp_clock()));
        Ok(Sample {
            bytes,
            channels,
            len,
            stamp,
        })
    }

    /// The clock of the kernel's stamps. It is asked to use the monotonic one; older kernels cannot.
    fn stamp_clock(&self) -> libc::clockid_t {
        let file = self.device.file("current_timestamp_clock");
        // The clock read back is the one that counts.
        let _ = write(&file, "monotonic");
        match text(&file).as_deref() {
            Ok("monotonic" | "monotonic_coarse") => libc::CLOCK_MONOTONIC,
            Ok("monotonic_raw") => libc::CLOCK_MONOTONIC_RAW,
            Ok("boottime") => libc::CLOCK_BOOTTIME,
            Ok("tai") => libc::CLOCK_TAI,
            // The kernel's default, and the only clock of kernels without this file.
            _ => libc::CLOCK_REALTIME,
        }
    }

    fn begin(&self) -> Result<Running> {
        // Nothing can be changed while the buffer runs; an earlier program may have left it on.
        let _ = write(&self.device.file("buffer/enable"), "0");
        self.enable_channels()?;
        if let Some(rate) = self.config.rate {
            self.device.set_rate(rate)?;
        }
        let length = self.config.buffer.to_string();
        self.device
            .set("buffer/length", &length, "use another iio.buffer")?;
        // Wake the reader for every sample. Kernels before 4.2 always do.
        let _ = write(&self.device.file("buffer/watermark"), "1");
        let sample = self.sample()?;
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&self.node)
            .map_err(|e| {
                let fix = "give this user the right to read it with a udev rule; only one program may have it open";
                let what = format!("cannot open {}", self.node.display());
                Fault::from_io(what, &e, Kind::NoDevice, fix)
            })?;
        let fix = "set a trigger: write its name into trigger/current_trigger of the device's folder in sysfs";
        self.device.set("buffer/enable", "1", fix)?;
        // BOUND: as many samples at once as the kernel keeps.
        let room = sample.bytes * self.config.buffer as usize;
        Ok(Running {
            file,
            sample,
            bytes: vec![0; room].into_boxed_slice(),
            begin: 0,
            end: 0,
        })
    }
}

impl SensorSource for BufferedDevice {
    fn describe(&self) -> String {
        let rate = match self.config.rate {
            Some(rate) => format!(" at {rate}"),
            None => String::new(),
        };
        let stamp = match self.running.as_ref().map(|r| r.sample.stamp.is_some()) {
            Some(false) => ", without time stamps",
            _ => "",
        };
        let channels = self.chosen.join(", ");
        format!(
            "iio {}, buffered{rate}{stamp}: {channels}",
            self.device.title()
        )
    }

    fn start(&mut self) -> Result<()> {
        if self.running.is_none() {
            self.running = Some(self.begin()?);
        }
        Ok(())
    }

    fn next(&mut self, deadline: MonoTime) -> Result<Option<Reading>, StepError> {
        let running = self.running.as_mut().ok_or(StepError::DeviceLost)?;
        // BOUND: ends at the deadline, also when every sample has an impossible stamp.
        loop {
            let Some(start) = running.next_sample(deadline)? else {
                return Ok(None);
            };
            let arrived = clock::now();
            self.counters.received.add(1);
            if let Some(at) = running.event_time(start, arrived, &self.rule, &self.counters) {
                self.counters.accepted.add(1);
                self.counters.jitter.add(arrived - at);
                let reading = Reading {
                    at,
                    arrived,
                    seq: self.seq,
                    source_index: self.source_index,
                    len: running.sample.len,
                    values: running.values(start),
                };
                self.seq = self.seq.wrapping_add(1);
                return Ok(Some(reading));
            }
            if arrived >= deadline {
                return Ok(None);
            }
        }
    }

    fn counters(&self) -> Option<Arc<SensorCounters>> {
        Some(Arc::clone(&self.counters))
    }
}

impl Drop for BufferedDevice {
    fn drop(&mut self) {
        if self.running.is_some() {
            // The device stops sampling. If it is gone, it has stopped.
            let _ = write(&self.device.file("buffer/enable"), "0");
        }
    }
}

/// The names of all channels that the buffer can hold, in the order of their names.
fn scan_elements(device: &Device) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(device.file("scan_elements"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix("_en").map(str::to_owned))
        .collect();
    names.sort();
    names
}

impl Running {
    /// Where the next sample begins in `bytes`, once it is there. None when the deadline passed.
    fn next_sample(&mut self, deadline: MonoTime) -> Result<Option<usize>, StepError> {
        // BOUND: ends at the deadline; each turn without a wait brings at least one byte.
        loop {
            if self.end - self.begin >= self.sample.bytes {
                let start = self.begin;
                self.begin += self.sample.bytes;
                return Ok(Some(start));
            }
            self.bytes.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
            match self.file.read(&mut self.bytes[self.end..]) {
                Ok(0) => return Err(StepError::DeviceLost),
                Ok(count) => self.end += count,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if !readable::wait(self.file.as_fd(), deadline) {
                        return Ok(None);
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(StepError::DeviceLost),
            }
        }
    }

    fn event_time(
        &self,
        start: usize,
        arrived: MonoTime,
        rule: &StampRule,
        counters: &SensorCounters,
    ) -> Option<MonoTime> {
        let stamp = self.sample.stamp.as_ref();
        let stamp = stamp.map(|(channel, clock)| (channel.raw(&self.bytes[start..], 0), *clock));
        match stamp {
            None | Some((0, _)) => {
                counters.unstamped.add(1);
                Some(arrived)
            }
            Some((ns, libc::CLOCK_MONOTONIC)) => rule.check(MonoTime(ns), arrived, counters),
            Some((ns, other)) => {
                let at = MonoTime(ns) - ahead_of_monotonic(other);
                rule.check(at, arrived, counters)
            }
        }
    }

    fn values(&self, start: usize) -> [f32; DOF_MAX] {
        let mut values = [0.0; DOF_MAX];
        let bytes = &self.bytes[start..];
        let each = self
            .sample
            .channels
            .iter()
            .flat_map(|channel| (0..channel.kind.repeat).map(move |k| channel.value(bytes, k)));
        // BOUND: at most DOF_MAX values, checked by `sample`.
        for (value, of_channel) in values.iter_mut().zip(each) {
            *value = of_channel;
        }
        values
    }
}

impl Channel {
    fn raw(&self, sample: &[u8], index: usize) -> i64 {
        let bytes = self.kind.value_bytes();
        let start = self.start + index * bytes;
        self.kind.decode(&sample[start..start + bytes])
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "converters have far fewer than 53 bits"
    )]
    fn value(&self, sample: &[u8], index: usize) -> f32 {
        self.scale.apply(self.raw(sample, index) as f64)
    }
}
