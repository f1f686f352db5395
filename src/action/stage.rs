//! The action stage: on every beat of an absolute clock, one action to the robot.
//!
//! It never waits for fusion: it plays the newest chunk there is, and falls down the ladder when none comes.
//!
//! Thread: action, the highest priority. Allocates: when built. Blocks: only until the next beat. Locks: no.
//! Syscalls: `clock_nanosleep` until the beat, and the sink's write.

use crate::action::player::Player;
use crate::action::{Chunk, Sink};
use crate::clock;
use crate::link::{EveryWriter, NewestReader};
use crate::record::tap::{ActionTap, Beat};
use crate::rt::signal;
use crate::rt::stop::Stop;
use crate::rt::thread::Context;
use crate::rt::wait::WaitPolicy;
use crate::telemetry::probe::Probe;
use crate::telemetry::record::{self, Record};
use crate::telemetry::trace::{Mark, Trace};
use crate::units::{MonoTime, Nanos};

/// See the module.
pub struct ActionStage {
    player: Player,
    sink: Box<dyn Sink>,
    chunks: NewestReader<Box<Chunk>>,
    chunks_home: EveryWriter<Box<Chunk>>,
    /// Capture time of the frame behind the chunk that is played.
    captured: MonoTime,
    /// Operator's resets that have been obeyed, or came too early.
    resets: u32,
    probe: Probe,
    tap: Option<ActionTap>,
}

/// A beat of the action clock.
struct Due {
    tick: u64,
    scheduled: MonoTime,
    begin: MonoTime,
    /// Beats skipped just before.
    missed: u32,
    /// An operator's reset was obeyed just before.
    reset: bool,
    /// The run is ending.
    stopping: bool,
}

impl ActionStage {
    pub fn new(
        player: Player,
        sink: Box<dyn Sink>,
        chunks: NewestReader<Box<Chunk>>,
        chunks_home: EveryWriter<Box<Chunk>>,
        probe: Probe,
    ) -> Self {
        Self {
            player,
            sink,
            chunks,
            chunks_home,
            captured: MonoTime::ZERO,
            resets: signal::resets(),
            probe,
            tap: None,
        }
    }

    /// The run is recorded.
    pub fn with_tap(mut self, tap: Option<ActionTap>) -> Self {
        self.tap = tap;
        self
    }

    /// Runs until asked to stop, then until the ladder has ended in the safe action.
    /// Returns the sink, so that main can close it.
    pub fn run(mut self, context: &Context, stop: &Stop) -> Box<dyn Sink> {
        context.wait_for_go();
        context.seal();
        let mut tick = self.player.first_number();
        let mut stopping = 0;
        let mut scheduled = clock::now() + self.player.period();
        let mut missed = 0;
        // BOUND: ends with the run plus the beats that the player needs to come to rest.
        loop {
            self.wait_until(context.wait, scheduled);
            let begin = clock::now();
            context.beat.strike(begin);
            let reset = self.obey_operator();
            self.beat(&Due {
                tick,
                scheduled,
                begin,
                missed,
                reset,
                stopping: stopping > 0,
            });
            if stop.asked() {
                if stopping == 0 {
                    self.player.begin_stop();
                }
                stopping += 1;
                if self.player.stopped() || stopping > self.player.stop_ticks_max() {
                    break;
                }
            }
            (missed, scheduled) = self.next_beat(scheduled, clock::now());
            tick += 1 + u64::from(missed);
        }
        context.unseal();
        self.sink
    }

    /// True if a reset came. Where nothing was stopped, or the run ends, there is nothing to reset.
    fn obey_operator(&mut self) -> bool {
        let resets = signal::resets();
        let came = resets != self.resets;
        if came {
            self.resets = resets;
            self.player.reset();
        }
        came
    }

    fn beat(&mut self, due: &Due) {
        let &Due {
            tick,
            scheduled,
            begin,
            missed,
            ..
        } = due;
        let chunk = self.chunks.pop();
        let played = self.player.tick(tick, scheduled, chunk.as_deref());
        let written = self.sink.write(&played.action);
        let done = clock::now();
        if let Some(tap) = &mut self.tap {
            let beat = Beat {
                action: played.action,
                begin,
                written: done,
                missed,
                chunk: chunk.as_ref().map(|chunk| chunk.trace.seq),
                refused: played.refused,
                reset: due.reset,
                stopping: due.stopping,
                write_failed: written.err(),
            };
            tap.tell(beat, chunk.as_deref());
        }
        if let Some(chunk) = chunk {
            // The way home has room for every chunk; where fusion has gone, the chunk stays in it.
            drop(self.chunks_home.push(chunk));
        }
        if let Some(mut trace) = played.first_of {
            self.captured = trace.at(Mark::Captured);
            if written.is_ok() {
                self.finish(&mut trace, begin, done);
            }
        }
        self.probe.record(Record::Tick(record::Tick {
            number: tick,
            scheduled,
            begin,
            written: done,
            captured: self.captured,
            rung: played.action.rung,
            missed,
            write_failed: written.err(),
        }));
        if let Some((from, to)) = played.change {
            self.probe.record(Record::RungChange {
                at: scheduled,
                from,
                to,
            });
        }
    }

    /// The frame has come all the way.
    fn finish(&mut self, trace: &mut Trace, begin: MonoTime, written: MonoTime) {
        // On another core a chunk may become ready between the beat's begin and its look into the link.
        trace.stamp(Mark::ActionBegin, begin.max(trace.at(Mark::Fused)));
        trace.stamp(Mark::Written, written);
        self.probe.record(Record::Frame(*trace));
    }

    fn wait_until(&self, policy: WaitPolicy, beat: MonoTime) {
        let sleep_until = match policy {
            WaitPolicy::Spin => MonoTime::ZERO,
            WaitPolicy::Park { .. } => beat,
            WaitPolicy::Timed { lead, .. } => beat - lead,
        };
        clock::sleep_until(sleep_until);
        // BOUND: until the beat. A signal may end the sleep early; then this spins or sleeps the rest.
        while clock::now() < beat {
            if policy == (WaitPolicy::Park { spin: Nanos::ZERO }) {
                clock::sleep_until(beat);
            }
            std::hint::spin_loop();
        }
    }

    /// The first beat after now, and how many were skipped: a late thread does not fire a burst.
    fn next_beat(&self, last: MonoTime, now: MonoTime) -> (u32, MonoTime) {
        let period = self.player.period();
        let next = last + period;
        let behind = now - next;
        if behind < period {
            return (0, next);
        }
        let skipped = behind.0 / period.0;
        (
            u32::try_from(skipped).unwrap_or(u32::MAX),
            next + period * skipped,
        )
    }
}
