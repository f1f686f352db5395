//! Each check that reads files: a tree where it holds, trees where it does not, and trees that do not say.

use reflexarc::doctor::check::Status::{self, Fail, NotApplicable, Pass, Unknown, Warn};
use reflexarc::doctor::check::Way;
use reflexarc::doctor::checks;

use super::tree::{Tree, board, is_pass, look};

/// A tree, what a check should say of it.
type Row = (Tree, Status);

/// `id` on each tree, without a board.
fn check(id: &str, rows: Vec<Row>) {
    for (n, (tree, want)) in rows.into_iter().enumerate() {
        let outcome = look(&tree, None, id);
        assert_eq!(outcome.status, want, "{id}, tree {n}: {outcome:#?}");
        // What is not right says what to do; what is right has nothing to do.
        if matches!(want, Warn | Fail) {
            let fix = outcome
                .fix
                .as_ref()
                .unwrap_or_else(|| panic!("{id} has no fix"));
            assert!(!fix.do_this.is_empty(), "{id}");
            assert!(!outcome.requested.is_empty(), "{id}");
            assert!(!outcome.evidence.is_empty(), "{id}");
        } else if want != Unknown {
            assert_eq!(outcome.fix, None, "{id}");
        }
        assert!(!outcome.effective.is_empty(), "{id}");
    }
}

fn four() -> Tree {
    Tree::four_cores()
}

#[test]
fn nothing_passes_on_a_tree_that_says_nothing() {
    for check in checks::all() {
        let outcome = look(&Tree::empty(), None, check.id);
        assert!(!is_pass(&outcome), "{}: {outcome:?}", check.id);
    }
}

#[test]
fn what_must_be_tried_is_unknown_on_a_captured_tree() {
    for check in checks::all()
        .iter()
        .filter(|check| check.way == Way::Measured)
    {
        let outcome = look(&four(), None, check.id);
        assert!(
            matches!(outcome.status, Unknown | NotApplicable),
            "{}: {outcome:?}",
            check.id
        );
    }
    for id in [
        "S01", "S13", "C02", "M03", "M04", "M07", "K10", "Y03", "Y04",
    ] {
        assert_eq!(look(&four(), None, id).status, Unknown, "{id}");
    }
}

#[test]
fn every_check_has_an_id_of_its_own_and_says_why() {
    let all = checks::all();
    assert!(all.len() >= 70, "{}", all.len());
    for (n, check) in all.iter().enumerate() {
        assert!(
            all[..n].iter().all(|other| other.id != check.id),
            "{}",
            check.id
        );
        assert!(check.why.len() > 40, "{}", check.id);
        assert!(!check.title.is_empty());
    }
}

#[test]
fn kernel() {
    let version = |text: &str| Tree::empty().with("proc/sys/kernel/version", text);
    check(
        "K01",
        vec![
            (version("#1 SMP PREEMPT_RT Debian 6.12.57-1"), Pass),
            (version("#1 SMP PREEMPT RT Tue"), Pass),
            (
                version("#1 SMP PREEMPT").with("sys/kernel/realtime", "1\n"),
                Pass,
            ),
            (version("#1 SMP PREEMPT_DYNAMIC"), Warn),
            (version("#1 SMP PREEMPT Thu"), Warn),
            (version("#1 SMP Thu"), Fail),
            (Tree::empty(), Unknown),
        ],
    );
    let clock = |name: &str| {
        Tree::empty().with(
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            name,
        )
    };
    check(
        "K09",
        vec![
            (clock("tsc"), Pass),
            (clock("arch_sys_counter"), Pass),
            (clock("kvm-clock"), Pass),
            (clock("hpet"), Fail),
            (Tree::empty(), Unknown),
        ],
    );
    let timers = |text: &str| Tree::empty().with("proc/timer_list", text);
    check(
        "K11",
        vec![
            (timers("cpu: 0\n  .resolution: 1 nsecs\n"), Pass),
            (timers("cpu: 0\n  .resolution: 4000000 nsecs\n"), Fail),
            (Tree::empty(), Unknown),
        ],
    );
    let tracers = |text: &str| Tree::empty().with("sys/kernel/tracing/available_tracers", text);
    check(
        "K12",
        vec![
            (tracers("osnoise timerlat hwlat nop"), Pass),
            (tracers("function nop"), NotApplicable),
            (Tree::empty(), NotApplicable),
        ],
    );
    let config = |text: &str| {
        Tree::empty()
            .with("proc/sys/kernel/osrelease", "6.1\n")
            .with("boot/config-6.1", text)
    };
    check(
        "K13",
        vec![
            (config("CONFIG_PREEMPT_RT=y\n"), Pass),
            (config("CONFIG_KASAN=y\nCONFIG_PROVE_LOCKING=y\n"), Warn),
            (Tree::empty(), Unknown),
        ],
    );
    let kernel = || {
        Tree::empty()
            .with("proc/sys/kernel/osrelease", "6.1\n")
            .with("proc/modules", "uvcvideo 1 1 - Live 0x0\n")
    };
    check(
        "K15",
        vec![
            (kernel().folder("lib/modules/6.1"), Pass),
            (kernel().folder("lib/modules/6.2"), Fail),
            (Tree::empty(), Unknown),
        ],
    );
}

#[test]
fn isolation() {
    let log = |text: &str| four().with("dev/kmsg", text);
    check(
        "K02",
        vec![
            (log("5,0,0,-;Linux version 6\n"), Pass),
            (
                log(
                    "5,0,0,-;Linux version 6\n5,1,0,-;Unknown kernel command line parameters \"nohz_full=2-3 BOOT=1\", will be passed to user space.\n",
                ),
                Fail,
            ),
            (
                log(
                    "5,0,0,-;Linux version 6\n5,1,0,-;Unknown kernel command line parameters \"splash\", will be passed to user space.\n",
                ),
                Pass,
            ),
            (log("6,900,0,-;usb 1-1: new\n"), Unknown),
            (four(), Unknown),
        ],
    );
    let isolated = |text: &str| four().with("sys/devices/system/cpu/isolated", text);
    check(
        "K03",
        vec![
            (isolated("2-3\n"), Pass),
            (isolated("3\n"), Fail),
            (isolated("1-3\n"), Warn),
            (isolated("\n"), Fail),
            (four(), Fail),
        ],
    );
    let tickless = |text: &str| four().with("sys/devices/system/cpu/nohz_full", text);
    check(
        "K04",
        vec![
            (tickless("2-3\n"), Pass),
            (tickless("(null)\n"), Fail),
            (tickless("\n"), Fail),
            (tickless("2\n"), Fail),
            (four(), Fail),
        ],
    );
    let offloaded = || {
        four()
            .task(20, "rcuog/2", "kernel", 0, 0)
            .task(21, "rcuop/2", "kernel", 1, 0)
    };
    check(
        "K05",
        vec![
            (offloaded().task(22, "rcuop/3", "kernel", 1, 0), Pass),
            (offloaded(), Fail),
            (offloaded().task(22, "rcuop/3", "kernel", 3, 0), Warn),
            (four(), Unknown),
        ],
    );
    let mask = |text: &str| four().with("proc/irq/default_smp_affinity", text);
    check(
        "K06",
        vec![
            (mask("3\n"), Pass),
            (mask("00000003\n"), Pass),
            (mask("f\n"), Fail),
            (four(), Unknown),
        ],
    );
    let queues = |a: &str, b: &str| {
        four()
            .with("sys/devices/virtual/workqueue/cpumask", a)
            .with("sys/bus/workqueue/devices/writeback/cpumask", b)
    };
    check(
        "K07",
        vec![
            (queues("3\n", "3\n"), Pass),
            (queues("3\n", "f\n"), Fail),
            (
                four().with("sys/devices/virtual/workqueue/cpumask", "3\n"),
                Unknown,
            ),
            (four(), Unknown),
        ],
    );
}

#[test]
fn isolation_that_nobody_asked_for_is_a_warning() {
    let plain = Tree::empty()
        .with("sys/devices/system/cpu/online", "0-3\n")
        .with("proc/cmdline", "quiet\n")
        .with("sys/devices/system/cpu/isolated", "\n");
    check("K03", vec![(plain, Warn)]);
    let two = Tree::empty()
        .with("sys/devices/system/cpu/online", "0-1\n")
        .with("sys/devices/system/cpu/isolated", "\n");
    let outcome = look(&two, None, "K03");
    assert!(outcome.requested.starts_with('1'), "{outcome:?}");
    let one = Tree::empty().with("sys/devices/system/cpu/online", "0\n");
    assert_eq!(look(&one, None, "K03").status, NotApplicable);
}

#[test]
fn a_kernel_without_the_option_is_told_from_an_argument_that_was_forgotten() {
    let config = "CONFIG_HIGH_RES_TIMERS=y\n# CONFIG_NO_HZ_FULL is not set\n";
    let tree = four()
        .with("proc/sys/kernel/osrelease", "6.1\n")
        .with("boot/config-6.1", config);
    let outcome = look(&tree, None, "K04");
    assert!(
        outcome.effective.contains("built without NO_HZ_FULL"),
        "{outcome:?}"
    );
    assert!(
        outcome
            .fix
            .unwrap()
            .do_this
            .contains("use a kernel built with")
    );
    let forgotten = look(
        &Tree::empty()
            .with("sys/devices/system/cpu/online", "0-3\n")
            .with("proc/cmdline", "isolcpus=2-3\n"),
        None,
        "K04",
    );
    assert_eq!(
        forgotten.fix.unwrap().boot_arguments,
        ["nohz_full=2-3", "rcu_nocbs=2-3", "irqaffinity=0-1"]
    );
}

#[test]
fn the_next_boot_and_harmful_arguments() {
    let nano = board("jetson-orin-nano");
    let file = |append: &str| {
        let text = format!(
            "DEFAULT real-time\nLABEL primary\n APPEND x\nLABEL real-time\n LINUX /boot/Image.real-time\n APPEND {append}\n"
        );
        Tree::empty().with("boot/extlinux/extlinux.conf", text)
    };
    let all = "root=/dev/nvme0n1p1 isolcpus=managed_irq,domain,4-5 nohz_full=4-5 rcu_nocbs=4-5 irqaffinity=0-3";
    let held = "Package: nvidia-l4t-kernel\nStatus: hold ok installed\n\nPackage: x\nStatus: install ok installed\n";
    for (tree, want) in [
        (file(all).with("var/lib/dpkg/status", held), Pass),
        (file(all), Pass),
        (
            file(all).with("var/lib/dpkg/status", held.replace("hold", "install")),
            Warn,
        ),
        (file("root=/dev/nvme0n1p1"), Fail),
        (
            Tree::empty().with("boot/extlinux/extlinux.conf", "LABEL a\n"),
            Unknown,
        ),
        (Tree::empty(), Unknown),
    ] {
        assert_eq!(look(&tree, Some(&nano), "K08").status, want);
    }
    assert_eq!(look(&file(all), None, "K08").status, NotApplicable);
    let new = look(&file("root=/dev/nvme0n1p1 quiet"), Some(&nano), "K08")
        .fix
        .unwrap();
    assert!(new.do_this.contains("LABEL reflexarc"), "{}", new.do_this);

    let line = |text: &str| Tree::empty().with("proc/cmdline", text);
    assert_eq!(look(&line("quiet\n"), Some(&nano), "K14").status, Pass);
    assert_eq!(look(&line("cma=512M\n"), Some(&nano), "K14").status, Fail);
    assert_eq!(look(&Tree::empty(), Some(&nano), "K14").status, Unknown);
    assert_eq!(look(&line("cma=512M\n"), None, "K14").status, NotApplicable);
}

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
    check("S12", vec![(four(), Pass), (Tree::empty(), Unknown)]);
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

#[test]
fn power() {
    let governor = |name: &str, of: &[usize]| {
        (0..4).fold(four(), |tree, core| {
            let name = if of.contains(&core) {
                name
            } else {
                "performance"
            };
            tree.with(
                &format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"),
                name,
            )
        })
    };
    check(
        "C01",
        vec![
            (governor("", &[]), Pass),
            (governor("schedutil", &[0]), Warn),
            (governor("schedutil", &[2]), Fail),
            (four(), NotApplicable),
        ],
    );
    let idle = |us: &str, off: &str| {
        four()
            .with("sys/devices/system/cpu/cpu2/cpuidle/state1/latency", us)
            .with("sys/devices/system/cpu/cpu2/cpuidle/state1/disable", off)
            .with(
                "sys/devices/system/cpu/cpu2/cpuidle/state1/name",
                "cpu-sleep",
            )
    };
    check(
        "C03",
        vec![
            (idle("10", "0"), Pass),
            (idle("120", "1"), Pass),
            (idle("120", "0"), Unknown),
            (four(), NotApplicable),
        ],
    );
    let heat = |now: &str| {
        four()
            .with("sys/class/thermal/thermal_zone0/temp", now)
            .with("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
            .with("sys/class/thermal/thermal_zone0/trip_point_0_temp", "85000")
            .with(
                "sys/class/thermal/thermal_zone0/trip_point_0_type",
                "passive",
            )
    };
    let pi = |word: &str| {
        heat("50000").with("sys/devices/platform/soc/soc:firmware/get_throttled", word)
    };
    check(
        "C08",
        vec![
            (heat("60000"), Pass),
            (heat("80000"), Warn),
            (heat("86000"), Fail),
            (pi("0"), Pass),
            (pi("4"), Fail),
            (pi("40000"), Warn),
            (four(), Unknown),
        ],
    );
    let clocks = |min: &str| {
        four()
            .with("sys/class/devfreq/17000000.gpu/min_freq", min)
            .with("sys/class/devfreq/17000000.gpu/max_freq", "1020000000")
    };
    check(
        "C10",
        vec![
            (clocks("1020000000"), Pass),
            (clocks("306000000"), Warn),
            (four(), NotApplicable),
        ],
    );
    let supply = |alarm: &str| four().with("sys/class/hwmon/hwmon1/in0_lcrit_alarm", alarm);
    check(
        "C11",
        vec![
            (supply("0"), Pass),
            (supply("1"), Fail),
            (pi("1"), Fail),
            (pi("0"), Pass),
            (four(), NotApplicable),
        ],
    );
}

#[test]
fn power_modes_go_by_name() {
    let nano = board("jetson-orin-nano");
    let table = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n";
    let mode = |id: &str| {
        four()
            .with("var/lib/nvpmodel/status", format!("pmode:{id}"))
            .with("etc/nvpmodel.conf", table)
    };
    assert_eq!(look(&mode("0002"), Some(&nano), "C09").status, Pass);
    let low = look(&mode("0000 fmode:fanNull"), Some(&nano), "C09");
    assert_eq!((low.status, low.effective.as_str()), (Warn, "15W"));
    assert!(low.fix.unwrap().do_this.contains("nvpmodel -m 2"));
    assert_eq!(look(&mode("0009"), Some(&nano), "C09").status, Unknown);
    assert_eq!(look(&four(), Some(&nano), "C09").status, Unknown);
    assert_eq!(look(&mode("0002"), None, "C09").status, NotApplicable);
}

#[test]
fn cores() {
    let pi = board("raspberry-pi-5");
    let online = |list: &str| Tree::empty().with("sys/devices/system/cpu/online", list);
    assert_eq!(look(&online("0-3"), Some(&pi), "C04").status, Pass);
    assert_eq!(look(&online("0-2"), Some(&pi), "C04").status, Fail);
    assert_eq!(look(&online("0-4"), Some(&pi), "C04").status, Warn);
    assert_eq!(look(&Tree::empty(), Some(&pi), "C04").status, Unknown);
    let cluster = |two: &str, three: &str| {
        four()
            .with(
                "sys/devices/system/cpu/cpu2/topology/cluster_cpus_list",
                two,
            )
            .with(
                "sys/devices/system/cpu/cpu3/topology/cluster_cpus_list",
                three,
            )
    };
    let clock = four().with(
        "sys/devices/system/cpu/cpu2/cpufreq/related_cpus",
        "0 1 2 3",
    );
    check(
        "C05",
        vec![
            (cluster("2-3", "2-3"), Pass),
            (cluster("0-3", "0-3"), Warn),
            (clock, Warn),
            (four(), Unknown),
        ],
    );
    let capacity = |small: &str| {
        (0..4).fold(four(), |tree, n| {
            tree.with(
                &format!("sys/devices/system/cpu/cpu{n}/cpu_capacity"),
                if n < 2 { "1024" } else { small },
            )
        })
    };
    check(
        "C06",
        vec![
            (capacity("1024"), Pass),
            (capacity("530"), Fail),
            (four(), NotApplicable),
        ],
    );
    let sibling = |two: &str, three: &str| {
        four()
            .with(
                "sys/devices/system/cpu/cpu2/topology/thread_siblings_list",
                two,
            )
            .with(
                "sys/devices/system/cpu/cpu3/topology/thread_siblings_list",
                three,
            )
    };
    check(
        "C07",
        vec![
            (sibling("2", "3"), Pass),
            (sibling("2-3", "2-3"), Pass),
            (sibling("0,2", "1,3"), Warn),
            (sibling("2,6", "3,7"), Pass),
            (four(), Unknown),
        ],
    );
}

#[test]
fn memory() {
    let pages = |text: &str| four().with("sys/kernel/mm/transparent_hugepage/enabled", text);
    check(
        "M01",
        vec![
            (pages("always madvise [never]\n"), Pass),
            (pages("always [madvise] never\n"), Pass),
            (pages("[always] madvise never\n"), Warn),
            (four().folder("sys/kernel/mm"), Pass),
            (four(), Unknown),
        ],
    );
    let swap = |more: &str| {
        four().with(
            "proc/swaps",
            format!("Filename Type Size Used Priority\n{more}"),
        )
    };
    check(
        "M02",
        vec![
            (swap(""), Pass),
            (swap("/dev/zram0 partition 1 0 5\n"), Warn),
            (four(), Unknown),
        ],
    );
    let moving = |a: &str, b: &str| {
        four()
            .with("proc/sys/vm/compaction_proactiveness", a)
            .with("sys/kernel/mm/ksm/run", b)
    };
    check(
        "M05",
        vec![
            (moving("0", "0"), Pass),
            (moving("20", "0"), Warn),
            (moving("0", "1"), Warn),
            (four(), Unknown),
        ],
    );
    let left = |kib: &str| {
        four().with(
            "proc/meminfo",
            format!("MemTotal: 8000000 kB\nMemAvailable:   {kib} kB\n"),
        )
    };
    check(
        "M06",
        vec![
            (left("4000000"), Pass),
            (left("100000"), Fail),
            (
                left("4000000").with("proc/sys/vm/overcommit_memory", "2"),
                Warn,
            ),
            (four(), Unknown),
        ],
    );
}

#[test]
fn cameras_and_gpu() {
    let usb = |speed: &str, power: &str| {
        four()
            .with(
                "sys/class/video4linux/video0/device/uevent",
                "DEVTYPE=usb_interface\nDRIVER=uvcvideo\n",
            )
            .with("sys/class/video4linux/video0/speed", speed)
            .with("sys/class/video4linux/video0/power/control", power)
    };
    check(
        "V06",
        vec![
            (usb("480", "on"), Pass),
            (usb("480", "auto"), Warn),
            (usb("12", "on"), Warn),
            (four(), NotApplicable),
        ],
    );
    for id in ["V01", "V02", "V03", "V04", "V05", "V07"] {
        assert_eq!(look(&four(), None, id).status, NotApplicable, "{id}");
        assert_eq!(look(&usb("480", "on"), None, id).status, Unknown, "{id}");
    }
    let nano = board("jetson-orin-nano");
    let loaded = || four().with("proc/modules", "nvgpu 1 1 - Live 0x0\n");
    assert_eq!(
        look(&loaded().with("dev/nvhost-gpu", ""), Some(&nano), "V08").status,
        Pass
    );
    assert_eq!(
        look(&four().with("dev/nvhost-gpu", ""), Some(&nano), "V08").status,
        Warn
    );
    assert_eq!(look(&loaded(), Some(&nano), "V08").status, Fail);
    assert_eq!(look(&four(), None, "V08").status, NotApplicable);
    assert_eq!(
        look(&four().with("usr/bin/nvidia-smi", ""), Some(&nano), "V09").status,
        Warn
    );
    assert_eq!(look(&four(), Some(&nano), "V09").status, Pass);
    check(
        "V09",
        vec![(four().with("usr/bin/nvidia-smi", ""), NotApplicable)],
    );
    let init = || four().task(1, "init", "user", 0, 0);
    check(
        "V10",
        vec![
            (init(), Pass),
            (init().task(2, "gnome-shell", "user", 0, 0), Warn),
            (four(), Unknown),
        ],
    );
}

#[test]
fn system() {
    let pi = || {
        Tree::empty()
            .with(
                "proc/device-tree/compatible",
                "raspberrypi,5-model-b\0brcm,bcm2712\0",
            )
            .with("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    };
    let (five, rock) = (board("raspberry-pi-5"), board("rock-5b"));
    assert_eq!(look(&pi(), Some(&five), "Y01").status, Pass);
    assert_eq!(look(&pi(), Some(&rock), "Y01").status, Fail);
    assert_eq!(look(&Tree::empty(), Some(&five), "Y01").status, Unknown);
    let os = |name: &str| {
        pi().with(
            "etc/os-release",
            format!("ID=debian\nVERSION_CODENAME={name}\n"),
        )
    };
    assert_eq!(look(&os("trixie"), Some(&five), "Y02").status, Pass);
    assert_eq!(look(&os("bullseye"), Some(&five), "Y02").status, Warn);
    assert_eq!(look(&pi(), Some(&five), "Y02").status, Unknown);
    let nano = board("jetson-orin-nano");
    let tegra = |text: &str| Tree::empty().with("etc/nv_tegra_release", text);
    assert_eq!(
        look(
            &tegra("# R36 (release), REVISION: 4.3, GCID: 1\n"),
            Some(&nano),
            "Y02"
        )
        .status,
        Pass
    );
    assert_eq!(
        look(
            &tegra("# R35 (release), REVISION: 4.3\n"),
            Some(&nano),
            "Y02"
        )
        .status,
        Warn
    );
    let dog = || four().folder("sys/class/watchdog/watchdog0");
    check(
        "Y05",
        vec![
            (
                dog().with(
                    "etc/systemd/system/reflexarc.service",
                    "[Service]\nWatchdogSec=2s\n",
                ),
                Pass,
            ),
            (dog(), Warn),
            (four(), Warn),
        ],
    );
    let mounts = |line: &str| four().with("proc/self/mounts", line);
    check(
        "Y06",
        vec![
            (mounts("/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n"), Warn),
            (mounts("/dev/nvme0n1p1 / ext4 rw 0 0\n"), Unknown),
            (four(), Unknown),
        ],
    );
    check(
        "Y07",
        vec![
            (four().task(1, "init", "user", 0, 0), Pass),
            (four().task(1, "snapd", "user", 0, 0), Warn),
            (four(), Unknown),
        ],
    );
    let console = |line: &str, level: &str| {
        Tree::empty()
            .with("proc/cmdline", line)
            .with("proc/sys/kernel/printk", level)
    };
    check(
        "Y08",
        vec![
            (console("console=ttyS0", "4 4 1 7"), Pass),
            (console("quiet", "7 4 1 7"), Pass),
            (console("console=ttyTCU0,115200", "7 4 1 7"), Warn),
            (four(), Unknown),
        ],
    );
    let cpu = |flags: &str| {
        Tree::empty().with("proc/cpuinfo", format!("processor : 0\nflags : {flags}\n"))
    };
    check(
        "Y09",
        vec![
            (cpu("fpu lm"), Pass),
            (cpu("fpu lm hypervisor"), Warn),
            (cpu("fpu").with(".dockerenv", ""), Warn),
            (Tree::empty(), Unknown),
        ],
    );
    let journal = |text: &str| Tree::empty().with("etc/systemd/journald.conf", text);
    check(
        "Y10",
        vec![
            (journal("[Journal]\n#Storage=auto\n"), Pass),
            (
                journal("[Journal]\n#Storage=auto\n").folder("var/log/journal"),
                Warn,
            ),
            (
                journal("Storage=volatile\n").folder("var/log/journal"),
                Pass,
            ),
            (journal("Storage=persistent\n"), Warn),
            (Tree::empty(), NotApplicable),
        ],
    );
}

#[test]
fn a_file_that_only_root_may_read_is_unknown_and_says_so() {
    let capture = r#"{"schema":"reflexarc-capture/1","version":"0","not_readable":["dev/kmsg","sys/kernel/tracing/available_tracers"],"left_out":[]}"#;
    let tree = four().with("capture.json", capture);
    for id in ["K02", "K12"] {
        let outcome = look(&tree, None, id);
        assert_eq!(outcome.status, Unknown, "{id}");
        assert!(
            format!("{outcome:?}").contains("not readable without root"),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_captured_tree_cannot_reach_out_or_hang() {
    let secret = tempfile::tempdir().unwrap();
    std::fs::write(secret.path().join("x"), "#1 SMP PREEMPT_RT").unwrap();
    let tree = four().folder("proc/sys/kernel");
    std::os::unix::fs::symlink(
        secret.path().join("x"),
        tree.path().join("proc/sys/kernel/version"),
    )
    .unwrap();
    assert_eq!(look(&tree, None, "K01").status, Unknown);
    let fifo = std::ffi::CString::new(tree.path().join("proc/swaps").to_str().unwrap()).unwrap();
    // SAFETY: the path is closed by a zero.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    assert_eq!(look(&tree, None, "M02").status, Unknown);
}
