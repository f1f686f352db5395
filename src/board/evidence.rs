//! What a machine says of itself: device tree, module EEPROM, DMI, processor.
//!
//! It is read below a root, `/` or a captured tree. A link that leads out of a captured tree is not followed, or the
//! host would be taken for the captured machine.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The files read here have some hundred bytes; `/proc/cpuinfo` of a large machine has more.
const READ_MAX: u64 = 256 * 1024;

/// Something that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<T> {
    /// Where, from the root.
    pub path: String,
    /// What stands there, or why it is not known.
    pub found: Result<T, String>,
}

/// All that boards are told by.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The device tree's list, the most special entry first.
    pub compatible: Reading<Vec<String>>,
    pub model: Reading<String>,
    /// A Jetson module's id, `3767-0005`.
    pub module: Reading<String>,
    pub dmi_vendor: Reading<String>,
    pub dmi_product: Reading<String>,
    /// `x86_64`, or what it is instead.
    pub architecture: Reading<String>,
}

impl Evidence {
    pub fn read(root: &Path) -> Self {
        let tree = Tree::new(root);
        Self {
            compatible: tree
                .text("proc/device-tree/compatible")
                .map(|text| text.split('\0').map(str::to_owned).collect()),
            model: tree.text("proc/device-tree/model"),
            module: module(&tree),
            dmi_vendor: tree.text("sys/class/dmi/id/sys_vendor"),
            dmi_product: tree.text("sys/class/dmi/id/product_name"),
            architecture: tree
                .text("proc/cpuinfo")
                .and_then(|text| architecture(&text)),
        }
    }
}

impl<T> Reading<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Reading<U> {
        self.and_then(|found| Ok(change(found)))
    }

    fn and_then<U>(self, change: impl FnOnce(T) -> Result<U, String>) -> Reading<U> {
        Reading {
            path: self.path,
            found: self.found.and_then(change),
        }
    }
}

/// The files of a machine.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn new(root: &Path) -> Self {
        Self {
            root: fs::canonicalize(root).unwrap_or_else(|_| root.to_owned()),
        }
    }

    /// A file's text without the zero or the line end that closes it.
    fn text(&self, path: &str) -> Reading<String> {
        let found = self.bytes(path).and_then(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            match text.trim_matches(|c: char| c == '\0' || c.is_whitespace()) {
                "" => Err("empty".to_owned()),
                text => Ok(text.to_owned()),
            }
        });
        Reading {
            path: path.to_owned(),
            found,
        }
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        let plain = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => "not there".to_owned(),
            std::io::ErrorKind::PermissionDenied => "not readable without root".to_owned(),
            _ => error.to_string(),
        };
        let place = fs::canonicalize(self.root.join(path)).map_err(plain)?;
        if !place.starts_with(&self.root) {
            return Err("a link there leads out of the tree".to_owned());
        }
        let mut bytes = Vec::new();
        let file = File::open(place).map_err(plain)?;
        file.take(READ_MAX).read_to_end(&mut bytes).map_err(plain)?;
        Ok(bytes)
    }

    /// The EEPROMs at the address that NVIDIA gives its modules, on any bus.
    fn module_eeproms(&self) -> Vec<String> {
        let devices = "sys/bus/i2c/devices";
        let names = fs::read_dir(self.root.join(devices)).into_iter().flatten();
        let mut paths: Vec<String> = names
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.ends_with("-0050"))
            .map(|name| format!("{devices}/{name}/eeprom"))
            .collect();
        paths.sort();
        paths
    }
}

/// Where NVIDIA's firmware puts the part number of the module that it read from the EEPROM.
const SKU: &str = "proc/device-tree/chosen/nvidia,sku";
/// Where the part number stands in the EEPROM itself (NVIDIA's layout of the Jetson EEPROM).
const PART_NUMBER: std::ops::Range<usize> = 20..50;

/// The module's id: as the firmware handed it on, else from the EEPROM.
fn module(tree: &Tree) -> Reading<String> {
    let handed_on = tree.text(SKU).and_then(|text| {
        module_of(&text).ok_or_else(|| format!("`{text}` is no part number of a Jetson module"))
    });
    if handed_on.found.is_ok() {
        return handed_on;
    }
    let mut why_not = vec![handed_on];
    for path in tree.module_eeproms() {
        let found = tree.bytes(&path).and_then(|bytes| {
            let part = bytes.get(PART_NUMBER).unwrap_or_default();
            module_of(&String::from_utf8_lossy(part))
                .ok_or_else(|| "no part number of a Jetson module".to_owned())
        });
        if found.is_ok() {
            return Reading { path, found };
        }
        why_not.push(Reading { path, found });
    }
    let said = why_not
        .iter()
        .filter_map(|reading| Some((&reading.path, reading.found.as_ref().err()?)));
    let said: Vec<String> = said.map(|(path, why)| format!("{path}: {why}")).collect();
    Reading {
        path: "the module's EEPROM".to_owned(),
        found: Err(said.join("; ")),
    }
}

/// `3767-0005` of `699-13767-0005-300 W.1`: 699, a digit, the module's four, the SKU's four.
fn module_of(part_number: &str) -> Option<String> {
    let rest = part_number.strip_prefix("699-")?;
    let (module, sku) = (rest.get(1..5)?, rest.get(6..10)?);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let fits = digits(rest.get(..5)?) && rest.get(5..6)? == "-" && digits(sku);
    fits.then(|| format!("{module}-{sku}"))
}

/// From `/proc/cpuinfo`: on x86 the flag `lm` says that the processor is 64 bits wide; ARM has no `flags`.
fn architecture(cpuinfo: &str) -> Result<String, String> {
    let value = |key: &str| {
        let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.trim() == key).map(|(_, v)| v)
    };
    match (value("flags"), value("CPU implementer")) {
        (Some(flags), _) if flags.split_whitespace().any(|flag| flag == "lm") => {
            Ok("x86_64".to_owned())
        }
        (Some(_), _) => Ok("x86 of 32 bits".to_owned()),
        (None, Some(_)) => Ok("ARM".to_owned()),
        (None, None) => Err("it has neither x86's flags nor ARM's implementer".to_owned()),
    }
}
