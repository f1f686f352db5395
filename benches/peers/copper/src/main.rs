//! What does Copper cost on the way of a frame? The same frames on the same schedule as `cargo bench --bench way`.
//!
//! ```sh
//! cargo run --release                     -- serial   serial.json    # one thread, the source waits as ours does
//! cargo run --release --features limiter  -- limiter  limiter.json   # one thread, Copper's high-precision limiter waits
//! cargo run --release --features pipeline -- pipeline pipeline.json  # a thread a task, over two cores
//! ```
//!
//! Run as root (real-time priority, locked memory). Without a path the JSON goes to standard output and the table to
//! standard error. `REFLEXARC_FRAMES` sets the number of frames (default 20,000: eleven minutes). What is compared, and
//! whom it favours, is in `README.md`.

#[path = "../../../support/machine.rs"]
mod machine;
mod picture;
#[allow(dead_code, reason = "shared with the benches, which use all of it")]
#[path = "../../../support/stats.rs"]
mod stats;
mod tasks;
mod thread;

use std::error::Error;
use std::time::Duration;

use cu29::prelude::*;
use serde_json::{Value, json};
use stats::Summary;
use tasks::{FOUND, Found, ORDERS, Orders, PERIOD, Record, Wait};

// Copper's macro wants a struct without visibility, so these are not in modules of their own.
#[cfg(not(any(feature = "limiter", feature = "pipeline")))]
#[copper_runtime(config = "plans/serial.ron")]
struct Plan {}
#[cfg(not(any(feature = "limiter", feature = "pipeline")))]
const PLAN: (&str, &str) = ("serial", "Copper, one thread, the source waits");

#[cfg(all(feature = "limiter", not(feature = "pipeline")))]
#[copper_runtime(config = "plans/limiter.ron")]
struct Plan {}
#[cfg(all(feature = "limiter", not(feature = "pipeline")))]
const PLAN: (&str, &str) = (
    "limiter",
    "Copper, one thread, its high-precision limiter waits",
);

#[cfg(feature = "pipeline")]
#[copper_runtime(config = "plans/pipeline.ron")]
struct Plan {}
#[cfg(feature = "pipeline")]
const PLAN: (&str, &str) = (
    "pipeline",
    "Copper, a thread a task over two cores, the source waits",
);

const NAME: &str = PLAN.0;
const TITLE: &str = PLAN.1;

/// How far off Copper's clock may run. It is calibrated in 10 ms, so now and then it comes out worse than this; then its
/// nanoseconds would not be nanoseconds, and a timed wait's lead would shrink (by 33 us at this bound).
const CLOCK_TOLERANCE: f64 = 1e-3;
/// Calibrations after which the machine is too busy to measure on.
const CALIBRATIONS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next().unwrap_or_default();
    if wanted != NAME {
        return Err(format!(
            "this build runs the plan `{}`, not `{wanted}`: serial needs no feature, limiter and pipeline each need \
             --features of the same name",
            NAME
        )
        .into());
    }
    let path = arguments.next();
    let frames = match std::env::var("REFLEXARC_FRAMES") {
        Ok(text) => text.parse()?,
        Err(_) => 20_000,
    };
    if frames == 0 {
        return Err("REFLEXARC_FRAMES is 0, so there is nothing to measure".into());
    }
    let limited = NAME == "limiter";
    let orders = ORDERS.get_or_init(|| Orders {
        // The limiter does not wait before its first round, which therefore has no instant and is not counted.
        frames: frames + u64::from(limited),
        wait: if limited { Wait::Limiter } else { Wait::Source },
        serial: NAME != "pipeline",
    });

    let mut facts = machine::facts();
    let _awake = thread::keep_cores_awake();
    thread::lock_memory()?;
    // The housekeeping core of our bench. The threads of the way leave it, or are moved by Copper.
    thread::pin(0)?;
    let (scale, scheduling) = run()?;
    if (scale - 1.0).abs() > CLOCK_TOLERANCE {
        return Err(format!("Copper's clock ran at {scale} of the kernel's: run again").into());
    }
    let found = FOUND.lock().map_err(|_| "a task has panicked")?.take();
    let found = found.ok_or("the tasks have not reported")?;

    let records = if limited {
        with_instants(&found.records)
    } else {
        found.records.clone()
    };
    let lost = check(orders, &found, &records)?;
    facts["copper"] = json!("cu29 1.3.1");
    let notes = json!({
        format!("frames that did not come through: {}", TITLE): lost,
        "Copper's seconds in a second": scale,
        "threads as granted": scheduling,
    });
    report(path, facts, notes, &records)
}

/// Runs the plan to its end. Returns seconds of Copper's clock in a second, and how the kernel ran the threads.
fn run() -> Result<(f64, Vec<String>), Box<dyn Error>> {
    // Copper wants a log even where nothing is logged.
    let folder = std::env::temp_dir().join(format!("reflexarc-peer-copper-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let clock = calibrated_clock()?;
    let app = Plan::builder()
        .with_clock(clock.clone())
        .with_log_path(folder.join("run.copper"), Some(16 * 1024 * 1024))?
        .build()?;
    // Looks once, from the housekeeping core, when all threads have long been running.
    let watcher = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(2));
        thread::granted()
    });
    let begin = both_clocks(&clock);
    let end = app.run_until_shutdown();
    let scale = scale(begin, both_clocks(&clock));
    std::fs::remove_dir_all(&folder)?;
    if let Err(end) = end {
        return Err(end.to_string().into());
    }
    let granted = watcher.join().map_err(|_| "the watcher has panicked")?;
    Ok((scale, granted))
}

/// Copper's clock, as Copper makes it, but made again until its calibration is fit to measure with.
fn calibrated_clock() -> Result<RobotClock, String> {
    for _ in 0..CALIBRATIONS {
        let clock = RobotClock::new();
        let begin = both_clocks(&clock);
        std::thread::sleep(Duration::from_millis(200));
        if (scale(begin, both_clocks(&clock)) - 1.0).abs() < CLOCK_TOLERANCE / 2.0 {
            return Ok(clock);
        }
    }
    Err("Copper's clock could not be calibrated: is the machine busy?".to_owned())
}

/// Now on Copper's clock and on the kernel's.
fn both_clocks(clock: &RobotClock) -> (u64, u64) {
    (clock.now().as_nanos(), thread::monotonic().cast_unsigned())
}

/// Seconds of Copper's clock in a second of the kernel's.
fn scale(begin: (u64, u64), end: (u64, u64)) -> f64 {
    seconds(end.0 - begin.0) / seconds(end.1 - begin.1)
}

fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

/// Gives each frame of the limiter's plan its scheduled instant. Only the limiter knows its phase, and keeps it for the whole run;
/// so the frame that was least late after its instant is taken to have been on time to the nanosecond.
fn with_instants(records: &[Record]) -> Vec<Record> {
    let Some((first, records)) = records
        .split_first()
        .map(|(_, rest)| rest)
        .and_then(|r| Some((r.first()?, r)))
    else {
        return Vec::new();
    };
    // Places of all frames in the first one's period, from half a period before it to half a period after.
    let place = |record: &Record| {
        let half = PERIOD / 2;
        ((record.touched.taken - first.touched.taken + half) % PERIOD).cast_signed()
            - half.cast_signed()
    };
    let earliest = records.iter().map(place).min().unwrap_or(0);
    let base = first.touched.taken.strict_add_signed(earliest);
    let due = |taken: u64| base + (taken - base) / PERIOD * PERIOD;
    let give = |&record: &Record| {
        let mut record = record;
        record.touched.due = due(record.touched.taken);
        record
    };
    records.iter().map(give).collect()
}

/// Checked before it is believed: every frame came through whole, once, in order and for an instant of its own, or is
/// accounted for. Returns how many did not come through.
fn check(orders: &Orders, found: &Found, records: &[Record]) -> Result<u64, Box<dyn Error>> {
    let expected = picture::Expected::new();
    for record in &found.records {
        let touched = &record.touched;
        if touched.sum != expected.sum(touched.number) {
            return Err(format!("frame {} was not touched right", touched.number).into());
        }
    }
    for record in records {
        let Record { touched, sunk } = record;
        let steps = [
            touched.due,
            touched.taken,
            touched.begin,
            touched.end,
            *sunk,
        ];
        if !steps.is_sorted() {
            return Err(
                format!("the instants of frame {} are not in order", touched.number).into(),
            );
        }
    }
    let in_order = records.windows(2).all(|pair| {
        pair[0].touched.number < pair[1].touched.number && pair[0].touched.due < pair[1].touched.due
    });
    if !in_order {
        return Err("frames came twice or not in order".into());
    }
    let came = found.records.len() as u64;
    let lost = found.overtaken + found.no_buffer;
    if came + lost != orders.frames {
        return Err(format!("{came} of {} frames came, {lost} were lost", orders.frames).into());
    }
    if orders.wait == Wait::Source {
        return Ok(lost);
    }
    // The limiter passes over instants in silence. What it passed over lies between the instants of those that came.
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Err("no frame came".into());
    };
    let instants = (last.touched.due - first.touched.due) / PERIOD + 1;
    Ok(instants - records.len() as u64)
}

fn report(
    path: Option<String>,
    machine: Value,
    notes: Value,
    records: &[Record],
) -> Result<(), Box<dyn Error>> {
    let row = |name: &str, nanoseconds: fn(&Record) -> u64| {
        let samples = records.iter().map(nanoseconds).collect();
        Summary::new(name.to_owned(), 1, samples)
    };
    let rows = [
        row("overhead: due to sink, less the touching", |r| {
            r.sunk - r.touched.due - (r.touched.end - r.touched.begin)
        }),
        row("  due -> taken", |r| r.touched.taken - r.touched.due),
        row("  taken -> sink, less the touching", |r| {
            r.sunk - r.touched.taken - (r.touched.end - r.touched.begin)
        }),
        row("  source -> features", |r| {
            r.touched.begin - r.touched.taken
        }),
        row("  features -> sink", |r| r.sunk - r.touched.end),
        row("touching 4.1 MB", |r| r.touched.end - r.touched.begin),
    ];
    let peers: Vec<Value> = rows.iter().map(Summary::to_json).collect();
    let all = json!({
        "bench": "way",
        "question": "What does Copper cost on the way of a frame?",
        "load_at_end": machine::load(),
        "machine": machine,
        "notes": notes,
        "groups": [{ "title": TITLE, "peers": peers }],
    });
    let text = serde_json::to_string_pretty(&all)?;
    let table = format!(
        "{}\n{}\n  {}",
        machine::one_line(&all["machine"]),
        stats::table(TITLE, &rows),
        all["notes"]
    );
    match path {
        Some(path) => {
            std::fs::write(&path, text + "\n")?;
            println!("{table}\nwritten: {path}");
        }
        None => {
            eprintln!("{table}");
            println!("{text}");
        }
    }
    Ok(())
}
