//! From instruction to action: joins what the language thread said with the first frame that acted on it.
//!
//! Thread: housekeeping. Allocates: yes, up to a bound. The two halves come from different threads, and may be
//! collected in either order.

use crate::telemetry::durations::Durations;
use crate::units::MonoTime;

/// Instructions whose way is listed. Older ones stay in the histogram and in the count.
///
/// BOUND: instructions come from people or from a script's lines, a few a minute.
pub const INSTRUCTIONS_MAX: usize = 256;

/// What is known of one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionWay {
    pub id: u32,
    /// When its last byte was received, and when its embedding was ready.
    pub ready: Option<(MonoTime, MonoTime)>,
    /// When the first action that was computed with it had been written.
    pub acted: Option<MonoTime>,
}

/// All instructions of a run.
#[derive(Debug, Default)]
pub struct Instructions {
    ways: Vec<InstructionWay>,
    /// The highest id that acted: frames come in order, so a lower one never acts for the first time.
    acted_id: u32,
    pub received: u64,
    pub to_action: Durations,
    pub encode: Durations,
}

impl Instructions {
    pub fn ready(&mut self, id: u32, received: MonoTime, encoded: MonoTime) {
        self.received += 1;
        self.encode.record(encoded - received);
        self.way(id).ready = Some((received, encoded));
        self.settle(id);
    }

    /// An action computed from a frame that was fused with instruction `id` was written. 0 is no instruction.
    pub fn acted(&mut self, id: u32, written: MonoTime) {
        if id <= self.acted_id {
            return;
        }
        self.acted_id = id;
        self.way(id).acted = Some(written);
        self.settle(id);
    }

    pub fn ways(&self) -> &[InstructionWay] {
        &self.ways
    }

    /// Counts instruction to action once both halves are known.
    fn settle(&mut self, id: u32) {
        let way = *self.way(id);
        if let (Some((received, _)), Some(written)) = (way.ready, way.acted) {
            self.to_action.record(written - received);
        }
    }

    fn way(&mut self, id: u32) -> &mut InstructionWay {
        let at = match self.ways.iter().rposition(|w| w.id == id) {
            Some(at) => at,
            None => {
                if self.ways.len() == INSTRUCTIONS_MAX {
                    self.ways.remove(0);
                }
                self.ways.push(InstructionWay {
                    id,
                    ready: None,
                    acted: None,
                });
                self.ways.len() - 1
            }
        };
        &mut self.ways[at]
    }
}
