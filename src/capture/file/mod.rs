//! Frames from files: Y4M, Motion JPEG in AVI, folders of pictures, and any video through ffmpeg.
//!
//! A loader thread reads ahead; the capture thread only takes slots out of a link, so it does what it does with a
//! camera. In real time frame `n` is due at `start + n / rate` and is stamped with that instant: a file that is read
//! late makes old frames, exactly as a camera whose driver is late. As fast as possible, a frame is stamped with the
//! moment it is taken, since its own time means nothing then.
//!
//! Thread: main (open), capture. Allocates: in `open`, on the loader's thread, and in `stop`. Blocks: in `wait`, and
//! in `stop` until the loader has ended. Locks: no. Syscalls: `futex` and `clock_nanosleep` in `wait`, `futex` to
//! wake the loader in `give_back`.

mod avi;
mod clip;
mod ffmpeg;
mod images;
mod jpeg;
mod loader;
mod open;
mod y4m;

use std::path::PathBuf;
use std::thread::JoinHandle;

use serde::Deserialize;

use self::loader::{Begin, Ending, Loaded, Loader};
use crate::capture::{Pace, Readiness, Source, SourceCounters};
use crate::clock;
use crate::error::{Fault, Kind, Result, StepError};
use crate::frame::{FrameFormat, StampSource};
use crate::link::{EveryReader, EveryWriter, every};
use crate::rt::stop::Stop;
use crate::rt::sync::Arc;
use crate::rt::thread;
use crate::rt::wait::{Bell, WaitPolicy};
use crate::slot::{Empty, Filled, Slot};
use crate::units::{Hertz, MonoTime, Nanos};

/// Which file, how fast, how often.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct FileConfig {
    /// A Y4M file, a video, a JPEG or PNG picture, or a folder of pictures. The content decides, not the name.
    pub path: PathBuf,
    /// `real-time` (default), or `fastest`: every frame is passed on, none is lost.
    pub pace: Pace,
    /// Begin again at the end. Default false.
    #[serde(rename = "loop")]
    pub repeat: bool,
    /// Frames a second, 0.001 Hz to 10 kHz. Default: the file's own rate; 30 Hz for pictures.
    pub rate: Option<Hertz>,
    /// Frames read ahead, 3 to 64. Default 8.
    pub slots: u32,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            pace: Pace::RealTime,
            repeat: false,
            rate: None,
            slots: 8,
        }
    }
}

impl<'de> Deserialize<'de> for FileConfig {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // The derived function of the same name, by `remote = "Self"`: fields first, then their ranges.
        let config = Self::deserialize(d)?;
        config.check().map_err(serde::de::Error::custom)?;
        Ok(config)
    }
}

impl FileConfig {
    /// What is out of range, in words.
    pub fn check(&self) -> Result<(), String> {
        if !(3..=64).contains(&self.slots) {
            return Err(format!("`slots` is {}, it must be 3 to 64", self.slots));
        }
        match self.rate {
            Some(rate) if !(0.001..=10_000.0).contains(&rate.get()) => Err(format!(
                "`rate` is {rate}, it must be 0.001 Hz to 10 kHz; for no limit write pace = \"fastest\""
            )),
            _ => Ok(()),
        }
    }
}

/// The rate of pictures, which have none of their own.
const PICTURE_RATE: f64 = 30.0;
// BOUND: for the first frame to be decoded; a 4K film's first picture takes well under a second.
const FIRST_FRAME_WAIT: Nanos = Nanos::from_secs(30);
// BOUND: 8 slots of a 4K RGB picture take 200 MB; a damaged header must not ask for more than boards have.
const SLOT_BYTES_MAX: usize = 512 << 20;

/// See the module.
#[derive(Debug)]
pub struct FileSource {
    config: FileConfig,
    kind: String,
    format: FrameFormat,
    rate: Hertz,
    begin: Begin,
    free: EveryWriter<Slot<Empty>>,
    loaded: EveryReader<Loaded>,
    /// Rung when the loader hands something over.
    bell: Bell,
    /// The next frame, taken out of the link and not due yet, or not asked for yet.
    head: Option<Slot<Filled>>,
    ended: bool,
    /// Slots that are with the pipeline.
    out: u32,
    counters: Arc<SourceCounters>,
    stop: Stop,
    loader: Option<JoinHandle<Ending>>,
    ending: Ending,
}

impl FileSource {
    /// Opens the file, takes all memory, starts the loader and waits for its first frame. `source_index` is the
    /// source's place in the configuration.
    pub fn open(config: &FileConfig, source_index: u8) -> Result<Self> {
        config.check().map_err(|why| {
            let what = "the file source cannot be made as configured";
            Fault::new(Kind::Config, what, why, "change that setting")
        })?;
        let stop = Stop::default();
        let clip = open::clip(&config.path, &stop)?;
        let (kind, format) = (clip.kind(), clip.format());
        let rate = config
            .rate
            .or(clip.rate())
            .unwrap_or_else(|| Hertz::new(PICTURE_RATE).expect("the rate of pictures is above 0"));
        let slots = take_slots(config, &format)?;
        let (bell, loader_bell) = (Bell::new(), Bell::new());
        let (mut free, loader_free) = every(slots.len(), &loader_bell);
        let (loader_loaded, loaded) = every(slots.len() + 1, &bell);
        for slot in slots {
            free.push(slot).expect("the link has room for all slots");
        }
        let begin = Begin::default();
        let counters = Arc::new(SourceCounters::default());
        let loader = Loader {
            clip,
            source_index,
            pace: config.pace,
            repeat: config.repeat,
            rate,
            begin: begin.clone(),
            free: loader_free,
            loaded: loader_loaded,
            bell: loader_bell,
            stop: stop.clone(),
            counters: Arc::clone(&counters),
        };
        let loader = thread::housekeeping(&format!("loader-{source_index}"), || loader.run())
            .map_err(|e| {
                let fix = "end other programs, or raise the limit on threads";
                Fault::from_io("no thread for the loader", &e, Kind::Internal, fix)
            })?;
        let mut source = Self {
            config: config.clone(),
            kind,
            format,
            rate,
            begin,
            free,
            loaded,
            bell,
            head: None,
            ended: false,
            out: 0,
            counters,
            stop,
            loader: Some(loader),
            ending: Ending::default(),
        };
        source.wait_for_first_frame()?;
        Ok(source)
    }

    fn wait_for_first_frame(&mut self) -> Result<()> {
        self.wait_for_loader(clock::now() + FIRST_FRAME_WAIT);
        if self.head.is_some() {
            return Ok(());
        }
        let why = if self.ended {
            self.end_loader();
            let early = self.ending.early.take();
            early.unwrap_or_else(|| "it has no frame that can be decoded".to_owned())
        } else {
            format!("its first frame was not decoded within {FIRST_FRAME_WAIT}")
        };
        Err(Fault::new(
            Kind::BadInput,
            format!("{} cannot be read", self.config.path.display()),
            why,
            "the file is empty, cut off or damaged: record or copy it again",
        ))
    }

    /// Waits until the loader has handed something over, and moves it to `head`.
    fn wait_for_loader(&mut self, deadline: MonoTime) {
        let policy = WaitPolicy::Park { spin: Nanos::ZERO };
        let loaded = &self.loaded;
        self.bell.wait(policy, None, deadline, || {
            !loaded.is_empty() || loaded.is_abandoned()
        });
        self.fill_head();
    }

    /// Takes the next frame out of the link, if there is one and `head` is free.
    fn fill_head(&mut self) {
        if self.head.is_some() || self.ended {
            return;
        }
        // The writer's end is looked at first: if it is gone, all that it pushed is in the link.
        let abandoned = self.loaded.is_abandoned();
        match self.loaded.pop() {
            Some(Loaded::Frame(slot)) => self.head = Some(slot),
            Some(Loaded::End) => self.ended = true,
            None => self.ended = abandoned,
        }
    }

    /// When the head is due. Before the start nothing is.
    fn head_due(&self) -> Option<MonoTime> {
        let head = self.head.as_ref()?;
        match (self.config.pace, self.begin.get()) {
            (_, None) => Some(MonoTime::FAR),
            (Pace::Fastest, Some(_)) => Some(MonoTime::ZERO),
            (Pace::RealTime, Some(begin)) => Some(begin + Nanos(head.meta().captured.0)),
        }
    }

    /// Takes the head out if it is due.
    fn pop_due(&mut self, now: MonoTime) -> Option<Slot<Filled>> {
        self.fill_head();
        let due = self.head_due().filter(|due| *due <= now)?;
        let mut slot = self.head.take()?;
        let meta = slot.meta_mut();
        meta.arrived = now;
        match self.config.pace {
            Pace::RealTime => meta.stamp(due, StampSource::Recorded),
            Pace::Fastest => meta.stamp(now, StampSource::Arrival),
        }
        Some(slot)
    }

    fn refill(&mut self, slot: Slot<Empty>) {
        // The link has room for all slots; a slot that it refused would be unmapped, which is safe.
        let refused = self.free.push(slot);
        debug_assert!(refused.is_ok(), "more slots came home than there are");
    }

    fn end_loader(&mut self) {
        self.stop.ask();
        let Some(loader) = self.loader.take() else {
            return;
        };
        // The loader looks at the stop flag between frames, and at least every 100 ms.
        self.ending = loader.join().unwrap_or_else(|_| Ending {
            early: Some("the reader of this format failed (a bug in reflexarc)".to_owned()),
            behind: 0,
        });
    }
}

fn take_slots(config: &FileConfig, format: &FrameFormat) -> Result<Vec<Slot<Empty>>> {
    let bytes = format.frame_bytes();
    let refuse = |kind: Kind, why: String| {
        Fault::new(
            kind,
            format!(
                "no memory for {} frames of {}x{} pixels",
                config.slots, format.width, format.height
            ),
            why,
            "read less ahead (`slots`), or scale the recording down",
        )
    };
    if bytes.saturating_mul(config.slots as usize) > SLOT_BYTES_MAX {
        return Err(refuse(
            Kind::Unsupported,
            format!("that is more than {} MB", SLOT_BYTES_MAX >> 20),
        ));
    }
    Slot::pool(config.slots, format).map_err(|e| refuse(Kind::BadInput, e.to_string()))
}

impl Source for FileSource {
    fn describe(&self) -> String {
        let FrameFormat { width, height, .. } = self.format;
        let pace = match self.config.pace {
            Pace::RealTime => self.rate.to_string(),
            Pace::Fastest => "as fast as possible".to_owned(),
        };
        format!(
            "file {} ({}) {} {width}x{height} {pace}{}, {} buffers",
            self.config.path.display(),
            self.kind,
            self.format.pixel.name(),
            if self.config.repeat { " in a loop" } else { "" },
            self.config.slots
        )
    }

    fn format(&self) -> FrameFormat {
        self.format
    }

    fn rate(&self) -> Option<Hertz> {
        (self.config.pace == Pace::RealTime).then_some(self.rate)
    }

    fn stamp_source(&self) -> StampSource {
        match self.config.pace {
            Pace::RealTime => StampSource::Recorded,
            Pace::Fastest => StampSource::Arrival,
        }
    }

    fn slot_count(&self) -> u32 {
        self.config.slots
    }

    fn drops_when_behind(&self) -> bool {
        self.config.pace == Pace::RealTime
    }

    fn next_due(&self) -> Option<MonoTime> {
        self.begin.get().and_then(|_| self.head_due())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(why) = &self.ending.early {
            notes.push(format!("{} ended early: {why}", self.config.path.display()));
        }
        if self.ending.behind > 0 {
            notes.push(format!(
                "{} could not be read at {}: {} frames were skipped; use a smaller recording or pace = \"fastest\"",
                self.config.path.display(),
                self.rate,
                self.ending.behind
            ));
        }
        notes
    }

    /// The first frame is due at once.
    fn start(&mut self) -> Result<()> {
        self.begin.set(clock::now());
        Ok(())
    }

    fn wait(&mut self, deadline: MonoTime) -> Result<Readiness, StepError> {
        // BOUND: each turn but the last waits for the loader or until a frame is due; ends at the deadline.
        loop {
            self.fill_head();
            let now = clock::now();
            match self.head_due() {
                Some(due) if due <= now => return Ok(Readiness::Ready),
                None if self.ended => return Ok(Readiness::Ended),
                None if self.out == self.config.slots && !self.drops_when_behind() => {
                    return Ok(Readiness::NoSlot);
                }
                _ if now >= deadline => return Ok(Readiness::TimedOut),
                Some(due) => clock::sleep_until(due.min(deadline)),
                None => self.wait_for_loader(deadline),
            }
        }
    }

    fn take(&mut self, now: MonoTime) -> Result<Option<Slot<Filled>>, StepError> {
        let Some(mut newest) = self.pop_due(now) else {
            return Ok(None);
        };
        // BOUND: the frames that were due by `now`, which stays as it is.
        while self.drops_when_behind()
            && let Some(newer) = self.pop_due(now)
        {
            self.counters.drained.add(1);
            self.refill(newest.empty());
            newest = newer;
        }
        self.counters.taken.add(1);
        self.out += 1;
        Ok(Some(newest))
    }

    fn give_back(&mut self, slot: Slot<Empty>) {
        self.out = self.out.saturating_sub(1);
        self.refill(slot);
    }

    /// Frames that were ready and not taken count as drained.
    fn stop(&mut self) {
        self.end_loader();
        self.fill_head();
        while let Some(slot) = self.head.take() {
            self.counters.drained.add(1);
            drop(slot);
            self.fill_head();
        }
        self.ended = true;
    }

    fn counters(&self) -> Arc<SourceCounters> {
        Arc::clone(&self.counters)
    }
}

impl Drop for FileSource {
    fn drop(&mut self) {
        self.end_loader();
    }
}
