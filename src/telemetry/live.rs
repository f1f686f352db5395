//! The table in the terminal while the run goes on, and the summary when it has ended.
//!
//! Thread: housekeeping. Allocates: yes. Blocks: on the terminal; a terminal that is held up holds up
//! nothing but this table.
//!
//! On a terminal the table is redrawn in place. It uses neither a second screen nor a hidden cursor, so however
//! the process ends there is nothing to restore. Where the output is a file or a pipe, it is a line a second.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::action::Rung;
use crate::telemetry::columns::{align, fit, short};
use crate::telemetry::durations::Quantiles;
use crate::telemetry::goals::GoalsConfig;
use crate::telemetry::measured::Measured;
use crate::telemetry::report::assemble::{elements, end_to_end, stages};
use crate::telemetry::report::axis::{label_ns, to_f64};
use crate::telemetry::report::data::{LinkReport, Report};
use crate::telemetry::report::text::{by_reason, stage_lines, text};
use crate::units::{MonoTime, Nanos};

/// Between two redraws: fast enough to watch, slow enough to read.
const REDRAW: Nanos = Nanos::from_millis(250);
/// Between two lines of a log.
const LINE: Nanos = Nanos::from_secs(1);
/// Columns that a whole table needs.
const WIDE: usize = 96;

/// What the table shows besides measurements.
#[derive(Clone, Debug, Default)]
pub struct LiveView {
    /// What runs: source, encoder, policy, sink.
    pub title: String,
    /// The length asked for, if one was.
    pub duration: Option<Nanos>,
    /// The instruction in force.
    pub instruction: String,
    /// What the policy does and why.
    pub policy: String,
    pub links: Vec<LinkReport>,
    /// The source's stream is interrupted now.
    pub source_away: bool,
    /// Samples that telemetry lost.
    pub lost_samples: u64,
}

/// How the output can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Redrawn in place.
    Table {
        columns: usize,
        rows: usize,
        colour: bool,
    },
    /// One line after the other.
    Lines,
    /// Nothing at all.
    Quiet,
}

impl Look {
    /// What suits this output.
    pub fn of(out: &(impl IsTerminal + AsRawFd), quiet: bool) -> Self {
        if quiet {
            return Self::Quiet;
        }
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if !out.is_terminal() || dumb {
            return Self::Lines;
        }
        let (columns, rows) = window_size(out.as_raw_fd()).unwrap_or((80, 24));
        Self::Table {
            columns,
            rows,
            // https://no-color.org
            colour: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        }
    }
}

/// Columns and rows of a terminal.
fn window_size(fd: i32) -> Option<(usize, usize)> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which `size` is and which lives through the call; on anything
    // but a terminal the call fails and writes nothing.
    let failed = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) } != 0;
    let known = !failed && size.ws_col > 0 && size.ws_row > 0;
    known.then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Paint {
    Plain,
    Bold,
    Dim,
    Bad,
}

/// The table.
pub struct Live {
    out: Box<dyn Write + Send>,
    look: Look,
    due: MonoTime,
    /// Lines of the table that stand above the cursor.
    standing: usize,
}

impl Live {
    pub fn new(out: Box<dyn Write + Send>, look: Look) -> Self {
        Self {
            out,
            look,
            due: MonoTime::ZERO,
            standing: 0,
        }
    }

    pub fn on_stdout(quiet: bool) -> Self {
        let out = io::stdout();
        let look = Look::of(&out, quiet);
        Self::new(Box::new(out), look)
    }

    /// For runs whose actions go to standard output.
    pub fn on_stderr(quiet: bool) -> Self {
        let out = io::stderr();
        let look = Look::of(&out, quiet);
        Self::new(Box::new(out), look)
    }

    /// Shows the state of the run if it is time to. `view` is asked only then.
    pub fn update(
        &mut self,
        now: MonoTime,
        measured: &Measured,
        goals: &GoalsConfig,
        view: impl FnOnce() -> LiveView,
    ) {
        if now < self.due {
            return;
        }
        let drawn = match self.look {
            Look::Quiet => return,
            Look::Table {
                columns,
                rows,
                colour,
            } => {
                self.due = now + REDRAW;
                let lines = table(now, measured, goals, &view(), columns);
                self.draw(&lines, columns, rows, colour)
            }
            Look::Lines => {
                self.due = now + LINE;
                let line = line(now, measured, &view());
                writeln!(self.out, "{line}").and_then(|()| self.out.flush())
            }
        };
        // A closed pipe or a lost terminal ends the show, never the run.
        if drawn.is_err() {
            self.look = Look::Quiet;
        }
    }

    /// The summary in place of the table. `page` is where the report lies.
    pub fn finish(&mut self, report: &Report, page: Option<&Path>) {
        if self.look == Look::Quiet {
            return;
        }
        let mut all = self.rewind();
        all.push_str(&text(report));
        if let Some(page) = page {
            all.push_str(&format!("\nreport: {}\n", page.display()));
        }
        let _ = self.out.write_all(all.as_bytes());
        let _ = self.out.flush();
    }

    /// Moves to the table's first line and clears from there.
    fn rewind(&mut self) -> String {
        match std::mem::take(&mut self.standing) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        }
    }

    /// Draws in one write, so that a terminal never shows a half.
    fn draw(
        &mut self,
        lines: &[(Paint, String)],
        columns: usize,
        rows: usize,
        colour: bool,
    ) -> io::Result<()> {
        // A table higher than the window could not be rewound: its first lines would have scrolled away.
        let shown = &lines[..lines.len().min(rows.saturating_sub(1))];
        let mut all = match self.standing {
            0 => String::new(),
            standing => format!("\x1b[{standing}A\r"),
        };
        for (paint, line) in shown {
            let line = fit(line, columns.saturating_sub(1));
            let code = match paint {
                _ if !colour => "",
                Paint::Plain => "",
                Paint::Bold => "\x1b[1m",
                Paint::Dim => "\x1b[2m",
                Paint::Bad => "\x1b[31m",
            };
            let end = if code.is_empty() { "" } else { "\x1b[0m" };
            all.push_str(&format!("{code}{line}{end}\x1b[K\n"));
        }
        all.push_str("\x1b[J");
        self.standing = shown.len();
        self.out.write_all(all.as_bytes())?;
        self.out.flush()
    }
}

/// The lines of the table.
fn table(
    now: MonoTime,
    measured: &Measured,
    goals: &GoalsConfig,
    view: &LiveView,
    columns: usize,
) -> Vec<(Paint, String)> {
    let mut lines = vec![(Paint::Bold, headline(now, measured, view))];
    lines.extend(latencies(measured, goals));
    lines.push((Paint::Plain, String::new()));
    let stages = stage_lines(&stages(measured), columns > WIDE);
    lines.extend(stages.into_iter().enumerate().map(|(row, line)| {
        let paint = if row < 2 { Paint::Dim } else { Paint::Plain };
        (paint, line)
    }));
    lines.push((Paint::Plain, String::new()));
    lines.push(dropped(view));
    if view.source_away {
        let text = "source       AWAY: no good frame comes; it is waited for and opened again";
        lines.push((Paint::Bad, text.to_owned()));
    }
    lines.push(rung(measured));
    if !view.instruction.is_empty() {
        lines.push((Paint::Plain, format!("instruction  {}", view.instruction)));
    }
    if !view.policy.is_empty() {
        lines.push((Paint::Bold, format!("policy       {}", view.policy)));
    }
    lines
}

fn headline(now: MonoTime, measured: &Measured, view: &LiveView) -> String {
    let elapsed = (now - measured.began).as_secs_f64();
    let of = view
        .duration
        .map_or(String::new(), |d| format!(" of {:.0}", d.as_secs_f64()));
    format!(
        "reflexarc  {elapsed:.1}{of} s  {:.0} elements/s  {}",
        elements(measured).per_second,
        view.title
    )
}

/// Latencies across stages, those over their goal marked.
fn latencies(measured: &Measured, goals: &GoalsConfig) -> Vec<(Paint, String)> {
    let e = end_to_end(measured);
    let at = goals.percentile.quantile();
    let judged = |limit: Nanos, series: &crate::telemetry::measured::Series| {
        let over = series.durations.at_quantile(at) > limit.clamp_u64();
        let text = if over { "OVER" } else { "under" };
        let limit = label_ns(to_f64(limit.clamp_u64()));
        let goal = format!("{text} {limit} at p{}", goals.percentile.get());
        (over, goal)
    };
    let none = (false, String::new());
    let rows = [
        (
            "camera to action",
            e.camera_to_action,
            judged(goals.camera_to_action, &measured.camera_to_action),
        ),
        ("fusion", e.fusion, judged(goals.fusion, &measured.fusion)),
        (
            "instruction to action",
            e.instruction_to_action,
            none.clone(),
        ),
        ("data age at action", e.data_age_at_action, none.clone()),
        ("action jitter", e.action_jitter, none),
    ];
    let cells = |name: &str, q: &Quantiles, goal: &str| {
        let show = |ns| format!("{:>6}", short(ns, q.count));
        let goal = if q.count == 0 { "" } else { goal };
        vec![
            name.to_owned(),
            show(q.p50_ns),
            show(q.p99_ns),
            show(q.p999_ns),
            show(q.max_ns),
            format!("{:>7}", q.count),
            format!("{goal:<19}"),
        ]
    };
    let head = ["", "   p50", "   p99", " p99.9", "   max", "  count", ""];
    let mut texts = vec![head.map(str::to_owned).to_vec()];
    texts.extend(rows.iter().map(|(name, q, (_, goal))| cells(name, q, goal)));
    let paints = std::iter::once(Paint::Dim).chain(rows.iter().map(|(_, q, (over, _))| {
        if *over && q.count > 0 {
            Paint::Bad
        } else {
            Paint::Plain
        }
    }));
    paints.zip(align(&texts)).collect()
}

fn dropped(view: &LiveView) -> (Paint, String) {
    let links = view.links.iter().filter(|link| link.dropped_total() > 0);
    let mut texts: Vec<String> = links
        .map(|link| format!("{} {}", link.name, by_reason(&link.dropped)))
        .collect();
    if view.lost_samples > 0 {
        texts.push(format!("telemetry {} samples", view.lost_samples));
    }
    let text = if texts.is_empty() {
        "none".to_owned()
    } else {
        texts.join("; ")
    };
    (Paint::Plain, format!("dropped      {text}"))
}

fn rung(measured: &Measured) -> (Paint, String) {
    let [fresh, tail, hold, stop] = measured.rungs.ticks;
    let now = measured.rungs.now.map_or("-", Rung::name);
    let fallen = matches!(measured.rungs.now, Some(Rung::Hold | Rung::SafeStop));
    let text = format!(
        "rung         {now} (beats: {fresh} fresh, {tail} tail, {hold} hold, {stop} safe stop, {} skipped)",
        measured.missed_ticks
    );
    (if fallen { Paint::Bad } else { Paint::Plain }, text)
}

/// The same in one line, for logs.
fn line(now: MonoTime, measured: &Measured, view: &LiveView) -> String {
    let q = measured.camera_to_action.durations.quantiles();
    let show = |ns| short(ns, q.count);
    let dropped: u64 = view.links.iter().map(LinkReport::dropped_total).sum();
    let mut text = format!(
        "{:7.1} s  camera to action p50 {} p99 {} max {} of {}  rung {}  dropped {dropped}",
        (now - measured.began).as_secs_f64(),
        show(q.p50_ns),
        show(q.p99_ns),
        show(q.max_ns),
        q.count,
        measured.rungs.now.map_or("-", Rung::name),
    );
    if view.source_away {
        text.push_str("  source AWAY");
    }
    if !view.policy.is_empty() {
        text.push_str(&format!("  {}", view.policy));
    }
    text
}
