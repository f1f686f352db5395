//! Readings from a recording: a table of text with a header, its own time stamps, and one row a reading.
//!
//! Thread: the sensor's; the file is read on main. Allocates: in `open`. Blocks: in `next`, until a row is due or
//! the deadline. Locks: no. Syscalls: `clock_nanosleep`.
//!
//! The whole file is read and checked before the run. What is wrong with the file is refused with the line;
//! what is wrong with a measurement is not the file's fault: rows with a missing or non-finite value are left
//! out, rows that stand a little out of order are sorted in, and both are counted and named.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::config::{CsvConfig, SensorConfig, TimeOrigin};
use super::counters::SensorCounters;
use super::{DOF_MAX, Reading, SensorSource};
use crate::clock;
use crate::error::{Fault, Kind, Result, StepError};
use crate::rt::sync::Arc;
use crate::units::{MonoTime, Nanos};

/// Time that goes back by more is not disorder but two recordings in one file, or a clock that was set.
const DISORDER_MAX: Nanos = Nanos::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Recording {
    name: String,
    source_index: u8,
    rows: Rows,
    /// When time 0 of the recording is: the first call of `next`. Then all threads have been let go, so the
    /// recording begins with the pictures and not with the preparations.
    begin: Option<MonoTime>,
    next: usize,
    counters: Arc<SensorCounters>,
}

impl Recording {
    pub fn open(path: &Path, config: &SensorConfig, source_index: u8) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = fs::read(path).map_err(|e| {
            let fix = "check the path; it is relative to where reflexarc was started";
            Fault::from_io(
                format!("cannot read the recording {name}"),
                &e,
                Kind::BadInput,
                fix,
            )
        })?;
        let text = String::from_utf8(bytes).map_err(|e| {
            Fault::new(
                Kind::BadInput,
                format!("{name} is not a text file"),
                format!("byte {} is not UTF-8", e.utf8_error().valid_up_to()),
                "export the recording as CSV",
            )
        })?;
        let rows = Rows::parse(&text, config).map_err(|problem| problem.fault(&name))?;
        Ok(Self {
            name,
            source_index,
            rows,
            begin: None,
            next: 0,
            counters: Arc::default(),
        })
    }
}

impl SensorSource for Recording {
    fn describe(&self) -> String {
        let rows = &self.rows;
        let length = match (rows.rows.first(), rows.rows.last()) {
            (Some(first), Some(last)) => last.at - first.at,
            _ => Nanos::ZERO,
        };
        let mut line = format!(
            "csv {}, {} readings of {} over {length}",
            self.name,
            rows.rows.len(),
            rows.names.join(", ")
        );
        rows.skipped.tell(&mut line, "left out, a value is missing");
        rows.disordered.tell(&mut line, "out of order, sorted in");
        line
    }

    fn start(&mut self) -> Result<()> {
        self.begin = None;
        self.next = 0;
        Ok(())
    }

    fn next(&mut self, deadline: MonoTime) -> Result<Option<Reading>, StepError> {
        let begin = *self.begin.get_or_insert_with(clock::now);
        let row = self.rows.rows.get(self.next);
        let due = row.map_or(MonoTime::FAR, |row| begin + row.at);
        let until = due.min(deadline);
        // BOUND: ends at the deadline; only a signal ends a sleep early.
        while clock::now() < until {
            clock::sleep_until(until);
        }
        let Some(row) = row.filter(|_| due <= deadline) else {
            return Ok(None);
        };
        self.next += 1;
        self.counters.received.add(1);
        self.counters.accepted.add(1);
        Ok(Some(Reading {
            at: due,
            arrived: clock::now(),
            seq: row.line,
            source_index: self.source_index,
            len: self.rows.len,
            values: row.values,
        }))
    }

    fn counters(&self) -> Option<Arc<SensorCounters>> {
        Some(Arc::clone(&self.counters))
    }
}

/// A recording in memory.
#[derive(Debug)]
struct Rows {
    /// In time order.
    rows: Vec<Row>,
    len: u8,
    names: Vec<String>,
    skipped: Lines,
    disordered: Lines,
}

#[derive(Debug)]
struct Row {
    /// Since the recording's time 0.
    at: Nanos,
    /// Of the file, from 1; it serves as the reading's number.
    line: u32,
    values: [f32; DOF_MAX],
}

/// How many lines something happened to, and the first few of them.
#[derive(Debug, Default)]
struct Lines {
    count: usize,
    first: Vec<u32>,
}

impl Lines {
    fn add(&mut self, line: u32) {
        self.count += 1;
        if self.first.len() < 5 {
            self.first.push(line);
        }
    }

    fn tell(&self, to: &mut String, what: &str) {
        if self.count == 0 {
            return;
        }
        let lines: Vec<_> = self.first.iter().map(u32::to_string).collect();
        let more = if self.count > lines.len() {
            ", …"
        } else {
            ""
        };
        let lines = lines.join(", ");
        // Writing to a String cannot fail.
        let _ = write!(to, "; {} rows {what} (lines {lines}{more})", self.count);
    }
}

/// What is wrong with the file, and in which line.
#[derive(Debug)]
struct Problem {
    line: u32,
    why: String,
    fix: String,
}

impl Problem {
    fn new(line: u32, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            line,
            why: why.into(),
            fix: fix.into(),
        }
    }

    fn fault(self, name: &str) -> Fault {
        let what = format!("the recording {name} cannot be used: line {}", self.line);
        Fault::new(Kind::BadInput, what, self.why, self.fix)
    }
}

/// Which cells of a row are looked at.
struct Layout {
    separator: char,
    cell_count: usize,
    time: usize,
    values: Vec<usize>,
    names: Vec<String>,
}

impl Rows {
    fn parse(text: &str, config: &SensorConfig) -> Result<Self, Problem> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = (1..)
            .zip(text.lines())
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let Some((header_line, header)) = lines.next() else {
            let fix = "the first line names the columns: time,joint1,joint2";
            return Err(Problem::new(1, "the file is empty", fix));
        };
        let layout = Layout::of(header, header_line, config)?;
        let len = u8::try_from(layout.values.len()).expect("at most DOF_MAX, checked");
        let mut rows = Self {
            rows: Vec::new(),
            len,
            names: layout.names.clone(),
            skipped: Lines::default(),
            disordered: Lines::default(),
        };
        let mut latest = None;
        let mut last_line = header_line;
        for (line, text) in lines {
            last_line = line;
            let Some(row) = layout.row(text, line, &config.csv)? else {
                rows.skipped.add(line);
                continue;
            };
            let latest = latest.get_or_insert(row.at);
            if *latest - row.at > DISORDER_MAX {
                return Err(Problem::new(
                    line,
                    format!("time goes back by {}", *latest - row.at),
                    "cut the file here into two recordings; a clock that was set cannot be undone",
                ));
            }
            if row.at < *latest {
                rows.disordered.add(line);
            }
            *latest = row.at.max(*latest);
            rows.rows.push(row);
        }
        if rows.rows.is_empty() {
            let fix = "check csv.columns; every row needs a finite number in each of them";
            return Err(Problem::new(last_line, "no row can be used", fix));
        }
        rows.rows.sort_by_key(|row| row.at);
        if config.csv.origin == TimeOrigin::Absolute {
            let first = rows.rows[0].at;
            rows.rows.iter_mut().for_each(|row| row.at = row.at - first);
        }
        Ok(rows)
    }
}

impl Layout {
    fn of(header: &str, line: u32, config: &SensorConfig) -> Result<Self, Problem> {
        let csv = &config.csv;
        let separator = csv.separator.unwrap_or_else(|| likely_separator(header));
        let names: Vec<&str> = cells(header, separator).collect();
        let find = |name: &str, key: &str| {
            names.iter().position(|n| *n == name).ok_or_else(|| {
                let names = names.join(", ");
                let why = format!("there is no column `{name}`; there are: {names}");
                Problem::new(line, why, format!("set {key} in the sensor's csv table"))
            })
        };
        let time = find(&csv.time, "`time`")?;
        let values: Vec<usize> = match csv.columns.as_slice() {
            [] => (0..names.len()).filter(|index| *index != time).collect(),
            chosen => chosen
                .iter()
                .map(|name| find(name, "`columns`"))
                .collect::<Result<_, _>>()?,
        };
        let expected = config.values.map_or(1..=DOF_MAX, |n| n.into()..=n.into());
        if !expected.contains(&values.len()) {
            let (low, high) = (expected.start(), expected.end());
            let wanted = if low == high {
                format!("{low}")
            } else {
                format!("{low} to {high}")
            };
            let why = format!("{} columns have values, not {wanted}", values.len());
            let fix = "choose the columns with `columns = [\"…\"]` in the sensor's csv table";
            return Err(Problem::new(line, why, fix));
        }
        Ok(Self {
            separator,
            cell_count: names.len(),
            time,
            names: values.iter().map(|v| names[*v].to_owned()).collect(),
            values,
        })
    }

    /// One row; None when a value is missing or not finite.
    fn row(&self, text: &str, line: u32, csv: &CsvConfig) -> Result<Option<Row>, Problem> {
        let row: Vec<&str> = cells(text, self.separator).collect();
        if row.len() != self.cell_count {
            let why = format!("it has {} of {} columns", row.len(), self.cell_count);
            let fix = "complete or remove the line; a last line that was cut off can go";
            return Err(Problem::new(line, why, fix));
        }
        let time = row[self.time];
        let Some(at) = nanos(time, csv.unit.places()) else {
            let why = format!("the time `{time}` is not a number");
            return Err(Problem::new(line, why, "correct or remove the line"));
        };
        let mut values = [0.0; DOF_MAX];
        for ((value, cell), name) in values.iter_mut().zip(&self.values).zip(&self.names) {
            let text = row[*cell];
            let missing = ["", "na", "n/a", "null", "none"]
                .iter()
                .any(|word| text.eq_ignore_ascii_case(word));
            if missing {
                return Ok(None);
            }
            let number: f32 = text.parse().map_err(|_| {
                let why = format!("`{text}` in column `{name}` is not a number");
                let fix = "correct the line, or choose other columns with `columns`";
                Problem::new(line, why, fix)
            })?;
            if !number.is_finite() {
                return Ok(None);
            }
            *value = number;
        }
        Ok(Some(Row { at, line, values }))
    }
}

fn likely_separator(header: &str) -> char {
    let count = |separator| header.matches(separator).count();
    // The last of equals wins, so a header without any of them is taken as one column by commas.
    *['\t', ';', ',']
        .iter()
        .max_by_key(|separator| count(**separator))
        .expect("three to choose from")
}

/// The cells of a line, without the space and the quotes around them. A quoted cell may hold separators.
fn cells(line: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    line.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
    .map(|cell| cell.trim().trim_matches('"').trim())
}

/// A decimal number of units of `10^places` ns, exactly: f64 cannot hold nanoseconds since 1970.
fn nanos(text: &str, places: u32) -> Option<Nanos> {
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + part.len() == 0 {
        return None;
    }
    if !all_digits(whole) || !all_digits(part) {
        // Scientific notation is only used for times that f64 can hold.
        let units: f64 = text.parse().ok()?;
        let exponent = i32::try_from(places).ok()? - 9;
        return units
            .is_finite()
            .then(|| Nanos::from_secs_f64(units * 10_f64.powi(exponent)));
    }
    let number = |text: &str| match text {
        "" => Some(0),
        text => text.parse::<i128>().ok(),
    };
    let kept = &part[..part.len().min(places as usize)];
    let missing_places = places - u32::try_from(kept.len()).ok()?;
    let ns = number(whole)?.checked_mul(10_i128.pow(places))?
        + number(kept)? * 10_i128.pow(missing_places);
    i64::try_from(if negative { -ns } else { ns })
        .ok()
        .map(Nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_to_the_nanosecond() {
        for (text, places, expected) in [
            ("1763823600.123456789", 9, Some(1_763_823_600_123_456_789)),
            ("1763823600123456789", 0, Some(1_763_823_600_123_456_789)),
            ("0.01", 9, Some(10_000_000)),
            (".5", 6, Some(500_000)),
            ("-2.", 3, Some(-2_000)),
            ("+7", 3, Some(7_000)),
            ("1.23456", 3, Some(1_234)),
            ("1e-3", 9, Some(1_000_000)),
            ("2.5E3", 3, Some(2_500_000)),
            ("nan", 9, None),
            ("inf", 9, None),
            ("", 9, None),
            (".", 9, None),
            ("-", 9, None),
            ("12:30", 9, None),
            ("99999999999999999999", 9, None),
        ] {
            assert_eq!(nanos(text, places), expected.map(Nanos), "{text}");
        }
    }

    #[test]
    fn quoted_cells_may_hold_separators() {
        let all = |line| cells(line, ',').collect::<Vec<_>>();
        assert_eq!(all(r#""a,b", c ,"d""#), ["a,b", "c", "d"]);
        assert_eq!(all("1,,3,"), ["1", "", "3", ""]);
    }

    /// Whatever stands in a file, it is read or refused, with a line that the file has.
    #[test]
    fn damaged_recordings_are_refused_and_never_panic() {
        let good = "time,\"a\",b\n0.5,1,2\n1.5e0,-3,nan\n# note\n1.25,4,5\n";
        let config = SensorConfig::at("csv:x".parse().expect("an address"));
        let spare: Vec<char> = "0123456789.,;\t\"-+eEnaié#\n\r ".chars().collect();
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        let mut below = |n: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % n as u64).expect("below a usize")
        };
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..50_000 {
            let mut text: Vec<char> = good.chars().collect();
            for _ in 0..=below(4) {
                let place = below(text.len());
                match below(3) {
                    0 => text[place] = spare[below(spare.len())],
                    1 => text.insert(place, spare[below(spare.len())]),
                    _ => drop(text.remove(place)),
                }
            }
            let text: String = text.into_iter().collect();
            match Rows::parse(&text, &config) {
                Ok(rows) => {
                    assert!(rows.rows.is_sorted_by_key(|row| row.at));
                    assert!(rows.rows.iter().flat_map(|r| r.values).all(f32::is_finite));
                    taken += 1;
                }
                Err(problem) => {
                    let lines = text.lines().count().max(1);
                    assert!((1..=lines).contains(&(problem.line as usize)), "{text}");
                    refused += 1;
                }
            }
        }
        assert!(taken > 1000 && refused > 1000, "{taken} {refused}");
    }
}
