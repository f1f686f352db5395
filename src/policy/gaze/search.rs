//! Where to look for something that is not in view: rows across the whole range, from the nearest end, once.

use crate::lens::{Lens, Pose};

/// Way points of one sweep.
// BOUND: rows of at least a third of a view over the largest range (160 deg) and smallest view (6 deg): 80 rows.
const POINTS_MAX: usize = 256;

/// A sweep over the joint range.
#[derive(Debug)]
pub struct Search {
    /// Of these joint angles, to either side (radian).
    range: Pose,
    points: Vec<Pose>,
    next: usize,
}

impl Search {
    pub fn new(range: Pose) -> Self {
        Self {
            range,
            points: Vec::with_capacity(POINTS_MAX),
            next: 0,
        }
    }

    /// Plans a sweep from here: rows half a view apart, nearest first, back and forth.
    #[expect(clippy::cast_precision_loss, reason = "rows are few")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive number"
    )]
    pub fn begin(&mut self, from: Pose, lens: &Lens) {
        self.points.clear();
        self.next = 0;
        let [half_across, half_down] = lens.half_tangents().map(f64::atan);
        // The outermost view may end at the range's end: an object there is still in the picture.
        let across = (self.range.pan - half_across * 0.5).max(0.0);
        let rows = ((self.range.tilt * 2.0 / half_down).ceil() as usize).clamp(1, POINTS_MAX / 2);
        let mut side = if from.pan >= 0.0 { 1.0 } else { -1.0 };
        for index in 0..rows {
            // 0, +1, -1, +2, -2 ... rows from the middle.
            let step = (index as f64 / 2.0).ceil() * if index % 2 == 1 { 1.0 } else { -1.0 };
            let tilt = (step * half_down).clamp(-self.range.tilt, self.range.tilt);
            self.points.push(Pose {
                pan: side * across,
                tilt,
            });
            side = -side;
            self.points.push(Pose {
                pan: side * across,
                tilt,
            });
        }
    }

    /// How far a sweep has come: the side that it began on, and its next point. None before the first.
    pub fn progress(&self) -> Option<(bool, usize)> {
        let first = self.points.first()?;
        Some((first.pan >= 0.0, self.next))
    }

    /// Goes on with a sweep that had come so far.
    pub fn resume(&mut self, progress: Option<(bool, usize)>, lens: &Lens) {
        self.points.clear();
        if let Some((is_positive, next)) = progress {
            let pan = if is_positive { 0.0 } else { -1.0 };
            self.begin(Pose { pan, tilt: 0.0 }, lens);
            self.next = next;
        }
    }

    /// Where to go next from here; None when the sweep is over.
    pub fn target(&mut self, at: Pose) -> Option<Pose> {
        /// A way point is reached at this distance (radian).
        const REACHED: f64 = 0.03;
        while let Some(&point) = self.points.get(self.next) {
            if (point.pan - at.pan).abs() > REACHED || (point.tilt - at.tilt).abs() > REACHED {
                return Some(point);
            }
            self.next += 1;
        }
        None
    }
}
