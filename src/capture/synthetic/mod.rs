//! A camera made of arithmetic, for tests, benches and machines without a camera: any size, rate and format, with
//! every fault a camera can have, and with the frame number and the capture stamp in its pixels.
//!
//! It plays the driver. Exposures happen on an absolute schedule whether or not anybody looks; one that finds no
//! free slot is lost and counted. The next frame is drawn into a free slot *before* its time, inside
//! [`Source::wait`], as a driver's DMA would: taking it costs what it costs from a driver with a mapped buffer.
//! A thread that draws was rejected because it would compete with the pipeline under test for cores and caches.
//!
//! Thread: capture. Allocates: in `open`. Blocks: in `wait`. Locks: no. Syscalls: `clock_nanosleep` in `wait`.

mod code;
mod config;
mod jpeg;
mod pattern;
mod schedule;

use std::collections::VecDeque;

pub use self::code::embedded;
use self::code::{Code, Layout};
pub use self::config::{SyntheticConfig, When};
use self::jpeg::JpegPattern;
use self::pattern::{Pattern, Square};
use self::schedule::{Exposure, Schedule};
use crate::capture::v4l2::Damaged;
use crate::capture::{Pace, Readiness, Source, SourceCounters};
use crate::clock;
use crate::error::{Fault, Kind, Result, StepError};
use crate::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use crate::rt::sync::Arc;
use crate::slot::{Empty, Filled, Slot};
use crate::stage::touch;
use crate::units::{Hertz, MonoTime};

/// What draws the frames.
#[derive(Debug)]
enum Picture {
    Raw(Pattern),
    Jpeg(JpegPattern),
}

impl Picture {
    fn frame_bytes(&self) -> usize {
        match self {
            Self::Raw(pattern) => pattern.frame_bytes(),
            Self::Jpeg(pattern) => pattern.frame_bytes(),
        }
    }

    /// Writes what all frames have in common; once for each slot.
    fn paint(&self, bytes: &mut [u8]) {
        match self {
            Self::Raw(pattern) => pattern.paint(bytes),
            Self::Jpeg(pattern) => pattern.paint(bytes, &Code::new(0, MonoTime::ZERO)),
        }
    }

    /// Turns a frame drawn before, with its square at `was`, into the one with this code.
    fn draw(&self, bytes: &mut [u8], was: Option<Square>, code: &Code) -> Option<Square> {
        match self {
            Self::Raw(pattern) => pattern.draw(bytes, was, code),
            Self::Jpeg(pattern) => pattern.draw(bytes, was, code),
        }
    }
}

/// All that a driver would have done by the time the frame is due.
#[derive(Debug)]
struct Prepared {
    /// The frame as the driver will hand it out.
    slot: Slot<Filled>,
    /// The exposure after this one.
    following: Option<Exposure>,
}

/// See the module.
#[derive(Debug)]
pub struct SyntheticSource {
    config: SyntheticConfig,
    source_index: u8,
    format: FrameFormat,
    picture: Picture,
    schedule: Schedule,
    /// The exposure that comes next; None before the start and after the end.
    next: Option<Exposure>,
    /// `next`, drawn ahead of its time.
    prepared: Option<Prepared>,
    free: Vec<Slot<Empty>>,
    /// Delivered and not taken; oldest first.
    ready: VecDeque<Slot<Filled>>,
    /// Where each slot's square was drawn last.
    squares: Vec<Option<Square>>,
    /// Number and stamp of the frame delivered last.
    last: Option<(u64, MonoTime)>,
    counters: Arc<SourceCounters>,
}

impl SyntheticSource {
    /// Takes all memory and paints the background into every slot. `source_index` is the camera's place in the
    /// configuration.
    pub fn open(config: &SyntheticConfig, source_index: u8) -> Result<Self> {
        let refuse = |why: String| {
            Fault::new(
                Kind::Config,
                "the synthetic camera cannot be made as configured",
                why,
                "change that setting of the camera",
            )
        };
        config.check().map_err(refuse)?;
        let format = config.frame_format();
        let layout = Layout::of(&format).expect("`check` has refused pictures without room");
        let picture = match format.pixel {
            PixelFormat::Mjpeg => Picture::Jpeg(JpegPattern::new(format, layout, config.seed)),
            _ => Picture::Raw(Pattern::new(format, layout, config.seed)),
        };
        let mut free = Slot::pool(config.slots, &format).map_err(|e| {
            Fault::from_io(
                format!("no memory for {} frames", config.slots),
                &e,
                Kind::Config,
                "use fewer slots or a smaller picture",
            )
        })?;
        for slot in &mut free {
            picture.paint(slot.bytes_mut());
        }
        Ok(Self {
            config: config.clone(),
            source_index,
            format,
            picture,
            schedule: Schedule::new(config, MonoTime::ZERO),
            next: None,
            prepared: None,
            ready: VecDeque::with_capacity(free.len()),
            squares: vec![None; free.len()],
            free,
            last: None,
            counters: Arc::new(SourceCounters::default()),
        })
    }

    /// Starts with the schedule counted from `base` instead of now, for runs that must repeat to the nanosecond: the
    /// first exposure is one period after it.
    pub fn start_at(&mut self, base: MonoTime) {
        self.schedule = Schedule::new(&self.config, base);
        self.next = self.schedule.next(base);
    }

    /// Draws the next frame ahead of its time, if that is possible.
    fn prepare(&mut self) {
        if self.prepared.is_some() || self.config.pace == Pace::Fastest {
            return;
        }
        if let Some(exposure) = self.next
            && let Some(mut slot) = self.free.pop()
        {
            self.draw(&mut slot, &exposure);
            let meta = self.describe_frame(&exposure);
            self.prepared = Some(Prepared {
                slot: slot.fill(meta),
                following: self.schedule.next(exposure.due),
            });
        }
    }

    fn draw(&mut self, slot: &mut Slot<Empty>, exposure: &Exposure) {
        let mut code = Code::new(exposure.seq, exposure.captured);
        if exposure.error {
            code = code.damaged();
        }
        let was = &mut self.squares[slot.index() as usize];
        *was = self.picture.draw(slot.bytes_mut(), *was, &code);
    }

    /// Lets everything happen that was due up to `now`.
    fn observe(&mut self, now: MonoTime) {
        // BOUND: the exposures since the last call, so the caller's lateness times the rate; only as many of them
        // as there are free slots are drawn. With `Pace::Fastest` one.
        while let Some(exposure) = self.next
            && exposure.due <= now
        {
            let fastest = self.config.pace == Pace::Fastest;
            if fastest && (self.free.is_empty() || !self.ready.is_empty()) {
                return;
            }
            self.next = match self.prepared.take() {
                Some(ahead) => {
                    self.counters.produced.add(1);
                    self.counters.gaps.add(u64::from(exposure.gap));
                    self.deliver(ahead.slot, &exposure);
                    ahead.following
                }
                None => {
                    self.expose(exposure, now);
                    self.schedule.next(now)
                }
            };
            if fastest {
                return;
            }
        }
    }

    /// An exposure that was not drawn ahead is over: it is delivered into a slot, or lost.
    fn expose(&mut self, mut exposure: Exposure, now: MonoTime) {
        self.counters.produced.add(1);
        self.counters.gaps.add(u64::from(exposure.gap));
        let Some(mut slot) = self.free.pop() else {
            self.counters.no_slot.add(1);
            return;
        };
        if self.config.pace == Pace::Fastest {
            exposure.captured = match self.last {
                Some((_, captured)) if exposure.repeated => captured,
                _ => now,
            };
        }
        self.draw(&mut slot, &exposure);
        let meta = self.describe_frame(&exposure);
        self.deliver(slot.fill(meta), &exposure);
    }

    fn deliver(&mut self, slot: Slot<Filled>, exposure: &Exposure) {
        let marks = slot.meta().marks;
        self.last = Some((exposure.seq, exposure.captured));
        self.counters.error_flagged.add(u64::from(marks.error));
        self.counters.short.add(u64::from(marks.short));
        self.counters.repeated.add(u64::from(marks.repeated));
        if (exposure.error || exposure.short) && self.config.damaged == Damaged::Drop {
            self.counters.unusable.add(1);
            self.free.push(slot.empty());
        } else {
            self.ready.push_back(slot);
        }
    }

    /// The description of a frame that nobody has taken yet: `captured` holds the driver's stamp as it is.
    fn describe_frame(&self, exposure: &Exposure) -> FrameMeta {
        let whole = self.picture.frame_bytes();
        let bytes = if exposure.short { whole / 2 } else { whole };
        let expected = self.last.map_or(0, |(seq, _)| seq + 1);
        FrameMeta {
            seq: exposure.seq,
            source_index: self.source_index,
            format: self.format,
            bytes_used: u32::try_from(bytes).expect("8192x8192 RGB fits"),
            captured: exposure.captured + exposure.stamp_error,
            stamp: StampSource::Synthetic,
            arrived: MonoTime::ZERO,
            marks: FrameMarks {
                error: exposure.error,
                short: exposure.short,
                repeated: self.last.is_some_and(|(seq, _)| seq == exposure.seq),
                future_stamp: false,
                gap_before: u32::try_from(exposure.seq.saturating_sub(expected))
                    .unwrap_or(u32::MAX),
                resumed: false,
            },
        }
    }

    /// Completes the description of a frame that leaves at `now`, and counts a stamp in the future.
    fn arrive(&self, slot: &mut Slot<Filled>, now: MonoTime) {
        let meta = slot.meta_mut();
        meta.arrived = now;
        meta.stamp(meta.captured, StampSource::Synthetic);
        let future = u64::from(meta.marks.future_stamp);
        self.counters.future_stamps.add(future);
    }

    /// Puts the ready frames but the newest `keep` back.
    fn drain(&mut self, keep: usize, now: MonoTime) {
        while self.ready.len() > keep
            && let Some(mut slot) = self.ready.pop_front()
        {
            self.arrive(&mut slot, now);
            self.counters.drained.add(1);
            self.free.push(slot.empty());
        }
    }
}

impl Source for SyntheticSource {
    fn describe(&self) -> String {
        let FrameFormat { width, height, .. } = self.format;
        let rate = match self.config.pace {
            Pace::RealTime => self.config.rate.to_string(),
            Pace::Fastest => "as fast as possible".to_owned(),
        };
        format!(
            "synthetic {} {width}x{height} {rate}, {} buffers, seed {}",
            self.format.pixel.name(),
            self.config.slots,
            self.config.seed
        )
    }

    fn format(&self) -> FrameFormat {
        self.format
    }

    fn rate(&self) -> Option<Hertz> {
        (self.config.pace == Pace::RealTime).then_some(self.config.rate)
    }

    fn stamp_source(&self) -> StampSource {
        StampSource::Synthetic
    }

    fn slot_count(&self) -> u32 {
        self.config.slots
    }

    fn drops_when_behind(&self) -> bool {
        self.config.pace == Pace::RealTime
    }

    fn next_due(&self) -> Option<MonoTime> {
        self.next.map(|exposure| exposure.due)
    }

    fn rehearse(&mut self) {
        touch(self.prepared.as_ref().map(|ahead| *ahead.slot.meta()));
        touch((
            self.counters.produced.get(),
            self.counters.future_stamps.get(),
        ));
    }

    fn start(&mut self) -> Result<()> {
        self.start_at(clock::now());
        Ok(())
    }

    fn wait(&mut self, deadline: MonoTime) -> Result<Readiness, StepError> {
        let fastest = self.config.pace == Pace::Fastest;
        // BOUND: each turn but the last sleeps until an exposure, and the last ends at the deadline.
        loop {
            let now = clock::now();
            if !fastest {
                self.observe(now);
            }
            if !self.ready.is_empty() {
                return Ok(Readiness::Ready);
            }
            let Some(next) = self.next else {
                return Ok(Readiness::Ended);
            };
            if fastest && self.free.is_empty() {
                return Ok(Readiness::NoSlot);
            }
            if fastest && next.due <= now {
                return Ok(Readiness::Ready);
            }
            self.prepare();
            if now >= deadline {
                return Ok(Readiness::TimedOut);
            }
            clock::sleep_until(next.due.min(deadline));
        }
    }

    fn take(&mut self, now: MonoTime) -> Result<Option<Slot<Filled>>, StepError> {
        self.observe(now);
        self.drain(1, now);
        let Some(mut slot) = self.ready.pop_front() else {
            return Ok(None);
        };
        self.arrive(&mut slot, now);
        self.counters.taken.add(1);
        Ok(Some(slot))
    }

    fn give_back(&mut self, slot: Slot<Empty>) {
        debug_assert!((slot.index() as usize) < self.squares.len());
        self.free.push(slot);
    }

    /// Frames that were ready and not taken count as drained.
    fn stop(&mut self) {
        self.next = None;
        self.free
            .extend(self.prepared.take().map(|ahead| ahead.slot.empty()));
        self.drain(0, clock::now());
    }

    fn counters(&self) -> Arc<SourceCounters> {
        Arc::clone(&self.counters)
    }
}
