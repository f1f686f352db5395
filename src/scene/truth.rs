//! What is really the case in a scene: for tests and the report, never for a policy.
//!
//! Thread: any reads, `world` writes. Allocates: no (but `clone`). Blocks: no. Locks: no.

use super::wall::Placed;
use crate::lens::{Lens, Offset, Pose};
use crate::rt::sync::{Arc, AtomicU64, Ordering};

/// Where the camera really looks and what really hangs where.
#[derive(Clone, Debug)]
pub struct SceneTruth {
    pose: Arc<SharedPose>,
    placed: Arc<[Placed]>,
    lens: Lens,
}

impl SceneTruth {
    pub(super) fn new(pose: Arc<SharedPose>, placed: &[Placed], lens: Lens) -> Self {
        Self {
            pose,
            placed: placed.into(),
            lens,
        }
    }

    /// The camera's true pose, at most one sensor or frame period old.
    pub fn pose(&self) -> Pose {
        self.pose.load()
    }

    /// Everything that hangs on the wall.
    pub fn placed(&self) -> &[Placed] {
        &self.placed
    }

    /// The object that a text names, by whole words; the first one if it names several.
    pub fn named_in(&self, text: &str) -> Option<&Placed> {
        self.placed.iter().find(|p| {
            text.split(|c: char| !c.is_alphanumeric())
                .any(|word| p.exhibit.words.iter().any(|w| w.eq_ignore_ascii_case(word)))
        })
    }

    /// Where the picture shows the object's centre now: picture widths and heights from the centre, to the right
    /// and downwards. None when it is behind the camera.
    pub fn offset(&self, object: &Placed) -> Option<Offset> {
        self.lens.offset(self.pose(), object.object)
    }
}

/// A pose in one atomic word, so that pan and tilt always belong together.
#[derive(Debug, Default)]
pub(super) struct SharedPose(AtomicU64);

impl SharedPose {
    /// Only ever called by the thread `world`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float of 32 bits holds an angle to a millionth of a degree"
    )]
    pub(super) fn store(&self, pose: Pose) {
        let bits = |angle: f64| u64::from((angle as f32).to_bits());
        // ORDERING: Relaxed, alone. The word is the whole message.
        self.0
            .store(bits(pose.pan) << 32 | bits(pose.tilt), Ordering::Relaxed);
    }

    #[expect(clippy::cast_possible_truncation, reason = "taking a word apart")]
    fn load(&self) -> Pose {
        // ORDERING: Relaxed, alone.
        let word = self.0.load(Ordering::Relaxed);
        let angle = |bits: u64| f64::from(f32::from_bits(bits as u32));
        Pose {
            pan: angle(word >> 32),
            tilt: angle(word),
        }
    }
}
