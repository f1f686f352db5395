//! A recorded run, once more: the same code, given the same bytes in the same order with the same instants.
//!
//! Thread: main. Allocates: yes. Blocks: on the disk, and for the pace.
//!
//! Nothing here reads a clock for what it computes: `now` is what the stages were told then. What the way decided by
//! chance (which frame, which reading before which step, which chunk on which beat) is taken from the recording; what it
//! computed (features, state, chunk, rung, action) is computed again and compared to the bit.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::Compared;
use super::encode::Encoders;
use super::message;
use super::recorded::{Did, Recorded};
use super::tap::{Beat, FusionStep, Numbered};
use crate::action::Chunk;
use crate::action::player::Player;
use crate::error::{Result, StepError};
use crate::fusion::decider::Decider;
use crate::telemetry::record::Outcome;
use crate::telemetry::trace::Mark;
use crate::units::MonoTime;

/// What is computed again.
pub enum Mind {
    /// All from the pixels on. `is_same`: it is the recorded run's, so it may take on what that one remembered.
    Whole {
        decider: Box<Decider>,
        encoders: Encoders,
        is_same: bool,
    },
    /// The action stage only; chunks are taken from the recording.
    Recorded,
}

/// What is shown while it runs: for a pace, or for a person.
pub trait Watcher {
    /// Fusion made a step, and so did the recorded run.
    fn step(&mut self, now: &FusionStep, then: &FusionStep, chunk: Option<&Chunk>);
    /// A beat is next.
    fn before_beat(&mut self, at: MonoTime);
    /// The action stage made a beat.
    fn beat(&mut self, now: &Beat, chunk: Option<&Chunk>);
}

/// How the replay came out.
#[derive(Clone, Debug)]
pub struct Outcomes {
    pub steps: Compared,
    pub chunks: Compared,
    pub actions: Compared,
    /// Steps that could not be computed, since their pictures are not recorded. What the policy remembered after them is, so
    /// those behind them are exact again.
    pub left_out: u64,
    /// Why fusion could not be replayed to its end.
    pub fusion_ended: Option<String>,
    /// Why the actions could not.
    pub actions_ended: Option<String>,
}

impl Outcomes {
    pub fn all(&self) -> [&Compared; 3] {
        [&self.steps, &self.chunks, &self.actions]
    }

    pub fn is_same(&self) -> bool {
        self.all().into_iter().all(Compared::is_same)
    }
}

/// See the module.
pub struct Replay<'a> {
    recorded: &'a mut Recorded,
    mind: Mind,
    player: Player,
    /// What fusion does next.
    next: usize,
    /// Chunks that no beat has taken, by frame.
    waiting: BTreeMap<u64, Waiting>,
    /// Frames whose steps were left out.
    left_out: BTreeSet<u64>,
    outcomes: Outcomes,
}

struct Waiting {
    chunk: Box<Chunk>,
    ready: MonoTime,
    /// The recorded run had no chunk of this frame, so it cannot tell which beat took it.
    is_new: bool,
}

impl<'a> Replay<'a> {
    /// `player` stands where the recorded one began.
    pub fn new(recorded: &'a mut Recorded, mind: Mind, player: Player, tolerance: f32) -> Self {
        Self {
            recorded,
            mind,
            player,
            next: 0,
            waiting: BTreeMap::new(),
            left_out: BTreeSet::new(),
            outcomes: Outcomes {
                steps: Compared::new("steps", tolerance),
                chunks: Compared::new("chunks", tolerance),
                actions: Compared::new("actions", tolerance),
                left_out: 0,
                fusion_ended: None,
                actions_ended: None,
            },
        }
    }

    /// Runs to the end of the recording.
    ///
    /// # Errors
    /// The disk's.
    pub fn run(mut self, watcher: &mut dyn Watcher) -> Result<Outcomes> {
        let beats = std::mem::take(&mut self.recorded.beats);
        let mut stopping = false;
        for (order, then) in (1..).zip(&beats) {
            watcher.before_beat(then.begin);
            self.fuse_until(then, watcher)?;
            let Some(chunk) = self.chunk_for(then) else {
                self.outcomes.actions_ended = Some(format!(
                    "the chunk of frame {} is neither recorded nor computed",
                    then.chunk.unwrap_or_default()
                ));
                break;
            };
            if then.stopping && !stopping {
                stopping = true;
                self.player.begin_stop();
            }
            if then.reset {
                self.player.reset();
            }
            let played = self
                .player
                .tick(then.action.tick, then.action.at, chunk.as_deref());
            let now = Beat {
                action: played.action,
                refused: played.refused,
                chunk: chunk.as_ref().map(|c| c.trace.seq),
                ..*then
            };
            self.compare_beat(order, then, &now);
            watcher.beat(&now, chunk.as_deref());
        }
        // BOUND: each turn does one thing that fusion did.
        while self.fuse(watcher)? {}
        let [fusion, actions] = self.recorded.after_gap;
        self.recorded.beats = beats;
        for (ended, after) in [
            (&mut self.outcomes.fusion_ended, fusion),
            (&mut self.outcomes.actions_ended, actions),
        ] {
            if after > 0 {
                ended.get_or_insert_with(|| {
                    format!("the recording has a gap; {after} messages come after it")
                });
            }
        }
        Ok(self.outcomes)
    }

    /// Does what fusion had done before this beat.
    fn fuse_until(&mut self, beat: &Beat, watcher: &mut dyn Watcher) -> Result<()> {
        // BOUND: each turn does one thing that fusion did.
        loop {
            let wanted = beat.chunk.filter(|seq| self.is_due(*seq));
            let is_before = match self.recorded.fusion.get(self.next) {
                Some(Did::Step(step)) => step.end <= beat.begin,
                Some(_) => true,
                None => false,
            };
            if (!is_before && wanted.is_none()) || !self.fuse(watcher)? {
                return Ok(());
            }
        }
    }

    /// Whether fusion has still to make its step on this frame. Frames come in order.
    fn is_due(&self, seq: u64) -> bool {
        let rest = self.recorded.fusion.get(self.next..).unwrap_or_default();
        let next = rest.iter().find_map(|did| match did {
            Did::Step(step) => Some(step.seq),
            _ => None,
        });
        next.is_some_and(|next| next <= seq)
    }

    /// Does the next thing that fusion did; false at the end.
    fn fuse(&mut self, watcher: &mut dyn Watcher) -> Result<bool> {
        let Some(did) = self.recorded.fusion.get(self.next).cloned() else {
            return Ok(false);
        };
        self.next += 1;
        match (did, &mut self.mind) {
            (Did::Step(then), Mind::Whole { .. }) if self.outcomes.fusion_ended.is_none() => {
                self.step(&then, watcher)?;
            }
            (Did::Read { sensor, reading }, Mind::Whole { decider, .. }) => {
                decider.read(usize::from(sensor), &reading);
            }
            (Did::Hear(instruction), Mind::Whole { decider, .. }) => decider.hear(*instruction),
            _ => {}
        }
        Ok(true)
    }

    fn step(&mut self, then: &FusionStep, watcher: &mut dyn Watcher) -> Result<()> {
        let Mind::Whole {
            decider,
            encoders,
            is_same,
        } = &mut self.mind
        else {
            return Ok(());
        };
        let features = match encoders.next(then.seq, self.recorded)? {
            Some(Ok(features)) => features,
            Some(Err(error)) => {
                self.outcomes.fusion_ended = Some(format!(
                    "frame {} could be encoded when it was recorded, and now cannot: {error:?}",
                    then.seq
                ));
                return Ok(());
            }
            None if *is_same && decider.recall(&then.memory) => {
                self.outcomes.left_out += 1;
                self.left_out.insert(then.seq);
                return Ok(());
            }
            None => {
                self.outcomes.fusion_ended = Some(format!(
                    "the picture of frame {} is not recorded; without it what the policy remembers is not known",
                    then.seq
                ));
                return Ok(());
            }
        };
        let mut chunk = Box::new(Chunk::new(decider.dof()));
        let decided = decider.decide(&features, &[], then.begin, &mut chunk);
        let now = FusionStep {
            outcome: outcome(decided, &chunk),
            state: decider.state(features.meta.captured),
            instruction_id: decider.instruction_id(),
            memory: decider.memory(),
            ..*then
        };
        self.outcomes.steps.add(
            &message::step(0, then),
            &message::step(0, &now),
            // What a policy remembers it has computed, on other processors with other roundings.
            || {
                let is_alike = FusionStep {
                    memory: then.memory,
                    ..now
                } == *then;
                is_alike.then_some(0.0)
            },
            || format!("frame {}: recorded {then:?}, replayed {now:?}", then.seq),
        );
        if now.outcome != Outcome::Ok {
            watcher.step(&now, then, None);
            return Ok(());
        }
        chunk.trace = features.trace;
        chunk.trace.stamp(Mark::FusionBegin, then.begin);
        chunk.trace.stamp(Mark::Fused, then.end);
        chunk.trace.instruction_id = now.instruction_id;
        self.compare_chunk(&chunk);
        watcher.step(&now, then, Some(&chunk));
        let waiting = Waiting {
            chunk,
            ready: then.end,
            is_new: then.outcome != Outcome::Ok,
        };
        self.waiting.insert(then.seq, waiting);
        Ok(())
    }

    /// The chunk that this beat takes; None if it took one that nobody knows.
    #[expect(
        clippy::option_option,
        reason = "no chunk, and none that is known, are two things"
    )]
    fn chunk_for(&mut self, beat: &Beat) -> Option<Option<Box<Chunk>>> {
        let is_whole =
            matches!(self.mind, Mind::Whole { .. }) && self.outcomes.fusion_ended.is_none();
        let Some(seq) = beat.chunk else {
            // What only this replay has made is taken as a run would: the newest that was ready.
            let ready = |w: &Waiting| w.is_new && w.ready <= beat.begin;
            let newest = self.waiting.iter().rev().find(|(_, w)| ready(w));
            let seq = newest.map(|(seq, _)| *seq);
            let taken = seq.and_then(|seq| self.waiting.remove(&seq));
            return Some(taken.map(|w| w.chunk));
        };
        let taken = self.waiting.remove(&seq);
        // Older ones have become stale.
        self.waiting = self.waiting.split_off(&seq);
        if let Some(waiting) = taken {
            return Some(Some(waiting.chunk));
        }
        let was_left_out = self.left_out.contains(&seq);
        self.left_out = self.left_out.split_off(&seq);
        let was_decided = self.recorded.steps().any(|step| step.seq == seq);
        if is_whole && was_decided && !was_left_out {
            // This policy had nothing to say.
            return Some(None);
        }
        let bytes = self.recorded.chunks.get(&seq)?;
        message::read_chunk(bytes).map(|chunk| Some(Box::new(chunk)))
    }

    fn compare_chunk(&mut self, now: &Chunk) {
        let Some(then) = self.recorded.chunks.get(&now.trace.seq) else {
            return;
        };
        let read = || message::read_chunk(then).unwrap_or_else(|| Chunk::new(0));
        let apart = || {
            let then = read();
            let values = then.steps().iter().zip(now.steps());
            let values = values.flat_map(|(a, b)| a.iter().zip(b));
            let is_alike = (then.begin, then.step, then.dof) == (now.begin, now.step, now.dof)
                && then.steps().len() == now.steps().len();
            is_alike.then(|| greatest(values))
        };
        self.outcomes
            .chunks
            .add(then, &message::chunk(now), apart, || {
                describe_chunks(&read(), now)
            });
    }

    fn compare_beat(&mut self, order: u64, then: &Beat, now: &Beat) {
        let bytes = |beat: &Beat| {
            message::action(&Numbered {
                order,
                event: *beat,
            })
        };
        let apart = || {
            let mut as_then = *now;
            as_then.action.targets = then.action.targets;
            let values = then.action.targets.iter().zip(&now.action.targets);
            (as_then == *then).then(|| greatest(values))
        };
        self.outcomes
            .actions
            .add(&bytes(then), &bytes(now), apart, || {
                let (a, b) = (&then.action, &now.action);
                format!(
                    "tick {}: recorded {} {:?}, replayed {} {:?}",
                    a.tick,
                    a.rung.name(),
                    a.targets(),
                    b.rung.name(),
                    b.targets()
                )
            });
    }
}

fn outcome(decided: Result<(), StepError>, chunk: &Chunk) -> Outcome {
    match decided {
        Err(error) => Outcome::Failed(error),
        Ok(()) if chunk.steps().is_empty() => Outcome::Dropped,
        Ok(()) => Outcome::Ok,
    }
}

/// How far two values are apart at most. Not a number where one of them is none, which is within no tolerance.
fn greatest<'a>(values: impl Iterator<Item = (&'a f32, &'a f32)>) -> f32 {
    values.fold(0.0, |greatest, (a, b)| {
        let apart = (a - b).abs();
        if apart.is_nan() || greatest.is_nan() {
            f32::NAN
        } else {
            apart.max(greatest)
        }
    })
}

fn describe_chunks(then: &Chunk, now: &Chunk) -> String {
    let seq = now.trace.seq;
    let pairs = then.steps().iter().zip(now.steps());
    let differ = pairs.enumerate().find(|(_, (a, b))| a != b);
    match differ {
        Some((step, (a, b))) => {
            let dof = usize::from(now.dof.min(then.dof));
            format!(
                "frame {seq}, step {step}: recorded {:?}, replayed {:?}",
                &a[..dof],
                &b[..dof]
            )
        }
        None => format!(
            "frame {seq}: recorded {} steps from {}, replayed {} from {}",
            then.steps().len(),
            then.begin.0,
            now.steps().len(),
            now.begin.0
        ),
    }
}
