//! The names of the 1000 ImageNet classes, in the order of the encoder's outputs. A name may list
//! synonyms: "tabby, tabby cat".

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Fault, Kind, Result};

/// Classes of ImageNet-1k, and outputs of the encoder's last layer.
pub const CLASS_COUNT: usize = 1000;

/// Reads the cached list: 1000 names, index = class.
///
/// # Errors
/// [`Kind::Model`] if the file is missing or holds something else.
pub fn load(file: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(file).map_err(|e| {
        Fault::from_io(
            format!("cannot read the class names in {}", file.display()),
            &e,
            Kind::Model,
            "run `reflexarc models fetch`",
        )
    })?;
    let names: Vec<String> =
        serde_json::from_slice(&bytes).map_err(|e| damaged(file, &e.to_string()))?;
    match names.len() {
        CLASS_COUNT => Ok(names),
        n => Err(damaged(
            file,
            &format!("{n} names instead of {CLASS_COUNT}"),
        )),
    }
}

fn damaged(file: &Path, why: &str) -> Fault {
    Fault::new(
        Kind::Model,
        format!("{} is not a list of class names", file.display()),
        why,
        "run `reflexarc models fetch` to replace it",
    )
}

/// The synonyms in a name, as written: "tabby, tabby cat" gives "tabby" and "tabby cat".
pub fn synonyms(name: &str) -> impl Iterator<Item = &str> {
    name.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Makes the cached list out of the package's `{"0": "tench, Tinca tinca", ...}`.
pub(super) fn convert(json: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let by_number: HashMap<u32, String> =
        serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let names = (0..)
        .take(CLASS_COUNT)
        .map(|class| {
            by_number
                .get(&class)
                .ok_or(format!("class {class} has no name"))
        })
        .collect::<std::result::Result<Vec<_>, _>>()?;
    if by_number.len() != CLASS_COUNT {
        return Err(format!(
            "{} classes instead of {CLASS_COUNT}",
            by_number.len()
        ));
    }
    let mut bytes = serde_json::to_vec_pretty(&names).map_err(|e| e.to_string())?;
    bytes.push(b'\n');
    Ok(bytes)
}
