//! Whether the way of a frame works at all, however slowly: judged by what was counted, never by times.

use crate::bench::data::Flow;
use crate::telemetry::report::data::Report;

impl Flow {
    pub fn of(report: &Report) -> Self {
        let at_links = report.links.iter().map(|link| link.dropped_total());
        let at_sources = report.sources.iter().flat_map(|s| s.dropped.values());
        let failed = report.stages.iter().flat_map(|stage| stage.failed.values());
        Self {
            frames: report.elements.frames,
            feature_maps: report.elements.feature_maps,
            chunks: report.elements.chunks,
            actions: report.elements.actions,
            fresh_beats: report.rungs.fresh,
            missed_beats: report.rungs.missed,
            dropped: at_links.sum::<u64>() + at_sources.sum::<u64>(),
            failed: failed.sum(),
        }
    }
}

/// What does not work, in words. Empty: frames came in, each is accounted for, nothing failed, and actions went out.
pub fn broken(report: &Report) -> Vec<String> {
    let flow = Flow::of(report);
    let must_come = [
        (flow.frames, "no frame came from the camera"),
        (flow.feature_maps, "no frame became a feature map"),
        (flow.chunks, "the policy made no chunk of actions"),
        (flow.actions, "no action was sent"),
        (
            flow.fresh_beats,
            "no beat of the action clock played a chunk in time",
        ),
    ];
    // What comes later on the way cannot be there without what comes before: the first that is missing is the cause.
    let missing = must_come
        .iter()
        .find(|(count, _)| *count == 0)
        .map(|(_, said)| (*said).to_owned());
    let unbalanced = report
        .links
        .iter()
        .filter(|link| !link.is_balanced())
        .map(|link| {
            format!(
                "not everything is accounted for on the link {}: {} in, {} out, {} dropped, {} in flight",
                link.name,
                link.entered,
                link.left,
                link.dropped_total(),
                link.in_flight
            )
        });
    let failed = report.stages.iter().flat_map(|stage| {
        let said = |(reason, count)| format!("{count} steps of {} failed: {reason}", stage.name);
        stage.failed.iter().map(said)
    });
    let interrupted = report
        .sources
        .iter()
        .flat_map(|source| &source.interruptions)
        .map(|told| format!("the camera was lost: {}", told.cause));
    let stuck = (report.run.ended_by == "a stuck thread").then(|| "a thread got stuck".to_owned());
    missing
        .into_iter()
        .chain(unbalanced)
        .chain(failed)
        .chain(interrupted)
        .chain(stuck)
        .collect()
}
