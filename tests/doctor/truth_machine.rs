//! Power, cores, memory, cameras and the system. Each check: trees where it holds, where it does not, and that do not say.

use reflexarc::doctor::check::Status::{Fail, NotApplicable, Pass, Unknown, Warn};

use super::tree::{Tree, board, look};
use super::truth::{check, four};

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
