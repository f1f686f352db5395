//! What `board detect` finds on captured trees, and what it refuses to guess.

use std::fs;

use reflexarc::board::detect::{Detection, Says, detect};
use reflexarc::board::evidence::Evidence;
use reflexarc::board::registry::Registry;

use super::tree::{Tree, orin_nano, pc};
use crate::support::{reflexarc, text};

fn of(tree: &Tree) -> Detection {
    let boards = Registry::built_in().unwrap().boards;
    detect(&boards, Evidence::read(tree.path()))
}

fn found(tree: &Tree) -> Option<String> {
    of(tree).found
}

#[test]
fn each_board_is_found_by_what_its_device_tree_says() {
    for (board, compatible, model) in [
        (
            "jetson-orin-nano",
            &[
                "nvidia,p3768-0000+p3767-0005",
                "nvidia,p3767-0005",
                "nvidia,tegra234",
            ][..],
            "NVIDIA Jetson Orin Nano Developer Kit",
        ),
        (
            "jetson-orin-nano",
            &[
                "oe4t,p3768-0000+p3767-0005+tegrademo",
                "nvidia,p3768-0000+p3767-0005-super",
                "nvidia,p3767-0005",
                "nvidia,tegra234",
            ],
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        ),
        (
            "jetson-orin-nx",
            &[
                "nvidia,p3768-0000+p3767-0000",
                "nvidia,p3767-0000",
                "nvidia,tegra234",
            ],
            "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        ),
        (
            "jetson-agx-orin",
            &[
                "nvidia,p3737-0000+p3701-0005",
                "nvidia,p3701-0005",
                "nvidia,tegra234",
            ],
            "NVIDIA Jetson AGX Orin Developer Kit",
        ),
        (
            "jetson-thor",
            &[
                "nvidia,p4071-0000+p3834-0008",
                "nvidia,p3834-0008",
                "nvidia,tegra264",
            ],
            "NVIDIA Jetson AGX Thor Developer Kit",
        ),
        (
            "jetson-thor",
            &[
                "nvidia,p3971-0089+p3834-0008",
                "nvidia,p3834-0008",
                "nvidia,tegra264",
            ],
            "NVIDIA P3971-0089+P3834-0008 Engineering Reference Platform",
        ),
        (
            "raspberry-pi-5",
            &["raspberrypi,5-model-b", "brcm,bcm2712"],
            "Raspberry Pi 5 Model B Rev 1.0",
        ),
        (
            "rock-5b",
            &["radxa,rock-5b", "rockchip,rk3588"],
            "Radxa ROCK 5B",
        ),
        (
            "qemu-virt-aarch64",
            &["linux,dummy-virt"],
            "linux,dummy-virt",
        ),
    ] {
        let detection = of(&Tree::device_tree(compatible, model));
        assert_eq!(detection.found.as_deref(), Some(board), "{}", detection.why);
        assert!(
            detection.why.contains("proc/device-tree/compatible says"),
            "{}",
            detection.why
        );
        // Of every other board it is known why not.
        for other in detection.considered.iter().filter(|c| c.board != board) {
            assert!(!other.holds(), "{}", other.board);
            assert!(
                other
                    .findings
                    .iter()
                    .any(|f| f.says != Says::For && !f.in_words.is_empty())
            );
        }
    }
    assert_eq!(found(&pc()).as_deref(), Some("x86-64"));
}

#[test]
fn a_machine_that_no_file_names_is_unknown() {
    for (compatible, model) in [
        (
            &["raspberrypi,4-model-b", "brcm,bcm2711"][..],
            "Raspberry Pi 4 Model B Rev 1.5",
        ),
        (
            &["nvidia,p3509-0000+p3668-0000", "nvidia,tegra194"],
            "NVIDIA Jetson Xavier NX",
        ),
        (&["radxa,rock-5a", "rockchip,rk3588s"], "Radxa ROCK 5A"),
        // Another virtual machine: QEMU names a model.
        (&["linux,dummy-virt"], ""),
        // The chip alone is no board.
        (&["nvidia,tegra234"], "Some Jetson Orin Nano"),
        // A part of a name is not the name.
        (&["nvidia,p3767-0005x"], "Orin Nano"),
    ] {
        let detection = of(&Tree::device_tree(compatible, model));
        assert_eq!(detection.found, None, "{compatible:?}: {}", detection.why);
        assert!(!detection.why.is_empty());
    }
    assert_eq!(found(&Tree::new()), None);
    let arm = Tree::new().with("proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n");
    assert_eq!(found(&arm), None);
    let old = Tree::new().with("proc/cpuinfo", "flags\t: fpu vme\n");
    assert_eq!(found(&old), None);
}

#[test]
fn the_modules_eeprom_is_heard_wherever_it_can_be_read() {
    let part = "699-13767-0005-300 W.1";
    for tree in [
        orin_nano().sku(part),
        orin_nano().eeprom(0, part),
        orin_nano().eeprom(7, part),
    ] {
        let detection = of(&tree);
        assert_eq!(detection.found.as_deref(), Some("jetson-orin-nano"));
        assert!(detection.why.contains("3767-0005"), "{}", detection.why);
    }
    // The firmware's word comes first; a memory module's EEPROM, or rubbish, says nothing.
    let both = orin_nano().sku(part).eeprom(0, "699-13701-0005-500 M.0");
    assert_eq!(found(&both).as_deref(), Some("jetson-orin-nano"));
    for rubbish in [
        "SPD of a memory module",
        "699-1376",
        "699-1376x-0005-300",
        "\u{fffd}",
    ] {
        let tree = orin_nano().eeprom(0, rubbish);
        assert_eq!(
            found(&tree).as_deref(),
            Some("jetson-orin-nano"),
            "{rubbish}"
        );
    }
}

#[test]
fn an_eeprom_that_disagrees_makes_the_board_unknown() {
    let detection = of(&orin_nano().sku("699-13767-0000-300 M.0"));
    assert_eq!(detection.found, None);
    for word in ["3767-0000", "jetson-orin-nano", "jetson-orin-nx"] {
        assert!(detection.why.contains(word), "{}", detection.why);
    }
}

#[test]
fn what_a_captured_tree_links_to_outside_of_it_is_not_taken_for_its_own() {
    let outside = orin_nano();
    let tree = Tree::new();
    fs::create_dir_all(tree.path().join("proc")).unwrap();
    std::os::unix::fs::symlink(
        outside.path().join("proc/device-tree"),
        tree.path().join("proc/device-tree"),
    )
    .unwrap();
    let detection = of(&tree);
    assert_eq!(detection.found, None);
    let why = detection.evidence.compatible.found.unwrap_err();
    assert!(why.to_string().contains("leads out of the tree"), "{why}");
    // A link that stays inside, as on a real machine, is followed.
    let tree = Tree::new().with(
        "sys/firmware/devicetree/base/compatible",
        "raspberrypi,5-model-b\0brcm,bcm2712\0",
    );
    let tree = tree.with(
        "sys/firmware/devicetree/base/model",
        "Raspberry Pi 5 Model B Rev 1.1\0",
    );
    fs::create_dir_all(tree.path().join("proc")).unwrap();
    std::os::unix::fs::symlink(
        "../sys/firmware/devicetree/base",
        tree.path().join("proc/device-tree"),
    )
    .unwrap();
    assert_eq!(found(&tree).as_deref(), Some("raspberry-pi-5"));
}

/// A user's board in `folder/NAME/board.toml`: the PC's file with another identity.
fn add_board(folder: &std::path::Path, name: &str, identity: &str) {
    let text = fs::read_to_string("boards/x86-64/board.toml").unwrap();
    let pc = "architecture = { value = \"x86_64\", source = \"linux-cpuinfo\", verified = \"emulator\" }";
    assert!(text.contains(pc));
    let text = text.replace("name = \"x86-64\"", &format!("name = \"{name}\""));
    let text = text.replace(pc, identity);
    fs::create_dir_all(folder.join(name)).unwrap();
    fs::write(folder.join(name).join("board.toml"), text).unwrap();
}

#[test]
fn a_users_board_file_names_a_pc_by_its_dmi_and_comes_before_the_kind() {
    let folder = tempfile::tempdir().unwrap();
    let dmi = |product: &str| {
        format!(
            "dmi = {{ value = {{ vendor = \"LENOVO\", product = \"{product}\" }}, source = \"linux-cpuinfo\", verified = \"hardware\" }}"
        )
    };
    add_board(folder.path(), "robot-pc", &dmi("21CB"));
    let boards = Registry::with(&[folder.path()]).unwrap().boards;
    assert_eq!(boards.len(), 9);
    let detection = detect(&boards, Evidence::read(pc().path()));
    assert_eq!(
        detection.found.as_deref(),
        Some("robot-pc"),
        "{}",
        detection.why
    );

    // A second file that holds as well: now it is not known which.
    add_board(folder.path(), "other-pc", &dmi("21"));
    let boards = Registry::with(&[folder.path()]).unwrap().boards;
    let detection = detect(&boards, Evidence::read(pc().path()));
    assert_eq!(detection.found, None);
    assert!(
        detection.why.contains("other-pc and robot-pc"),
        "{}",
        detection.why
    );

    // Another product of the vendor is a PC like any other.
    let folder = tempfile::tempdir().unwrap();
    add_board(folder.path(), "robot-pc", &dmi("30XX"));
    let boards = Registry::with(&[folder.path()]).unwrap().boards;
    let detection = detect(&boards, Evidence::read(pc().path()));
    assert_eq!(detection.found.as_deref(), Some("x86-64"));
}

#[test]
fn the_command_shows_the_evidence_and_an_unknown_board_is_a_fault() {
    let tree = orin_nano().sku("699-13767-0005-300 W.1");
    let output = reflexarc()
        .args(["board", "detect", "--root"])
        .arg(tree.path())
        .output()
        .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for word in [
        "board: jetson-orin-nano",
        "nvidia,p3767-0005",
        "nvidia,sku: 3767-0005",
        "unknown (not there)",
        "jetson-thor: proc/device-tree/compatible says",
    ] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    let tree = Tree::device_tree(&["acme,robot-1"], "ACME Robot 1");
    let output = reflexarc()
        .args(["board", "detect", "--root"])
        .arg(tree.path())
        .output()
        .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    for word in ["board: unknown", "acme,robot-1", "why:", "fix:", "--board"] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    let output = reflexarc()
        .args(["board", "detect", "--root", "no-such-tree"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", text(&output));
}
