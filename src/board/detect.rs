//! Which board this is: the one whose identity holds, with the evidence; and for every other, what spoke against it.
//!
//! A board is found only if something that identifies it was read and holds, and nothing that it lists was read and
//! does not hold. Two boards that both hold are none: unknown is never a guess. A file for a kind of machine
//! (`x86-64`) holds only where no file names the machine itself.

use crate::board::evidence::{Evidence, Reading};
use crate::board::file::{BoardFile, Identity};

/// How something that an identity lists compares with what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    For,
    Against,
    /// It could not be read.
    Nothing,
}

/// One thing that an identity lists.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The key in `[identity]`.
    pub key: &'static str,
    pub says: Says,
    pub in_words: String,
}

impl Finding {
    /// A model's name is written by people and changes; it can speak against a board and cannot identify one.
    fn identifies(&self) -> bool {
        self.says == Says::For && self.key != "model"
    }
}

/// A board and what the evidence says of it.
#[derive(Clone, Debug)]
pub struct Considered {
    pub board: String,
    pub findings: Vec<Finding>,
    of_one_machine: bool,
}

impl Considered {
    fn new(file: &BoardFile, evidence: &Evidence) -> Self {
        Self {
            board: file.board.name.clone(),
            findings: compare(&file.board.identity, evidence),
            of_one_machine: file.board.identity.is_of_one_machine(),
        }
    }

    /// It is identified, and nothing speaks against it.
    pub fn holds(&self) -> bool {
        let against = self.findings.iter().any(|f| f.says == Says::Against);
        !against && self.findings.iter().any(Finding::identifies)
    }
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Detection {
    /// The board's name; None: unknown.
    pub found: Option<String>,
    /// Why it is this one, or why none, in one sentence.
    pub why: String,
    /// All boards, in the registry's order.
    pub considered: Vec<Considered>,
    pub evidence: Evidence,
}

/// Compares every board with the evidence.
pub fn detect(boards: &[BoardFile], evidence: Evidence) -> Detection {
    let considered: Vec<Considered> = boards
        .iter()
        .map(|file| Considered::new(file, &evidence))
        .collect();
    let mut held: Vec<&Considered> = considered.iter().filter(|c| c.holds()).collect();
    if held.iter().any(|c| c.of_one_machine) {
        held.retain(|c| c.of_one_machine);
    }
    let (found, why) = match held.as_slice() {
        [] => (None, unknown(&considered)),
        [one] => {
            let reasons = one.findings.iter().filter(|f| f.says == Says::For);
            let reasons: Vec<&str> = reasons.map(|f| f.in_words.as_str()).collect();
            (Some(one.board.clone()), reasons.join("; "))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|c| c.board.as_str()).collect();
            let names = names.join(" and ");
            let why = format!("the files of {names} both hold here, and nothing tells them apart");
            (None, why)
        }
    };
    Detection {
        found,
        why,
        considered,
        evidence,
    }
}

/// Why none: the boards that something spoke for are the ones that a reader asks about.
fn unknown(considered: &[Considered]) -> String {
    let near: Vec<String> = considered
        .iter()
        .filter(|c| c.findings.iter().any(Finding::identifies))
        .filter_map(|c| {
            let against = c.findings.iter().find(|f| f.says == Says::Against)?;
            Some(format!("{} is near, but {}", c.board, against.in_words))
        })
        .collect();
    match near.as_slice() {
        [] => "nothing that could be read here is in the identity of a known board".to_owned(),
        near => near.join("; "),
    }
}

fn compare(identity: &Identity, evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(fact) = &identity.compatible {
        findings.push(one_of("compatible", &fact.value, &evidence.compatible));
    }
    if let Some(fact) = &identity.model {
        findings.push(model(&fact.value, evidence));
    }
    if let Some(fact) = &identity.module {
        findings.push(one_of("module", &fact.value, &listed(&evidence.module)));
    }
    if let Some(fact) = &identity.dmi {
        let vendor = contains("dmi", &fact.value.vendor, &evidence.dmi_vendor);
        let product = contains("dmi", &fact.value.product, &evidence.dmi_product);
        findings.push(both(vendor, product));
    }
    if let Some(fact) = &identity.architecture {
        let wanted = std::slice::from_ref(&fact.value);
        findings.push(one_of(
            "architecture",
            wanted,
            &listed(&evidence.architecture),
        ));
    }
    findings
}

/// A device tree that names no model is not that of a board that does.
fn model(wanted: &str, evidence: &Evidence) -> Finding {
    let finding = contains("model", wanted, &evidence.model);
    match (&evidence.compatible.found, &evidence.model.found) {
        (Ok(_), Err(_)) => Finding {
            says: Says::Against,
            in_words: format!("{}, and not \"{wanted}\"", finding.in_words),
            ..finding
        },
        _ => finding,
    }
}

fn listed(read: &Reading<String>) -> Reading<Vec<String>> {
    Reading {
        path: read.path.clone(),
        found: read.found.clone().map(|text| vec![text]),
    }
}

/// For, if both are; against, if one is; else nothing.
fn both(a: Finding, b: Finding) -> Finding {
    let says = match (a.says, b.says) {
        (Says::For, Says::For) => Says::For,
        (Says::Against, _) | (_, Says::Against) => Says::Against,
        _ => Says::Nothing,
    };
    let parts = [a, b].into_iter().filter(|part| part.says == says);
    let in_words: Vec<String> = parts.map(|part| part.in_words).collect();
    Finding {
        key: "dmi",
        says,
        in_words: in_words.join("; "),
    }
}

/// One of the wanted is among what was read.
fn one_of(key: &'static str, wanted: &[String], read: &Reading<Vec<String>>) -> Finding {
    let path = &read.path;
    let (says, in_words) = match &read.found {
        Err(why) => (Says::Nothing, format!("{path}: {why}")),
        Ok(found) => match wanted.iter().find(|wanted| found.contains(wanted)) {
            Some(held) => (Says::For, format!("{path} says {held}")),
            None => {
                let (found, wanted) = (found.join(", "), wanted.join(", "));
                (Says::Against, format!("{path} says {found}, not {wanted}"))
            }
        },
    };
    Finding {
        key,
        says,
        in_words,
    }
}

/// What was read has the wanted in it.
fn contains(key: &'static str, wanted: &str, read: &Reading<String>) -> Finding {
    let path = &read.path;
    let (says, in_words) = match &read.found {
        Err(why) => (Says::Nothing, format!("{path}: {why}")),
        Ok(found) if found.contains(wanted) => (Says::For, format!("{path} says \"{found}\"")),
        Ok(found) => (
            Says::Against,
            format!("{path} says \"{found}\", without \"{wanted}\""),
        ),
    };
    Finding {
        key,
        says,
        in_words,
    }
}
