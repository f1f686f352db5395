//! How the actions of two recordings differ, joint by joint.
//!
//! Thread: main. Allocates: yes. Blocks: no.

use std::collections::BTreeMap;
use std::fmt;

use super::recorded::Recorded;
use super::tap::Beat;
use crate::sensor::DOF_MAX;

/// One joint's differences, in the robot's own unit (joints: radian).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Joint {
    pub max: f64,
    pub mean: f64,
    /// Seconds from the first beat to the largest difference.
    pub max_at: f64,
    /// Seconds from the first beat to the first difference.
    pub first_at: Option<f64>,
}

/// How two recordings' actions differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Beats that both have, by their number.
    pub beats: u64,
    /// Those whose targets or rung are not the same.
    pub different: u64,
    /// Those whose rung is not the same.
    pub rungs: u64,
    /// Beats that only the first, or only the second has.
    pub only: [u64; 2],
    pub joints: Vec<Joint>,
    /// Seconds from the first beat to the first difference.
    pub first_at: Option<f64>,
}

impl Difference {
    pub fn is_same(&self) -> bool {
        self.different == 0 && self.only == [0, 0]
    }
}

/// Compares beat by beat, by the number that the action clock gave them: two replays of one recording have the same, and
/// two runs' first beats count as one instant.
pub fn diff(a: &Recorded, b: &Recorded) -> Difference {
    let [first, second] = [a, b].map(|recorded| {
        let beats = recorded.beats.iter();
        beats
            .map(|b| (b.action.tick, b))
            .collect::<BTreeMap<_, _>>()
    });
    let mut difference = Difference::default();
    let begin = a.beats.first().map_or(0, |beat| beat.action.at.0);
    for (tick, beat) in &first {
        match second.get(tick) {
            Some(other) => difference.add(seconds(beat.action.at.0 - begin), beat, other),
            None => difference.only[0] += 1,
        }
    }
    difference.only[1] = second.keys().filter(|t| !first.contains_key(t)).count() as u64;
    for joint in &mut difference.joints {
        joint.mean /= count(difference.beats);
    }
    difference
}

impl Difference {
    fn add(&mut self, at: f64, a: &Beat, b: &Beat) {
        let (a, b) = (&a.action, &b.action);
        let dof = usize::from(a.dof.max(b.dof)).min(DOF_MAX);
        self.joints
            .resize(dof.max(self.joints.len()), Joint::default());
        let mut differs = a.rung != b.rung || a.dof != b.dof;
        self.rungs += u64::from(a.rung != b.rung);
        for (joint, (x, y)) in self.joints.iter_mut().zip(a.targets.iter().zip(&b.targets)) {
            let apart = (f64::from(*x) - f64::from(*y)).abs();
            joint.mean += apart;
            if apart > joint.max {
                (joint.max, joint.max_at) = (apart, at);
            }
            if x.to_bits() != y.to_bits() {
                differs = true;
                joint.first_at.get_or_insert(at);
            }
        }
        self.beats += 1;
        if differs {
            self.different += 1;
            self.first_at.get_or_insert(at);
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (beats, different) = (self.beats, self.different);
        if self.is_same() {
            return write!(f, "{beats} actions, all identical");
        }
        let share = 100.0 * count(different) / count(beats);
        write!(
            f,
            "{beats} actions, {different} of them different ({share:.1} %)"
        )?;
        if let Some(first) = self.first_at {
            write!(f, ", the first {first:.3} s after the first action")?;
        }
        writeln!(f, "\n{} actions of another rung", self.rungs)?;
        for (only, which) in self.only.iter().zip(["first", "second"]) {
            if *only > 0 {
                writeln!(f, "{only} actions are in the {which} only")?;
            }
        }
        write!(f, "\njoint        max       at s       mean   first at s")?;
        for (index, joint) in self.joints.iter().enumerate() {
            let first = joint
                .first_at
                .map_or_else(|| "never".to_owned(), |at| format!("{at:.3}"));
            write!(
                f,
                "\n{index:>5} {:>10.6} {:>10.3} {:>10.6} {first:>12}",
                joint.max, joint.max_at, joint.mean
            )?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn count(count: u64) -> f64 {
    count.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}
