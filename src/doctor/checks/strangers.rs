//! Who else is on the cores of the way: threads, and work of the kernel that comes by itself.

use std::collections::BTreeSet;

use crate::doctor::check::{Category, Check, Fix, Outcome, Setting, Status};
use crate::doctor::cpus;
use crate::doctor::process::Task;
use crate::doctor::view::View;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Scheduler,
        ("S10", "no strangers on the cores of the way"),
        strangers,
        "A thread that was pinned there, or that ran there before the core was isolated, takes time and cache from the way. Threads of the kernel that belong to the core itself are no strangers.",
        "",
    ),
    Check::new(
        Category::Scheduler,
        ("S11", "work that comes by itself"),
        stalls,
        "Statistics of memory every second, the watchdogs' checks and timers that move to a busy core each interrupt a thread that only wanted to run.",
        "How much each costs was not measured by this project; the kernel's guide to isolation names them.",
    ),
];

fn strangers(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let tasks = match view.tasks() {
        Ok(tasks) => tasks,
        Err(why) => return Outcome::unknown(format!("the threads cannot be listed: {why}")),
    };
    // A run's own threads belong there.
    let own: BTreeSet<u32> = tasks
        .iter()
        .filter(|t| t.tid == t.pid && t.name == "reflexarc")
        .map(|t| t.pid)
        .collect();
    let is_stranger = |t: &&Task| way.contains(&t.core) && !t.is_bound && !own.contains(&t.pid);
    let there: Vec<&Task> = tasks.iter().filter(is_stranger).collect();
    let of_kernel = there.iter().filter(|t| t.of_kernel).count();
    let of_users = there.len() - of_kernel;
    let named: Vec<String> = there
        .iter()
        .take(8)
        .map(|t| format!("{} ({}) on {}", t.name, t.tid, t.core))
        .collect();
    let isolated = view
        .core_list("sys/devices/system/cpu/isolated")
        .found
        .unwrap_or_default();
    let is_isolated = cpus::without(way, &isolated).is_empty();
    let said = format!(
        "{of_users} of users, {of_kernel} of the kernel ran there last: {}",
        named.join(", ")
    );
    let outcome = match (there.len(), is_isolated) {
        (0, _) => Outcome::pass("none"),
        // On cores that are not isolated everybody may be; that is K03's to say.
        (_, false) => Outcome::warn(said),
        _ if of_users > 0 => Outcome::fail(said),
        _ => Outcome::warn(said),
    };
    outcome
        .requested(format!("only threads bound to {}", cpus::in_words(way)))
        .shown(
            "proc/*/task/*/stat",
            format!("{} of {} threads", there.len(), tasks.len()),
        )
        .fix(Fix::by_hand(format!(
            "isolate the cores (K03); move what is there: as root, taskset -apc {} PID",
            cpus::list(&cpus::without(&view.cores.online, way))
        )))
}

/// A setting and what it should be.
struct Wanted {
    path: &'static str,
    value: &'static str,
    fits: fn(&str) -> bool,
}

const WANTED: [Wanted; 3] = [
    Wanted {
        path: "proc/sys/vm/stat_interval",
        value: "10",
        fits: |text| text.parse().is_ok_and(|seconds: u64| seconds >= 10),
    },
    Wanted {
        path: "proc/sys/kernel/nmi_watchdog",
        value: "0",
        fits: |text| text == "0",
    },
    Wanted {
        path: "proc/sys/kernel/timer_migration",
        value: "0",
        fits: |text| text == "0",
    },
];

fn stalls(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let (mut wrong, mut settings, mut missing) = (Vec::new(), Vec::new(), 0);
    let mut outcome = Outcome::pass("as wanted");
    for wanted in &WANTED {
        let reading = view.text(wanted.path);
        match &reading.found {
            Ok(text) if (wanted.fits)(text) => {}
            Ok(text) => {
                wrong.push(format!("{} is {text}", short(wanted.path)));
                settings.push(Setting::new(wanted.path, wanted.value));
            }
            Err(_) => missing += 1,
        }
        outcome = outcome.seen(&reading);
    }
    // The soft watchdog needs a thread on each core that it watches.
    let on = view.text("proc/sys/kernel/watchdog");
    let watched = view.core_list("proc/sys/kernel/watchdog_cpumask");
    if on.found.as_deref() == Ok("1")
        && let Ok(cores) = &watched.found
        && !cpus::both(cores, way).is_empty()
    {
        wrong.push(format!(
            "the watchdog checks {}",
            cpus::in_words(&cpus::both(cores, way))
        ));
        let rest = cpus::list(&cpus::without(&view.cores.online, way));
        settings.push(Setting::new("proc/sys/kernel/watchdog_cpumask", rest));
    }
    outcome = outcome
        .seen(&on)
        .seen(&view.text("proc/sys/kernel/watchdog_cpumask"));
    if !wrong.is_empty() {
        outcome = Outcome {
            status: Status::Warn,
            effective: wrong.join(", "),
            ..outcome
        };
    } else if missing == WANTED.len() {
        outcome = Outcome {
            status: Status::Unknown,
            effective: "none of the settings can be read".to_owned(),
            ..outcome
        };
    }
    outcome
        .requested(
            "vm.stat_interval 10, no NMI watchdog, no timer migration, the watchdog elsewhere",
        )
        .fix(Fix::set(settings, "the same names in /etc/sysctl.d"))
}

fn short(path: &str) -> String {
    path.trim_start_matches("proc/sys/").replace('/', ".")
}
