//! Who holds a camera, or another device, that is in use.
//!
//! Thread: housekeeping. Allocates: yes. Syscalls: reads `/proc`.

use std::os::linux::fs::MetadataExt;
use std::path::Path;

use crate::error::{Fault, Kind};

/// The camera is in use; names the processes that have it open, as far as we may see them.
pub(super) fn fault(path: &Path) -> Fault {
    let holders = holders(path);
    let why = match holders.is_empty() {
        true => {
            "another program is streaming from it (one of another user, or this one)".to_owned()
        }
        false => format!("it is open in {}", holders.join(", ")),
    };
    Fault::new(
        Kind::Busy,
        format!("the camera {} is in use", path.display()),
        why,
        "end that program, or give another camera; `reflexarc cameras` lists them",
    )
}

/// `name (process 123)` for each other process that has this device open.
pub(crate) fn holders(path: &Path) -> Vec<String> {
    let Ok(device) = std::fs::metadata(path).map(|m| m.st_rdev()) else {
        return Vec::new();
    };
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = std::process::id();
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&process| process != own && has_open(process, device))
        .map(|process| {
            let name = std::fs::read_to_string(format!("/proc/{process}/comm"));
            let name = name.as_deref().map_or("a program", str::trim);
            format!("{name} (process {process})")
        })
        .collect()
}

fn has_open(process: u32, device: u64) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return false; // Gone by now, or another user's.
    };
    descriptors
        .flatten()
        .filter_map(|fd| std::fs::metadata(fd.path()).ok())
        .any(|m| m.st_rdev() == device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_the_device_open_is_named() {
        use std::process::{Command, Stdio};
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::from(
                std::fs::File::open("/dev/zero").expect("exists"),
            ))
            .spawn()
            .expect("sleep runs");
        let named = holders(Path::new("/dev/zero"));
        child.kill().expect("was running");
        child.wait().expect("was running");
        let wanted = format!("(process {})", child.id());
        assert!(named.iter().any(|n| n.contains(&wanted)), "{named:?}");
    }
}
