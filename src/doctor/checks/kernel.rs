//! The kernel itself: preemption, timers, clocks, what it was built with.

use crate::board::tree::Missing;
use crate::doctor::check::{Category, Check, Fix, Outcome};
use crate::doctor::view::View;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Kernel,
        ("K01", "real-time kernel"),
        preemption,
        "Without PREEMPT_RT a driver or an interrupt can keep a real-time thread waiting for milliseconds, and no setting bounds that. `preempt=full` and threaded interrupts help and do not bound it.",
        "That /sys/kernel/realtime is absent on Raspberry Pi's real-time kernels is one public report; so the version text comes first here.",
    ),
    Check::new(
        Category::Kernel,
        ("K09", "clock source"),
        clock_source,
        "Every stamp reads the clock. A processor's own counter takes some 20 ns; hpet and acpi_pm are read over a bus in microseconds, under a lock.",
        "",
    ),
    Check::new(
            Category::Kernel,
            ("K10", "time to read the clock"),
            clock_cost,
            "The way of a frame reads the clock some ten times, and a spinning wait all the time. If the vDSO cannot answer, each reading is a system call.",
            "The limit of 150 ns is this project's choice, three times what slow ARM cores need.",
    )
    .active(),
    Check::new(
        Category::Kernel,
        ("K11", "high-resolution timers"),
        high_resolution,
        "Without them a sleep ends at the next tick, 1 to 10 ms late; a 100 Hz action clock cannot work.",
        "",
    ),
    Check::new(
        Category::Kernel,
        ("K12", "latency tracers"),
        tracers,
        "osnoise, timerlat and hwlat name the cause of an outlier. Nothing depends on them; without them a bad tail stays a riddle.",
        "",
    ),
    Check::new(
        Category::Kernel,
        ("K13", "no debugging kernel"),
        debugging,
        "Lock proving, KASAN and preemption tracing make every system call slower and add long sections with interrupts off.",
        "",
    ),
    Check::new(
        Category::Kernel,
        ("K15", "modules fit the kernel"),
        modules,
        "After a change of kernel the modules of cameras, network and GPU may be missing: the board boots, and the camera is not there.",
        "That NVIDIA's GPU modules come in packages of their own for the real-time kernel is from a public dump, not seen on a board.",
    ),
];

fn preemption(view: &View<'_>) -> Outcome {
    let version = view.text("proc/sys/kernel/version");
    let flag = view.text("sys/kernel/realtime");
    let says_rt = |text: &String| text.contains("PREEMPT_RT") || text.contains("PREEMPT RT");
    let outcome = match &version.found {
        Ok(text) if says_rt(text) => Outcome::pass("PREEMPT_RT"),
        _ if flag.found.as_deref() == Ok("1") => Outcome::pass("PREEMPT_RT"),
        _ if view.built_with("PREEMPT_RT") == Some(true) => Outcome::pass("PREEMPT_RT"),
        Ok(text) if text.contains("PREEMPT_DYNAMIC") => {
            Outcome::warn("preemptible as chosen at boot (PREEMPT_DYNAMIC), not real-time")
        }
        Ok(text) if text.contains("PREEMPT") => {
            Outcome::warn("preemptible (PREEMPT), not real-time")
        }
        Ok(_) => Outcome::fail("not preemptible in the kernel"),
        Err(_) => Outcome::unknown("the kernel's version cannot be read"),
    };
    outcome
        .requested("PREEMPT_RT")
        .seen(&version)
        .seen(&flag)
        .fix(rt_kernel(view))
}

/// How this board gets a real-time kernel.
pub fn rt_kernel(view: &View<'_>) -> Fix {
    let Some(board) = view.board else {
        return Fix::by_hand("install the distribution's real-time kernel (Debian: linux-image-rt-amd64 or -arm64; Ubuntu: pro enable realtime-kernel) and boot it").with_reboot();
    };
    let packages: Vec<String> = board
        .kernel
        .packages
        .iter()
        .map(|(release, fact)| format!("{release}: {}", fact.value.join(" ")))
        .collect();
    let select = board.kernel.select.as_ref();
    let mut parts = Vec::new();
    if !packages.is_empty() {
        parts.push(format!(
            "install for your release ({})",
            packages.join("; ")
        ));
    }
    parts.extend(select.map(|fact| fact.value.clone()));
    if parts.is_empty() {
        parts.push(format!("no real-time kernel is known for {}", board.name));
    }
    Fix::by_hand(parts.join(", then ")).with_reboot()
}

fn clock_source(view: &View<'_>) -> Outcome {
    let folder = "sys/devices/system/clocksource/clocksource0";
    let current = view.text(&format!("{folder}/current_clocksource"));
    let others = view.text(&format!("{folder}/available_clocksource"));
    let outcome = match current.found.as_deref() {
        Ok(name @ ("tsc" | "arch_sys_counter")) => Outcome::pass(name),
        Ok(name @ ("kvm-clock" | "hyperv_clocksource_tsc_page")) => Outcome::pass(format!(
            "{name}, the virtual machine's, read without a system call"
        )),
        Ok(name) => Outcome::fail(name),
        Err(why) => Outcome::unknown(format!("the clock source is not known: {why}")),
    };
    outcome
        .requested("tsc or arch_sys_counter")
        .seen(&current)
        .seen(&others)
        .fix(Fix::by_hand(
            "look in dmesg why the kernel distrusts the processor's counter; do not force it with clocksource=tsc before it is known",
        ))
}

fn clock_cost(view: &View<'_>) -> Outcome {
    const LIMIT_NS: i64 = 150;
    match view.live() {
        Err(outcome) => *outcome,
        Ok(live) => {
            let ns = live.clock_reading().0;
            let shown = format!("{ns} ns a reading (median of 1000 times 100)");
            let outcome = if ns < LIMIT_NS {
                Outcome::pass(shown.clone())
            } else {
                Outcome::warn(shown.clone())
            };
            outcome
                .requested(format!("below {LIMIT_NS} ns"))
                .shown("clock_gettime(CLOCK_MONOTONIC)", shown)
                .fix(Fix::by_hand(
                    "see K09: the clock source decides it; in a virtual machine, its host",
                ))
        }
    }
}

fn high_resolution(view: &View<'_>) -> Outcome {
    let timers = view.text("proc/timer_list");
    if let Ok(text) = &timers.found {
        let resolution = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(".resolution:"))
            .map(str::trim);
        if let Some(resolution) = resolution {
            let outcome = match resolution {
                "1 nsecs" => Outcome::pass("1 ns"),
                other => Outcome::fail(other),
            };
            return outcome
                .requested("1 ns")
                .shown(timers.path.clone(), format!(".resolution: {resolution}"))
                .fix(
                    Fix::by_hand("boot without highres=off, with CONFIG_HIGH_RES_TIMERS")
                        .with_reboot(),
                );
        }
    }
    let config = view.kernel_config();
    let off = view.command_line.value("highres") == Some("off");
    let outcome = match view.built_with("HIGH_RES_TIMERS") {
        Some(true) if !off => Outcome::pass("built in (CONFIG_HIGH_RES_TIMERS=y)"),
        Some(_) => Outcome::fail(if off {
            "off (highres=off)"
        } else {
            "not built in"
        }),
        None => Outcome::unknown("neither the timers nor the kernel's configuration can be read"),
    };
    outcome
        .requested("1 ns")
        .seen(&timers.map(|_| "no resolution in it".to_owned()))
        .shown(config.path.clone(), config_line(view, "HIGH_RES_TIMERS"))
        .fix(
            Fix::by_hand("run it as root; or use a kernel with CONFIG_HIGH_RES_TIMERS")
                .with_reboot(),
        )
}

/// A line of the kernel's configuration as evidence.
pub fn config_line(view: &View<'_>, name: &str) -> String {
    match &view.kernel_config().found {
        Err(why) => format!("({why})"),
        Ok(config) => {
            let set = format!("CONFIG_{name}=");
            let line = config.lines().find(|line| line.starts_with(&set));
            line.map_or_else(|| format!("CONFIG_{name} is not set"), str::to_owned)
        }
    }
}

fn tracers(view: &View<'_>) -> Outcome {
    let read = [
        "sys/kernel/tracing/available_tracers",
        "sys/kernel/debug/tracing/available_tracers",
    ]
    .map(|path| view.text(path));
    let known = read.iter().find(|reading| reading.found.is_ok());
    let Some(Ok(found)) = known.map(|reading| reading.found.as_ref()) else {
        let hidden = read.iter().any(|r| r.found == Err(Missing::NotReadable));
        let outcome = if hidden {
            Outcome::unknown("the list of tracers is not readable without root")
        } else {
            Outcome::not_applicable("no tracers are mounted")
        };
        return outcome.seen(&read[0]);
    };
    let wanted = ["osnoise", "timerlat", "hwlat"];
    let here = wanted
        .iter()
        .filter(|t| found.split_whitespace().any(|f| f == **t));
    let here: Vec<&str> = here.copied().collect();
    let outcome = match here.as_slice() {
        [] => Outcome::not_applicable("none in this kernel"),
        here => Outcome::pass(here.join(", ")),
    };
    let shown = known.map_or(&read[0], |reading| reading);
    outcome.requested(wanted.join(", ")).seen(shown)
}

fn debugging(view: &View<'_>) -> Outcome {
    const COSTLY: [&str; 10] = [
        "PROVE_LOCKING",
        "LOCKDEP",
        "DEBUG_PREEMPT",
        "DEBUG_LOCK_ALLOC",
        "DEBUG_ATOMIC_SLEEP",
        "DEBUG_OBJECTS",
        "KASAN",
        "PREEMPT_TRACER",
        "IRQSOFF_TRACER",
        "SLUB_DEBUG_ON",
    ];
    let config = view.kernel_config();
    let on: Vec<&str> = COSTLY
        .into_iter()
        .filter(|name| view.built_with(name) == Some(true))
        .collect();
    let outcome = match (&config.found, on.as_slice()) {
        (Err(why), _) => Outcome::unknown(format!("the kernel's configuration: {why}")),
        (Ok(_), []) => Outcome::pass("none of the costly options"),
        (Ok(_), on) => Outcome::warn(on.join(", ")),
    };
    outcome
        .requested("none of the costly debugging options")
        .shown(
            config.path.clone(),
            if on.is_empty() {
                "none of them is set".to_owned()
            } else {
                on.join(", ")
            },
        )
        .fix(Fix::by_hand("boot a kernel built without them").with_reboot())
}

fn modules(view: &View<'_>) -> Outcome {
    let loaded = view.text("proc/modules");
    let release = view.text("proc/sys/kernel/osrelease");
    let Ok(version) = &release.found else {
        return Outcome::unknown("the kernel's release cannot be read").seen(&release);
    };
    if loaded.found == Err(Missing::NotThere) || view.command_line.has("nomodule") {
        return Outcome::not_applicable("this kernel takes no modules").seen(&loaded);
    }
    let folder = format!("lib/modules/{version}");
    let names = view.tree.names(&folder);
    let needs_gpu = view
        .board
        .is_some_and(|board| board.name.starts_with("jetson"));
    let has_gpu = loaded.found.as_ref().is_ok_and(|text| {
        let mut names = text
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        names.any(|name| matches!(name, "nvgpu" | "nvidia"))
    });
    let outcome = match &names {
        Err(Missing::NotThere) => Outcome::fail("there is no folder of modules for this kernel"),
        Err(why) => Outcome::unknown(why.to_string()),
        Ok(_) if needs_gpu && !has_gpu => {
            Outcome::fail("the modules are there, and neither nvgpu nor nvidia is loaded")
        }
        Ok(_) => Outcome::pass("there"),
    };
    outcome
        .requested(format!("modules for {version}"))
        .shown(folder, names.map_or_else(|why| format!("({why})"), |_| "there".to_owned()))
        .fix(Fix::by_hand("install the modules of this very kernel (on a Jetson: nvidia-l4t-rt-kernel-oot-modules and the display package of the same release)").with_reboot())
}
