//! What a capture leaves out: names of hosts and users, serial numbers, hardware addresses, secrets on command lines.
//!
//! Nothing is searched for and struck out, for what a search does not know it lets through. Each file is here with what
//! is kept of it, and a file that is not here is not captured.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::doctor::cmdline::is_of_isolation;
use crate::doctor::place::HEADER;
use crate::doctor::process;

/// Arguments of the kernel whose value bears on latency and tells nothing else.
const ARGUMENTS: [&str; 38] = [
    "isolcpus",
    "nohz_full",
    "nohz",
    "rcu_nocbs",
    "rcu_nocb_poll",
    "rcutree.kthread_prio",
    "irqaffinity",
    "kthread_cpus",
    "threadirqs",
    "preempt",
    "skew_tick",
    "tsc",
    "clocksource",
    "highres",
    "idle",
    "cpuidle.off",
    "cpuidle_haltpoll.force",
    "intel_idle.max_cstate",
    "processor.max_cstate",
    "intel_pstate",
    "amd_pstate",
    "cpufreq.default_governor",
    "nosmt",
    "maxcpus",
    "mitigations",
    "transparent_hugepage",
    "nmi_watchdog",
    "nowatchdog",
    "nosoftlockup",
    "audit",
    "cma",
    "console",
    "quiet",
    "loglevel",
    "nomodule",
    "noirqdebug",
    "workqueue.power_efficient",
    "systemd.unified_cgroup_hierarchy",
];

/// What is kept of a file; None: the file is left out.
pub fn kept(path: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let parts: Vec<&str> = path.split('/').collect();
    let kept = match parts.as_slice() {
        ["proc", "cmdline"] => arguments(&text()) + "\n",
        ["proc", "cpuinfo"] => lines(&text(), is_of_processor),
        ["proc", "modules"] => first_words(&text()),
        ["proc", "timer_list"] => lines(&text(), |line| line.contains(".resolution:")),
        ["proc", "config.gz"] => return repack(bytes),
        ["proc", "interrupts"] => without_addresses(&text()),
        ["proc", "swaps"] => swaps(&text()),
        ["proc", "meminfo"] => lines(&text(), |line| {
            ["MemTotal", "MemAvailable", "Cma"]
                .iter()
                .any(|n| line.starts_with(n))
        }),
        ["proc", _, "status"] => status(&text()),
        ["proc", _, "limits"] => text(),
        ["proc", "self", "mounts"] => root_mount(&text()),
        ["proc", "self", "cgroup"] => groups(&text()),
        ["proc", _, "task", _, "stat"] => {
            return process::without_private(&text()).map(String::into_bytes);
        }
        ["proc", "device-tree", "compatible" | "model"]
        | ["proc", "device-tree", "chosen", "nvidia,sku"] => return Some(bytes.to_vec()),
        ["proc", "irq", ..] => text(),
        ["proc", "sys", "kernel" | "vm", name] if *name != "hostname" && *name != "domainname" => {
            text()
        }
        ["dev", "kmsg"] => kernel_log(&text()),
        ["sys", "class", "dmi", "id", "sys_vendor" | "product_name"] => text(),
        ["sys", "class", "video4linux", _, "device", "uevent"] => {
            lines(&text(), |line| line.starts_with("DRIVER="))
        }
        ["sys", "bus", "i2c", "devices", _, "eeprom"] => return Some(part_number(bytes)),
        ["sys", "fs", "cgroup", ..]
        | [
            "sys",
            "kernel" | "class" | "devices" | "bus" | "hypervisor" | "module",
            ..,
        ] => text(),
        ["boot", "extlinux", "extlinux.conf"] => boot_lines(
            &text(),
            &["DEFAULT", "TIMEOUT", "LABEL", "LINUX", "INITRD"],
            &["APPEND"],
        ),
        ["boot", "firmware", "cmdline.txt"] => arguments(&text()) + "\n",
        ["boot", "armbianEnv.txt"] => settings(&text(), "extraargs"),
        ["etc", "default", "grub"] => settings(&text(), "GRUB_CMDLINE_LINUX"),
        ["boot", name] if name.starts_with("config-") => lines(&text(), is_built_in),
        ["etc", "default", "irqbalance"] => {
            lines(&text(), |line| line.starts_with("IRQBALANCE_BANNED_"))
        }
        ["etc", "security", "limits.d", "reflexarc.conf"] => grants(&text()),
        ["etc", "nv_tegra_release"] => lines(&text(), |line| line.starts_with("# R")),
        ["etc", "nvpmodel.conf"] => lines(&text(), |line| line.starts_with("< POWER_MODEL ")),
        ["etc", "os-release"] => lines(&text(), |line| {
            line.starts_with("VERSION_CODENAME=") || line.starts_with("ID=")
        }),
        ["etc", "systemd", "journald.conf"] => lines(&text(), |line| line.starts_with("Storage=")),
        [.., "systemd", "system", "reflexarc.service"] => {
            lines(&text(), |line| line.starts_with("WatchdogSec="))
        }
        ["var", "lib", "nvpmodel", "status"] => text(),
        ["var", "lib", "dpkg", "status"] => package(&text()),
        ["run", "reflexarc", "doctor-undo.json"] => text(),
        _ => return None,
    };
    Some(kept.into_bytes())
}

/// Folders of which the names alone say something: numbers and kinds of devices.
pub fn names_matter(folder: &str) -> bool {
    [
        "sys/class/video4linux",
        "sys/class/watchdog",
        "sys/class/devfreq",
        "sys/class/thermal",
        "sys/class/hwmon",
    ]
    .contains(&folder)
}

/// The path of a control group names containers and users. In a capture there is one group, called `own`.
pub fn path_of(path: &str, groups: Option<&str>) -> String {
    let mut path = path.to_owned();
    for group in groups.unwrap_or_default().lines().filter_map(group_of) {
        if path.starts_with("sys/fs/cgroup") && path.contains(group) {
            path = path.replacen(group, "/own", 1);
        }
    }
    path
}

/// The path in a line of `/proc/self/cgroup`, unless it is the root.
fn group_of(line: &str) -> Option<&str> {
    line.splitn(3, ':').nth(2).filter(|path| *path != "/")
}

fn groups(text: &str) -> String {
    let renamed = text.lines().map(|line| match group_of(line) {
        Some(path) => format!("{}/own\n", &line[..line.len() - path.len()]),
        None => format!("{line}\n"),
    });
    renamed.collect()
}

/// The lines that are wanted, each without blanks at its ends.
fn lines(text: &str, is_wanted: impl Fn(&str) -> bool) -> String {
    let wanted = text.lines().map(str::trim).filter(|line| is_wanted(line));
    wanted.map(|line| format!("{line}\n")).collect()
}

/// Known arguments with their values; of the others not even the name. `root` stays as a word.
pub fn arguments(line: &str) -> String {
    let words = line.split_whitespace().take_while(|word| *word != "--");
    let kept = words.filter_map(|word| match word.split('=').next()? {
        name if ARGUMENTS.contains(&name) => Some(word),
        "root" => Some("root=left-out"),
        _ => None,
    });
    kept.collect::<Vec<_>>().join(" ")
}

/// Of a process: its rights, its parent, and of its user whether that is root (0) or somebody (1).
fn status(text: &str) -> String {
    const KEYS: [&str; 3] = ["Cpus_allowed_list:", "CapEff:", "PPid:"];
    let line = |line: &str| {
        if let Some(users) = line.strip_prefix("Uid:") {
            let is_root = users.split_whitespace().next() == Some("0");
            return Some(format!("Uid:\t{}\n", u8::from(!is_root)));
        }
        let is_known = KEYS.iter().any(|key| line.starts_with(key));
        is_known.then(|| format!("{line}\n"))
    };
    text.lines().map(str::trim).filter_map(line).collect()
}

/// The file of the doctor's own, with its user called as in `status`.
fn grants(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix(':').and_then(|rest| rest.split_once(' ')) {
        Some((user, rest)) => format!(":{} {rest}\n", u8::from(user != "0")),
        None if line == HEADER => format!("{line}\n"),
        None => String::new(),
    };
    text.lines().map(line).collect()
}

fn is_of_processor(line: &str) -> bool {
    const KEYS: [&str; 11] = [
        "processor",
        "vendor_id",
        "cpu family",
        "model",
        "model name",
        "stepping",
        "flags",
        "Features",
        "CPU implementer",
        "CPU part",
        "Model",
    ];
    line.split_once(':')
        .is_some_and(|(key, _)| KEYS.contains(&key.trim()))
}

fn first_words(text: &str) -> String {
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names
        .map(|name| format!("{name} 0 0 - Live 0x0\n"))
        .collect()
}

/// `enx` and twelve digits is how a network card is called after its address.
fn without_addresses(text: &str) -> String {
    let clean = |word: &str| match word.split_once("enx") {
        Some((before, rest)) => format!(
            "{before}enx{}",
            rest.trim_start_matches(|c: char| c.is_ascii_hexdigit())
        ),
        None => word.to_owned(),
    };
    text.lines()
        .map(|line| line.split(' ').map(clean).collect::<Vec<_>>().join(" ") + "\n")
        .collect()
}

/// A swap file may lie in somebody's home.
fn swaps(text: &str) -> String {
    let areas = text
        .lines()
        .skip(1)
        .enumerate()
        .map(|(n, _)| format!("swap{n} left-out 0 0 0\n"));
    "Filename Type Size Used Priority\n".to_owned() + &areas.collect::<String>()
}

/// The root's line, with the kind of its disk and whether it is writable.
fn root_mount(text: &str) -> String {
    let words = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let root = words.filter(|words| words.get(1) == Some(&"/"));
    let line = |words: Vec<&str>| {
        let device = if words[0].contains("mmcblk") {
            "/dev/mmcblk"
        } else {
            "/dev/root"
        };
        let mode = if words.get(3)?.split(',').any(|option| option == "ro") {
            "ro"
        } else {
            "rw"
        };
        Some(format!("{device} / {} {mode} 0 0\n", words.get(2)?))
    };
    root.filter_map(line).collect()
}

/// The beginning, and the line about unknown arguments with those that are known not to be private.
fn kernel_log(text: &str) -> String {
    const SAYS: &str = "Unknown kernel command line parameters";
    let mut kept = String::new();
    if text.contains("Linux version") {
        kept += "5,0,0,-;Linux version left-out\n";
    }
    if let Some(line) = text.lines().find(|line| line.contains(SAYS)) {
        let unknown = line
            .split('"')
            .nth(1)
            .unwrap_or_default()
            .split_whitespace();
        let unknown: Vec<&str> = unknown
            .filter(|argument| is_of_isolation(argument))
            .collect();
        let unknown = unknown.join(" ");
        kept += &format!("5,1,0,-;{SAYS} \"{unknown}\"\n");
    }
    kept
}

/// An EEPROM with its part number alone: the serial number and addresses are beside it.
fn part_number(bytes: &[u8]) -> Vec<u8> {
    let of_part = |at: usize| (20..50).contains(&at);
    bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| if of_part(at) { *byte } else { 0 })
        .collect()
}

fn is_built_in(line: &str) -> bool {
    line.starts_with("CONFIG_") && line.ends_with("=y")
}

/// The kernel's configuration: what is built in, without its name and salt.
fn repack(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = String::new();
    GzDecoder::new(bytes)
        .take(4 * 1024 * 1024)
        .read_to_string(&mut text)
        .ok()?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed
        .write_all(lines(&text, is_built_in).as_bytes())
        .ok()?;
    packed.finish().ok()
}

/// Lines that begin with one of `whole`, and those of `filtered` with their known arguments.
fn boot_lines(text: &str, whole: &[&str], filtered: &[&str]) -> String {
    let line = |line: &str| {
        let key = line.split_whitespace().next()?.to_uppercase();
        if whole.contains(&key.as_str()) {
            return Some(format!("{}\n", line.trim()));
        }
        let rest = line.trim_start().get(key.len()..)?;
        filtered
            .contains(&key.as_str())
            .then(|| format!("{key} {}\n", arguments(rest)))
    };
    text.lines().filter_map(line).collect()
}

/// `KEY=arguments`, for keys that begin like this one.
fn settings(text: &str, key: &str) -> String {
    let line = |line: &str| {
        let (name, value) = line.trim().split_once('=')?;
        let value = value.trim_matches(['"', '\'']);
        name.starts_with(key)
            .then(|| format!("{name}=\"{}\"\n", arguments(value)))
    };
    text.lines().filter_map(line).collect()
}

/// The one package that a check asks for.
fn package(text: &str) -> String {
    let is_ours = |stanza: &&str| {
        stanza
            .lines()
            .any(|line| line == "Package: nvidia-l4t-kernel")
    };
    let stanza = text.split("\n\n").find(is_ours).unwrap_or_default();
    lines(stanza, |line| {
        line.starts_with("Package: ") || line.starts_with("Status: ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_text(path: &str, text: &str) -> String {
        String::from_utf8(kept(path, text.as_bytes()).expect("it is kept")).expect("a text")
    }

    #[test]
    fn a_secret_on_the_command_line_is_left_out_with_its_name() {
        let kept = kept_text(
            "proc/cmdline",
            "root=PARTUUID=12-34 isolcpus=2-3 wifi.psk=hunter2 quiet -- --token abc\n",
        );
        assert_eq!(kept, "root=left-out isolcpus=2-3 quiet\n");
    }

    #[test]
    fn serial_numbers_and_addresses_are_left_out() {
        let cpu = kept_text(
            "proc/cpuinfo",
            "processor\t: 0\nSerial\t\t: 10000000deadbeef\nModel\t\t: Raspberry Pi 5\n",
        );
        assert!(!cpu.contains("deadbeef") && cpu.contains("Raspberry Pi 5"));
        let irq = kept_text("proc/interrupts", "  CPU0\n 7: 1 GIC enx001122aabbcc-rx\n");
        assert_eq!(irq, "  CPU0\n 7: 1 GIC enx-rx\n");
        let eeprom = kept("sys/bus/i2c/devices/0-0050/eeprom", &[b'7'; 256]).expect("it is kept");
        assert_eq!(eeprom.iter().filter(|byte| **byte != 0).count(), 30);
    }

    #[test]
    fn a_file_that_is_not_listed_is_left_out() {
        for path in [
            "etc/hostname",
            "etc/passwd",
            "proc/sys/kernel/hostname",
            "proc/self/environ",
            "proc/77/cmdline",
        ] {
            assert_eq!(kept(path, b"x"), None, "{path}");
        }
    }

    #[test]
    fn groups_are_renamed_alike_in_the_list_and_in_paths() {
        let list = "1:cpuset:/docker/0123\n0::/user.slice/user-1000.slice\n";
        assert_eq!(
            kept_text("proc/self/cgroup", list),
            "1:cpuset:/own\n0::/own\n"
        );
        let path = path_of(
            "sys/fs/cgroup/user.slice/user-1000.slice/cpuset.cpus.effective",
            Some(list),
        );
        assert_eq!(path, "sys/fs/cgroup/own/cpuset.cpus.effective");
    }
}
