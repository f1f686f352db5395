//! Cameras through V4L2, with the driver's own buffers as slots: no frame is copied between the driver and the
//! stage that reads it.
//!
//! Thread: capture. Allocates: in `open`. Blocks: in `wait` only. Locks: no. Syscalls: `ppoll`, `ioctl`.
//!
//! In the order in which a frame meets them: `node` is the door to the driver, `negotiate` agrees on a
//! format, `buffers` knows which slot the driver has, `camera` is all of one opening, `arrival` describes what came. `watch` finds
//! the faults that no driver reports, `recovery` opens a lost camera again, `identity` knows it by. `controls`, `offers` and `list`
//! are for setting up and for people.
//!
//! The reader gets the newest frame. If the driver ran out of buffers meanwhile, even the newest is old: then
//! all go back, and the next one is taken.
//!
//! A camera that is lost is handed to a thread beside the way, which closes it and opens it again, under whatever number it comes
//! back; until then `wait` times out as if no frame had come, and what is downstream sees that nothing is fresh. How soon a loss is
//! found: an error or an unplugged cable at the next `wait`, which they end; silence and a frozen picture after the times in
//! [`RecoveryConfig`], to within one `wait`. With `reopen = false`, or after `give_up_after`, `wait` says that the device is lost.
//!
//! Not supported, and refused by name: multi-planar devices, half pictures (one field a buffer), and devices
//! without memory-mapped buffers.

mod arrival;
mod buffers;
pub(crate) mod busy;
mod camera;
mod colour;
mod config;
mod controls;
mod identity;
pub mod list;
mod negotiate;
mod node;
mod offers;
mod recovery;
mod watch;

pub use config::{ControlValue, Damaged, Frozen, RecoveryConfig, V4l2Config};
pub use controls::{ControlInfo, Takes};
pub use offers::{FormatOffer, Rates, SizeOffer};

use self::arrival::Arrivals;
use self::camera::Camera;
use self::identity::Identity;
use self::node::{Event, Node};
use self::recovery::{Back, Recovery, Wanted};
use self::watch::{Picture, Silence, Watch};
use super::story::{Cause, Interruption, Story};
use super::{Readiness, Source, SourceCounters};
use crate::clock;
use crate::error::{Fault, Kind, Result, StepError};
use crate::frame::{FrameFormat, StampSource};
use crate::rt::sync::Arc;
use crate::slot::{Empty, Filled, Slot};
use crate::units::{Hertz, MonoTime, Nanos};

/// A camera.
#[derive(Debug)]
pub struct V4l2Source {
    /// None while it is away.
    camera: Option<Camera>,
    /// None when a lost camera is to end the run.
    recovery: Option<Recovery>,
    give_up_after: Option<Nanos>,
    /// What it was when it was opened; it must be the same when it comes back.
    name: String,
    slots: u32,
    stamps: StampSource,
    rate: Option<Hertz>,
    differs: Option<String>,
    arrivals: Arrivals,
    watch: Watch,
    story: Story,
    /// Found, and for the next `wait` to deal with: frames that came before it are still worth having.
    lost: Option<Cause>,
    /// The last `take` put everything back for being old.
    renewed: bool,
    notes: Vec<String>,
}

impl V4l2Source {
    /// Opens the camera, agrees on a format, sets its controls and takes its buffers.
    ///
    /// Errors: no such node ([`Kind::NoDevice`](crate::error::Kind)), not allowed (`Permission`), in use
    /// (`Busy`), not a camera or not with this format (`Unsupported`), a control that it does not have or a
    /// value that it does not take (`Config`).
    pub fn open(config: &V4l2Config, source_index: u8) -> Result<Self> {
        let node = Node::open(&config.device)?;
        let identity = Identity::of(&node)?;
        let (camera, agreed) = Camera::set_up(node, config)?;
        let buffers = camera.buffers.count();
        let differs = agreed.differs;
        let name = format!(
            "v4l2 {} \"{}\" {} {}x{}{}, {buffers} buffers{}",
            config.device.display(),
            identity.card,
            agreed.format.pixel.name(),
            agreed.format.width,
            agreed.format.height,
            agreed.rate.map_or_else(String::new, |r| format!(" {r}")),
            differs
                .as_ref()
                .map_or_else(String::new, |d| format!(" ({d})")),
        );
        let wanted = Wanted {
            config: config.clone(),
            identity,
            format: agreed.format,
            buffers,
        };
        let reopen = config.recovery.reopen;
        Ok(Self {
            name,
            slots: u32::try_from(buffers).expect("at most 32"),
            stamps: camera.buffers.stamps(),
            camera: Some(camera),
            recovery: reopen.then(|| Recovery::start(wanted)).transpose()?,
            give_up_after: config.recovery.give_up_after,
            rate: agreed.rate,
            notes: differs.iter().cloned().collect(),
            differs,
            arrivals: Arrivals::new(source_index, agreed.format, config.damaged),
            watch: Watch::new(&config.recovery, agreed.rate.map(Hertz::period)),
            story: Story::default(),
            lost: None,
            renewed: false,
        })
    }

    /// With `exact = false`: what the camera granted that is not what was asked for.
    pub fn differs(&self) -> Option<&str> {
        self.differs.as_deref()
    }

    /// Buffers that the driver has. While it has one it drops no frame for want of a buffer.
    pub fn queued(&self) -> usize {
        self.camera.as_ref().map_or(0, |c| c.buffers.queued())
    }

    /// True when the driver ran out of buffers and has had to lose a frame since it filled the newest. That
    /// happens when the caller stayed away for long, as one does that runs a slow model on the capture thread.
    /// A frame from now is less than a period away, and worth more than one that is older than that.
    fn is_behind(&self, now: MonoTime) -> bool {
        let lost_one = || {
            let period = self.rate?.period();
            Some(now > self.arrivals.next_due(period)? + period)
        };
        self.queued() == 0 && lost_one() == Some(true)
    }

    fn queue_home(&mut self) {
        if let Some(camera) = &mut self.camera {
            self.lost = self.lost.or(camera.queue_home());
        }
    }

    /// A slot comes home: to the camera that it is of, or to where it is let go of.
    fn bring_home(&mut self, slot: Slot<Empty>) {
        let stranger = match &mut self.camera {
            Some(camera) => camera.buffers.bring_home(slot),
            None => Some(slot),
        };
        if let (Some(slot), Some(recovery)) = (stranger, &mut self.recovery) {
            recovery.let_go(slot);
        }
    }

    /// The stream is interrupted. Frames that come end that by themselves.
    fn interrupted(&mut self, cause: Cause, last_good: MonoTime, now: MonoTime) {
        if self.story.interrupted(cause, last_good, now) {
            self.arrivals.counters().interrupted.add(1);
        }
    }

    /// The camera is lost: it is opened again beside the way, or this source is at its end.
    fn lose(&mut self, cause: Cause) -> Result<Readiness, StepError> {
        self.interrupted(cause, self.watch.heard(), clock::now());
        let Some(recovery) = &mut self.recovery else {
            // For every `wait` from now on.
            self.lost = Some(cause);
            return Err(StepError::DeviceLost);
        };
        if let Some(camera) = self.camera.take() {
            recovery.hand_over(camera);
        }
        Ok(Readiness::TimedOut)
    }

    /// What follows from no frame having come.
    fn nothing_came(&mut self, now: MonoTime) -> Result<Readiness, StepError> {
        match self.watch.nothing(now) {
            Silence::Usual => {}
            Silence::Silent => self.interrupted(Cause::Silent, self.watch.heard(), now),
            // Without recovery it may still go on by itself, and the ladder has taken over long since.
            Silence::Hopeless if self.recovery.is_none() => {}
            Silence::Hopeless => {
                self.watch.reopening_for_silence();
                return self.lose(Cause::Silent);
            }
        }
        Ok(Readiness::TimedOut)
    }

    /// Waits for the camera to come back.
    fn wait_for_return(&mut self, deadline: MonoTime) -> Result<Readiness, StepError> {
        let Some(recovery) = &mut self.recovery else {
            return Err(StepError::DeviceLost);
        };
        if let Some(back) = recovery.back() {
            self.welcome(back);
            return Ok(Readiness::TimedOut);
        }
        let away = self.story.now().map(|i| clock::now() - i.detected);
        if away
            .zip(self.give_up_after)
            .is_some_and(|(away, most)| away >= most)
        {
            return Err(StepError::DeviceLost);
        }
        recovery.sleep(deadline);
        Ok(Readiness::TimedOut)
    }

    fn welcome(&mut self, back: Back) {
        self.camera = Some(back.camera);
        self.story.reopened(back.started, back.attempts);
        self.begin(back.started);
    }

    fn begin(&mut self, now: MonoTime) {
        (self.lost, self.renewed) = (None, false);
        self.arrivals.begin(now);
        self.watch.begin(now);
    }

    /// The newest frame that the driver has filled; all others go back to it.
    fn newest(&mut self, now: MonoTime) -> Option<Slot<Filled>> {
        let camera = self.camera.as_mut()?;
        let mut newest: Option<Slot<Filled>> = None;
        // BOUND: one turn a buffer; a camera that fills them faster than this takes them is read on next time.
        for _ in 0..camera.buffers.count() {
            let (slot, note) = match camera.buffers.dequeue(&camera.node) {
                Ok(Some(filled)) => filled,
                Ok(None) => break,
                Err(e) => {
                    let gone = e.raw_os_error() == Some(libc::ENODEV);
                    self.lost = Some(match gone {
                        true => Cause::Unplugged,
                        false => Cause::DeviceError,
                    });
                    break;
                }
            };
            self.watch.heard_from(now);
            let meta = self.arrivals.describe(&note, slot.capacity(), now);
            let unwanted = if self.arrivals.is_usable(&meta) {
                let older = newest.replace(slot.fill(meta));
                let counters = self.arrivals.counters();
                older.map(|older| (older.empty(), &counters.drained))
            } else {
                Some((slot, &self.arrivals.counters().unusable))
            };
            if let Some((slot, counter)) = unwanted {
                counter.add(1);
                // It came from this camera just now, so it is none of another's.
                let _ = camera.buffers.bring_home(slot);
            }
        }
        newest
    }

    /// Looks whether a frame is worth passing on; if so, the stream is not interrupted (any more).
    fn judged(&mut self, mut frame: Slot<Filled>, now: MonoTime) -> Option<Slot<Filled>> {
        let last_new = self.watch.changed();
        let picture = self.watch.picture(frame.bytes(), now);
        if picture == Picture::New {
            frame.meta_mut().marks.resumed = self.story.resumed(now);
            if frame.meta().marks.resumed {
                self.arrivals.counters().resumed.add(1);
            }
            return Some(frame);
        }
        self.interrupted(Cause::Frozen, last_new, now);
        if picture == Picture::Hopeless && self.recovery.is_some() {
            self.lost = Some(Cause::Frozen);
        }
        let counters = self.arrivals.counters();
        counters.frozen.add(1);
        counters.unusable.add(1);
        self.bring_home(frame.empty());
        None
    }
}

impl Source for V4l2Source {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn format(&self) -> FrameFormat {
        self.arrivals.format()
    }

    fn rate(&self) -> Option<Hertz> {
        self.rate
    }

    fn stamp_source(&self) -> StampSource {
        self.stamps
    }

    fn slot_count(&self) -> u32 {
        self.slots
    }

    fn next_due(&self) -> Option<MonoTime> {
        self.arrivals.next_due(self.rate?.period())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn interruptions(&self) -> (Vec<Interruption>, u64) {
        self.story.tell()
    }

    fn start(&mut self) -> Result<()> {
        let now = clock::now();
        self.begin(now);
        let Some(camera) = &mut self.camera else {
            return Err(Fault::new(
                Kind::Lost,
                format!("the camera is away: {}", self.name),
                "it was lost and has not come back",
                "check the cable and `dmesg`",
            ));
        };
        camera.start().map_err(|e| camera.not_started(&e))
    }

    fn wait(&mut self, deadline: MonoTime) -> Result<Readiness, StepError> {
        self.queue_home();
        if let Some(cause) = self.lost.take() {
            return self.lose(cause);
        }
        let Some(camera) = &self.camera else {
            return self.wait_for_return(deadline);
        };
        match camera.node.wait(deadline) {
            Event::Frame => Ok(Readiness::Ready),
            // Who spins asks without end, and looks around soon enough.
            Event::TimedOut if !deadline.is_set() => Ok(Readiness::TimedOut),
            Event::TimedOut => self.nothing_came(clock::now()),
            Event::Trouble(cause) => self.lose(cause),
        }
    }

    fn take(&mut self, now: MonoTime) -> Result<Option<Slot<Filled>>, StepError> {
        let mut newest = self.newest(now);
        // Once in a row only: a caller who is always late still gets frames.
        self.renewed =
            newest.is_some() && !self.renewed && self.lost.is_none() && self.is_behind(now);
        if self.renewed
            && let Some(old) = newest.take()
        {
            self.arrivals.counters().drained.add(1);
            self.bring_home(old.empty());
        }
        let frame = newest.and_then(|frame| self.judged(frame, now));
        self.queue_home();
        // What came before a loss is still worth having; the next `wait` deals with that.
        if frame.is_some() {
            self.arrivals.counters().taken.add(1);
        }
        Ok(frame)
    }

    fn give_back(&mut self, slot: Slot<Empty>) {
        self.bring_home(slot);
        self.queue_home();
    }

    fn stop(&mut self) {
        if let Some(camera) = &mut self.camera {
            camera.stop();
        }
        if let Some(recovery) = &mut self.recovery {
            self.notes.extend(recovery.notes());
        }
    }

    fn counters(&self) -> Arc<SourceCounters> {
        Arc::clone(self.arrivals.counters())
    }
}
