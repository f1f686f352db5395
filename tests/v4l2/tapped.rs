//! A camera whose frames are looked at on the capture thread, as they are taken.

use reflexarc::capture::story::Interruption;
use reflexarc::capture::v4l2::V4l2Source;
use reflexarc::capture::{Readiness, Source, SourceCounters};
use reflexarc::error::{Fault, StepError};
use reflexarc::frame::{FrameFormat, StampSource};
use reflexarc::rt::sync::Arc;
use reflexarc::slot::{Empty, Filled, Slot};
use reflexarc::units::{Hertz, MonoTime};

/// What a camera's [`Source::take`] gave.
pub type Taken = Result<Option<Slot<Filled>>, StepError>;

/// Takes a frame from the camera, and may look before and after.
pub trait Tap: Send {
    fn take(&mut self, camera: &mut V4l2Source, now: MonoTime) -> Taken;
}

/// All but [`Source::take`] is the camera's own.
pub struct Tapped<T> {
    pub camera: V4l2Source,
    pub tap: T,
}

impl<T: Tap> Source for Tapped<T> {
    fn take(&mut self, now: MonoTime) -> Taken {
        self.tap.take(&mut self.camera, now)
    }
    fn describe(&self) -> String {
        self.camera.describe()
    }
    fn format(&self) -> FrameFormat {
        self.camera.format()
    }
    fn rate(&self) -> Option<Hertz> {
        self.camera.rate()
    }
    fn stamp_source(&self) -> StampSource {
        self.camera.stamp_source()
    }
    fn slot_count(&self) -> u32 {
        self.camera.slot_count()
    }
    fn next_due(&self) -> Option<MonoTime> {
        self.camera.next_due()
    }
    fn interruptions(&self) -> (Vec<Interruption>, u64) {
        self.camera.interruptions()
    }
    fn notes(&self) -> Vec<String> {
        self.camera.notes()
    }
    fn start(&mut self) -> Result<(), Fault> {
        self.camera.start()
    }
    fn wait(&mut self, deadline: MonoTime) -> Result<Readiness, StepError> {
        self.camera.wait(deadline)
    }
    fn give_back(&mut self, slot: Slot<Empty>) {
        self.camera.give_back(slot);
    }
    fn stop(&mut self) {
        self.camera.stop();
    }
    fn counters(&self) -> Arc<SourceCounters> {
        self.camera.counters()
    }
}
