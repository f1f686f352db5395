//! Captured trees, made from what public device trees and reports say of each board.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// A folder that looks like the root of a machine.
pub struct Tree(TempDir);

impl Tree {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn with(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        let place = self.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
        self
    }

    /// A device tree's `compatible` and `model`, each text closed by a zero.
    pub fn device_tree(compatible: &[&str], model: &str) -> Self {
        let list: String = compatible.iter().map(|text| format!("{text}\0")).collect();
        let tree = Self::new().with("proc/device-tree/compatible", list);
        match model {
            "" => tree,
            model => tree.with("proc/device-tree/model", format!("{model}\0")),
        }
    }

    /// The part number of a module as NVIDIA's firmware hands it on.
    pub fn sku(self, part_number: &str) -> Self {
        let text = format!("{part_number}\0");
        self.with("proc/device-tree/chosen/nvidia,sku", text)
    }

    /// The part number in an EEPROM of 256 bytes, at byte 20.
    pub fn eeprom(self, bus: u8, part_number: &str) -> Self {
        let mut bytes = [0xff_u8; 256];
        bytes[20..20 + part_number.len()].copy_from_slice(part_number.as_bytes());
        bytes[20 + part_number.len()] = 0;
        let path = format!("sys/bus/i2c/devices/{bus}-0050/eeprom");
        self.with(&path, bytes)
    }
}

pub fn orin_nano() -> Tree {
    Tree::device_tree(
        &[
            "nvidia,p3768-0000+p3767-0005-super",
            "nvidia,p3767-0005",
            "nvidia,tegra234",
        ],
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
    )
}

pub fn pc() -> Tree {
    Tree::new()
        .with(
            "proc/cpuinfo",
            "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu vme lm avx2\n\nprocessor\t: 1\nflags\t\t: fpu vme lm avx2\n",
        )
        .with("sys/class/dmi/id/sys_vendor", "LENOVO\n")
        .with("sys/class/dmi/id/product_name", "21CB001\n")
}
