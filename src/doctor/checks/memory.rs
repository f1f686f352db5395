//! Pages, swap and locks.

use crate::board::tree::Missing;
use crate::doctor::check::{Category, Check, Fix, Outcome, Setting, Status};
use crate::doctor::view::View;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Memory,
        ("M01", "transparent huge pages"),
        huge_pages,
        "With `always` the kernel moves pages together in the background, and a page fault then clears 2 MB. Real-time kernels of Debian have no such pages at all.",
        "",
    ),
    Check::new(
        Category::Memory,
        ("M02", "swap"),
        swap,
        "A run locks its own memory; the programs beside it do not, and while the kernel writes their pages out it holds locks for long. Boards often have a compressed swap in memory, which takes processor time as well.",
        "",
    ),
    Check::new(
        Category::Memory,
        ("M03", "memory can be locked"),
        lock,
        "A page that is not locked can be taken away, and getting it back takes a fault: microseconds from memory, milliseconds from a disk.",
        "",
    )
    .active(),
    Check::new(
        Category::Memory,
        ("M04", "no page faults in a loop"),
        faults,
        "Memory that has been touched once must not fault again.",
        "",
    )
    .active(),
    Check::new(
        Category::Memory,
        ("M05", "no moving of pages"),
        moving,
        "Compaction, merging of equal pages and balancing between memory nodes each stop a thread to move a page under it, locked or not.",
        "",
    ),
    Check::new(
        Category::Memory,
        ("M06", "memory left"),
        headroom,
        "When memory is short every allocation first looks for pages to free, in whatever thread allocates, and in the end the kernel kills a process.",
        "The 512 MB are this project's choice: a run with the small encoder locks about 200 MB.",
    ),
    Check::new(
        Category::Memory,
        ("M07", "stacks stay in memory"),
        stack,
        "A thread's stack is memory that was never touched: its first deep call faults. A run touches its stacks beforehand; this tries whether that holds.",
        "",
    )
    .active(),
];

fn huge_pages(view: &View<'_>) -> Outcome {
    let path = "sys/kernel/mm/transparent_hugepage/enabled";
    let read = view.text(path);
    // The chosen one stands in brackets.
    let chosen = read
        .found
        .as_ref()
        .ok()
        .and_then(|text| text.split_once('[')?.1.split_once(']'))
        .map(|(word, _)| word);
    let outcome = match (chosen, &read.found) {
        (Some(word @ ("never" | "madvise")), _) => Outcome::pass(word),
        (Some(word), _) => Outcome::warn(word),
        (None, Err(Missing::NotThere)) if view.tree.has("sys/kernel/mm") => {
            Outcome::pass("not built in")
        }
        (None, _) => Outcome::unknown("the setting cannot be read"),
    };
    outcome
        .requested("madvise or never")
        .seen(&read)
        .fix(Fix::set(
            vec![Setting::new(path, "madvise")],
            "transparent_hugepage=madvise on the kernel's command line",
        ))
}

fn swap(view: &View<'_>) -> Outcome {
    let read = view.text("proc/swaps");
    let outcome = match &read.found {
        Ok(text) => {
            let areas: Vec<&str> = text
                .lines()
                .skip(1)
                .filter_map(|line| line.split_whitespace().next())
                .collect();
            match areas.as_slice() {
                [] => Outcome::pass("none"),
                areas => Outcome::warn(areas.join(", ")),
            }
        }
        // A kernel without swap has no such file.
        Err(Missing::NotThere) if view.built_with("SWAP") == Some(false) => {
            Outcome::pass("not built in")
        }
        Err(why) => Outcome::unknown(why.to_string()),
    };
    outcome.requested("none").seen(&read).fix(Fix {
        to_stay: "remove it from /etc/fstab; on a Jetson: sudo systemctl disable nvzramconfig; on a Raspberry Pi: sudo systemctl disable dphys-swapfile".to_owned(),
        ..Fix::by_hand("sudo swapoff -a")
    })
}

fn lock(view: &View<'_>) -> Outcome {
    match view.live() {
        Err(outcome) => *outcome,
        Ok(live) => {
            let outcome = match live.lock() {
                Ok(()) => Outcome::pass("64 MB were locked").shown("mlock of 64 MB", "granted"),
                Err(why) => Outcome::fail(why.clone()).shown("mlock of 64 MB", why),
            };
            outcome.requested("64 MB").fix(Fix::by_hand("LimitMEMLOCK=infinity or CAP_IPC_LOCK in the unit; ulimit -l unlimited; in a container: --ulimit memlock=-1"))
        }
    }
}

fn faults(view: &View<'_>) -> Outcome {
    match view.live() {
        Err(outcome) => *outcome,
        Ok(live) => {
            let (minor, major) = live.faults();
            let said = format!("{minor} minor, {major} major");
            let outcome = if minor + major == 0 {
                Outcome::pass("none")
            } else {
                Outcome::warn(said.clone())
            };
            outcome
                .requested("none")
                .shown("getrusage over 100 ms of work in warm memory", said)
                .fix(Fix::by_hand(
                    "see M01 and M05; a run with lock_memory = true (the default) keeps its pages",
                ))
        }
    }
}

fn stack(view: &View<'_>) -> Outcome {
    match view.live() {
        Err(outcome) => *outcome,
        Ok(live) => {
            let faults = live.stack_faults();
            let outcome = if faults == 0 {
                Outcome::pass("no fault the second time")
            } else {
                Outcome::warn(format!("{faults} faults the second time"))
            };
            outcome
                .requested("no fault where a stack was touched before")
                .shown(
                    "256 KiB of stack, touched twice",
                    format!("{faults} faults"),
                )
                .fix(Fix::by_hand("see M01, M03 and M05"))
        }
    }
}

fn moving(view: &View<'_>) -> Outcome {
    const SETTINGS: [&str; 3] = [
        "proc/sys/vm/compaction_proactiveness",
        "sys/kernel/mm/ksm/run",
        "proc/sys/kernel/numa_balancing",
    ];
    let mut outcome = Outcome::pass("all off");
    let (mut on, mut settings) = (Vec::new(), Vec::new());
    if !view.tree.has("proc/sys/vm") {
        outcome = Outcome::unknown("the settings cannot be read");
    }
    for path in SETTINGS {
        let read = view.text(path);
        if let Ok(value) = &read.found
            && value != "0"
        {
            on.push(format!(
                "{} is {value}",
                path.rsplit('/')
                    .next()
                    .unwrap_or(path)
                    .replace("run", "ksm/run")
            ));
            settings.push(Setting::new(path, "0"));
        } else if read.found == Err(Missing::NotReadable) {
            outcome.status = Status::Unknown;
            outcome.effective = "not readable".to_owned();
        }
        outcome = outcome.seen(&read);
    }
    if !on.is_empty() {
        outcome.status = Status::Warn;
        outcome.effective = on.join(", ");
    }
    outcome.requested("all off").fix(Fix::set(settings, "vm.compaction_proactiveness = 0 and kernel.numa_balancing = 0 in /etc/sysctl.d; systemctl disable ksm"))
}

fn headroom(view: &View<'_>) -> Outcome {
    const LEAST_KIB: u64 = 512 * 1024;
    let read = view.text("proc/meminfo");
    let policy = view.text("proc/sys/vm/overcommit_memory");
    let number = |name: &str| {
        let text = read.found.as_ref().ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
    };
    let Some(left) = number("MemAvailable") else {
        return Outcome::unknown("it cannot be read").seen(&read);
    };
    let mut said = format!("{} MB available", left / 1024);
    if let (Some(total), Some(free)) = (number("CmaTotal"), number("CmaFree"))
        && total > 0
    {
        said += &format!("; {} of {} MB for devices (CMA)", free / 1024, total / 1024);
    }
    let strict = policy.found.as_deref() == Ok("2");
    let outcome = if left < LEAST_KIB {
        Outcome::fail(said.clone())
    } else if strict {
        Outcome::warn(format!(
            "{said}; overcommit is forbidden (2), so a large mapping can be refused"
        ))
    } else {
        Outcome::pass(format!("at least {} MB", LEAST_KIB / 1024))
    };
    outcome
        .requested("512 MB available")
        .shown(read.path, said)
        .seen(&policy)
        .fix(Fix::by_hand(
            "end what is not needed (a desktop takes 1 GB); vm.overcommit_memory = 0",
        ))
}
