//! Plots as SVG: percentiles on an axis of nines, and durations over the time of the run.
//!
//! Colours come from the page's style sheet, by class, so that plots follow its light and dark themes.

use std::fmt::Write as _;

use crate::telemetry::report::axis::{Axis, label_ns, label_seconds, to_f64};
use crate::telemetry::report::data::{Curve, TimelineReport};
use crate::telemetry::report::html::escape;

pub(crate) const WIDTH: f64 = 960.0;
pub(crate) const HEIGHT: f64 = 300.0;
pub(crate) const LEFT: f64 = 68.0;
pub(crate) const RIGHT: f64 = 16.0;
pub(crate) const TOP: f64 = 14.0;
pub(crate) const BOTTOM: f64 = 34.0;

/// A horizontal line that values should stay below.
#[derive(Clone, Debug)]
pub struct Limit {
    pub name: String,
    pub ns: u64,
}

/// Something that happened at an instant of the run.
#[derive(Clone, Debug)]
pub struct Event {
    pub at_ns: u64,
    pub text: String,
    /// True for something that went wrong.
    pub bad: bool,
}

/// Latency over percentile, the horizontal axis in nines: each step right leaves a tenth.
pub fn percentiles(curves: &[&Curve], limits: &[Limit]) -> String {
    let highest = curves.iter().map(|c| nines(1.0, c.count));
    let nines_max = highest.fold(1.0, f64::max);
    let x = Axis::linear(0.0, nines_max, LEFT, WIDTH - RIGHT);
    let values = curves.iter().flat_map(|c| c.points.iter().map(|p| p.1));
    let y = value_axis(values, limits);

    let mut svg = open("percentile plot");
    grid_y(&mut svg, &y, label_ns);
    for (nines, text) in [
        (0.0, "0"),
        (0.301, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
        (4.0, "99.99 %"),
        (5.0, "99.999 %"),
        (6.0, "99.9999 %"),
    ] {
        if nines <= nines_max {
            tick_x(&mut svg, x.place(nines), text);
        }
    }
    draw_limits(&mut svg, &y, limits);
    for (index, curve) in curves.iter().enumerate() {
        let points = curve
            .points
            .iter()
            .map(|(quantile, ns)| (x.place(nines(*quantile, curve.count)), y.place_ns(*ns)));
        polyline(&mut svg, &format!("line c{index}"), points);
        if let Some((_, max)) = curve.points.last() {
            let (cx, cy) = (x.place(nines(1.0, curve.count)), y.place_ns(*max));
            let title = format!("{}: maximum {}", curve.name, label_ns(to_f64(*max)));
            dot(&mut svg, index, cx, cy, &title);
        }
    }
    close(svg)
}

/// How many nines a quantile has: 0.9 has one, 0.99 two. The largest of `count` samples stands where a share
/// of 1 / `count` is left.
fn nines(quantile: f64, count: u64) -> f64 {
    let left = (1.0 - quantile).max(1.0 / to_f64(count.max(1)));
    -left.log10()
}

/// For each interval of the run: the median as a line, and the space up to the maximum shaded.
pub fn timeline(lines: &[&TimelineReport], limits: &[Limit], events: &[Event]) -> String {
    let ends = lines.iter().filter_map(|line| {
        let last = line.points.last()?;
        Some(to_f64(last.at_ns + line.interval_ns) / 1e9)
    });
    let end = ends.fold(1.0, f64::max);
    let x = Axis::linear(0.0, end, LEFT, WIDTH - RIGHT);
    let values = lines
        .iter()
        .flat_map(|l| l.points.iter().flat_map(|p| [p.p50_ns, p.max_ns]));
    let y = value_axis(values, limits);

    let mut svg = open("time line");
    grid_y(&mut svg, &y, label_ns);
    for seconds in x.ticks(8) {
        tick_x(&mut svg, x.place(seconds), &label_seconds(seconds));
    }
    draw_events(&mut svg, &x, events);
    draw_limits(&mut svg, &y, limits);
    for (index, line) in lines.iter().enumerate() {
        let middle = |p: &super::data::TimelinePoint| {
            x.place((to_f64(p.at_ns) + to_f64(line.interval_ns) / 2.0) / 1e9)
        };
        let median = || {
            line.points
                .iter()
                .map(|p| (middle(p), y.place_ns(p.p50_ns)))
        };
        let top = line
            .points
            .iter()
            .map(|p| (middle(p), y.place_ns(p.max_ns)));
        polygon(
            &mut svg,
            &format!("area c{index}"),
            median().chain(top.clone().rev()),
        );
        polyline(&mut svg, &format!("line thin c{index}"), top);
        polyline(&mut svg, &format!("line c{index}"), median());
    }
    close(svg)
}

/// A sample of each colour with its name.
pub fn legend<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut html = String::from("<p class=\"legend\">");
    for (index, name) in names.enumerate() {
        let _ = write!(
            html,
            "<span><i class=\"swatch c{index}\"></i>{}</span>",
            escape(name)
        );
    }
    html.push_str("</p>");
    html
}

fn value_axis(values: impl Iterator<Item = u64>, limits: &[Limit]) -> Axis {
    value_range(values.chain(limits.iter().map(|limit| limit.ns)))
}

/// The vertical axis of a plot of these durations in nanoseconds.
pub(crate) fn value_range(values: impl Iterator<Item = u64>) -> Axis {
    let (mut low, mut high) = (u64::MAX, 0);
    // A value of 0 (below the clock's resolution) is no guide for the lower end of a logarithmic axis.
    for ns in values.filter(|ns| *ns > 0) {
        low = low.min(ns);
        high = high.max(ns);
    }
    Axis::nanos(low.min(high), high, HEIGHT - BOTTOM, TOP)
}

fn open(what: &str) -> String {
    format!(
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{what}\">"
    )
}

fn close(mut svg: String) -> String {
    svg.push_str("</svg>");
    svg
}

pub(crate) fn grid_y(svg: &mut String, y: &Axis, label: impl Fn(f64) -> String) {
    let right = WIDTH - RIGHT;
    for value in y.ticks(6) {
        let at = y.place(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            label(value)
        );
    }
}

pub(crate) fn tick_x(svg: &mut String, at: f64, text: &str) {
    let bottom = HEIGHT - BOTTOM;
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
         <text class=\"tick middle\" x=\"{at:.1}\" y=\"{:.1}\">{text}</text>",
        bottom + 18.0
    );
}

fn draw_limits(svg: &mut String, y: &Axis, limits: &[Limit]) {
    for limit in limits {
        let at = y.place_ns(limit.ns);
        let _ = write!(
            svg,
            "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"limit-name\" x=\"{}\" y=\"{:.1}\">{} {}</text>",
            WIDTH - RIGHT,
            LEFT + 10.0,
            at - 5.0,
            escape(&limit.name),
            label_ns(to_f64(limit.ns))
        );
    }
}

fn draw_events(svg: &mut String, x: &Axis, events: &[Event]) {
    for event in events {
        let seconds = to_f64(event.at_ns) / 1e9;
        let at = x.place(seconds);
        let class = if event.bad { "event bad" } else { "event" };
        let _ = write!(
            svg,
            "<g class=\"{class}\"><title>{} at {}</title>\
             <line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
             <circle cx=\"{at:.1}\" cy=\"{TOP}\" r=\"4\"/></g>",
            escape(&event.text),
            label_seconds(seconds),
            HEIGHT - BOTTOM
        );
    }
}

fn dot(svg: &mut String, index: usize, cx: f64, cy: f64, title: &str) {
    let _ = write!(
        svg,
        "<circle class=\"dot c{index}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.5\"><title>{}</title></circle>",
        escape(title)
    );
}

pub(crate) fn polyline(svg: &mut String, class: &str, points: impl Iterator<Item = (f64, f64)>) {
    shape(svg, "polyline", class, points);
}

fn polygon(svg: &mut String, class: &str, points: impl Iterator<Item = (f64, f64)>) {
    shape(svg, "polygon", class, points);
}

fn shape(svg: &mut String, tag: &str, class: &str, points: impl Iterator<Item = (f64, f64)>) {
    let _ = write!(svg, "<{tag} class=\"{class}\" points=\"");
    for (x, y) in points {
        let _ = write!(svg, "{x:.1},{y:.1} ");
    }
    svg.push_str("\"/>");
}
