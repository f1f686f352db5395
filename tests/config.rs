//! Promises of the configuration: the example shows everything, and every mistake is explained where it stands.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use reflexarc::cli;
use reflexarc::config::Config;
use reflexarc::error::{Fault, Kind};
use reflexarc::features::preprocess::Crop;
use reflexarc::fusion::views::ViewChoice;
use reflexarc::rt::plan::Machine;
use reflexarc::run;

const EXAMPLE: &str = include_str!("../reflexarc.example.toml");

/// Every table of the configuration; the empty name is the top level.
const TABLES: [&str; 26] = [
    "",
    "camera",
    "camera.v4l2",
    "camera.file",
    "camera.synthetic",
    "camera.scene",
    "camera.view",
    "links.frames",
    "links.features",
    "links.readings",
    "encoder",
    "language",
    "sensor",
    "sensor.csv",
    "sensor.iio",
    "align",
    "policy",
    "stream",
    "policy.gaze",
    "action",
    "record",
    "state",
    "goals",
    "threads",
    "threads.capture",
    "real_time",
];

/// All that was read, for comparing. Not where it was read from.
fn all(config: &Config) -> String {
    let c = config;
    let (ends, middle) = (
        (&c.camera, &c.sensor, &c.sink, &c.action),
        (
            &c.encoder,
            &c.language,
            &c.align,
            &c.policy,
            &c.stream,
            &c.links,
        ),
    );
    format!(
        "{ends:#?}{middle:#?}{:#?}",
        (&c.record, &c.state, &c.goals, &c.threads, &c.real_time,)
    )
}

#[test]
fn the_example_sets_everything_to_its_default() {
    let example = Config::parse(EXAMPLE, "reflexarc.example.toml").unwrap();
    assert_eq!(all(&example), all(&Config::default()));
    assert_eq!(
        all(&Config::parse("", "empty").unwrap()),
        all(&Config::default())
    );
}

/// The example's keys with their tables, those in comments too, and the same text with nothing in comments.
fn keys_of_the_example() -> (Vec<String>, String) {
    let (mut keys, mut uncommented, mut table) = (Vec::new(), String::new(), String::new());
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_key = bare
            .split_once(" = ")
            .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        if bare.starts_with('[') && bare.ends_with(']') {
            table = bare.trim_matches(['[', ']']).to_owned();
            keys.push(table.clone());
        } else if is_key {
            let key = bare.split_once(" = ").unwrap().0;
            keys.push(format!("{table}.{key}").trim_start_matches('.').to_owned());
        } else {
            continue;
        }
        writeln!(uncommented, "{bare}").unwrap();
    }
    (keys, uncommented)
}

#[test]
fn what_stands_in_comments_in_the_example_is_right_too() {
    let (_, text) = keys_of_the_example();
    let config = Config::parse(&text, "the example without its comments").unwrap();
    assert_eq!(config.sensor.len(), 1);
    assert_eq!(config.threads.cores, Some(vec![2, 3]));
    assert_eq!(config.camera.first.v4l2.controls.len(), 3);
}

#[test]
fn one_camera_is_a_table_and_several_are_an_array() {
    let one = Config::parse("[camera]\nsource = \"synthetic\"\n", "one").unwrap();
    assert_eq!(one.cameras().count(), 1);
    let text = "[[camera]]\nsource = \"synthetic\"\n[camera.synthetic]\nseed = 5\n\
                [[camera]]\nsource = \"v4l2:/dev/video7\"\n[camera.view]\nchoice = \"nearest\"\n\
                [[camera]]\n";
    let several = Config::parse(text, "several").unwrap();
    assert_eq!(several.camera.first.synthetic.seed, 5);
    let [second, third] = &several.camera.others[..] else {
        panic!("{:?}", several.camera.others);
    };
    assert_eq!(second.source.written(), "v4l2:/dev/video7");
    assert_eq!(second.view.as_ref().unwrap().choice, ViewChoice::Nearest);
    assert_eq!(third.view, None);
}

/// Mistakes that only several keys together make: the text, and words that the message must have.
const TOGETHER: &[(&str, &[&str])] = &[
    (
        "[camera.view]\nchoice = \"hold\"",
        &["first camera", "later [[camera]]"],
    ),
    (
        "[[camera]]\n[[camera]]\nsource = \"scene\"",
        &["scene", "there is one robot"],
    ),
    (
        "encoder.workers = 2\nlinks.frames.when_full = \"drop-oldest\"",
        &["drop-oldest", "in turn", "newest-only"],
    ),
    (
        "encoder.workers = 2\nlinks.features.one_of = 2",
        &["links.features", "each worker's turn"],
    ),
    (
        "encoder.workers = 2\nthreads.layout = \"together\"",
        &["threads.layout", "apart"],
    ),
    (
        "encoder.workers = 2\nrecord.path = \"run.mcap\"",
        &["record.path", "replay --workers"],
    ),
    (
        "encoder.partners = [0, 1, 2]\nencoder.workers = 2",
        &["encoder.partners", "shared evenly", "equally many"],
    ),
    (
        "policy.name = \"still\"\nencoder.name = \"null\"\nencoder.partners = [0]",
        &["encoder.partners", "run as a plan"],
    ),
    (
        "encoder.backend = \"candle\"\nencoder.partners = [0]",
        &["encoder.partners", "run as a plan"],
    ),
];

#[test]
fn what_cannot_be_together_is_refused_with_the_way_out() {
    for (text, wanted) in TOGETHER {
        let config = Config::parse(text, "t.toml").unwrap();
        let said = config.check().unwrap_err().to_string();
        for word in *wanted {
            assert!(said.contains(word), "{text}: {said} lacks {word}");
        }
    }
}

#[test]
fn the_example_has_every_key_that_the_code_knows() {
    let (shown, _) = keys_of_the_example();
    for table in TABLES {
        let header = match table {
            "" => String::new(),
            "sensor" | "stream" => format!("[[{table}]]\n"),
            inner if inner.starts_with("sensor.") => {
                format!("[[sensor]]\nsource = \"udp:0.0.0.0:0\"\n[{inner}]\n")
            }
            table => format!("[{table}]\n"),
        };
        // Who gives an unknown key is told the known ones: by serde, from the code.
        let fault = Config::parse(&format!("{header}not_a_key = 1\n"), "t").unwrap_err();
        let known: Vec<&str> = fault.why.split('`').skip(3).step_by(2).collect();
        assert!(!known.is_empty(), "[{table}] says {fault}");
        for key in known {
            let full = format!("{table}.{key}");
            let full = full.trim_start_matches('.');
            assert!(
                shown.iter().any(|s| s == full),
                "reflexarc.example.toml does not show `{key}` of [{table}]"
            );
        }
    }
}

/// Name, text, the line at fault, and words that the message must have.
type Mistake = (&'static str, &'static str, usize, &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    // Names.
    (
        "unknown table",
        "\n[cammera]\nsource = \"scene\"",
        2,
        &["cammera", "did you mean `camera`"],
    ),
    (
        "unknown key",
        "[threads]\npriorty = 7",
        2,
        &["priorty", "did you mean `priority`"],
    ),
    (
        "a camera's key, in the second of two",
        "[[camera]]\n[[camera]]\nsauce = \"scene\"",
        3,
        &["did you mean `source`"],
    ),
    ("no worker", "[encoder]\nworkers = 0", 2, &["1 to 16"]),
    (
        "a partner twice",
        "[encoder]\npartners = [1, 1]",
        2,
        &["core 1 is named twice"],
    ),
    (
        "a policy of a link that is none",
        "[links.frames]\nwhen_full = \"newest\"",
        2,
        &["newest-only", "drop-oldest"],
    ),
    (
        "a link without room",
        "[links.readings]\nroom = 0",
        2,
        &["1 to 4096"],
    ),
    (
        "one of none",
        "[links.frames]\none_of = 0",
        2,
        &["1 to 1000"],
    ),
    (
        "an age that everything has",
        "[links.frames]\nexpire = \"0 ms\"",
        2,
        &["above 0"],
    ),
    (
        "a snapshot too often",
        "[state]\nevery = \"1 ms\"",
        2,
        &["100 ms to 1 h"],
    ),
    (
        "a journal that no start could read",
        "[state]\njournal_mib = 65",
        2,
        &["1 to 64"],
    ),
    (
        "a level that is none",
        "[state]\nlevel = \"all\"",
        2,
        &["snapshot", "journal"],
    ),
    (
        "unknown key with no neighbour",
        "[goals]\nxylophone = 7",
        2,
        &["xylophone", "remove it"],
    ),
    (
        "key of another table",
        "[camera]\nwidth = 640",
        2,
        &["width", "move it to the table"],
    ),
    (
        "unknown key in a sub-table",
        "[camera.v4l2]\n\nwidht = 640",
        3,
        &["did you mean `width`"],
    ),
    (
        "unknown key of a sensor",
        "[[sensor]]\nsource = \"csv:a.csv\"\ncolums = []",
        3,
        &["colums"],
    ),
    (
        "a table that is missing its brackets",
        "policy = \"still\"",
        1,
        &["policy", "expected a table"],
    ),
    // Types.
    (
        "text where a number is wanted",
        "[action]\nrate = \"100\"",
        2,
        &["the text \"100\"", "a number"],
    ),
    (
        "number where text is wanted",
        "[language]\ninstruction = 7",
        2,
        &["the number `7`", "text in quotes"],
    ),
    (
        "text where true or false is wanted",
        "[real_time]\nstrict = \"yes\"",
        2,
        &["true or false"],
    ),
    (
        "number where a duration is wanted",
        "[goals]\nfusion = 50",
        2,
        &["a duration in quotes", "40 ms"],
    ),
    (
        "one core instead of a list",
        "[threads]\ncores = 1",
        2,
        &["a list in [ ]"],
    ),
    (
        "fraction where a whole number is wanted",
        "[align]\nreadings = 2.5",
        2,
        &["a whole number"],
    ),
    (
        "list where one is wanted",
        "[camera]\nsource = [\"scene\"]",
        2,
        &["a list", "text in quotes"],
    ),
    // Units.
    (
        "unit missing",
        "[goals]\nfusion = \"50\"",
        2,
        &["not a duration", "ns, us, ms"],
    ),
    (
        "unit unknown",
        "[goals]\nfusion = \"50 msec\"",
        2,
        &["50 msec", "ns, us, ms"],
    ),
    (
        "number unreadable",
        "[goals]\nfusion = \"1.2.3 ms\"",
        2,
        &["1.2.3", "not a number"],
    ),
    (
        "angle without a unit",
        "[camera.scene]\nspeed = \"90\"",
        2,
        &["not an angle", "deg or rad"],
    ),
    // Ranges.
    (
        "duration below zero",
        "[action]\nhold_after = \"-1 s\"",
        2,
        &["above 0"],
    ),
    (
        "goal of zero",
        "[goals]\nfusion = \"0 ms\"",
        2,
        &["above 0"],
    ),
    (
        "age below zero",
        "[align]\nmax_age = \"-5 ms\"",
        2,
        &["below zero"],
    ),
    ("rate of zero", "[action]\nrate = 0", 2, &["above 0", "Hz"]),
    (
        "rate not finite",
        "[camera.v4l2]\nrate = inf",
        2,
        &["above 0"],
    ),
    (
        "action clock too fast",
        "[action]\nrate = 2000",
        2,
        &["1 to 1000 Hz"],
    ),
    (
        "camera too small",
        "[camera.v4l2]\nwidth = 2",
        2,
        &["16", "8192"],
    ),
    (
        "camera below zero",
        "[camera.v4l2]\nheight = -480",
        2,
        &["-480", "16"],
    ),
    (
        "too few buffers",
        "[camera.v4l2]\nbuffers = 1",
        2,
        &["3", "32"],
    ),
    (
        "file slots",
        "[camera.file]\npace = \"fastest\"\nslots = 1000",
        3,
        &["slots", "3 to 64"],
    ),
    (
        "synthetic width",
        "[camera.synthetic]\nheight = 480\nwidth = 4",
        3,
        &["width", "16 to 8192"],
    ),
    (
        "synthetic width odd",
        "[camera.synthetic]\nwidth = 641",
        2,
        &["width", "even"],
    ),
    (
        "scene width",
        "[camera.scene]\nseed = 3\n\nwidth = 10000",
        4,
        &["width", "64 to 4096"],
    ),
    (
        "scene angle",
        "[camera.scene]\nfield_of_view = \"179 deg\"",
        2,
        &["field_of_view", "20 to 100 deg"],
    ),
    (
        "the scene's range in dotted form",
        "camera.scene.slots = 1",
        1,
        &["slots", "2 to 32"],
    ),
    (
        "a seed below zero",
        "[camera.scene]\nseed = -1",
        2,
        &["-1", "0 or more"],
    ),
    (
        "chance above one",
        "[camera.synthetic]\ngaps = \"120%\"",
        2,
        &["0% to 100%"],
    ),
    (
        "too few readings to align by",
        "[align]\nreadings = 1",
        2,
        &["2 to 65536"],
    ),
    (
        "wait longer than the stage may take",
        "[align]\nwait = \"60 ms\"",
        2,
        &["at most 50", "goal"],
    ),
    (
        "quaternion behind the values",
        "[align]\nquaternion = 13",
        2,
        &["write 0 to 12"],
    ),
    (
        "default state too long",
        "[align]\ndefault = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]",
        2,
        &["17 values", "at most 16"],
    ),
    (
        "unknown way to align",
        "[align]\nchoice = \"spline\"",
        2,
        &["interpolate", "nearest", "hold", "latest"],
    ),
    (
        "share above one",
        "[action]\nsafe_speed = 1.5",
        2,
        &["above 0, up to 1"],
    ),
    (
        "limit of zero",
        "[action]\nvelocity_max = [1.0, 0.0]",
        2,
        &["above 0"],
    ),
    (
        "percentile above 100",
        "[goals]\npercentile = 101",
        2,
        &["at most 100"],
    ),
    (
        "priority too low",
        "[threads]\npriority = 2",
        2,
        &["3..=99"],
    ),
    (
        "priority too high",
        "[threads]\npriority = 100",
        2,
        &["3..=99"],
    ),
    (
        "priority far too high",
        "[threads]\npriority = 1000",
        2,
        &["0 to 255"],
    ),
    (
        "too many sensor values",
        "[[sensor]]\nsource = \"unix:/tmp/s\"\nvalues = 17",
        3,
        &["1 to 16"],
    ),
    (
        "crop outside the picture",
        "[encoder]\ncrop = { x = 0.9, y = 0, width = 0.5, height = 1 }",
        2,
        &["within the picture"],
    ),
    // Words.
    (
        "bad word",
        "[action]\nmode = \"torque\"",
        2,
        &["torque", "position", "velocity"],
    ),
    (
        "word nearly right",
        "[threads]\nlayout = \"togther\"",
        2,
        &["did you mean `together`"],
    ),
    (
        "unknown policy",
        "[policy]\nname = \"dance\"",
        2,
        &["dance", "still"],
    ),
    (
        "unknown encoder",
        "[encoder]\nname = \"resnet\"",
        2,
        &["resnet", "efficientnet-lite0"],
    ),
    (
        "unknown crop",
        "[encoder]\ncrop = \"left\"",
        2,
        &["left", "centre"],
    ),
    (
        "unknown format",
        "[camera.v4l2]\nformats = [\"H264\"]",
        2,
        &["H264", "YUYV"],
    ),
    (
        "unknown when",
        "[camera.synthetic]\nstalls = \"often\"",
        2,
        &["often", "every 10"],
    ),
    (
        "bad source",
        "[camera]\nsource = \"/dev/video0\"",
        2,
        &["did you mean v4l2:/dev/video0"],
    ),
    (
        "bad source setting",
        "[camera]\nsource = \"synthetic:640x480,gapps=1%\"",
        2,
        &["gapps", "gaps"],
    ),
    (
        "bad sink",
        "sink = \"tcp:host:1\"",
        1,
        &["tcp:host:1", "udp:HOST:PORT"],
    ),
    (
        "sink without a port",
        "sink = \"udp:host\"",
        1,
        &["needs a port"],
    ),
    (
        "bad sensor",
        "[[sensor]]\nsource = \"spi:0\"",
        2,
        &["spi:0", "iio:NAME"],
    ),
    (
        "sensor without a source",
        "\n[[sensor]]\nvalues = 2",
        2,
        &["missing", "source", "add"],
    ),
    // Syntax.
    (
        "duplicate key",
        "[threads]\npriority = 7\npriority = 8",
        3,
        &["duplicate key", "one of the two"],
    ),
    (
        "duplicate table",
        "[goals]\n[action]\n[goals]",
        3,
        &["duplicate key", "one of the two"],
    ),
    (
        "text without its end",
        "[language]\ninstruction = \"look",
        2,
        &["`key = value`", "quotes"],
    ),
    (
        "text without quotes",
        "[language]\ninstruction = look",
        2,
        &["quotes"],
    ),
    (
        "no equals sign",
        "[language]\nstdin true",
        2,
        &["`key = value`"],
    ),
    ("no value", "[language]\nstdin =", 2, &["`key = value`"]),
    (
        "table without its bracket",
        "[language\nstdin = true",
        1,
        &["`key = value`"],
    ),
    // Combinations.
    (
        "ladder upside down",
        "[action]\nlatch = true\nfresh_within = \"1 s\"\n",
        3,
        &["fresh_within <= hold_after"],
    ),
    (
        "ladder upside down against a default",
        "[action]\nlatch = true\nstop_after = \"400 ms\"",
        3,
        &["hold_after <= stop_after"],
    ),
    (
        "position limits without positions",
        "[action]\nmode = \"velocity\"\nposition_max = 1.0",
        3,
        &["velocity mode"],
    ),
    (
        "safe position without positions",
        "[action]\nmode = \"velocity\"\nsafe = { go_to = [0.0] }",
        3,
        &["velocity mode"],
    ),
    (
        "a policy that looks, without features",
        "[policy]\nname = \"gaze\"\n[encoder]\nname = \"null\"",
        4,
        &["encoder.name", "still"],
    ),
    (
        "the default policy without features",
        "\n[encoder]\nname = \"null\"",
        3,
        &["gaze", "null encoder"],
    ),
    (
        "a policy that points, with a part of the picture",
        "[policy]\nname = \"gaze\"\n[encoder]\n\ncrop = { x = 0.0, y = 0, width = 0.5, height = 1 }",
        5,
        &["encoder.crop", "whole picture"],
    ),
    // Cores.
    ("no core", "[threads]\ncores = []", 2, &["at least one"]),
    (
        "a core twice",
        "[threads]\nhousekeeping = [0, 1, 0]",
        2,
        &["core 0", "twice"],
    ),
    (
        "a core that is not there",
        "[threads]\nwait = \"park\"\ncores = [9999]",
        3,
        &["core 9999", "may run on"],
    ),
];

fn refused(text: &str) -> Option<Fault> {
    let config = Config::parse(text, "robot.toml");
    config.and_then(|config| config.check()).err()
}

#[test]
fn each_of_many_mistakes_is_explained_where_it_stands() {
    assert!(MISTAKES.len() >= 30);
    let mut wrong = String::new();
    for (name, text, line, words) in MISTAKES {
        let Some(fault) = refused(text) else {
            writeln!(wrong, "{name}: was accepted").unwrap();
            continue;
        };
        let said = fault.to_string();
        let place = format!("robot.toml line {line}:");
        let complete = !fault.why.is_empty() && !fault.fix.is_empty() && !said.contains("struct ");
        if fault.kind != Kind::Config
            || !complete
            || !fault.what.starts_with(&place)
            || !words.iter().all(|word| said.contains(word))
        {
            writeln!(wrong, "{name}: wanted line {line} and {words:?}\n{said}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn loaded(path: PathBuf) -> Result<Config, Fault> {
    run::configure(&cli::Run {
        config: Some(path),
        ..cli::Run::default()
    })
}

#[test]
fn a_file_that_is_none_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let fault = loaded(dir.path().join("missing.toml")).unwrap_err();
    assert!(fault.what.contains("missing.toml"), "{fault}");
    assert_eq!(fault.kind, Kind::Config, "{fault}");

    let fault = loaded(dir.path().to_owned()).unwrap_err();
    assert_eq!(fault.kind, Kind::Config, "{fault}");
    assert!(fault.why.to_lowercase().contains("directory"), "{fault}");

    let path = dir.path().join("latin1.toml");
    fs::write(&path, b"[language]\ninstruction = \"caf\xe9\"\n").unwrap();
    let fault = loaded(path).unwrap_err();
    assert_eq!(fault.kind, Kind::Config, "{fault}");
    assert!(
        fault.what.contains("line 2") && fault.fix.contains("UTF-8"),
        "{fault}"
    );

    let path = dir.path().join("windows.toml");
    fs::write(&path, "[align]\r\nreadings = 64\r\n").unwrap();
    assert_eq!(loaded(path).unwrap().align.readings, 64);
}

#[test]
fn a_board_that_does_not_exist_is_answered_with_those_that_do() {
    let args = cli::Run {
        board: Some("raspberry-pi-9".to_owned()),
        ..cli::Run::default()
    };
    let fault = run::configure(&args).unwrap_err();
    assert_eq!(fault.kind, Kind::Config);
    for word in [
        "raspberry-pi-9",
        "raspberry-pi-5",
        "jetson-orin-nano",
        "x86-64",
    ] {
        assert!(fault.to_string().contains(word), "{fault}");
    }
}

#[test]
fn a_board_with_other_cores_than_this_machine_is_refused_at_its_line() {
    let machine = Machine::detect();
    for board in ["raspberry-pi-5", "jetson-orin-nano", "x86-64"] {
        let path = format!("boards/{board}/board.toml");
        let text = fs::read_to_string(&path).unwrap();
        let result = Config::default().set_board(board);
        let wanted = [4, 5, 0, 1, 2, 3].map(|core| machine.cores.contains(&core));
        if board == "x86-64" || wanted == [true; 6] {
            result.unwrap();
        } else if let Err(fault) = result {
            let at = |key: &str| 1 + text.lines().position(|l| l.starts_with(key)).unwrap();
            let places = ["isolated", "housekeeping"]
                .map(|key| format!("{path} line {}: cores.{key}", at(key)));
            let placed = places.iter().any(|place| fault.what.starts_with(place));
            assert!(placed, "{fault}");
        }
    }
}

#[test]
fn the_whole_picture_is_seen_unless_a_policy_that_does_not_point_wants_less() {
    assert_eq!(Crop::default(), Crop::Full);
    assert_eq!(Config::default().encoder.crop, Crop::Full);
    for text in [
        "encoder.name = \"null\"\npolicy.name = \"still\"",
        "encoder.crop = \"centre\"\npolicy.name = \"still\"",
        "encoder.crop = \"full\"",
    ] {
        assert!(refused(text).is_none(), "{text}");
    }
}

#[test]
fn the_command_line_comes_on_top_of_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        "sink = \"null\"\n[camera]\nsource = \"synthetic\"\n[camera.synthetic]\nseed = 9\n",
    )
    .unwrap();
    let config = run::configure(&cli::Run {
        config: Some(file.path().to_owned()),
        sink: Some("udp:127.0.0.1:9000".parse().unwrap()),
        strict_rt: true,
        ..cli::Run::default()
    })
    .unwrap();
    assert_eq!(config.sink, Some("udp:127.0.0.1:9000".parse().unwrap()));
    assert_eq!(config.camera.first.synthetic.seed, 9);
    assert!(config.real_time.strict);
}
