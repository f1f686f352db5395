//! The world in real time: the thread that moves the joints, takes the pictures and reads the sensors.
//!
//! Things happen at exact instants, in order: frame k is exposed at start + k periods, readings come at their
//! jittered times, commands act at the tick that they were made for. The thread sleeps until the next frame or
//! reading and then plays everything that was due, each from the pose at its own instant. Nobody rings for it, so
//! the action thread never makes a system call to command it.
//!
//! Thread: `world`, housekeeping. Allocates: no. Blocks: sleeps until the next instant. Locks: no.
//! Syscalls: `clock_nanosleep`, one `futex` wake for each frame and each reading whose reader sleeps.

use std::path::Path;

use super::config::SceneConfig;
use super::ends::{SceneSensor, SceneSink, SceneSource};
use super::truth::{SceneTruth, SharedPose};
use super::world::World;
use crate::capture::SourceCounters;
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::frame::{FrameFormat, FrameMarks, FrameMeta, StampSource};
use crate::lens::Pose;
use crate::link::{self, EveryReader, EveryWriter, NewestWriter};
use crate::rt::sync::{Arc, AtomicBool, AtomicU64, Ordering};
use crate::rt::wait::Bell;
use crate::sensor::{DOF_MAX, Reading};
use crate::slot::{Empty, Filled, Slot};
use crate::units::{MonoTime, Nanos};

/// Commands on their way to the world: a quarter of a second of them at 1 kHz, while the world wakes at least
/// every 10 ms or renders for a few.
const COMMANDS: usize = 256;
/// Readings on their way to the sensor thread: a quarter of a second of them at 1 kHz.
const READINGS: usize = 256;

/// One command of the action thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    /// When it acts.
    pub(super) at: MonoTime,
    pub(super) to: Pose,
}

/// What the capture thread may say to the world, beside slots.
#[derive(Debug, Default)]
pub(super) struct Switches {
    /// Written by the capture thread: whether frames are wanted.
    pub(super) streaming: AtomicBool,
    /// Written by the world: when the next frame is exposed, as [`MonoTime`]; 0 before the first.
    pub(super) next_frame: AtomicU64,
}

/// A scene; see [`Scene::open`].
#[derive(Debug)]
pub struct Scene;

impl Scene {
    /// Hangs the photographs of `models/photos`, takes all memory and makes the three ends. Time begins to
    /// pass with the source's `start`.
    ///
    /// # Errors
    /// A value out of range, a photograph missing or damaged, no memory for the slots.
    pub fn open(
        config: &SceneConfig,
        models: &Path,
    ) -> Result<(SceneSource, SceneSensor, SceneSink, SceneTruth)> {
        let world = World::open(config, models)?;
        let format = config.frame_format();
        let slots = Slot::pool(config.slots, &format).map_err(|error| {
            Fault::from_io(
                format!("no memory for {} frames of the scene", config.slots),
                &error,
                Kind::BadInput,
                "free memory, or choose a smaller `width` and `height` in [camera.scene]",
            )
        })?;
        let (capture_bell, sensor_bell, nobody) = (Bell::new(), Bell::new(), Bell::silent());
        let (frames_in, frames_out) = link::newest(&capture_bell);
        // As many as there are slots, so a slot that comes home always fits.
        let (slots_in, slots_out) = link::every(config.slots as usize, &nobody);
        let (readings_in, readings_out) = link::every(READINGS, &sensor_bell);
        let (commands_in, commands_out) = link::every(COMMANDS, &nobody);
        let counters = Arc::new(SourceCounters::default());
        let switches = Arc::new(Switches::default());
        let pose = Arc::new(SharedPose::default());
        let truth = SceneTruth::new(Arc::clone(&pose), world.placed(), world.lens());
        let live = Live {
            world,
            now: MonoTime::ZERO,
            camera: Camera {
                format,
                period: config.rate.period(),
                due: MonoTime::ZERO,
                seq: 0,
                missed: 0,
                free: slots,
                home: slots_out,
                out: frames_in,
                counters: Arc::clone(&counters),
            },
            joints: Joints {
                period: config.sensor_rate.period(),
                jitter: config.sensor_jitter,
                nominal: MonoTime::ZERO,
                due: MonoTime::ZERO,
                seq: 0,
                out: readings_in,
            },
            commands: commands_out,
            pending: None,
            switches: Arc::clone(&switches),
            pose,
        };
        let source = SceneSource::new(
            config,
            live,
            slots_in,
            frames_out,
            capture_bell,
            counters,
            switches,
        );
        let sensor = SceneSensor::new(config, readings_out, sensor_bell);
        Ok((source, sensor, SceneSink::new(commands_in), truth))
    }
}

/// Everything that the thread `world` owns.
#[derive(Debug)]
pub(super) struct Live {
    world: World,
    /// Up to here time has passed in the world.
    now: MonoTime,
    camera: Camera,
    joints: Joints,
    commands: EveryReader<Command>,
    /// The next command, taken from the link but not yet due.
    pending: Option<Command>,
    switches: Arc<Switches>,
    pose: Arc<SharedPose>,
}

#[derive(Debug)]
struct Camera {
    format: FrameFormat,
    period: Nanos,
    /// When the next frame is exposed.
    due: MonoTime,
    seq: u64,
    /// Frames lost since the last one that was passed on.
    missed: u32,
    free: Vec<Slot<Empty>>,
    home: EveryReader<Slot<Empty>>,
    out: NewestWriter<Slot<Filled>>,
    counters: Arc<SourceCounters>,
}

#[derive(Debug)]
struct Joints {
    period: Nanos,
    jitter: Nanos,
    /// When the next reading would be true without jitter.
    nominal: MonoTime,
    /// When it is.
    due: MonoTime,
    seq: u32,
    out: EveryWriter<Reading>,
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    Frame,
    Reading,
    Command,
}

impl Live {
    /// The thread's body: runs until all three ends are gone. Never joined; nobody waits for what it holds.
    pub(super) fn run(mut self) {
        let start = clock::now();
        self.now = start;
        self.camera.due = start + self.camera.period;
        self.joints.nominal = start;
        self.joints.plan(&mut self.world);
        while !self.is_abandoned() {
            self.play_until(clock::now());
            // ORDERING: Relaxed, alone: a hint of when to look.
            self.switches
                .next_frame
                .store(self.camera.due.0.unsigned_abs(), Ordering::Relaxed);
            clock::sleep_until(self.camera.due.min(self.joints.due));
        }
    }

    fn is_abandoned(&self) -> bool {
        self.camera.out.is_abandoned()
            && self.joints.out.is_abandoned()
            && self.commands.is_abandoned()
    }

    /// Lets everything happen that is due by `end`.
    fn play_until(&mut self, end: MonoTime) {
        // BOUND: each turn moves one event past `end` or takes one of the commands that came until now; frames
        // that came due while one was rendered are skipped below.
        loop {
            if self.pending.is_none() {
                self.pending = self.commands.pop();
            }
            let (at, event) = self.next_event();
            if at > end {
                break;
            }
            self.pass_until(at);
            match event {
                Event::Command => self.obey(),
                Event::Reading => self.read(),
                Event::Frame => self.expose(),
            }
        }
        self.pass_until(end);
        self.pose.store(self.world.pose());
    }

    fn next_event(&self) -> (MonoTime, Event) {
        let events = [
            (self.pending.map_or(MonoTime::FAR, |c| c.at), Event::Command),
            (self.joints.due, Event::Reading),
            (self.camera.due, Event::Frame),
        ];
        let [first, rest @ ..] = events;
        rest.into_iter()
            .fold(first, |a, b| if b.0 < a.0 { b } else { a })
    }

    /// Time passes; never backwards, so a command that came late acts at once.
    fn pass_until(&mut self, at: MonoTime) {
        if at > self.now {
            self.world.step(at - self.now);
            self.now = at;
        }
    }

    fn obey(&mut self) {
        if let Some(command) = self.pending.take() {
            self.world.command(command.to);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "readings are of 32 bits")]
    fn read(&mut self) {
        let pose = self.world.read_joints();
        let mut values = [0.0; DOF_MAX];
        values[0] = pose.pan as f32;
        values[1] = pose.tilt as f32;
        let reading = Reading {
            at: self.joints.due,
            arrived: self.joints.due,
            seq: self.joints.seq,
            source_index: 0,
            len: 2,
            values,
        };
        // A full link (nobody reads) refuses the reading and counts it; the next one says more anyway.
        let _ = self.joints.out.push(reading);
        self.joints.seq = self.joints.seq.wrapping_add(1);
        self.joints.nominal += self.joints.period;
        self.joints.plan(&mut self.world);
    }

    fn expose(&mut self) {
        // ORDERING: Acquire, pairs with the Release in the source's `start` and `stop`.
        let streaming = self.switches.streaming.load(Ordering::Acquire);
        if streaming {
            let pose = self.world.pose();
            self.camera.expose(&mut self.world, pose);
        }
        self.camera.due += self.camera.period;
        self.camera.skip_until(clock::now(), streaming);
    }
}

impl Joints {
    /// When the next reading is true.
    fn plan(&mut self, world: &mut World) {
        self.due =
            self.nominal + Nanos::from_secs_f64(self.jitter.as_secs_f64() * world.next_jitter());
    }
}

impl Camera {
    /// Takes a picture at the instant `due`, into a free slot if there is one.
    fn expose(&mut self, world: &mut World, pose: Pose) {
        // BOUND: at most as many as there are slots.
        while let Some(slot) = self.home.pop() {
            self.free.push(slot);
        }
        let seq = self.seq;
        self.seq += 1;
        self.counters.produced.add(1);
        let Some(mut slot) = self.free.pop() else {
            self.counters.no_slot.add(1);
            self.missed += 1;
            return;
        };
        world.render(pose, slot.bytes_mut());
        let bytes_used = u32::try_from(self.format.frame_bytes()).unwrap_or(u32::MAX);
        let filled = slot.fill(FrameMeta {
            seq,
            source_index: 0,
            format: self.format,
            bytes_used,
            captured: self.due,
            stamp: StampSource::Synthetic,
            arrived: self.due,
            marks: FrameMarks {
                gap_before: std::mem::take(&mut self.missed),
                ..FrameMarks::default()
            },
        });
        if let Some(stale) = self.out.push(filled) {
            self.counters.drained.add(1);
            self.free.push(stale.empty());
        }
    }

    /// Leaves out the frames whose whole time has passed: the machine was too slow to take them.
    fn skip_until(&mut self, now: MonoTime, streaming: bool) {
        // BOUND: one turn for each period that the thread was late.
        while now - self.due > self.period {
            self.due += self.period;
            if streaming {
                self.seq += 1;
                self.missed += 1;
                self.counters.gaps.add(1);
            }
        }
    }
}
