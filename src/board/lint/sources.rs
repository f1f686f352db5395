//! Facts without a source, and sources without a fact.

use super::mistake;
use crate::board::file::BoardFile;
use crate::error::Fault;

pub(super) fn named(file: &BoardFile) -> Vec<Fault> {
    let known = &file.board.sources;
    let entries = file.entries();
    let facts = entries
        .iter()
        .filter_map(|e| Some((&e.key, e.fact.as_ref()?)));
    let facts: Vec<_> = facts.collect();
    let mut found = Vec::new();
    for (key, fact) in &facts {
        if fact.source.is_empty() {
            found.push(mistake(
                format!("`{key}` is a fact without a source"),
                "nobody can check it",
                "add source = \"KEY\", and what KEY stands for under [sources]",
            ));
        } else if !known.contains_key(&fact.source) {
            found.push(mistake(
                format!("`{key}` names the source `{}`", fact.source),
                "[sources] has no such key",
                "add it there with its address, or name another",
            ));
        }
    }
    for (source, address) in known {
        if !facts.iter().any(|(_, fact)| fact.source == *source) || address.trim().is_empty() {
            found.push(mistake(
                format!("`sources.{source}` says nothing or is named by no fact"),
                "a list of sources is for checking facts",
                "give its address, or remove it",
            ));
        }
    }
    found
}
