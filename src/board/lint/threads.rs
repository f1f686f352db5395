//! A plan that leaves something out, leaves the isolated cores, or has priorities out of order.

use super::mistake;
use crate::board::file::Board;
use crate::error::Fault;
use crate::rt::choice::{ClassChoice, ThreadChoice};

/// The threads of a board, in the order in which a frame meets them.
fn planned(board: &Board) -> [(&'static str, &ThreadChoice); 5] {
    let threads = &board.threads;
    [
        ("capture", &threads.capture),
        ("features", &threads.features),
        ("fusion", &threads.fusion),
        ("action", &threads.action),
        ("sensor", &threads.sensor),
    ]
}

pub(super) fn complete(board: &Board) -> Vec<Fault> {
    let mut found = Vec::new();
    let isolated = board.cores.isolated.as_ref();
    for (name, thread) in planned(board) {
        match (thread.core, isolated) {
            (Some(core), Some(isolated)) if !isolated.has(core) => found.push(mistake(
                format!("`threads.{name}.core` is {core}"),
                format!("`cores.isolated` is {isolated}: elsewhere other work gets in its way"),
                "name one of the isolated cores",
            )),
            (Some(core), None) => found.push(mistake(
                format!("`threads.{name}.core` is {core}"),
                "the board isolates no cores of its own, so which are there is for the machine to say",
                "leave the core out, or say which cores are isolated in [cores]",
            )),
            (None, Some(_)) => found.push(incomplete(name, "core")),
            _ => {}
        }
        if thread.class.is_none() {
            found.push(incomplete(name, "class"));
        }
        if thread.class == Some(ClassChoice::Fifo) && thread.priority.is_none() {
            found.push(incomplete(name, "priority"));
        }
        if thread.wait.is_none() {
            found.push(incomplete(name, "wait"));
        }
        found.extend(thread.check(name).err());
    }
    found
}

fn incomplete(name: &str, key: &str) -> Fault {
    mistake(
        format!("`threads.{name}` does not say its {key}"),
        "a board's plan says all, so that a reader need not know what is assumed",
        format!("add {key} to [threads.{name}]"),
    )
}

/// The action clock beats while an encoder works, and a frame is taken from the driver meanwhile.
pub(super) fn priorities(board: &Board) -> Vec<Fault> {
    let level = |thread: &ThreadChoice| match thread.class {
        Some(ClassChoice::Fifo) => thread.priority.map(|priority| priority.value()),
        Some(ClassChoice::Normal) => Some(0),
        None => None,
    };
    let threads = &board.threads;
    let above = [
        ("action", &threads.action, "capture", &threads.capture),
        ("action", &threads.action, "fusion", &threads.fusion),
        ("action", &threads.action, "sensor", &threads.sensor),
        ("capture", &threads.capture, "features", &threads.features),
        ("fusion", &threads.fusion, "features", &threads.features),
        ("sensor", &threads.sensor, "features", &threads.features),
    ];
    let mut found = Vec::new();
    for (upper, upper_thread, lower, lower_thread) in above {
        let (Some(high), Some(low)) = (level(upper_thread), level(lower_thread)) else {
            continue;
        };
        if high <= low {
            found.push(mistake(
                format!("`threads.{upper}.priority` ({high}) is not above that of {lower} ({low})"),
                format!("{lower} could then keep {upper} waiting on a core that they share"),
                "order them: action, then capture, fusion and sensor, then features",
            ));
        }
    }
    found
}
