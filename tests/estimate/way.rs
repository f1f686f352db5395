//! A user's own pipeline is judged before it runs, with the sum.

use reflexarc::estimate::way::{SensorLoad, Way, WindowLoad, check};
use reflexarc::estimate::window::Window;
use reflexarc::rt::plan::Layout;
use reflexarc::units::{Hertz, Nanos};

const MS: fn(i64) -> Nanos = Nanos::from_millis;

/// A camera of 30 frames a second with an encoder that takes this long.
fn way(work: Nanos) -> Way {
    Way {
        period: Some(Nanos(33_333_333)),
        work,
        layout: Layout::CaptureApart,
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

#[test]
fn windows_whose_work_is_longer_than_their_slide_are_named() {
    let windows = |work, workers| {
        let load = WindowLoad {
            name: "align".to_owned(),
            window: Window::new(MS(50), MS(25)).unwrap(),
            work,
            workers,
        };
        check(&Way {
            windows: vec![load],
            ..way(MS(13))
        })
        .warnings
    };
    assert_eq!(
        windows(MS(30), 1),
        [
            "align: 30 ms of work every 25 ms: utilisation 120 %: each window is 5 ms later than the one before, for ever; \
             take 2 workers, less work, or a longer slide"
        ]
    );
    assert!(windows(MS(30), 2).is_empty(), "two workers keep up");
    assert!(windows(MS(20), 1).is_empty());
    assert!(windows(MS(80), 4)[0].contains("over the goal"));
}
