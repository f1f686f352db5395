//! Where a run took place: what about the machine and its kernel bears on latency.
//!
//! Thread: housekeeping. Allocates: yes. Syscalls: reads of `/proc` and `/sys`, `uname`, `sched_getaffinity`.
//!
//! What cannot be read is left empty; that never stops a run.

use std::collections::BTreeSet;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::doctor::summary::Summary;

/// The machine, the kernel and the build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Of reflexarc.
    pub version: String,
    /// Git commit of the build; `-dirty` with uncommitted changes; empty for a development build.
    pub commit: String,
    /// `release` or `debug`.
    pub build: String,
    pub architecture: String,
    /// Release of the kernel.
    pub kernel: String,
    /// `rt` (PREEMPT_RT), `dynamic`, `full` or `none`: how far the kernel can be preempted.
    pub preemption: String,
    pub cpu_model: String,
    /// Instruction sets that the kernels of reflexarc can use.
    pub cpu_features: Vec<String>,
    pub cores_online: usize,
    /// Cores that this process may use.
    pub cores_allowed: usize,
    /// Frequency governors in use; empty where the kernel does not scale the frequency (virtual machines).
    pub governors: Vec<String>,
    pub memory_bytes: u64,
    /// True in a virtual machine: other guests can take the core at any time.
    pub hypervisor: bool,
    pub clock_source: String,
    /// Boot parameters that bear on latency: isolated cores, tickless cores, idle states.
    pub boot_parameters: Vec<String>,
    /// Mean number of runnable tasks over the last minute, other processes included.
    pub load_average: f64,
    /// What `reflexarc doctor` found in the machine's files; absent in reports of older versions.
    pub doctor: Option<Summary>,
}

impl Environment {
    /// Looks at this machine, and lets the doctor look at it, by the file of this board or of the one that it finds.
    pub fn examined(board: Option<&str>) -> Self {
        Self {
            doctor: Some(Summary::of_this_machine(board)),
            ..Self::read()
        }
    }

    /// Looks at this machine.
    pub fn read() -> Self {
        let cpuinfo = text("/proc/cpuinfo");
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("REFLEXARC_COMMIT").unwrap_or("").to_owned(),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            kernel: text("/proc/sys/kernel/osrelease"),
            preemption: preemption(),
            cpu_model: cpu_model(&cpuinfo),
            cpu_features: cpu_features(),
            cores_online: count_cores(&text("/sys/devices/system/cpu/online")),
            cores_allowed: std::thread::available_parallelism().map_or(0, usize::from),
            governors: governors(),
            memory_bytes: memory_bytes(&text("/proc/meminfo")),
            hypervisor: cpuinfo.lines().any(|l| {
                l.starts_with("flags") && l.split_whitespace().any(|flag| flag == "hypervisor")
            }),
            clock_source: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            boot_parameters: boot_parameters(&text("/proc/cmdline")),
            load_average: load_average(),
            doctor: None,
        }
    }
}

/// The trimmed text of a file; empty if it cannot be read.
fn text(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| String::new(), |t| t.trim().to_owned())
}

fn preemption() -> String {
    let version = text("/proc/sys/kernel/version");
    let kind = if version.contains("PREEMPT_RT") || text("/sys/kernel/realtime") == "1" {
        "rt"
    } else if version.contains("PREEMPT_DYNAMIC") {
        "dynamic"
    } else if version.contains("PREEMPT") {
        "full"
    } else {
        "none"
    };
    kind.to_owned()
}

/// x86 says `model name`; boards of the ARM world say `Model`, or only name themselves in the device tree.
fn cpu_model(cpuinfo: &str) -> String {
    let field = |name: &str| {
        cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    field("model name")
        .or_else(|| field("Model"))
        .or_else(|| field("Hardware"))
        .unwrap_or_else(|| text("/proc/device-tree/model").replace('\0', ""))
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<String> {
    let has = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ];
    names(&has)
}

#[cfg(target_arch = "aarch64")]
fn cpu_features() -> Vec<String> {
    let has = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        (
            "dotprod",
            std::arch::is_aarch64_feature_detected!("dotprod"),
        ),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
    ];
    names(&has)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_features() -> Vec<String> {
    names(&[])
}

fn names(has: &[(&str, bool)]) -> Vec<String> {
    let present = has.iter().filter(|(_, present)| *present);
    present.map(|(name, _)| (*name).to_owned()).collect()
}

/// Counts a kernel list such as `0-3,6`.
fn count_cores(list: &str) -> usize {
    let count = |part: &str| -> Option<usize> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some((last + 1).saturating_sub(first))
    };
    list.split(',').filter_map(count).sum()
}

fn governors() -> Vec<String> {
    // BOUND: one look for each core of the largest machine that the kernel is built for by default.
    let paths =
        (0..512).map(|n| format!("/sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor"));
    let found: BTreeSet<String> = paths.map(|p| text(&p)).filter(|g| !g.is_empty()).collect();
    found.into_iter().collect()
}

fn memory_bytes(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()
    });
    total.unwrap_or(0) * 1024
}

fn boot_parameters(cmdline: &str) -> Vec<String> {
    const PREFIXES: [&str; 14] = [
        "isolcpus=",
        "nohz_full=",
        "nohz=",
        "rcu_nocbs=",
        "irqaffinity=",
        "idle=",
        "cpuidle",
        "intel_idle.",
        "processor.",
        "intel_pstate",
        "preempt=",
        "threadirqs",
        "nosmt",
        "mitigations=",
    ];
    let matters = |p: &&str| PREFIXES.iter().any(|prefix| p.starts_with(prefix));
    let found = cmdline.split_whitespace().filter(matters);
    found.map(str::to_owned).collect()
}

fn load_average() -> f64 {
    let text = text("/proc/loadavg");
    let first = text.split_whitespace().next();
    first.and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_list_of_cores_is_counted() {
        for (list, want) in [("0", 1), ("0-3", 4), ("0-3,6,8-9", 7), ("", 0)] {
            assert_eq!(count_cores(list), want, "{list}");
        }
    }

    #[test]
    fn only_boot_parameters_that_bear_on_latency_are_kept() {
        let found = boot_parameters("quiet isolcpus=2,3 root=/dev/sda secret=x nohz_full=2");
        assert_eq!(found, ["isolcpus=2,3", "nohz_full=2"]);
    }

    #[test]
    fn a_board_without_a_model_name_is_named_by_its_model_line() {
        let pi =
            "processor\t: 0\nBogoMIPS\t: 108.00\n\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n";
        assert_eq!(cpu_model(pi), "Raspberry Pi 5 Model B Rev 1.0");
    }

    #[test]
    fn this_machine_has_a_kernel_and_a_core() {
        let here = Environment::read();
        assert!(!here.kernel.is_empty());
        assert!(here.cores_online >= 1 && here.cores_allowed >= 1);
        assert!(here.memory_bytes > 0);
    }
}
