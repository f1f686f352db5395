//! Cameras through V4L2, with the driver's own buffers as slots: no frame is copied between the driver and the
//! stage that reads it.
//!
//! Thread: capture. Allocates: in `open`. Blocks: in `wait` only. Locks: no. Syscalls: `ppoll`, `ioctl`.
//!
//! In the order in which a frame meets them: `node` is the door to the driver, `negotiate` agrees on a
//! format, `buffers` knows which slot the driver has, `arrival` describes what came. `controls`,
//! `offers` and `list` are for setting up and for people.
//!
//! The reader gets the newest frame. If the driver ran out of buffers meanwhile, even the newest is old: then
//! all go back, and the next one is taken.
//!
//! A camera that is lost is lost for this source: `wait` and `take` say so from then on. To go on, drop the
//! source and open the node again. The kernel lets go of the old node only when its last buffer is unmapped,
//! so slots that are out must come back (to whichever source is there: one that is not its own is unmapped)
//! before a node of the same name can appear.
//!
//! Not supported, and refused by name: multi-planar devices, half pictures (one field a buffer), and devices
//! without memory-mapped buffers.

mod arrival;
mod buffers;
mod busy;
mod colour;
mod config;
mod controls;
pub mod list;
mod negotiate;
mod node;
mod offers;

pub use config::{ControlValue, Damaged, V4l2Config};
pub use controls::{ControlInfo, Takes};
pub use offers::{FormatOffer, Rates, SizeOffer};

use v4l::v4l_sys as sys;

use self::arrival::Arrivals;
use self::buffers::Buffers;
use self::node::{Event, Node, Plain};
use super::{Readiness, Source, SourceCounters};
use crate::clock;
use crate::error::{Result, StepError};
use crate::frame::{FrameFormat, StampSource};
use crate::rt::sync::Arc;
use crate::slot::{Empty, Filled, Slot};
use crate::units::{Hertz, MonoTime};

/// A camera.
#[derive(Debug)]
pub struct V4l2Source {
    node: Node,
    card: String,
    rate: Option<Hertz>,
    differs: Option<String>,
    arrivals: Arrivals,
    buffers: Buffers,
    streaming: bool,
    lost: bool,
    /// The last `take` put everything back for being old.
    renewed: bool,
}

impl V4l2Source {
    /// Opens the camera, agrees on a format, sets its controls and takes its buffers.
    ///
    /// Errors: no such node ([`Kind::NoDevice`](crate::error::Kind)), not allowed (`Permission`), in use
    /// (`Busy`), not a camera or not with this format (`Unsupported`), a control that it does not have or a
    /// value that it does not take (`Config`).
    pub fn open(config: &V4l2Config, source_index: u8) -> Result<Self> {
        let node = Node::open(&config.device)?;
        let card = capture_node(&node)?.card;
        let agreed = negotiate::negotiate(&node, config)?;
        let least = match agreed.format.stride {
            0 => 1, // JPEG: the driver knows how large its pictures get.
            _ => agreed.format.frame_bytes(),
        };
        let buffers = Buffers::take_from(&node, config.buffers, least)?;
        Ok(Self {
            arrivals: Arrivals::new(source_index, agreed.format, config.damaged),
            node,
            card,
            rate: agreed.rate,
            differs: agreed.differs,
            buffers,
            streaming: false,
            lost: false,
            renewed: false,
        })
    }

    /// With `exact = false`: what the camera granted that is not what was asked for.
    pub fn differs(&self) -> Option<&str> {
        self.differs.as_deref()
    }

    /// Buffers that the driver has. While it has one it drops no frame for want of a buffer.
    pub fn queued(&self) -> usize {
        self.buffers.queued()
    }

    /// True when the driver ran out of buffers and has had to lose a frame since it filled the newest. That
    /// happens when the caller stayed away for long, as one does that runs a slow model on the capture thread.
    /// A frame from now is less than a period away, and worth more than one that is older than that.
    fn is_behind(&self, now: MonoTime) -> bool {
        let lost_one = || {
            let period = self.rate?.period();
            Some(now > self.arrivals.next_due(period)? + period)
        };
        self.buffers.queued() == 0 && lost_one() == Some(true)
    }

    /// Gives the driver what is home. A refused buffer stays home and is tried again at the next call.
    fn queue_home(&mut self) {
        if self.streaming {
            let queued = self.buffers.queue_home(&self.node);
            self.note(queued.err());
        }
    }

    /// ENODEV from any call means that the device is gone; other refusals are of one buffer.
    fn note(&mut self, error: Option<std::io::Error>) {
        self.lost |= error.is_some_and(|e| e.raw_os_error() == Some(libc::ENODEV));
    }
}

impl Source for V4l2Source {
    fn describe(&self) -> String {
        let format = self.arrivals.format();
        let rate = self.rate.map_or_else(String::new, |r| format!(" {r}"));
        let differs = self
            .differs
            .as_ref()
            .map_or_else(String::new, |d| format!(" ({d})"));
        format!(
            "v4l2 {} \"{}\" {} {}x{}{rate}, {} buffers{differs}",
            self.node.path().display(),
            self.card,
            format.pixel.name(),
            format.width,
            format.height,
            self.buffers.count(),
        )
    }

    fn format(&self) -> FrameFormat {
        self.arrivals.format()
    }

    fn rate(&self) -> Option<Hertz> {
        self.rate
    }

    fn stamp_source(&self) -> StampSource {
        self.buffers.stamps()
    }

    fn slot_count(&self) -> u32 {
        u32::try_from(self.buffers.count()).expect("at most 32")
    }

    fn next_due(&self) -> Option<MonoTime> {
        self.arrivals.next_due(self.rate?.period())
    }

    fn notes(&self) -> Vec<String> {
        self.differs.iter().cloned().collect()
    }

    fn start(&mut self) -> Result<()> {
        (self.lost, self.renewed) = (false, false);
        self.arrivals.begin(clock::now());
        let started = self
            .buffers
            .queue_home(&self.node)
            .and_then(|()| self.node.stream(true));
        self.streaming = started.is_ok();
        started.map_err(|e| {
            self.stop();
            let mut fault = negotiate::device_fault(&self.node, "start streaming", &e);
            if e.raw_os_error() == Some(libc::ENOSPC) {
                fault.why = "the USB bus has not enough bandwidth left".to_owned();
                fault.fix = "use a smaller size or rate, MJPG, or another USB port".to_owned();
            }
            fault
        })
    }

    fn wait(&mut self, deadline: MonoTime) -> Result<Readiness, StepError> {
        self.queue_home();
        if self.lost {
            return Err(StepError::DeviceLost);
        }
        match self.node.wait(deadline) {
            Event::Frame => Ok(Readiness::Ready),
            Event::TimedOut => Ok(Readiness::TimedOut),
            Event::Trouble => {
                self.lost = true;
                Err(StepError::DeviceLost)
            }
        }
    }

    fn take(&mut self, now: MonoTime) -> Result<Option<Slot<Filled>>, StepError> {
        let mut newest: Option<Slot<Filled>> = None;
        // BOUND: one turn a buffer; a camera that fills them faster than this takes them is read on next time.
        for _ in 0..self.buffers.count() {
            let (slot, note) = match self.buffers.dequeue(&self.node) {
                Ok(Some(filled)) => filled,
                Ok(None) => break,
                Err(_) => {
                    self.lost = true;
                    break;
                }
            };
            let meta = self.arrivals.describe(&note, slot.capacity(), now);
            if !self.arrivals.is_usable(&meta) {
                self.arrivals.counters().unusable.add(1);
                self.buffers.bring_home(slot);
            } else if let Some(older) = newest.replace(slot.fill(meta)) {
                self.arrivals.counters().drained.add(1);
                self.buffers.bring_home(older.empty());
            }
        }
        // Once in a row only: a caller who is always late still gets frames.
        self.renewed = newest.is_some() && !self.renewed && !self.lost && self.is_behind(now);
        if self.renewed
            && let Some(old) = newest.take()
        {
            self.arrivals.counters().drained.add(1);
            self.buffers.bring_home(old.empty());
        }
        self.queue_home();
        match newest {
            // What came before the loss is still worth having; the next `wait` reports it.
            Some(frame) => {
                self.arrivals.counters().taken.add(1);
                Ok(Some(frame))
            }
            None if self.lost => Err(StepError::DeviceLost),
            None => Ok(None),
        }
    }

    fn give_back(&mut self, slot: Slot<Empty>) {
        self.buffers.bring_home(slot);
        self.queue_home();
    }

    fn stop(&mut self) {
        // A device that is gone refuses this too, and has no buffers any more.
        let _ = self.node.stream(false);
        self.streaming = false;
        self.buffers.all_home();
    }

    fn counters(&self) -> Arc<SourceCounters> {
        Arc::clone(self.arrivals.counters())
    }
}

impl Drop for V4l2Source {
    /// Slots that are out keep the kernel's side of the node open; it must not stream on for them.
    fn drop(&mut self) {
        self.stop();
    }
}

/// Who a camera says it is.
struct Identity {
    card: String,
    driver: String,
    bus: String,
}

/// Checks that the node is a camera whose frames can be mapped.
fn capture_node(node: &Node) -> Result<Identity> {
    let mut capability = sys::v4l2_capability::zeroed();
    node.ask(node::QUERY_CAPABILITY, &mut capability)
        .map_err(|e| negotiate::device_fault(node, "say what it is", &e))?;
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
    Ok(Identity {
        card: node::text(&capability.card),
        driver: node::text(&capability.driver),
        bus: node::text(&capability.bus_info),
    })
}
