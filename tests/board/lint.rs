//! Each rule of the lint finds its mistake, at its line, and nothing else finds it in a file that is right.

use std::fs;

use reflexarc::board::file::BoardFile;
use reflexarc::board::lint::lint;

use crate::support::{reflexarc, text};

const NANO: &str = include_str!("../../boards/jetson-orin-nano/board.toml");
const THOR: &str = include_str!("../../boards/jetson-thor/board.toml");
const PC: &str = include_str!("../../boards/x86-64/board.toml");

/// Rule, what is replaced, by what, the start of the line at fault, words of the message.
type Bad = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const BAD: &[Bad] = &[
    (
        "core sets overlap",
        "housekeeping = \"0-3\"",
        "housekeeping = \"0-4\"",
        "isolated",
        &["core 4", "cores.housekeeping"],
    ),
    (
        "clusters overlap",
        "value = [\"0-3\", \"4-5\"]",
        "value = [\"0-4\", \"4-5\"]",
        "clusters",
        &["core 4", "two sets"],
    ),
    (
        "a core that the board lacks",
        "count = { value = 6",
        "count = { value = 5",
        "isolated",
        &["core 5", "5 cores"],
    ),
    (
        "isolcpus of other cores",
        "isolcpus=managed_irq,domain,4-5",
        "isolcpus=managed_irq,domain,3-5",
        "arguments",
        &["isolcpus", "4-5"],
    ),
    (
        "isolcpus without cores",
        "isolcpus=managed_irq,domain,4-5",
        "isolcpus=managed_irq",
        "arguments",
        &["isolcpus"],
    ),
    (
        "nohz_full of other cores",
        "nohz_full=4-5",
        "nohz_full=5",
        "arguments",
        &["nohz_full=5"],
    ),
    (
        "no rcu_nocbs",
        "\"rcu_nocbs=4-5\", ",
        "",
        "arguments",
        &["no rcu_nocbs"],
    ),
    (
        "interrupts on isolated cores",
        "irqaffinity=0-3",
        "irqaffinity=0-5",
        "arguments",
        &["irqaffinity", "cores.housekeeping"],
    ),
    (
        "an argument that does harm",
        "\"nohz_full=4-5\"",
        "\"nohz_full=4-5\", \"cma=512M\"",
        "arguments",
        &["cma=512M", "boot.forbidden"],
    ),
    (
        "a power mode by number",
        "[\"MAXN_SUPER\", \"MAXN\"]",
        "[\"2\"]",
        "modes",
        &["number 2", "name"],
    ),
    (
        "a fact without a source",
        "count = { value = 6, source = \"public-dump\"",
        "count = { value = 6",
        "count",
        &["cores.count", "without a source"],
    ),
    (
        "an empty source",
        "count = { value = 6, source = \"public-dump\"",
        "count = { value = 6, source = \"\"",
        "count",
        &["without a source"],
    ),
    (
        "a source that is not listed",
        "count = { value = 6, source = \"public-dump\"",
        "count = { value = 6, source = \"hearsay\"",
        "count",
        &["hearsay", "[sources]"],
    ),
    (
        "a source that nothing names",
        "[sources]\n",
        "[sources]\nspare = \"https://example.org\"\n",
        "spare",
        &["spare"],
    ),
    (
        "a source without an address",
        "glibc = \"https://github.com/paiml/aprender/issues/696, and the C library of Ubuntu 22.04\"",
        "glibc = \" \"",
        "glibc = \" \"",
        &["sources.glibc"],
    ),
    (
        "a thread outside the isolated cores",
        "action = { core = 5",
        "action = { core = 3",
        "action",
        &["threads.action.core", "is 3"],
    ),
    (
        "a thread without a core",
        "action = { core = 5, ",
        "action = { ",
        "action",
        &["its core"],
    ),
    (
        "a thread without a class",
        "action = { core = 5, class = \"fifo\", priority = 80,",
        "action = { core = 5,",
        "action",
        &["its class"],
    ),
    (
        "a fifo thread without a priority",
        "class = \"fifo\", priority = 80",
        "class = \"fifo\"",
        "action",
        &["its priority"],
    ),
    (
        "a thread without a wait",
        "priority = 80, wait = \"auto\"",
        "priority = 80",
        "action",
        &["its wait"],
    ),
    (
        "a normal thread with a priority",
        "features = { core = 5, class = \"fifo\"",
        "features = { core = 5, class = \"normal\"",
        "features",
        &["normal"],
    ),
    (
        "action below capture",
        "priority = 80",
        "priority = 70",
        "action",
        &["70", "79", "capture"],
    ),
    (
        "features above capture",
        "priority = 78",
        "priority = 79",
        "capture",
        &["features"],
    ),
    (
        "a normal action clock",
        "class = \"fifo\", priority = 80",
        "class = \"normal\"",
        "action",
        &["(0)", "capture"],
    ),
    (
        "one id for two states",
        "booted = { value = [\"0955:7020\"]",
        "booted = { value = [\"0955:7523\"]",
        "recovery",
        &["0955:7523"],
    ),
    (
        "a compatible that names nothing",
        "compatible = { value = [\"nvidia,p3767-0003\", \"nvidia,p3767-0004\", \"nvidia,p3767-0005\"]",
        "compatible = { value = []",
        "compatible",
        &["lists nothing"],
    ),
];

/// The file's mistakes, as text.
fn mistakes(boards: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<BoardFile> = boards
        .iter()
        .map(|(name, text)| {
            BoardFile::built_in(text, &format!("boards/{name}/board.toml")).unwrap()
        })
        .collect();
    lint(&files).iter().map(ToString::to_string).collect()
}

#[test]
fn each_rule_finds_its_mistake_at_its_line() {
    assert_eq!(
        mistakes(&[("jetson-orin-nano", NANO)]),
        Vec::<String>::new()
    );
    for (rule, from, to, at, words) in BAD {
        assert_eq!(
            NANO.matches(from).count(),
            1,
            "{rule}: `{from}` is to stand once in the file"
        );
        let bad = NANO.replace(from, to);
        let found = mistakes(&[("jetson-orin-nano", bad.as_str())]);
        let line = 1 + bad.lines().position(|line| line.starts_with(at)).unwrap();
        let place = format!("boards/jetson-orin-nano/board.toml line {line}: ");
        let it = found
            .iter()
            .find(|said| said.contains(&place) && words.iter().all(|word| said.contains(word)));
        assert!(
            it.is_some(),
            "{rule}: nothing at line {line} with {words:?} in {found:#?}"
        );
    }
}

#[test]
fn a_board_that_is_told_by_nothing_or_has_a_folder_of_another_name_is_found() {
    let start = NANO.find("compatible = ").unwrap();
    let model = NANO.find("model = ").unwrap();
    let module = NANO.find("module = ").unwrap();
    let cores = NANO.find("\n[cores]").unwrap();
    let bad = format!(
        "{}{}{}",
        &NANO[..start],
        &NANO[model..module],
        &NANO[cores..]
    );
    let found = mistakes(&[("jetson-orin-nano", bad.as_str())]);
    assert!(
        found
            .iter()
            .any(|said| said.contains("identifies no board")),
        "{found:#?}"
    );

    let found = mistakes(&[("my-board", NANO)]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("`jetson-orin-nano` stands in the folder `my-board`"),
        "{found:#?}"
    );
    let auto = NANO.replace("name = \"jetson-orin-nano\"", "name = \"auto\"");
    assert_eq!(mistakes(&[("auto", auto.as_str())]).len(), 1);
}

#[test]
fn a_core_for_a_thread_where_none_is_isolated_is_found() {
    assert_eq!(mistakes(&[("x86-64", PC)]), Vec::<String>::new());
    let bad = PC.replace("action = { class", "action = { core = 1, class");
    let found = mistakes(&[("x86-64", bad.as_str())]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("threads.action.core"), "{found:#?}");
}

#[test]
fn boards_that_share_an_id_of_recovery_or_an_identity_are_found() {
    let both = |thor: &str| mistakes(&[("jetson-orin-nano", NANO), ("jetson-thor", thor)]);
    // The ids of a board that runs are a family's.
    assert_eq!(both(THOR), Vec::<String>::new());
    for (from, to, word) in [
        (
            "[\"0955:7026\"]",
            "[\"0955:7026\", \"0955:7623\"]",
            "`usb.recovery` has 0955:7623",
        ),
        (
            "[\"0955:7020\"]",
            "[\"0955:7523\"]",
            "`usb.booted` has 0955:7523",
        ),
        (
            "value = [\"0955:7026\"]",
            "value = [\"0955:7035\"]",
            "`usb.recovery` has 0955:7035",
        ),
        (
            "[\"nvidia,p3834-0008\"]",
            "[\"nvidia,p3767-0005\"]",
            "`identity.compatible` has nvidia,p3767-0005",
        ),
        (
            "[\"3834-0008\"]",
            "[\"3767-0003\"]",
            "`identity.module` has 3767-0003",
        ),
    ] {
        assert_eq!(THOR.matches(from).count(), 1, "{from}");
        let found = both(&THOR.replace(from, to));
        let it = found.iter().find(|said| {
            said.contains("boards/jetson-thor/board.toml line") && said.contains(word)
        });
        assert!(it.is_some(), "{to}: {found:#?}");
    }
}

#[test]
fn the_command_checks_a_file_with_the_known_boards() {
    let output = reflexarc().args(["board", "check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("my-board");
    fs::create_dir(&own).unwrap();
    let mine = NANO.replace("name = \"jetson-orin-nano\"", "name = \"my-board\"");
    fs::write(own.join("board.toml"), mine).unwrap();
    let output = reflexarc()
        .args(["board", "check"])
        .arg(&own)
        .output()
        .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for word in [
        "usb.recovery",
        "identity.compatible",
        "jetson-orin-nano has it too",
        "mistakes in board files",
    ] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
}
