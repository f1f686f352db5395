//! Ids by which a board is told or flashed, and which two boards may therefore not share.

use super::mistake;
use crate::board::file::Board;
use crate::board::values::UsbId;
use crate::error::Fault;

/// An id that waits for flashing must mean nothing else, here or on another board. Boards of a family do share the
/// ids of a board that runs.
pub(super) fn usb_ids(board: &Board, other: &Board) -> Vec<Fault> {
    let usb = &board.usb;
    let recovery = ("usb.recovery", &usb.recovery);
    let running = [("usb.flashing", &usb.flashing), ("usb.booted", &usb.booted)];
    let mut pairs = Vec::new();
    if board.name == other.name {
        pairs.extend(running.map(|(_, theirs)| (recovery, theirs)));
    } else {
        let theirs = &other.usb;
        pairs.extend([
            (recovery, &theirs.recovery),
            (recovery, &theirs.flashing),
            (recovery, &theirs.booted),
        ]);
        pairs.extend(running.map(|ours| (ours, &theirs.recovery)));
    }
    let mut found = Vec::new();
    for ((key, ours), theirs) in pairs {
        let theirs: Vec<&UsbId> = theirs.iter().flat_map(|fact| &fact.value).collect();
        let ours = ours.iter().flat_map(|fact| &fact.value);
        found.extend(ours.filter(|id| theirs.contains(id)).map(|id| {
            mistake(
                format!("`{key}` has {id}"),
                format!("{} has it too, for another board or state, and an id of recovery decides what is written", other.name),
                "leave it with the board and the state that it belongs to",
            )
        }));
    }
    found
}

pub(super) fn identities(board: &Board, other: &Board) -> Vec<Fault> {
    let mut found = Vec::new();
    let lists = [
        (
            "compatible",
            &board.identity.compatible,
            &other.identity.compatible,
        ),
        ("module", &board.identity.module, &other.identity.module),
    ];
    for (key, ours, theirs) in lists {
        let ours = ours.iter().flat_map(|fact| &fact.value);
        let theirs: Vec<&String> = theirs.iter().flat_map(|fact| &fact.value).collect();
        found.extend(ours.filter(|id| theirs.contains(id)).map(|id| {
            mistake(
                format!("`identity.{key}` has {id}"),
                format!("{} has it too, so neither could be found by it", other.name),
                "leave it with the board that it belongs to",
            )
        }));
    }
    found
}
