//! Every number of the document's examples (W1 to W5) and of the notes on its model (M1 to M14).

use reflexarc::estimate::arrivals::Arrivals;
use reflexarc::estimate::closed::Periodic;
use reflexarc::estimate::compare::{Assumed, figures};
use reflexarc::estimate::document::Formulas;
use reflexarc::estimate::examples::{Example, FRAME_INTERVAL};
use reflexarc::estimate::figure::{Figure, Value};
use reflexarc::estimate::notes::Note;
use reflexarc::estimate::setting::Setting;
use reflexarc::estimate::window::Window;
use reflexarc::units::Nanos;

const MS: fn(i64) -> Nanos = Nanos::from_millis;

/// The rows of an example.
struct Rows(Vec<Figure>);

impl Rows {
    fn of(example: Example) -> Self {
        Self(example.figures(&example.setting().outcome()))
    }

    /// The row of this name, as it is shown, with its notes.
    #[track_caller]
    fn is(&self, name: &str, document: &str, exact: &str, notes: &[Note]) {
        let figure = self.0.iter().find(|figure| figure.name == name);
        let figure = figure.unwrap_or_else(|| panic!("no row `{name}`"));
        let said = figure
            .document
            .map_or("-".to_owned(), |said| said.to_string());
        assert_eq!(
            (said.as_str(), figure.exact.to_string().as_str()),
            (document, exact),
            "{name}"
        );
        for note in notes {
            assert!(figure.notes.contains(note), "{name} says why: {note:?}");
        }
    }
}

#[test]
fn w1_ten_items_take_15_s_as_a_batch_and_half_a_second_each_as_a_stream() {
    let rows = Rows::of(Example::W1);
    rows.is("batch: until all are done", "15 s", "15 s", &[]);
    rows.is(
        "batch: latency by its definition, from the first arrival",
        "15 s",
        "14 s",
        &[Note::M2],
    );
    rows.is("stream: latency of the last item", "500 ms", "500 ms", &[]);
    rows.is("stream: until all are done", "-", "10.5 s", &[Note::M3]);
}

#[test]
fn w2_a_worker_that_keeps_up() {
    let rows = Rows::of(Example::W2);
    rows.is("batch: until all are done", "15 s", "15 s", &[]);
    rows.is("batch: throughput", "6.667 /s", "6.667 /s", &[]);
    rows.is("batch: memory", "100 MB", "100 MB", &[]);
    rows.is("stream: latency of the last item", "50 ms", "50 ms", &[]);
    rows.is(
        "less latency, all of the batch against the last of the stream",
        "99.667 %",
        "99.667 %",
        &[Note::M3],
    );
    rows.is("stream: throughput for ever", "10 /s", "10 /s", &[]);
    rows.is("more throughput", "1.5 x", "1.493 x", &[Note::M4]);
    rows.is("stream: memory", "5 MB", "1 MB", &[Note::M6]);
    rows.is("less memory", "95 %", "99 %", &[Note::M6]);
}

#[test]
fn w3_a_worker_that_falls_behind() {
    let rows = Rows::of(Example::W3);
    rows.is("batch: until all are done", "15 s", "15 s", &[]);
    rows.is("stream: latency of the last item", "5.05 s", "5.05 s", &[]);
    rows.is("stream: throughput for ever", "10 /s", "10 /s", &[]);
    rows.is(
        "less latency, all of the batch against the last of the stream",
        "66.333 %",
        "66.333 %",
        &[],
    );
    rows.is("stream: memory", "20 MB", "51 MB", &[Note::M7]);
    rows.is("less memory", "80 %", "49 %", &[Note::M7]);
}

#[test]
fn w4_a_camera_of_30_frames_a_second() {
    let rows = Rows::of(Example::W4);
    rows.is("batch: until all are done", "3 s", "1.9 s", &[Note::M11]);
    rows.is(
        "stream: from the start of a frame's interval",
        "60 ms",
        "63.333 ms",
        &[Note::M11],
    );
    rows.is("times faster", "50 x", "30 x", &[Note::M11, Note::M3]);
}

#[test]
fn w5_windows_of_several_streams() {
    let rows = Rows::of(Example::W5);
    rows.is(
        "batch: until the slowest stream has come and is worked on",
        "1.1 s",
        "1.1 s",
        &[],
    );
    rows.is(
        "100 ms tumbling, 50 ms of work: mean latency",
        "100 ms",
        "100 ms",
        &[],
    );
    rows.is(
        "50 ms each 25 ms, 30 ms of work: latency if it could keep up",
        "80 ms",
        "55 ms",
        &[Note::M8, Note::M9],
    );
    rows.is(
        "times faster than the batch, at the 40th window",
        "13.75 x",
        "4.4 x",
        &[Note::M8],
    );
}

#[test]
fn m1_with_ever_more_items_the_reduction_goes_to_all() {
    Rows::of(Example::W2).is(
        "less latency, for ever more items",
        "66.667 %",
        "100 %",
        &[Note::M1],
    );
    // The document's own expression, for more and more items.
    let reduction = |items| {
        let (interval, work) = (MS(100), MS(50));
        Formulas {
            items,
            interval,
            work,
        }
        .latency_reduction()
    };
    assert!((reduction(100) - 99.667).abs() < 0.001);
    assert!((reduction(1_000_000) - 100.0).abs() < 0.000_1);
    assert!([10, 100, 1_000].map(reduction).is_sorted());
}

#[test]
fn m2_from_the_first_arrival_the_batch_takes_one_interval_less() {
    let name = "batch: latency by its definition, from the first arrival";
    Rows::of(Example::W1).is(name, "15 s", "14 s", &[Note::M2]);
    Rows::of(Example::W2).is(name, "15 s", "14.9 s", &[Note::M2]);
}

#[test]
fn m3_like_for_like_the_whole_is_a_third_shorter() {
    let rows = Rows::of(Example::W2);
    let m3 = &[Note::M3];
    rows.is("stream: until all are done", "-", "10.05 s", m3);
    rows.is("less time until all are done", "-", "33 %", m3);
    rows.is(
        "batch: mean latency of an item, results at the end",
        "-",
        "9.95 s",
        m3,
    );
    rows.is(
        "batch: mean latency of an item, results one by one",
        "-",
        "7.475 s",
        m3,
    );
    rows.is("stream: mean latency", "-", "50 ms", &[]);
}

#[test]
fn m4_a_hundred_items_come_out_slower_than_for_ever() {
    let rows = Rows::of(Example::W2);
    rows.is(
        "stream: throughput of these items",
        "10 /s",
        "9.95 /s",
        &[Note::M4],
    );
    let outcome = Example::W2.setting().outcome();
    assert!((outcome.stream.per_second - 100.0 / 10.05).abs() < 1e-9);
}

#[test]
fn m5_one_worker_never_more_than_doubles_the_throughput() {
    Rows::of(Example::W2).is("more throughput, at most", "3 x", "2 x", &[Note::M5]);
    for work in 1..400 {
        let said = Formulas {
            items: 100,
            interval: MS(100),
            work: MS(work),
        };
        assert!(said.rate_improvement() <= 2.0, "{work} ms");
    }
}

#[test]
fn m6_a_worker_that_keeps_up_has_one_item() {
    Rows::of(Example::W2).is("stream: most items at once", "5", "1", &[Note::M6]);
}

#[test]
fn m7_a_backlog_is_51_items_or_is_paid_for_with_losses() {
    let rows = Rows::of(Example::W3);
    let m7 = &[Note::M7];
    rows.is("stream: most items at once", "20", "51", m7);
    let row = |name: &str, dropped, longest| {
        rows.is(&format!("stream, {name}: items dropped"), "-", dropped, m7);
        rows.is(
            &format!("stream, {name}: longest latency"),
            "-",
            longest,
            m7,
        );
    };
    row("room for 20, drop newest", "30", "2.1 s");
    row("room for 20, drop oldest", "30", "2.05 s");
    row("newest only", "49", "150 ms");
}

#[test]
fn m8_the_optimised_case_falls_behind_for_ever() {
    let rows = Rows::of(Example::W5);
    let m8 = &[Note::M8];
    rows.is(
        "50 ms each 25 ms, 30 ms of work: utilisation",
        "-",
        "120 %",
        m8,
    );
    rows.is("the 10th window is late by", "30 ms", "75 ms", m8);
    rows.is(
        "the 40th window, after 1 s, is late by",
        "30 ms",
        "225 ms",
        m8,
    );
    rows.is(
        "the 40th window with 2 workers is late by",
        "-",
        "30 ms",
        m8,
    );
    rows.is(
        "with a newest link: windows at most late by",
        "-",
        "55 ms",
        m8,
    );
}

#[test]
fn m9_waits_are_the_slide_at_worst_and_half_of_it_on_average() {
    let rows = Rows::of(Example::W5);
    let m9 = &[Note::M9];
    rows.is(
        "100 ms tumbling, 50 ms of work: longest latency",
        "100 ms",
        "150 ms",
        m9,
    );
    rows.is(
        "50 ms each 25 ms: longest wait for the first window",
        "50 ms",
        "25 ms",
        m9,
    );
    rows.is(
        "50 ms each 25 ms: mean wait for the first window",
        "50 ms",
        "12.5 ms",
        m9,
    );
}

#[test]
fn m10_neither_version_meets_50_ms() {
    let rows = Rows::of(Example::W5);
    let m10 = &[Note::M10];
    rows.is(
        "100 ms against the goal of 50 ms",
        "slightly above",
        "2 x",
        m10,
    );
    rows.is("80 ms against the goal of 50 ms", "close to", "1.6 x", m10);
}

#[test]
fn m11_case_1_holds_for_regular_frames_only() {
    let rows = Rows::of(Example::W4);
    let m11 = &[Note::M11];
    rows.is("time between frames", "30 ms", "33.333 ms", m11);
    rows.is("batch: work on 30 frames", "2 s", "900 ms", m11);
    rows.is(
        "times faster, the stream as the document has it",
        "50 x",
        "31.667 x",
        m11,
    );
    rows.is("utilisation", "-", "90 %", m11);
    rows.is("Poisson arrivals: mean latency", "60 ms", "165 ms", m11);
    rows.is(
        "Poisson arrivals, newest only: longest latency, simulated",
        "-",
        "60 ms",
        m11,
    );
    let bell = "work 30 ms ± 5 ms: p99 latency, simulated";
    let bell = rows.0.iter().find(|row| row.name == bell).unwrap();
    let Value::Time(p99) = bell.exact else {
        panic!("a time");
    };
    assert!((MS(47)..MS(48)).contains(&p99), "{p99}");
}

#[test]
fn m12_raw_video_is_a_hundred_and_more_megabytes_a_second() {
    let rows = Rows::of(Example::W4);
    let row = |format, rate| {
        rows.is(
            &format!("1080p30 in {format}"),
            "tens of MB/s",
            rate,
            &[Note::M12],
        );
    };
    row("RGB", "186.624 MB/s");
    row("YUYV", "124.416 MB/s");
    row("NV12", "93.312 MB/s");
}

#[test]
fn m13_windows_begin_at_a_millisecond() {
    Rows::of(Example::W5).is("shortest window allowed", "1 s", "1 ms", &[Note::M13]);
    assert!(Window::new(MS(50), MS(25)).is_ok());
    assert!(Window::new(MS(1), MS(1)).is_ok());
    assert!(Window::new(Nanos::from_micros(999), Nanos::from_micros(999)).is_err());
    assert!(Window::new(Nanos::from_secs(3601), MS(25)).is_err());
    assert!(Window::new(MS(25), MS(50)).is_err(), "gaps");
}

#[test]
fn m14_a_quarter_of_the_fast_windows_has_nothing_new() {
    Rows::of(Example::W5).is(
        "windows of 50 ms each 25 ms without a new frame",
        "-",
        "25 %",
        &[Note::M14],
    );
    // Counted over 1,190 windows.
    let window = Window::new(MS(50), MS(25)).unwrap();
    let frames = Arrivals::Periodic {
        interval: FRAME_INTERVAL,
    };
    let without = window.without_new(&frames.instants(2_000), 1_190);
    assert!((297..=298).contains(&without), "{without}");
    assert_eq!(window.holds(FRAME_INTERVAL), (1, 2));
}

#[test]
fn the_documents_claim_of_half_to_99_percent_holds_for_both_of_its_examples() {
    for example in [Example::W2, Example::W3] {
        let reduction = example.setting().formulas().latency_reduction();
        assert!((50.0..=99.7).contains(&reduction), "{reduction}");
    }
}

#[test]
fn every_note_stands_at_a_number_and_names_its_place() {
    let mut shown: Vec<Note> = Example::ALL
        .into_iter()
        .flat_map(|example| Rows::of(example).0)
        .flat_map(|figure| figure.notes)
        .collect();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown, Note::ALL);
    for note in Note::ALL {
        assert!(note.place().starts_with(['4', '5', '6']), "{note:?}");
        assert!(note.text().ends_with('.'), "{note:?}");
    }
}

#[test]
fn windows_of_a_users_own_are_compared_too() {
    let setting = Setting {
        window: Some(Window::new(MS(100), MS(100)).unwrap()),
        ..Setting::periodic(40, FRAME_INTERVAL, MS(50))
    };
    let rows = Rows(figures(&setting, &setting.outcome(), Assumed::default()));
    rows.is(
        "window: longest wait until the first one is complete",
        "50 ms",
        "100 ms",
        &[Note::M9],
    );
    rows.is("window: utilisation", "-", "50 %", &[Note::M8]);
}

#[test]
fn poisson_arrivals_of_a_users_own_show_what_they_come_to_for_ever() {
    let setting = Setting {
        arrivals: Arrivals::Poisson {
            mean: FRAME_INTERVAL,
            seed: 1,
        },
        ..Setting::periodic(100, FRAME_INTERVAL, MS(30))
    };
    let rows = Rows(figures(&setting, &setting.outcome(), Assumed::default()));
    rows.is("stream: mean latency for ever", "-", "165 ms", &[Note::M11]);
}

#[test]
fn two_workers_are_as_good_as_half_the_work_once_they_are_full() {
    let periodic = |work, workers| Periodic {
        items: 1_000,
        interval: MS(10),
        work,
        workers,
    };
    assert!((periodic(MS(30), 2).steady_rate() - periodic(MS(15), 1).steady_rate()).abs() < 1e-9);
    assert!((periodic(MS(30), 2).utilisation() - 1.5).abs() < 1e-12);
}
