//! An estimate as text for the terminal, and as data.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::estimate::account::Account;
use crate::estimate::arrivals::Arrivals;
use crate::estimate::examples::Example;
use crate::estimate::figure::{Figure, Value, spell_time};
use crate::estimate::notes::Note;
use crate::estimate::setting::{Outcome, Setting};
use crate::telemetry::columns::align;

/// A comparison, ready to be shown.
#[derive(Clone, Debug)]
pub struct Answer {
    /// None for a setting of the user's own.
    pub example: Option<Example>,
    pub setting: Setting,
    pub outcome: Outcome,
    pub figures: Vec<Figure>,
}

/// What a person reads.
pub fn text(answer: &Answer) -> String {
    let title = match answer.example {
        Some(example) => format!("{}, {}", example.name(), example.title()),
        None => describe(&answer.setting),
    };
    let mut text = format!("{title}\n\n");
    let dash = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
    let head = ["", "the document", "exact", "why"].map(str::to_owned);
    let rows: Vec<Vec<String>> = std::iter::once(head.to_vec())
        .chain(answer.figures.iter().map(|figure| {
            let differs = figure.document.is_none_or(|said| said != figure.exact);
            let why = figure
                .notes
                .iter()
                .filter(|_| differs)
                .map(|note| note.id());
            vec![
                figure.name.clone(),
                dash(figure.document),
                figure.exact.to_string(),
                why.collect::<Vec<_>>().join(" "),
            ]
        }))
        .collect();
    for line in align(&rows) {
        let _ = writeln!(text, "  {line}");
    }
    text += &judged(answer);
    text += "\nWhy they differ\n";
    for note in notes(&answer.figures) {
        let words = format!("{} (section {})", note.text(), note.place());
        for (line, words) in wrap(&words).iter().enumerate() {
            let id = if line == 0 { note.id() } else { String::new() };
            let _ = writeln!(text, "  {id:<4}{words}");
        }
    }
    text
}

/// Characters of a line of words.
const WIDTH: usize = 100;

fn wrap(words: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + word.chars().count() >= WIDTH {
            lines.push(word.to_owned());
        } else {
            let gap = if lines[last].is_empty() { "" } else { " " };
            lines[last] += gap;
            lines[last] += word;
        }
    }
    lines
}

/// Against the goal, and whether it can go on like this.
fn judged(answer: &Answer) -> String {
    let mut text = String::new();
    let utilisation = answer.setting.utilisation();
    if utilisation > 1.0 {
        let _ = writeln!(
            text,
            "\n  {:.0} % of the work can be done: what cannot is dropped, or the latency grows for ever",
            100.0 / utilisation
        );
    }
    if let Some(goal) = answer.setting.goal {
        let longest = crate::units::Nanos(answer.outcome.stream.latency.max_ns);
        let met = if longest <= goal { "met" } else { "MISSED" };
        let _ = writeln!(
            text,
            "\n  goal of {} {met}: the longest latency of the stream is {}",
            spell_time(goal),
            spell_time(longest)
        );
    }
    text
}

/// The notes of these rows, each once, in order.
pub fn notes(figures: &[Figure]) -> Vec<Note> {
    let mut notes: Vec<Note> = figures
        .iter()
        .flat_map(|f| f.notes.iter().copied())
        .collect();
    notes.sort_unstable();
    notes.dedup();
    notes
}

/// A setting in words.
pub fn describe(setting: &Setting) -> String {
    let interval = spell_time(setting.interval());
    let arrivals = match &setting.arrivals {
        Arrivals::Periodic { .. } => format!("one each {interval}"),
        Arrivals::Poisson { .. } => format!("one each {interval} on average (Poisson)"),
        Arrivals::Listed(_) => format!("one each {interval} on average, as listed"),
    };
    let room = match setting.queue.room {
        None => "room for all".to_owned(),
        Some(room) => format!("room for {room}, {}", setting.queue.when_full.name()),
    };
    let workers = match setting.queue.workers {
        1 => "1 worker".to_owned(),
        n => format!("{n} workers"),
    };
    format!(
        "{} items, {arrivals}, {} of work each, {workers}, {room}",
        setting.items,
        spell_time(setting.work.mean())
    )
}

/// The whole, for programs.
pub fn json(answer: &Answer) -> Json {
    let notes: Vec<Json> = notes(&answer.figures)
        .into_iter()
        .map(|note| json!({"id": note.id(), "place": note.place(), "text": note.text()}))
        .collect();
    let setting = &answer.setting;
    json!({
        "schema": "reflexarc estimate 1",
        "example": answer.example.map(Example::name),
        "setting": {
            "description": describe(setting),
            "items": setting.items,
            "interval_ns": setting.interval().0,
            "work_ns": setting.work.mean().0,
            "workers": setting.queue.workers,
            "room": setting.queue.room,
            "when_full": setting.queue.when_full.name(),
            "item_bytes": setting.item_bytes,
            "utilisation": setting.utilisation(),
            "goal_ns": setting.goal.map(|goal| goal.0),
        },
        "figures": answer.figures,
        "batch": account(&answer.outcome.batch),
        "stream": account(&answer.outcome.stream),
        "notes": notes,
    })
}

fn account(account: &Account) -> Json {
    serde_json::to_value(account).unwrap_or_default()
}
