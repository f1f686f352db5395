//! The board, its system software, and what runs beside.

use crate::board::detect::detect;
use crate::board::evidence::Evidence;
use crate::board::registry::Registry;
use crate::board::tree::Missing;
use crate::doctor::check::{Category, Check, Fix, Outcome, Setting};
use crate::doctor::live::Live;
use crate::doctor::view::View;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::System,
        ("Y01", "board"),
        board,
        "Which cores, modes and arguments are right follows from the board. One that is taken for another is judged by the wrong file.",
        "No fact of a board file was seen on the hardware by this project unless the file says so.",
    ),
    Check::new(
        Category::System,
        ("Y02", "system release"),
        release,
        "Package names, kernels and drivers differ between releases; the board file knows some of them.",
        "",
    ),
    Check::new(
        Category::System,
        ("Y03", "C library"),
        glibc,
        "A binary that was built against a newer C library than the board's does not start there.",
        "",
    )
    .active(),
    Check::new(
        Category::System,
        ("Y04", "time is not bent"),
        time,
        "reflexarc measures on CLOCK_MONOTONIC, which never steps. But whoever sets the time may run it faster or slower, by up to 500 us a second: a period then is not a period.",
        "The limit of 200 us a second is this project's choice.",
    )
    .active(),
    Check::new(
        Category::System,
        ("Y05", "watchdog"),
        watchdog,
        "If the program hangs, systemd's watchdog starts it again; if the kernel hangs, only the hardware's helps. Real-time threads without throttling (S03) make that more likely.",
        "",
    ),
    Check::new(
        Category::System,
        ("Y06", "disk"),
        disk,
        "Reports and logs go to a disk. An SD card stops for hundreds of milliseconds while it clears itself, and a full or read-only disk loses the report.",
        "",
    )
    .active(),
    Check::new(
        Category::System,
        ("Y07", "quiet services"),
        services,
        "Package updates, search indexers and the like take processor, memory and disk when nobody expects it.",
        "",
    ),
    Check::new(
        Category::System,
        ("Y08", "console"),
        console,
        "A kernel message to a serial console is sent letter by letter with interrupts off: 100 letters at 115200 baud take 9 ms.",
        "",
    ),
    Check::new(
        Category::System,
        ("Y09", "bare metal"),
        machine,
        "In a virtual machine the host takes cores away whenever it likes, and no setting of the guest bounds that. Latencies measured there say little about a board.",
        "",
    ),
    Check::new(
        Category::System,
        ("Y10", "journal"),
        journal,
        "The journal is written to the disk after each burst of messages; on an SD card that is felt.",
        "",
    ),
];

fn board(view: &View<'_>) -> Outcome {
    let boards = match Registry::load() {
        Ok(registry) => registry.boards,
        Err(fault) => return Outcome::unknown(fault.what),
    };
    let detection = detect(&boards, Evidence::of(view.tree));
    let asked = view.board.map(|board| board.name.clone());
    let outcome = match (&asked, &detection.found) {
        (Some(asked), Some(found)) if asked == found => Outcome::pass(found.clone()),
        (Some(_), Some(found)) => Outcome::fail(found.clone()),
        (Some(_), None) | (None, None) => Outcome::unknown("none that is known"),
        (None, Some(found)) => Outcome::warn(format!("{found}, but its file is not used")),
    };
    outcome
        .requested(asked.unwrap_or_else(|| "a known board".to_owned()))
        .shown("reflexarc board detect", detection.why)
        .fix(Fix::by_hand(
            "name the right one with --board; or add a board file (boards/README.md)",
        ))
}

fn release(view: &View<'_>) -> Outcome {
    let Some(board) = view.board else {
        return Outcome::not_applicable("the board is not known");
    };
    let known: Vec<&str> = board.kernel.packages.keys().map(String::as_str).collect();
    if known.is_empty() {
        return Outcome::not_applicable("the board file names no releases");
    }
    let tegra = view.text("etc/nv_tegra_release");
    let os = view.text("etc/os-release");
    // `# R36 (release), REVISION: 4.3, ...`
    let r = tegra
        .found
        .as_ref()
        .ok()
        .and_then(|text| text.strip_prefix("# R")?.split_whitespace().next());
    let codename = os.found.as_ref().ok().and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
    });
    let here = match (r, codename) {
        (Some(number), _) => format!("r{number}"),
        (None, Some(name)) => name.trim_matches('"').to_owned(),
        (None, None) => {
            return Outcome::unknown("the release cannot be read")
                .requested(known.join(" or "))
                .seen(&tegra)
                .seen(&os);
        }
    };
    let outcome = if known.contains(&here.as_str()) {
        Outcome::pass(here)
    } else {
        Outcome::warn(format!("{here}, which the board file does not know"))
    };
    let read = if r.is_some() { &tegra } else { &os };
    outcome
        .requested(known.join(" or "))
        .seen(read)
        .fix(Fix::by_hand(
            "nothing has to be wrong; compare package names and kernel yourself",
        ))
}

fn glibc(view: &View<'_>) -> Outcome {
    let live = match view.live() {
        Ok(live) => live,
        Err(outcome) => return *outcome,
    };
    let (needs, has) = live.glibc();
    let newest = view
        .board
        .and_then(|board| board.build.glibc.as_ref())
        .map(|fact| fact.value);
    let shown = format!(
        "this binary needs {}, the machine has {}",
        in_words(needs),
        in_words(has)
    );
    let outcome = match (needs, has) {
        (Some(needs), Some(has)) if needs > has => Outcome::fail(shown.clone()),
        (Some(needs), Some(_)) => match newest {
            Some(limit) if needs > (limit.major, limit.minor) => Outcome::warn(format!(
                "{shown}; on an older system of this board ({limit}) it does not start"
            )),
            _ => Outcome::pass(shown.clone()),
        },
        (None, _) => Outcome::pass("this binary needs none"),
        (_, None) => Outcome::unknown(shown.clone()),
    };
    let requested = newest.map_or("no newer than the machine's".to_owned(), |limit| {
        format!("at most {limit}")
    });
    outcome.requested(requested).shown("/proc/self/exe, gnu_get_libc_version", shown).fix(Fix::by_hand("build for an older C library: cross from Debian bookworm, or cargo zigbuild --target aarch64-unknown-linux-gnu.2.31"))
}

fn in_words(version: Option<(u32, u32)>) -> String {
    version.map_or("none".to_owned(), |(major, minor)| {
        format!("{major}.{minor}")
    })
}

fn time(view: &View<'_>) -> Outcome {
    let live = match view.live() {
        Ok(live) => live,
        Err(outcome) => return *outcome,
    };
    match live.bend() {
        Err(why) => Outcome::unknown(why),
        Ok(ppm) => {
            let said = format!("{ppm:+.1} us a second");
            let outcome = if ppm.abs() <= 200.0 { Outcome::pass(said.clone()) } else { Outcome::warn(said.clone()) };
            outcome.shown("adjtimex: frequency and tick", said).fix(Fix::by_hand("let chrony run long enough to find the clock's own error; `chronyc tracking` shows it"))
        }
    }
    .requested("at most 200 us a second")
}

fn watchdog(view: &View<'_>) -> Outcome {
    const UNITS: [&str; 3] = [
        "etc/systemd/system/reflexarc.service",
        "usr/lib/systemd/system/reflexarc.service",
        "lib/systemd/system/reflexarc.service",
    ];
    let devices = view.tree.names("sys/class/watchdog").unwrap_or_default();
    let units = UNITS.map(|path| view.text(path));
    let unit = units.iter().find(|unit| unit.found.is_ok());
    let fed = unit
        .and_then(|unit| unit.found.as_ref().ok())
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.trim().strip_prefix("WatchdogSec="))
        });
    let hardware = if devices.is_empty() {
        "no hardware watchdog".to_owned()
    } else {
        devices.join(", ")
    };
    let program = match (unit, fed) {
        (None, _) => "no unit of reflexarc".to_owned(),
        (Some(_), None) => "the unit has no WatchdogSec".to_owned(),
        (Some(_), Some(time)) => format!("the unit's is {time}"),
    };
    let said = format!("{hardware}; {program}");
    let outcome = if !devices.is_empty() && fed.is_some() {
        Outcome::pass(said)
    } else {
        Outcome::warn(said)
    };
    outcome
        .requested("a hardware watchdog, and WatchdogSec in the unit")
        .shown("sys/class/watchdog", devices.join(", "))
        .seen(unit.unwrap_or(&units[0]))
        .fix(Fix::by_hand("RuntimeWatchdogSec=10 in /etc/systemd/system.conf if there is a device; WatchdogSec=2s in the unit"))
}

fn disk(view: &View<'_>) -> Outcome {
    const ENOUGH: u64 = 1 << 30;
    let mounts = view.text("proc/self/mounts");
    let Ok(text) = &mounts.found else {
        return Outcome::unknown("the mounts cannot be read").seen(&mounts);
    };
    let mut root = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (device, place, kind, options) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        (place == "/").then_some((device, kind, options))
    });
    let Some((device, kind, options)) = root.next_back() else {
        return Outcome::unknown("the root's mount is not listed").seen(&mounts);
    };
    let read_only = options.split(',').any(|option| option == "ro");
    let card = device.contains("mmcblk");
    let mut said = format!(
        "{device} ({kind}), {}",
        if read_only { "read-only" } else { "writable" }
    );
    let left = view.live.as_ref().map(Live::disk_left);
    said += match left {
        None => "; how much is left is not known on a captured tree",
        Some(Some(left)) if left >= ENOUGH => "; more than 1 GB left here",
        Some(Some(_)) => "; less than 1 GB left here",
        Some(None) => "; how much is left here could not be asked",
    };
    let outcome = match left {
        Some(Some(left)) if left < ENOUGH => Outcome::warn(said),
        _ if card => Outcome::warn(said),
        Some(Some(_)) => Outcome::pass(said),
        _ => Outcome::unknown(said),
    };
    let shown = format!("{device} / {kind} {}", if read_only { "ro" } else { "rw" });
    outcome.requested("1 GB left, and reports on something faster than a card").shown(mounts.path, shown).fix(Fix::by_hand("write reports to an NVMe disk or to memory (--report /dev/shm/...), and copy them afterwards"))
}

fn services(view: &View<'_>) -> Outcome {
    const NOISY: [&str; 5] = [
        "unattended-upgr",
        "apt.systemd.dai",
        "snapd",
        "tracker-miner-f",
        "packagekitd",
    ];
    let tasks = match view.tasks() {
        Ok(tasks) => tasks,
        Err(why) => return Outcome::unknown(format!("the threads cannot be listed: {why}")),
    };
    let here: Vec<&str> = NOISY
        .into_iter()
        .filter(|name| tasks.iter().any(|task| task.name == *name))
        .collect();
    let outcome = match here.as_slice() {
        [] => Outcome::pass("none of the known ones runs"),
        here => Outcome::warn(format!("{} run", here.join(", "))),
    };
    outcome.requested("none, for a measurement").shown("proc/*/task/*/stat", if here.is_empty() { "none".to_owned() } else { here.join(", ") }).fix(Fix::by_hand(
        "sudo systemctl disable --now unattended-upgrades apt-daily.timer apt-daily-upgrade.timer snapd packagekit (those that are there), and update by hand",
    ))
}

fn console(view: &View<'_>) -> Outcome {
    let levels = view.text("proc/sys/kernel/printk");
    let serial: Vec<&str> = view
        .command_line
        .values("console")
        .filter(|name| {
            name.starts_with("ttyS")
                || name.starts_with("ttyA")
                || name.starts_with("ttyT")
                || name.starts_with("ttyF")
        })
        .collect();
    let level = levels
        .found
        .as_ref()
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<u32>().ok());
    let said = format!(
        "messages below level {} to {}",
        level.map_or("?".to_owned(), |l| l.to_string()),
        if serial.is_empty() {
            "no serial console".to_owned()
        } else {
            serial.join(", ")
        }
    );
    let outcome = match level {
        _ if view.command_line == crate::doctor::cmdline::CommandLine::default() => {
            Outcome::unknown("the command line cannot be read")
        }
        None => Outcome::unknown("the level cannot be read"),
        Some(level) if level > 4 && !serial.is_empty() => Outcome::warn(said),
        Some(_) => Outcome::pass(said),
    };
    let rest: Vec<String> = levels
        .found
        .as_ref()
        .ok()
        .map(|text| text.split_whitespace().skip(1).map(str::to_owned).collect())
        .unwrap_or_default();
    let quiet = format!("4 {}", rest.join(" "));
    outcome
        .requested("level 4 or less where a console is serial")
        .seen(&levels)
        .shown("proc/cmdline", format!("console={}", serial.join(", ")))
        .fix(Fix::set(
            vec![Setting::new("proc/sys/kernel/printk", quiet.trim())],
            "`quiet` or loglevel=4 on the kernel's command line",
        ))
}

fn machine(view: &View<'_>) -> Outcome {
    let cpuinfo = view.text("proc/cpuinfo");
    let Ok(text) = &cpuinfo.found else {
        return Outcome::unknown("the processor's description cannot be read").seen(&cpuinfo);
    };
    let flagged = text.lines().any(|line| {
        line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor")
    });
    let hypervisor = view.text("sys/hypervisor/type");
    let tree = view
        .text("proc/device-tree/compatible")
        .found
        .unwrap_or_default();
    let virtual_board = tree.contains("dummy-virt");
    let container = ["run/.containerenv", ".dockerenv", "run/systemd/container"]
        .into_iter()
        .find(|path| view.tree.has(path));
    let mut signs = Vec::new();
    signs.extend(flagged.then(|| "a virtual machine (processor flag)".to_owned()));
    signs.extend(
        hypervisor
            .found
            .as_ref()
            .ok()
            .map(|kind| format!("a virtual machine ({kind})")),
    );
    signs.extend(virtual_board.then(|| "a virtual machine (device tree)".to_owned()));
    signs.extend(container.map(|path| format!("a container (/{path})")));
    let outcome = match signs.as_slice() {
        [] => Outcome::pass("no sign of a virtual machine or a container"),
        signs => Outcome::warn(signs.join(", ")),
    };
    outcome
        .requested("bare metal, for a measurement")
        .shown(cpuinfo.path, if flagged { "the flag hypervisor" } else { "no flag hypervisor" })
        .seen(&hypervisor)
        .fix(Fix::by_hand("measure on the board itself; in a container: the host's kernel counts, and each right has to be given"))
}

fn journal(view: &View<'_>) -> Outcome {
    let config = view.text("etc/systemd/journald.conf");
    let text = config.found.clone().unwrap_or_default();
    let storage = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Storage="))
        .next_back()
        .unwrap_or("auto");
    let folder = view.tree.names("var/log/journal");
    let outcome = match (&config.found, storage, &folder) {
        (Err(Missing::NotThere), _, Err(Missing::NotThere)) => {
            return Outcome::not_applicable("no journal of systemd's").seen(&config);
        }
        (_, "volatile" | "none", _) => Outcome::pass(storage),
        (_, "auto", Err(Missing::NotThere)) => {
            Outcome::pass("in memory (auto, and no /var/log/journal)")
        }
        (_, storage, _) => Outcome::warn(format!("on the disk ({storage})")),
    };
    outcome
        .requested("in memory, for a measurement")
        .shown(config.path, format!("Storage={storage}"))
        .shown("var/log/journal", folder.map_or_else(|why| format!("({why})"), |_| "there".to_owned()))
        .fix(Fix::by_hand("Storage=volatile in /etc/systemd/journald.conf, then sudo systemctl restart systemd-journald"))
}
