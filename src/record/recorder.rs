//! The recorder: takes what the taps hold, turns it into messages, and passes them to the thread that writes.
//!
//! Thread: recorder (housekeeping). Allocates: yes; its pictures before the start. Blocks: only in its own sleep, never on
//! the disk, so that a slot which it holds goes home within the time of a copy. Locks: no.

use std::fmt;

use crate::error::{Fault, Kind, Result};
use crate::frame::{FrameFormat, PixelFormat};
use crate::link::{self, EveryReader, EveryWriter, LinkCount};
use crate::rt::sync::Arc;
use crate::rt::wait::Bell;
use crate::slot::{Empty, Filled, Slot};
use crate::units::{MonoTime, Nanos};
use crate::{clock, rt};

use super::config::{Frames, RecordConfig, SensorKind};
use super::mcap::write::Stamps;
use super::message::{self, UtcOffset};
use super::tap::{self, FusionEvent, Given, TAPPED_SLOTS, TapEnds, Taps};
use super::topic::Topic;
use super::writer::{About, Item, Writing, Written};
use crate::rt::stop::Stop;

/// Slots that a source needs more when its run is recorded, so that it never has to wait for one.
pub const EXTRA_SLOTS: u32 = TAPPED_SLOTS + 1;

/// How often the taps are emptied.
// BOUND: the taps have room for four slots, which at 240 frames a second come within 16 ms.
const TURN: Nanos = Nanos::from_millis(2);

/// Messages that wait for the writer.
// BOUND: a disk that hangs for 10 s, at 400 messages a second.
const ITEMS: usize = 4096;

/// Results of configured streams that wait for the recorder.
// BOUND: a thousand streams with one each, or the end of a stream with as many windows open.
const RESULTS: usize = 4096;

/// A picture's bytes, on the way from its slot to the file.
#[derive(Debug)]
pub struct Picture {
    pub bytes: Vec<u8>,
}

/// Everything that a recording needs, before the run begins.
#[derive(Debug)]
pub struct Recorder {
    config: RecordConfig,
    writing: Writing,
    free: Vec<Picture>,
}

/// A recorder whose taps are in the stages.
#[derive(Debug)]
pub struct Tapped {
    recorder: Recorder,
    ends: TapEnds,
    slots_home: EveryWriter<Slot<Empty>>,
}

/// What was recorded, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordTotals {
    pub written: Written,
    /// Pictures that came while those before them still waited for the recorder: its core was busy.
    pub pictures_too_soon: u64,
    /// Pictures for which there was no memory: the disk was too slow.
    pub pictures_missed: u64,
    /// Messages for which there was no room: from there on a replay is not exact.
    pub messages_missed: u64,
    /// Results of configured streams for which there was none.
    pub results_missed: u64,
}

impl Recorder {
    /// Opens the file and takes all memory. `format` is that of the pictures.
    ///
    /// # Errors
    /// `Output` when the file cannot be made.
    pub fn open(config: &RecordConfig, format: &FrameFormat) -> Result<Self> {
        let path = config.path.clone().unwrap_or_default();
        let writing = Writing::open(&path, config.compression)?;
        let bytes = format.frame_bytes();
        let count = match config.frames {
            Frames::None => 0,
            Frames::Every(_) => ((config.memory as usize) << 20) / bytes.max(1),
        };
        // Three, so that a copy can be made while one is written and one waits; more than slots' numbers are of no use.
        let count = match config.frames {
            Frames::None => 0,
            Frames::Every(_) => count.clamp(3, ITEMS),
        };
        // Not zeros: their pages would come only when they are first written.
        let picture = || Picture {
            bytes: vec![1; bytes],
        };
        Ok(Self {
            config: config.clone(),
            writing,
            free: std::iter::repeat_with(picture).take(count).collect(),
        })
    }

    /// The taps for the stages, the way home of the slots, and what is left. `capture` is rung when a slot comes home.
    pub fn tap(self, capture: &Bell) -> (Taps, EveryReader<Slot<Empty>>, Tapped) {
        let every = match self.config.frames {
            Frames::None => 0,
            Frames::Every(count) => count,
        };
        let (taps, ends) = tap::taps(every);
        let (slots_home, home) = link::every(EXTRA_SLOTS as usize, capture);
        let tapped = Tapped {
            recorder: self,
            ends,
            slots_home,
        };
        (taps, home, tapped)
    }
}

impl Tapped {
    /// The links that frames go through, for the accounts.
    pub fn links(&self) -> [(&'static str, Arc<LinkCount>); 2] {
        [
            ("features -> recorder", self.ends.slots.count()),
            ("slots home from recorder", self.slots_home.count()),
        ]
    }

    /// Writes what the recording is about, and starts both threads.
    ///
    /// # Errors
    /// `Output` when the disk is full already.
    pub fn start(self, about: &About) -> Result<Recording> {
        let Self {
            recorder,
            ends,
            slots_home,
        } = self;
        let Recorder {
            config,
            mut writing,
            free,
        } = recorder;
        let utc = UtcOffset(clock::read(libc::CLOCK_REALTIME).0 - clock::now().0);
        writing.begin(about, &config, utc)?;
        let bell = Bell::new();
        let (items, waiting) = link::every(ITEMS, &bell);
        let (pictures_in, pictures) = link::every(free.len().max(1), &Bell::silent());
        let writer = spawn("record-writer", move || {
            writing.run(waiting, pictures_in, &bell)
        })?;
        let stop = Stop::default();
        let (results_in, results) = link::every(RESULTS, &Bell::silent());
        let mut draining = Draining {
            sensors: (0..).map(|i| config.sensor_kind(i)).take(256).collect(),
            ends,
            slots_home,
            free,
            pictures,
            items,
            utc,
            pictures_missed: 0,
            results,
            streams: about.streams.clone(),
        };
        let asked = stop.clone();
        let drain = spawn("recorder", move || {
            rt::thread::go_first_among_normal();
            draining.run(&asked)
        })?;
        Ok(Recording {
            results: Some(results_in),
            stop,
            drain,
            writer,
        })
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>> {
    rt::thread::housekeeping(name, body).map_err(|e| {
        let what = format!("the thread {name} could not be started");
        Fault::from_io(what, &e, Kind::Internal, "raise ulimit -u")
    })
}

/// For the person at the terminal, in lines.
impl fmt::Display for RecordTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = &self.written;
        let mebibytes = written.bytes >> 20;
        writeln!(
            f,
            "recorded {}: {} messages, {} of them pictures, {mebibytes} MiB",
            written.path.display(),
            written.messages,
            written.pictures,
        )?;
        if self.pictures_missed > 0 {
            writeln!(
                f,
                "  {} pictures are not in it, because the disk was too slow: raise record.memory, or take record.frames = \
                 \"every 2\"",
                self.pictures_missed
            )?;
        }
        if self.pictures_too_soon > 0 {
            writeln!(
                f,
                "  {} pictures are not in it, because the recorder was kept from its core: give housekeeping more of the \
                 processor (threads.housekeeping), or record fewer",
                self.pictures_too_soon
            )?;
        }
        if self.messages_missed > 0 {
            writeln!(
                f,
                "  it has gaps: {} messages found no room; a replay is exact up to the first",
                self.messages_missed
            )?;
        }
        if self.results_missed > 0 {
            writeln!(
                f,
                "  {} results of streams are not in it, because the recorder was kept from its core",
                self.results_missed
            )?;
        }
        if let Some(fault) = &written.fault {
            writeln!(
                f,
                "  warning: it ended before the run: {fault}; {} messages are not in it",
                written.lost
            )?;
        }
        Ok(())
    }
}

/// A recording that runs.
#[derive(Debug)]
pub struct Recording {
    results: Option<EveryWriter<Given>>,
    stop: Stop,
    drain: std::thread::JoinHandle<RecordTotals>,
    writer: std::thread::JoinHandle<Written>,
}

impl Recording {
    /// Where configured streams tell their results, once.
    pub fn take_results(&mut self) -> Option<EveryWriter<Given>> {
        self.results.take()
    }

    /// Takes what is still in the taps, and ends the file. The stages must have ended.
    pub fn finish(self) -> RecordTotals {
        self.stop.ask();
        let drained = self.drain.join().unwrap_or_default();
        let written = self.writer.join().unwrap_or_else(|_| Written {
            fault: Some("the thread that writes panicked".to_owned()),
            ..Written::default()
        });
        RecordTotals { written, ..drained }
    }
}

struct Draining {
    ends: TapEnds,
    slots_home: EveryWriter<Slot<Empty>>,
    free: Vec<Picture>,
    pictures: EveryReader<Picture>,
    items: EveryWriter<Item>,
    sensors: Vec<SensorKind>,
    utc: UtcOffset,
    /// Pictures that found no memory.
    pictures_missed: u64,
    results: EveryReader<Given>,
    streams: Vec<(String, String)>,
}

impl Draining {
    /// Gives what was lost on the way to the writer.
    fn run(&mut self, stop: &Stop) -> RecordTotals {
        // BOUND: ends with the recording; each turn takes what is there.
        loop {
            // Looked at first: what was told before the stop is then surely taken.
            let last = stop.asked();
            let now = clock::now();
            self.take_pictures();
            self.take_events();
            if last {
                break;
            }
            clock::sleep_until(now + TURN);
        }
        let refused = |count: Arc<LinkCount>| count.totals().refused;
        let events = refused(self.ends.frames.count())
            + refused(self.ends.fusion.count())
            + refused(self.ends.instructions.count())
            + refused(self.ends.beats.count());
        RecordTotals {
            written: Written::default(),
            pictures_too_soon: refused(self.ends.slots.count()),
            pictures_missed: self.pictures_missed,
            messages_missed: events + refused(self.items.count()),
            results_missed: refused(self.results.count()),
        }
    }

    fn take_pictures(&mut self) {
        // BOUND: the slots of the link.
        for _ in 0..EXTRA_SLOTS {
            let Some(slot) = self.ends.slots.pop() else {
                return;
            };
            while let Some(picture) = self.pictures.pop() {
                self.free.push(picture);
            }
            match self.free.pop() {
                Some(picture) => self.copy(&slot, picture),
                None => self.pictures_missed += 1,
            }
            // The way home has room for every slot that can be here.
            drop(self.slots_home.push(slot.empty()));
        }
    }

    fn copy(&mut self, slot: &Slot<Filled>, mut picture: Picture) {
        let meta = slot.meta();
        picture.bytes.clear();
        picture.bytes.extend_from_slice(slot.bytes());
        let topic = match meta.format.pixel {
            PixelFormat::Mjpeg => Topic::CompressedImage,
            _ => Topic::Image,
        };
        let item = Item {
            topic,
            sequence: low(meta.seq),
            stamps: self.stamps(meta.captured, meta.arrived),
            head: message::image_head(meta, self.utc),
            picture: Some(picture),
        };
        if let Err(item) = self.items.push(item) {
            self.free.extend(item.picture);
        }
    }

    fn take_events(&mut self) {
        // BOUND, here and below: what was in the link when it was looked at first, and what comes meanwhile, which is far
        // less than what this loop takes.
        while let Some(numbered) = self.ends.frames.pop() {
            let at = numbered.event.end;
            self.pass(Topic::Frame, numbered.order, at, message::frame(&numbered));
        }
        while let Some(numbered) = self.ends.instructions.pop() {
            let at = numbered.event.encoded;
            let bytes = message::instruction(&numbered);
            self.pass(Topic::Instruction, numbered.order, at, bytes);
        }
        while let Some(numbered) = self.ends.fusion.pop() {
            let order = numbered.order;
            match numbered.event {
                FusionEvent::Step(step) => {
                    self.pass(Topic::Step, order, step.end, message::step(order, &step));
                }
                FusionEvent::Read { sensor, reading } => {
                    let bytes = message::reading(order, sensor, &reading);
                    self.pass(Topic::Reading, order, reading.arrived, bytes);
                    let kind = self.sensors[usize::from(sensor)];
                    if let Some(bytes) = message::sensor_state(&reading, kind, self.utc) {
                        let topic = Topic::State(sensor);
                        self.pass(topic, u64::from(reading.seq), reading.at, bytes);
                    }
                }
            }
        }
        for index in 0..self.ends.chunks.len() {
            let (mut chunks, seen) = (Vec::new(), |chunk: &crate::action::Chunk| {
                let fused = chunk.trace.at(crate::telemetry::trace::Mark::Fused);
                (chunk.trace.seq, fused, message::chunk(chunk))
            });
            self.ends.chunks[index].each(|chunk| chunks.push(seen(chunk)));
            for (seq, fused, bytes) in chunks {
                self.pass(Topic::Chunk, seq, fused, bytes);
            }
        }
        while let Some(given) = self.results.pop() {
            let Some((name, what)) = self.streams.get(usize::from(given.stream)) else {
                continue;
            };
            let bytes = message::stream_result(name, what, &given);
            self.pass(Topic::StreamResult, 0, given.window.end - Nanos(1), bytes);
        }
        while let Some(numbered) = self.ends.beats.pop() {
            let at = numbered.event.written;
            let bytes = message::action(&numbered);
            self.pass(Topic::Action, numbered.order, at, bytes);
        }
    }

    fn pass(&mut self, topic: Topic, sequence: u64, at: MonoTime, head: Vec<u8>) {
        // A full link has counted it.
        drop(self.items.push(Item {
            topic,
            sequence: low(sequence),
            stamps: self.stamps(at, at),
            head,
            picture: None,
        }));
    }

    fn stamps(&self, log: MonoTime, publish: MonoTime) -> Stamps {
        Stamps {
            log: self.utc.utc(log),
            publish: self.utc.utc(publish),
        }
    }
}

/// MCAP's sequence numbers are 32 bits wide, and start again.
#[expect(clippy::cast_possible_truncation, reason = "its low half is meant")]
pub(super) fn low(number: u64) -> u32 {
    number as u32
}
