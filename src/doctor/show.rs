//! An examination for a terminal: a line for what is right, a block for what is not.

use std::fmt::Write as _;

use crate::doctor::check::{Check, Fix, Outcome, Status};
use crate::doctor::command::Subject;
use crate::doctor::cpus;
use crate::doctor::examination::Examination;
use crate::doctor::fix::Done;
use crate::doctor::measured::{Measured, buckets};
use crate::doctor::view::View;
use crate::telemetry::durations::{Durations, duration};

/// The whole examination.
pub fn examination(examination: &Examination, view: &View<'_>, subject: &Subject) -> String {
    let mut text = header(view, subject);
    let mut category = None;
    for finding in &examination.findings {
        if category != Some(finding.check.category) {
            category = Some(finding.check.category);
            let _ = writeln!(text, "\n{}", finding.check.category.title());
        }
        one(&mut text, &finding.check, &finding.outcome);
    }
    if let Some(measured) = &view.measured {
        text += &histograms(measured);
    }
    let _ = writeln!(text, "\n{}", examination.counts.in_words());
    footer(&mut text, examination, view);
    text
}

fn header(view: &View<'_>, subject: &Subject) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", subject.said);
    if let Some(root) = &subject.root {
        let _ = writeln!(
            text,
            "read from the captured tree {root}; nothing of this machine"
        );
    }
    let cores = &view.cores;
    let _ = writeln!(
        text,
        "way: {} ({}); housekeeping: {}",
        cpus::in_words(&cores.way),
        cores.from.in_words(),
        cpus::in_words(&cores.housekeeping)
    );
    text
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Warn => "WARN",
        Status::Fail => "FAIL",
        Status::Unknown => "????",
        Status::NotApplicable => "n.a.",
    }
}

fn one(text: &mut String, check: &Check, outcome: &Outcome) {
    let _ = writeln!(
        text,
        "  {}  {}  {}: {}",
        word(outcome.status),
        check.id,
        check.title,
        outcome.effective
    );
    if outcome.status.is_fine() {
        return;
    }
    if !outcome.requested.is_empty() {
        let _ = writeln!(text, "             wanted: {}", outcome.requested);
    }
    // BOUND: a check of all cores has a file for each; the rest stands in --json and --explain.
    const SHOWN: usize = 3;
    for piece in outcome.evidence.iter().take(SHOWN) {
        let _ = writeln!(
            text,
            "             {}: {}",
            place(&piece.path),
            piece.content
        );
    }
    if outcome.status != Status::Unknown {
        let _ = writeln!(text, "             why: {}", check.why);
    }
    if let Some(fix) = &outcome.fix {
        of_fix(text, fix);
    }
}

/// A path from the root as a person writes it; what is no path stays.
fn place(path: &str) -> String {
    const FOLDERS: [&str; 9] = [
        "proc/", "sys/", "etc/", "dev/", "boot/", "var/", "lib/", "usr/", "run/",
    ];
    let from_root = FOLDERS.iter().any(|folder| path.starts_with(folder));
    format!("{}{path}", if from_root { "/" } else { "" })
}

fn of_fix(text: &mut String, fix: &Fix) {
    let mut lines = fix.do_this.lines();
    let reboot = if fix.reboot { " (needs a reboot)" } else { "" };
    let _ = writeln!(
        text,
        "             fix: {}{reboot}",
        lines.next().unwrap_or_default()
    );
    for line in lines {
        let _ = writeln!(text, "                  {line}");
    }
    if !fix.to_stay.is_empty() {
        let _ = writeln!(text, "             to stay after a reboot: {}", fix.to_stay);
    }
}

fn footer(text: &mut String, examination: &Examination, view: &View<'_>) {
    let settings = examination.settings().len();
    if settings > 0 {
        let _ = writeln!(
            text,
            "`reflexarc doctor --fix --dry-run` shows {settings} settings that can be made at once and undone."
        );
    }
    if view.live.is_some() && view.measured.is_none() {
        let _ = writeln!(
            text,
            "`reflexarc doctor --measure 10s` measures wake-ups, gaps and ticks."
        );
    }
    if !examination.is_fine() {
        let _ = writeln!(
            text,
            "`reflexarc doctor --explain ID` says all about a check."
        );
    }
}

/// All about a check, and what it found here.
pub fn explanation(check: &Check, outcome: &Outcome) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} {} ({})\n",
        check.id,
        check.title,
        check.category.title()
    );
    let _ = writeln!(text, "why it matters: {}", check.why);
    let _ = writeln!(text, "how it finds out: it {}", check.way.in_words());
    let rests_on = match check.rests_on {
        "" => "what the kernel documents, or what was tried for this project",
        rests_on => rests_on,
    };
    let _ = writeln!(text, "what it rests on: {rests_on}\n");
    let _ = writeln!(
        text,
        "here: {}: {}",
        outcome.status.name(),
        outcome.effective
    );
    if !outcome.requested.is_empty() {
        let _ = writeln!(text, "wanted: {}", outcome.requested);
    }
    for piece in &outcome.evidence {
        let _ = writeln!(text, "  {}: {}", place(&piece.path), piece.content);
    }
    if let Some(fix) = &outcome.fix {
        let _ = writeln!(text, "fix: {}", fix.do_this);
        for setting in &fix.settings {
            let _ = writeln!(
                text,
                "  --fix writes {} to /{}",
                setting.value, setting.path
            );
        }
        if !fix.to_stay.is_empty() {
            let _ = writeln!(text, "to stay after a reboot: {}", fix.to_stay);
        }
        let _ = writeln!(
            text,
            "needs a reboot: {}",
            if fix.reboot { "yes" } else { "no" }
        );
    }
    text
}

/// Settings that were made, would be made, or were taken back.
pub fn settings(done: &[Done], verb: &str) -> String {
    if done.is_empty() {
        return "nothing to set\n".to_owned();
    }
    let mut text = String::new();
    for one in done {
        let path = place(&one.path);
        let (before, after) = (one_line(&one.before), one_line(&one.after));
        let _ = match &one.result {
            Ok(()) if before == after => writeln!(text, "  as it should be  {path}: {after}"),
            Ok(()) => writeln!(text, "  {verb}  {path}: {before} -> {after}"),
            Err(why) => writeln!(text, "  NOT {verb}  {path}: {before} -> {after}: {why}"),
        };
    }
    text
}

/// A value, or a file of some lines.
fn one_line(text: &str) -> String {
    if text.is_empty() {
        return "nothing".to_owned();
    }
    text.replace('\n', " | ")
}

fn histograms(measured: &Measured) -> String {
    let mut text = String::from("\nhistograms\n");
    for (name, durations) in measured.histograms() {
        histogram(&mut text, &name, durations);
    }
    for refused in &measured.refused {
        let _ = writeln!(text, "  not granted: {refused}");
    }
    text
}

/// Counts in ranges that double, with a bar: each sign more is ten times as many.
fn histogram(text: &mut String, name: &str, durations: &Durations) {
    let q = durations.quantiles();
    let _ = writeln!(
        text,
        "  {name}: p50 {}, p99 {}, p99.9 {}, max {}, {} samples",
        duration(q.p50_ns),
        duration(q.p99_ns),
        duration(q.p999_ns),
        duration(q.max_ns),
        q.count
    );
    for (end, count) in buckets(durations) {
        let digits = count
            .checked_ilog10()
            .map_or(0, |digits| digits as usize * 6 + 1);
        let _ = writeln!(
            text,
            "    below {:>9}  {count:>8}  {}",
            duration(end).to_string(),
            "#".repeat(digits)
        );
    }
}
