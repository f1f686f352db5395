//! What became of a sensor's readings, counted by reason.
//!
//! Thread: the sensor's writes, any reads. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::capture::Count;
use crate::rt::sync::{AtomicU64, Ordering};
use crate::units::Nanos;
use crate::wire::Malformed;

/// Every field is written by the sensor's thread only; any thread may read.
///
/// `received = accepted + malformed by reason + wrong_len + unreadable + duplicates + too_old + from_future`.
#[derive(Debug, Default)]
pub struct SensorCounters {
    /// Datagrams, records, rows or samples that came.
    pub received: Count,
    /// Those that became a reading.
    pub accepted: Count,
    /// Those that could not be understood, by reason.
    pub malformed: [Count; Malformed::COUNT],
    /// Another number of values than configured, or than the first reading had.
    pub wrong_len: Count,
    /// Samples that the device did not give when asked, and records whose batch could not be read.
    pub unreadable: Count,
    /// The sender's counter had been seen.
    pub duplicates: Count,
    /// The time stamp was older than allowed.
    pub too_old: Count,
    /// The time stamp was further in the future than allowed.
    pub from_future: Count,

    /// Accepted; the stamp lay a little in the future and counts as the arrival.
    pub clamped: Count,
    /// Accepted; it had no stamp, so it counts as new on arrival.
    pub unstamped: Count,
    /// Accepted; its counter is below that of one before.
    pub reordered: Count,
    /// Readings missing by the sender's counter; those that come later as `reordered` are among them.
    pub gaps: Count,
    /// The sender's counter began anew.
    pub restarts: Count,
    /// A microphone's kernel buffer was full, and sound was lost.
    pub overruns: Count,
    /// Times that the device, or the connection to a broker, was lost, and times that it came back: it is away while they differ.
    pub interrupted: Count,
    pub resumed: Count,
    /// Records that the broker no longer kept when they were asked for.
    pub gone: Count,
    /// How unevenly readings arrive.
    pub jitter: Jitter,
}

/// The interarrival jitter of RFC 3550, section 6.4.1: a running mean of how much the way of a reading
/// (arrival minus time stamp) changes from one to the next. For unstamped readings it stays 0.
#[derive(Debug, Default)]
pub struct Jitter {
    /// Nanoseconds. Written by the sensor's thread.
    mean: AtomicU64,
    /// The way of the reading before, plus one so that 0 means none. Only the writer reads it.
    way: AtomicU64,
}

impl Jitter {
    /// Takes the way of one more reading into account.
    pub fn add(&self, way: Nanos) {
        let way = way.clamp_u64() + 1;
        // ORDERING(jitter): Relaxed, alone, here and below. One writer, and readers infer nothing else.
        let before = self.way.load(Ordering::Relaxed);
        self.way.store(way, Ordering::Relaxed);
        if before == 0 {
            return;
        }
        let mean = self.mean.load(Ordering::Relaxed);
        let mean = mean - mean / 16 + way.abs_diff(before) / 16;
        self.mean.store(mean, Ordering::Relaxed);
    }

    pub fn mean(&self) -> Nanos {
        Nanos(i64::try_from(self.mean.load(Ordering::Relaxed)).unwrap_or(i64::MAX))
    }
}
