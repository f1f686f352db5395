//! Interval logs in the format of the HdrHistogram tools (version 1.3, V2 deflate): one file for each duration.
//!
//! Thread: housekeeping, after the run. Allocates: yes. Values are nanoseconds; the readable maximum of each
//! line is in milliseconds. What is kept over time has a line for each interval, the rest one line for the
//! whole run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::error::{Fault, Kind, Result};
use crate::telemetry::durations::empty_histogram;
use crate::telemetry::measured::{Measured, Series};
use crate::telemetry::report::assemble::{named_durations, named_series};
use crate::units::Nanos;

/// A file of the report folder.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// Without a folder: `camera-to-action.hlog`.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// One log for each duration that was measured. `started` is the wall clock at the beginning of the run.
pub fn logs(measured: &Measured, started: SystemTime) -> Result<Vec<LogFile>> {
    let over_time: Vec<(String, &Series)> = named_series(measured).collect();
    let mut files = Vec::new();
    for (name, durations) in named_durations(measured) {
        if durations.count() == 0 {
            continue;
        }
        let series = over_time.iter().find(|(n, _)| *n == name);
        let bytes = match series {
            Some((_, series)) => series_log(&name, series, started)?,
            None => {
                let whole = (Nanos::ZERO, measured.elapsed(), durations.histogram());
                log(&name, started, [whole].into_iter())?
            }
        };
        files.push(LogFile {
            name: format!("{}.hlog", name.replace(' ', "-")),
            bytes,
        });
    }
    Ok(files)
}

fn series_log(name: &str, series: &Series, started: SystemTime) -> Result<Vec<u8>> {
    let width = series.timeline.width();
    let intervals: Vec<_> = series
        .timeline
        .intervals()
        .map(|(at, interval)| {
            let mut histogram = empty_histogram();
            for (size, count) in interval.counts() {
                histogram.saturating_record_n(*size, *count);
            }
            (at, width, histogram)
        })
        .collect();
    log(
        name,
        started,
        intervals.iter().map(|(at, width, h)| (*at, *width, h)),
    )
}

/// The text of one log from intervals of `(begin since the start, length, counts)`.
fn log<'a>(
    name: &str,
    started: SystemTime,
    intervals: impl Iterator<Item = (Nanos, Nanos, &'a Histogram<u64>)>,
) -> Result<Vec<u8>> {
    let mut text = header(name, started).into_bytes();
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut text, &mut serializer)
        .map_err(|e| refused(name, &e.to_string()))?;
    for (at, width, histogram) in intervals {
        writer
            .write_histogram(histogram, std_duration(at), std_duration(width), None)
            .map_err(|e| refused(name, &e.to_string()))?;
    }
    Ok(text)
}

/// The lines that the other writers of this format begin a log with. Times of intervals count from `StartTime`.
fn header(name: &str, started: SystemTime) -> String {
    let epoch = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!(
        "#[reflexarc {}: {name}, in nanoseconds]\n\
         #[Histogram log format version 1.3]\n\
         #[StartTime: {:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        env!("CARGO_PKG_VERSION"),
        epoch.as_secs_f64(),
    )
}

fn std_duration(d: Nanos) -> Duration {
    Duration::from_nanos(d.clamp_u64())
}

fn refused(name: &str, why: &str) -> Fault {
    Fault::new(
        Kind::Internal,
        format!("the histogram of {name} could not be encoded"),
        why,
        "please report this with the command line of the run",
    )
}
