//! From the driver's note on a filled buffer to the description of a frame, with everything counted.
//!
//! Thread: capture. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use v4l::v4l_sys as sys;

use super::config::Damaged;
use crate::capture::SourceCounters;
use crate::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use crate::rt::sync::Arc;
use crate::units::{MonoTime, Nanos};

/// A JPEG picture cannot be shorter: the marks of its start and its end.
const JPEG_BYTES_MIN: u32 = 4;

/// A frame may have been exposed, or its stamp taken, a little before streaming was asked for; a stamp from
/// before that is of another clock or has wrapped. BOUND: the longest exposure of common sensors is 1 s.
const STAMP_BEFORE_START_MAX: Nanos = Nanos::from_secs(1);

/// Describes and counts the frames of one camera.
#[derive(Debug)]
pub(super) struct Arrivals {
    source_index: u8,
    format: FrameFormat,
    damaged: Damaged,
    /// The driver's number of the last frame of this stream.
    last: Option<u32>,
    /// Our number for the next frame; it goes on when streaming starts again.
    next: u64,
    /// Stamps before this are not believed.
    earliest: MonoTime,
    /// The last believed stamp, and the shortest time that a frame of this stream took from its stamp to its
    /// arrival (below zero for a driver that stamps ahead).
    last_stamp: Option<MonoTime>,
    shortest: Nanos,
    counters: Arc<SourceCounters>,
}

impl Arrivals {
    pub(super) fn new(source_index: u8, format: FrameFormat, damaged: Damaged) -> Self {
        Self {
            source_index,
            format,
            damaged,
            last: None,
            next: 0,
            earliest: MonoTime::ZERO,
            last_stamp: None,
            shortest: Nanos::MAX,
            counters: Arc::default(),
        }
    }

    pub(super) fn format(&self) -> FrameFormat {
        self.format
    }

    pub(super) fn counters(&self) -> &Arc<SourceCounters> {
        &self.counters
    }

    /// Streaming begins: the driver counts its frames from anew.
    pub(super) fn begin(&mut self, now: MonoTime) {
        self.last = None;
        self.earliest = now - STAMP_BEFORE_START_MAX;
        self.last_stamp = None;
        self.shortest = Nanos::MAX;
    }

    /// When the next frame will arrive at the earliest, by the last stamp. Stamps are regular; arrivals carry
    /// the lateness of whoever took the frame.
    pub(super) fn next_due(&self, period: Nanos) -> Option<MonoTime> {
        Some(self.last_stamp? + self.shortest + period)
    }

    /// Describes the frame that arrived `now` in a slot of `capacity` bytes.
    pub(super) fn describe(
        &mut self,
        buffer: &sys::v4l2_buffer,
        capacity: usize,
        now: MonoTime,
    ) -> FrameMeta {
        let (seq, gap, repeated) = self.number(buffer.sequence);
        // A driver cannot have written more than there is.
        let bytes_used = buffer
            .bytesused
            .min(u32::try_from(capacity).unwrap_or(u32::MAX));
        let mut meta = FrameMeta {
            seq,
            source_index: self.source_index,
            format: self.format,
            bytes_used,
            captured: now,
            stamp: StampSource::Arrival,
            arrived: now,
            marks: FrameMarks {
                error: buffer.flags & sys::V4L2_BUF_FLAG_ERROR != 0,
                short: bytes_used < self.least_bytes(),
                repeated,
                future_stamp: false,
                gap_before: gap,
                resumed: false,
            },
        };
        if let Some((stamp, source)) = self.stamp(buffer) {
            meta.stamp(stamp, source);
            self.last_stamp = Some(stamp);
            self.shortest = self.shortest.min(now - stamp);
        }
        let counters = &self.counters;
        counters.produced.add(1);
        counters.gaps.add(u64::from(gap));
        counters.error_flagged.add(u64::from(meta.marks.error));
        counters.short.add(u64::from(meta.marks.short));
        counters.repeated.add(u64::from(meta.marks.repeated));
        counters
            .future_stamps
            .add(u64::from(meta.marks.future_stamp));
        meta
    }

    /// True when the frame may be passed on.
    pub(super) fn is_usable(&self, meta: &FrameMeta) -> bool {
        // Nobody can read nothing.
        let readable = meta.bytes_used > 0;
        readable && (self.damaged == Damaged::Use || !(meta.marks.error || meta.marks.short))
    }

    fn least_bytes(&self) -> u32 {
        match self.format.pixel {
            PixelFormat::Mjpeg => JPEG_BYTES_MIN,
            _ => u32::try_from(self.format.frame_bytes()).unwrap_or(u32::MAX),
        }
    }

    /// Our number for a frame with the driver's number `sequence`, the frames missing before it, and whether
    /// the driver repeated its number. Our numbers only grow: a repeated frame gets one of its own.
    fn number(&mut self, sequence: u32) -> (u64, u32, bool) {
        let (gap, repeated) = match self.last {
            None => (0, false),
            Some(last) => match sequence.wrapping_sub(last) {
                0 => (0, true),
                // More than half the circle forward is backward: the driver began to count anew.
                step if step > u32::MAX / 2 => (0, false),
                step => (step - 1, false),
            },
        };
        self.last = Some(sequence);
        let seq = self.next + u64::from(gap);
        self.next = seq + 1;
        (seq, gap, repeated)
    }

    /// The driver's stamp, if it is on our clock and can be this frame's.
    fn stamp(&self, buffer: &sys::v4l2_buffer) -> Option<(MonoTime, StampSource)> {
        let source = stamp_source(buffer.flags);
        let time = buffer.timestamp;
        let stamp = MonoTime(
            time.tv_sec
                .saturating_mul(1_000_000_000)
                .saturating_add(time.tv_usec.saturating_mul(1_000)),
        );
        (source != StampSource::Arrival && stamp >= self.earliest && stamp.is_set())
            .then_some((stamp, source))
    }
}

/// What the driver's stamps mean, by a buffer's flags.
pub(super) fn stamp_source(flags: u32) -> StampSource {
    if flags & sys::V4L2_BUF_FLAG_TIMESTAMP_MASK != sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC {
        return StampSource::Arrival;
    }
    match flags & sys::V4L2_BUF_FLAG_TSTAMP_SRC_MASK {
        sys::V4L2_BUF_FLAG_TSTAMP_SRC_SOE => StampSource::StartOfExposure,
        _ => StampSource::EndOfFrame,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONOTONIC: u32 = sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    const FRAME: u32 = 64 * 48 * 2;
    const NOW: MonoTime = MonoTime(5_000_000_000);

    fn arrivals(damaged: Damaged) -> Arrivals {
        let format = FrameFormat::packed(PixelFormat::Yuyv, 64, 48);
        let mut arrivals = Arrivals::new(3, format, damaged);
        arrivals.begin(NOW);
        arrivals
    }

    fn buffer(sequence: u32, flags: u32) -> sys::v4l2_buffer {
        // SAFETY: integers, a union of integers and null pointers: zero bytes are a value.
        let mut buffer: sys::v4l2_buffer = unsafe { std::mem::zeroed() };
        buffer.sequence = sequence;
        buffer.flags = flags;
        buffer.bytesused = FRAME;
        buffer.timestamp.tv_sec = 4;
        buffer.timestamp.tv_usec = 990_000;
        buffer
    }

    /// Numbers and gaps of a run of driver's numbers.
    fn numbers(sequences: &[u32]) -> (Vec<u64>, u64, u64) {
        let mut arrivals = arrivals(Damaged::Drop);
        let seqs = sequences
            .iter()
            .map(|&s| {
                arrivals
                    .describe(&buffer(s, MONOTONIC), FRAME as usize, NOW)
                    .seq
            })
            .collect();
        let counters = arrivals.counters();
        (seqs, counters.gaps.get(), counters.repeated.get())
    }

    #[test]
    fn a_gap_in_the_drivers_numbers_is_counted_and_keeps_its_place() {
        assert_eq!(numbers(&[0, 1, 4, 5]), (vec![0, 1, 4, 5], 2, 0));
    }

    #[test]
    fn the_wrap_of_the_drivers_numbers_is_no_gap() {
        assert_eq!(
            numbers(&[u32::MAX - 1, u32::MAX, 0, 2]),
            (vec![0, 1, 2, 4], 1, 0)
        );
    }

    #[test]
    fn a_repeated_number_is_counted_and_ours_still_grow() {
        assert_eq!(numbers(&[0, 0, 1, 2]), (vec![0, 1, 2, 3], 0, 1));
    }

    #[test]
    fn a_driver_that_counts_anew_is_no_gap_of_four_thousand_million() {
        assert_eq!(numbers(&[900, 901, 0, 1]), (vec![0, 1, 2, 3], 0, 0));
    }

    #[test]
    fn numbers_go_on_when_streaming_starts_again() {
        let mut arrivals = arrivals(Damaged::Drop);
        arrivals.describe(&buffer(0, MONOTONIC), FRAME as usize, NOW);
        arrivals.begin(NOW);
        assert_eq!(
            arrivals
                .describe(&buffer(7, MONOTONIC), FRAME as usize, NOW)
                .seq,
            1
        );
        assert_eq!(arrivals.counters().gaps.get(), 0);
    }

    #[test]
    fn the_stamps_clock_and_meaning_come_from_the_flags() {
        let rows = [
            (MONOTONIC, StampSource::EndOfFrame, 4_990_000_000),
            (
                MONOTONIC | sys::V4L2_BUF_FLAG_TSTAMP_SRC_SOE,
                StampSource::StartOfExposure,
                4_990_000_000,
            ),
            (
                sys::V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN,
                StampSource::Arrival,
                NOW.0,
            ),
            (
                sys::V4L2_BUF_FLAG_TIMESTAMP_COPY,
                StampSource::Arrival,
                NOW.0,
            ),
        ];
        for (flags, source, captured) in rows {
            let meta = arrivals(Damaged::Drop).describe(&buffer(0, flags), FRAME as usize, NOW);
            assert_eq!((meta.stamp, meta.captured.0), (source, captured));
        }
    }

    /// The last two are what vivid's `wrap_timestamp` gives.
    #[test]
    fn a_stamp_in_the_future_is_counted_and_never_a_negative_latency() {
        for seconds in [6, 2_147_483_632, 9_223_372_020, i64::MAX] {
            let mut arrivals = arrivals(Damaged::Drop);
            let mut late = buffer(0, MONOTONIC);
            late.timestamp.tv_sec = seconds;
            let meta = arrivals.describe(&late, FRAME as usize, NOW);
            assert!(meta.marks.future_stamp);
            assert_eq!(meta.captured, NOW);
            assert_eq!(arrivals.counters().future_stamps.get(), 1);
        }
    }

    #[test]
    fn a_stamp_from_before_the_stream_is_not_believed() {
        for seconds in [0, 3, -1, i64::MIN] {
            let mut old = buffer(0, MONOTONIC);
            old.timestamp.tv_sec = seconds;
            let meta = arrivals(Damaged::Drop).describe(&old, FRAME as usize, NOW);
            assert_eq!((meta.stamp, meta.captured), (StampSource::Arrival, NOW));
        }
    }

    #[test]
    fn the_next_frame_is_due_a_period_after_the_quickest_arrival_so_far() {
        let period = Nanos::from_millis(33);
        let mut arrivals = arrivals(Damaged::Drop);
        assert_eq!(arrivals.next_due(period), None);
        // Stamped at 4.990 s and arrived 10 ms later; then stamped 33 ms later and taken 25 ms late.
        arrivals.describe(&buffer(0, MONOTONIC), FRAME as usize, NOW);
        assert_eq!(arrivals.next_due(period), Some(NOW + period));
        let mut second = buffer(1, MONOTONIC);
        (second.timestamp.tv_sec, second.timestamp.tv_usec) = (5, 23_000);
        arrivals.describe(&second, FRAME as usize, NOW + Nanos::from_millis(58));
        assert_eq!(
            arrivals.next_due(period),
            Some(NOW + Nanos::from_millis(66))
        );
    }

    #[test]
    fn damaged_frames_are_dropped_or_used_as_the_policy_says() {
        let flagged = buffer(0, MONOTONIC | sys::V4L2_BUF_FLAG_ERROR);
        let mut short = buffer(1, MONOTONIC);
        short.bytesused = FRAME - 1;
        let mut nothing = buffer(2, MONOTONIC);
        nothing.bytesused = 0;
        for (policy, wanted) in [
            (Damaged::Drop, [false, false, false]),
            (Damaged::Use, [true, true, false]),
        ] {
            let mut arrivals = arrivals(policy);
            let usable = [&flagged, &short, &nothing].map(|b| {
                let meta = arrivals.describe(b, FRAME as usize, NOW);
                arrivals.is_usable(&meta)
            });
            assert_eq!(usable, wanted);
            let counters = arrivals.counters();
            assert_eq!((counters.error_flagged.get(), counters.short.get()), (1, 2));
        }
    }

    #[test]
    fn a_driver_that_claims_more_bytes_than_there_are_is_not_believed() {
        let mut liar = buffer(0, MONOTONIC);
        liar.bytesused = u32::MAX;
        let meta = arrivals(Damaged::Drop).describe(&liar, FRAME as usize, NOW);
        assert_eq!(meta.bytes_used, FRAME);
    }
}
