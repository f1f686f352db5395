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
