//! Where actions go: sockets, a serial port, a file of JSON lines.
//!
//! A sink is named by one line, in the configuration and on the command line:
//!
//! | line | goes to | as |
//! |---|---|---|
//! | `null` | nowhere | |
//! | `json:PATH`, `json:-` | a file (begun anew), or standard output | JSON lines |
//! | `udp:HOST:PORT` | a UDP socket | one compact datagram an action, or JSON with `udp+json:` |
//! | `unix:PATH` | a Unix datagram socket | the same, or `unix+json:` |
//! | `serial:/dev/ttyACM0@115200` | a serial port at this speed | framed compact datagrams, or JSON lines with `serial+json:` |
//!
//! The forms are documented in [`crate::wire`]. No sink ever makes the action clock wait: what it cannot take at
//! once it refuses, whole, and the action thread counts that.

mod json_lines;
mod serial;
mod udp;
mod unix_datagram;

use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Action, Sink};
use crate::error::{Result, StepError};
use crate::units::Hertz;
use crate::wire::{DATAGRAM_BYTES_MAX, Message, json};

/// Where actions go, as in the module's table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SinkConfig {
    #[default]
    Null,
    /// `-` is standard output.
    JsonLines(PathBuf),
    /// A host name or address and a port.
    Udp(String, Form),
    Unix(PathBuf, Form),
    /// A device and its speed in bits a second.
    Serial(PathBuf, u32, Form),
}

/// How an action is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Compact,
    Json,
}

impl SinkConfig {
    /// False where nothing can be hurt: actions go nowhere, or into a file.
    pub fn reaches_a_robot(&self) -> bool {
        match self {
            Self::Null | Self::JsonLines(_) => false,
            Self::Udp(..) | Self::Unix(..) | Self::Serial(..) => true,
        }
    }
}

impl FromStr for SinkConfig {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            Err(format!(
                "`{line}` is not a sink: {why}. Write `null`, `json:PATH`, `json:-`, `udp:HOST:PORT`, \
                 `unix:PATH` or `serial:DEVICE@SPEED`; `udp+json:`, `unix+json:` and `serial+json:` send JSON"
            ))
        };
        if line == "null" {
            return Ok(Self::Null);
        }
        let Some((kind, rest)) = line.split_once(':') else {
            return refuse("it has no `:`");
        };
        if rest.is_empty() {
            return refuse("nothing stands after the `:`");
        }
        let (kind, form) = match kind.strip_suffix("+json") {
            Some(kind) => (kind, Form::Json),
            None => (kind, Form::Compact),
        };
        match kind {
            "json" if form == Form::Compact => Ok(Self::JsonLines(rest.into())),
            "udp" => match rest.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
                Some(Ok(1..)) => Ok(Self::Udp(rest.to_owned(), form)),
                Some(_) => refuse("the port is not a number from 1 to 65535"),
                None => refuse("a UDP address needs a port"),
            },
            "unix" => Ok(Self::Unix(rest.into(), form)),
            "serial" => match rest.rsplit_once('@').map(|(d, s)| (d, s.parse())) {
                Some((device, Ok(speed))) => Ok(Self::Serial(device.into(), speed, form)),
                Some(_) => refuse("the speed is not a number"),
                None => refuse("a serial port needs its speed, such as `@115200`"),
            },
            _ => refuse("there is no such kind"),
        }
    }
}

impl<'de> serde::Deserialize<'de> for SinkConfig {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let line = String::deserialize(d)?;
        line.parse().map_err(serde::de::Error::custom)
    }
}

/// Opens a sink for actions of `dof` values at `rate`. Takes all its memory.
pub fn open(config: &SinkConfig, dof: u8, rate: Hertz) -> Result<Box<dyn Sink>> {
    Ok(match config {
        SinkConfig::Null => Box::new(Null),
        SinkConfig::JsonLines(path) => Box::new(json_lines::JsonLines::open(path)?),
        SinkConfig::Udp(address, form) => Box::new(udp::Udp::open(address, *form)?),
        SinkConfig::Unix(path, form) => Box::new(unix_datagram::UnixSocket::open(path, *form)?),
        SinkConfig::Serial(device, speed, form) => {
            let load = serial::Load { dof, rate };
            Box::new(serial::Serial::open(device, *speed, *form, load)?)
        }
    })
}

/// Takes every action and does nothing.
#[derive(Debug)]
struct Null;

impl Sink for Null {
    fn describe(&self) -> String {
        "null".into()
    }
    fn write(&mut self, _action: &Action) -> Result<(), StepError> {
        Ok(())
    }
}

/// Writes actions into memory of its own.
#[derive(Debug)]
struct Pen {
    form: Form,
    compact: [u8; DATAGRAM_BYTES_MAX],
    json: Box<[u8; json::JSON_BYTES_MAX]>,
}

impl Pen {
    fn new(form: Form) -> Self {
        Self {
            form,
            compact: [0; DATAGRAM_BYTES_MAX],
            json: Box::new([0; json::JSON_BYTES_MAX]),
        }
    }

    fn write(&mut self, action: &Action) -> &[u8] {
        let message = Message::of_action(action);
        match self.form {
            Form::Compact => {
                let len = message.encode(&mut self.compact);
                &self.compact[..len]
            }
            Form::Json => {
                let len = json::write(&message, &mut self.json);
                &self.json[..len]
            }
        }
    }
}

impl Form {
    fn suffix(self) -> &'static str {
        match self {
            Self::Compact => "",
            Self::Json => "+json",
        }
    }
}

/// A send that failed: either the other side is behind, or it is not there.
fn refusal(error: &io::Error) -> StepError {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted, _) | (_, Some(libc::ENOBUFS)) => {
            StepError::WouldBlock
        }
        _ => StepError::DeviceLost,
    }
}
