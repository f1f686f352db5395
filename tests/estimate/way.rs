//! A user's own pipeline is judged before it runs, with the sum.

use reflexarc::config::Config;
use reflexarc::estimate::way::{Check, SensorLoad, Way, WindowLoad, check};
use reflexarc::link::policy::{LinkPolicy, WhenFull};
use reflexarc::rt::plan::Layout;
use reflexarc::stream::configured::load::{Rates, measure};
use reflexarc::units::{Hertz, Nanos};

const MS: fn(i64) -> Nanos = Nanos::from_millis;

/// A camera of 30 frames a second with an encoder that takes this long.
fn way(work: Nanos) -> Way {
    Way {
        period: Some(Nanos(33_333_333)),
        work,
        workers: 1,
        layout: Layout::CaptureApart,
        frames: LinkPolicy::NEWEST,
        beat: MS(10),
        goal: MS(100),
        frame_bytes: 1920 * 1080 * 2,
        slots: 4,
        readings_room: 256,
        idle_turn: MS(50),
        sensors: Vec::new(),
        windows: Vec::new(),
    }
}

#[test]
fn an_encoder_that_keeps_up_is_no_reason_to_warn() {
    let check = check(&way(MS(13)));
    assert!(check.warnings.is_empty(), "{:?}", check.warnings);
    assert_eq!(check.age_sum(), MS(23), "work, and until the next beat");
    assert_eq!(check.memory_bytes, 16_588_800);
    assert!(check.to_string().contains("utilisation 39 %"), "{check}");
}

#[test]
fn an_encoder_that_cannot_keep_up_is_named_with_the_sum() {
    let check = check(&way(MS(41)));
    assert_eq!(
        check.warnings,
        [
            "features + fusion: 41 ms of work every 33.3 ms: utilisation 123 %, frames will be skipped: at most 24 a second \
             get through"
        ]
    );
    let age = MS(41) + MS(10) + Nanos(33_333_333);
    assert_eq!(check.age_sum(), age, "a frame waits for less than a period");
}

#[test]
fn how_old_a_frame_gets_under_overload_follows_from_its_link() {
    let waits = |when_full, room, one_of, workers| {
        let frames = LinkPolicy {
            when_full,
            room,
            one_of,
            expire: None,
        };
        let way = Way {
            frames,
            workers,
            ..way(MS(100))
        };
        check(&way).age_sum() - MS(110)
    };
    let period = Nanos(33_333_333);
    assert_eq!(waits(WhenFull::NewestOnly, 1, 1, 1), period);
    assert_eq!(waits(WhenFull::DropOldest, 4, 1, 1), period * 4);
    assert_eq!(waits(WhenFull::DropNewest, 4, 1, 1), MS(400));
    assert_eq!(waits(WhenFull::Block, 4, 1, 2), MS(200));
    assert_eq!(waits(WhenFull::NewestOnly, 1, 2, 1), period * 2);
    // What is left is not too much.
    assert_eq!(waits(WhenFull::DropNewest, 4, 4, 1), Nanos::ZERO);
    assert_eq!(waits(WhenFull::DropNewest, 4, 1, 4), Nanos::ZERO);
}

#[test]
fn a_frame_that_will_be_too_old_is_named_with_the_sum() {
    let check = check(&way(MS(70)));
    assert_eq!(check.warnings.len(), 2);
    assert!(
        check.warnings[1].contains(
            "33.3 ms until it is taken or gives way to the next + 70 ms of work + 10 ms until the next beat = 113 ms at worst: \
             over the goal of 100 ms"
        ),
        "{}",
        check.warnings[1]
    );
}

#[test]
fn a_source_that_waits_to_be_read_overloads_nobody() {
    let check = check(&Way {
        period: None,
        ..way(MS(60))
    });
    assert!(check.warnings.is_empty() && check.loads.is_empty());
}

#[test]
fn readings_that_will_be_lost_while_fusion_is_away_are_counted() {
    let with_rate = |rate| {
        let sensor = SensorLoad {
            name: "imu".to_owned(),
            rate: Hertz::new(rate).unwrap(),
        };
        check(&Way {
            sensors: vec![sensor],
            ..way(MS(13))
        })
    };
    assert!(with_rate(1_000.0).warnings.is_empty());
    let warnings = with_rate(8_000.0).warnings;
    assert_eq!(
        warnings,
        [
            "imu: 8000 readings a second for the 50 ms that fusion is away are 400, and 256 can wait: 144 will be lost each time"
        ]
    );
}

fn window(name: &str, slide: Nanos, work: Nanos, workers: u16) -> WindowLoad {
    WindowLoad {
        name: name.to_owned(),
        slide,
        work,
        workers,
        guessed: None,
    }
}

fn with_windows(windows: Vec<WindowLoad>) -> Check {
    check(&Way {
        windows,
        ..way(MS(13))
    })
}

#[test]
fn m8_a_window_whose_work_cannot_keep_up_is_refused_with_the_sum() {
    let windows =
        |work, workers| with_windows(vec![window("stream `align`", MS(25), work, workers)]);
    let refusal = windows(MS(30), 1).refuse().unwrap_err();
    assert_eq!(
        refusal.what,
        "stream `align`: 30 ms of work every 25 ms: utilisation 120 %: it cannot keep up"
    );
    assert_eq!(
        refusal.why,
        "the first result is done 30 ms after its window's end, result 40 225 ms after, and so on without end"
    );
    assert!(refusal.fix.contains("at least 30 ms"), "{refusal}");
    assert!(refusal.fix.contains("2 workers"), "{refusal}");
    let two = windows(MS(30), 2);
    assert!(two.refuse().is_ok() && two.warnings.is_empty(), "{two}");
    let near = windows(MS(22), 1);
    assert!(near.refuse().is_ok());
    assert_eq!(
        near.warnings,
        [
            "stream `align`: 22 ms of work every 25 ms: utilisation 88 %: whatever else runs there makes its results late"
        ]
    );
    let easy = windows(MS(10), 1);
    assert!(easy.refuse().is_ok() && easy.warnings.is_empty());
    assert!(easy.to_string().contains("utilisation 40 %"), "{easy}");
}

#[test]
fn streams_that_keep_up_one_by_one_are_refused_where_one_thread_has_to_do_all() {
    let third = || window("stream `a`", MS(30), MS(13), 1);
    let two = with_windows(vec![third(), third()]);
    assert!(two.refuse().is_ok() && two.warnings.len() == 1, "{two}");
    let three = with_windows(vec![third(), third(), third()]);
    let refusal = three.refuse().unwrap_err();
    assert!(
        refusal
            .what
            .contains("all streams together: 1.3 s of work every 1 s"),
        "{refusal}"
    );
}

#[test]
fn a_guessed_rate_warns_and_does_not_refuse() {
    let guessed = WindowLoad {
        guessed: Some(100.0),
        ..window("stream `imu`", MS(10), MS(15), 1)
    };
    let check = with_windows(vec![guessed]);
    assert!(check.refuse().is_ok());
    let [warning] = &check.warnings[..] else {
        panic!("{check}");
    };
    assert!(
        warning.contains("utilisation 150 %") && warning.contains("a guess of 100 elements"),
        "{warning}"
    );
}

/// The real operators, on this machine.
#[test]
fn the_work_of_a_configured_stream_is_measured_at_the_rate_of_its_port() {
    let rates = |rate| Rates {
        camera: Hertz::new(30.0),
        beat: Hertz::new(100.0),
        sensors: vec![Hertz::new(rate)],
    };
    let load = |text: &str, rate| {
        let text = format!("[[stream]]\nname = \"x\"\n{text}");
        let config = Config::parse(&text, "t").unwrap_or_else(|fault| panic!("{fault}"));
        measure(&config.stream[0], &rates(rate)).unwrap()
    };
    let speed = "from = \"sensor-0\"\nvalue = \"speed\"\n";
    let small = load(
        &format!("{speed}window = {{ preset = \"vla-align-fast\" }}"),
        100.0,
    );
    assert_eq!((small.period, small.is_guess), (MS(25), false));
    assert!(small.work > Nanos::ZERO && small.work < MS(25), "{small:?}");
    // What no thread could ever do: a result of 99 percent for each of a hundred million readings a second.
    let trailing =
        "aggregate = \"p99\"\nwindow = { kind = \"trailing\", size = \"10 ms\", buffer = 10000 }";
    let fast = load(&format!("{speed}{trailing}"), 1e8);
    assert!(fast.work > fast.period, "{fast:?}");
    // Results come once in five minutes, or after so many, or with each element.
    for (text, period) in [
        ("window = { preset = \"batch-stream-fusion\" }", MS(60_000)),
        (
            "window = { kind = \"count\", count = 100, every = 50 }",
            MS(500),
        ),
        ("window = { kind = \"session\", gap = \"1 s\" }", MS(10)),
        (
            "when = [\"policy.confidence > 0.5\", \"speed > 2\"]",
            MS(5_000),
        ),
    ] {
        let load = load(&format!("{speed}{text}"), 100.0);
        assert_eq!(load.period, period, "{text}");
        assert!(load.work > Nanos::ZERO, "{text}: {load:?}");
    }
    let unknown = load("from = \"sensor-1\"\nvalue = \"v0\"", 100.0);
    assert!(unknown.is_guess, "nobody says how fast sensor 1 is");
    for (port, value) in [
        ("frame", "total_ms"),
        ("action", "age_ms"),
        ("instruction", "id"),
    ] {
        let load = load(&format!("from = \"{port}\"\nvalue = \"{value}\""), 100.0);
        assert!(
            !load.is_guess && load.work > Nanos::ZERO,
            "{port}: {load:?}"
        );
    }
}
