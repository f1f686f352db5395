//! Opening a camera again that was lost, beside the way of a frame: closing, opening, agreeing on a format and starting may take a
//! second and allocate, so a thread of its own does all that, and capture only hands the old camera over and takes the new one.
//!
//! Thread: `camera-return` on the housekeeping side; capture calls `hand_over`, `let_go`, `back` and `sleep`. These allocate nothing and
//! lock nothing; `sleep` blocks.
//!
//! The kernel keeps a node busy, and an unplugged camera's number taken, until the node is closed *and* the last of its buffers is
//! unmapped. So slots of the old camera that come home are let go of here, and the attempts go on until they have.

use std::io;
use std::thread::JoinHandle;

use super::camera::Camera;
use super::config::V4l2Config;
use super::identity::Identity;
use super::node::Node;
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::frame::FrameFormat;
use crate::link::{self, EveryReader, EveryWriter};
use crate::rt::thread;
use crate::rt::wait::Bell;
use crate::slot::{Empty, Slot};
use crate::units::{MonoTime, Nanos};

/// Between two attempts: the first is for a node that is busy until a slot comes home, the longest for a camera that stays away.
const DELAY_FIRST: Nanos = Nanos::from_millis(20);
const DELAY_LAST: Nanos = Nanos::from_secs(1);
/// How long the thread sleeps when it is not rung for.
const TURN: Nanos = Nanos::from_secs(10);
// BOUND: one camera and at most 32 slots that were out when it was lost; the rest is room for a thread that is behind.
const TASKS: usize = 64;
/// What the attempts failed with, for the report.
const NOTES: usize = 32;

/// What capture gives away.
#[derive(Debug)]
enum Task {
    /// Close it, and open it again.
    Return(Camera),
    /// A slot of an earlier opening: unmap it.
    LetGo(Slot<Empty>),
}

/// A camera that streams again.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) camera: Camera,
    /// How often it was tried to open it.
    pub(super) attempts: u32,
    /// When streaming was asked for.
    pub(super) started: MonoTime,
}

/// What a camera must be to be taken back.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) config: V4l2Config,
    pub(super) identity: Identity,
    /// The stages after capture were made for this.
    pub(super) format: FrameFormat,
    /// The links were made for this many slots.
    pub(super) buffers: usize,
}

/// Capture's side.
#[derive(Debug)]
pub(super) struct Recovery {
    /// None only while it is dropped.
    tasks: Option<EveryWriter<Task>>,
    back: EveryReader<Back>,
    notes: EveryReader<String>,
    /// Rung when a camera is back.
    bell: Bell,
    thread: Option<JoinHandle<()>>,
}

impl Recovery {
    pub(super) fn start(wanted: Wanted) -> Result<Self> {
        let (bell, task_bell) = (Bell::new(), Bell::new());
        let (tasks, task_reader) = link::every(TASKS, &task_bell);
        let (back_writer, back) = link::every(1, &bell);
        let (note_writer, notes) = link::every(NOTES, &Bell::silent());
        let worker = Worker {
            wanted,
            tasks: task_reader,
            bell: task_bell,
            back: back_writer,
            notes: note_writer,
            last_note: String::new(),
            trying: None,
        };
        let thread = thread::housekeeping("camera-return", move || worker.run()).map_err(|e| {
            Fault::from_io(
                "the thread that opens a lost camera again could not be started",
                &e,
                Kind::Internal,
                "raise ulimit -u, or set `reopen = false` in [camera.v4l2.recovery]",
            )
        })?;
        Ok(Self {
            tasks: Some(tasks),
            back,
            notes,
            bell,
            thread: Some(thread),
        })
    }

    /// The camera is lost: it is closed and opened again until it is `back`.
    pub(super) fn hand_over(&mut self, camera: Camera) {
        self.push(Task::Return(camera));
    }

    /// A slot of an earlier opening has come home.
    pub(super) fn let_go(&mut self, slot: Slot<Empty>) {
        self.push(Task::LetGo(slot));
    }

    fn push(&mut self, task: Task) {
        if let Some(tasks) = &mut self.tasks {
            // A full link gives the task back, and dropping it here does the same, only on this thread.
            let _ = tasks.push(task);
        }
    }

    pub(super) fn back(&mut self) -> Option<Back> {
        self.back.pop()
    }

    /// Sleeps until the camera is back, at most until `deadline`.
    pub(super) fn sleep(&self, deadline: MonoTime) {
        self.bell.sleep(deadline, || !self.back.is_empty());
    }

    /// What attempts failed with since this was last asked. Allocates: for after the run.
    pub(super) fn notes(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.notes.pop()).collect()
    }
}

impl Drop for Recovery {
    /// Waits for the thread, so that the node is closed when this source is gone. An attempt in progress is finished first.
    fn drop(&mut self) {
        drop(self.tasks.take());
        if let Some(thread) = self.thread.take() {
            // It panics only for a bug; there is nobody left to hear of it.
            let _ = thread.join();
        }
    }
}

/// The attempts at one loss.
struct Trying {
    attempts: u32,
    next: MonoTime,
    delay: Nanos,
}

struct Worker {
    wanted: Wanted,
    tasks: EveryReader<Task>,
    bell: Bell,
    back: EveryWriter<Back>,
    notes: EveryWriter<String>,
    last_note: String,
    trying: Option<Trying>,
}

impl Worker {
    fn run(mut self) {
        // BOUND: ends with the source.
        loop {
            // Looked at before `pop`: what was pushed before the writer went is then surely seen.
            let over = self.tasks.is_abandoned();
            while let Some(task) = self.tasks.pop() {
                self.perform(task);
            }
            if over {
                break;
            }
            let now = clock::now();
            if self.trying.as_ref().is_some_and(|t| now >= t.next) {
                self.attempt();
            }
            let next = self.trying.as_ref().map_or(MonoTime::FAR, |t| t.next);
            let tasks = &self.tasks;
            let ready = || !tasks.is_empty() || tasks.is_abandoned();
            self.bell.sleep(next.min(clock::now() + TURN), ready);
        }
    }

    fn perform(&mut self, task: Task) {
        match task {
            Task::LetGo(slot) => drop(slot),
            Task::Return(camera) => {
                // The run has said by now which cores are for such work.
                thread::move_to_housekeeping_cores();
                // Before anything else: an unplugged camera does not come back while it is open.
                drop(camera);
                self.trying = Some(Trying {
                    attempts: 0,
                    next: clock::now(),
                    delay: DELAY_FIRST,
                });
            }
        }
    }

    fn attempt(&mut self) {
        let opened = self.open_any();
        let Some(trying) = &mut self.trying else {
            return;
        };
        trying.attempts += 1;
        match opened {
            Ok((camera, started)) => {
                let back = Back {
                    camera,
                    attempts: trying.attempts,
                    started,
                };
                self.trying = None;
                // Capture has handed over its only camera, so there is room for one.
                let _ = self.back.push(back);
            }
            Err(fault) => {
                trying.next = clock::now() + trying.delay;
                trying.delay = (trying.delay * 2).min(DELAY_LAST);
                self.note(&fault);
            }
        }
    }

    /// Each reason once in a row; beyond the link's room they are left out.
    fn note(&mut self, fault: &Fault) {
        let note = format!("opening the camera again: {}: {}", fault.what, fault.why);
        if note != self.last_note {
            let _ = self.notes.push(note.clone());
            self.last_note = note;
        }
    }

    /// Opens the camera under whatever name it has now. The error is that of the configured name.
    fn open_any(&self) -> Result<(Camera, MonoTime)> {
        let mut first = None;
        for path in Identity::candidates(&self.wanted.config.device) {
            let opened = Node::open(&path).and_then(|node| self.open(node));
            match opened {
                Ok(opened) => return Ok(opened),
                Err(fault) => _ = first.get_or_insert(fault),
            }
        }
        Err(first.unwrap_or_else(|| {
            let none = io::Error::from_raw_os_error(libc::ENODEV);
            Fault::from_io("there is no camera", &none, Kind::NoDevice, "plug it in")
        }))
    }

    fn open(&self, node: Node) -> Result<(Camera, MonoTime)> {
        let wanted = &self.wanted;
        let found = Identity::of(&node)?;
        // Before anything is set: another camera may belong to somebody else.
        if !wanted.identity.is(&found) {
            return Err(other(
                &node,
                "it is another camera",
                &found,
                &wanted.identity,
            ));
        }
        let (mut camera, agreed) = Camera::set_up(node, &wanted.config)?;
        if agreed.format != wanted.format || camera.buffers.count() > wanted.buffers {
            let (has, had) = (&agreed.format, &wanted.format);
            return Err(other(
                &camera.node,
                "it does not give what it gave before",
                &format!("{has:?}, {} buffers", camera.buffers.count()),
                &format!("{had:?}, {} buffers", wanted.buffers),
            ));
        }
        let started = clock::now();
        match camera.start() {
            Ok(()) => Ok((camera, started)),
            Err(e) => Err(camera.not_started(&e)),
        }
    }
}

fn other(
    node: &Node,
    why: &str,
    found: &impl std::fmt::Display,
    wanted: &impl std::fmt::Display,
) -> Fault {
    Fault::new(
        Kind::Unsupported,
        format!("the camera {} is not taken", node.path().display()),
        format!("{why}: {found}, and not {wanted}"),
        "plug the camera in that the run began with",
    )
}
