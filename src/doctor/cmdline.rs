//! The kernel's command line, taken apart.

use crate::rt::plan::parse_core_list;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    arguments: Vec<(String, Option<String>)>,
}

impl CommandLine {
    /// What stands after ` -- ` is for the first process, not for the kernel.
    pub fn parse(text: &str) -> Self {
        let words = text.split_whitespace().take_while(|word| *word != "--");
        let apart = |word: &str| match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word.to_owned(), None),
        };
        Self {
            arguments: words.map(apart).collect(),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.arguments.iter().any(|(known, _)| known == name)
    }

    /// The last value of an argument: the kernel takes that one.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut known = self.arguments.iter().rev();
        known.find(|(known, _)| known == name)?.1.as_deref()
    }

    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let known = self
            .arguments
            .iter()
            .filter(move |(known, _)| known == name);
        known.filter_map(|(_, value)| value.as_deref())
    }

    /// Cores that an argument lists; words before them, as in `managed_irq,domain,4-5`, are left out.
    pub fn cores(&self, name: &str) -> Option<Vec<usize>> {
        let value = self.value(name)?;
        let parts = value.split(',');
        let cores: Vec<&str> = parts
            .filter(|part| part.starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        Some(parse_core_list(&cores.join(",")))
    }

    /// The wanted `name=value` that do not stand here. Lists of cores are compared as cores.
    pub fn lacks(&self, wanted: &[String]) -> Vec<String> {
        let stands = |argument: &String| {
            let wanted = Self::parse(argument);
            wanted.arguments.iter().all(|(name, value)| {
                self.arguments
                    .iter()
                    .any(|known| known == &(name.clone(), value.clone()))
                    || (value.is_some() && self.has_cores(name, &wanted))
            })
        };
        wanted.iter().filter(|w| !stands(w)).cloned().collect()
    }

    fn has_cores(&self, name: &str, wanted: &Self) -> bool {
        match (self.cores(name), wanted.cores(name)) {
            (Some(here), Some(there)) => {
                !there.is_empty() && there.iter().all(|core| here.contains(core))
            }
            _ => false,
        }
    }
}

/// Arguments that keep a core for one purpose.
pub const OF_ISOLATION: [&str; 12] = [
    "isolcpus",
    "nohz",
    "nohz_full",
    "rcu_nocbs",
    "rcu_nocb_poll",
    "irqaffinity",
    "kthread_cpus",
    "threadirqs",
    "preempt",
    "skew_tick",
    "idle",
    "cpuidle.off",
];

/// An argument that is one of those, or was meant to be: at most two letters differ.
pub fn is_of_isolation(argument: &str) -> bool {
    let name = argument.split('=').next().unwrap_or_default();
    // Of a short name two letters are too much: `nosmt` is not `nohz`.
    let allowed = |known: &str| if known.len() > 6 { 2 } else { 0 };
    OF_ISOLATION
        .iter()
        .any(|known| distance(name, known) <= allowed(known))
}

/// How many letters have to be put in, taken out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = before + usize::from(x != y);
            before = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_argument_is_known_for_what_it_was_meant_to_be() {
        for argument in [
            "nohz_full=3",
            "nozh_full=3",
            "isolcpu=2-3",
            "rcu_nocb=3",
            "irq_affinity=0",
        ] {
            assert!(is_of_isolation(argument), "{argument}");
        }
        for argument in [
            "splash",
            "nosmt",
            "BOOT_IMAGE=/vmlinuz",
            "token=abc",
            "key=isolcpus",
        ] {
            assert!(!is_of_isolation(argument), "{argument}");
        }
    }
}
