//! An examination: every check's outcome, and their sum.

use serde::{Deserialize, Serialize};

use crate::doctor::check::{Check, Outcome, Setting, Status, Way};
use crate::doctor::checks;
use crate::doctor::fix;
use crate::doctor::view::View;

/// A check and what it found.
#[derive(Clone, Debug)]
pub struct Finding {
    pub check: Check,
    pub outcome: Outcome,
}

/// How many checks came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub pass: usize,
    pub warn: usize,
    pub fail: usize,
    pub unknown: usize,
    pub not_applicable: usize,
}

impl Counts {
    fn of(findings: &[Finding]) -> Self {
        let count = |status| {
            findings
                .iter()
                .filter(|f| f.outcome.status == status)
                .count()
        };
        Self {
            pass: count(Status::Pass),
            warn: count(Status::Warn),
            fail: count(Status::Fail),
            unknown: count(Status::Unknown),
            not_applicable: count(Status::NotApplicable),
        }
    }

    /// `31 pass, 4 warn, 3 fail, 5 unknown, 9 not applicable`.
    pub fn in_words(&self) -> String {
        let counts = [
            self.pass,
            self.warn,
            self.fail,
            self.unknown,
            self.not_applicable,
        ];
        let named = Status::ALL.iter().zip(counts);
        named
            .map(|(status, count)| format!("{count} {}", status.name()))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Examination {
    pub findings: Vec<Finding>,
    pub counts: Counts,
}

impl Examination {
    /// Makes all checks.
    pub fn all(view: &View<'_>) -> Self {
        Self::of(view, |_| true)
    }

    /// Makes the checks that only read files.
    pub fn passive(view: &View<'_>) -> Self {
        Self::of(view, |check| check.way == Way::Passive)
    }

    fn of(view: &View<'_>, is_wanted: impl Fn(&Check) -> bool) -> Self {
        let wanted = checks::all().into_iter().filter(is_wanted);
        let findings: Vec<Finding> = wanted
            .map(|check| Finding {
                outcome: (check.look)(view),
                check,
            })
            .collect();
        let counts = Counts::of(&findings);
        Self { findings, counts }
    }

    pub fn find(&self, id: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.check.id == id)
    }

    /// What `--fix` sets: every file once, by the first check that wants it.
    pub fn settings(&self) -> Vec<Setting> {
        let fixes = self
            .findings
            .iter()
            .filter_map(|finding| finding.outcome.fix.as_ref());
        fix::once(fixes.flat_map(|fix| &fix.settings))
    }

    /// Every check passes, or has nothing to be about.
    pub fn is_fine(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.outcome.status.is_fine())
    }
}
