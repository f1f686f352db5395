//! A bench as text for the terminal.

use std::fmt::Write as _;

use crate::bench::data::{Bench, Flow, Kind};
use crate::telemetry::report::data::Verdict;

/// What a person reads.
pub fn text(bench: &Bench) -> String {
    let mut text = String::new();
    match bench.kind {
        Kind::Beside => beside(&mut text, bench),
        Kind::Latency => {}
    }
    for finding in &bench.findings {
        let _ = writeln!(text, "{finding}");
    }
    text
}

fn beside(text: &mut String, bench: &Bench) {
    let verdict = match bench.verdict {
        Verdict::Met => "it works",
        Verdict::Missed => "IT DOES NOT WORK",
        Verdict::NotJudged => "not judged",
    };
    let _ = writeln!(text, "bench beside a running robot: {verdict}");
    for reason in &bench.reasons {
        let _ = writeln!(text, "  {reason}");
    }
    for flow in bench.parts.iter().filter_map(|part| part.flow) {
        let _ = writeln!(text, "  {}", counts(&flow));
    }
}

fn counts(flow: &Flow) -> String {
    format!(
        "{} frames in, {} feature maps, {} chunks, {} actions out; {} dropped, {} failed",
        flow.frames, flow.feature_maps, flow.chunks, flow.actions, flow.dropped, flow.failed
    )
}
