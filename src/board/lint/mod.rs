//! Mistakes in board files that no single key shows. Each is a fault with file, line, why and fix, and all are
//! found at once.

// Core sets, and the kernel's arguments that isolate them.
mod cores;

// The plan's threads.
mod threads;

// Facts and their sources.
mod sources;

// What two boards may not share.
mod ids;

use crate::board::file::{Board, BoardFile};
use crate::error::{Fault, Kind};

/// All mistakes of all files, file by file.
pub fn lint(files: &[BoardFile]) -> Vec<Fault> {
    let mut mistakes = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let board = &file.board;
        let mut found = Vec::new();
        found.extend(name(file));
        found.extend(identity(board));
        found.extend(cores::sets(board));
        found.extend(cores::isolation(board));
        found.extend(cores::forbidden_arguments(board));
        found.extend(power(board));
        found.extend(threads::complete(board));
        found.extend(threads::priorities(board));
        found.extend(sources::named(file));
        for other in &files[..at] {
            found.extend(ids::usb_ids(board, &other.board));
            found.extend(ids::identities(board, &other.board));
        }
        found.extend(ids::usb_ids(board, board));
        mistakes.extend(found.into_iter().map(|fault| file.locate(fault)));
    }
    mistakes
}

fn mistake(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Fault {
    Fault::new(Kind::Config, what, why, fix)
}

fn name(file: &BoardFile) -> Option<Fault> {
    let name = &file.board.name;
    let place = file.name();
    let folder = place.split('/').rev().nth(1)?;
    if folder == name && name != "auto" {
        return None;
    }
    Some(mistake(
        format!("{place}: the board `{name}` stands in the folder `{folder}`"),
        "a board is found by its folder, and `auto` is not a board",
        "give the folder and `name` the same name",
    ))
}

fn identity(board: &Board) -> Option<Fault> {
    let identity = &board.identity;
    let lists = [&identity.compatible, &identity.module];
    let mut texts = lists.into_iter().flatten().flat_map(|fact| &fact.value);
    if texts.any(String::is_empty) || identity.compatible.iter().any(|f| f.value.is_empty()) {
        return Some(mistake(
            "`identity.compatible` or `identity.module` lists nothing",
            "nothing holds everywhere, or nowhere",
            "write what the board says of itself, or leave the key out",
        ));
    }
    if identity.is_of_one_machine() || identity.architecture.is_some() {
        return None;
    }
    Some(mistake(
        "`identity.model` alone identifies no board",
        "names for people change; a board is told by compatible, module, dmi or architecture",
        "add one of those",
    ))
}

fn power(board: &Board) -> Vec<Fault> {
    let modes = board.power.modes.iter().flat_map(|fact| &fact.value);
    let numbers = modes.filter(|mode| mode.bytes().all(|b| b.is_ascii_digit()));
    let mistakes = numbers.map(|mode| {
        mistake(
            format!("`power.modes` has the number {mode}"),
            "the same number is another mode on another module: 0 is MAXN on one and 15 W on the next",
            "write the mode's name, as it stands in the tool's table",
        )
    });
    mistakes.collect()
}
