//! The hot end of telemetry: one probe for each thread of the way.
//!
//! Thread: one each. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: no.

use crate::link::{self, EveryReader, EveryWriter};
use crate::rt::wait::Bell;
use crate::telemetry::record::Record;

/// Records a probe can hold until the collector comes by.
///
/// BOUND: the busiest thread makes 4 records a frame (three steps run to completion and a policy status)
/// and 2 a beat. At 1000 frames and 1000 beats a second that is 6000 a second; the collector comes by
/// every 50 ms, which makes 300. The rest is for a collector that is kept away: 4096 records are 0.6 s.
pub const PROBE_RECORDS: usize = 4096;

/// Passes records to the collector. When the collector is too slow a record is lost and counted, and
/// the report says so; the thread of the way never waits.
#[derive(Debug)]
pub struct Probe {
    ring: EveryWriter<Record>,
}

/// A probe and the end that the collector reads.
pub(super) fn probe(capacity: usize) -> (Probe, EveryReader<Record>) {
    // The collector comes by in its own time.
    let (ring, reader) = link::every(capacity, &Bell::silent());
    (Probe { ring }, reader)
}

impl Probe {
    /// Tells the collector. Wait-free.
    pub fn record(&mut self, record: Record) {
        // A full ring gives the record back and has counted it as refused; that count is the report's
        // `lost_samples`.
        let _ = self.ring.push(record);
    }
}
