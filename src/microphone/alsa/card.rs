//! Cards: who they are, and where the nodes of their devices are.
//!
//! Thread: main, and the sensor's when a device comes back. Allocates: only in [`capture_devices`]. Blocks: no.
//! Syscalls: `open`, `ioctl`, `read`.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::pcm;
use crate::microphone::address::CardName;

/// Most cards that a kernel has (`SNDRV_CARDS` is 32 with dynamic minors, as distributions build it).
pub const CARDS_MAX: u32 = 32;

/// Text of a fixed size, as the kernel gives it, and names of nodes: nothing is allocated when a device comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; 96],
    len: usize,
}

impl Text {
    const EMPTY: Self = Self {
        bytes: [0; 96],
        len: 0,
    };

    fn of(bytes: &[u8]) -> Self {
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        let text = bytes[..end].trim_ascii();
        let mut new = Self::EMPTY;
        new.len = text.len().min(new.bytes.len());
        new.bytes[..new.len].copy_from_slice(&text[..new.len]);
        new
    }

    fn format(words: fmt::Arguments<'_>) -> Self {
        let mut new = Self::EMPTY;
        // What does not fit is left out; no name of a node is that long.
        let _ = new.write_fmt(words);
        new
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or("?")
    }

    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.bytes[..self.len]))
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self
            .bytes
            .get_mut(self.len..self.len + text.len())
            .ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Who a card says it is.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    pub number: u32,
    pub id: Text,
    pub driver: Text,
    pub name: Text,
    /// On USB it ends with the port: `at usb-0000:00:14.0-3, full speed`.
    pub long_name: Text,
    /// On USB vendor and product: `USB046d:0825`.
    pub components: Text,
    /// Of a USB device that has one.
    serial: Option<Text>,
}

impl Card {
    /// The card of this number, if there is one.
    pub fn look(number: u32) -> io::Result<Self> {
        let control =
            File::open(Text::format(format_args!("/dev/snd/controlC{number}")).as_path())?;
        let info = pcm::card_info(&control)?;
        Ok(Self {
            number,
            id: Text::of(&info.id),
            driver: Text::of(&info.driver),
            name: Text::of(&info.name),
            long_name: Text::of(&info.longname),
            components: Text::of(&info.components),
            serial: read(&Text::format(format_args!(
                "/sys/class/sound/card{number}/device/../serial"
            ))),
        })
    }

    /// True when `other` is this card, perhaps under another number. With a serial number it may be plugged in elsewhere;
    /// without one a USB card is known by its port, and one that is part of the machine by its id.
    pub fn is(&self, other: &Self) -> bool {
        let placed = match (self.serial, other.serial) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, None) if self.components.as_str().starts_with("USB") => {
                self.long_name == other.long_name
            }
            (None, None) => self.id == other.id,
            _ => false,
        };
        placed
            && (self.driver, self.name, self.components)
                == (other.driver, other.name, other.components)
    }

    pub fn has_name(&self, name: &CardName) -> bool {
        match name {
            CardName::Number(number) => self.number == *number,
            CardName::Id(id) => self.id.as_str() == id,
        }
    }

    /// All cards that are there.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CARDS_MAX).filter_map(|number| Self::look(number).ok())
    }
}

/// The node that a card's device is captured through.
pub fn capture_node(card: u32, device: u32) -> Text {
    Text::format(format_args!("/dev/snd/pcmC{card}D{device}c"))
}

/// Card and device of each capture device, in their order.
pub fn capture_devices() -> Vec<(u32, u32)> {
    let Ok(entries) = std::fs::read_dir("/dev/snd") else {
        return Vec::new();
    };
    let mut devices: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let (card, device) = name
                .to_str()?
                .strip_prefix("pcmC")?
                .strip_suffix('c')?
                .split_once('D')?;
            Some((card.parse().ok()?, device.parse().ok()?))
        })
        .collect();
    devices.sort_unstable();
    devices
}

/// A small file, if it is there and says something.
fn read(path: &Text) -> Option<Text> {
    let mut bytes = [0; 96];
    let len = File::open(path.as_path()).ok()?.read(&mut bytes).ok()?;
    Some(Text::of(&bytes[..len])).filter(|text| text.len > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(port: &str, serial: Option<&str>) -> Card {
        let text = |text: &str| Text::of(text.as_bytes());
        Card {
            number: 1,
            id: text("Device"),
            driver: text("USB-Audio"),
            name: text("USB PnP Sound Device"),
            long_name: text(&format!(
                "C-Media USB PnP Sound Device at {port}, full speed"
            )),
            components: text("USB0d8c:013c"),
            serial: serial.map(text),
        }
    }

    #[test]
    fn a_usb_card_is_known_by_its_serial_number_or_else_by_its_port() {
        assert!(card("usb-1", Some("A1")).is(&card("usb-7", Some("A1"))));
        assert!(!card("usb-1", Some("A1")).is(&card("usb-1", Some("B2"))));
        assert!(card("usb-1", None).is(&card("usb-1", None)));
        assert!(!card("usb-1", None).is(&card("usb-2", None)));
        assert!(!card("usb-1", None).is(&card("usb-1", Some("A1"))));
    }

    #[test]
    fn another_card_at_its_place_is_not_taken_for_it() {
        let ours = card("usb-1", None);
        let other = Card {
            components: Text::of(b"USB046d:0825"),
            ..ours
        };
        assert!(!ours.is(&other));
        assert!(ours.is(&Card {
            number: 3,
            id: Text::of(b"Device_1"),
            ..ours
        }));
    }

    #[test]
    fn what_does_not_fit_is_no_panic() {
        assert_eq!(Text::of(&[b'x'; 200]).as_str().len(), 96);
        assert_eq!(capture_node(31, 7).as_str(), "/dev/snd/pcmC31D7c");
    }
}
