//! What surrounds a part: clocks, heat, throttling, interrupts; and which of its changes make the part's numbers unfit for a
//! comparison.

use std::collections::BTreeMap;
use std::process::Command;

use crate::bench::data::Surroundings;
use crate::board::tree::Tree;

/// Where the kernel of a Raspberry Pi shows its firmware's word. Bits 0 to 3 hold now, 16 to 19 held since boot.
const FIRMWARE_WORD: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";
/// Of the firmware's word: the supply is low, the clock is capped, it is lowered, the soft limit of heat is reached.
const HOLDS_NOW: u64 = 0xf;
const FIRMWARE: &str = "get_throttled";

impl Surroundings {
    /// Reads a tree. `way` are the cores whose interrupts count.
    pub fn read(tree: &Tree, way: &[usize]) -> Self {
        let mut found = Self {
            power_mode: tree.is_live().then(power_mode).flatten(),
            interrupts: interrupts(tree, way),
            ..Self::default()
        };
        for name in tree.names("sys/devices/system/cpu").unwrap_or_default() {
            let number = name.strip_prefix("cpu").and_then(|n| n.parse().ok());
            if let Some(core) = number {
                found.read_core(tree, core);
            }
        }
        for name in tree.names("sys/class/devfreq").unwrap_or_default() {
            if let Some(hz) = number(tree, &format!("sys/class/devfreq/{name}/cur_freq")) {
                found.device_hz.insert(name, hz);
            }
        }
        found.read_heat(tree);
        found.read_supply(tree);
        found
    }

    fn read_core(&mut self, tree: &Tree, core: usize) {
        let folder = format!("sys/devices/system/cpu/cpu{core}");
        let of = |file: &str| number(tree, &format!("{folder}/cpufreq/{file}"));
        let governor = tree.text(&format!("{folder}/cpufreq/scaling_governor"));
        if let Ok(governor) = governor.found {
            self.governor.insert(core, governor);
        }
        if let Some(khz) = of("scaling_cur_freq") {
            self.khz.insert(core, khz);
        }
        if let (Some(low), Some(high)) = (of("scaling_min_freq"), of("scaling_max_freq")) {
            self.khz_allowed.insert(core, (low, high));
        }
        for counter in ["core_throttle_count", "package_throttle_count"] {
            if let Some(count) = number(tree, &format!("{folder}/thermal_throttle/{counter}")) {
                self.throttled
                    .insert(format!("core {core} {counter}"), count);
            }
        }
    }

    fn read_heat(&mut self, tree: &Tree) {
        for zone in tree.names("sys/class/thermal").unwrap_or_default() {
            let folder = format!("sys/class/thermal/{zone}");
            let millis = tree.text(&format!("{folder}/temp")).found;
            let Some(millis) = millis.ok().and_then(|text| text.parse::<f64>().ok()) else {
                continue;
            };
            let kind = tree.text(&format!("{folder}/type")).found;
            let kind = kind.map_or_else(|_| zone.clone(), |kind| format!("{zone} {kind}"));
            self.celsius.insert(kind, millis / 1000.0);
        }
    }

    /// A Raspberry Pi's firmware, and the over-current counters of a Jetson.
    fn read_supply(&mut self, tree: &Tree) {
        let word = tree.text(FIRMWARE_WORD).found.ok();
        let asked = || {
            tree.is_live()
                .then(|| answer("vcgencmd", &["get_throttled"]))
        };
        let word = word.or_else(|| Some(asked()??.rsplit('=').next()?.to_owned()));
        let word =
            word.and_then(|w| u64::from_str_radix(w.trim().trim_start_matches("0x"), 16).ok());
        if let Some(word) = word {
            self.throttled.insert(FIRMWARE.to_owned(), word);
        }
        for sensor in tree.names("sys/class/hwmon").unwrap_or_default() {
            let folder = format!("sys/class/hwmon/{sensor}");
            let events = tree.names(&folder).unwrap_or_default();
            for event in events.iter().filter(|name| name.ends_with("_event_cnt")) {
                if let Some(count) = number(tree, &format!("{folder}/{event}")) {
                    self.throttled.insert(format!("{sensor} {event}"), count);
                }
            }
        }
    }

    /// The hottest zone in C. To read it disturbs no core of the way.
    pub fn heat(tree: &Tree) -> Option<f64> {
        let mut found = Self::default();
        found.read_heat(tree);
        found.celsius.into_values().reduce(f64::max)
    }
}

/// Why numbers that were measured between these two must not be compared, in words.
pub fn marks(before: &Surroundings, after: &Surroundings, way: &[usize]) -> Vec<String> {
    let mut marks = Vec::new();
    for (name, count) in &after.throttled {
        let earlier = before.throttled.get(name).copied().unwrap_or(0);
        let holds = name == FIRMWARE && (count | earlier) & HOLDS_NOW != 0;
        if *count != earlier || holds {
            marks.push(format!("throttled: {name} went from {earlier} to {count}"));
        }
    }
    if before.governor != after.governor {
        marks.push("the frequency governor was changed meanwhile".to_owned());
    }
    if before.khz_allowed != after.khz_allowed {
        marks.push("the limits of the clock were changed meanwhile".to_owned());
    }
    if before.power_mode != after.power_mode {
        marks.push("the power mode was changed meanwhile".to_owned());
    }
    for core in way {
        let performs = after
            .governor
            .get(core)
            .is_some_and(|name| name == "performance");
        let limit = after.khz_allowed.get(core).map(|(_, high)| *high);
        let now = after.khz.get(core);
        // As C02 of the doctor has it: what is asked for is what is had, to 3 %.
        if let (true, Some(limit), Some(now)) = (performs, limit, now)
            && now * 100 < limit * 97
        {
            marks.push(format!(
                "core {core} ran at {} of {} MHz although its governor is performance",
                now / 1000,
                limit / 1000
            ));
        }
    }
    marks
}

fn number(tree: &Tree, path: &str) -> Option<u64> {
    tree.text(path).found.ok()?.parse().ok()
}

/// The sum of all lines of /proc/interrupts, by core. It counts what disturbed the way, whatever it was.
fn interrupts(tree: &Tree, way: &[usize]) -> BTreeMap<usize, u64> {
    let text = tree.text("proc/interrupts").found.unwrap_or_default();
    let mut lines = text.lines();
    let heads: Vec<usize> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|head| head.strip_prefix("CPU")?.parse().ok())
        .collect();
    let mut sums: BTreeMap<usize, u64> = way
        .iter()
        .filter(|core| heads.contains(core))
        .map(|core| (*core, 0))
        .collect();
    for line in lines {
        let counts = line.split_whitespace().skip(1);
        for (core, count) in heads.iter().zip(counts) {
            if let (Some(sum), Ok(count)) = (sums.get_mut(core), count.parse::<u64>()) {
                *sum += count;
            }
        }
    }
    sums
}

/// A Jetson's power mode by its name. Never by number: numbers differ between modules.
fn power_mode() -> Option<String> {
    let said = answer("nvpmodel", &["-q"])?;
    said.lines()
        .find_map(|line| line.split_once("Power Mode:"))
        .map(|(_, name)| name.trim().to_owned())
}

/// What a program of the board says, if there is one.
fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(word: u64, khz: u64) -> Surroundings {
        Surroundings {
            governor: [(2, "performance".to_owned())].into(),
            khz: [(2, khz)].into(),
            khz_allowed: [(2, (600_000, 2_400_000))].into(),
            throttled: [(FIRMWARE.to_owned(), word)].into(),
            ..Surroundings::default()
        }
    }

    #[test]
    fn what_changes_the_clock_marks_the_part() {
        let fine = with(0, 2_400_000);
        assert_eq!(marks(&fine, &fine, &[2]), [""; 0]);
        // Since boot, before this part: no matter. Now: it matters, also without a change.
        let earlier = with(0x5_0000, 2_400_000);
        assert_eq!(marks(&earlier, &earlier, &[2]), [""; 0]);
        let now = with(0x5_0005, 2_400_000);
        assert_eq!(marks(&now, &now, &[2]).len(), 1);
        assert_eq!(marks(&fine, &earlier, &[2]).len(), 1);
        let slow = with(0, 1_500_000);
        assert!(marks(&fine, &slow, &[2])[0].contains("1500 of 2400 MHz"));
        // A core that no frame sees.
        assert_eq!(marks(&fine, &slow, &[3]), [""; 0]);
        let mut other = fine.clone();
        other.governor.insert(2, "powersave".to_owned());
        assert_eq!(marks(&fine, &other, &[2]).len(), 1);
    }
}
