//! The cameras of a run: opened, with what makes features of their frames.
//!
//! Thread: main, before the run. Allocates: yes. Blocks: on devices and files.

use std::path::Path;
use std::thread;

use crate::action::Sink;
use crate::capture::Source;
use crate::capture::file::FileSource;
use crate::capture::spec::{Settings, SourceKind};
use crate::capture::synthetic::SyntheticSource;
use crate::capture::v4l2::V4l2Source;
use crate::clock;
use crate::config::{CameraConfig, Config};
use crate::error::{Fault, Kind, Result};
use crate::features::encoders;
use crate::features::{Encoder, FeatureMap, FrameView};
use crate::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use crate::lens::Lens;
use crate::link::policy::{LinkConfig, WhenFull};
use crate::pipeline::{LinkPolicies, OtherCamera};
use crate::record::config::Frames;
use crate::record::recorder::EXTRA_SLOTS;
use crate::rt::crew::Partner;
use crate::rt::stop::Stop;
use crate::rt::wait::WaitPolicy;
use crate::scene::{Scene, SceneTruth};
use crate::sensor::SensorSource;
use crate::units::{MonoTime, Nanos};

/// The camera, with the slots that a recorder holds on top of its own.
pub(super) fn first_of(config: &Config) -> CameraConfig {
    let mut camera = config.camera.first.clone();
    let pictures = config.record.frames != Frames::None;
    if config.record.path.is_some() && pictures {
        for slots in [
            &mut camera.v4l2.buffers,
            &mut camera.file.slots,
            &mut camera.synthetic.slots,
            &mut camera.scene.slots,
        ] {
            *slots = (*slots + EXTRA_SLOTS).min(32);
        }
    }
    camera
}

/// The ends of a scene besides its frames.
pub(super) struct SceneEnds {
    pub sensor: Box<dyn SensorSource>,
    pub sink: Box<dyn Sink>,
    pub truth: SceneTruth,
}

/// The configuration of a kind of source, with what the source itself says on top.
fn said<C: Settings + Clone>(camera: &CameraConfig, config: &C) -> Result<C> {
    let mut config = config.clone();
    camera.source.apply_to(&mut config).map_err(|why| {
        Fault::new(
            Kind::Usage,
            format!("the {} source cannot be opened", camera.source.kind.name()),
            why,
            "see `reflexarc run --help` and reflexarc.example.toml",
        )
    })?;
    Ok(config)
}

/// Opens the source of camera `index`.
pub(super) fn open_source(
    camera: &CameraConfig,
    index: u8,
    models: &Path,
) -> Result<(Box<dyn Source>, Option<SceneEnds>)> {
    Ok(match camera.source.kind {
        SourceKind::Scene => {
            let (source, sensor, sink, truth) = Scene::open(&said(camera, &camera.scene)?, models)?;
            let ends = SceneEnds {
                sensor: Box::new(sensor),
                sink: Box::new(sink),
                truth,
            };
            (Box::new(source), Some(ends))
        }
        SourceKind::V4l2 => (
            Box::new(V4l2Source::open(&said(camera, &camera.v4l2)?, index)?),
            None,
        ),
        SourceKind::File => {
            let config = said(camera, &camera.file)?;
            if config.path.as_os_str().is_empty() {
                return Err(Fault::new(
                    Kind::Usage,
                    "the source `file` has no path",
                    "neither the source nor camera.file.path says which file",
                    "write file:PATH, or set camera.file.path in the configuration",
                ));
            }
            (Box::new(FileSource::open(&config, index)?), None)
        }
        SourceKind::Synthetic => (
            Box::new(SyntheticSource::open(
                &said(camera, &camera.synthetic)?,
                index,
            )?),
            None,
        ),
    })
}

/// True if a synthetic source was given a number of frames.
pub(super) fn is_limited(camera: &CameraConfig) -> bool {
    let mut config = camera.synthetic.clone();
    camera.source.kind == SourceKind::Synthetic
        && camera.source.apply_to(&mut config).is_ok()
        && config.frames.is_some()
}

/// The camera's lens: the scene knows its own, and takes it from the configuration where there is no scene.
pub(super) fn lens(config: &Config, format: &FrameFormat) -> Result<Lens> {
    let across = match config.camera.first.source.kind {
        SourceKind::Scene => said(&config.camera.first, &config.camera.first.scene)?.field_of_view,
        _ => config.policy.gaze.field_of_view,
    };
    let aspect = f64::from(format.width) / f64::from(format.height);
    Ok(Lens::new(across, aspect))
}

/// Runs the encoder on an empty frame, with its partners, and measures it warm: the plan follows from that.
pub(super) fn warm_up(
    encoder: &mut dyn Encoder,
    partners: &mut [Partner],
    format: &FrameFormat,
) -> Nanos {
    const SLEEP: WaitPolicy = WaitPolicy::Park { spin: Nanos::ZERO };
    const TURN: Nanos = Nanos::from_millis(5);
    let done = Stop::default();
    thread::scope(|scope| {
        for partner in partners {
            scope.spawn(|| {
                while !done.asked() {
                    partner.serve(SLEEP, clock::now() + TURN);
                }
            });
        }
        let work = measure(encoder, format);
        done.ask();
        work
    })
}

fn measure(encoder: &mut dyn Encoder, format: &FrameFormat) -> Nanos {
    const RUNS: usize = 5;
    let bytes = vec![128; format.frame_bytes()];
    let meta = FrameMeta {
        seq: 0,
        source_index: 0,
        format: *format,
        bytes_used: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        captured: MonoTime::ZERO,
        stamp: StampSource::Arrival,
        arrived: MonoTime::ZERO,
        marks: FrameMarks::default(),
    };
    let mut map = FeatureMap::new(encoder.shape());
    // This thread is not real-time yet, so others may have the core for some of the runs: the least is what the work takes.
    let mut least = Nanos(i64::MAX);
    for _ in 0..RUNS {
        let begin = clock::now();
        // Grey bytes are no JPEG: with MJPG only the network is measured, and decoding comes on top.
        if format.pixel != PixelFormat::Mjpeg {
            let _ = encoder.load(FrameView {
                meta: &meta,
                bytes: &bytes,
            });
        }
        let _ = encoder.encode(&mut map);
        least = least.min(clock::now() - begin);
    }
    least
}

/// Opens the cameras after the first.
pub(super) fn open_others(config: &Config, models: &Path) -> Result<Vec<OtherCamera>> {
    let others = config.camera.others.iter().zip(1..);
    others
        .map(|(camera, index)| {
            let (source, _) = open_source(camera, index, models)?;
            let encoder = encoders::open(&config.encoder, source.format())?;
            Ok(OtherCamera {
                source,
                encoder,
                view: camera.view.clone().unwrap_or_default(),
            })
        })
        .collect()
}

/// What the links do with more than their readers can take; `slots` are the first camera's.
pub(super) fn links(config: &Config, slots: u32) -> Result<LinkPolicies> {
    /// Slots that are not in the link: the driver fills one, the features stage reads one, one is on its way home.
    const BUSY: u32 = 3;
    let default = LinkPolicies::default();
    let written = &config.links;
    let waiting = slots.saturating_sub(BUSY).max(1);
    let frames = LinkConfig {
        room: written.frames.room.or(Some(waiting)),
        ..written.frames.clone()
    };
    let links = LinkPolicies {
        frames: frames.over(default.frames),
        features: written.features.over(default.features),
        readings: written.readings.over(default.readings),
    };
    let keeps = links.frames.when_full != WhenFull::NewestOnly;
    if keeps && links.frames.room > waiting as usize {
        return Err(Fault::new(
            Kind::Config,
            format!(
                "links.frames.room = {} with {slots} slots of the camera",
                links.frames.room
            ),
            format!(
                "{BUSY} slots are always elsewhere: with the driver, being read, on the way home"
            ),
            format!(
                "write at most {waiting}, or give the camera more (camera.v4l2.buffers, camera.*.slots)"
            ),
        ));
    }
    Ok(links)
}
