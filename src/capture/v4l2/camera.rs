//! One opening of a camera: its node and its buffers, from the first call to the last.
//!
//! Thread: housekeeping opens and closes it, capture streams from it. Allocates: in `set_up`. Blocks: setting up and starting a USB
//! camera takes tenths of a second. Locks: no. Syscalls: `ioctl`, `mmap`.

use std::io;

use super::buffers::Buffers;
use super::config::V4l2Config;
use super::negotiate::{self, Agreed};
use super::node::Node;
use crate::capture::story::Cause;
use crate::error::{Fault, Result};

#[derive(Debug)]
pub(super) struct Camera {
    pub(super) node: Node,
    pub(super) buffers: Buffers,
    streaming: bool,
}

impl Camera {
    /// Agrees on a format, sets the controls and takes the buffers.
    pub(super) fn set_up(node: Node, config: &V4l2Config) -> Result<(Self, Agreed)> {
        let agreed = negotiate::negotiate(&node, config)?;
        let least = match agreed.format.stride {
            0 => 1, // JPEG: the driver knows how large its pictures get.
            _ => agreed.format.frame_bytes(),
        };
        let buffers = Buffers::take_from(&node, config.buffers, least)?;
        // Cameras without a cable in front of them have no such event, and refuse.
        let _ = node.tell_of_source_changes();
        let camera = Self {
            node,
            buffers,
            streaming: false,
        };
        Ok((camera, agreed))
    }

    /// Gives the driver all buffers that are home, and begins to stream.
    pub(super) fn start(&mut self) -> io::Result<()> {
        let started = self
            .buffers
            .queue_home(&self.node)
            .and_then(|()| self.node.stream(true));
        self.streaming = started.is_ok();
        if !self.streaming {
            self.stop();
        }
        started
    }

    /// What a person is told when `start` failed.
    pub(super) fn not_started(&self, error: &io::Error) -> Fault {
        let mut fault = negotiate::device_fault(&self.node, "start streaming", error);
        if error.raw_os_error() == Some(libc::ENOSPC) {
            fault.why = "the USB bus has not enough bandwidth left".to_owned();
            fault.fix = "use a smaller size or rate, MJPG, or another USB port".to_owned();
        }
        fault
    }

    /// Gives the driver what is home. A refused buffer stays home and is tried again at the next call; ENODEV from any call means
    /// that the device has gone.
    pub(super) fn queue_home(&mut self) -> Option<Cause> {
        if !self.streaming {
            return None;
        }
        let refused = self.buffers.queue_home(&self.node).err()?;
        (refused.raw_os_error() == Some(libc::ENODEV)).then_some(Cause::Unplugged)
    }

    pub(super) fn stop(&mut self) {
        // A device that has gone refuses this too, and has no buffers any more.
        let _ = self.node.stream(false);
        self.streaming = false;
        self.buffers.all_home();
    }
}

impl Drop for Camera {
    /// Slots that are out keep the kernel's side of the node open; it must not stream on for them.
    fn drop(&mut self) {
        self.stop();
    }
}
