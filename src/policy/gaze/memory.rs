//! What `gaze` remembers from frame to frame, as bytes, so that a replay can go on in the middle of a run.
//!
//! Thread: fusion writes, a replay reads. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use crate::language::Instruction;
use crate::lens::Pose;
use crate::policy::gaze::Gaze;
use crate::policy::gaze::evidence::Sighting;
use crate::policy::{Memory, Phase};
use crate::state::bytes::Fields;
use crate::units::MonoTime;

/// By their codes.
const PHASES: [Phase; 6] = [
    Phase::Idle,
    Phase::NoMatch,
    Phase::Searching,
    Phase::Tracking,
    Phase::Locked,
    Phase::NotFound,
];

impl Gaze {
    pub(super) fn remember(&self) -> Memory {
        let mut memory = Memory::NOTHING;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let phase = PHASES.iter().position(|phase| *phase == self.phase);
        let Sighting {
            probability,
            peak,
            class,
            offset,
        } = self.sighting;
        memory.put(&self.instruction.to_le_bytes());
        memory.put(&number(phase.unwrap_or_default()));
        memory.put(&number(self.class));
        memory.put(&self.similarity.to_le_bytes());
        memory.put(&probability.to_le_bytes());
        memory.put(&number(peak));
        memory.put(&number(class));
        memory.put(&self.seen.to_le_bytes());
        memory.put(&self.missed.to_le_bytes());
        for value in [offset, pair(self.object), pair(self.command)].as_flattened() {
            memory.put(&value.to_le_bytes());
        }
        memory.put(&self.command_at.0.to_le_bytes());
        let (side, next) = self
            .search
            .progress()
            .map_or((0_u8, 0), |(is_positive, next)| {
                (1 + u8::from(is_positive), next)
            });
        memory.put(&[side]);
        memory.put(&number(next));
        memory
    }

    /// None if this is no memory of this policy, or one of an instruction that is not known any more.
    pub(super) fn take_on(
        &mut self,
        memory: &Memory,
        instruction: Option<&Instruction>,
    ) -> Option<()> {
        let mut from = Fields::new(memory.bytes()?);
        let number = |from: &mut Fields<'_>| usize::try_from(from.u32()?).ok();
        let id = from.u32()?;
        let phase = *PHASES.get(number(&mut from)?)?;
        let (of, similarity) = (number(&mut from)?, from.f32()?);
        let (probability, peak, class) = (from.f32()?, number(&mut from)?, number(&mut from)?);
        let (seen, missed) = (from.u32()?, from.u32()?);
        let mut values = [0.0; 6];
        for value in &mut values {
            *value = f64::from_le_bytes(from.array()?);
        }
        let [right, down, object @ .., _, _] = values;
        let [.., pan, tilt] = values;
        let command_at = MonoTime(from.i64()?);
        let (side, next) = (from.u8()?, number(&mut from)?);
        from.end()?;
        if id > 0 {
            // How much each class counts follows from the words.
            let known = instruction.filter(|instruction| instruction.id == id)?;
            self.matching.read(&known.embedding, &mut self.weights);
        } else {
            self.weights.fill(0.0);
        }
        self.search
            .resume((side > 0).then_some((side == 2, next)), &self.lens);
        (self.instruction, self.phase, self.class) = (id, phase, of);
        self.similarity = similarity;
        self.sighting = Sighting {
            probability,
            peak,
            class,
            offset: [right, down],
        };
        (self.seen, self.missed) = (seen, missed);
        self.object = Pose {
            pan: object[0],
            tilt: object[1],
        };
        self.command = Pose { pan, tilt };
        self.command_at = command_at;
        Some(())
    }
}

fn pair(pose: Pose) -> [f64; 2] {
    [pose.pan, pose.tilt]
}
