//! Readings from a Linux industrial I/O device: accelerometers, gyroscopes, converters, encoders.
//!
//! The kernel shows each device as a folder (`/sys/bus/iio/devices/iio:device0`). A device with a buffer samples
//! by itself and stamps each sample in its interrupt: [`buffer`]. Any other is asked for each value when it is
//! due: [`poll`]. Either way values come out in SI units: `(raw + offset) * scale`.

// Samples that the device takes by itself.
mod buffer;

// Values that are asked for.
mod poll;

// The layout of a sample.
mod scan;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::config::{IioConfig, IioMode, SensorConfig};
use super::{DOF_MAX, SensorSource};
use crate::error::{Fault, Kind, Result};
use crate::units::Hertz;

/// A device's folder in sysfs.
#[derive(Clone, Debug)]
struct Device {
    folder: PathBuf,
    /// `iio:device0`
    node: String,
    /// What its driver calls it.
    name: String,
}

pub fn open(name: &str, config: &SensorConfig, source_index: u8) -> Result<Box<dyn SensorSource>> {
    let device = Device::find(name, &config.iio)?;
    let has_buffer = device.folder.join("scan_elements").is_dir()
        && config.iio.nodes.join(&device.node).exists();
    match config.iio.mode {
        IioMode::Buffer if !has_buffer => Err(Fault::new(
            Kind::Unsupported,
            format!("{} has no buffer", device.title()),
            format!(
                "its driver gives no scan_elements, or {} is missing",
                config.iio.nodes.join(&device.node).display()
            ),
            "use iio.mode = \"poll\"",
        )),
        IioMode::Auto | IioMode::Buffer if has_buffer => Ok(Box::new(
            buffer::BufferedDevice::open(device, config, source_index)?,
        )),
        _ => Ok(Box::new(poll::PolledDevice::open(
            device,
            config,
            source_index,
        )?)),
    }
}

impl Device {
    /// By number (`device0`, `iio:device0`) or by the driver's name.
    fn find(wanted: &str, config: &IioConfig) -> Result<Self> {
        let root = &config.root;
        let entries = fs::read_dir(root).map_err(|e| {
            let fix =
                "check that the kernel has CONFIG_IIO and the sensor's driver (`lsmod`, `dmesg`)";
            let what = format!("there are no IIO devices at {}", root.display());
            Fault::from_io(what, &e, Kind::NoDevice, fix)
        })?;
        let mut devices: Vec<Self> = entries
            .flatten()
            .filter_map(|entry| {
                let node = entry.file_name().into_string().ok()?;
                node.starts_with("iio:device").then(|| Self {
                    name: text(&entry.path().join("name")).unwrap_or_default(),
                    folder: entry.path(),
                    node,
                })
            })
            .collect();
        devices.sort_by(|a, b| a.node.cmp(&b.node));
        let matches = |device: &Self| {
            device.node == wanted
                || device.node.strip_prefix("iio:") == Some(wanted)
                || device.name == wanted
        };
        let there: Vec<_> = devices.iter().map(Self::title).collect();
        let mut found = devices.into_iter().filter(matches);
        match (found.next(), found.next()) {
            (Some(device), None) => Ok(device),
            (Some(_), Some(_)) => Err(Fault::new(
                Kind::Config,
                format!("more than one IIO device is called `{wanted}`"),
                format!("there are: {}", there.join(", ")),
                "name it by its number, such as iio:device0",
            )),
            (None, _) => Err(Fault::new(
                Kind::NoDevice,
                format!("there is no IIO device `{wanted}`"),
                match there.as_slice() {
                    [] => "the kernel shows none".to_owned(),
                    there => format!("there are: {}", there.join(", ")),
                },
                "name one that is there, or load the sensor's driver",
            )),
        }
    }

    /// For people: `iio:device0 (lsm6dsl)`.
    fn title(&self) -> String {
        format!("{} ({})", self.node, self.name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What turns a channel's raw values into SI units.
    fn scale(&self, channel: &str) -> Scale {
        Scale {
            factor: self.shared(channel, "scale").unwrap_or(1.0),
            offset: self.shared(channel, "offset").unwrap_or(0.0),
        }
    }

    /// A number that belongs to the channel or, as the kernel has it, to all channels of its type:
    /// `in_accel_x_scale`, else `in_accel_scale`; `in_voltage3_scale`, else `in_voltage_scale`.
    fn shared(&self, channel: &str, what: &str) -> Option<f64> {
        let without_numbers: String = channel.chars().filter(|c| !c.is_ascii_digit()).collect();
        let without_modifier = channel.rsplit_once('_').map_or(channel, |(kind, _)| kind);
        [channel, &without_numbers, without_modifier]
            .iter()
            .find_map(|base| text(&self.file(&format!("{base}_{what}"))).ok())
            .and_then(|number| number.parse().ok())
    }

    /// Sets an attribute; says what would have had to be possible.
    fn set(&self, attribute: &str, value: &str, fix: &str) -> Result<()> {
        write(&self.file(attribute), value).map_err(|e| {
            let what = format!("{} did not accept {attribute} = {value}", self.title());
            Fault::from_io(what, &e, Kind::Unsupported, fix)
        })
    }

    fn set_rate(&self, rate: Hertz) -> Result<()> {
        let own = "sampling_frequency";
        let shared = fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .find(|name| name.ends_with("_sampling_frequency"));
        let attribute = match shared {
            _ if self.file(own).exists() => own.to_owned(),
            Some(name) => name,
            None => own.to_owned(),
        };
        let fix = "leave out iio.rate, or use a rate that the device's sampling_frequency_available lists";
        self.set(&attribute, &rate.get().to_string(), fix)
    }
}

/// `(raw + offset) * factor`.
#[derive(Clone, Copy, Debug)]
struct Scale {
    factor: f64,
    offset: f64,
}

impl Scale {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "computed in f64, stored as f32"
    )]
    fn apply(self, raw: f64) -> f32 {
        ((raw + self.offset) * self.factor) as f32
    }
}

/// Writes an attribute that is there; one that the driver does not have is not made.
fn write(path: &Path, value: &str) -> io::Result<()> {
    let mut file = File::options().write(true).truncate(true).open(path)?;
    file.write_all(value.as_bytes())
}

/// A small text file without its line end.
fn text(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

/// The channels to be used: those asked for, all of which must be there, or all that are there.
fn choose(device: &Device, config: &IioConfig, there: &[String]) -> Result<Vec<String>> {
    let chosen = match config.channels.as_slice() {
        [] => there.to_vec(),
        chosen => chosen.to_vec(),
    };
    if let Some(missing) = chosen.iter().find(|c| !there.contains(c)) {
        return Err(Fault::new(
            Kind::Config,
            format!("{} has no channel `{missing}`", device.title()),
            format!("it has: {}", there.join(", ")),
            "set iio.channels to some of these",
        ));
    }
    if chosen.is_empty() || chosen.len() > DOF_MAX {
        return Err(Fault::new(
            Kind::Config,
            format!("{} has {} channels", device.title(), chosen.len()),
            "a reading has 1 to 16 values",
            "choose some with iio.channels",
        ));
    }
    Ok(chosen)
}
