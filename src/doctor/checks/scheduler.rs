//! Scheduling classes: whether they are granted, and what refuses them.

use crate::doctor::check::{Category, Check, Fix, Outcome, Setting};
use crate::doctor::checks::kernel::config_line;
use crate::doctor::cpus;
use crate::doctor::view::View;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Scheduler,
        ("S01", "SCHED_FIFO is granted"),
        fifo,
        "Only a real-time class lets a thread run the moment it is ready. Rights, limits and groups can each refuse it; so a thread is started here that asks.",
        "",
    )
    .active(),
    Check::new(
        Category::Scheduler,
        ("S03", "real-time throttling"),
        throttling,
        "The kernel stops all real-time threads of a core for the rest of each period once they have used their share, 950 ms of a second by default: a stop of 50 ms. Without that guard a thread that never sleeps holds its core for ever; reflexarc's threads sleep unless a wait is `spin`.",
        "Kernels from 6.12 have a fair server in its place, as their documents say; whether the knob still acts there was not measured.",
    ),
    Check::new(
        Category::Scheduler,
        ("S04", "no share of real time by groups"),
        group_sched,
        "A kernel with RT_GROUP_SCHED gives each group a budget of real time, and that is 0 for a new group: a container is then refused SCHED_FIFO although it has every right.",
        "",
    ),
    Check::new(
        Category::Scheduler,
        ("S05", "the cores can be reached"),
        reach,
        "A cpuset or a unit's AllowedCPUs= can keep a process from the very cores that were isolated for it. isolcpus takes them out of the first mask only; a thread may still be pinned there.",
        "",
    ),
    Check::new(
        Category::Scheduler,
        ("S12", "class and pinning go together"),
        deadline,
        "SCHED_DEADLINE cannot be pinned to one core by affinity: the kernel refuses it (EPERM, seen on 6.12-rt). A plan that pins uses SCHED_FIFO.",
        "That an exclusive cpuset would allow it is general knowledge and was not tried.",
    ),
    Check::new(
        Category::Scheduler,
        ("S13", "locks lend their priority"),
        inheritance,
        "reflexarc takes no lock on the way of a frame, but the C library and drivers do. Without priority inheritance a thread of middle priority can keep a high one waiting without bound.",
        "",
    )
    .active(),
];

fn fifo(view: &View<'_>) -> Outcome {
    let live = match view.live() {
        Ok(live) => live,
        Err(outcome) => return *outcome,
    };
    let core = view.cores.way.last().copied();
    let said = live.fifo(core);
    let outcome = match &said {
        Ok(said) => Outcome::pass(said.clone()),
        Err(why) => Outcome::fail(why.clone()),
    };
    let on = core.map_or("any core".to_owned(), |core| format!("core {core}"));
    outcome
        .requested(format!("SCHED_FIFO 90 on {on}"))
        .shown(
            "sched_setscheduler, sched_setaffinity",
            said.unwrap_or_else(|why| why),
        )
        .fix(rights())
}

pub fn rights() -> Fix {
    Fix::by_hand(
        "give the process the right: AmbientCapabilities=CAP_SYS_NICE CAP_IPC_LOCK in its unit; or setcap cap_sys_nice,cap_ipc_lock=ep on the binary; or `- rtprio 95` and `- memlock unlimited` in /etc/security/limits.d and log in again; in a container: --cap-add sys_nice --ulimit rtprio=95",
    )
}

/// A line `NAME: value` of a process's `status`.
pub fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn throttling(view: &View<'_>) -> Outcome {
    let runtime = view.text("proc/sys/kernel/sched_rt_runtime_us");
    let period = view.text("proc/sys/kernel/sched_rt_period_us");
    let number = runtime
        .found
        .as_ref()
        .ok()
        .and_then(|text| text.parse::<i64>().ok());
    let spins = view.board.is_some_and(|board| {
        let plan = board.plan();
        plan.choices()
            .iter()
            .any(|(_, choice)| choice.wait == Some(crate::rt::plan::WaitChoice::Spin))
    });
    let whole = period
        .found
        .as_ref()
        .ok()
        .and_then(|text| text.parse::<i64>().ok())
        .unwrap_or(1_000_000);
    let outcome = match number {
        None => Outcome::unknown("the limit cannot be read"),
        Some(-1) => Outcome::pass("off"),
        Some(0) => Outcome::fail("no real-time thread may run at all"),
        Some(us) if us >= whole => Outcome::pass(format!("{us} us of {whole} us: never")),
        Some(us) => {
            let said = format!("after {us} us of each {whole} us real-time threads are stopped");
            if spins {
                Outcome::fail(said)
            } else {
                Outcome::warn(said)
            }
        }
    };
    outcome.requested("off (-1)").seen(&runtime).seen(&period).fix(Fix::set(
        vec![Setting::new("proc/sys/kernel/sched_rt_runtime_us", "-1")],
        "kernel.sched_rt_runtime_us = -1 in /etc/sysctl.d; a thread that never sleeps can then hold its core for ever, so keep a watchdog",
    ))
}

fn group_sched(view: &View<'_>) -> Outcome {
    let groups = view.text("proc/self/cgroup");
    let of_controller = |wanted: &str| {
        let text = groups.found.as_ref().ok()?;
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            controllers.split(',').any(|c| c == wanted).then_some(path)
        })
    };
    let built_in = view.built_with("RT_GROUP_SCHED");
    if built_in == Some(false) {
        return Outcome::pass("not built in")
            .requested("no budget, or one above 0")
            .shown(
                view.kernel_config().path.clone(),
                config_line(view, "RT_GROUP_SCHED"),
            );
    }
    let own = of_controller("cpu").unwrap_or("/");
    let read: Vec<_> = ["cpu", "cpu,cpuacct"]
        .iter()
        .map(|mount| {
            view.text(&format!(
                "sys/fs/cgroup/{mount}{}/cpu.rt_runtime_us",
                own.trim_end_matches('/')
            ))
        })
        .collect();
    let budget = read.iter().find(|reading| reading.found.is_ok());
    let outcome = match budget.map(|reading| reading.found.as_deref()) {
        Some(Ok("0")) => Outcome::fail("this process's group has no budget of real time"),
        Some(Ok(us)) => Outcome::pass(format!("this process's group has {us} us")),
        _ if built_in == Some(true) => {
            Outcome::warn("built in, and the group's budget cannot be read")
        }
        _ => Outcome::unknown("neither the kernel's configuration nor a budget can be read"),
    };
    let outcome = outcome.requested("no budget, or one above 0").shown(
        view.kernel_config().path.clone(),
        config_line(view, "RT_GROUP_SCHED"),
    );
    let outcome = budget.map_or_else(
        || outcome.clone().seen(&read[0]),
        |reading| outcome.clone().seen(reading),
    );
    outcome.fix(Fix::by_hand("docker run --cpu-rt-runtime=950000 (and the daemon's own), or write a budget to cpu.rt_runtime_us of each group above; or a kernel without RT_GROUP_SCHED"))
}

fn reach(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let status = view.text("proc/self/status");
    let allowed = status
        .found
        .as_ref()
        .ok()
        .and_then(|text| field(text, "Cpus_allowed_list:"));
    let Some(allowed) = allowed else {
        return Outcome::unknown("the process's own cores cannot be read").seen(&status);
    };
    let allowed_cores = crate::rt::plan::parse_core_list(allowed);
    let groups = view.text("proc/self/cgroup");
    let text = groups.found.clone().unwrap_or_default();
    let own: Vec<String> = text.lines().filter_map(cpuset_file).collect();
    let set = own
        .iter()
        .map(|path| view.core_list(path))
        .find(|reading| reading.found.as_ref().is_ok_and(|cores| !cores.is_empty()));
    let in_set = set.as_ref().and_then(|reading| reading.found.clone().ok());
    let isolated = view
        .core_list("sys/devices/system/cpu/isolated")
        .found
        .unwrap_or_default();
    let at_once = cpus::without(way, &allowed_cores).is_empty();
    // What isolcpus took out of the first mask can be had by asking, unless a cpuset forbids it.
    let by_asking = cpus::without(way, &isolated).is_empty() && in_set.is_none();
    let by_set = in_set
        .as_ref()
        .is_some_and(|set| cpus::without(way, set).is_empty());
    let outcome = if at_once || by_asking || by_set {
        Outcome::pass(format!(
            "the mask is {allowed}, and {} can be reached",
            cpus::in_words(way)
        ))
    } else {
        Outcome::fail(format!(
            "the mask is {allowed}, without {}",
            cpus::list(&cpus::without(way, &allowed_cores))
        ))
    };
    let outcome = outcome
        .requested(format!("can run on {}", cpus::in_words(way)))
        .shown(status.path, format!("Cpus_allowed_list: {allowed}"));
    let outcome = match set {
        Some(reading) => outcome.shown(
            reading.path.clone(),
            cpus::list(&in_set.unwrap_or_default()),
        ),
        None => outcome,
    };
    outcome.fix(Fix::by_hand("widen the cpuset: AllowedCPUs= of the slice or unit, --cpuset-cpus of the container; CPUAffinity= alone does not keep threads away"))
}

/// The file with the cores of a group, from a line of `/proc/self/cgroup`.
fn cpuset_file(line: &str) -> Option<String> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?.trim_end_matches('/'));
    match controllers {
        "" => Some(format!("sys/fs/cgroup{path}/cpuset.cpus.effective")),
        list if list.split(',').any(|c| c == "cpuset") => {
            Some(format!("sys/fs/cgroup/cpuset{path}/cpuset.effective_cpus"))
        }
        _ => None,
    }
}

/// Nothing on a machine can make this fail, so it is no pass either: a run's plan has no such class. It is here for who asks.
fn deadline(_: &View<'_>) -> Outcome {
    Outcome::not_applicable("nothing asks for SCHED_DEADLINE")
        .requested("a class that can be pinned")
        .shown("the plan of a run", "it knows the classes fifo and normal")
}

fn inheritance(view: &View<'_>) -> Outcome {
    let live = match view.live() {
        Ok(live) => live,
        Err(outcome) => return *outcome,
    };
    let core = view.cores.housekeeping.first().copied().unwrap_or_default();
    match live.inheritance(core) {
        Err(why) => Outcome::unknown(why.clone()).fix(rights()),
        Ok(test) => {
            let said = format!(
                "the high thread had the lock after {}, the middle one worked for {}",
                test.high_waited, test.middle_worked
            );
            let outcome = if test.high_waited < test.middle_worked {
                Outcome::pass(said)
            } else {
                Outcome::fail(said)
            };
            outcome
                .shown(
                    "three FIFO threads and a PTHREAD_PRIO_INHERIT mutex on one core",
                    format!("{test:?}"),
                )
                .fix(
                    Fix::by_hand("use a kernel with CONFIG_FUTEX_PI (every distribution's has it)")
                        .with_reboot(),
                )
        }
    }
    .requested("the high thread gets the lock before the middle one is done")
}
