//! An estimate as a drawing: the latency of each item, and how many there are at once, batch against stream.

use std::fmt::Write as _;

use crate::estimate::figure::{count_f64, nanos_f64};
use crate::estimate::queue::{Item, in_system};
use crate::estimate::setting::Setting;
use crate::estimate::show::describe;
use crate::telemetry::report::axis::{Axis, label_ns, label_seconds};
use crate::telemetry::report::html::escape;
use crate::telemetry::report::plot::{
    HEIGHT, LEFT, TOP, WIDTH, grid_y, polyline, tick_x, value_range,
};
use crate::units::Nanos;

/// Above each of the two plots: its title and the names of its lines.
const HEAD: f64 = 34.0;
/// Points of a line, at most.
// BOUND: two for each pixel of the width; more cannot be seen.
const POINTS: usize = 2_000;

const STYLE: &str = "\
svg { --ink: #1d2125; --soft: #5d666f; --rule: #e3e5e8; background: #fff; font-family: system-ui, sans-serif; }\
.c0 { --c: #d9711a; } .c1 { --c: #2463c9; } .c2 { --c: #21896b; }\
.title { fill: var(--ink); font-size: 15px; font-weight: 600; } .name { fill: var(--c); font-size: 13px; }\
.grid { stroke: var(--rule); } .tick { fill: var(--soft); font-size: 12px; }\
.end { text-anchor: end; } .middle { text-anchor: middle; }\
.line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; } .c2 { stroke-dasharray: 7 5; }";

/// One way of the items.
pub struct Way<'a> {
    pub name: &'a str,
    pub items: &'a [Item],
}

impl<'a> Way<'a> {
    pub fn new(name: &'a str, items: &'a [Item]) -> Self {
        Self { name, items }
    }
}

/// The text of an SVG file.
pub fn svg(setting: &Setting, ways: &[Way<'_>]) -> String {
    let height = HEAD * 3.0 + HEIGHT * 2.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\
         <style>{STYLE}</style><text class=\"title\" x=\"{LEFT}\" y=\"22\">{}</text>",
        escape(&describe(setting))
    );
    panel(
        &mut svg,
        HEAD,
        "Latency of each item, by its arrival",
        ways,
        latencies,
    );
    let second = HEAD * 2.0 + HEIGHT;
    panel(&mut svg, second, "Items at once, over time", ways, counts);
    svg.push_str("</svg>\n");
    svg
}

type Draw = fn(&mut String, &[Way<'_>]);

fn panel(svg: &mut String, top: f64, title: &str, ways: &[Way<'_>], draw: Draw) {
    let _ = write!(
        svg,
        "<g transform=\"translate(0 {top})\"><text class=\"title\" x=\"{LEFT}\" y=\"20\">{title}</text>"
    );
    for (index, way) in ways.iter().enumerate() {
        let x = WIDTH - 100.0 * count_f64((ways.len() - index) as u64);
        let name = escape(way.name);
        let _ = write!(
            svg,
            "<text class=\"name c{index}\" x=\"{x}\" y=\"20\">{name}</text>"
        );
    }
    let _ = write!(svg, "<g transform=\"translate(0 {HEAD})\">");
    draw(svg, ways);
    svg.push_str("</g></g>");
}

fn latencies(svg: &mut String, ways: &[Way<'_>]) {
    let lines: Vec<Vec<(Nanos, Nanos)>> = ways
        .iter()
        .map(|way| {
            let points = way
                .items
                .iter()
                .filter_map(|i| Some((i.arrived, i.latency()?)));
            thin(&points.collect::<Vec<_>>())
        })
        .collect();
    let x = time_axis(svg, lines.iter().flatten().map(|point| point.0));
    let all = lines.iter().flatten().map(|point| point.1.clamp_u64());
    let y = value_range(all);
    grid_y(svg, &y, label_ns);
    for (index, line) in lines.iter().enumerate() {
        let places = line
            .iter()
            .map(|(at, latency)| (x.place(seconds(*at)), y.place(nanos_f64(*latency))));
        polyline(svg, &format!("line c{index}"), places);
    }
}

fn counts(svg: &mut String, ways: &[Way<'_>]) {
    let lines: Vec<Vec<(Nanos, u32)>> =
        ways.iter().map(|way| thin(&in_system(way.items))).collect();
    let x = time_axis(svg, lines.iter().flatten().map(|point| point.0));
    let most = lines
        .iter()
        .flatten()
        .map(|point| point.1)
        .max()
        .unwrap_or(1);
    let bottom = HEIGHT - crate::telemetry::report::plot::BOTTOM;
    let y = Axis::linear(0.0, f64::from(most) * 1.08, bottom, TOP);
    grid_y(svg, &y, |count| format!("{count}"));
    for (index, line) in lines.iter().enumerate() {
        let mut last = 0.0;
        let places = line.iter().flat_map(|(at, count)| {
            let (x, height) = (x.place(seconds(*at)), y.place(f64::from(*count)));
            let before = std::mem::replace(&mut last, height);
            let from = if before == 0.0 { y.place(0.0) } else { before };
            [(x, from), (x, height)]
        });
        polyline(svg, &format!("line c{index}"), places);
    }
}

fn time_axis(svg: &mut String, instants: impl Iterator<Item = Nanos>) -> Axis {
    let end = instants.max().unwrap_or_default();
    let x = Axis::linear(
        0.0,
        seconds(end),
        LEFT,
        WIDTH - crate::telemetry::report::plot::RIGHT,
    );
    for tick in x.ticks(8) {
        tick_x(svg, x.place(tick), &label_seconds(tick));
    }
    x
}

fn seconds(at: Nanos) -> f64 {
    at.as_secs_f64()
}

/// Of many points the highest of each group, so that no peak is lost, and the last.
fn thin<T: Copy + PartialOrd>(points: &[(Nanos, T)]) -> Vec<(Nanos, T)> {
    let group = points.len().div_ceil(POINTS).max(1);
    let highest = |group: &[(Nanos, T)]| {
        group
            .iter()
            .copied()
            .reduce(|a, b| if b.1 > a.1 { b } else { a })
    };
    let mut thinned: Vec<_> = points.chunks(group).filter_map(highest).collect();
    if group > 1 {
        thinned.extend(points.last());
    }
    thinned
}
