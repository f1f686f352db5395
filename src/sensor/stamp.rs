//! From a sender's time stamp to an instant of this machine's monotonic clock, or the reason why not.
//!
//! Thread: the sensor's. Allocates: no. Blocks: no. Locks: no. Syscalls: `clock_gettime` (vDSO).

use super::config::StampClock;
use super::counters::SensorCounters;
use crate::clock;
use crate::units::{MonoTime, Nanos};

/// The rule for one sensor's stamps.
#[derive(Clone, Copy, Debug)]
pub struct StampRule {
    pub clock: StampClock,
    pub tolerance: Nanos,
    pub oldest: Nanos,
}

impl StampRule {
    /// The event time of a reading that arrived just now. None, and counted, when its stamp cannot be true.
    pub fn event_time(
        &self,
        stamp_ns: i64,
        arrived: MonoTime,
        counters: &SensorCounters,
    ) -> Option<MonoTime> {
        let at = match self.clock {
            _ if stamp_ns == 0 => None,
            StampClock::Arrival => None,
            StampClock::Monotonic => Some(MonoTime(stamp_ns)),
            StampClock::Realtime => {
                Some(MonoTime(stamp_ns) - ahead_of_monotonic(libc::CLOCK_REALTIME))
            }
        };
        let Some(at) = at else {
            counters.unstamped.add(1);
            return Some(arrived);
        };
        self.check(at, arrived, counters)
    }

    /// The same for a reading without a stamp of its own that was carried by something stamped, milliseconds since 1970.
    pub fn carried_time(
        &self,
        carried_ms: i64,
        arrived: MonoTime,
        counters: &SensorCounters,
    ) -> Option<MonoTime> {
        if self.clock == StampClock::Arrival {
            return self.event_time(0, arrived, counters);
        }
        let since_1970 = MonoTime(carried_ms.saturating_mul(1_000_000));
        let at = since_1970 - ahead_of_monotonic(libc::CLOCK_REALTIME);
        self.check(at, arrived, counters)
    }

    /// The same for a stamp that is on the monotonic clock already.
    pub fn check(
        &self,
        at: MonoTime,
        arrived: MonoTime,
        counters: &SensorCounters,
    ) -> Option<MonoTime> {
        if at - arrived > self.tolerance {
            counters.from_future.add(1);
            return None;
        }
        if arrived - at > self.oldest {
            counters.too_old.add(1);
            return None;
        }
        counters.clamped.add(u64::from(at > arrived));
        Some(at.min(arrived))
    }
}

/// How far another clock is ahead of the monotonic one now. It is measured for each reading, since a time
/// service may set the other clock at any moment.
pub fn ahead_of_monotonic(other: libc::clockid_t) -> Nanos {
    let mut narrowest = (Nanos::MAX, Nanos::ZERO);
    // BOUND: 3 tries. The other clock is read between two readings of ours; if the thread was interrupted
    // in between they lie far apart, and it is worth trying again.
    for _ in 0..3 {
        let before = clock::now();
        let there = clock::read(other);
        let after = clock::now();
        let width = after - before;
        if width < narrowest.0 {
            let middle = before + Nanos(width.0 / 2);
            narrowest = (width, there - middle);
        }
        if width < Nanos::from_micros(5) {
            break;
        }
    }
    narrowest.1
}
