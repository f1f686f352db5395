//! What only a measurement tells.

use crate::doctor::check::{Category, Check, Fix, Outcome};
use crate::doctor::measured::{CoreWakes, Measured};
use crate::doctor::view::View;
use crate::rt::plan;
use crate::telemetry::durations::duration;
use crate::units::Nanos;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Measured,
        ("X01", "wake-up of an idle machine"),
        idle,
        "How late the kernel wakes a thread of the way is the floor under every latency of a run. A run wakes 250 us early and spins; a wake-up later than that makes the beat itself late.",
        "The boards' limits are this project's choice, after what others report; see the board file.",
    )
    .measured(),
    Check::new(
        Category::Measured,
        ("X02", "isolation gains something"),
        gain,
        "Isolation that gains nothing is not in effect, or not needed: then its cores are better shared.",
        "That a gain of a third counts as one is this project's choice.",
    )
    .measured(),
    Check::new(
        Category::Measured,
        ("X03", "gaps while a thread spins"),
        noise,
        "A thread that only reads the clock sees whatever takes its core: ticks, interrupts, other threads, the firmware, the host of a virtual machine.",
        "The limit of 20 us is this project's choice.",
    )
    .measured(),
    Check::new(
        Category::Measured,
        ("X04", "gaps that the firmware makes"),
        firmware,
        "The firmware can stop all cores (system management interrupts), and no kernel knows. The kernel's hwlat tracer looks for such gaps with interrupts off.",
        "",
    )
    .measured(),
    Check::new(
        Category::Measured,
        ("X05", "wake-up under load"),
        loaded,
        "As X01, while the housekeeping cores copy memory: shared caches, memory and locks are felt on the isolated cores as well.",
        "The boards' limits are this project's choice, after what others report; see the board file.",
    )
    .measured(),
    Check::new(
        Category::Measured,
        ("X06", "no tick while a thread spins"),
        ticks,
        "The proof of nohz_full: with one thread on the core, its timer interrupt stays away. Some 100 to 1000 a second mean that the tick goes on.",
        "The limit of 10 a second is this project's choice; the kernel may leave one.",
    )
    .measured(),
];

/// What a wake-up may take on this board: the board file's limit, else how early a run wakes.
fn limit(of_board: Option<Nanos>) -> (Nanos, &'static str) {
    match of_board {
        Some(limit) => (limit, "of the board file"),
        None => (plan::WAKE_LEAD, "how early a run wakes"),
    }
}

fn row(wakes: &CoreWakes) -> String {
    let kernel = wakes.kernel.quantiles();
    format!(
        "core {}: p50 {}, p99 {}, p99.9 {}, max {}, {} wake-ups",
        wakes.core,
        duration(kernel.p50_ns),
        duration(kernel.p99_ns),
        duration(kernel.p999_ns),
        duration(kernel.max_ns),
        kernel.count
    )
}

fn rows(all: &[CoreWakes]) -> String {
    all.iter().map(row).collect::<Vec<_>>().join("; ")
}

/// The way's wake-ups against a limit.
fn judge(wakes: &[CoreWakes], (limit, whose): (Nanos, &str)) -> Outcome {
    if wakes.is_empty() {
        return Outcome::not_applicable("no core is kept for the way");
    }
    let refused: Vec<&str> = wakes
        .iter()
        .flat_map(|w| w.refused.iter().map(String::as_str))
        .collect();
    let late = wakes.iter().any(|w| duration(w.kernel.max()) > limit);
    let said = rows(wakes);
    let outcome = if !refused.is_empty() {
        Outcome::fail(format!("not granted: {}; {said}", refused.join(", ")))
    } else if late {
        Outcome::fail(said.clone())
    } else {
        Outcome::pass(said.clone())
    };
    let beats: Vec<String> = wakes
        .iter()
        .map(|w| {
            format!(
                "core {}: at the instant itself p99.9 {}, max {}",
                w.core,
                duration(w.beat.at_quantile(0.999)),
                duration(w.beat.max())
            )
        })
        .collect();
    outcome
        .requested(format!("at most {limit} ({whose})"))
        .shown("FIFO thread, timed wait, memory locked, cores kept awake", said)
        .shown("after the spin that a run adds", beats.join("; "))
        .fix(Fix::by_hand("first what fails above: K01, K03, S01, S06, C01, C03; X03 and X06 tell what kind of gap it is"))
}

fn idle(view: &View<'_>) -> Outcome {
    let of_board = view
        .board
        .and_then(|board| board.latency.idle.as_ref())
        .map(|fact| fact.value);
    view.measured().map_or_else(
        |outcome| *outcome,
        |measured| judge(&measured.idle, limit(of_board)),
    )
}

fn loaded(view: &View<'_>) -> Outcome {
    let of_board = view
        .board
        .and_then(|board| board.latency.loaded.as_ref())
        .map(|fact| fact.value);
    view.measured().map_or_else(
        |outcome| *outcome,
        |measured| judge(&measured.loaded, limit(of_board)),
    )
}

fn gain(view: &View<'_>) -> Outcome {
    let measured = match view.measured() {
        Ok(measured) => measured,
        Err(outcome) => return *outcome,
    };
    let Some(other) = &measured.loaded_housekeeping else {
        return Outcome::not_applicable(
            "there is no housekeeping core beside the way to compare with",
        );
    };
    let worst = measured
        .loaded
        .iter()
        .map(|w| w.kernel.at_quantile(0.999))
        .max();
    let Some(worst) = worst else {
        return Outcome::not_applicable("no core is kept for the way");
    };
    let there = other.kernel.at_quantile(0.999);
    let said = format!(
        "p99.9 under load: {} on the way, {} on {}",
        duration(worst),
        duration(there),
        other.core
    );
    let isolated = view
        .core_list("sys/devices/system/cpu/isolated")
        .found
        .unwrap_or_default();
    let is_isolated = measured.loaded.iter().all(|w| isolated.contains(&w.core));
    let outcome = match (is_isolated, worst * 3 <= there * 2) {
        (true, true) => Outcome::pass(said),
        (true, false) => Outcome::warn(format!("no gain: {said}")),
        (false, true) => Outcome::warn(format!(
            "the way's cores are not isolated (K03), yet quieter: {said}"
        )),
        (false, false) => Outcome::warn(format!(
            "no gain, and the cores are not isolated (K03): {said}"
        )),
    };
    outcome
        .requested("at most two thirds of a housekeeping core's p99.9, under load")
        .shown("the same thread on a housekeeping core", row(other))
        .fix(Fix::by_hand(
            "see K02 to K07 and S06: one of them is asked for and not in effect",
        ))
}

fn noise(view: &View<'_>) -> Outcome {
    const LIMIT: Nanos = Nanos::from_micros(20);
    let measured = match view.measured() {
        Ok(measured) => measured,
        Err(outcome) => return *outcome,
    };
    if measured.noise.is_empty() {
        return Outcome::not_applicable("no core is kept for the way");
    }
    let said: Vec<String> = measured
        .noise
        .iter()
        .map(|noise| {
            format!(
                "core {}: {} gaps over {} in {}, p99 {}, max {}, {:.3} % of the time gone",
                noise.core,
                noise.gaps.count(),
                noise.least,
                noise.spun,
                duration(noise.gaps.at_quantile(0.99)),
                duration(noise.gaps.max()),
                noise.share() * 100.0
            )
        })
        .collect();
    let longest = measured
        .noise
        .iter()
        .map(|noise| duration(noise.gaps.max()))
        .max()
        .unwrap_or_default();
    let said = said.join("; ");
    let outcome = if longest <= LIMIT {
        Outcome::pass(said.clone())
    } else {
        Outcome::fail(said.clone())
    };
    outcome.requested(format!("no gap above {LIMIT}")).shown("a FIFO thread that reads the clock in a loop", said).fix(Fix::by_hand(
        "many short gaps: the tick (X06, K04); some long ones: interrupts (S06), other threads (S10), the firmware (X04), the host (Y09). `rtla osnoise top -c CORE` names them",
    ))
}

fn firmware(view: &View<'_>) -> Outcome {
    let measured: &Measured = match view.measured() {
        Ok(measured) => measured,
        Err(outcome) => return *outcome,
    };
    match &measured.firmware {
        Err(why) => Outcome::unknown(why.clone()),
        Ok(max) => {
            let said = format!("max {max}");
            let outcome = if *max <= Nanos::from_micros(10) { Outcome::pass(said.clone()) } else { Outcome::fail(said.clone()) };
            outcome.shown("the kernel's hwlat tracer", said).fix(Fix::by_hand("settings of the firmware: USB legacy support, power capping, error reporting; in a virtual machine it is the host"))
        }
    }
    .requested("no gap above 10 us")
}

fn ticks(view: &View<'_>) -> Outcome {
    const LIMIT: f64 = 10.0;
    let measured = match view.measured() {
        Ok(measured) => measured,
        Err(outcome) => return *outcome,
    };
    if measured.ticks.is_empty() {
        return Outcome::not_applicable(
            "no core is kept for the way, or its timer's interrupts are not counted",
        );
    }
    let said: Vec<String> = measured
        .ticks
        .iter()
        .map(|ticks| format!("core {}: {:.0} a second", ticks.core, ticks.per_second))
        .collect();
    let said = said.join("; ");
    let most = measured
        .ticks
        .iter()
        .map(|ticks| ticks.per_second)
        .fold(0.0, f64::max);
    let outcome = if most <= LIMIT {
        Outcome::pass(said.clone())
    } else {
        Outcome::warn(said.clone())
    };
    outcome
        .requested(format!("at most {LIMIT:.0} a second"))
        .shown(
            "timer interrupts in /proc/interrupts while a FIFO thread spins",
            said,
        )
        .fix(Fix::by_hand(
            "see K04: nohz_full for these cores, in a kernel built with it",
        ))
}
