//! Boards as text: a list, a table for the docs, a whole board with its sources, and what detection found.

use std::fmt::{Display, Write as _};

use crate::board::detect::{Detection, Says};
use crate::board::evidence::Reading;
use crate::board::fact::{Entry, Fact, Verified};
use crate::board::file::{Board, BoardFile, CameraStack, Origin};
use crate::board::tree::Missing;

/// One line a board, for a terminal.
pub fn list(boards: &[BoardFile]) -> String {
    let rows: Vec<[String; 4]> = boards
        .iter()
        .map(|file| {
            let board = &file.board;
            let isolated = or_machine(board.cores.isolated.as_ref());
            let place = match &file.origin {
                Origin::BuiltIn => "built in".to_owned(),
                Origin::File(path) => path.display().to_string(),
            };
            [board.name.clone(), isolated, board.title.clone(), place]
        })
        .collect();
    let heads = ["board", "isolated", "is", "from"].map(str::to_owned);
    let width = |column: usize| {
        let all = rows.iter().chain([&heads]);
        all.map(|row| row[column].len()).max().unwrap_or_default()
    };
    let widths: [usize; 3] = std::array::from_fn(width);
    let mut text = String::new();
    for [name, isolated, title, place] in [&heads].into_iter().chain(&rows) {
        let [a, b, c] = widths;
        let _ = writeln!(text, "{name:a$}  {isolated:b$}  {title:c$}  {place}");
    }
    text
}

/// The table of `boards/README.md`.
pub fn markdown(boards: &[BoardFile]) -> String {
    let mut text = String::from(
        "| board | cores | isolated | CUDA | cameras | real-time kernel | flash | USB recovery | target, newest glibc | facts: all, seen on hardware, in an emulator |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for file in boards {
        let board = &file.board;
        let cores = match (&board.cores.count, &board.cores.kind) {
            (Some(count), Some(kind)) => format!("{} {}", count.value, kind.value),
            (Some(count), None) => count.value.to_string(),
            _ => "as the machine has".to_owned(),
        };
        let _ = writeln!(
            text,
            "| [`{name}`]({name}/board.toml) | {cores} | {} | {} | {} | {} | {} | {} | {} | {} |",
            or_machine(board.cores.isolated.as_ref()),
            shown(board.gpu.cuda.as_ref(), |sm| format!("sm_{sm}")),
            joined(board.cameras.stacks.value.iter().map(|stack| stack.name())),
            joined(board.kernel.packages.keys()),
            board.flash.recipe.name(),
            shown(board.usb.recovery.as_ref(), |ids| joined(ids)),
            built_for(board),
            counted(&file.entries()),
            name = board.name,
        );
    }
    text
}

fn or_machine(set: Option<&impl Display>) -> String {
    set.map_or_else(|| "as booted".to_owned(), ToString::to_string)
}

fn shown<T>(fact: Option<&Fact<T>>, in_words: impl Fn(&T) -> String) -> String {
    fact.map_or_else(|| "-".to_owned(), |fact| in_words(&fact.value))
}

fn joined<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.as_slice() {
        [] => "-".to_owned(),
        items => items.join(", "),
    }
}

fn built_for(board: &Board) -> String {
    let glibc = board.build.glibc.as_ref();
    let glibc = glibc.map_or_else(String::new, |fact| format!(", {}", fact.value));
    format!("`{}`{glibc}", board.build.target)
}

/// `21, 0, 3`.
fn counted(entries: &[Entry]) -> String {
    let facts: Vec<_> = entries.iter().filter_map(|e| e.fact.as_ref()).collect();
    let seen = |verified| {
        facts
            .iter()
            .filter(|f| f.verified == Some(verified))
            .count()
    };
    let (hardware, emulator) = (seen(Verified::Hardware), seen(Verified::Emulator));
    format!("{}, {hardware}, {emulator}", facts.len())
}

impl CameraStack {
    pub fn name(self) -> &'static str {
        match self {
            Self::Uvc => "uvc",
            Self::V4l2 => "v4l2",
            Self::Argus => "argus",
            Self::Sipl => "sipl",
            Self::HoloscanSensorBridge => "holoscan-sensor-bridge",
            Self::Libcamera => "libcamera",
            Self::Vivid => "vivid",
        }
    }
}

/// All that a file says, each fact with its source and whether it was verified.
pub fn show(file: &BoardFile) -> String {
    let (mut text, mut section) = (String::new(), String::new());
    let _ = writeln!(text, "{}\nfrom {}", file.board.title, file.name());
    for entry in file.entries() {
        let (above, key) = match entry.key.split_once('.') {
            Some((above, key)) => (above, key),
            None => ("", entry.key.as_str()),
        };
        if above.is_empty() {
            continue;
        }
        if above != section {
            let _ = writeln!(text, "\n{above}");
            above.clone_into(&mut section);
        }
        let _ = writeln!(text, "  {key} = {}", entry.value);
        if let Some(proof) = &entry.fact {
            let verified = proof.verified.map_or("not verified", Verified::in_words);
            let _ = writeln!(text, "      {verified}; source: {}", proof.source);
            if !proof.note.is_empty() {
                let _ = writeln!(text, "      note: {}", proof.note);
            }
        }
    }
    text
}

/// What was found, what was read, and what spoke against the others.
pub fn detection(detection: &Detection, root: &str) -> String {
    let mut text = String::new();
    match &detection.found {
        Some(board) => {
            let _ = writeln!(text, "board: {board}\n  since {}", detection.why);
        }
        None => {
            let _ = writeln!(text, "board: unknown\n  since {}", detection.why);
        }
    }
    let _ = writeln!(text, "\nread from {root}");
    let evidence = &detection.evidence;
    let compatible = evidence.compatible.found.as_ref();
    line(
        &mut text,
        &evidence.compatible.path,
        compatible.map(|all| all.join(", ")),
    );
    for reading in [
        &evidence.model,
        &evidence.module,
        &evidence.dmi_vendor,
        &evidence.dmi_product,
        &evidence.architecture,
    ] {
        let Reading { path, found } = reading;
        line(&mut text, path, found.as_ref().cloned());
    }
    let _ = writeln!(text, "\nother boards");
    for considered in &detection.considered {
        if detection.found.as_ref() == Some(&considered.board) {
            continue;
        }
        let against = considered
            .findings
            .iter()
            .filter(|f| f.says == Says::Against);
        let mut reasons: Vec<&str> = against.map(|f| f.in_words.as_str()).collect();
        if reasons.is_empty() && considered.holds() {
            reasons.push("it holds too");
        } else if reasons.is_empty() {
            let read = considered
                .findings
                .iter()
                .filter(|f| f.says == Says::Nothing);
            reasons.extend(read.map(|f| f.in_words.as_str()));
        }
        let _ = writeln!(text, "  {}: {}", considered.board, reasons.join("; "));
    }
    text
}

fn line(text: &mut String, path: &str, found: Result<String, &Missing>) {
    let _ = match found {
        Ok(found) => writeln!(text, "  {path}: {found}"),
        Err(why) => writeln!(text, "  {path}: unknown ({why})"),
    };
}
