//! Clocks, idle states, heat and supply.

use std::collections::BTreeMap;

use crate::board::tree::Missing;
use crate::doctor::check::{Category, Check, Fix, Outcome, Setting};
use crate::doctor::cpus;
use crate::doctor::view::View;
use crate::units::Nanos;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Power,
        ("C01", "frequency governor"),
        governor,
        "The other governors lower the clock while a core waits, and raise it some milliseconds after the work has come: the first work after a wait is slow, and the way of a frame is work after a wait.",
        "",
    ),
    Check::new(
        Category::Power,
        ("C02", "real frequency under work"),
        frequency,
        "The governor only asks. Heat, power mode, supply and firmware decide what clock there is.",
        "The limit of 97 % is this project's choice.",
    )
    .active(),
    Check::new(
        Category::Power,
        ("C03", "deep idle states"),
        idle,
        "A core in a deep idle state needs 50 to 200 us to wake. A run holds /dev/cpu_dma_latency at 0, which forbids those states while it lasts; if it may not open that file, each wake-up can cost that time.",
        "",
    )
    .active(),
    Check::new(
        Category::Power,
        ("C08", "heat"),
        heat,
        "Near its limit a processor lowers its clock by itself, and a latency that held for a minute does not hold for an hour.",
        "The firmware's throttling word of a Raspberry Pi is read where its kernel shows it, a path from general knowledge.",
    ),
    Check::new(
        Category::Power,
        ("C09", "power mode"),
        power_mode,
        "A Jetson's power mode sets the clocks and can switch cores off, isolated ones as well. Numbers mean different modes on different modules: on the Orin Nano Super mode 0 is 15 W and not the largest.",
        "The names of the modes are from NVIDIA's guide and from a public dump; they were not read on a board.",
    ),
    Check::new(
        Category::Power,
        ("C10", "clocks of memory and GPU"),
        devices,
        "Memory and GPU have governors of their own. While they are slow, each copy of a frame takes longer.",
        "That jetson_clocks sets these was read in NVIDIA's guide.",
    ),
    Check::new(
        Category::Power,
        ("C11", "supply"),
        supply,
        "A weak supply lowers the clocks at the moment when all cores work: just when the load is highest.",
        "The Jetson's counters of over-current events (oc*_event_cnt) are at a path from general knowledge.",
    ),
];

fn core_folder(core: usize) -> String {
    format!("sys/devices/system/cpu/cpu{core}")
}

fn governor(view: &View<'_>) -> Outcome {
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut outcome_evidence = Vec::new();
    for &core in &view.cores.online {
        let reading = view.text(&format!("{}/cpufreq/scaling_governor", core_folder(core)));
        if let Ok(name) = &reading.found {
            by_name.entry(name.clone()).or_default().push(core);
        }
        outcome_evidence.push(reading);
    }
    if by_name.is_empty() {
        let outcome = Outcome::not_applicable("the kernel does not scale the frequency here");
        return outcome_evidence.iter().take(1).fold(outcome, Outcome::seen);
    }
    let slow: Vec<usize> = by_name
        .iter()
        .filter(|(name, _)| *name != "performance")
        .flat_map(|(_, cores)| cores.clone())
        .collect();
    let said: Vec<String> = by_name
        .iter()
        .map(|(name, cores)| format!("{name} on {}", cpus::list(cores)))
        .collect();
    let said = said.join(", ");
    let outcome = if slow.is_empty() {
        Outcome::pass(said)
    } else if cpus::both(&slow, &view.cores.way).is_empty() {
        Outcome::warn(said)
    } else {
        Outcome::fail(said)
    };
    let settings = slow.iter().map(|core| {
        Setting::new(
            format!("{}/cpufreq/scaling_governor", core_folder(*core)),
            "performance",
        )
    });
    let outcome = outcome_evidence
        .iter()
        .fold(outcome.requested("performance on all cores"), Outcome::seen);
    outcome.fix(Fix::set(
        settings.collect(),
        "cpufreq.default_governor=performance on the kernel's command line, or a unit that sets it",
    ))
}

fn frequency(view: &View<'_>) -> Outcome {
    let live = match view.live() {
        Ok(live) => live,
        Err(outcome) => return *outcome,
    };
    let cores = if view.cores.way.is_empty() {
        &view.cores.online
    } else {
        &view.cores.way
    };
    let number = |core: usize, file: &str| {
        let reading = view.text(&format!("{}/cpufreq/{file}", core_folder(core)));
        reading.found.ok()?.parse::<u64>().ok()
    };
    let limits: Vec<(usize, u64)> = cores
        .iter()
        .filter_map(|core| Some((*core, number(*core, "cpuinfo_max_freq")?)))
        .collect();
    if limits.is_empty() {
        return Outcome::not_applicable("the kernel does not show the frequency here");
    }
    let only: Vec<usize> = limits.iter().map(|(core, _)| *core).collect();
    let read = live.while_working(&only, || {
        only.iter()
            .map(|core| number(*core, "scaling_cur_freq").unwrap_or_default())
            .collect::<Vec<_>>()
    });
    let slow: Vec<usize> = limits
        .iter()
        .zip(&read)
        .filter(|((_, max), now)| **now * 100 < max * 97)
        .map(|((core, _), _)| *core)
        .collect();
    let said: Vec<String> = limits
        .iter()
        .zip(&read)
        .map(|((core, max), now)| format!("core {core}: {} of {} MHz", now / 1000, max / 1000))
        .collect();
    let said = said.join(", ");
    let outcome = if slow.is_empty() {
        Outcome::pass(said.clone())
    } else {
        Outcome::warn(said.clone())
    };
    outcome
        .requested("at least 97 % of the largest")
        .shown("scaling_cur_freq during 200 ms of work", said)
        .fix(Fix::by_hand(
            "see C01, C08, C09 and C11; on a Jetson: sudo jetson_clocks",
        ))
}

fn idle(view: &View<'_>) -> Outcome {
    let way = match view.way() {
        Ok(way) => way,
        Err(outcome) => return *outcome,
    };
    let wanted = view
        .board
        .and_then(|board| board.latency.idle.as_ref())
        .map_or(Nanos::from_micros(50), |fact| fact.value);
    let states = deep_states(view, way, wanted);
    let Ok(states) = states else {
        return Outcome::not_applicable("the kernel has no idle states here")
            .shown(format!("{}/cpuidle", core_folder(way[0])), "(not there)");
    };
    let requested = format!("none slower than {wanted} to leave, or a run that may forbid them");
    let said: Vec<String> = states
        .iter()
        .take(4)
        .map(|s| format!("{} on core {} takes {} us", s.name, s.core, s.latency_us))
        .collect();
    if states.is_empty() {
        return Outcome::pass("none")
            .requested(requested)
            .shown("cpuidle/state*/latency", "all below it");
    }
    let settings = states
        .iter()
        .map(|s| Setting::new(s.disable.clone(), "1"))
        .collect();
    let fix = Fix::set(
        settings,
        "a udev rule that gives /dev/cpu_dma_latency to the group of the run: KERNEL==\"cpu_dma_latency\", GROUP=\"realtime\", MODE=\"0660\"",
    );
    let outcome = match view.live() {
        Err(unknown) => Outcome::unknown(format!("{}; {}", said.join(", "), unknown.effective)),
        Ok(live) => match live.awake() {
            Ok(()) => Outcome::pass(format!("{}; a run may forbid them", said.join(", ")))
                .shown("dev/cpu_dma_latency", "0 was accepted"),
            Err(why) => Outcome::fail(format!(
                "{}; and a run may not forbid them: {why}",
                said.join(", ")
            ))
            .shown("dev/cpu_dma_latency", why),
        },
    };
    outcome
        .requested(requested)
        .shown("cpuidle/state*/latency", said.join(", "))
        .fix(fix)
}

struct IdleState {
    core: usize,
    name: String,
    latency_us: i64,
    /// The file that switches it off.
    disable: String,
}

/// Enabled states that take longer to leave than wanted.
fn deep_states(view: &View<'_>, way: &[usize], wanted: Nanos) -> Result<Vec<IdleState>, Missing> {
    let mut deep = Vec::new();
    let mut any = Err(Missing::NotThere);
    for &core in way {
        let folder = format!("{}/cpuidle", core_folder(core));
        let Ok(names) = view.tree.names(&folder) else {
            continue;
        };
        any = Ok(());
        for state in names.iter().filter(|name| name.starts_with("state")) {
            let of = |file: &str| view.text(&format!("{folder}/{state}/{file}")).found.ok();
            let latency_us = of("latency")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            if of("disable").as_deref() != Some("1") && Nanos::from_micros(latency_us) > wanted {
                deep.push(IdleState {
                    core,
                    name: of("name").unwrap_or_else(|| state.clone()),
                    latency_us,
                    disable: format!("{folder}/{state}/disable"),
                });
            }
        }
    }
    any.map(|()| deep)
}

fn heat(view: &View<'_>) -> Outcome {
    const MARGIN: i64 = 10_000;
    let throttled = throttled_word(view);
    let zones = view.tree.names("sys/class/thermal").unwrap_or_default();
    let mut nearest: Option<(i64, String)> = None;
    for zone in zones.iter().filter(|name| name.starts_with("thermal_zone")) {
        let folder = format!("sys/class/thermal/{zone}");
        let number = |file: &str| {
            view.text(&format!("{folder}/{file}"))
                .found
                .ok()?
                .parse::<i64>()
                .ok()
        };
        let Some(now) = number("temp") else { continue };
        // BOUND: the kernel allows 12 trip points a zone.
        let trips = (0..12).filter_map(|n| {
            let kind = view
                .text(&format!("{folder}/trip_point_{n}_type"))
                .found
                .ok()?;
            let counts = matches!(kind.as_str(), "passive" | "hot" | "critical");
            number(&format!("trip_point_{n}_temp")).filter(|limit| counts && *limit > 0)
        });
        let Some(limit) = trips.min() else { continue };
        let name = view
            .text(&format!("{folder}/type"))
            .found
            .unwrap_or_else(|_| zone.clone());
        let said = format!("{name}: {} C, limit {} C", now / 1000, limit / 1000);
        if nearest
            .as_ref()
            .is_none_or(|(margin, _)| limit - now < *margin)
        {
            nearest = Some((limit - now, said));
        }
    }
    let fix = Fix::by_hand("better cooling, or a lower power mode that it can hold");
    let word = throttled.map(|word| format!("get_throttled 0x{word:x}"));
    let outcome = match (&nearest, throttled) {
        (_, Some(word)) if word & 0xe != 0 => {
            Outcome::fail(format!("the firmware lowers the clock now (0x{word:x})"))
        }
        (_, Some(word)) if word & 0xe_0000 != 0 => Outcome::warn(format!(
            "the firmware lowered the clock since boot (0x{word:x})"
        )),
        (Some((margin, said)), _) if *margin < 0 => Outcome::fail(said.clone()),
        (Some((margin, said)), _) if *margin <= MARGIN => Outcome::warn(said.clone()),
        (Some((_, said)), _) => Outcome::pass(said.clone()),
        (None, Some(_)) => Outcome::pass("the firmware never lowered the clock"),
        (None, None) => {
            return Outcome::unknown("no temperature with a limit can be read")
                .requested("more than 10 C below the nearest limit")
                .shown("sys/class/thermal", format!("{} entries", zones.len()));
        }
    };
    let shown = nearest
        .map(|(_, said)| said)
        .into_iter()
        .chain(word)
        .collect::<Vec<_>>()
        .join("; ");
    outcome
        .requested("more than 10 C below the nearest limit")
        .shown("sys/class/thermal/thermal_zone*", shown)
        .fix(fix)
}

/// A Raspberry Pi's firmware: bits 0-3 hold now, bits 16-19 held since boot; 0 is under-voltage.
fn throttled_word(view: &View<'_>) -> Option<u64> {
    let text = view
        .text("sys/devices/platform/soc/soc:firmware/get_throttled")
        .found
        .ok()?;
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

fn power_mode(view: &View<'_>) -> Outcome {
    let Some(board) = view.board else {
        return Outcome::not_applicable("the board is not known");
    };
    let Some(modes) = &board.power.modes else {
        return Outcome::not_applicable("the board has no power modes");
    };
    let status = view.text("var/lib/nvpmodel/status");
    let table = view.text("etc/nvpmodel.conf");
    let (Ok(now), Ok(known)) = (&status.found, &table.found) else {
        return Outcome::unknown("the power mode cannot be read")
            .requested(modes.value.join(" or "))
            .seen(&status)
            .seen(&table);
    };
    let known = modes_of(known);
    // The status says `pmode:0002`, perhaps with more behind it.
    let digits = now.split(':').nth(1).unwrap_or_default().trim();
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    let id = digits.parse::<u32>().ok();
    let name = known
        .iter()
        .find(|(number, _)| Some(*number) == id)
        .map(|(_, name)| name.clone());
    let wanted = modes
        .value
        .iter()
        .find_map(|wanted| known.iter().find(|(_, name)| name == wanted));
    let outcome = match (&name, wanted) {
        (None, _) => Outcome::unknown("the mode is not in the table"),
        (Some(_), None) => {
            Outcome::unknown(format!("the table has none of {}", modes.value.join(", ")))
        }
        (Some(name), Some((_, wanted))) if name == wanted => Outcome::pass(name.clone()),
        (Some(name), Some(_)) => Outcome::warn(name.clone()),
    };
    let fix = wanted.map_or_else(
        || Fix::by_hand("flash with the -super configuration, whose table has those modes"),
        |(id, name)| {
            Fix::by_hand(format!(
                "sudo nvpmodel -m {id} (that is {name} in this table); it may ask for a reboot"
            ))
        },
    );
    outcome
        .requested(modes.value.join(" or "))
        .seen(&status)
        .shown(table.path, format!("{known:?}"))
        .fix(fix)
}

/// Lines such as `< POWER_MODEL ID=2 NAME=MAXN_SUPER >`.
fn modes_of(table: &str) -> Vec<(u32, String)> {
    let lines = table
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("< POWER_MODEL "));
    lines
        .filter_map(|line| {
            let of = |key: &str| {
                line.split_whitespace()
                    .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
            };
            Some((of("ID")?.parse().ok()?, of("NAME")?.to_owned()))
        })
        .collect()
}

fn devices(view: &View<'_>) -> Outcome {
    let names = view.tree.names("sys/class/devfreq").unwrap_or_default();
    let mut free = Vec::new();
    let mut outcome = Outcome::pass("all at one frequency");
    let mut count = 0;
    for name in &names {
        let of = |file: &str| {
            view.text(&format!("sys/class/devfreq/{name}/{file}"))
                .found
                .ok()
        };
        let (Some(min), Some(max)) = (of("min_freq"), of("max_freq")) else {
            continue;
        };
        count += 1;
        outcome = outcome.shown(
            format!("sys/class/devfreq/{name}"),
            format!("min_freq {min}, max_freq {max}"),
        );
        if min != max {
            free.push(name.clone());
        }
    }
    if count == 0 {
        return Outcome::not_applicable("no such clocks are shown here")
            .shown("sys/class/devfreq", format!("{} entries", names.len()));
    }
    if !free.is_empty() {
        let evidence = outcome.evidence;
        outcome = Outcome {
            evidence,
            ..Outcome::warn(format!("free to change: {}", free.join(", ")))
        };
    }
    outcome.requested("least = largest, for a measurement").fix(Fix {
        to_stay: "a unit that runs it at every boot".to_owned(),
        ..Fix::by_hand("on a Jetson: sudo jetson_clocks --store F; sudo jetson_clocks; afterwards --restore F. Elsewhere: write max_freq to min_freq")
    })
}

fn supply(view: &View<'_>) -> Outcome {
    let throttled = throttled_word(view);
    let mut signs = Vec::new();
    let mut looked = Vec::new();
    for name in view.tree.names("sys/class/hwmon").unwrap_or_default() {
        let folder = format!("sys/class/hwmon/{name}");
        let files = view.tree.names(&folder).unwrap_or_default();
        let alarms = files.iter().filter(|f| {
            *f == "in0_lcrit_alarm" || (f.starts_with("oc") && f.ends_with("_event_cnt"))
        });
        for file in alarms {
            let reading = view.text(&format!("{folder}/{file}"));
            if let Ok(text) = &reading.found {
                looked.push(format!("{file} {text}"));
                signs.extend((text != "0").then(|| format!("{file} is {text}")));
            }
        }
    }
    if let Some(word) = throttled {
        looked.push(format!("get_throttled 0x{word:x}"));
        signs.extend((word & 0x1_0001 != 0).then(|| format!("under-voltage (0x{word:x})")));
    }
    let outcome = match (looked.as_slice(), signs.as_slice()) {
        ([], _) => Outcome::not_applicable("nothing here tells of the supply"),
        (_, []) => Outcome::pass("no sign of a weak supply"),
        (_, signs) => Outcome::fail(signs.join(", ")),
    };
    outcome
        .requested("no under-voltage and no over-current")
        .shown("sys/class/hwmon, get_throttled", looked.join(", "))
        .fix(Fix::by_hand(
            "a stronger supply, a shorter cable; cameras on a hub with its own supply",
        ))
}
