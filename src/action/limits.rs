//! Moves each joint towards its target and never past its limits of position, velocity and acceleration.
//!
//! Thread: action. Allocates: no. Blocks: no. Locks: no. Syscalls: none.
//!
//! Time is counted in ticks of the nominal period, so a late or skipped tick can only make the robot slower
//! than its limits, never faster. With `A = acceleration * period`, the speed may change by `A` a tick.
//! A joint follows its chunk exactly while that keeps the limits. Otherwise it catches up as fast as it can
//! still brake: the speed (relative to the moving target) never exceeds the one from which it can come to
//! rest within the remaining gap by losing `A` a tick. The same bound towards each end stop keeps the joint
//! inside its range whatever it is told; see `JointLimits::speed_to_stop_within` for the sum.

use super::config::{ActionConfig, Mode};
use crate::error::{Fault, Kind, Result};
use crate::sensor::DOF_MAX;

/// Gaps below this are closed outright (radian): far below what a motor resolves, far above rounding.
const CLOSED: f64 = 1e-12;

/// What one joint may do. Units: radian, seconds.
#[derive(Clone, Copy, Debug)]
pub struct JointLimits {
    pub position_min: f64,
    pub position_max: f64,
    pub velocity_max: f64,
    /// Change of speed in one tick: acceleration times period.
    pub velocity_step: f64,
    /// Seconds a tick.
    pub period: f64,
}

/// Where one joint was told to be, and how fast it was told to get there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Motion {
    pub position: f64,
    pub velocity: f64,
}

impl JointLimits {
    /// The limits of all joints, from the configuration; entries past `dof` repeat the last joint.
    pub(super) fn of(config: &ActionConfig, dof: u8) -> Result<[Self; DOF_MAX]> {
        use super::config::PerJoint;
        let spread = |limit: &Option<PerJoint>, name, default| match limit {
            Some(limit) => limit.spread(name, dof),
            None => Ok([default; DOF_MAX]),
        };
        let pi = std::f32::consts::PI;
        let position_min = spread(&config.position_min, "position_min", -pi)?;
        let position_max = spread(&config.position_max, "position_max", pi)?;
        let velocity_max = config.velocity_max.spread("velocity_max", dof)?;
        let acceleration_max = config.acceleration_max.spread("acceleration_max", dof)?;
        let period = 1.0 / config.rate.get();
        for j in 0..usize::from(dof) {
            if config.mode == Mode::Position && position_min[j] >= position_max[j] {
                return Err(Fault::new(
                    Kind::Config,
                    format!(
                        "action.position_min and action.position_max let joint {j} go from {} to {}",
                        position_min[j], position_max[j]
                    ),
                    "the smallest position must be below the largest",
                    "swap or widen the two limits of this joint",
                ));
            }
        }
        Ok(std::array::from_fn(|j| Self {
            position_min: f64::from(position_min[j]),
            position_max: f64::from(position_max[j]),
            velocity_max: f64::from(velocity_max[j]),
            velocity_step: f64::from(acceleration_max[j]) * period,
            period,
        }))
    }

    /// The largest speed `w` at which a joint may make the next tick and still come to rest within `gap`.
    ///
    /// It then covers `period * (w + (w - A) + (w - 2A) + …)`, as long as the terms are positive. With `n`
    /// terms that is `period * (n*w - A*n*(n-1)/2)`, and `n` is the smallest count for which the distance
    /// from `w = n*A`, `period * A * n*(n+1)/2`, reaches the gap.
    fn speed_to_stop_within(&self, gap: f64) -> f64 {
        if gap <= 0.0 {
            return 0.0;
        }
        let ratio = gap / (self.period * self.velocity_step);
        let n = (((1.0 + 8.0 * ratio).sqrt() - 1.0) / 2.0).ceil().max(1.0);
        (gap / self.period + self.velocity_step * n * (n - 1.0) / 2.0) / n
    }

    /// One tick towards a target that was at `before` one tick ago and is at `target` now, no faster than
    /// `speed_max`. Returns true when a limit kept the joint from being where it was told to be.
    pub fn follow(&self, joint: &mut Motion, before: f64, target: f64, speed_max: f64) -> bool {
        let (min, max) = (self.position_min, self.position_max);
        let (told, target) = (target, target.clamp(min, max));
        let before = before.clamp(min, max);
        let gap = before - joint.position;
        let catch_up = self.speed_to_stop_within(gap.abs()).copysign(gap);
        let wanted = (target - before) / self.period + catch_up;

        let up = speed_max.min(self.speed_to_stop_within(max - joint.position));
        let down = speed_max.min(self.speed_to_stop_within(joint.position - min));
        self.advance(joint, wanted.clamp(-down, up));
        if (joint.position - target).abs() < CLOSED {
            joint.position = target;
        }
        (joint.position - told).abs() > CLOSED
    }

    /// One tick of braking, at the full acceleration, to rest.
    pub fn brake(&self, joint: &mut Motion) {
        self.advance(joint, 0.0);
    }

    /// One tick of a velocity command. Returns true when a limit kept it from being what was told.
    pub fn steer(&self, joint: &mut Motion, velocity: f64) -> bool {
        let wanted = velocity.clamp(-self.velocity_max, self.velocity_max);
        joint.velocity = self.reachable(joint.velocity, wanted);
        (joint.velocity - velocity).abs() > CLOSED
    }

    fn advance(&self, joint: &mut Motion, wanted: f64) {
        joint.velocity = self.reachable(joint.velocity, wanted);
        let position = joint.position + joint.velocity * self.period;
        // The speed bounds already keep the joint inside; this catches the last bit of rounding.
        joint.position = position.clamp(self.position_min, self.position_max);
    }

    /// The speed nearest to `wanted` that the acceleration limit allows. Since it lies between `wanted`
    /// and the present speed, a velocity limit that both keep is kept.
    fn reachable(&self, velocity: f64, wanted: f64) -> f64 {
        wanted.clamp(velocity - self.velocity_step, velocity + self.velocity_step)
    }

    /// Ticks that braking from full speed takes, at most.
    pub fn brake_ticks_max(&self) -> f64 {
        (self.velocity_max / self.velocity_step).ceil() + 1.0
    }

    /// Ticks that going to any position inside the range takes at `speed_max`, at most: brake, turn back,
    /// speed up, cross the whole range, slow down; and one for each rounding up.
    pub fn travel_ticks_max(&self, speed_max: f64) -> f64 {
        let ramps = 2.0 * (speed_max / self.velocity_step).ceil();
        let range = self.position_max - self.position_min;
        self.brake_ticks_max() + ramps + (range / (speed_max * self.period)).ceil() + 4.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: JointLimits = JointLimits {
        position_min: -1.0,
        position_max: 1.0,
        velocity_max: 2.0,
        velocity_step: 0.1,
        period: 0.01,
    };

    /// Lets the sum run, instead of trusting its closed form.
    fn distance_until_rest(mut speed: f64) -> f64 {
        let mut distance = 0.0;
        while speed > 0.0 {
            distance += speed * LIMITS.period;
            speed -= LIMITS.velocity_step;
        }
        distance
    }

    #[test]
    fn the_speed_to_stop_within_a_gap_uses_the_whole_gap() {
        for i in 1..10_000 {
            let gap = f64::from(i) * 0.000_123;
            let speed = LIMITS.speed_to_stop_within(gap);
            let distance = distance_until_rest(speed);
            assert!(
                (distance - gap).abs() < 1e-9,
                "gap {gap}: speed {speed} needs {distance}"
            );
        }
        assert!(LIMITS.speed_to_stop_within(0.0) == 0.0);
    }

    #[test]
    fn a_joint_reaches_a_far_target_without_overshoot_and_rests_on_it() {
        let mut joint = Motion::default();
        for _ in 0..1000 {
            LIMITS.follow(&mut joint, 0.7, 0.7, LIMITS.velocity_max);
            assert!(joint.position <= 0.7);
        }
        assert_eq!(joint.velocity, 0.0);
        assert_eq!(joint.position, 0.7);
    }

    #[test]
    fn a_target_beyond_the_end_stop_ends_at_the_end_stop() {
        let mut joint = Motion::default();
        for _ in 0..1000 {
            assert!(LIMITS.follow(&mut joint, 5.0, 5.0, LIMITS.velocity_max));
        }
        assert_eq!(joint.position, 1.0);
        assert_eq!(joint.velocity, 0.0);
    }

    #[test]
    fn travel_ends_within_its_bound_from_any_start_to_any_end() {
        for (from, to, velocity) in [
            (-1.0, 1.0, 0.0),
            (0.0, -1.0, 2.0),
            (0.5, -1.0, 2.0),
            (-0.5, 1.0, -1.9),
        ] {
            let mut joint = Motion {
                position: from,
                velocity,
            };
            let speed = 0.5;
            let mut ticks = 0.0;
            while joint.velocity != 0.0 || joint.position != to {
                LIMITS.follow(&mut joint, to, to, speed);
                ticks += 1.0;
                assert!(ticks <= LIMITS.travel_ticks_max(speed), "{from} to {to}");
            }
        }
    }
}
