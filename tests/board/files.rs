//! The project's board files, and the registry that finds them.

use std::fs;

use reflexarc::board::file::{BoardFile, Origin};
use reflexarc::board::lint::lint;
use reflexarc::board::registry::{self, Registry};
use reflexarc::error::Kind;

use crate::support::{reflexarc, text};

const NAMES: [&str; 8] = [
    "jetson-orin-nano",
    "jetson-orin-nx",
    "jetson-agx-orin",
    "jetson-thor",
    "raspberry-pi-5",
    "rock-5b",
    "x86-64",
    "qemu-virt-aarch64",
];

#[test]
fn every_board_file_is_built_in_reads_and_has_no_mistake() {
    let boards = Registry::built_in().unwrap().boards;
    let names: Vec<&str> = boards.iter().map(|file| file.board.name.as_str()).collect();
    assert_eq!(names, NAMES);
    let mistakes = lint(&boards);
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    let mut folders: Vec<String> = fs::read_dir("boards")
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut known = NAMES.map(str::to_owned).to_vec();
    known.sort();
    assert_eq!(
        folders, known,
        "a board is built in, or it is not in boards/"
    );
}

#[test]
fn no_fact_claims_to_have_been_seen_on_hardware() {
    // Until somebody runs it there. Who does changes the file, this test and the README together.
    for name in NAMES {
        let file = fs::read_to_string(format!("boards/{name}/board.toml")).unwrap();
        assert!(!file.contains("verified = \"hardware\""), "{name}");
    }
}

#[test]
fn the_table_in_the_docs_is_made_from_the_files() {
    let readme = fs::read_to_string("boards/README.md").unwrap();
    let (_, rest) = readme.split_once("<!-- table -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end of the table -->").unwrap();
    let output = reflexarc()
        .args(["board", "list", "--markdown"])
        .output()
        .unwrap();
    let made = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        table.trim(),
        made.trim(),
        "put the output of `reflexarc board list --markdown` into boards/README.md"
    );
}

#[test]
fn the_guide_explains_every_key_that_the_code_knows() {
    let guide = fs::read_to_string("boards/README.md").unwrap();
    let text = fs::read_to_string("boards/jetson-orin-nano/board.toml").unwrap();
    for table in [
        "identity", "cores", "boot", "kernel", "power", "cameras", "gpu", "build", "flash", "usb",
        "threads", "latency",
    ] {
        let wrong = text.replacen(
            &format!("[{table}]\n"),
            &format!("[{table}]\nnot_a_key = 1\n"),
            1,
        );
        let fault = BoardFile::built_in(&wrong, "t").unwrap_err();
        let known: Vec<&str> = fault.why.split('`').skip(3).step_by(2).collect();
        assert!(!known.is_empty(), "[{table}] says {fault}");
        for key in known {
            let said = guide.contains(&format!("`{key}`"))
                || guide.contains(&format!("`[{table}.{key}]`"));
            assert!(said, "boards/README.md does not explain {key} of [{table}]");
        }
    }
}

#[test]
fn a_mistake_in_a_board_file_is_explained_at_its_line() {
    let good = fs::read_to_string("boards/jetson-orin-nano/board.toml").unwrap();
    for (from, to, words) in [
        (
            "isolated = \"4-5\"",
            "isolatd = \"4-5\"",
            &["isolatd", "did you mean `isolated`", "boards/README.md"][..],
        ),
        (
            "isolated = \"4-5\"",
            "isolated = [4, 5]",
            &["text in quotes"],
        ),
        (
            "isolated = \"4-5\"",
            "isolated = \"5-4\"",
            &["5-4", "from the lower to the higher"],
        ),
        ("isolated = \"4-5\"", "isolated = \"4,4\"", &["twice"]),
        (
            "isolated = \"4-5\"",
            "isolated = \"\"",
            &["not a set of cores"],
        ),
        (
            "isolated = \"4-5\"",
            "isolated = \"0-4000000000\"",
            &["below 1024"],
        ),
        ("[\"0955:7035\"]", "[\"955:7035\"]", &["not a USB id"]),
        (
            "[\"0955:7035\"]",
            "[\"0955:70AB\"]",
            &["not a USB id", "lsusb"],
        ),
        (
            "value = \"2.35\"",
            "value = \"two\"",
            &["not a version of glibc"],
        ),
        (
            "cuda = { value = 87, source = \"meta-tegra-soc\", verified = \"no\" }",
            "cuda = 87",
            &["expected a table of keys"],
        ),
        (
            "value = 87, source = \"meta-tegra-soc\", verified = \"no\"",
            "value = 87, source = \"meta-tegra-soc\"",
            &["verified"],
        ),
        (
            "value = 87, source = \"meta-tegra-soc\", verified = \"no\"",
            "value = 87, source = \"meta-tegra-soc\", verified = \"yes\"",
            &["yes", "hardware"],
        ),
        (
            "recipe = \"l4t-initrd\"",
            "recipe = \"dd\"",
            &["dd", "block-image"],
        ),
        ("priority = 80", "priority = 100", &["100", "1..=99"]),
        ("value = \"20 us\"", "value = 20", &["20", "duration"]),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1);
        let place = 1 + bad.lines().position(|line| line.contains(to)).unwrap();
        let fault = BoardFile::built_in(&bad, "board.toml").unwrap_err();
        assert_eq!(fault.kind, Kind::Config);
        let said = fault.to_string();
        assert!(
            fault.what.contains(&format!("board.toml line {place}")),
            "{to}: {said}"
        );
        for word in words {
            assert!(said.contains(word), "no `{word}` in {said}");
        }
    }
}

#[test]
fn a_board_is_found_by_name_by_folder_and_by_file() {
    for name in ["rock-5b", "boards/rock-5b", "boards/rock-5b/board.toml"] {
        assert_eq!(registry::find(name).unwrap().board.name, "rock-5b");
    }
    let fault = registry::find("rock-5c").unwrap_err();
    for word in ["rock-5c", "rock-5b", "jetson-thor", "auto"] {
        assert!(fault.to_string().contains(word), "{fault}");
    }
    let fault = registry::find("no/such/board.toml").unwrap_err();
    assert!(fault.what.contains("no/such/board.toml"), "{fault}");
}

#[test]
fn a_file_on_disk_stands_in_the_place_of_a_built_in_board() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("rock-5b");
    fs::create_dir(&own).unwrap();
    let text = fs::read_to_string("boards/rock-5b/board.toml").unwrap();
    let text = text.replace("title = \"Radxa ROCK 5B, RK3588\"", "title = \"mine\"");
    fs::write(own.join("board.toml"), text).unwrap();
    let boards = Registry::with(&[folder.path()]).unwrap().boards;
    assert_eq!(boards.len(), NAMES.len());
    let rock = boards
        .iter()
        .find(|file| file.board.name == "rock-5b")
        .unwrap();
    assert_eq!(rock.board.title, "mine");
    assert_eq!(rock.origin, Origin::File(own.join("board.toml")));

    fs::write(own.join("board.toml"), "name = \"rock-5b\"\ntitel = 1\n").unwrap();
    let fault = Registry::with(&[folder.path()]).unwrap_err();
    assert!(fault.what.contains("board.toml line 2"), "{fault}");
}

#[test]
fn the_commands_list_and_show_say_where_facts_come_from() {
    let output = reflexarc().args(["board", "list"]).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for name in NAMES {
        assert!(said.contains(name), "{said}");
    }
    // Away from the project's folder the built-in files serve.
    let elsewhere = tempfile::tempdir().unwrap();
    let show = |name: &str| {
        let mut command = reflexarc();
        command
            .current_dir(&elsewhere)
            .args(["board", "show", name]);
        command.output().unwrap()
    };
    let said = text(&show("jetson-orin-nano"));
    for word in [
        "(built in)",
        "recovery = [\"0955:7523\", \"0955:7623\"]",
        "not verified; source: meta-tegra-usb",
        "note: 8 GB, 4 GB",
        "action = { core = 5, class = \"fifo\", priority = 80, wait = \"auto\" }",
        "meta-tegra-usb = \"https://",
    ] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    let output = show("pdp-11");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
}
