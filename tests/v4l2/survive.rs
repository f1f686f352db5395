//! A camera that is lost comes back by itself: every fault that vivid can have, on the real driver. Run by `scripts/dev vm`.
#![allow(clippy::unwrap_used)]

use std::io::Write;

use reflexarc::action::config::ActionConfig;
use reflexarc::action::player::Player;
use reflexarc::action::{Action, Rung, Sink};
use reflexarc::capture::story::{Cause, Interruption};
use reflexarc::capture::v4l2::{Frozen, RecoveryConfig, V4l2Config, V4l2Source};
use reflexarc::capture::{Count, Readiness, Source, SourceCounters};
use reflexarc::clock;
use reflexarc::error::StepError;
use reflexarc::features::encoders::null::NullEncoder;
use reflexarc::frame::PixelFormat;
use reflexarc::pipeline::{Parts, Pipeline};
use reflexarc::policy::still::Still;
use reflexarc::rt::plan::{Machine, Plan, ThreadsConfig};
use reflexarc::rt::stop::Stop;
use reflexarc::rt::sync::{Arc, AtomicU64, Ordering};
use reflexarc::slot::{Filled, Slot};
use reflexarc::telemetry::collect::Collector;
use reflexarc::telemetry::goals::GoalsConfig;
use reflexarc::units::{Hertz, MonoTime, Nanos};

use crate::tapped::{Taken, Tap, Tapped};
use crate::vivid::{self, Faults, fault};

/// Colour bars that may stand still, from a camera that is opened again. Short times, so that the checks are.
fn config() -> V4l2Config {
    V4l2Config {
        recovery: RecoveryConfig {
            reopen: true,
            silent_after: Nanos::from_millis(300),
            reopen_after: Nanos::from_secs(1),
            frozen: Frozen::Use,
            ..RecoveryConfig::default()
        },
        ..vivid::config(PixelFormat::Yuyv)
    }
}

/// A turn of the capture stage. Gives the frame, if one came.
fn turn(source: &mut V4l2Source) -> Option<Slot<Filled>> {
    match source.wait(clock::now() + Nanos::from_millis(50)).unwrap() {
        Readiness::Ready => source.take(clock::now()).unwrap(),
        _ => None,
    }
}

/// Turns until `enough`, within a time in which a slow machine gets there.
fn turns(source: &mut V4l2Source, mut enough: impl FnMut(&SourceCounters) -> bool) {
    let (counters, patience) = (source.counters(), vivid::patience());
    while !enough(&counters) {
        assert!(clock::now() < patience, "{:?}", source.interruptions());
        if let Some(frame) = turn(source) {
            source.give_back(frame.empty());
        }
    }
}

fn streaming() -> V4l2Source {
    streaming_from(&config())
}

fn streaming_from(config: &V4l2Config) -> V4l2Source {
    let mut source = vivid::open(config);
    source.start().unwrap();
    turns(&mut source, |c| c.taken.get() >= 2);
    source
}

/// Three frames more, and the accounts are right: nothing was lost on the way through the fault.
fn goes_on(source: &mut V4l2Source) {
    let taken = source.counters().taken.get();
    turns(source, |c| c.taken.get() >= taken + 3);
    assert_eq!(source.queued(), 4, "every buffer is with the driver");
    vivid::assert_balanced(source);
}

/// The only interruption that there was, and it has ended.
fn only(source: &V4l2Source) -> Interruption {
    let (told, more) = source.interruptions();
    assert_eq!((told.len(), more), (1, 0), "{told:?}");
    let counters = source.counters();
    assert_eq!((counters.interrupted.get(), counters.resumed.get()), (1, 1));
    assert!(told[0].resumed.is_some(), "{told:?}");
    told[0]
}

/// Past the test harness, which keeps what a passing test prints: these are results.
fn tell(text: &str) {
    let line = format!("\nmeasured: {text}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A row of the table of docs/cameras.md: both times from the last frame before the fault.
fn row(fault: &str, noticed: &str, again: Nanos, attempts: u32) {
    let again = again.to_string();
    tell(&format!(
        "| {fault:<46} | noticed {noticed:>8} | frames again {again:>8} | {attempts} attempts |"
    ));
}

fn tell_one(what: &str, of: &Interruption) {
    let noticed = (of.detected - of.last_frame).to_string();
    let again = of.resumed.unwrap() - of.last_frame;
    row(what, &noticed, again, of.attempts);
}

/// The time from the frame before a fault to the first one after it that is passed on.
fn ridden_out(source: &mut V4l2Source, inject: impl FnOnce(&mut V4l2Source)) -> Nanos {
    let next = |source: &mut V4l2Source| {
        let patience = vivid::patience();
        loop {
            assert!(clock::now() < patience);
            if let Some(frame) = turn(source) {
                let captured = frame.meta().captured;
                source.give_back(frame.empty());
                return captured;
            }
        }
    };
    let before = next(source);
    inject(source);
    next(source) - before
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_damaged_and_a_refused_buffer_cost_a_frame_and_no_interruption() {
    let mut source = streaming();
    let counters = source.counters();
    let damaged = ridden_out(&mut source, |_| Faults::open().set(fault::FLAG_ERROR, 1));
    turns(&mut source, |c| c.error_flagged.get() == 1);
    row("a damaged buffer", "at once", damaged, 0);
    let refused = ridden_out(&mut source, |source| {
        let frame = loop {
            if let Some(frame) = turn(source) {
                break frame;
            }
        };
        Faults::open().set(fault::QUEUE_ERROR, 1);
        source.give_back(frame.empty());
        assert_eq!(source.queued(), 3, "refused, and kept");
    });
    row("a buffer that is not taken back", "at once", refused, 0);
    goes_on(&mut source);
    assert_eq!(counters.interrupted.get(), 0);
}

/// vivid numbers and stamps such streams from just before the end; the wrap of the numbers comes with the 129th frame.
#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn numbers_and_stamps_that_wrap_interrupt_nothing() {
    for (what, control, value, frames) in [
        ("sequence numbers that wrap", fault::WRAP_SEQUENCE, 1, 135),
        (
            "time stamps that wrap, 64 bits",
            fault::WRAP_TIMESTAMP,
            1,
            30,
        ),
        (
            "time stamps that wrap, 32 bits",
            fault::WRAP_TIMESTAMP,
            2,
            30,
        ),
    ] {
        let mut faults = Faults::open();
        faults.hold(control, value);
        let mut source = streaming();
        let mut longest = Nanos(0);
        let counters = source.counters();
        while counters.taken.get() < frames {
            longest = longest.max(ridden_out(&mut source, |_| {}));
        }
        assert_eq!(counters.interrupted.get(), 0, "{what}");
        assert!(source.interruptions().0.is_empty(), "{what}");
        row(what, "-", longest, 0);
    }
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn an_unplugged_camera_is_taken_back_also_while_its_slots_are_out() {
    let mut source = streaming();
    let mut out = Vec::new();
    while out.len() < 2 {
        out.extend(turn(&mut source));
    }
    {
        Faults::open().set(fault::DISCONNECT, 1);
    }
    let counters = source.counters();
    while counters.interrupted.get() == 0 {
        out.extend(turn(&mut source));
    }
    // The node cannot come back while a mapping of its buffers is alive.
    let until = clock::now() + Nanos::from_millis(300);
    while clock::now() < until {
        assert!(turn(&mut source).is_none());
    }
    assert!(counters.is_away());
    out.iter().for_each(vivid::assert_colour_bars);
    out.drain(..)
        .for_each(|slot| source.give_back(slot.empty()));
    let mut first = None;
    let patience = vivid::patience();
    while first.is_none() {
        assert!(clock::now() < patience, "{:?}", source.interruptions());
        first = turn(&mut source);
    }
    let first = first.unwrap();
    assert!(first.meta().marks.resumed, "the first is marked");
    vivid::assert_colour_bars(&first);
    source.give_back(first.empty());
    let second = loop {
        if let Some(frame) = turn(&mut source) {
            break frame;
        }
    };
    assert!(!second.meta().marks.resumed, "and no other");
    source.give_back(second.empty());
    let told = only(&source);
    assert_eq!(told.cause, Cause::Unplugged);
    assert!(told.attempts > 1, "in vain while slots were out: {told:?}");
    tell_one("unplugged, slots home after 0.3 s", &told);
    goes_on(&mut source);
    source.stop();
    assert!(
        source
            .notes()
            .iter()
            .any(|n| n.contains("opening the camera again")),
        "{:?}",
        source.notes()
    );
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_fatal_error_is_survived() {
    let mut source = streaming();
    Faults::open().set(fault::FATAL, 1);
    turns(&mut source, |c| c.resumed.get() == 1);
    let told = only(&source);
    assert_eq!(told.cause, Cause::DeviceError);
    tell_one("fatal error", &told);
    goes_on(&mut source);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn openings_that_fail_are_tried_again() {
    let mut source = streaming();
    {
        let faults = Faults::open();
        faults.set(fault::REQUEST_ERROR, 1);
        faults.set(fault::STREAM_ERROR, 1);
        faults.set(fault::FATAL, 1);
    }
    turns(&mut source, |c| c.resumed.get() == 1);
    let told = only(&source);
    assert!(told.attempts >= 3, "{told:?}");
    tell_one("fatal error, then REQBUFS and STREAMON fail", &told);
    goes_on(&mut source);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_silent_camera_is_noticed_and_goes_on_by_itself() {
    let mut source = streaming();
    let mut faults = Faults::open();
    faults.hold(fault::DROP_PERCENT, 100);
    turns(&mut source, |c| c.interrupted.get() == 1);
    faults.set(fault::DROP_PERCENT, 0);
    turns(&mut source, |c| c.resumed.get() == 1);
    let told = only(&source);
    assert_eq!((told.cause, told.attempts), (Cause::Silent, 0));
    assert!(told.detected - told.last_frame >= config().recovery.silent_after);
    tell_one("all frames dropped, silent after 0.3 s", &told);
    goes_on(&mut source);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_camera_that_stays_silent_is_opened_again() {
    let mut source = streaming();
    {
        let faults = Faults::open();
        faults.set(fault::DROP_PERCENT, 100);
    }
    let until = clock::now() + Nanos::from_millis(2500);
    turns(&mut source, |_| clock::now() > until);
    Faults::open().set(fault::DROP_PERCENT, 0);
    turns(&mut source, |c| c.resumed.get() == 1);
    let told = only(&source);
    assert_eq!(told.cause, Cause::Silent);
    assert!(told.attempts >= 1 && told.reopened.is_some(), "{told:?}");
    goes_on(&mut source);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_frozen_picture_goes_no_further_until_it_changes() {
    let mut settings = config();
    settings.recovery.frozen = Frozen::Drop;
    settings.recovery.frozen_after = Nanos::from_millis(300);
    let mut source = streaming_from(&settings);
    turns(&mut source, |c| c.frozen.get() >= 3);
    let (counters, taken) = (source.counters(), source.counters().taken.get());
    turns(&mut source, |c| c.frozen.get() >= 10);
    assert_eq!(counters.taken.get(), taken, "none of these was passed on");
    // Another picture from now on, with nothing said to the stream.
    Faults::open().set(fault::BRIGHTNESS, 100);
    turns(&mut source, |c| c.resumed.get() == 1);
    Faults::open().set(fault::BRIGHTNESS, 128);
    let told = only(&source);
    assert_eq!(told.cause, Cause::Frozen);
    assert!(told.detected - told.last_frame >= settings.recovery.frozen_after);
    tell_one("frozen picture, frozen after 0.3 s", &told);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_camera_that_stays_away_ends_the_run_after_the_time_set_for_it() {
    let mut settings = config();
    settings.recovery.give_up_after = Some(Nanos::from_secs(1));
    let mut source = streaming_from(&settings);
    let slot = loop {
        if let Some(slot) = turn(&mut source) {
            break slot;
        }
    };
    {
        Faults::open().set(fault::DISCONNECT, 1);
    }
    // It cannot come back: its slot is kept.
    let patience = vivid::patience();
    loop {
        assert!(clock::now() < patience);
        match source.wait(clock::now() + Nanos::from_millis(50)) {
            Ok(Readiness::Ready) => {
                let frame = source.take(clock::now()).unwrap();
                frame.into_iter().for_each(|f| source.give_back(f.empty()));
            }
            Ok(_) => {}
            Err(e) => {
                assert_eq!(e, StepError::DeviceLost);
                break;
            }
        }
    }
    let (told, _) = source.interruptions();
    assert!(told[0].resumed.is_none());
    drop(slot);
}

/// What HDMI does when the picture's source changes its size.
#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_change_of_the_pictures_source_is_noticed_and_the_camera_set_up_again() {
    /// `dv_timings_signal_mode` of vivid-ctrls.c: 0 is the timings of now, 1 is no signal.
    const SIGNAL_MODE: u32 = 0x00f0_f03e;
    let Some(device) = std::env::var_os("REFLEXARC_VIVID_HDMI") else {
        return tell("skipped: no REFLEXARC_VIVID_HDMI names vivid's HDMI input");
    };
    let settings = V4l2Config {
        device: device.into(),
        width: 1280,
        height: 720,
        exact: false,
        ..config()
    };
    let mut source = streaming_from(&settings);
    Faults::open_at(&settings.device).set(SIGNAL_MODE, 1);
    turns(&mut source, |c| c.interrupted.get() == 1);
    Faults::open_at(&settings.device).set(SIGNAL_MODE, 0);
    turns(&mut source, |c| !c.is_away());
    let (told, _) = source.interruptions();
    assert!(
        told.iter().any(|t| t.cause == Cause::FormatChanged),
        "{told:?}"
    );
    tell_one("source changed", &told[0]);
}

// ---------------------------------------------------------------------------------------------
// The whole way

/// When each frame was captured, by its number: one writer, the capture thread.
struct Captured([AtomicU64; 4096]);

impl Captured {
    fn at(&self, seq: u64) -> &AtomicU64 {
        &self.0[usize::try_from(seq % 4096).unwrap()]
    }
}

impl Tap for Arc<Captured> {
    fn take(&mut self, camera: &mut V4l2Source, now: MonoTime) -> Taken {
        let taken = camera.take(now)?;
        if let Some(frame) = &taken {
            let meta = frame.meta();
            let at = self.at(meta.seq);
            // ORDERING: Release, pairs with the Acquire in `Judge`; the frame's number travels by a link anyway.
            at.store(meta.captured.0.unsigned_abs(), Ordering::Release);
        }
        Ok(taken)
    }
}

/// A robot that knows how old the picture behind each action is, and what the ladder promised.
struct Judge {
    captured: Arc<Captured>,
    limits: [Nanos; 2],
    moved: Arc<Count>,
    too_old: Arc<Count>,
}

impl Sink for Judge {
    fn describe(&self) -> String {
        "judge".to_owned()
    }
    fn write(&mut self, action: &Action) -> Result<(), StepError> {
        let limit = match action.rung {
            Rung::Fresh => self.limits[0],
            Rung::Tail => self.limits[1],
            Rung::Hold | Rung::SafeStop => return Ok(()),
        };
        let captured = self.captured.at(action.frame_seq).load(Ordering::Acquire);
        let age = action.at - MonoTime(captured.cast_signed());
        self.moved.add(1);
        self.too_old.add(u64::from(age > limit));
        Ok(())
    }
}

/// The faults, one after the other in random order, each as often.
#[derive(Clone, Copy, Debug)]
enum Injected {
    Unplug,
    Fatal,
    FatalAndRequest,
    FatalAndStart,
    ErrorFlag,
    RefusedBuffer,
    Silence,
}

const ALL: [Injected; 7] = [
    Injected::Unplug,
    Injected::Fatal,
    Injected::FatalAndRequest,
    Injected::FatalAndStart,
    Injected::ErrorFlag,
    Injected::RefusedBuffer,
    Injected::Silence,
];

impl Injected {
    /// True when it interrupts the stream.
    fn inject(self) -> bool {
        let faults = Faults::open();
        match self {
            Self::Unplug => faults.set(fault::DISCONNECT, 1),
            Self::Fatal => faults.set(fault::FATAL, 1),
            Self::FatalAndRequest => {
                faults.set(fault::REQUEST_ERROR, 1);
                faults.set(fault::FATAL, 1);
            }
            Self::FatalAndStart => {
                faults.set(fault::STREAM_ERROR, 1);
                faults.set(fault::FATAL, 1);
            }
            Self::ErrorFlag => faults.set(fault::FLAG_ERROR, 1),
            Self::RefusedBuffer => faults.set(fault::QUEUE_ERROR, 1),
            Self::Silence => {
                faults.set(fault::DROP_PERCENT, 100);
                clock::sleep_until(clock::now() + Nanos::from_millis(450));
                faults.set(fault::DROP_PERCENT, 0);
            }
        }
        !matches!(self, Self::ErrorFlag | Self::RefusedBuffer)
    }
}

/// The show's number; `REFLEXARC_FAULTS` sets another.
const FAULTS: u64 = 200;

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn two_hundred_faults_in_a_row_lose_no_slot_and_play_no_action_too_old() {
    let wanted = std::env::var("REFLEXARC_FAULTS").map_or(FAULTS, |n| n.parse().unwrap());
    let camera = vivid::open(&config());
    let (counters, period) = (camera.counters(), camera.rate().map(Hertz::period));
    let captured = Arc::new(Captured(std::array::from_fn(|_| AtomicU64::new(0))));
    let threads = ThreadsConfig::default();
    let work = Nanos::from_millis(1);
    let plan = Plan::new(&threads, true, &Machine::detect(), work, period);
    let action = ActionConfig {
        latch: false,
        ..ActionConfig::default()
    };
    let (moved, too_old) = (Arc::<Count>::default(), Arc::<Count>::default());
    let parts = Parts::new(
        Box::new(Tapped {
            camera,
            tap: Arc::clone(&captured),
        }),
        Box::new(NullEncoder::default()),
        Box::new(Still::new(2)),
        Player::new(&action, 2, &[]).unwrap(),
        Box::new(Judge {
            captured,
            limits: [action.fresh_within, action.hold_after],
            moved: Arc::clone(&moved),
            too_old: Arc::clone(&too_old),
        }),
    );
    let stop = Stop::default();
    let mut collector = Collector::new(clock::now(), &GoalsConfig::default());
    let mut pipeline = Pipeline::build(parts, &plan, &mut collector, &stop).unwrap();
    pipeline.go();
    let patience = vivid::patience();
    while counters.taken.get() < 2 {
        assert!(clock::now() < patience, "no frame came: {counters:?}");
        clock::sleep_until(clock::now() + Nanos::from_millis(5));
    }
    let mut state = 1_u64;
    for number in 0..wanted {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let injected = ALL[usize::try_from(state >> 33).unwrap() % ALL.len()];
        let (taken, before) = (counters.taken.get(), counters.interrupted.get());
        let interrupts = injected.inject();
        let patience = clock::now() + Nanos::from_secs(30);
        let done = || {
            let interrupted = counters.interrupted.get() > before || !interrupts;
            interrupted && !counters.is_away() && counters.taken.get() >= taken + 2
        };
        while !done() {
            assert!(
                clock::now() < patience,
                "fault {number}: {injected:?}, {counters:?}"
            );
            collector.collect();
            clock::sleep_until(clock::now() + Nanos::from_millis(5));
        }
    }
    stop.ask();
    let end = pipeline.join().unwrap().remove(0);
    assert!(end.fault.is_none(), "{:?}", end.fault);
    assert_eq!(end.slots_out, 0, "every slot came home");
    assert!(moved.get() > 0, "actions followed from frames");
    assert_eq!(too_old.get(), 0, "of {} actions", moved.get());
    let (told, more) = end.interruptions;
    assert!(told.iter().all(|t| t.resumed.is_some()));
    tell(&format!(
        "{wanted} random faults, {} interruptions, {} actions from frames, 0 too old",
        told.len() as u64 + more,
        moved.get()
    ));
    for cause in [Cause::Unplugged, Cause::DeviceError, Cause::Silent] {
        let of: Vec<_> = told.iter().filter(|t| t.cause == cause).collect();
        let noticed: Vec<_> = of.iter().map(|t| t.detected - t.last_frame).collect();
        let back: Vec<_> = of.iter().map(|t| t.resumed.unwrap() - t.detected).collect();
        tell(&format!(
            "{:>12} x {:>3}: noticed after the last frame p50 {} max {}; frames again after that p50 {} max {}",
            cause.name(),
            of.len(),
            quantile(&noticed, 50),
            quantile(&noticed, 100),
            quantile(&back, 50),
            quantile(&back, 100),
        ));
    }
}

fn quantile(all: &[Nanos], percent: usize) -> Nanos {
    let mut sorted = all.to_vec();
    sorted.sort();
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * percent / 100)
        .copied()
        .unwrap_or_default()
}
