//! What a machine says of itself: device tree, module EEPROM, DMI, processor.
//!
//! It is read below a root, `/` or a captured tree. A link that leads out of a captured tree is not followed, or the
//! host would be taken for the captured machine.

use std::path::Path;

use crate::board::tree::{Missing, Tree};

pub use crate::board::tree::Reading;

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
        Self::of(&Tree::new(root))
    }

    pub fn of(tree: &Tree) -> Self {
        Self {
            compatible: tree
                .text("proc/device-tree/compatible")
                .map(|text| text.split('\0').map(str::to_owned).collect()),
            model: tree.text("proc/device-tree/model"),
            module: module(tree),
            dmi_vendor: tree.text("sys/class/dmi/id/sys_vendor"),
            dmi_product: tree.text("sys/class/dmi/id/product_name"),
            architecture: tree
                .text("proc/cpuinfo")
                .and_then(|text| architecture(&text)),
        }
    }
}

/// The EEPROMs at the address that NVIDIA gives its modules, on any bus.
fn module_eeproms(tree: &Tree) -> Vec<String> {
    let devices = "sys/bus/i2c/devices";
    let names = tree.names(devices).unwrap_or_default().into_iter();
    names
        .filter(|name| name.ends_with("-0050"))
        .map(|name| format!("{devices}/{name}/eeprom"))
        .collect()
}

/// Where NVIDIA's firmware puts the part number of the module that it read from the EEPROM.
const SKU: &str = "proc/device-tree/chosen/nvidia,sku";
/// Where the part number stands in the EEPROM itself (NVIDIA's layout of the Jetson EEPROM).
const PART_NUMBER: std::ops::Range<usize> = 20..50;

/// The module's id: as the firmware handed it on, else from the EEPROM.
fn module(tree: &Tree) -> Reading<String> {
    let handed_on = tree.text(SKU).and_then(|text| {
        module_of(&text)
            .ok_or_else(|| other(format!("`{text}` is no part number of a Jetson module")))
    });
    if handed_on.found.is_ok() {
        return handed_on;
    }
    let mut why_not = vec![handed_on];
    for path in module_eeproms(tree) {
        let found = tree.bytes(&path).and_then(|bytes| {
            let part = bytes.get(PART_NUMBER).unwrap_or_default();
            module_of(&String::from_utf8_lossy(part))
                .ok_or_else(|| other("no part number of a Jetson module"))
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
        found: Err(Missing::Other(said.join("; "))),
    }
}

fn other(why: impl Into<String>) -> Missing {
    Missing::Other(why.into())
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
fn architecture(cpuinfo: &str) -> Result<String, Missing> {
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
        (None, None) => Err(other("it has neither x86's flags nor ARM's implementer")),
    }
}
