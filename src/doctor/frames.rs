//! Sixty frames of a camera, counted.

use serde::Serialize;

use crate::capture::v4l2::{Frozen, RecoveryConfig, V4l2Config, V4l2Source, list};
use crate::capture::{Readiness, Source as _};
use crate::clock;
use crate::error::Result;
use crate::units::Nanos;

/// What came.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frames {
    /// As the source describes itself.
    pub source: String,
    pub taken: u64,
    pub per_second: f64,
    /// The rate that the camera agreed to.
    pub promised: Option<f64>,
    pub gaps: u64,
    pub repeated: u64,
    pub damaged: u64,
    /// Stamps in the future.
    pub future: u64,
}

const FRAMES: u64 = 60;
/// Two seconds at 30 a second, and as much again for a slow start.
const PATIENCE: Nanos = Nanos::from_secs(6);

/// Of the first node that captures. None: there is no such node.
pub fn of_first_camera() -> Option<std::result::Result<Frames, String>> {
    let cameras = list::list();
    let camera = cameras.into_iter().find(|camera| camera.found.is_ok())?;
    let config = V4l2Config {
        device: camera.path,
        exact: false,
        // What the camera does is to be seen, not mended.
        recovery: RecoveryConfig {
            reopen: false,
            frozen: Frozen::Use,
            ..RecoveryConfig::default()
        },
        ..V4l2Config::default()
    };
    Some(take(&config).map_err(|fault| format!("{}: {}", fault.what, fault.why)))
}

fn take(config: &V4l2Config) -> Result<Frames> {
    let mut source = V4l2Source::open(config, 0)?;
    source.start()?;
    let counters = source.counters();
    let end = clock::now() + PATIENCE;
    let (mut taken, mut first, mut last) = (0, None, clock::now());
    // BOUND: PATIENCE.
    while taken < FRAMES && clock::now() < end {
        if !matches!(source.wait(end), Ok(Readiness::Ready)) {
            break;
        }
        let now = clock::now();
        let Ok(frame) = source.take(now) else { break };
        if let Some(frame) = frame {
            source.give_back(frame.empty());
            taken += 1;
            first.get_or_insert(now);
            last = now;
        }
    }
    source.stop();
    let time = last - first.unwrap_or(last);
    #[expect(clippy::cast_precision_loss, reason = "at most 60")]
    let intervals = taken.max(1) as f64 - 1.0;
    Ok(Frames {
        source: source.describe(),
        taken,
        per_second: if time > Nanos::ZERO {
            intervals / time.as_secs_f64()
        } else {
            0.0
        },
        promised: source.rate().map(|rate| 1.0 / rate.period().as_secs_f64()),
        gaps: counters.gaps.get(),
        repeated: counters.repeated.get(),
        damaged: counters.unusable.get() + counters.error_flagged.get() + counters.short.get(),
        future: counters.future_stamps.get(),
    })
}
