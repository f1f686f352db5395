//! From datagram to reading: understood, numbered, stamped, or counted and dropped.
//!
//! Thread: the sensor's. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: none.

use super::Reading;
use super::config::SensorConfig;
use super::counters::SensorCounters;
use super::stamp::StampRule;
use crate::rt::sync::Arc;
use crate::units::MonoTime;
use crate::wire::{Kind, Malformed, Message};

/// See the module.
#[derive(Debug)]
pub struct Intake {
    source_index: u8,
    /// The number of values, once it is known.
    len: Option<u8>,
    rule: StampRule,
    sequence: Sequence,
    counters: Arc<SensorCounters>,
}

impl Intake {
    pub fn new(config: &SensorConfig, source_index: u8) -> Self {
        Self {
            source_index,
            len: config.values,
            rule: StampRule {
                clock: config.clock,
                tolerance: config.tolerance,
                oldest: config.oldest,
            },
            sequence: Sequence::default(),
            counters: Arc::new(SensorCounters::default()),
        }
    }

    pub fn counters(&self) -> Arc<SensorCounters> {
        Arc::clone(&self.counters)
    }

    /// For what only the owner of this counts.
    pub fn count(&self) -> &SensorCounters {
        &self.counters
    }

    /// So many came that could not be read.
    pub fn skip(&self, count: u64) {
        self.counters.received.add(count);
        self.counters.unreadable.add(count);
    }

    /// One datagram that arrived just now.
    pub fn take(&mut self, datagram: &[u8], arrived: MonoTime) -> Option<Reading> {
        self.take_message(Message::decode(datagram), None, arrived)
    }

    /// A message that was understood elsewhere, or was not. `carried_ms`: the stamp of what carried it, milliseconds since
    /// 1970, which stands in where the message has none.
    pub fn take_message(
        &mut self,
        message: Result<Message, Malformed>,
        carried_ms: Option<i64>,
        arrived: MonoTime,
    ) -> Option<Reading> {
        let counters = &*self.counters;
        counters.received.add(1);
        let message = match message {
            Ok(message) if message.kind == Kind::Reading => message,
            Ok(_) => {
                counters.malformed[Malformed::BadKind as usize].add(1);
                return None;
            }
            Err(reason) => {
                counters.malformed[reason as usize].add(1);
                return None;
            }
        };
        if self.len.is_some_and(|len| len != message.len) {
            counters.wrong_len.add(1);
            return None;
        }
        let at = match (message.stamp_ns, carried_ms) {
            (0, Some(carried_ms)) => self.rule.carried_time(carried_ms, arrived, counters)?,
            (stamp_ns, _) => self.rule.event_time(stamp_ns, arrived, counters)?,
        };
        match self.sequence.see(message.seq) {
            Seen::InOrder => {}
            Seen::Gap(missing) => counters.gaps.add(u64::from(missing)),
            Seen::Late => counters.reordered.add(1),
            Seen::Restart => counters.restarts.add(1),
            Seen::Again => {
                counters.duplicates.add(1);
                return None;
            }
        }
        counters.accepted.add(1);
        if message.stamp_ns != 0 {
            counters.jitter.add(arrived - at);
        }
        self.len = Some(message.len);
        Some(Reading {
            at,
            arrived,
            seq: message.seq,
            source_index: self.source_index,
            len: message.len,
            values: message.values,
        })
    }
}

/// What a counter says about its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    InOrder,
    /// This many are missing just before it.
    Gap(u32),
    /// Below the highest, and new.
    Late,
    /// It has been here.
    Again,
    /// Far from the highest: the sender began anew.
    Restart,
}

/// The last 64 counters seen, as in the anti-replay window of IPsec (RFC 4303, section 3.4.3).
#[derive(Clone, Copy, Debug, Default)]
struct Sequence {
    /// None before the first.
    highest: Option<u32>,
    /// Bit `k`: `highest - k` has been seen.
    window: u64,
}

impl Sequence {
    /// A sender without a counter sends 0 every time; that is taken as in order.
    fn see(&mut self, seq: u32) -> Seen {
        let Some(highest) = self.highest else {
            return self.begin(seq, Seen::InOrder);
        };
        if seq == 0 && highest == 0 {
            return Seen::InOrder;
        }
        let (ahead, behind) = (seq.wrapping_sub(highest), highest.wrapping_sub(seq));
        match (ahead, behind) {
            (1..64, _) => {
                self.window = (self.window << ahead) | 1;
                self.highest = Some(seq);
                if ahead == 1 {
                    Seen::InOrder
                } else {
                    Seen::Gap(ahead - 1)
                }
            }
            (64..0x1_0000, _) => self.begin(seq, Seen::Gap(ahead - 1)),
            (_, 0..64) => {
                let bit = 1 << behind;
                let again = self.window & bit != 0;
                self.window |= bit;
                if again { Seen::Again } else { Seen::Late }
            }
            _ => self.begin(seq, Seen::Restart),
        }
    }

    fn begin(&mut self, seq: u32, seen: Seen) -> Seen {
        self.highest = Some(seq);
        self.window = 1;
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_tells_gaps_repeats_and_late_ones_apart_also_where_it_wraps() {
        let mut sequence = Sequence::default();
        let first = u32::MAX - 2;
        let steps = [
            (0, Seen::InOrder),
            (1, Seen::InOrder),
            (1, Seen::Again),
            (4, Seen::Gap(2)),
            (3, Seen::Late),
            (3, Seen::Again),
            (2, Seen::Late),
            (5, Seen::InOrder),
            (8, Seen::Gap(2)),
            (0, Seen::Again),
            (72, Seen::Gap(63)),
            (8, Seen::Restart),
            (9, Seen::InOrder),
        ];
        for (index, (add, expected)) in steps.into_iter().enumerate() {
            let seen = sequence.see(first.wrapping_add(add));
            assert_eq!(seen, expected, "step {index}");
        }
    }

    #[test]
    fn a_sender_without_a_counter_is_in_order() {
        let mut sequence = Sequence::default();
        assert!((0..5).all(|_| sequence.see(0) == Seen::InOrder));
    }

    #[test]
    fn a_sender_that_starts_again_is_heard_at_once() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.see(500_000), Seen::InOrder);
        assert_eq!(sequence.see(0), Seen::Restart);
        assert_eq!(sequence.see(1), Seen::InOrder);
    }
}
