//! Isolation: what the kernel's arguments asked for, and what came of it. The two differ more often than not.

use crate::board::tree::Reading;
use crate::doctor::check::{Category, Check, Fix, Outcome, Setting, Status};
use crate::doctor::checks::kernel::config_line;
use crate::doctor::cmdline::is_of_isolation;
use crate::doctor::cpus;
use crate::doctor::view::{AskedBy, View};

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Kernel,
        ("K02", "kernel arguments understood"),
        understood,
        "A misspelt argument, or one for another kernel, is not refused: it does nothing. The kernel says so once, in its log.",
        "kthread_cpus= is used on NVIDIA's kernel according to one public file, and is not in the mainline kernel.",
    ),
    Check::new(
        Category::Kernel,
        ("K03", "isolated cores"),
        isolated,
        "The scheduler puts other work on every core that is not isolated. Then a thread of the way waits for it, or finds its cache cold.",
        "",
    ),
    Check::new(
        Category::Kernel,
        ("K04", "tickless cores"),
        tickless,
        "Without nohz_full the timer tick interrupts the core 100 to 1000 times a second, for some microseconds each. A kernel built without NO_HZ_FULL accepts the argument and does nothing.",
        "That Armbian's kernels for the RK3588 are built without NO_HZ_FULL was read in their configuration.",
    ),
    Check::new(
        Category::Kernel,
        ("K05", "RCU callbacks elsewhere"),
        callbacks,
        "The kernel frees memory in callbacks. Unless rcu_nocbs moves them to threads of other cores they run on the core that made them, in bursts.",
        "",
    ),
    Check::new(
        Category::Kernel,
        ("K06", "new interrupts elsewhere"),
        default_affinity,
        "A device that is plugged in later gets this mask. If it has a core of the way, that device interrupts it.",
        "",
    ),
    Check::new(
        Category::Kernel,
        ("K07", "kernel work queues elsewhere"),
        workqueues,
        "Unbound kernel work and the write-back of files run on the cores of these masks. The second stays at all cores although the first is restricted by isolcpus (seen on 6.12-rt).",
        "",
    ),
];

/// The status of an isolation that does not hold: who asked for it has been let down; a plan only chose.
pub fn let_down(view: &View<'_>) -> Status {
    match view.cores.from {
        AskedBy::Board | AskedBy::CommandLine => Status::Fail,
        AskedBy::Plan => Status::Warn,
    }
}

/// The arguments of the board, or the like for this machine's cores.
fn arguments(view: &View<'_>) -> Vec<String> {
    let of_board = view.board.and_then(|board| board.boot.arguments.as_ref());
    of_board.map_or_else(
        || {
            let (way, rest) = (
                cpus::list(&view.cores.way),
                cpus::list(&view.cores.housekeeping),
            );
            vec![
                format!("isolcpus=managed_irq,domain,{way}"),
                format!("nohz_full={way}"),
                format!("rcu_nocbs={way}"),
                format!("irqaffinity={rest}"),
            ]
        },
        |fact| fact.value.clone(),
    )
}

/// Adds the argument of this name, and the others that belong to it.
fn boot(view: &View<'_>) -> Fix {
    let lacking = view.command_line.lacks(&arguments(view));
    if lacking.is_empty() {
        return Fix::by_hand("the arguments stand on the command line and had no effect: see K02, and use a kernel built for them").with_reboot();
    }
    Fix::boot(lacking, &view.boot_file())
}

fn understood(view: &View<'_>) -> Outcome {
    const SAYS: &str = "Unknown kernel command line parameters";
    let log = view.text("dev/kmsg");
    let text = match &log.found {
        Ok(text) => text,
        Err(why) => return Outcome::unknown(format!("the kernel's log: {why}")).seen(&log),
    };
    // Quotation marks stand around the arguments, and a remark for people behind them.
    let line = text.lines().find(|line| line.contains(SAYS));
    let unknown: Vec<&str> = line
        .and_then(|line| line.split('"').nth(1))
        .into_iter()
        .flat_map(str::split_whitespace)
        .filter(|argument| is_of_isolation(argument))
        .collect();
    let from_the_start = text.contains("Linux version");
    let outcome = match (unknown.as_slice(), from_the_start) {
        ([], true) => Outcome::pass("none of those that bear on latency is unknown to it"),
        ([], false) => Outcome::unknown("the log's beginning has been overwritten"),
        (unknown, _) => Outcome::fail(format!("unknown to this kernel: {}", unknown.join(" "))),
    };
    let shown = line.map_or("no such line", |line| {
        line.split(';').next_back().unwrap_or(line)
    });
    outcome
        .requested("every argument that bears on latency is understood")
        .shown(log.path, format!("{SAYS}: {shown}"))
        .fix(
            Fix::by_hand(format!(
                "correct or remove them in {}, or boot a kernel that knows them",
                view.boot_file()
            ))
            .with_reboot(),
        )
}

/// The way's cores against a list of the kernel's.
fn compare(view: &View<'_>, reading: &Reading<Vec<usize>>, raw: &Reading<String>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let outcome = match &reading.found {
        Err(why) => Outcome::new(let_down(view), format!("none ({why})")),
        Ok(here) => {
            let lacking = cpus::without(way, here);
            match (here.as_slice(), lacking.as_slice()) {
                ([], _) => Outcome::new(let_down(view), "none"),
                (here, []) => Outcome::pass(cpus::list(here)),
                (here, lacking) => Outcome::new(
                    let_down(view),
                    format!("{}, without {}", cpus::list(here), cpus::list(lacking)),
                ),
            }
        }
    };
    outcome
        .requested(format!(
            "{} ({})",
            cpus::list(way),
            view.cores.from.in_words()
        ))
        .seen(raw)
        .fix(boot(view))
}

fn isolated(view: &View<'_>) -> Outcome {
    let path = "sys/devices/system/cpu/isolated";
    let mut outcome = compare(view, &view.core_list(path), &view.text(path));
    let asked = view.command_line.value("isolcpus");
    outcome = outcome.shown(
        "proc/cmdline",
        asked.map_or("no isolcpus=".to_owned(), |v| format!("isolcpus={v}")),
    );
    if outcome.status == Status::Pass {
        let cores = view.core_list(path).found.unwrap_or_default();
        let more = cpus::without(&cores, &view.cores.way);
        if !more.is_empty() {
            let said = format!(
                "{}; {} more than the way needs",
                cpus::list(&cores),
                cpus::list(&more)
            );
            return Outcome { status: Status::Warn, effective: said, ..outcome }
                .fix(Fix::by_hand("name only the cores of the way in isolcpus=: on the others nobody balances the load").with_reboot());
        }
    }
    outcome
}

fn tickless(view: &View<'_>) -> Outcome {
    let path = "sys/devices/system/cpu/nohz_full";
    let raw = view.text(path);
    let mut reading = view.core_list(path);
    // A kernel that has the option and was not asked says so.
    if raw.found.as_deref() == Ok("(null)") {
        reading.found = Ok(Vec::new());
    }
    let asked = view.command_line.value("nohz_full");
    let outcome = compare(view, &reading, &raw)
        .shown(
            "proc/cmdline",
            asked.map_or("no nohz_full=".to_owned(), |v| format!("nohz_full={v}")),
        )
        .shown(
            view.kernel_config().path.clone(),
            config_line(view, "NO_HZ_FULL"),
        );
    let not_built_in = view.built_with("NO_HZ_FULL") == Some(false);
    if outcome.fix.is_some() && not_built_in {
        return Outcome {
            effective: format!("{}; this kernel is built without NO_HZ_FULL, so nohz_full= does nothing", outcome.effective),
            ..outcome
        }
        .fix(Fix::by_hand("use a kernel built with CONFIG_NO_HZ_FULL=y (Debian's are); no argument helps this one").with_reboot());
    }
    outcome
}

fn callbacks(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let requested = format!(
        "offloaded from {}, their threads elsewhere",
        cpus::list(way)
    );
    let tasks = match view.tasks() {
        Ok(tasks) => tasks,
        Err(why) => return Outcome::unknown(format!("the threads cannot be listed: {why}")),
    };
    // rcuop/N or rcuos/N makes the callbacks of core N; there is one for each offloaded core.
    let threads: Vec<_> = tasks
        .iter()
        .filter(|t| t.of_kernel && t.name.starts_with("rcuo"))
        .collect();
    let core_of = |name: &str| name.split_once('/')?.1.parse::<usize>().ok();
    let offloaded: Vec<usize> = threads
        .iter()
        .filter(|t| !t.name.starts_with("rcuog"))
        .filter_map(|t| core_of(&t.name))
        .collect();
    let lacking = cpus::without(way, &offloaded);
    let here: Vec<String> = threads
        .iter()
        .filter(|t| way.contains(&t.core))
        .map(|t| format!("{} (pid {}) on core {}", t.name, t.tid, t.core))
        .collect();
    let outcome = if !lacking.is_empty() {
        Outcome::new(let_down(view), format!("not from {}", cpus::list(&lacking))).fix(boot(view))
    } else if !here.is_empty() {
        let pids: Vec<String> = threads
            .iter()
            .filter(|t| way.contains(&t.core))
            .map(|t| t.tid.to_string())
            .collect();
        Outcome::warn(format!(
            "offloaded, but their threads ran there: {}",
            here.join(", ")
        ))
        .fix(Fix::by_hand(format!(
            "as root: for p in {}; do taskset -pc {} $p; done",
            pids.join(" "),
            cpus::list(&view.cores.housekeeping)
        )))
    } else {
        Outcome::pass(format!("offloaded from {}", cpus::list(&offloaded)))
    };
    let asked = view.command_line.value("rcu_nocbs");
    outcome
        .requested(requested)
        .shown(
            "proc/cmdline",
            asked.map_or("no rcu_nocbs=".to_owned(), |v| format!("rcu_nocbs={v}")),
        )
        .shown(
            "proc/*/task/*/stat",
            format!("threads rcuo*/N for the cores {}", cpus::list(&offloaded)),
        )
}

fn default_affinity(view: &View<'_>) -> Outcome {
    masks(
        view,
        &["proc/irq/default_smp_affinity"],
        "irqaffinity= on the kernel's command line",
    )
}

fn workqueues(view: &View<'_>) -> Outcome {
    masks(
        view,
        &[
            "sys/devices/virtual/workqueue/cpumask",
            "sys/bus/workqueue/devices/writeback/cpumask",
        ],
        "a systemd unit or tmpfiles.d line that writes them at every boot",
    )
}

/// Masks that should have no core of the way.
fn masks(view: &View<'_>, paths: &[&str], to_stay: &str) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let read: Vec<Reading<String>> = paths.iter().map(|path| view.text(path)).collect();
    let mut settings = Vec::new();
    let (mut on_way, mut unknown) = (Vec::new(), Vec::new());
    for reading in &read {
        match reading
            .found
            .as_ref()
            .ok()
            .and_then(|text| cpus::of_mask(text))
        {
            None => unknown.push(reading.path.clone()),
            Some(mask) if cpus::both(&mask, way).is_empty() => {}
            Some(mask) => {
                on_way.extend(cpus::both(&mask, way));
                let rest = cpus::mask(&cpus::without(&view.cores.online, way));
                settings.push(Setting::new(&reading.path, rest));
            }
        }
    }
    on_way.sort_unstable();
    on_way.dedup();
    let outcome = if !on_way.is_empty() {
        Outcome::new(
            let_down(view),
            format!("they may run on {}", cpus::in_words(&on_way)),
        )
    } else if !unknown.is_empty() {
        Outcome::unknown(format!("not known: {}", unknown.join(", ")))
    } else {
        Outcome::pass(format!(
            "on cores {} only",
            cpus::list(&cpus::without(&view.cores.online, way))
        ))
    };
    let outcome = read.iter().fold(outcome, Outcome::seen);
    outcome
        .requested(format!("not on {}", cpus::in_words(way)))
        .fix(Fix::set(settings, to_stay))
}
