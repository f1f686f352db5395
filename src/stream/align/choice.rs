//! How a stream answers for an instant, and how an answer came about.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::units::Nanos;

/// How a lane answers for an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice<T> {
    /// The last element at or before the instant, at most `max_age` old.
    Hold { max_age: Nanos },
    /// The element nearest to the instant, at most `tolerance` from it, both directions included. Of two equally near the
    /// earlier; of two with the same stamp the one with the higher number. As pandas' `merge_asof` in direction `nearest`.
    Nearest { tolerance: Nanos },
    /// On the line between the last element at or before the instant and the first after it, at most `max_gap` apart.
    Interpolate { max_gap: Nanos },
    /// Behind the latest element the value goes on as between the last two, at most `max_gap` apart, for at most
    /// `max_ahead`. Made up, and marked so.
    Predict { max_ahead: Nanos, max_gap: Nanos },
    /// The element that lies latest, wherever the instant lies. Depends on what has arrived, so it is settled at once.
    Latest,
    /// This value.
    Default(T),
}

/// How an answer was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// An element of exactly this instant.
    Exact,
    /// The nearest element, so far from the instant (negative: before it).
    Nearest(Nanos),
    /// Held since so long before the instant.
    Held(Nanos),
    /// Between two elements so far apart.
    Interpolated(Nanos),
    /// Gone on so far beyond the latest element.
    Predicted(Nanos),
    /// The element that lies latest, so far from the instant (negative: before it).
    Latest(Nanos),
    /// Nobody said anything usable; the configured value.
    Default,
    /// Nobody said anything usable.
    #[default]
    Missing,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer<T> {
    /// None exactly if the status is [`Status::Missing`].
    pub value: Option<T>,
    pub status: Status,
    /// Nothing that may still come on time can change it.
    pub is_settled: bool,
    /// The runtime made up (a part of) what it was found from.
    pub is_filled: bool,
}

impl<T> Answer<T> {
    pub fn missing(is_settled: bool) -> Self {
        Self {
            value: None,
            status: Status::Missing,
            is_settled,
            is_filled: false,
        }
    }
}

/// Values that have something between them.
pub trait Between: Copy {
    /// The value at `share` of the way from `self` to `other`; above 1 beyond `other`.
    fn between(&self, other: &Self, share: f64) -> Self;
}

impl Between for f64 {
    fn between(&self, other: &Self, share: f64) -> Self {
        self + (other - self) * share
    }
}

impl Between for f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "computed in f64, given as what came in"
    )]
    fn between(&self, other: &Self, share: f64) -> Self {
        f64::from(*self).between(&f64::from(*other), share) as Self
    }
}

/// The rotation at `share` of the way from one unit quaternion to another, along the shorter arc at an even rate
/// (Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985). The order of the components does not matter.
pub fn slerp(from: [f64; 4], to: [f64; 4], share: f64) -> [f64; 4] {
    let dot: f64 = from.iter().zip(&to).map(|(a, b)| a * b).sum();
    // q and -q are the same rotation: take the one that is nearer.
    let sign = if dot < 0.0 { -1.0 } else { 1.0 };
    let angle = dot.abs().min(1.0).acos();
    // Below a millionth of a radian the arc is a straight line in double precision, and its sine is too small to divide by.
    let (a, b) = if angle < 1e-6 {
        (1.0 - share, share)
    } else {
        let sine = angle.sin();
        (
            ((1.0 - share) * angle).sin() / sine,
            (share * angle).sin() / sine,
        )
    };
    let mut out = [0.0; 4];
    for (out, (from, to)) in out.iter_mut().zip(from.iter().zip(&to)) {
        *out = a * from + b * sign * to;
    }
    let length = out.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length > 0.0 {
        out.iter_mut().for_each(|x| *x /= length);
    }
    out
}
