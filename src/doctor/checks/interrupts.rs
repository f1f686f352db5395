//! Interrupts: where they land, whether they can be moved, and the priority of their threads.

use std::collections::BTreeMap;

use crate::doctor::check::{Category, Check, Fix, Outcome, Setting};
use crate::doctor::checks::isolation::let_down;
use crate::doctor::cpus;
use crate::doctor::place::SERVICE;
use crate::doctor::undo;
use crate::doctor::view::View;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Scheduler,
        ("S06", "no interrupts on the cores of the way"),
        on_way,
        "An interrupt runs before any thread, real-time or not: some microseconds for its handler, and a cold cache after it. isolcpus without managed_irq does not move those that devices spread over all cores.",
        "",
    ),
    Check::new(
        Category::Scheduler,
        ("S07", "interrupts that cannot be moved"),
        immovable,
        "The kernel refuses to move the interrupts that a driver manages itself (NVMe queues, some network cards) and those of a core's own timers. If such a one is active, other cores have to be chosen for the way.",
        "",
    ),
    Check::new(
        Category::Scheduler,
        ("S08", "priority of the camera's interrupt thread"),
        thread_priority,
        "On a real-time kernel the camera's or USB controller's interrupt is a FIFO thread of priority 50, among all others of that priority. If a disk's thread is served first, a frame's stamp is late by that.",
        "",
    ),
    Check::new(
        Category::Scheduler,
        ("S09", "irqbalance keeps away"),
        irqbalance,
        "irqbalance moves interrupts every 10 s, also onto cores that were cleared by hand.",
        "That newer versions keep away from isolated cores by themselves is general knowledge, not tried.",
    ),
];

/// An interrupt line with a number.
struct Line {
    number: String,
    name: String,
    /// How often on each core, by the columns' cores.
    counts: BTreeMap<usize, u64>,
}

/// `/proc/interrupts`: the first line names the cores of the columns.
fn lines(text: &str) -> Vec<Line> {
    let mut rows = text.lines();
    let columns: Vec<usize> = rows
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|head| head.strip_prefix("CPU")?.parse().ok())
        .collect();
    rows.filter_map(|row| {
        let (number, rest) = row.trim().split_once(':')?;
        number.parse::<u32>().ok()?;
        let mut words = rest.split_whitespace();
        let counts = columns
            .iter()
            .map(|core| Some((*core, words.next()?.parse().ok()?)));
        let counts = counts.collect::<Option<_>>()?;
        let name: Vec<&str> = words.collect();
        Some(Line {
            number: number.to_owned(),
            name: name.join(" "),
            counts,
        })
    })
    .collect()
}

impl Line {
    /// True for one that each core has for itself, such as its timer's on Arm: no other core can take it, and the ticks of
    /// the cores of the way are another check's. The kernel lists its mask like any other and refuses every change of it.
    ///
    /// Arm's interrupt controllers give the numbers below 32 to those (Arm IHI 0069, "INTIDs"): `GICv3 27 Level arch_timer`.
    fn is_a_cores_own(&self) -> bool {
        let mut words = self.name.split_whitespace();
        let is_gic = words.next().is_some_and(|chip| chip.starts_with("GIC"));
        let number = words.next().and_then(|number| number.parse().ok());
        is_gic && number.is_some_and(|number: u32| number < 32)
    }
}

/// A line that may be delivered to cores of the way.
struct Offender {
    line: Line,
    /// Those cores.
    cores: Vec<usize>,
    /// How often it came there.
    count: u64,
}

impl Offender {
    fn in_words(&self) -> String {
        let name = self
            .line
            .name
            .split_whitespace()
            .next_back()
            .unwrap_or_default();
        format!(
            "{} ({name}) on {}, {} times there",
            self.line.number,
            cpus::list(&self.cores),
            self.count
        )
    }
}

/// Lines that came at least once and are delivered to cores of the way.
fn offenders(view: &View<'_>, way: &[usize]) -> Result<Vec<Offender>, Box<Outcome>> {
    let interrupts = view.text("proc/interrupts");
    let Ok(text) = &interrupts.found else {
        let unknown = Outcome::unknown("the interrupts cannot be read");
        return Err(Box::new(unknown.seen(&interrupts)));
    };
    let mut found = Vec::new();
    for line in lines(text) {
        if line.counts.values().sum::<u64>() == 0 || line.is_a_cores_own() {
            continue;
        }
        // Where it may go, and where it goes. One that may not come here any more moves at its next interrupt; older
        // kernels only know where it may go.
        let folder = format!("proc/irq/{}", line.number);
        let of = |file: &str| {
            let cores = view.core_list(&format!("{folder}/{file}")).found.ok();
            cores.filter(|cores| !cores.is_empty())
        };
        let (may, goes) = (of("smp_affinity_list"), of("effective_affinity_list"));
        let cores = match (&may, goes.as_ref().or(may.as_ref())) {
            (Some(may), _) if cpus::both(may, way).is_empty() => Vec::new(),
            (_, Some(goes)) => cpus::both(goes, way),
            (_, None) => Vec::new(),
        };
        let count = way.iter().filter_map(|core| line.counts.get(core)).sum();
        if !cores.is_empty() {
            found.push(Offender { line, cores, count });
        }
    }
    Ok(found)
}

fn on_way(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let offenders = match offenders(view, way) {
        Ok(offenders) => offenders,
        Err(outcome) => return *outcome,
    };
    let rest = cpus::list(&cpus::without(&view.cores.online, way));
    let settings = offenders.iter().map(|o| {
        Setting::new(
            format!("proc/irq/{}/smp_affinity_list", o.line.number),
            rest.clone(),
        )
    });
    let settings = settings.collect();
    let outcome = match offenders.as_slice() {
        [] => Outcome::pass("none that ever came"),
        all => {
            let said: Vec<String> = all.iter().map(Offender::in_words).collect();
            Outcome::new(
                let_down(view),
                format!("{} of them: {}", all.len(), said.join("; ")),
            )
        }
    };
    let mut outcome = outcome.requested(format!("none on {}", cpus::in_words(way)));
    for offender in offenders.iter().take(8) {
        outcome = outcome.shown(
            format!("proc/irq/{}/effective_affinity_list", offender.line.number),
            cpus::list(&offender.cores),
        );
    }
    if offenders.is_empty() {
        outcome = outcome.shown(
            "proc/interrupts, proc/irq/*/effective_affinity_list",
            format!("no active one on {}", cpus::list(way)),
        );
    }
    outcome.fix(Fix::set(settings, "irqaffinity= and isolcpus=managed_irq,... on the kernel's command line, and irqbalance off"))
}

fn immovable(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let offenders = match offenders(view, way) {
        Ok(offenders) => offenders,
        Err(outcome) => return *outcome,
    };
    let requested = "none of them active on the cores of the way";
    if offenders.is_empty() {
        return Outcome::pass("there is none to move")
            .requested(requested)
            .shown("proc/interrupts", "see S06");
    }
    let Some((path, state)) = undo::last(view.tree) else {
        return Outcome::unknown("not tried yet: `reflexarc doctor --fix` tries to move them")
            .requested(requested)
            .shown("proc/interrupts", "see S06");
    };
    let stuck: Vec<String> = offenders
        .iter()
        .filter(|o| {
            state
                .refused
                .iter()
                .any(|r| r.path.starts_with(&format!("proc/irq/{}/", o.line.number)))
        })
        .map(Offender::in_words)
        .collect();
    let outcome = match stuck.as_slice() {
        [] => Outcome::pass("none was refused"),
        stuck => Outcome::fail(format!("the kernel did not move {}", stuck.join("; "))),
    };
    outcome.requested(requested).shown(path, format!("{} settings were refused", state.refused.len())).fix(
        Fix::by_hand("choose other cores for the way; or fewer queues for the device (nvme.poll_queues=, ethtool -L)").with_reboot(),
    )
}

fn thread_priority(view: &View<'_>) -> Outcome {
    const CAMERA: [&str; 9] = [
        "xhci", "dwc3", "ehci", "tegra-vi", "nvcsi", "rp1-cfe", "unicam", "rkisp", "rkcif",
    ];
    let tasks = match view.tasks() {
        Ok(tasks) => tasks,
        Err(why) => return Outcome::unknown(format!("the threads cannot be listed: {why}")),
    };
    let ours: Vec<_> = tasks
        .iter()
        .filter(|t| {
            t.of_kernel
                && t.name.starts_with("irq/")
                && CAMERA.iter().any(|name| t.name.contains(name))
        })
        .collect();
    // The action thread's own priority: a camera must not stop it.
    let above = view
        .board
        .and_then(|board| board.threads.action.priority)
        .map_or(80, |p| p.value());
    let said: Vec<String> = ours
        .iter()
        .map(|t| format!("{} has {}", t.name, t.priority))
        .collect();
    let right = |priority: u8| priority > 50 && priority < above;
    let pids: Vec<String> = ours
        .iter()
        .filter(|t| !right(t.priority))
        .map(|t| t.tid.to_string())
        .collect();
    let outcome = match (ours.as_slice(), pids.as_slice()) {
        ([], _) => Outcome::not_applicable("no thread of a camera's or USB controller's interrupt"),
        (_, []) => Outcome::pass(said.join(", ")),
        _ => Outcome::warn(said.join(", ")),
    };
    let shown = if said.is_empty() {
        "none".to_owned()
    } else {
        said.join(", ")
    };
    outcome
        .requested(format!("above 50, below {above}"))
        .shown("proc/*/task/*/stat", shown)
        .fix(Fix {
            to_stay: "a unit that runs it after every boot, or rtirq".to_owned(),
            ..Fix::by_hand(format!(
                "as root: for p in {}; do chrt -f -p 60 $p; done",
                pids.join(" ")
            ))
        })
}

fn irqbalance(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let tasks = match view.tasks() {
        Ok(tasks) => tasks,
        Err(why) => return Outcome::unknown(format!("the threads cannot be listed: {why}")),
    };
    if !tasks.iter().any(|task| task.name == "irqbalance") {
        return Outcome::pass("it does not run")
            .requested("not running")
            .shown("proc/*/task/*/stat", "no irqbalance");
    }
    let file = view.text("etc/default/irqbalance");
    let text = file.found.clone().unwrap_or_default();
    let line = |key: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))
            .map(|v| v.trim_matches('"').to_owned())
    };
    let banned = line("IRQBALANCE_BANNED_CPULIST")
        .map(|list| crate::rt::plan::parse_core_list(&list))
        .or_else(|| cpus::of_mask(&line("IRQBALANCE_BANNED_CPUS")?))
        .unwrap_or_default();
    let isolated = view
        .core_list("sys/devices/system/cpu/isolated")
        .found
        .unwrap_or_default();
    let outcome = if cpus::without(way, &banned).is_empty() {
        Outcome::pass(format!("it runs, and is kept from {}", cpus::list(&banned)))
    } else if cpus::without(way, &isolated).is_empty() {
        Outcome::warn("it runs; the cores are isolated, which newer versions heed")
    } else {
        Outcome::fail("it runs, and may use the cores of the way")
    };
    let by_hand = format!(
        "sudo systemctl disable --now irqbalance; or IRQBALANCE_BANNED_CPULIST={} in /etc/default/irqbalance and restart it",
        cpus::list(way)
    );
    let fix = if view.live.is_some() && view.tree.has("run/systemd/system") {
        let unit = format!("{SERVICE}irqbalance.service");
        Fix {
            settings: vec![Setting::new(unit, "inactive")],
            do_this: format!("reflexarc doctor --fix stops it until the next boot; or {by_hand}"),
            to_stay: "sudo systemctl disable irqbalance".to_owned(),
            ..Fix::default()
        }
    } else {
        Fix::by_hand(by_hand)
    };
    outcome
        .requested(format!("not running, or kept from {}", cpus::list(way)))
        .seen(&file)
        .fix(fix)
}
