//! What a user says about the action clock, its limits and its ladder, checked before the first tick.
//!
//! Thread: main, before the run. Allocates: yes. Blocks: no.

use std::fmt;

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use crate::error::{Fault, Kind, Result};
use crate::sensor::DOF_MAX;
use crate::units::{Hertz, Nanos};

/// `[action]` of the configuration.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionConfig {
    /// Ticks of the action clock, Hz, 1 to 1000. Default 100.
    #[serde(deserialize_with = "tick_rate")]
    pub rate: Hertz,
    /// What a target means to the robot. Default `"position"`.
    pub mode: Mode,
    /// Smallest position, one value for all joints or one a joint (radian). Default -pi. Position mode only.
    pub position_min: Option<PerJoint>,
    /// Largest position, as above. Default pi. Position mode only.
    pub position_max: Option<PerJoint>,
    /// Where the joints are as the run begins, one value a joint (radian). Default: where the first sensor says
    /// that they are. Position mode only.
    #[serde(deserialize_with = "finite")]
    pub start: Option<Vec<f32>>,
    /// How long the first sensor may take to say that, above 0, up to 1 h; until it has, nothing is commanded.
    /// Default 5 s.
    #[serde(deserialize_with = "above_zero_to_an_hour")]
    pub start_within: Nanos,
    /// Largest speed (radian/s), above 0. Default 2.
    #[serde(deserialize_with = "above_zero")]
    pub velocity_max: PerJoint,
    /// Largest change of speed (radian/s²), above 0; also how hard a hold brakes. Default 10.
    #[serde(deserialize_with = "above_zero")]
    pub acceleration_max: PerJoint,
    /// A chunk with a value this many ranges outside its joint's range is refused whole; nearer values are
    /// cut to the range. 0 to 1000. Default 1.
    #[serde(deserialize_with = "range_count")]
    pub refuse_beyond: f32,
    /// A chunk is fresh while its data (the camera frame) is at most this old. Default 150 ms.
    #[serde(deserialize_with = "above_zero_time")]
    pub fresh_within: Nanos,
    /// The rest of an old chunk is played until its data is this old. Default 500 ms.
    #[serde(deserialize_with = "above_zero_time")]
    pub hold_after: Nanos,
    /// The safe action begins when the newest data is this old. Default 2 s.
    #[serde(deserialize_with = "above_zero_time")]
    pub stop_after: Nanos,
    /// The safe action begins when no chunk at all came this long after the first tick. Default 10 s.
    #[serde(deserialize_with = "above_zero_time")]
    pub first_chunk_within: Nanos,
    /// A chunk that begins later than this from now is refused: its clock cannot be right. Default 1 s.
    #[serde(deserialize_with = "above_zero_time")]
    pub begin_within: Nanos,
    /// Once stopped, stay stopped until an operator's reset (SIGUSR1). Default true.
    pub latch: bool,
    /// What to do in the end. Default `"rest"`.
    pub safe: SafeAction,
    /// Share of `velocity_max` used to go to the safe position, above 0 to 1. Default 0.25.
    #[serde(deserialize_with = "share")]
    pub safe_speed: f32,
}

impl Default for ActionConfig {
    fn default() -> Self {
        Self {
            rate: Hertz::new(100.0).expect("100 Hz is a rate"),
            mode: Mode::Position,
            position_min: None,
            position_max: None,
            start: None,
            start_within: Nanos::from_secs(5),
            velocity_max: PerJoint::All(2.0),
            acceleration_max: PerJoint::All(10.0),
            refuse_beyond: 1.0,
            fresh_within: Nanos::from_millis(150),
            hold_after: Nanos::from_millis(500),
            stop_after: Nanos::from_secs(2),
            first_chunk_within: Nanos::from_secs(10),
            begin_within: Nanos::from_secs(1),
            latch: true,
            safe: SafeAction::Rest,
            safe_speed: 0.25,
        }
    }
}

impl ActionConfig {
    /// Refuses combinations that no single field can see.
    pub fn check(&self, dof: u8) -> Result<()> {
        if dof == 0 || usize::from(dof) > DOF_MAX {
            return refuse(
                format!("the policy has {dof} values an action"),
                "an action carries 1 to 16 values",
                "use a policy with 1 to 16 values",
            );
        }
        self.check_together()?;
        match &self.safe {
            SafeAction::GoTo(target) if target.len() != usize::from(dof) => refuse(
                format!("action.safe.go_to has {} values", target.len()),
                &format!("the policy has {dof} joints"),
                "write one position a joint",
            ),
            _ => Ok(()),
        }
    }

    /// The same, as far as it can be said without knowing the policy.
    pub fn check_together(&self) -> Result<()> {
        if self.fresh_within > self.hold_after || self.hold_after > self.stop_after {
            return refuse(
                format!(
                    "action.fresh_within = {}, action.hold_after = {}, action.stop_after = {}",
                    self.fresh_within, self.hold_after, self.stop_after
                ),
                "the ladder goes down as data ages: fresh, then hold, then stop",
                "make fresh_within <= hold_after <= stop_after",
            );
        }
        let limits = [
            ("action.position_min", &self.position_min),
            ("action.position_max", &self.position_max),
        ];
        let set = limits.iter().find(|(_, limit)| limit.is_some());
        if let (Mode::Velocity, Some((key, _))) = (self.mode, set) {
            return refuse(
                format!("{key} is set in velocity mode"),
                "a velocity command does not say where the joint is, so the limit could not be kept",
                "remove it and set end stops in the robot's own controller, or use mode = \"position\"",
            );
        }
        if self.mode == Mode::Velocity && self.start.is_some() {
            return refuse(
                "action.start is set in velocity mode".into(),
                "a velocity command begins at rest, wherever the joint is",
                "remove it, or use mode = \"position\"",
            );
        }
        if self.mode == Mode::Velocity && matches!(self.safe, SafeAction::GoTo(_)) {
            return refuse(
                "action.safe = { go_to = … } is set in velocity mode".into(),
                "velocities cannot be made to end at a position without a position to look at",
                "use safe = \"rest\", which ramps to zero",
            );
        }
        Ok(())
    }
}

fn refuse(what: String, why: &str, fix: &str) -> Result<()> {
    Err(Fault::new(Kind::Config, what, why, fix))
}

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Where the joint shall be (radian). Without new data the joint brakes and holds.
    Position,
    /// How fast it shall turn (radian/s). Without new data the velocity is ramped to zero.
    Velocity,
}

/// The end of the ladder.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SafeAction {
    /// Come to rest at the acceleration limit and stay: a held position, or velocity zero.
    Rest,
    /// Go to this position at `safe_speed` and stay. Position mode only.
    GoTo(Vec<f32>),
}

/// One value for every joint, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub enum PerJoint {
    All(f32),
    Each(Vec<f32>),
}

impl PerJoint {
    fn values(&self) -> &[f32] {
        match self {
            Self::All(value) => std::slice::from_ref(value),
            Self::Each(values) => values,
        }
    }

    /// The value of each joint; the rest of the array repeats the last one.
    pub(super) fn spread(&self, name: &str, dof: u8) -> Result<[f32; DOF_MAX]> {
        match self {
            Self::All(value) => Ok([*value; DOF_MAX]),
            Self::Each(values) if values.len() == usize::from(dof) => {
                let last = values.last().copied().unwrap_or_default();
                Ok(std::array::from_fn(|j| {
                    values.get(j).copied().unwrap_or(last)
                }))
            }
            Self::Each(values) => Err(Fault::new(
                Kind::Config,
                format!("action.{name} has {} values", values.len()),
                format!("the policy has {dof} joints"),
                "write one value for all joints, or a list with one value a joint",
            )),
        }
    }
}

impl<'de> serde::Deserialize<'de> for PerJoint {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = PerJoint;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a list with one number a joint")
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "f32 is what robots are told"
            )]
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<PerJoint, E> {
                let value = value as f32;
                if !value.is_finite() {
                    return Err(E::custom("the number must be finite"));
                }
                Ok(PerJoint::All(value))
            }
            #[expect(clippy::cast_precision_loss, reason = "limits are small numbers")]
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<PerJoint, E> {
                self.visit_f64(value as f64)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<PerJoint, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element::<f32>()? {
                    if !value.is_finite() {
                        return Err(A::Error::custom("the numbers must be finite"));
                    }
                    values.push(value);
                }
                Ok(PerJoint::Each(values))
            }
        }
        d.deserialize_any(OneOrMany)
    }
}

// The checks below stand in the deserialisers, so that the error names the line of the file.

fn tick_rate<'de, D: Deserializer<'de>>(d: D) -> Result<Hertz, D::Error> {
    let rate: Hertz = serde::Deserialize::deserialize(d)?;
    if !(1.0..=1000.0).contains(&rate.get()) {
        return Err(D::Error::custom(format!(
            "the action clock can run at 1 to 1000 Hz, not at {rate}"
        )));
    }
    Ok(rate)
}

fn above_zero<'de, D: Deserializer<'de>>(d: D) -> Result<PerJoint, D::Error> {
    let values: PerJoint = serde::Deserialize::deserialize(d)?;
    match values.values().iter().find(|v| **v <= 0.0) {
        Some(value) => Err(D::Error::custom(format!(
            "{value} is not a limit: it must be above 0"
        ))),
        None => Ok(values),
    }
}

fn above_zero_time<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    let time: Nanos = serde::Deserialize::deserialize(d)?;
    if time <= Nanos::ZERO {
        return Err(D::Error::custom(format!(
            "{time} is not a time-out: it must be above 0"
        )));
    }
    Ok(time)
}

fn above_zero_to_an_hour<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    let time = above_zero_time(d)?;
    if time > Nanos::from_secs(3600) {
        return Err(D::Error::custom(format!(
            "{time} is too long to wait: write at most an hour"
        )));
    }
    Ok(time)
}

fn finite<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<f32>>, D::Error> {
    let values: Vec<f32> = serde::Deserialize::deserialize(d)?;
    match values.iter().find(|v| !v.is_finite()) {
        Some(value) => Err(D::Error::custom(format!(
            "{value} is not a position: the numbers must be finite"
        ))),
        None => Ok(Some(values)),
    }
}

fn range_count<'de, D: Deserializer<'de>>(d: D) -> Result<f32, D::Error> {
    let count: f32 = serde::Deserialize::deserialize(d)?;
    if !(0.0..=1000.0).contains(&count) {
        return Err(D::Error::custom(format!(
            "{count} is not a number of ranges: write 0 to 1000"
        )));
    }
    Ok(count)
}

fn share<'de, D: Deserializer<'de>>(d: D) -> Result<f32, D::Error> {
    let share: f32 = serde::Deserialize::deserialize(d)?;
    if !(share > 0.0 && share <= 1.0) {
        return Err(D::Error::custom(format!(
            "{share} is not a share: write a number above 0, up to 1"
        )));
    }
    Ok(share)
}
