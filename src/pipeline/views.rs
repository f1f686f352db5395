//! The cameras other than the first: capture and features of each share a thread, below the way; what they make waits in
//! fusion until a frame of the first camera asks for it.
//!
//! Thread: main, before the first frame. Allocates: everything, here.

use super::running::CameraCounts;
use crate::capture::Source;
use crate::capture::stage::CaptureStage;
use crate::features::Encoder;
use crate::features::stage::{Features, FeaturesStage};
use crate::fusion::views::{VIEW_MAPS, VIEW_ROOM, ViewConfig, ViewLane};
use crate::link::policy::{LinkPolicy, WhenFull};
use crate::link::{self, EveryWriter, LinkCount};
use crate::rt::sync::Arc;
use crate::rt::wait::Bell;
use crate::stage::{self, Next};
use crate::telemetry::collect::Collector;

/// A camera that adds to the frames of the first.
pub struct OtherCamera {
    pub source: Box<dyn Source>,
    pub encoder: Box<dyn Encoder>,
    pub view: ViewConfig,
}

/// A camera, joined to fusion.
pub(super) struct View {
    pub stage: CaptureStage,
    pub lane: ViewLane,
    pub home: EveryWriter<Box<Features>>,
    pub counts: CameraCounts,
    pub links: [(&'static str, &'static str, Arc<LinkCount>); 4],
}

/// Joins camera `number` (1 and up) to fusion; `home` is the number of its maps' way home.
pub(super) fn join(
    camera: OtherCamera,
    number: usize,
    home: usize,
    collector: &mut Collector,
) -> View {
    let OtherCamera {
        source,
        encoder,
        view,
    } = camera;
    let (number, home) = (small(number), small(home));
    let silent = Bell::silent();
    let policy = LinkPolicy {
        when_full: WhenFull::DropOldest,
        room: VIEW_ROOM,
        ..LinkPolicy::NEWEST
    };
    let (to_view, maps) = stage::link(policy, &silent);
    let lane = ViewLane::new(maps, view);
    let counts = CameraCounts::of(&*source, Some(lane.counters()));
    let (maps_home_in, maps_home) = link::every(VIEW_MAPS, &silent);
    let capture_bell = Bell::new();
    let slots = source.slot_count() as usize;
    let (slots_home_in, slots_home) = link::every(slots, &capture_bell);
    let format = source.format();
    let map = || Box::new(Features::new(&*encoder, &format, home));
    let free = std::iter::repeat_with(map).take(VIEW_MAPS).collect();
    let (to_fusion, slots_count) = (to_view.count(), slots_home_in.count());
    let features = FeaturesStage::new(
        encoder,
        free,
        maps_home,
        silent,
        slots_home_in,
        to_view,
        collector.probe(&format!("camera-{number} features")),
    );
    let to_features = Next::call(Box::new(features), LinkPolicy::NEWEST);
    let links = [
        (
            "capture -> features",
            to_features.kind(),
            to_features.count(),
        ),
        ("features -> fusion", "recent", to_fusion),
        ("slots home", "every", slots_count),
        ("maps home", "every", maps_home_in.count()),
    ];
    let probe = collector.probe(&format!("camera-{number} capture"));
    let homes = vec![slots_home];
    let stage = CaptureStage::new(source, number, to_features, homes, capture_bell, probe);
    View {
        stage,
        lane,
        home: maps_home_in,
        counts,
        links,
    }
}

/// There are at most 16 workers and 8 cameras.
fn small(number: usize) -> u8 {
    u8::try_from(number).expect("workers and cameras are few")
}
