//! Which cores: online, clusters, big and small ones, siblings.

use crate::doctor::check::{Category, Check, Fix, Outcome, Setting};
use crate::doctor::cpus;
use crate::doctor::view::View;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Power,
        ("C04", "cores online"),
        online,
        "A power mode or a kernel argument can switch cores off. If an isolated one is gone, its threads share another.",
        "",
    ),
    Check::new(
        Category::Power,
        ("C05", "a cluster of their own"),
        cluster,
        "Cores of a cluster share a clock and a cache: what housekeeping does there is felt on the way.",
        "The clusters of the Orin Nano and of Thor are inferred from the chip, not read on a board.",
    ),
    Check::new(
        Category::Power,
        ("C06", "big cores"),
        big,
        "Boards with cores of two sizes have the small ones at the low numbers: RK3588's cores 0-3 have less than half of the speed.",
        "",
    ),
    Check::new(
        Category::Power,
        ("C07", "no busy sibling"),
        siblings,
        "Two hardware threads share one core: while the sibling works, ours has about half of it, whatever its priority.",
        "",
    ),
];

fn core_file(core: usize, file: &str) -> String {
    format!("sys/devices/system/cpu/cpu{core}/{file}")
}

fn online(view: &View<'_>) -> Outcome {
    let read = view.text("sys/devices/system/cpu/online");
    if read.found.is_err() {
        return Outcome::unknown("it is not known which cores are online").seen(&read);
    }
    let present = view.text("sys/devices/system/cpu/present");
    let here = &view.cores.online;
    let expected = view
        .board
        .and_then(|board| board.cores.count.as_ref())
        .map(|fact| fact.value);
    let there = view
        .core_list("sys/devices/system/cpu/present")
        .found
        .unwrap_or_default();
    let off = cpus::without(&there, here);
    let lost = cpus::both(&off, &view.cores.way);
    let outcome = match expected {
        _ if !lost.is_empty() => Outcome::fail(format!(
            "{}, without {} of the way",
            cpus::list(here),
            cpus::list(&lost)
        )),
        Some(count) if here.len() < count => {
            Outcome::fail(format!("{} ({})", here.len(), cpus::list(here)))
        }
        Some(count) if here.len() > count => Outcome::warn(format!(
            "{} ({}), more than the board file knows",
            here.len(),
            cpus::list(here)
        )),
        _ if !off.is_empty() => Outcome::pass(format!(
            "{}, and {} are switched off",
            cpus::list(here),
            cpus::list(&off)
        )),
        _ => Outcome::pass(format!("{} ({})", here.len(), cpus::list(here))),
    };
    let requested = expected.map_or("all that are there".to_owned(), |count| count.to_string());
    let settings = off
        .iter()
        .map(|core| Setting::new(core_file(*core, "online"), "1"))
        .collect();
    outcome
        .requested(requested)
        .seen(&read)
        .seen(&present)
        .fix(Fix::set(
            settings,
            "the power mode by name (C09); remove maxcpus= and nosmt from the kernel's arguments",
        ))
}

/// The cores that share a cluster or a clock with one, if the kernel says so.
fn cluster_of(view: &View<'_>, core: usize) -> Option<Vec<usize>> {
    let clock = view
        .core_list(&core_file(core, "cpufreq/related_cpus"))
        .found
        .ok()
        .map(|cores| {
            // This file has blanks between its numbers.
            let raw = view
                .text(&core_file(core, "cpufreq/related_cpus"))
                .found
                .unwrap_or_default();
            let apart: Vec<usize> = raw
                .split_whitespace()
                .filter_map(|n| n.parse().ok())
                .collect();
            if apart.len() > 1 { apart } else { cores }
        });
    let cluster = view
        .core_list(&core_file(core, "topology/cluster_cpus_list"))
        .found
        .ok();
    match (clock, cluster) {
        (Some(a), Some(b)) => Some([a, b].concat()),
        (a, b) => a.or(b),
    }
}

fn cluster(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let all: Vec<Vec<usize>> = way
        .iter()
        .filter_map(|core| cluster_of(view, *core))
        .collect();
    let shown = view.text(&core_file(way[0], "topology/cluster_cpus_list"));
    let clock = view.text(&core_file(way[0], "cpufreq/related_cpus"));
    if all.is_empty() {
        return Outcome::unknown("the kernel shows no clusters")
            .requested("shared with no core of housekeeping")
            .seen(&shown)
            .seen(&clock);
    }
    let mut shared: Vec<usize> = all
        .iter()
        .flat_map(|cluster| cpus::both(cluster, &view.cores.housekeeping))
        .collect();
    shared.sort_unstable();
    shared.dedup();
    let outcome = if shared.is_empty() {
        Outcome::pass("shared with no core of housekeeping")
    } else {
        Outcome::warn(format!(
            "shared with {} of housekeeping",
            cpus::in_words(&shared)
        ))
    };
    let outcome = outcome
        .requested("shared with no core of housekeeping")
        .seen(&shown)
        .seen(&clock);
    let has_one_cluster = all
        .iter()
        .any(|cluster| cpus::without(&view.cores.online, cluster).is_empty());
    outcome.fix(Fix::by_hand(if has_one_cluster {
        "nothing: all cores of this processor are in one cluster; keep its clock fixed (C01)"
    } else {
        "choose whole clusters for the way (isolated and housekeeping in the board file)"
    }))
}

fn big(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let capacity = |core: usize| {
        view.text(&core_file(core, "cpu_capacity"))
            .found
            .ok()?
            .parse::<u32>()
            .ok()
    };
    let Some(largest) = view
        .cores
        .online
        .iter()
        .filter_map(|core| capacity(*core))
        .max()
    else {
        return Outcome::not_applicable("the kernel sees no difference between cores")
            .seen(&view.text(&core_file(way[0], "cpu_capacity")));
    };
    let small: Vec<usize> = way
        .iter()
        .copied()
        .filter(|core| capacity(*core).is_some_and(|c| c * 10 < largest * 9))
        .collect();
    let outcome = if small.is_empty() {
        Outcome::pass("all of the way are of the largest kind")
    } else {
        Outcome::fail(format!("{} are small", cpus::in_words(&small)))
    };
    let shown: Vec<String> = way
        .iter()
        .map(|core| format!("core {core}: {}", capacity(*core).unwrap_or_default()))
        .collect();
    outcome
        .requested(format!("capacity {largest} on {}", cpus::in_words(way)))
        .shown("sys/devices/system/cpu/cpu*/cpu_capacity", shown.join(", "))
        .fix(Fix::by_hand("isolate cores of the largest capacity").with_reboot())
}

fn siblings(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let mut busy = Vec::new();
    let mut known = false;
    for &core in way {
        let list = view.core_list(&core_file(core, "topology/thread_siblings_list"));
        let Ok(siblings) = list.found else { continue };
        known = true;
        busy.extend(
            cpus::without(&siblings, way)
                .into_iter()
                .filter(|other| *other != core && view.cores.online.contains(other)),
        );
    }
    busy.sort_unstable();
    busy.dedup();
    let shown = view.text(&core_file(way[0], "topology/thread_siblings_list"));
    let outcome = match (known, busy.as_slice()) {
        (false, _) => Outcome::unknown("the siblings are not shown"),
        (true, []) => Outcome::pass("none outside the way"),
        (true, busy) => Outcome::warn(format!("{} share the way's hardware", cpus::in_words(busy))),
    };
    // Not a setting of --fix: it takes a core away from everybody.
    let off: Vec<String> = busy
        .iter()
        .map(|core| format!("echo 0 > /{}", core_file(*core, "online")))
        .collect();
    outcome
        .requested("siblings isolated as well, or off")
        .seen(&shown)
        .fix(Fix {
            to_stay: "isolate whole cores, or nosmt on the kernel's command line".to_owned(),
            ..Fix::by_hand(format!("as root: {}", off.join("; ")))
        })
}
