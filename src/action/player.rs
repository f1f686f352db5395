//! The clocked executor: each tick turns the newest chunk, or the lack of one, into one action.
//!
//! Thread: action. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: none.
//!
//! A tick reads no clock: it is given its own scheduled instant, so the same chunks at the same ticks give
//! the same actions. Whatever arrives, the actions keep the limits of position, velocity and acceleration;
//! a change of chunk or of rung cannot break them, because every rung moves the joints through the same
//! [`JointLimits`].

use super::config::{ActionConfig, Mode, SafeAction};
use super::ladder::{Ladder, Playing, Timeouts};
use super::limits::{JointLimits, Motion};
use super::schedule::{Schedule, runs_out, targets_at};
use super::{Action, ActionCounters, Chunk, Refusal, Rung};
use crate::error::{Fault, Kind, Result};
use crate::rt::sync::Arc;
use crate::sensor::DOF_MAX;
use crate::telemetry::trace::{Mark, Trace};
use crate::units::{MonoTime, Nanos};

/// What one tick did.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    pub action: Action,
    /// The way of the frame behind a chunk, on the tick that first plays it. The caller stamps the rest.
    pub first_of: Option<Trace>,
    /// The rung before and after, when it changed; it changed at `action.at`.
    pub change: Option<(Rung, Rung)>,
    /// Why the chunk given to this tick will not play.
    pub refused: Option<Refusal>,
}

/// See the module.
#[derive(Debug)]
pub struct Player {
    mode: Mode,
    dof: u8,
    period: Nanos,
    begin_within: Nanos,
    limits: [JointLimits; DOF_MAX],
    /// The range outside which a value makes its whole chunk unbelievable.
    believable: [(f64, f64); DOF_MAX],
    /// Where the safe action goes, at which speed; None: it only comes to rest.
    safe: Option<([f64; DOF_MAX], f64)>,
    ladder: Ladder,
    schedule: Schedule,
    joints: [Motion; DOF_MAX],
    /// How long the start position may be waited for; None: it is known.
    awaits_start: Option<Nanos>,
    start_within: Nanos,
    first_number: u64,
    /// The rung of the last action.
    told: Rung,
    frame_seq: u64,
    counters: Arc<ActionCounters>,
}

impl Player {
    /// `start` is where the joints are now, `dof` values (radian), unless the configuration says it; empty means
    /// all zero, which is for simulations only: a real robot would be told to jump there, so see
    /// [`await_start`](Self::await_start). In velocity mode the robot is taken to be at rest and `start` is not
    /// looked at.
    pub fn new(config: &ActionConfig, dof: u8, start: &[f32]) -> Result<Self> {
        config.check(dof)?;
        let limits = JointLimits::of(config, dof)?;
        let joints = match config.mode {
            Mode::Position => {
                start_positions(config.start.as_deref().unwrap_or(start), dof, &limits)?
            }
            Mode::Velocity => [Motion::default(); DOF_MAX],
        };
        let safe = match &config.safe {
            SafeAction::Rest => None,
            SafeAction::GoTo(target) => {
                Some((safe_target(target, &limits)?, f64::from(config.safe_speed)))
            }
        };
        let timeouts = Timeouts {
            fresh_within: config.fresh_within,
            hold_after: config.hold_after,
            stop_after: config.stop_after,
            first_chunk_within: config.first_chunk_within,
        };
        Ok(Self {
            mode: config.mode,
            dof,
            period: config.rate.period(),
            begin_within: config.begin_within,
            limits,
            believable: limits.map(|l| believable(&l, config.mode, config.refuse_beyond)),
            safe,
            ladder: Ladder::new(timeouts, config.latch),
            schedule: Schedule::new(dof),
            joints,
            awaits_start: None,
            start_within: config.start_within,
            first_number: 0,
            told: Rung::Hold,
            frame_seq: 0,
            counters: Arc::new(ActionCounters::default()),
        })
    }

    /// Nothing may be commanded before the first sensor has said where the joints are. The pipeline sees to it
    /// ([`start`](super::start)).
    pub fn await_start(&mut self) {
        self.awaits_start = (self.mode == Mode::Position).then_some(self.start_within);
    }

    /// How long the start position may be waited for; None when it is known.
    pub fn awaits_start(&self) -> Option<Nanos> {
        self.awaits_start
    }

    /// The joints are there now, at rest (radian). Values past the robot's joints are not looked at.
    ///
    /// # Errors
    /// Fewer values than joints, or one outside its limits.
    pub fn start_at(&mut self, position: &[f32]) -> Result<()> {
        let position = position.get(..usize::from(self.dof)).unwrap_or(position);
        if self.mode == Mode::Position {
            self.joints = start_positions(position, self.dof, &self.limits)?;
        }
        self.awaits_start = None;
        Ok(())
    }

    /// Where each joint is told to be now (radian); before the first tick, where the run begins.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a start is given in f32, so this is exact before the first tick"
    )]
    pub fn positions(&self) -> Vec<f32> {
        self.joints().map(|joint| joint.position as f32).collect()
    }

    /// The first tick of the run has this number, since those before it belong to earlier runs.
    pub fn count_from(&mut self, first_number: u64) {
        self.first_number = first_number;
    }

    pub fn first_number(&self) -> u64 {
        self.first_number
    }

    /// Time between ticks.
    pub fn period(&self) -> Nanos {
        self.period
    }

    pub fn rung(&self) -> Rung {
        self.ladder.rung()
    }

    /// What has been played and refused; any thread may read it.
    pub fn counters(&self) -> Arc<ActionCounters> {
        Arc::clone(&self.counters)
    }

    /// The run ends: the next tick begins the safe action, and nothing undoes it.
    pub fn begin_stop(&mut self) {
        self.ladder.begin_stop();
    }

    /// True once the safe action has been done: the robot is told to rest (at the safe position).
    pub fn stopped(&self) -> bool {
        self.ladder.rung() == Rung::SafeStop
            && self.joints().enumerate().all(|(j, joint)| {
                let there = self
                    .safe
                    .is_none_or(|(target, _)| joint.position == target[j]);
                there && joint.velocity == 0.0
            })
    }

    /// Ticks from `begin_stop` until `stopped`, at most.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates; a sum of positive counts"
    )]
    pub fn stop_ticks_max(&self) -> u64 {
        let ticks = self.limits[..usize::from(self.dof)]
            .iter()
            .map(|limits| match self.safe {
                Some((_, share)) => limits.travel_ticks_max(share * limits.velocity_max),
                None => limits.brake_ticks_max(),
            })
            .fold(0.0, f64::max);
        ticks as u64 + 1
    }

    /// An operator says that it may go on after a safe stop. False when it was not stopped, or the run ends.
    /// It holds until a new chunk comes. In a run it is SIGUSR1 that says so.
    pub fn reset(&mut self) -> bool {
        self.ladder.reset()
    }

    /// One beat of the action clock. `tick` counts beats, `at` is the scheduled instant of this one, and
    /// `newest` the chunk that came since the last.
    pub fn tick(&mut self, tick: u64, at: MonoTime, newest: Option<&Chunk>) -> Played {
        let refused = newest.and_then(|chunk| self.offer(chunk, at).err());
        let begins = self.schedule.advance(at);
        debug_assert!(self.awaits_start.is_none(), "the joints' place is unknown");
        let playing = self.schedule.playing().map(|chunk| Playing {
            age: at - chunk.trace.at(Mark::Captured),
            ended: runs_out(chunk) <= at,
            begins,
        });
        let rung = self.ladder.step(at, playing);
        let limited = match rung {
            Rung::Fresh | Rung::Tail => self.play(at),
            Rung::Hold => self.rest(),
            Rung::SafeStop => self.stop(),
        };
        let first_of = self.first_of(rung);
        let before = std::mem::replace(&mut self.told, rung);
        let change = (rung != before).then_some((before, rung));
        self.count(rung, change, limited);
        Played {
            action: self.action(tick, at, rung),
            first_of,
            change,
            refused,
        }
    }

    /// Checks a chunk whole, then schedules it.
    fn offer(&mut self, chunk: &Chunk, at: MonoTime) -> Result<(), Refusal> {
        self.counters.offered.add(1);
        let result = match self.believe(chunk) {
            Ok(()) if self.ladder.is_latched() => Err(Refusal::Stopped),
            Ok(()) => self.schedule.offer(chunk, at, self.begin_within),
            Err(refusal) => Err(refusal),
        };
        match result {
            Ok(()) => self.counters.accepted.add(1),
            Err(refusal) => self.counters.refused[refusal as usize].add(1),
        }
        result
    }

    fn believe(&self, chunk: &Chunk) -> Result<(), Refusal> {
        if chunk.steps().is_empty() {
            return Err(Refusal::Empty);
        }
        if chunk.dof != self.dof || chunk.step <= Nanos::ZERO {
            return Err(Refusal::BadShape);
        }
        let dof = usize::from(self.dof);
        // BOUND: CHUNK_STEPS_MAX times DOF_MAX values.
        for step in chunk.steps() {
            for (value, (min, max)) in step[..dof].iter().zip(&self.believable) {
                if !value.is_finite() {
                    return Err(Refusal::NotFinite);
                }
                if !(*min..=*max).contains(&f64::from(*value)) {
                    return Err(Refusal::OutOfRange);
                }
            }
        }
        Ok(())
    }

    /// Plays the chunk at this instant. True when a limit kept a joint from its target.
    fn play(&mut self, at: MonoTime) -> bool {
        let Some(chunk) = self.schedule.playing() else {
            return self.rest();
        };
        self.frame_seq = chunk.trace.seq;
        let targets = targets_at(chunk, at);
        let before = targets_at(chunk, at - self.period);
        let mut limited = false;
        for j in 0..usize::from(self.dof) {
            let (limits, joint) = (&self.limits[j], &mut self.joints[j]);
            limited |= match self.mode {
                Mode::Position => limits.follow(joint, before[j], targets[j], limits.velocity_max),
                Mode::Velocity => limits.steer(joint, targets[j]),
            };
        }
        limited
    }

    /// Brakes and holds, or ramps to zero.
    fn rest(&mut self) -> bool {
        for (limits, joint) in self.limits.iter().zip(&mut self.joints) {
            match self.mode {
                Mode::Position => limits.brake(joint),
                Mode::Velocity => {
                    limits.steer(joint, 0.0);
                }
            }
        }
        false
    }

    /// The safe action. Chunks from before it are forgotten: after a reset only new data may move the robot.
    fn stop(&mut self) -> bool {
        self.schedule.clear();
        let Some((target, share)) = self.safe else {
            return self.rest();
        };
        let joints = self.joints[..usize::from(self.dof)].iter_mut();
        for ((joint, limits), target) in joints.zip(&self.limits).zip(target) {
            limits.follow(joint, target, target, share * limits.velocity_max);
        }
        false
    }

    fn first_of(&mut self, rung: Rung) -> Option<Trace> {
        if !matches!(rung, Rung::Fresh | Rung::Tail) || !self.schedule.mark_played() {
            return None;
        }
        self.counters.played.add(1);
        self.schedule.playing().map(|chunk| chunk.trace)
    }

    fn count(&mut self, rung: Rung, change: Option<(Rung, Rung)>, limited: bool) {
        self.counters.ticks[rung as usize].add(1);
        if let Some((from, to)) = change {
            self.counters.changes[from as usize][to as usize].add(1);
        }
        self.counters.limited.add(u64::from(limited));
        let unplayed = &self.counters.unplayed;
        unplayed.add(self.schedule.unplayed() - unplayed.get());
    }

    fn joints(&self) -> impl Iterator<Item = &Motion> {
        self.joints[..usize::from(self.dof)].iter()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "computed in f64, sent as f32"
    )]
    fn action(&self, tick: u64, at: MonoTime, rung: Rung) -> Action {
        let mut targets = [0.0; DOF_MAX];
        for (target, joint) in targets.iter_mut().zip(self.joints()) {
            *target = match self.mode {
                Mode::Position => joint.position as f32,
                Mode::Velocity => joint.velocity as f32,
            };
        }
        Action {
            tick,
            at,
            rung,
            frame_seq: self.frame_seq,
            dof: self.dof,
            targets,
        }
    }
}

/// One range's width around the range, `refuse_beyond` times.
fn believable(limits: &JointLimits, mode: Mode, refuse_beyond: f32) -> (f64, f64) {
    let (min, max) = match mode {
        Mode::Position => (limits.position_min, limits.position_max),
        Mode::Velocity => (-limits.velocity_max, limits.velocity_max),
    };
    let margin = (max - min) * f64::from(refuse_beyond);
    (min - margin, max + margin)
}

fn start_positions(
    start: &[f32],
    dof: u8,
    limits: &[JointLimits; DOF_MAX],
) -> Result<[Motion; DOF_MAX]> {
    if !start.is_empty() && start.len() != usize::from(dof) {
        return Err(Fault::new(
            Kind::Config,
            format!(
                "the start position (action.start, or the first sensor's reading) has {} values",
                start.len()
            ),
            format!("the policy has {dof} joints"),
            "give one position a joint, or check that the sensor is the one of this robot",
        ));
    }
    let mut joints = [Motion::default(); DOF_MAX];
    for j in 0..usize::from(dof) {
        let position = f64::from(start.get(j).copied().unwrap_or(0.0));
        joints[j].position = inside(position, &limits[j], &format!("joint {j} starts at"))?;
    }
    Ok(joints)
}

fn safe_target(target: &[f32], limits: &[JointLimits; DOF_MAX]) -> Result<[f64; DOF_MAX]> {
    let mut safe = [0.0; DOF_MAX];
    for (j, position) in target.iter().enumerate() {
        let what = format!("action.safe.go_to sends joint {j} to");
        safe[j] = inside(f64::from(*position), &limits[j], &what)?;
    }
    Ok(safe)
}

fn inside(position: f64, limits: &JointLimits, what: &str) -> Result<f64> {
    let (min, max) = (limits.position_min, limits.position_max);
    if (min..=max).contains(&position) {
        return Ok(position);
    }
    Err(Fault::new(
        Kind::Config,
        format!("{what} {position}"),
        format!("that is outside its limits, {min} to {max}"),
        "move the robot inside its limits, or widen action.position_min and position_max",
    ))
}
