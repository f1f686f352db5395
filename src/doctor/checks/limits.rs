//! The limits of a process on priority and locked memory, and how they are raised.

use crate::board::tree::Reading;
use crate::doctor::check::{Category, Check, Fix, Outcome, Setting};
use crate::doctor::checks::scheduler::{field, rights};
use crate::doctor::place;
use crate::doctor::view::View;

pub const CHECKS: &[Check] = &[Check::new(
    Category::Scheduler,
    ("S02", "limits of the process"),
    limits,
    "Without CAP_SYS_NICE the limit on real-time priority decides, without CAP_IPC_LOCK the limit on locked memory. The soft limit counts, not the hard one alone. Through sudo the limits of who called it are looked at: root itself has no need of them.",
    "",
)];

/// Bits of the effective capabilities.
const IPC_LOCK: u64 = 1 << 14;
const SYS_NICE: u64 = 1 << 23;

/// Above the default of every thread of a run.
const PRIORITY: u64 = 95;

/// Who would start a run from here.
struct Caller {
    limits: Reading<String>,
    status: Reading<String>,
    user: u32,
}

/// The nearest process, from this one upwards, that is not root's: who called sudo. This one, if all are.
fn caller(view: &View<'_>) -> Caller {
    // BOUND: a terminal, a shell, sudo and this are four; a script in a script has some more.
    const GENERATIONS: usize = 16;
    let of = |process: &str| Caller {
        limits: view.text(&format!("proc/{process}/limits")),
        status: view.text(&format!("proc/{process}/status")),
        user: 0,
    };
    let mut process = "self".to_owned();
    for _ in 0..GENERATIONS {
        let found = of(&process);
        let text = found.status.found.as_deref().unwrap_or_default();
        let number = |name| field(text, name)?.split_whitespace().next()?.parse().ok();
        match (number("Uid:"), number("PPid:")) {
            (Some(user), _) if user != 0 => return Caller { user, ..found },
            (Some(_), Some(parent)) if parent != 0 => process = parent.to_string(),
            _ => break,
        }
    }
    of("self")
}

fn limits(view: &View<'_>) -> Outcome {
    let caller = caller(view);
    let (Ok(text), Ok(state)) = (&caller.limits.found, &caller.status.found) else {
        return Outcome::unknown("the limits cannot be read")
            .seen(&caller.limits)
            .seen(&caller.status);
    };
    let capabilities = field(state, "CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let capabilities = capabilities.unwrap_or_default();
    let rt = soft_and_hard(text, "Max realtime priority");
    let lock = soft_and_hard(text, "Max locked memory");
    let (Some(rt), Some(lock)) = (rt, lock) else {
        return Outcome::unknown("the limits are not as expected").seen(&caller.limits);
    };
    let nice = capabilities & SYS_NICE != 0;
    let locks = capabilities & IPC_LOCK != 0;
    let enough = |limit: &str| limit.parse().is_ok_and(|n: u64| n >= PRIORITY);
    let is_right =
        (nice || rt.0 == "unlimited" || enough(rt.0)) && (locks || lock.0 == "unlimited");
    let effective = format!(
        "{}; {}",
        in_words("real-time priority", rt, nice),
        in_words("locked memory", lock, locks)
    );
    let file = grant(caller.user);
    let there = view.text(&file.path);
    let granted = there.found.as_deref() == Ok(file.value.trim());
    let outcome = match (is_right, granted) {
        (true, _) => Outcome::pass(effective),
        (false, true) => Outcome::warn(format!("{effective}; granted from the next login on")),
        (false, false) => Outcome::fail(effective),
    };
    let outcome = outcome
        .requested("priority 95 and unlimited locked memory, or CAP_SYS_NICE and CAP_IPC_LOCK")
        .shown(
            caller.limits.path,
            format!(
                "Max realtime priority {} {}, Max locked memory {} {}",
                rt.0, rt.1, lock.0, lock.1
            ),
        )
        .shown(caller.status.path, format!("CapEff {capabilities:016x}"));
    if granted {
        return outcome.seen(&there).fix(Fix::by_hand("log in again"));
    }
    outcome.fix(raise(view, file))
}

/// A file for the logins of this user, and of no other.
fn grant(user: u32) -> Setting {
    let header = place::HEADER;
    Setting::new(
        "etc/security/limits.d/reflexarc.conf",
        format!("{header}\n:{user} - rtprio {PRIORITY}\n:{user} - memlock unlimited\n"),
    )
}

/// `--fix` writes that file where logins go by it.
fn raise(view: &View<'_>, file: Setting) -> Fix {
    if !view.tree.has("etc/security/limits.d") {
        return rights();
    }
    Fix {
        do_this: format!(
            "sudo reflexarc doctor --fix, which writes /{}, and log in again; a service or a container needs more: {}",
            file.path,
            rights().do_this
        ),
        settings: vec![file],
        ..Fix::default()
    }
}

fn in_words(name: &str, (soft, hard): (&str, &str), has: bool) -> String {
    let by_right = if has {
        ", but it has the capability"
    } else {
        ""
    };
    format!("{name} {soft} (hard {hard}){by_right}")
}

/// A line `NAME  SOFT  HARD  UNIT` of a process's `limits`.
fn soft_and_hard<'t>(text: &'t str, name: &str) -> Option<(&'t str, &'t str)> {
    let mut words = text
        .lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace();
    Some((words.next()?, words.next()?))
}
