//! A source in one word, as on the command line and in `camera.source`:
//!
//! ```text
//! scene:1920x1080@30,seed=7                    v4l2:/dev/video0,1280x720@30,format=NV12
//! file:drive.mp4,pace=fastest,loop             synthetic:1920x1080@30,gaps=1%,seed=7
//! ```
//!
//! What it says is laid over the table of that kind in the configuration (`[camera.synthetic]` and so on), whose
//! keys it takes.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use toml::{Table, Value};

use super::file::FileConfig;
use super::synthetic::SyntheticConfig;
use super::v4l2::V4l2Config;
use crate::scene::SceneConfig;

/// The kinds of sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceKind {
    /// A virtual pan-tilt camera in front of a wall of photographs.
    #[default]
    Scene,
    /// A camera through V4L2.
    V4l2,
    /// A recording.
    File,
    /// A camera made of arithmetic.
    Synthetic,
}

impl SourceKind {
    pub const ALL: [Self; 4] = [Self::Scene, Self::V4l2, Self::File, Self::Synthetic];

    /// As it is written: `v4l2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scene => "scene",
            Self::V4l2 => "v4l2",
            Self::File => "file",
            Self::Synthetic => "synthetic",
        }
    }

    /// The key that says what the source is pointed at.
    fn main_key(self) -> Option<&'static str> {
        match self {
            Self::V4l2 => Some("device"),
            Self::File => Some("path"),
            Self::Scene | Self::Synthetic => None,
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Scene => SceneConfig::KEYS,
            Self::V4l2 => V4l2Config::KEYS,
            Self::File => FileConfig::KEYS,
            Self::Synthetic => SyntheticConfig::KEYS,
        }
    }
}

/// Which source, and what was said about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceSpec {
    pub kind: SourceKind,
    settings: Table,
}

/// A configuration that a [`SourceSpec`] can be laid over.
pub trait Settings: Sized {
    /// The keys that may be given in a [`SourceSpec`].
    const KEYS: &[&str];

    /// The settings on top of the defaults; each is checked alone.
    fn read(settings: &Table) -> Result<Self, String>;

    /// Takes over every setting, and checks that all fit together. Says in words what is wrong.
    fn overlay(&mut self, settings: &Table) -> Result<(), String>;
}

impl SourceSpec {
    /// Lays what was said over the configuration of its kind, and checks the whole.
    pub fn apply_to(&self, config: &mut impl Settings) -> Result<(), String> {
        config.overlay(&self.settings)
    }
}

/// Implements [`Settings`]: the settings are read as a configuration, as from a file, and then only the fields that
/// were named are taken over.
macro_rules! settings {
    ($config:ty, $check:expr, { $($key:literal => $field:ident),* $(,)? }) => {
        impl Settings for $config {
            const KEYS: &[&str] = &[$($key),*];

            fn read(settings: &Table) -> Result<Self, String> {
                // Where a type has an inherent `deserialize`, it is the one that checks fields only.
                Self::deserialize(Value::Table(settings.clone()))
                    .map_err(|e| e.message().trim().to_owned())
            }

            fn overlay(&mut self, settings: &Table) -> Result<(), String> {
                let given = Self::read(settings)?;
                $(if settings.contains_key($key) {
                    self.$field = given.$field.clone();
                })*
                let check: fn(&Self) -> Result<(), String> = $check;
                check(self)
            }
        }
    };
}

settings!(SyntheticConfig, Self::check, {
    "width" => width, "height" => height, "rate" => rate, "pace" => pace, "format" => format,
    "row_padding" => row_padding, "slots" => slots, "seed" => seed, "frames" => frames,
    "jitter" => jitter, "delay" => delay, "gaps" => gaps, "gap_length" => gap_length,
    "stalls" => stalls, "stall_length" => stall_length, "errors" => errors, "shorts" => shorts,
    "repeats" => repeats, "future_stamps" => future_stamps, "future_by" => future_by,
    "damaged" => damaged,
});

settings!(FileConfig, Self::check, {
    "path" => path, "pace" => pace, "loop" => repeat, "rate" => rate, "slots" => slots,
});

// Each field of a camera is checked when it is read; that they fit together is for the driver to say.
settings!(V4l2Config, |_| Ok(()), {
    "device" => device, "formats" => formats, "width" => width, "height" => height, "rate" => rate,
    "exact" => exact, "buffers" => buffers, "damaged" => damaged,
});

settings!(SceneConfig, Self::check, {
    "width" => width, "height" => height, "rate" => rate, "format" => format, "slots" => slots,
    "seed" => seed, "field_of_view" => field_of_view, "pan_range" => pan_range,
    "tilt_range" => tilt_range, "speed" => speed, "acceleration" => acceleration,
    "stiffness" => stiffness, "sensor_rate" => sensor_rate, "sensor_noise" => sensor_noise,
    "sensor_jitter" => sensor_jitter,
});

impl FromStr for SourceSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = match text.split_once([':', ',']) {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        let kind = SourceKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| unknown_kind(text))?;
        let mut settings = Table::new();
        for item in items(kind, rest.unwrap_or_default()) {
            set(kind, &mut settings, item)?;
        }
        // `file` alone leaves the path to `[camera.file]`.
        if kind == SourceKind::File && rest.is_some() && !settings.contains_key("path") {
            return Err("`file:` needs a path: write file:PATH".to_owned());
        }
        let spec = Self { kind, settings };
        spec.check()?;
        Ok(spec)
    }
}

impl SourceSpec {
    /// As it would be written on the command line, with every setting.
    pub fn written(&self) -> String {
        let main = self.kind.main_key();
        let first = main.and_then(|key| self.settings.get(key)?.as_str().map(str::to_owned));
        let others = self
            .settings
            .iter()
            .filter(|(key, _)| Some(key.as_str()) != main);
        let items: Vec<String> = first.into_iter().chain(others.map(item)).collect();
        match items.is_empty() {
            true => self.kind.name().to_owned(),
            false => format!("{}:{}", self.kind.name(), items.join(",")),
        }
    }

    /// Reads the settings once, so that mistakes are found where they are written. Whether they fit together
    /// depends on the rest of the configuration.
    fn check(&self) -> Result<(), String> {
        match self.kind {
            SourceKind::Scene => SceneConfig::read(&self.settings).map(drop),
            SourceKind::V4l2 => V4l2Config::read(&self.settings).map(drop),
            SourceKind::File => FileConfig::read(&self.settings).map(drop),
            SourceKind::Synthetic => SyntheticConfig::read(&self.settings).map(drop),
        }
    }
}

/// One setting as [`set`] reads it.
fn item((key, value): (&String, &Value)) -> String {
    match value {
        Value::String(text) => format!("{key}={text}"),
        // The only list is that of a camera's formats.
        Value::Array(names) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            format!("format={}", names.join("+"))
        }
        value => format!("{key}={value}"),
    }
}

/// The parts between commas. A comma within a file's path belongs to it unless a setting follows.
fn items(kind: SourceKind, text: &str) -> Vec<&str> {
    if kind != SourceKind::File {
        return text.split(',').filter(|item| !item.is_empty()).collect();
    }
    let mut items = Vec::new();
    let mut path = text;
    while let Some((before, last)) = path.rsplit_once(',')
        && (last == "loop"
            || last
                .split_once('=')
                .is_some_and(|(key, _)| kind.keys().contains(&key)))
    {
        items.push(last);
        path = before;
    }
    if !path.is_empty() {
        items.push(path);
    }
    items.reverse();
    items
}

/// Adds what one item says: a setting, or a word alone.
fn set(kind: SourceKind, settings: &mut Table, item: &str) -> Result<(), String> {
    if let Some((key, value)) = item.split_once('=') {
        let key = key.trim().replace('-', "_");
        let (key, value) = match (kind, key.as_str()) {
            // One word here, a list of preferences in the configuration.
            (SourceKind::V4l2, "format") => ("formats".to_owned(), formats(value.trim())),
            _ => (key.clone(), typed(&key, value.trim())),
        };
        if kind.keys().contains(&key.as_str()) {
            settings.insert(key, value);
            return Ok(());
        }
    }
    let name = Value::String(item.to_owned());
    let is_first = settings.is_empty();
    match kind {
        SourceKind::File if item == "loop" && !is_first => {
            settings.insert("loop".to_owned(), Value::Boolean(true));
        }
        SourceKind::File if is_first => {
            settings.insert("path".to_owned(), name);
        }
        SourceKind::V4l2 if is_first && item.contains('/') => {
            settings.insert("device".to_owned(), name);
        }
        _ if item.contains('=') || kind == SourceKind::File => {
            return Err(not_understood(kind, item));
        }
        _ => set_size(settings, item)?,
    }
    Ok(())
}

/// `1920x1080`, `1920x1080@30` or `1920x1080@fastest`.
fn set_size(settings: &mut Table, item: &str) -> Result<(), String> {
    let wrong = || {
        format!(
            "`{item}` is not a size: write WIDTHxHEIGHT or WIDTHxHEIGHT@RATE, such as 1920x1080@30"
        )
    };
    let (size, rate) = match item.split_once('@') {
        Some((size, rate)) => (size, Some(rate)),
        None => (item, None),
    };
    let (width, height) = size.split_once('x').ok_or_else(wrong)?;
    for (key, text) in [("width", width), ("height", height)] {
        let pixels: u32 = text.parse().map_err(|_| wrong())?;
        settings.insert(key.to_owned(), Value::Integer(pixels.into()));
    }
    match rate {
        None => {}
        Some("fastest") => {
            settings.insert("pace".to_owned(), Value::String("fastest".to_owned()));
        }
        Some(rate) => {
            let rate: f64 = rate.parse().map_err(|_| wrong())?;
            settings.insert("rate".to_owned(), Value::Float(rate));
        }
    }
    Ok(())
}

fn formats(value: &str) -> Value {
    Value::Array(
        value
            .split('+')
            .map(|name| Value::String(name.to_owned()))
            .collect(),
    )
}

/// A value as it would stand in TOML; names stay text even if they look like numbers.
fn typed(key: &str, text: &str) -> Value {
    let is_name = matches!(key, "path" | "device");
    match text.parse::<i64>() {
        Ok(number) if !is_name => return Value::Integer(number),
        _ => {}
    }
    match (text.parse::<f64>(), text.parse::<bool>()) {
        (Ok(number), _) if !is_name => Value::Float(number),
        (_, Ok(truth)) if !is_name => Value::Boolean(truth),
        _ => Value::String(text.to_owned()),
    }
}

fn unknown_kind(text: &str) -> String {
    let kinds = "scene, v4l2:DEVICE, file:PATH or synthetic:WIDTHxHEIGHT@RATE";
    let advice = if text.starts_with("/dev/") {
        format!("; did you mean v4l2:{text}?")
    } else if text.contains(['/', '.']) {
        format!("; did you mean file:{text}?")
    } else {
        String::new()
    };
    format!("`{text}` is not a source: write {kinds}{advice}")
}

fn not_understood(kind: SourceKind, item: &str) -> String {
    format!(
        "`{item}` is no setting of {}: there are {}",
        kind.name(),
        kind.keys().join(", ")
    )
}

impl<'de> Deserialize<'de> for SourceSpec {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for SourceSpec {
    /// The kind and what it was pointed at: `file:drive.mp4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        let main = self.kind.main_key().and_then(|key| self.settings.get(key));
        match main.and_then(Value::as_str) {
            Some(main) => write!(f, ":{main}"),
            None => Ok(()),
        }
    }
}
