//! The capture stage: waits for the camera, takes its newest frame, hands it on, takes slots home.
//!
//! Thread: capture. Allocates: when built. Blocks: only in `Source::wait`. Locks: no.
//! Syscalls: the source's (poll and ioctl for a camera).

use crate::capture::story::Interruption;
use crate::capture::{Readiness, Source};
use crate::clock;
use crate::error::{Fault, Kind, StepError};
use crate::link::EveryReader;
use crate::rt::stop::Stop;
use crate::rt::thread::Context;
use crate::rt::wait::{Bell, WaitPolicy};
use crate::slot::{Empty, Filled, Slot};
use crate::stage::{IDLE_TURN, Item, Next};
use crate::telemetry::probe::Probe;
use crate::telemetry::record::{self, Outcome, Record};
use crate::telemetry::trace::{Mark, Stage, Trace};
use crate::units::{MonoTime, Nanos};

/// A filled slot on its way, with the instants it has passed.
#[derive(Debug)]
pub struct Frame {
    pub slot: Slot<Filled>,
    pub trace: Trace,
}

impl Item for Frame {
    fn captured(&self) -> MonoTime {
        self.slot.meta().captured
    }
}

/// How long the capture stage waits at the end for slots that are still out.
// BOUND: the longest step downstream (an encoder of 1 s) twice.
const HOME_WAIT: Nanos = Nanos::from_secs(2);

/// See the module.
pub struct CaptureStage {
    source: Box<dyn Source>,
    source_index: u8,
    next: Next<Frame>,
    /// The ways home of slots: from each features stage, and from the recorder.
    homes: Vec<EveryReader<Slot<Empty>>>,
    /// Rung when a slot comes home; waited on only where frames wait at their source.
    home_bell: Bell,
    /// Slots that are not with the source.
    out: u32,
    due: Option<MonoTime>,
    probe: Probe,
}

/// How the capture stage ended.
#[derive(Debug)]
pub struct CaptureEnd {
    /// Slots that had not come home.
    pub slots_out: u32,
    /// Why it ended before it was asked to, if it did.
    pub fault: Option<Fault>,
    /// What the source says of the run.
    pub notes: Vec<String>,
    /// Each time that the stream was interrupted, and how many times are not among them.
    pub interruptions: (Vec<Interruption>, u64),
}

impl CaptureStage {
    pub fn new(
        source: Box<dyn Source>,
        source_index: u8,
        next: Next<Frame>,
        homes: Vec<EveryReader<Slot<Empty>>>,
        home_bell: Bell,
        probe: Probe,
    ) -> Self {
        Self {
            source,
            source_index,
            next,
            homes,
            home_bell,
            out: 0,
            due: None,
            probe,
        }
    }

    /// Runs until asked to stop, until the input ends, or until the camera is lost.
    pub fn run(mut self, context: &Context, stop: &Stop) -> CaptureEnd {
        context.wait_for_go();
        let mut fault = self.source.start().err();
        let mut lost = false;
        context.seal();
        // BOUND: ends with the run; each turn waits at most IDLE_TURN.
        while fault.is_none() && !lost && !stop.asked() {
            let now = clock::now();
            context.beat.strike(now);
            self.take_home();
            if !self.next.has_room() {
                self.wait_for_home(context.wait, now);
                continue;
            }
            match self.wait(context.wait, now) {
                Ok(Readiness::Ready) => {}
                Ok(Readiness::TimedOut) => {
                    self.next.idle(now);
                    continue;
                }
                Ok(Readiness::NoSlot) => {
                    self.wait_for_home(context.wait, now);
                    continue;
                }
                Ok(Readiness::Ended) => break,
                Err(_) => {
                    lost = true;
                    break;
                }
            }
            let arrived = clock::now();
            match self.source.take(arrived) {
                Ok(Some(slot)) => self.pass_on(slot, arrived),
                Ok(None) => {}
                Err(_) => lost = true,
            }
        }
        context.unseal();
        if lost {
            fault = Some(self.lost());
        }
        self.end(fault)
    }

    fn wait(&mut self, policy: WaitPolicy, now: MonoTime) -> Result<Readiness, StepError> {
        let deadline = now + IDLE_TURN;
        if let Some(near) = policy.near(self.due)
            && near > now
        {
            // In the source, so that a frame that comes early is not left lying.
            let found = self.source.wait(near.min(deadline))?;
            if found != Readiness::TimedOut {
                return Ok(found);
            }
            self.source.rehearse();
            self.next.rehearse();
        }
        let spin_until = match (policy, self.due) {
            (WaitPolicy::Spin, _) => deadline,
            (WaitPolicy::Timed { late, .. }, Some(due)) => (due + late).min(deadline),
            _ => MonoTime::ZERO,
        };
        // BOUND: until `spin_until`, which is at most the deadline.
        while clock::now() < spin_until {
            let found = self.source.wait(MonoTime::ZERO)?;
            if found != Readiness::TimedOut {
                return Ok(found);
            }
            std::hint::spin_loop();
        }
        self.source.wait(deadline)
    }

    /// Waits until a slot comes home: whoever sends one has taken a frame from its link before.
    fn wait_for_home(&mut self, policy: WaitPolicy, now: MonoTime) {
        let homes = &self.homes;
        let came = || homes.iter().any(|home| !home.is_empty());
        self.home_bell.wait(policy, None, now + IDLE_TURN, came);
    }

    fn pass_on(&mut self, slot: Slot<Filled>, arrived: MonoTime) {
        let captured = slot.meta().captured;
        let mut trace = Trace::new(slot.meta().seq, self.source_index, captured, arrived);
        self.out += 1;
        let handed_over = clock::now();
        trace.stamp(Mark::HandedOver, handed_over);
        let stale = self.next.deliver(Frame { slot, trace });
        // All that follows is bookkeeping; the frame is on its way.
        if let Some(stale) = stale {
            self.out -= 1;
            self.source.give_back(stale.slot.empty());
        }
        self.due = self
            .source
            .next_due()
            .or_else(|| Some(arrived + self.source.rate()?.period()));
        self.probe.record(Record::Step(record::Step {
            stage: Stage::Capture,
            source_index: self.source_index,
            outcome: Outcome::Ok,
            ready: captured,
            begin: arrived,
            end: handed_over,
            captured,
        }));
    }

    fn take_home(&mut self) {
        // BOUND: at most as many slots as the source owns.
        while let Some(slot) = next_home(&mut self.homes) {
            self.out -= 1;
            self.source.give_back(slot);
        }
    }

    /// The source said that it is lost for good.
    fn lost(&self) -> Fault {
        Fault::new(
            Kind::Lost,
            format!("the source was lost: {}", self.source.describe()),
            "the device or file reported an error that it cannot recover from",
            "check the cable and `dmesg`, then start the run again",
        )
    }

    /// Ends the stream: the next stage sees its link abandoned, works off what is in it, and the slots
    /// come home.
    fn end(self, fault: Option<Fault>) -> CaptureEnd {
        let Self {
            mut source,
            next,
            mut homes,
            mut out,
            ..
        } = self;
        drop(next);
        let deadline = clock::now() + HOME_WAIT;
        while out > 0 && clock::now() < deadline {
            match next_home(&mut homes) {
                Some(slot) => {
                    out -= 1;
                    source.give_back(slot);
                }
                None => clock::sleep_until(clock::now() + Nanos::from_micros(200)),
            }
        }
        source.stop();
        let interruptions = source.interruptions();
        let away = interruptions.0.last().filter(|last| last.resumed.is_none());
        CaptureEnd {
            slots_out: out,
            fault: fault.or_else(|| away.map(|away| still_away(&*source, away))),
            notes: source.notes(),
            interruptions,
        }
    }
}

/// The next slot that came home, either way.
fn next_home(homes: &mut [EveryReader<Slot<Empty>>]) -> Option<Slot<Empty>> {
    homes.iter_mut().find_map(EveryReader::pop)
}

/// The run has ended while the source was interrupted.
fn still_away(source: &dyn Source, away: &Interruption) -> Fault {
    Fault::new(
        Kind::Lost,
        format!(
            "at the end of the run the source was away: {}",
            source.describe()
        ),
        format!(
            "{}; the last good frame came {} before that was noticed",
            away.cause.name(),
            away.detected - away.last_frame
        ),
        "check the cable and `dmesg`; the report tells what was tried",
    )
}
