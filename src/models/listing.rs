//! The catalog as text: what `reflexarc models list` prints.

use std::fmt;

use super::catalog::Origin;
use super::progress::Megabytes;
use super::store::{Listed, State};

/// Shows each package with its version, licence and origin, and under it each file with its state, size
/// and SHA-256.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a>(pub &'a [Listed]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for of_package in self.0.chunk_by(|a, b| a.package.name == b.package.name) {
            let package = of_package[0].package;
            let origin = match package.origin {
                Origin::Pip { .. } => "pip",
                Origin::Debian => "apt-get",
            };
            writeln!(
                f,
                "{} {} [{}]\n  by {origin}, {}; licence: {}",
                package.name,
                package.version,
                package.group.name(),
                Megabytes(package.archive_bytes),
                package.licence
            )?;
            for Listed { item, state, .. } in of_package {
                let state = match state {
                    State::Present => "present",
                    State::Missing => "missing",
                    State::Damaged => "DAMAGED",
                };
                let size = Megabytes(item.bytes).to_string();
                writeln!(f, "  {state} {size:>8}  {:<34}  {}", item.file, item.sha256)?;
            }
        }
        Ok(())
    }
}
