//! The report as one page: no script, nothing fetched, light and dark.
//!
//! A pure function of a `Report`, so a page can be made again from a `report.json`.

use std::fmt::Write as _;

use crate::telemetry::durations::duration;
use crate::telemetry::report::axis::{label_ns, to_f64};
use crate::telemetry::report::data::{
    Curve, LatencyGoal, RateGoal, Report, TimelineReport, Verdict,
};
use crate::telemetry::report::plot::{self, Event, Limit};
use crate::telemetry::report::tables;

pub(crate) const STYLE: &str = include_str!("style.css");

/// The text of `report.html`.
pub fn page(report: &Report) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>reflexarc: {} · {}</title><style>{STYLE}</style></head><body><main>",
        report.verdict.name(),
        escape(&report.run.started)
    );
    header(&mut html, report);
    cards(&mut html, report);
    findings(&mut html, report);
    way(&mut html, report);
    latency(&mut html, report);
    over_time(&mut html, report);
    section(&mut html, "Stages", STAGES, &tables::stages(report));
    section(
        &mut html,
        "Links and sources",
        LINKS,
        &tables::flows(report),
    );
    section(&mut html, "Sensors", SENSORS, &tables::sensors(report));
    section(&mut html, "Streams", STREAMS, &tables::streams(report));
    section(&mut html, "Threads", THREADS, &tables::threads(report));
    section(&mut html, "Actions", ACTIONS, &tables::rungs(report));
    section(
        &mut html,
        "Policy and instructions",
        POLICY,
        &tables::policy(report),
    );
    section(&mut html, "Machine and run", "", &tables::machine(report));
    html.push_str("</main></body></html>\n");
    html
}

const STAGES: &str = "Wait: from when the input was ready until the stage took it. Work: until its result \
    was passed on. Age: of the camera's data at that moment. For the action stage, wait is how late the \
    beat of its clock began.";
const LINKS: &str = "Everything is accounted for: in = out + dropped + in flight.";
const THREADS: &str = "Work is the time its stages worked; CPU the time it was on a core, spinning \
    included; queued the time it was ready and another thread had the core. Counted from the start of the \
    run, after warm-up.";
const SENSORS: &str = "Received = accepted + refused. Fusion puts the readings in order of time; a state is asked of \
    each sensor at the time of each frame; how it was found stands under states. Predicted and default ones were not measured.";
const STREAMS: &str = "What the configuration asks for under [[stream]]: elements for which all conditions hold, and what is \
    said of them in windows.";
const ACTIONS: &str = "Each beat of the action clock plays from the highest rung that it can: a fresh chunk, \
    the tail of the last one, holding the position, the safe action. Offered = accepted + refused, and \
    accepted = played + unplayed + waiting.";
const POLICY: &str = "";

fn header(html: &mut String, report: &Report) {
    let run = &report.run;
    let machine = &report.environment;
    let facts = [
        run.started.clone(),
        duration(run.duration_ns).to_string(),
        run.encoder.clone(),
        run.policy.clone(),
        format!("{} x {}", machine.cores_online, machine.cpu_model),
        format!("Linux {}", machine.kernel),
    ];
    let shown = facts.iter().filter(|f| !f.is_empty());
    let facts: Vec<String> = shown
        .map(|f| format!("<span>{}</span>", escape(f)))
        .collect();
    let _ = write!(
        html,
        "<header><h1>reflexarc <small>run report</small></h1>\
         <p class=\"badge {}\">Goals {}</p><p class=\"facts\">{}</p></header>",
        class_of(report.verdict),
        report.verdict.name(),
        facts.join("")
    );
}

fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "good",
        Verdict::Missed => "bad",
        Verdict::NotJudged => "open",
    }
}

fn cards(html: &mut String, report: &Report) {
    html.push_str("<section class=\"cards\">");
    latency_card(html, "Camera to action", &report.goals.camera_to_action);
    latency_card(html, "Fusion", &report.goals.fusion);
    rate_card(html, &report.goals.elements_per_second);
    html.push_str("</section>");
}

fn latency_card(html: &mut String, name: &str, goal: &LatencyGoal) {
    let measured = match goal.verdict {
        Verdict::NotJudged => "no data".to_owned(),
        _ => duration(goal.measured_ns).to_string(),
    };
    let _ = write!(
        html,
        "<article class=\"{}\"><h3>{name} <small>p{}</small></h3><p class=\"value\">{measured}</p>{}\
         <p class=\"note\">limit {}, {} of {} over it, longest {}</p></article>",
        class_of(goal.verdict),
        goal.percentile,
        meter(ratio(goal.measured_ns, goal.limit_ns)),
        label_ns(to_f64(goal.limit_ns)),
        goal.above,
        goal.count,
        duration(goal.max_ns)
    );
}

fn rate_card(html: &mut String, goal: &RateGoal) {
    let busiest = if goal.busiest_thread.is_empty() {
        String::new()
    } else {
        format!(
            "; <code>{}</code> worked {:.1} % of the time",
            escape(&goal.busiest_thread),
            goal.busiest_work_fraction * 100.0
        )
    };
    let reached = goal.sustainable.max(goal.measured);
    let value = match goal.verdict {
        Verdict::NotJudged => "no data".to_owned(),
        _ => format!("{reached:.0}"),
    };
    let _ = write!(
        html,
        "<article class=\"{}\"><h3>Elements a second <small>sustainable</small></h3>\
         <p class=\"value\">{value}</p>{}\
         <p class=\"note\">at least {:.0} wanted, {:.0} passed in this run{busiest}</p></article>",
        class_of(goal.verdict),
        meter(reached / goal.limit.max(f64::MIN_POSITIVE)),
        goal.limit,
        goal.measured
    );
}

/// A bar with the limit at two thirds of its length.
fn meter(share_of_limit: f64) -> String {
    let width = (share_of_limit / 1.5).clamp(0.0, 1.0) * 100.0;
    format!("<div class=\"meter\"><i style=\"width:{width:.1}%\"></i><b></b></div>")
}

fn ratio(part: u64, whole: u64) -> f64 {
    to_f64(part) / to_f64(whole.max(1))
}

/// Why goals were missed, and what else a person should know.
fn findings(html: &mut String, report: &Report) {
    list(html, "Why", "why", &report.reasons);
    list(html, "Also worth knowing", "warnings", &report.warnings);
}

fn list(html: &mut String, title: &str, class: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(html, "<section class=\"{class}\"><h2>{title}</h2><ul>");
    for line in lines {
        let _ = write!(html, "<li>{}</li>", escape(line));
    }
    html.push_str("</ul></section>");
}

/// Where the time of the frames went, as one bar, and the spans as a table.
fn way(html: &mut String, report: &Report) {
    let mut body = String::from("<div class=\"way\">");
    for (index, span) in report.spans.iter().enumerate() {
        let kind = if span.wait { "wait" } else { "work" };
        let percent = span.share * 100.0;
        let name = if percent > 9.0 {
            span.name.as_str()
        } else {
            ""
        };
        let _ = write!(
            body,
            "<i class=\"{kind} c{}\" style=\"width:{percent:.3}%\" title=\"{} ({kind}): {percent:.1} %, \
             median {}\">{}</i>",
            index % 8,
            escape(&span.name),
            duration(span.duration.p50_ns),
            escape(name)
        );
    }
    body.push_str("</div>");
    body.push_str(&tables::spans(report));
    let residual = duration(report.end_to_end.residual_max_ns);
    let text = format!(
        "Of all frames together, from the camera's time stamp to the first action computed from the frame. \
         Solid is work, hatched is waiting. For each single frame the spans add up to its camera to action; \
         the largest difference in this run was {residual}."
    );
    section(html, "Where the time goes", &text, &body);
}

fn find_curves<'a>(report: &'a Report, names: &[&str]) -> Vec<&'a Curve> {
    let found = names
        .iter()
        .filter_map(|name| report.curves.iter().find(|c| c.name == *name));
    // A curve through fewer points says nothing that the table does not.
    found.filter(|c| c.count >= 10).collect()
}

fn find_lines<'a>(report: &'a Report, names: &[&str]) -> Vec<&'a TimelineReport> {
    let found = names
        .iter()
        .filter_map(|name| report.timelines.iter().find(|t| t.name == *name));
    found.collect()
}

fn limits(report: &Report) -> [Limit; 2] {
    [
        Limit {
            name: "camera to action".into(),
            ns: report.goals.camera_to_action.limit_ns,
        },
        Limit {
            name: "fusion".into(),
            ns: report.goals.fusion.limit_ns,
        },
    ]
}

fn latency(html: &mut String, report: &Report) {
    let mut body = tables::latencies(report);
    let [camera, fusion] = limits(report);
    let groups: [(&str, &[&str], &[Limit]); 4] = [
        (
            "Camera to action",
            &["camera to action", "data age at action"],
            &[camera],
        ),
        ("Fusion", &["fusion"], &[fusion]),
        (
            "Work of each stage",
            &[
                "capture work",
                "features work",
                "fusion work",
                "action work",
            ],
            &[],
        ),
        (
            "Waits and the action clock",
            &[
                "features wait",
                "fusion wait",
                "action jitter",
                "action period jitter",
            ],
            &[],
        ),
    ];
    for (title, names, limits) in groups {
        let curves = find_curves(report, names);
        if curves.is_empty() {
            continue;
        }
        figure(
            &mut body,
            title,
            curves.iter().map(|c| c.name.as_str()),
            &plot::percentiles(&curves, limits),
        );
    }
    let text = "By percentile: the value that this share of all stayed within. The dot at the end of a curve is \
                the maximum.";
    section(html, "Latency", text, &body);
}

fn over_time(html: &mut String, report: &Report) {
    let events = events(report);
    let mut body = String::new();
    let [camera, fusion] = limits(report);
    let groups: [(&str, &[&str], &[Limit]); 4] = [
        ("Camera to action", &["camera to action"], &[camera]),
        ("Fusion", &["fusion"], &[fusion]),
        (
            "Work of each stage",
            &[
                "capture work",
                "features work",
                "fusion work",
                "action work",
            ],
            &[],
        ),
        ("Action jitter", &["action jitter"], &[]),
    ];
    for (title, names, limits) in groups {
        let lines = find_lines(report, names);
        if lines.is_empty() {
            continue;
        }
        figure(
            &mut body,
            title,
            lines.iter().map(|l| l.name.as_str()),
            &plot::timeline(&lines, limits, &events),
        );
    }
    let text = "The line is the median of each interval, the shade reaches up to its maximum. Upright lines are \
                instructions, and in red the falls to hold and safe stop; point at one to read it.";
    section(html, "Over time", text, &body);
}

fn events(report: &Report) -> Vec<Event> {
    let falls = report.rungs.changes.iter().map(|change| Event {
        at_ns: change.at_ns,
        text: format!("{} to {}", change.from, change.to),
        bad: matches!(change.to.as_str(), "hold" | "stop"),
    });
    let instructions = report.instructions.ways.iter().filter_map(|way| {
        Some(Event {
            at_ns: way.received_at_ns?,
            text: format!("instruction {}: {}", way.id, way.text),
            bad: false,
        })
    });
    falls.filter(|f| f.bad).chain(instructions).collect()
}

pub(crate) fn figure<'a>(
    html: &mut String,
    title: &str,
    names: impl Iterator<Item = &'a str>,
    svg: &str,
) {
    let _ = write!(
        html,
        "<figure><figcaption>{title}{}</figcaption>{svg}</figure>",
        plot::legend(names)
    );
}

pub(crate) fn section(html: &mut String, title: &str, text: &str, body: &str) {
    if body.is_empty() {
        return;
    }
    let _ = write!(html, "<section><h2>{title}</h2>");
    if !text.is_empty() {
        let _ = write!(html, "<p class=\"note\">{text}</p>");
    }
    html.push_str(body);
    html.push_str("</section>");
}

/// Text that means itself in HTML, also within quotes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}
