//! A camera that is missing, is something else or may not be opened is refused with a reason and a way out.
#![allow(clippy::unwrap_used)]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use reflexarc::capture::v4l2::{V4l2Config, V4l2Source, list};
use reflexarc::error::{Fault, Kind};

fn refusal(path: &Path) -> Fault {
    let config = V4l2Config {
        device: path.to_owned(),
        ..V4l2Config::default()
    };
    let fault = V4l2Source::open(&config, 0).expect_err("there is no camera");
    let text = fault.to_string();
    assert!(
        text.contains(path.to_str().unwrap()),
        "names the node: {text}"
    );
    for part in [&fault.what, &fault.why, &fault.fix] {
        assert!(!part.is_empty(), "says what, why and how to fix it: {text}");
    }
    fault
}

#[test]
fn a_missing_camera_is_no_device() {
    let fault = refusal(Path::new("/dev/video-that-is-not-there"));
    assert_eq!(fault.kind, Kind::NoDevice);
    assert!(fault.fix.contains("reflexarc cameras"), "{fault}");
}

#[test]
fn a_device_of_another_kind_is_not_even_opened() {
    for path in ["/dev/null", "/dev/zero"] {
        let fault = refusal(Path::new(path));
        assert_eq!(fault.kind, Kind::NoDevice);
        assert!(fault.what.contains("is not a camera"), "{fault}");
    }
}

#[test]
fn a_file_or_a_folder_is_not_a_camera() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.avi");
    std::fs::write(&file, b"RIFF").unwrap();
    for path in [file.as_path(), folder.path()] {
        let fault = refusal(path);
        assert_eq!(fault.kind, Kind::NoDevice);
        assert!(fault.fix.contains("file:PATH"), "{fault}");
    }
}

#[test]
fn a_name_with_a_zero_byte_is_an_error_and_no_panic() {
    let config = V4l2Config {
        device: PathBuf::from("/dev/vid\0eo"),
        ..V4l2Config::default()
    };
    assert!(V4l2Source::open(&config, 0).is_err());
}

/// A video node in a folder of its own; `None` where the kernel does not let us make one.
fn video_node(folder: &Path, minor: u32, mode: u32) -> Option<PathBuf> {
    let path = folder.join("video");
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: `name` is a string with an end mark that lives through the call.
    let made = unsafe { libc::mknod(name.as_ptr(), libc::S_IFCHR, libc::makedev(81, minor)) };
    if made != 0 {
        return None;
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    Some(path)
}

/// The node is left from a camera that has been unplugged: the name is there, the device is not.
#[test]
fn a_node_without_a_device_behind_it_is_no_device() {
    let folder = tempfile::tempdir().unwrap();
    match video_node(folder.path(), 255, 0o666) {
        Some(path) => assert_eq!(refusal(&path).kind, Kind::NoDevice),
        None => skip("making a device node needs root"),
    }
}

#[test]
fn a_camera_that_may_not_be_opened_names_the_group_to_join() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let Some(path) = video_node(folder.path(), 0, 0o600) else {
        return skip("making a device node needs root");
    };
    // Root may open everything, so the question is asked as nobody.
    let asked = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "host::asked_as_nobody",
            "--nocapture",
        ])
        .env("REFLEXARC_NODE", &path)
        .uid(65534)
        .gid(65534)
        .output();
    match asked {
        Ok(out) => {
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            assert!(out.status.success(), "{text}");
            assert!(text.contains("kind: Permission"), "{text}");
            assert!(text.contains("usermod -aG video"), "{text}");
        }
        Err(e) => skip(&format!("cannot run this program as nobody: {e}")),
    }
}

/// The other half of the test above.
#[test]
#[ignore = "run by the test above, as another user"]
fn asked_as_nobody() {
    let Some(path) = std::env::var_os("REFLEXARC_NODE") else {
        return;
    };
    let fault = refusal(Path::new(&path));
    say(&format!("kind: {:?}\n{fault}", fault.kind));
}

/// Exit codes are what scripts see.
#[test]
fn each_reason_has_an_exit_code_of_its_own() {
    let codes = [
        Kind::NoDevice,
        Kind::Busy,
        Kind::Unsupported,
        Kind::Permission,
        Kind::Lost,
    ]
    .map(Kind::exit_code);
    assert_eq!(codes, [4, 5, 6, 7, 14]);
}

#[test]
fn the_list_of_cameras_says_so_when_there_are_none() {
    assert!(list::render(&[]).contains("no cameras"));
    // Whatever is there, looking at it does not fail.
    let _ = list::render(&list::list());
}

#[expect(clippy::disallowed_macros, reason = "a test's own output")]
fn say(text: &str) {
    println!("{text}");
}

fn skip(why: &str) {
    say(&format!("skipped: {why}"));
}
