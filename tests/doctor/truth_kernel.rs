//! The kernel, its arguments and what came of them. Each check: trees where it holds, where it does not, and that do not say.

use reflexarc::doctor::check::Status::{Fail, NotApplicable, Pass, Unknown, Warn};

use super::tree::{Tree, board, look};
use super::truth::{check, four};

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
            (
                log(
                    "5,0,0,-;Linux version 6\n5,1,0,-;Unknown kernel command line parameters \"nozh_full=3\", will be passed\n",
                ),
                Fail,
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
