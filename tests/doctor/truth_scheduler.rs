//! Classes, interrupts, and who else is on the cores of the way. Each check: trees where it holds, where it does not, and that do not say.

use reflexarc::doctor::check::Status::{Fail, NotApplicable, Pass, Unknown, Warn};

use super::tree::{Tree, look};
use super::truth::{check, four};

#[test]
fn scheduler() {
    let limits = |rt: &str, lock: &str, cap: &str| {
        let text = format!(
            "Limit Soft Hard Units\nMax locked memory         {lock} unlimited bytes\nMax realtime priority     {rt} 99\n"
        );
        four().with("proc/self/limits", text).with(
            "proc/self/status",
            format!("CapEff:\t{cap}\nCpus_allowed_list:\t0-1\n"),
        )
    };
    check(
        "S02",
        vec![
            (limits("95", "unlimited", "0000000000000000"), Pass),
            (limits("0", "65536", "0000000000804000"), Pass),
            (limits("0", "unlimited", "0000000000000000"), Fail),
            (limits("99", "65536", "0000000000800000"), Fail),
            (four(), Unknown),
        ],
    );
    let throttled = |us: &str| {
        four()
            .with("proc/sys/kernel/sched_rt_runtime_us", us)
            .with("proc/sys/kernel/sched_rt_period_us", "1000000")
    };
    check(
        "S03",
        vec![
            (throttled("-1"), Pass),
            (throttled("1000000"), Pass),
            (throttled("950000"), Warn),
            (throttled("0"), Fail),
            (four(), Unknown),
        ],
    );
    let config = |text: &str| {
        four()
            .with("proc/sys/kernel/osrelease", "6.1\n")
            .with("boot/config-6.1", text)
    };
    let group = |us: &str| {
        config("CONFIG_RT_GROUP_SCHED=y\n")
            .with("proc/self/cgroup", "4:cpu:/app\n")
            .with("sys/fs/cgroup/cpu/app/cpu.rt_runtime_us", us)
    };
    check(
        "S04",
        vec![
            (config("CONFIG_SWAP=y\n"), Pass),
            (group("950000"), Pass),
            (group("0"), Fail),
            (config("CONFIG_RT_GROUP_SCHED=y\n"), Warn),
            (four(), Unknown),
        ],
    );
    let mask = |cores: &str| {
        four()
            .with("proc/self/status", format!("Cpus_allowed_list:\t{cores}\n"))
            .with("proc/self/cgroup", "0::/app\n")
    };
    check(
        "S05",
        vec![
            (mask("0-3"), Pass),
            (
                mask("0-1").with("sys/devices/system/cpu/isolated", "2-3\n"),
                Pass,
            ),
            (
                mask("0-1").with("sys/fs/cgroup/app/cpuset.cpus.effective", "0-3\n"),
                Pass,
            ),
            (
                mask("0-1")
                    .with("sys/devices/system/cpu/isolated", "2-3\n")
                    .with("sys/fs/cgroup/app/cpuset.cpus.effective", "0-1\n"),
                Fail,
            ),
            (four(), Unknown),
        ],
    );
    check(
        "S12",
        vec![(four(), NotApplicable), (Tree::empty(), NotApplicable)],
    );
}

#[test]
fn interrupts() {
    let irq = |where_to: &str, count: u32| {
        let table = format!(
            "            CPU0       CPU1       CPU2       CPU3\n  24:    {count}          0          0       5   GICv3  30 Level     arch_timer0\n  35:   {count}  0  {count}  0  PCI-MSI 1-edge      xhci_hcd\n LOC: 1 1 1 1 Local\n"
        );
        four()
            .with("proc/interrupts", table)
            .with("proc/irq/24/effective_affinity_list", "0\n")
            .with("proc/irq/35/effective_affinity_list", where_to)
            .with("proc/irq/35/smp_affinity_list", "0-3\n")
    };
    check(
        "S06",
        vec![
            (irq("0\n", 7), Pass),
            (irq("2\n", 7), Fail),
            (irq("2\n", 0), Pass),
            (four(), Unknown),
            // Each core's own timer on Arm, which no other core can take; the controller's 32 is a device's.
            (
                irq("0\n", 7).with("proc/irq/24/effective_affinity_list", "0-3\n"),
                Pass,
            ),
            (
                irq("0\n", 7)
                    .with("proc/irq/24/effective_affinity_list", "0-3\n")
                    .with(
                        "proc/interrupts",
                        "  CPU0 CPU1 CPU2 CPU3\n 24: 7 0 0 5 GICv3 32 Level uart\n",
                    ),
                Fail,
            ),
            // It was sent elsewhere, and moves at its next interrupt.
            (
                irq("2\n", 7).with("proc/irq/35/smp_affinity_list", "0-1\n"),
                Pass,
            ),
        ],
    );
    let found = look(&irq("2\n", 7), None, "S06");
    assert!(
        found.effective.contains("35 (xhci_hcd) on 2, 7 times"),
        "{found:?}"
    );
    let setting = &found.fix.unwrap().settings[0];
    assert_eq!(
        (setting.path.as_str(), setting.value.as_str()),
        ("proc/irq/35/smp_affinity_list", "0-1")
    );

    let refused = r#"{"schema":"reflexarc-undo/1","changed":[],"refused":[{"path":"proc/irq/35/smp_affinity_list","value":"0-1","why":"EIO"}]}"#;
    check(
        "S07",
        vec![
            (irq("0\n", 7), Pass),
            (irq("2\n", 7), Unknown),
            (
                irq("2\n", 7).with("run/reflexarc/doctor-undo.json", refused),
                Fail,
            ),
            (
                irq("2\n", 7).with(
                    "run/reflexarc/doctor-undo.json",
                    refused.replace("/35/", "/9/"),
                ),
                Pass,
            ),
            (four(), Unknown),
        ],
    );
    let thread = |priority| four().task(90, "irq/35-xhci_hcd", "kernel", 0, priority);
    check(
        "S08",
        vec![
            (thread(60), Pass),
            (thread(50), Warn),
            (thread(90), Warn),
            (four().task(1, "init", "user", 0, 0), NotApplicable),
            (four(), Unknown),
        ],
    );
    let balance = || four().task(70, "irqbalance", "user", 0, 0);
    check(
        "S09",
        vec![
            (four().task(1, "init", "user", 0, 0), Pass),
            (balance(), Fail),
            (
                balance().with("etc/default/irqbalance", "IRQBALANCE_BANNED_CPULIST=2-3\n"),
                Pass,
            ),
            (
                balance().with("etc/default/irqbalance", "IRQBALANCE_BANNED_CPUS=c\n"),
                Pass,
            ),
            (
                balance().with("sys/devices/system/cpu/isolated", "2-3\n"),
                Warn,
            ),
            (four(), Unknown),
        ],
    );
}

#[test]
fn strangers() {
    let isolated = || {
        four()
            .with("sys/devices/system/cpu/isolated", "2-3\n")
            .task(9, "ksoftirqd/2", "bound", 2, 0)
    };
    check(
        "S10",
        vec![
            (isolated(), Pass),
            (isolated().task(30, "python3", "user", 3, 0), Fail),
            (isolated().task(30, "kauditd", "kernel", 3, 0), Warn),
            (isolated().task(30, "reflexarc", "user", 3, 80), Pass),
            (four().task(30, "python3", "user", 3, 0), Warn),
            (four(), Unknown),
        ],
    );
    let stalls = |stat: &str, nmi: &str, timers: &str| {
        four()
            .with("proc/sys/vm/stat_interval", stat)
            .with("proc/sys/kernel/nmi_watchdog", nmi)
            .with("proc/sys/kernel/timer_migration", timers)
    };
    let watched = |cores: &str| {
        stalls("10", "0", "0")
            .with("proc/sys/kernel/watchdog", "1")
            .with("proc/sys/kernel/watchdog_cpumask", cores)
    };
    check(
        "S11",
        vec![
            (stalls("10", "0", "0"), Pass),
            (watched("0-1"), Pass),
            (watched("0-3"), Warn),
            (stalls("1", "0", "0"), Warn),
            (stalls("10", "1", "1"), Warn),
            (four(), Unknown),
        ],
    );
}
