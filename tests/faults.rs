//! What users and machines do wrong, to the real binary: each is explained with what, why and fix, has the exit
//! code of its kind, and leaves nothing half-written.
//!
//! A camera in use needs a real driver: `scripts/dev vm` tests that.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use reflexarc::models;
use support::{cached, reflexarc, text};
use tempfile::TempDir;

/// Needs no model, and ends soon.
const QUICK: &str =
    "encoder.name = \"null\"\npolicy.name = \"still\"\n[goals]\nelements_per_second = 1\n";
const SOURCE: &str = "synthetic:320x240@30";

/// Who runs without rights in these tests.
const NOBODY: u32 = 65534;

/// An empty folder to run in, and a folder beside it with what the run is given.
struct Place {
    cwd: TempDir,
    given: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            cwd: tempfile::tempdir().unwrap(),
            given: tempfile::tempdir().unwrap(),
        };
        for dir in [&place.cwd, &place.given] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        }
        place.give("quick.toml", QUICK.as_bytes());
        place
    }

    fn give(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.given.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = reflexarc();
        command.current_dir(self.cwd.path()).args(arguments);
        command
    }

    /// `reflexarc run` that needs no model, with these arguments too.
    fn quick(&self, arguments: &[&str]) -> Command {
        let config = self.given.path().join("quick.toml");
        let mut command = self.command(&["run", "--quiet", "--duration", "200ms"]);
        command.arg("--config").arg(config).args(arguments);
        command
    }

    /// Runs what must be refused: with this exit code, these words, and nothing left in the folder.
    fn refuses(&self, command: &mut Command, code: i32, words: &[&str]) {
        let output = command.output().unwrap();
        assert_explained(&output, code, words);
        self.assert_nothing_left();
    }

    fn assert_nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(self.cwd.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

fn assert_explained(output: &Output, code: i32, words: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    for part in ["error: ", "  why: ", "  fix: "] {
        let mut said = errors.lines().filter_map(|line| line.strip_prefix(part));
        assert!(
            said.next().is_some_and(|said| said.len() > 3),
            "no `{part}` in {errors}"
        );
    }
    for word in words {
        assert!(errors.contains(word), "`{word}` is missing in {errors}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The command as a user without rights: no real time, next to no locked memory. The user's own binary may lie
/// where others cannot reach it, so it is copied.
fn unprivileged(place: &Place, command: &Command) -> Command {
    let binary = place.given.path().join("reflexarc");
    fs::copy(env!("CARGO_BIN_EXE_reflexarc"), &binary).unwrap();
    let mut plain = Command::new(binary);
    plain
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .env("HOME", place.given.path())
        .stdin(Stdio::null());
    if is_root() {
        plain.uid(NOBODY).gid(NOBODY);
    }
    let limits = || {
        for (resource, most) in [(libc::RLIMIT_RTPRIO, 0), (libc::RLIMIT_MEMLOCK, 65_536)] {
            let limit = libc::rlimit {
                rlim_cur: most,
                rlim_max: most,
            };
            // SAFETY: `limit` is valid; lowering a limit is always allowed.
            if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only; setrlimit is async-signal-safe on Linux.
    unsafe { plain.pre_exec(limits) };
    plain
}

fn path_of(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(tool))
        .find(|file| file.is_file())
}

// The command line.

/// The words of a command line, and words that the explanation must have.
type Mistake = (&'static [&'static str], &'static [&'static str]);

const USAGE_MISTAKES: &[Mistake] = &[
    // Commands.
    (&["fly"], &["`reflexarc` has no command `fly`", "cameras"]),
    (&["chekc"], &["did you mean `reflexarc check`?"]),
    (&[""], &["has no command ``"]),
    (
        &["models"],
        &["`reflexarc models` needs a command", "fetch, list"],
    ),
    (
        &["models", "burn"],
        &["has no command `burn`", "fetch, list"],
    ),
    (&["help", "fly"], &["fly"]),
    // Options.
    (
        &["run", "--fast"],
        &["has no option `--fast`", "`reflexarc run --help`"],
    ),
    (
        &["run", "--duratoin", "3s"],
        &["did you mean `--duration`?"],
    ),
    (&["--sourcce", "scene"], &["has no option `--sourcce`"]),
    (
        &["--sourcce", "scene", "run"],
        &["did you mean `run --source`?"],
    ),
    (
        &["--source", "scene"],
        &["did you mean `reflexarc run --source`?"],
    ),
    (&["run", "-x"], &["has no option `-x`"]),
    (
        &["run", "--instruct", "find", "the", "cat"],
        &["cannot take `the`", "quotes"],
    ),
    (&["report", "a", "b"], &["cannot take `b`"]),
    (
        &["run", "--board", "a", "--board", "b"],
        &["--board is given more than once"],
    ),
    (
        &["run", "--quiet=yes"],
        &["--quiet takes no value", "write --quiet alone"],
    ),
    // Values.
    (
        &["run", "--source"],
        &["--source has no value", "--source <SOURCE>"],
    ),
    (&["run", "--config", "--quiet"], &["--config has no value"]),
    (
        &["run", "--duration", "20"],
        &["--duration cannot be `20`", "fix: write a number and ns"],
    ),
    (
        &["run", "--duration", "soon"],
        &["`soon` is not a duration", "\"40 ms\""],
    ),
    (
        &["run", "--source", "webcam"],
        &["`webcam` is not a source", "fix: write scene"],
    ),
    (
        &["run", "--source", "/dev/video0"],
        &["did you mean v4l2:/dev/video0"],
    ),
    (
        &["run", "--source", "synthetic:640by480"],
        &["640by480", "WIDTHxHEIGHT"],
    ),
    (
        &["run", "--sink", "tcp:localhost:1"],
        &["`tcp:localhost:1` is not a sink", "fix: write `null`"],
    ),
    (&["run", "--sink", "udp:localhost"], &["needs a port"]),
    (
        &["models", "fetch", "footag"],
        &[
            "GROUPS cannot be `footag`",
            "footage-debian",
            "did you mean `footage`?",
        ],
    ),
];

#[test]
fn every_mistake_on_the_command_line_is_explained() {
    let place = Place::new();
    for (arguments, words) in USAGE_MISTAKES {
        let mut command = place.command(arguments);
        place.refuses(&mut command, 2, words);
        let output = command.output().unwrap();
        assert!(output.stdout.is_empty(), "{}", text(&output));
    }
}

#[test]
fn an_argument_that_is_no_text_is_explained() {
    use std::os::unix::ffi::OsStrExt as _;
    let place = Place::new();
    let mut command = place.command(&["run", "--instruct"]);
    command.arg(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    place.refuses(&mut command, 2, &["UTF-8"]);
}

#[test]
fn help_and_version_are_answers_and_no_mistakes() {
    let place = Place::new();
    for (arguments, said) in [
        (["--help"].as_slice(), "Exit codes:"),
        (&["run", "--help"], "--strict-rt"),
        (&["help", "models"], "fetch"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = place.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(output.stderr.is_empty(), "{}", text(&output));
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(answer.contains(said), "{answer}");
        place.assert_nothing_left();
    }
}

/// A pipe whose reader has left.
fn left() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_that_left_ends_neither_an_answer_nor_a_run() {
    let place = Place::new();
    let status = place.command(&["board", "list"]).stdout(left()).status();
    assert_eq!(status.unwrap().code(), Some(0));
    let report = place.given.path().join("report");
    let config = place.given.path().join("quick.toml");
    let mut run = place.command(&["run", "--source", SOURCE, "--duration", "200ms"]);
    run.arg("--config").arg(config).arg("--report").arg(&report);
    let status = run.stdout(left()).stderr(left()).status();
    assert_eq!(status.unwrap().code(), Some(0));
    assert!(report.join("report.json").exists());
}

#[test]
fn an_answer_to_a_full_disk_is_an_output_error() {
    let place = Place::new();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let child = place
        .command(&["board", "list"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    assert_explained(&output, 12, &["standard output", "No space left", "fix:"]);
}

#[test]
fn settings_that_do_not_fit_together_are_a_usage_error() {
    let place = Place::new();
    place.refuses(&mut place.quick(&["--source", "file"]), 2, &["file:PATH"]);
    let odd = place
        .quick(&["--source", "synthetic:641x480"])
        .output()
        .unwrap();
    assert_eq!(odd.status.code(), Some(2), "{}", text(&odd));
    place.assert_nothing_left();
}

#[test]
fn bad_toml_is_a_configuration_error_with_its_line() {
    let place = Place::new();
    let bad = place.give("bad.toml", b"[camera]\nsource = \"scene\"\n\n[treads]\n");
    let arguments = ["run", "--config", bad.to_str().unwrap()];
    place.refuses(
        &mut place.command(&arguments),
        3,
        &["bad.toml line 4", "did you mean `threads`"],
    );
    let missing = ["check", "--config", "no-such.toml"];
    place.refuses(&mut place.command(&missing), 3, &["no-such.toml"]);
    place.refuses(
        &mut place.quick(&["--board", "pdp-11"]),
        3,
        &["pdp-11", "--board"],
    );
}

#[test]
fn a_policy_that_cannot_read_the_encoder_is_found_by_the_check_too() {
    let place = Place::new();
    for (encoder, words) in [
        ("name = \"null\"", ["robot.toml line 3", "policy.name"]),
        ("crop = \"centre\"", ["robot.toml line 3", "encoder.crop"]),
    ] {
        let file = place.give("robot.toml", format!("\n[encoder]\n{encoder}\n").as_bytes());
        for command in ["check", "run"] {
            let arguments = [command, "--config", file.to_str().unwrap()];
            place.refuses(&mut place.command(&arguments), 3, &words);
        }
    }
}

#[test]
fn positions_are_never_sent_as_velocities() {
    let place = Place::new();
    let file = place.give("robot.toml", b"[action]\nmode = \"velocity\"\n");
    for command in ["check", "run"] {
        let arguments = [command, "--config", file.to_str().unwrap()];
        let words = ["robot.toml line 2", "velocity", "commands positions"];
        place.refuses(&mut place.command(&arguments), 3, &words);
    }
}

// Sources.

#[test]
fn a_missing_camera_is_no_such_device() {
    let place = Place::new();
    let source = ["--source", "v4l2:/dev/video99"];
    place.refuses(
        &mut place.quick(&source),
        4,
        &["/dev/video99", "reflexarc cameras"],
    );
}

#[test]
fn a_device_that_is_no_camera_is_no_such_camera() {
    let place = Place::new();
    let words = ["/dev/null is not a camera", "reflexarc cameras"];
    place.refuses(&mut place.quick(&["--source", "v4l2:/dev/null"]), 4, &words);
    let file = place.give("notes.txt", b"not a camera");
    let source = format!("v4l2:{}", file.display());
    let words = ["notes.txt", "file:PATH"];
    place.refuses(&mut place.quick(&["--source", &source]), 4, &words);
}

#[test]
fn a_file_without_rights_is_not_permitted() {
    let place = Place::new();
    let file = place.give("secret.y4m", b"YUV4MPEG2 W16 H16 F30:1\n");
    let toml = place.give("secret.toml", b"");
    for path in [&file, &toml] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let source = format!("file:{}", file.display());
    let mut command = unprivileged(&place, &place.quick(&["--source", &source]));
    place.refuses(&mut command, 7, &["secret.y4m"]);
    let arguments = ["check", "--config", toml.to_str().unwrap()];
    let mut command = unprivileged(&place, &place.command(&arguments));
    place.refuses(&mut command, 7, &["secret.toml"]);
}

#[test]
fn a_camera_without_rights_is_not_permitted() {
    let place = Place::new();
    let node = place.given.path().join("video0");
    let name = std::ffi::CString::new(node.to_str().unwrap()).unwrap();
    // SAFETY: `name` is a C string that lives through the call; 81 is the major number of video devices.
    let made = unsafe { libc::mknod(name.as_ptr(), libc::S_IFCHR, libc::makedev(81, 0)) };
    if made != 0 {
        let why = std::io::Error::last_os_error();
        eprintln!("skipped: a device node needs root and CAP_MKNOD: {why}");
        return;
    }
    let source = format!("v4l2:{}", node.display());
    let mut command = unprivileged(&place, &place.quick(&["--source", &source]));
    place.refuses(&mut command, 7, &["video0", "group"]);
}

#[test]
fn damaged_recordings_are_bad_input() {
    let place = Place::new();
    let picture = fs::read(cached("photos/chelsea.png")).unwrap();
    let mut files = vec![
        ("cut.png", picture[..picture.len() / 2].to_vec()),
        ("empty.y4m", Vec::new()),
        ("no-height.y4m", b"YUV4MPEG2 W16 F30:1\nFRAME\n".to_vec()),
        (
            "no-number.y4m",
            b"YUV4MPEG2 Wide H16 F30:1\nFRAME\n".to_vec(),
        ),
        (
            "huge.y4m",
            b"YUV4MPEG2 W999999 H999999 F30:1\nFRAME\n".to_vec(),
        ),
        ("no-frame.y4m", b"YUV4MPEG2 W16 H16 F30:1\n".to_vec()),
        ("cut.y4m", b"YUV4MPEG2 W16 H16 F30:1\nFRAME\nabc".to_vec()),
        ("words.mp4", b"these are words and no film\n".repeat(50)),
    ];
    let clip = fs::read(cached("footage/bikes.mp4")).unwrap();
    // The index of this film stands at its end, so half of it has none.
    files.push(("cut.mp4", clip[..clip.len() / 2].to_vec()));
    for (name, bytes) in files {
        if name.ends_with("mp4") && path_of("ffmpeg").is_none() {
            eprintln!("skipped {name}: ffmpeg is not installed");
            continue;
        }
        let file = place.give(name, &bytes);
        let source = format!("file:{}", file.display());
        place.refuses(&mut place.quick(&["--source", &source]), 8, &[name]);
    }
}

#[test]
fn a_missing_file_or_an_empty_folder_is_bad_input() {
    let place = Place::new();
    place.refuses(
        &mut place.quick(&["--source", "file:no-such.mp4"]),
        8,
        &["no-such.mp4"],
    );
    let folder = place.given.path().join("pictures");
    fs::create_dir(&folder).unwrap();
    let source = format!("file:{}", folder.display());
    place.refuses(&mut place.quick(&["--source", &source]), 8, &["pictures"]);
}

#[test]
fn a_film_without_ffmpeg_names_the_tool() {
    let place = Place::new();
    let source = format!("file:{}", cached("footage/bikes.mp4").display());
    let empty = place.given.path().join("bin");
    fs::create_dir(&empty).unwrap();
    place.refuses(
        place.quick(&["--source", &source]).env("PATH", &empty),
        10,
        &["ffmpeg"],
    );
}

#[test]
fn a_port_that_is_taken_is_busy() {
    let place = Place::new();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = format!("{QUICK}[[sensor]]\nsource = \"udp:{address}\"\n");
    place.give("quick.toml", config.as_bytes());
    place.refuses(
        &mut place.quick(&["--source", SOURCE]),
        5,
        &[&address.port().to_string()],
    );
}

// Models.

/// A run with the real encoder and this file as its weights.
fn with_weights(place: &Place, file: &Path) -> Command {
    cached(models::ENCODER);
    let config = format!(
        "policy.name = \"still\"\n[encoder]\nweights = \"{}\"\n",
        file.display()
    );
    let config = place.give("weights.toml", config.as_bytes());
    let arguments = ["run", "--quiet", "--source", SOURCE, "--config"];
    let mut command = place.command(&arguments);
    command.arg(config);
    command
}

/// A safetensors file taken apart: its header as JSON, and the data.
fn parts_of(file: &[u8]) -> (serde_json::Value, Vec<u8>) {
    let length = usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
    let header = serde_json::from_slice(&file[8..8 + length]).unwrap();
    (header, file[8 + length..].to_vec())
}

fn put_together(header: &serde_json::Value, data: &[u8]) -> Vec<u8> {
    let header = serde_json::to_vec(header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    file
}

#[test]
fn corrupt_weights_are_a_bad_model_and_the_tensor_is_named() {
    let place = Place::new();
    let whole = fs::read(cached(models::ENCODER)).unwrap();
    let (header, data) = parts_of(&whole);
    let (name, _) = header
        .as_object()
        .unwrap()
        .iter()
        .find(|(_, tensor)| tensor["shape"].as_array().is_some_and(|s| s.len() == 4))
        .unwrap();

    let cut = place.give("cut.safetensors", &whole[..whole.len() / 2]);
    place.refuses(
        &mut with_weights(&place, &cut),
        9,
        &["cut.safetensors", "complete"],
    );

    let words = place.give("words.safetensors", b"no weights at all, only words");
    place.refuses(&mut with_weights(&place, &words), 9, &["words.safetensors"]);

    let mut other = header.clone();
    let shape = other[name]["shape"].as_array_mut().unwrap();
    let all: u64 = shape.iter().map(|n| n.as_u64().unwrap()).product();
    *shape = vec![all.into(), 1.into(), 1.into(), 1.into()];
    let file = place.give("shape.safetensors", &put_together(&other, &data));
    place.refuses(
        &mut with_weights(&place, &file),
        9,
        &[name, "shape", "expected"],
    );

    let mut other = header.clone();
    let tensor = other.as_object_mut().unwrap().remove(name).unwrap();
    other["another_name"] = tensor;
    let file = place.give("name.safetensors", &put_together(&other, &data));
    place.refuses(&mut with_weights(&place, &file), 9, &[name, "missing"]);

    let at = usize::try_from(header[name]["data_offsets"][0].as_u64().unwrap()).unwrap();
    let mut damaged = data.clone();
    damaged[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let file = place.give("nan.safetensors", &put_together(&header, &damaged));
    place.refuses(&mut with_weights(&place, &file), 9, &[name, "NaN"]);

    let missing = place.given.path().join("none.safetensors");
    place.refuses(
        &mut with_weights(&place, &missing),
        9,
        &["none.safetensors"],
    );
}

/// The command with `dir` as its models cache, and no way to fetch any.
fn without_network(place: &Place, arguments: &[&str], dir: &Path) -> Command {
    let mut command = place.command(arguments);
    command
        .env("REFLEXARC_MODELS", dir)
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("PIP_NO_INDEX", "1")
        .env_remove("PIP_FIND_LINKS");
    command
}

/// A run that needs the models of the cache in `dir`, with no way to fetch any.
fn offline(place: &Place, dir: &Path) -> Command {
    without_network(place, &["run", "--quiet", "--source", SOURCE], dir)
}

/// All files below a folder, but the lock.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.metadata().is_ok_and(|m| m.len() > 0) {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_damaged_cache_without_a_network_says_so_and_is_left_as_it_was() {
    let place = Place::new();
    let dir = place.given.path().join("models");
    let whole = cached(models::ENCODER);
    for entry in fs::read_dir(models::cache_dir()).unwrap() {
        let entry = entry.unwrap();
        fs::create_dir_all(&dir).unwrap();
        if entry.path() != whole {
            symlink(entry.path(), dir.join(entry.file_name())).unwrap();
        }
    }
    let mut bytes = fs::read(whole).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let file = dir.join(models::ENCODER);
    fs::write(&file, &bytes).unwrap();
    place.refuses(
        &mut offline(&place, &dir),
        11,
        &["network", "reflexarc models fetch"],
    );
    assert!(
        fs::read(&file).unwrap() == bytes,
        "the damaged file was changed"
    );

    fs::write(&file, &bytes[..middle]).unwrap();
    place.refuses(&mut offline(&place, &dir), 11, &["network"]);
}

#[test]
fn no_network_is_a_network_error_and_leaves_no_partial_file() {
    let place = Place::new();
    let dir = place.given.path().join("models");
    place.refuses(&mut offline(&place, &dir), 11, &["network", "models fetch"]);
    assert_eq!(files_below(&dir), [] as [PathBuf; 0]);

    // Nobody listens on port 9 of this machine: an index that cannot be reached.
    let mut command = offline(&place, &dir);
    command
        .env_remove("PIP_NO_INDEX")
        .env("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
        .env("PIP_EXTRA_INDEX_URL", "")
        .env("PIP_RETRIES", "0");
    place.refuses(&mut command, 11, &["network"]);
    assert_eq!(files_below(&dir), [] as [PathBuf; 0]);
}

#[test]
fn only_the_models_that_a_run_reads_are_wanted() {
    let weights = cached(models::ENCODER);
    let own_weights = format!("encoder.weights = \"{}\"\n", weights.display());
    let still = "policy.name = \"still\"\n".to_owned();
    let words = [models::TEXT_ENCODER, models::CLASS_NAMES];
    for (config, source, files) in [
        (still.clone() + &own_weights, SOURCE, [].as_slice()),
        (still, SOURCE, &[models::ENCODER]),
        (own_weights, SOURCE, &words),
        (QUICK.to_owned(), "scene", &[models::PHOTOS]),
    ] {
        let place = Place::new();
        let robot = place.give("robot.toml", config.as_bytes());
        let arguments = ["check", "--source", source, "--config"];
        let check = |dir: &Path| {
            let mut command = without_network(&place, &arguments, dir);
            command.arg(&robot);
            command
        };
        let dir = place.given.path().join("models");
        if !files.is_empty() {
            place.refuses(&mut check(&dir), 11, &["network"]);
        }
        fs::create_dir_all(&dir).unwrap();
        // What follows from the words is computed where it is missing, which takes its time.
        for file in files.iter().chain(&[models::class_embeddings::FILE]) {
            if let Ok(from) = models::path(file).canonicalize() {
                symlink(from, dir.join(file)).unwrap();
            }
        }
        let output = check(&dir).output().unwrap();
        assert!(output.status.success(), "{config}{}", text(&output));
    }
}

#[test]
fn without_python_or_pip_the_missing_tool_is_named() {
    let place = Place::new();
    let (dir, bin) = (
        place.given.path().join("models"),
        place.given.path().join("bin"),
    );
    fs::create_dir(&bin).unwrap();
    place.refuses(
        offline(&place, &dir).env("PATH", &bin),
        10,
        &["python3", "install"],
    );
    assert_eq!(files_below(&dir), [] as [PathBuf; 0]);

    let which = ["-c", "import sys; print(sys.executable)"];
    let Ok(python) = Command::new("python3").args(which).output() else {
        eprintln!("skipped: no python3 here, so it cannot lack pip");
        return;
    };
    let python = String::from_utf8(python.stdout).unwrap();
    // `-S` leaves out the folder in which pip lies.
    let script = format!("#!/bin/sh\nexec {} -S \"$@\"\n", python.trim());
    fs::write(bin.join("python3"), script).unwrap();
    fs::set_permissions(bin.join("python3"), fs::Permissions::from_mode(0o755)).unwrap();
    place.refuses(
        offline(&place, &dir).env("PATH", &bin),
        10,
        &["no pip", "install"],
    );
    assert_eq!(files_below(&dir), [] as [PathBuf; 0]);
}

// Reports.

#[test]
fn an_unwritable_report_folder_is_refused_before_the_run() {
    let place = Place::new();
    let file = place.give("a-file", b"here is no room for a folder");
    for inside in [file.clone(), file.join("report")] {
        let arguments = ["--source", SOURCE, "--report", inside.to_str().unwrap()];
        place.refuses(&mut place.quick(&arguments), 12, &["a-file", "--report"]);
    }
    let closed = place.given.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let report = closed.join("report");
    let arguments = ["--source", SOURCE, "--report", report.to_str().unwrap()];
    let mut command = unprivileged(&place, &place.quick(&arguments));
    place.refuses(&mut command, 12, &["closed", "--report"]);
    assert_eq!(fs::read_dir(&closed).unwrap().count(), 0);
}

/// Runs in a namespace of its own with a disk of this size at `disk`; prints what is left there.
fn on_a_small_disk(place: &Place, kilobytes: u32, command: &Command) -> Option<Output> {
    let disk = place.given.path().join("disk");
    fs::create_dir_all(&disk).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={kilobytes}k tmpfs '{0}' || exit 99\n\"$0\" \"$@\"; code=$?\n\
         find '{0}' -mindepth 1 -exec echo LEFT {{}} \\;\nexit $code",
        disk.display()
    );
    let output = Command::new("unshare")
        .args(if is_root() {
            ["-m", "--"].as_slice()
        } else {
            &["-r", "-m", "--"]
        })
        .args(["sh", "-c", &script])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(place.cwd.path())
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.code() == Some(99) || text(&output).contains("unshare") => {
            eprintln!("skipped: no disk can be mounted here: {}", text(&output));
            None
        }
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: unshare cannot be run: {error}");
            None
        }
    }
}

#[test]
fn a_disk_that_is_full_at_report_time_leaves_nothing_half_written() {
    let place = Place::new();
    let report = place.given.path().join("disk/report");
    let arguments = ["--source", SOURCE, "--report", report.to_str().unwrap()];
    // Room for the proof that the folder takes files, not for the report.
    let Some(output) = on_a_small_disk(&place, 16, &place.quick(&arguments)) else {
        return;
    };
    assert_explained(&output, 12, &["No space left", "--report"]);
    assert!(!text(&output).contains("LEFT"), "{}", text(&output));
    place.assert_nothing_left();
}

#[test]
fn reading_a_report_that_is_none_is_bad_input() {
    let place = Place::new();
    place.refuses(&mut place.command(&["report"]), 8, &["reports/latest"]);
    place.refuses(&mut place.command(&["report", "no-such"]), 8, &["no-such"]);
    for (name, bytes) in [
        ("words.json", b"hello".as_slice()),
        ("other.json", b"{\"name\": \"left-pad\"}"),
        ("list.json", b"[1, 2]"),
        ("cut.json", b"{\"schema\": "),
    ] {
        let file = place.give(name, bytes);
        place.refuses(
            &mut place.command(&["report", file.to_str().unwrap()]),
            8,
            &[name],
        );
    }
}

// Rights and signals.

#[test]
fn an_unprivileged_run_works_and_says_what_was_not_granted() {
    let place = Place::new();
    let mut command = unprivileged(&place, &place.quick(&["--source", SOURCE]));
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output)
    );
    for word in ["warning: real time", "SCHED_FIFO", "memory locked", "fix: "] {
        assert!(errors.contains(word), "`{word}` is missing in {errors}");
    }
    let report = place.cwd.path().join("reports/latest/report.json");
    assert!(report.exists(), "{}", text(&output));
}

#[test]
fn a_strict_run_without_rights_is_refused() {
    let place = Place::new();
    let mut command = unprivileged(&place, &place.quick(&["--source", SOURCE, "--strict-rt"]));
    place.refuses(&mut command, 13, &["SCHED_FIFO", "setcap", "--strict-rt"]);
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let place = Place::new();
    let report = place.cwd.path().join("report");
    let config = place.given.path().join("quick.toml");
    let arguments = ["run", "--duration", "60s", "--source", SOURCE, "--config"];
    let mut child = place
        .command(&arguments)
        .arg(config)
        .arg("--report")
        .arg(&report)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    errors.read_line(&mut first).unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    // Two different ones, since a signal that is still pending swallows another of its kind.
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: kill takes numbers only; the child has not been waited for, so the pid is still its own.
        unsafe { libc::kill(pid, signal) };
    }
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{first}{rest}");
    place.assert_nothing_left();
}

#[test]
fn an_instruction_that_nothing_understands_is_said_to_be_unheard() {
    let place = Place::new();
    let toml = place.give(
        "still.toml",
        b"encoder.name = \"null\"\npolicy.name = \"still\"\n",
    );
    let tells = |more: &[&str]| {
        let given = ["check", "--source", "synthetic", "--config"];
        let arguments = [&given, &[toml.to_str().unwrap()][..], more].concat();
        let output = place.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        text(&output).contains("instructions are not listened to")
    };
    assert!(tells(&["--instruct", "look at the cat"]));
    assert!(!tells(&[]));
}
