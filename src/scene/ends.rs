//! The three ends of a scene: its camera, its joint sensors and its motors.
//!
//! Thread: capture, sensor, action, one each. Allocates: when made and started. Blocks: in `wait` and `next`.
//! Locks: no. Syscalls: `futex` waits in those two.

use super::config::SceneConfig;
use super::live::{Command, Live, Switches};
use crate::action::{Action, Sink};
use crate::capture::{Readiness, Source, SourceCounters};
use crate::clock;
use crate::error::{Fault, Kind, Result, StepError};
use crate::frame::{FrameFormat, StampSource};
use crate::lens::Pose;
use crate::link::{EveryReader, EveryWriter, NewestReader};
use crate::rt::sync::{Arc, Ordering};
use crate::rt::thread;
use crate::rt::wait::{Bell, WaitPolicy};
use crate::sensor::{Reading, SensorSource};
use crate::slot::{Empty, Filled, Slot};
use crate::units::{Hertz, MonoTime, Nanos};

/// Frames and readings are milliseconds apart: it is not worth spinning for them.
const WAIT: WaitPolicy = WaitPolicy::Park { spin: Nanos::ZERO };

/// The virtual camera.
#[derive(Debug)]
pub struct SceneSource {
    name: String,
    format: FrameFormat,
    rate: Hertz,
    slots: u32,
    /// Until the first `start`.
    live: Option<Live>,
    home: EveryWriter<Slot<Empty>>,
    frames: NewestReader<Slot<Filled>>,
    bell: Bell,
    counters: Arc<SourceCounters>,
    switches: Arc<Switches>,
}

impl SceneSource {
    pub(super) fn new(
        config: &SceneConfig,
        live: Live,
        home: EveryWriter<Slot<Empty>>,
        frames: NewestReader<Slot<Filled>>,
        bell: Bell,
        counters: Arc<SourceCounters>,
        switches: Arc<Switches>,
    ) -> Self {
        Self {
            name: format!(
                "scene {}x{} {} {}, {} slots, seed {}",
                config.width,
                config.height,
                config.format.name(),
                config.rate,
                config.slots,
                config.seed
            ),
            format: config.frame_format(),
            rate: config.rate,
            slots: config.slots,
            live: Some(live),
            home,
            frames,
            bell,
            counters,
            switches,
        }
    }
}

impl Source for SceneSource {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn format(&self) -> FrameFormat {
        self.format
    }

    fn rate(&self) -> Option<Hertz> {
        Some(self.rate)
    }

    fn stamp_source(&self) -> StampSource {
        StampSource::Synthetic
    }

    fn slot_count(&self) -> u32 {
        self.slots
    }

    fn next_due(&self) -> Option<MonoTime> {
        // ORDERING: Relaxed, alone: a hint of when to look.
        let due = self.switches.next_frame.load(Ordering::Relaxed);
        i64::try_from(due).ok().filter(|&due| due > 0).map(MonoTime)
    }

    fn start(&mut self) -> Result<()> {
        // ORDERING: Release, pairs with the Acquire in the world's `expose`.
        self.switches.streaming.store(true, Ordering::Release);
        let Some(live) = self.live.take() else {
            return Ok(());
        };
        thread::housekeeping("world", move || live.run())
            .map(drop)
            .map_err(|error| {
                Fault::from_io(
                    "the scene's thread cannot be started",
                    &error,
                    Kind::Internal,
                    "allow this user more threads (ulimit -u)",
                )
            })
    }

    fn wait(&mut self, deadline: MonoTime) -> Result<Readiness, StepError> {
        let Self { bell, frames, .. } = self;
        if bell.wait(WAIT, None, deadline, || {
            !frames.is_empty() || frames.is_abandoned()
        }) {
            // Only a panic ends the world before its ends.
            return if frames.is_empty() {
                Err(StepError::DeviceLost)
            } else {
                Ok(Readiness::Ready)
            };
        }
        Ok(Readiness::TimedOut)
    }

    fn take(&mut self, now: MonoTime) -> Result<Option<Slot<Filled>>, StepError> {
        let Some(mut slot) = self.frames.pop() else {
            return Ok(None);
        };
        let meta = slot.meta_mut();
        meta.arrived = now;
        meta.stamp(meta.captured, StampSource::Synthetic);
        if meta.marks.future_stamp {
            self.counters.future_stamps.add(1);
        }
        self.counters.taken.add(1);
        Ok(Some(slot))
    }

    fn give_back(&mut self, slot: Slot<Empty>) {
        // The link has room for all slots; only one from another source could be refused, and is unmapped.
        let _ = self.home.push(slot);
    }

    fn stop(&mut self) {
        // ORDERING: Release, as in `start`.
        self.switches.streaming.store(false, Ordering::Release);
    }

    fn counters(&self) -> Arc<SourceCounters> {
        Arc::clone(&self.counters)
    }
}

/// The joint sensors: pan and tilt in radian.
#[derive(Debug)]
pub struct SceneSensor {
    name: String,
    readings: EveryReader<Reading>,
    bell: Bell,
}

impl SceneSensor {
    pub(super) fn new(config: &SceneConfig, readings: EveryReader<Reading>, bell: Bell) -> Self {
        Self {
            name: format!("scene joints, {}", config.sensor_rate),
            readings,
            bell,
        }
    }
}

impl SensorSource for SceneSensor {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn start(&mut self) -> Result<()> {
        Ok(())
    }

    fn next(&mut self, deadline: MonoTime) -> Result<Option<Reading>, StepError> {
        let Self { bell, readings, .. } = self;
        bell.wait(WAIT, None, deadline, || {
            !readings.is_empty() || readings.is_abandoned()
        });
        match readings.pop() {
            Some(reading) => Ok(Some(Reading {
                arrived: clock::now(),
                ..reading
            })),
            None if readings.is_abandoned() => Err(StepError::DeviceLost),
            None => Ok(None),
        }
    }
}

/// The motors: position commands in radian, pan then tilt.
#[derive(Debug)]
pub struct SceneSink {
    commands: EveryWriter<Command>,
}

impl SceneSink {
    pub(super) fn new(commands: EveryWriter<Command>) -> Self {
        Self { commands }
    }
}

impl Sink for SceneSink {
    fn describe(&self) -> String {
        "scene joints, pan and tilt in radian".to_owned()
    }

    fn write(&mut self, action: &Action) -> Result<(), StepError> {
        let &[pan, tilt, ..] = action.targets() else {
            return Err(StepError::OutOfRange);
        };
        if !(pan.is_finite() && tilt.is_finite()) {
            return Err(StepError::OutOfRange);
        }
        if self.commands.is_abandoned() {
            return Err(StepError::DeviceLost);
        }
        let command = Command {
            at: action.at,
            to: Pose {
                pan: f64::from(pan),
                tilt: f64::from(tilt),
            },
        };
        self.commands
            .push(command)
            .map_err(|_| StepError::WouldBlock)
    }
}
