//! What stands in board files besides numbers and text: core sets, USB ids, versions of the C library.

use std::fmt;

use serde::Deserialize;

/// Cores in the kernel's form, `"4-5"` or `"0-3,8"`: in order, none twice; at least one, if it was read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CoreSet(Vec<usize>);

/// No machine of this kind has more; it keeps a slip of the pen from filling memory.
const CORES_MAX: usize = 1024;

impl CoreSet {
    pub fn cores(&self) -> &[usize] {
        &self.0
    }

    pub fn has(&self, core: usize) -> bool {
        self.0.contains(&core)
    }

    /// The first core that both have.
    pub fn shared_with(&self, other: &Self) -> Option<usize> {
        self.0.iter().copied().find(|core| other.has(*core))
    }

    pub fn last(&self) -> usize {
        self.0.last().copied().unwrap_or_default()
    }

    /// Reads the kernel's form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
                return Err(format!(
                    "`{text}` is not a set of cores such as \"4-5\" or \"0-3,8\""
                ));
            };
            if first > last || last >= CORES_MAX {
                return Err(format!(
                    "`{part}` in `{text}` is no range of cores, from the lower to the higher, below {CORES_MAX}"
                ));
            }
            cores.extend(first..=last);
        }
        if !cores.is_sorted_by(|a, b| a < b) {
            return Err(format!(
                "`{text}` names a core twice, or not in order from the lower to the higher"
            ));
        }
        Ok(Self(cores))
    }
}

/// In order, each once.
impl FromIterator<usize> for CoreSet {
    fn from_iter<T: IntoIterator<Item = usize>>(cores: T) -> Self {
        let cores: std::collections::BTreeSet<usize> = cores.into_iter().collect();
        Self(cores.into_iter().collect())
    }
}

impl TryFrom<String> for CoreSet {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl fmt::Display for CoreSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut between = "";
        while let Some(&first) = rest.first() {
            let run = rest
                .iter()
                .enumerate()
                .take_while(|(n, core)| **core == first + n);
            let run = run.count();
            match run {
                1 => write!(f, "{between}{first}")?,
                _ => write!(f, "{between}{first}-{}", first + run - 1)?,
            }
            rest = &rest[run..];
            between = ",";
        }
        Ok(())
    }
}

/// A vendor and a product, `"0955:7523"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UsbId(String);

impl TryFrom<String> for UsbId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let is_half = |half: &str| {
            half.len() == 4 && half.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        match text.split_once(':') {
            Some((vendor, product)) if is_half(vendor) && is_half(product) => Ok(Self(text)),
            _ => Err(format!(
                "`{text}` is not a USB id such as \"0955:7523\", as lsusb prints it"
            )),
        }
    }
}

impl fmt::Display for UsbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of the GNU C library, `"2.35"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Glibc {
    pub major: u32,
    pub minor: u32,
}

impl TryFrom<String> for Glibc {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once('.');
        let numbers = parts.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let (major, minor) = numbers
            .ok_or_else(|| format!("`{text}` is not a version of glibc such as \"2.35\""))?;
        Ok(Self { major, minor })
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
