//! Who a camera is, so that it is known again when it comes back under another number.
//!
//! Thread: housekeeping. Allocates: yes. Syscalls: `ioctl`, reads `/sys`.

use std::fmt;
use std::path::{Path, PathBuf};

use v4l::v4l_sys as sys;

use super::list;
use super::negotiate::device_fault;
use super::node::{self, Node, Plain};
use crate::error::Result;

/// Who a camera says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) card: String,
    pub(super) driver: String,
    /// Where it is plugged in, such as `usb-0000:00:14.0-3`.
    pub(super) bus: String,
    /// Which of its device's nodes this is.
    index: Option<String>,
    usb: Option<Usb>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Usb {
    /// Vendor and product, `046d:0825`.
    ids: String,
    /// Cheap cameras have none.
    serial: Option<String>,
}

impl Identity {
    /// Asks the camera, and checks that its frames can be mapped.
    pub(super) fn of(node: &Node) -> Result<Self> {
        let mut capability = sys::v4l2_capability::zeroed();
        node.ask(node::QUERY_CAPABILITY, &mut capability)
            .map_err(|e| device_fault(node, "say what it is", &e))?;
        refuse_what_is_no_camera(node, &capability)?;
        let about = node.about();
        Ok(Self {
            card: node::text(&capability.card),
            driver: node::text(&capability.driver),
            bus: node::text(&capability.bus_info),
            index: read(&about.join("index")),
            usb: Usb::of(&about),
        })
    }

    /// True when `other` is this camera, perhaps under another number. With a serial number it may be plugged in elsewhere;
    /// without one only its place tells it from another of its kind.
    pub(super) fn is(&self, other: &Self) -> bool {
        let serial = |camera: &Self| camera.usb.as_ref().and_then(|usb| usb.serial.clone());
        let placed = match (serial(self), serial(other)) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, None) => self.bus == other.bus,
            _ => false,
        };
        let ids = |camera: &Self| camera.usb.as_ref().map(|usb| usb.ids.clone());
        placed
            && ids(self) == ids(other)
            && self.index == other.index
            && (&self.driver, &self.card) == (&other.driver, &other.card)
    }

    /// Nodes under which it may have come back: the configured name first, then all others.
    pub(super) fn candidates(configured: &Path) -> Vec<PathBuf> {
        let target = configured.canonicalize().ok();
        let others = list::nodes()
            .into_iter()
            .filter(|path| Some(path) != target.as_ref());
        std::iter::once(configured.to_owned())
            .chain(others)
            .collect()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" at {}", self.card, self.bus)?;
        match self.usb.as_ref().and_then(|usb| usb.serial.as_ref()) {
            Some(serial) => write!(f, ", serial {serial}"),
            None => Ok(()),
        }
    }
}

impl Usb {
    /// Of the device that this video node's interface belongs to, if it is one on USB.
    fn of(about: &Path) -> Option<Self> {
        let device = about.join("device/..");
        let (vendor, product) = (
            read(&device.join("idVendor"))?,
            read(&device.join("idProduct"))?,
        );
        Some(Self {
            ids: format!("{vendor}:{product}"),
            serial: read(&device.join("serial")),
        })
    }
}

fn read(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn refuse_what_is_no_camera(node: &Node, capability: &sys::v4l2_capability) -> Result<()> {
    // One physical device may have several nodes; `device_caps` is about this one.
    let can = match capability.capabilities & sys::V4L2_CAP_DEVICE_CAPS {
        0 => capability.capabilities,
        _ => capability.device_caps,
    };
    let refuse = |why: &str| Err(list::not_a_camera(node.path(), why));
    if can & sys::V4L2_CAP_VIDEO_CAPTURE == 0 {
        let planes = sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE | sys::V4L2_CAP_VIDEO_M2M_MPLANE;
        if can & sys::V4L2_CAP_META_CAPTURE != 0 {
            return refuse(
                "it gives metadata about a camera's frames, not frames; the camera is another node",
            );
        }
        if can & (sys::V4L2_CAP_VIDEO_M2M | sys::V4L2_CAP_VIDEO_M2M_MPLANE) != 0 {
            return refuse("it converts frames (a codec or scaler) and captures none");
        }
        if can & planes != 0 {
            return refuse(
                "it delivers frames in several planes of memory (multi-planar), which is not supported",
            );
        }
        return refuse("it does not capture frames");
    }
    if can & sys::V4L2_CAP_STREAMING == 0 {
        return refuse("its frames can only be copied out with read(), not mapped");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(bus: &str, serial: Option<&str>) -> Identity {
        Identity {
            card: "HD Webcam".to_owned(),
            driver: "uvcvideo".to_owned(),
            bus: bus.to_owned(),
            index: Some("0".to_owned()),
            usb: Some(Usb {
                ids: "046d:0825".to_owned(),
                serial: serial.map(str::to_owned),
            }),
        }
    }

    #[test]
    fn a_serial_number_is_known_again_in_another_port() {
        assert!(camera("usb-1", Some("A1")).is(&camera("usb-7", Some("A1"))));
    }

    #[test]
    fn another_camera_of_its_kind_is_not_taken_for_it() {
        assert!(!camera("usb-1", Some("A1")).is(&camera("usb-1", Some("B2"))));
        assert!(!camera("usb-1", Some("A1")).is(&camera("usb-1", None)));
        assert!(!camera("usb-1", None).is(&camera("usb-2", None)));
    }

    #[test]
    fn without_a_serial_number_the_port_tells() {
        assert!(camera("usb-1", None).is(&camera("usb-1", None)));
    }

    #[test]
    fn another_node_or_kind_in_its_port_is_not_taken_for_it() {
        let ours = camera("usb-1", None);
        let changed = |change: fn(&mut Identity)| {
            let mut other = ours.clone();
            change(&mut other);
            other
        };
        assert!(!ours.is(&changed(|c| c.index = Some("1".to_owned()))));
        assert!(!ours.is(&changed(|c| c.card = "IR Webcam".to_owned())));
        assert!(!ours.is(&changed(|c| c.usb = None)));
        assert!(!ours.is(&changed(|c| c.driver = "vivid".to_owned())));
    }
}
