//! Core sets that overlap or name what the board lacks, and kernel arguments that isolate other cores.

use super::mistake;
use crate::board::file::Board;
use crate::board::values::CoreSet;
use crate::error::Fault;

pub(super) fn sets(board: &Board) -> Vec<Fault> {
    let cores = &board.cores;
    let mut found = Vec::new();
    if let (Some(isolated), Some(housekeeping)) = (&cores.isolated, &cores.housekeeping)
        && let Some(core) = isolated.shared_with(housekeeping)
    {
        found.push(mistake(
            format!("core {core} is in `cores.isolated` and in `cores.housekeeping`"),
            "an isolated core is kept free of everything else",
            "leave it in one of the two sets",
        ));
    }
    let clusters = cores.clusters.iter().flat_map(|fact| &fact.value);
    let clusters: Vec<&CoreSet> = clusters.collect();
    for (at, cluster) in clusters.iter().enumerate() {
        for before in &clusters[..at] {
            if let Some(core) = cluster.shared_with(before) {
                found.push(mistake(
                    format!("core {core} is in two sets of `cores.clusters`"),
                    "a core has one clock and one cache",
                    "leave it in one of them",
                ));
            }
        }
    }
    let Some(count) = cores.count.as_ref().map(|fact| fact.value) else {
        return found;
    };
    let sets = [
        ("cores.isolated", cores.isolated.as_ref()),
        ("cores.housekeeping", cores.housekeeping.as_ref()),
        (
            "cores.clusters",
            clusters.iter().copied().max_by_key(|set| set.last()),
        ),
    ];
    for (key, set) in sets {
        if let Some(set) = set.filter(|set| set.last() >= count) {
            found.push(mistake(
                format!("`{key}` has core {}", set.last()),
                format!(
                    "the board has {count} cores, from 0 to {}",
                    count.saturating_sub(1)
                ),
                "correct the set, or cores.count",
            ));
        }
    }
    found
}

/// Arguments of the kernel that take a set of cores, and the set that each must be.
pub(super) fn isolation(board: &Board) -> Vec<Fault> {
    let Some(isolated) = &board.cores.isolated else {
        return Vec::new();
    };
    let given = board.boot.arguments.iter().flat_map(|fact| &fact.value);
    let given: Vec<(&str, &str)> = given.filter_map(|text| text.split_once('=')).collect();
    let wanted = [
        ("isolcpus", "cores.isolated", Some(isolated)),
        ("nohz_full", "cores.isolated", Some(isolated)),
        ("rcu_nocbs", "cores.isolated", Some(isolated)),
        (
            "irqaffinity",
            "cores.housekeeping",
            board.cores.housekeeping.as_ref(),
        ),
    ];
    let mut found = Vec::new();
    for (argument, key, set) in wanted {
        let Some(set) = set else { continue };
        let value = given.iter().find(|(name, _)| *name == argument);
        let fix = format!("write it for the cores {set}, or correct {key}");
        let what = match value {
            None => format!("`boot.arguments` has no {argument}"),
            Some((_, value)) if cores_of(value).as_ref() == Ok(set) => continue,
            Some((_, value)) => format!("`boot.arguments` has {argument}={value}"),
        };
        found.push(mistake(what, format!("`{key}` is {set}"), fix));
    }
    found
}

/// `managed_irq,domain,4-5` without the flags.
fn cores_of(value: &str) -> Result<CoreSet, String> {
    let is_flag = |part: &&str| !part.starts_with(|c: char| c.is_ascii_digit());
    let cores: Vec<&str> = value.split(',').skip_while(is_flag).collect();
    CoreSet::parse(&cores.join(","))
}

pub(super) fn forbidden_arguments(board: &Board) -> Vec<Fault> {
    let given = board.boot.arguments.iter().flat_map(|fact| &fact.value);
    let forbidden: Vec<&String> = board
        .boot
        .forbidden
        .iter()
        .flat_map(|fact| &fact.value)
        .collect();
    let is_forbidden = |argument: &&String| {
        let name = argument.split('=').next().unwrap_or_default();
        forbidden.iter().any(|forbidden| *forbidden == name)
    };
    let mistakes = given.filter(is_forbidden).map(|argument| {
        mistake(
            format!("`boot.arguments` has {argument}"),
            "`boot.forbidden` says that it does harm on this board",
            "remove it",
        )
    });
    mistakes.collect()
}
