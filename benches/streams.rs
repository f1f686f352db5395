//! What does one element cost in the stream engine, beside a loop written by hand for the same result?

mod support;

use std::collections::VecDeque;
use std::hint::black_box;

use reflexarc::stream::aggregate::numbers::{Max, Mean};
use reflexarc::stream::align::choice::Choice;
use reflexarc::stream::align::operator::{Align, LaneConfig, Told};
use reflexarc::stream::builder::Stream;
use reflexarc::stream::element::{END, Element, Event, Origin};
use reflexarc::stream::operator::Operator as _;
use reflexarc::stream::time::{SourceTime, SourceTimeConfig};
use reflexarc::stream::window::config::WindowConfig;
use reflexarc::units::{MonoTime, Nanos};
use support::{Bench, Peer};

/// The result was needed.
fn used<T>(result: T) {
    let _ = black_box(result);
}

const MS: i64 = 1_000_000;

fn main() {
    let mut bench = Bench::start(
        "streams",
        "What does one element cost in the stream engine, beside a loop written by hand?",
    );
    let seconds = i64::try_from(bench.size(100, 2)).unwrap_or(2);
    let sensor = readings(seconds);
    chain(&mut bench, &sensor);
    windows(&mut bench, &sensor);
    align(&mut bench, &sensor, &frames(seconds));
    bench.finish();
}

fn element(at: i64, seq: u64, value: f64) -> Element<f64> {
    Element {
        at: MonoTime(at),
        arrived: MonoTime(at + MS),
        seq,
        source: 0,
        origin: Origin::Measured,
        value,
    }
}

/// 100 Hz with a millisecond of jitter.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn readings(seconds: i64) -> Vec<Element<f64>> {
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    (0..seconds.unsigned_abs() * 100)
        .map(|seq| {
            let jitter = i64::try_from(next() % 1_000_000).unwrap_or(0);
            let at = i64::try_from(seq).unwrap_or(0) * 10 * MS + jitter;
            element(at, seq, (next() % 1000) as f64 / 1000.0)
        })
        .collect()
}

/// 30 a second.
fn frames(seconds: i64) -> Vec<Element<f64>> {
    (0..seconds.unsigned_abs() * 30)
        .map(|seq| element(i64::try_from(seq).unwrap_or(0) * 1_000 * MS / 30, seq, 0.0))
        .collect()
}

fn chain(bench: &mut Bench, sensor: &[Element<f64>]) {
    let count = sensor.len() as u64;
    let mut running = Stream::input()
        .filter(|x: &f64| *x > 0.5)
        .map(|x| x * 2.0)
        .filter_map(|x| (*x < 1.9).then_some(x + 1.0))
        .start();
    let engine = |running: &mut reflexarc::stream::builder::Running<_>| {
        let mut sum = 0.0;
        for element in sensor {
            push(running, Event::Element(*element), &mut sum);
        }
        sum
    };
    let by_hand = || {
        let mut sum = 0.0;
        for element in sensor {
            let x = element.value;
            if x > 0.5 && x * 2.0 < 1.9 {
                sum += x * 2.0 + 1.0;
            }
        }
        sum
    };
    assert!(
        (engine(&mut running) - by_hand()).abs() < 1e-9,
        "both give the same"
    );
    bench.compare(
        "filter, map, filter_map: an element",
        200,
        &mut [
            Peer::timed("engine", count, || used(engine(&mut running))),
            Peer::timed("a loop by hand", count, || used(by_hand())),
        ],
    );
}

fn push<O>(running: &mut reflexarc::stream::builder::Running<O>, event: Event<f64>, sum: &mut f64)
where
    O: reflexarc::stream::operator::Operator<In = Event<f64>, Out = Event<f64>>,
{
    running.push(event, |event| {
        if let Event::Element(element) = event {
            *sum += element.value;
        }
    });
}

/// With its admission: bounds come from the data.
fn windows(bench: &mut Bench, sensor: &[Element<f64>]) {
    let count = sensor.len() as u64;
    for (title, size, slide) in [
        ("mean of 50 ms every 25 ms", 50, 25),
        ("mean of 10 s every 5 s", 10_000, 5_000),
        ("mean of 10 s every 100 ms", 10_000, 100),
    ] {
        let (size, slide) = (Nanos::from_millis(size), Nanos::from_millis(slide));
        let config = WindowConfig::sliding(size, slide);
        let engine = || {
            let mut time = SourceTime::new(SourceTimeConfig::default());
            let mut windows = Stream::input()
                .window(&config, |_: &f64| 0, Mean)
                .expect("a window that can be")
                .start();
            let (mut sum, mut results) = (0.0, 0_u64);
            let mut take = |event| {
                windows.push(event, |event| {
                    if let Event::Element(window) = event {
                        sum += window.value.result.unwrap_or(0.0);
                        results += 1;
                    }
                });
            };
            for element in sensor {
                time.push(*element, &mut take);
            }
            time.end(&mut take);
            (results, sum)
        };
        let by_hand = || means_by_hand(sensor, size.0, slide.0);
        let ((ours, sum), (theirs, expected)) = (engine(), by_hand());
        assert_eq!(ours, theirs, "{title}");
        assert!(
            (sum - expected).abs() < 1e-6,
            "{title}: {sum} and {expected}"
        );
        bench.compare(
            &format!("{title}: an element"),
            60,
            &mut [
                Peer::timed("engine", count, || used(engine())),
                Peer::timed("a deque by hand, summed anew", count, || {
                    used(by_hand());
                }),
            ],
        );
    }
    let config = WindowConfig::sliding(Nanos::from_secs(10), Nanos::from_millis(100));
    let engine = || {
        let mut time = SourceTime::new(SourceTimeConfig::default());
        let mut windows = Stream::input()
            .window(&config, |_: &f64| 0, Max)
            .expect("a window that can be")
            .start();
        let mut results = 0;
        let mut take = |event| windows.push(event, |_| results += 1);
        for element in sensor {
            time.push(*element, &mut take);
        }
        time.end(&mut take);
        results
    };
    bench.compare(
        "greatest of 10 s every 100 ms: an element",
        60,
        &mut [Peer::timed("engine", count, || used(engine()))],
    );
}

/// What one writes without an engine: elements in order, and each window summed up when it is over.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn means_by_hand(sensor: &[Element<f64>], size: i64, slide: i64) -> (u64, f64) {
    let mut kept: VecDeque<(i64, f64)> = VecDeque::new();
    let (mut results, mut total) = (0, 0.0);
    let first = sensor.first().map_or(0, |e| e.at.0);
    let mut end = (first.div_euclid(slide) + 1) * slide;
    let mut close = |kept: &mut VecDeque<(i64, f64)>, end: i64| {
        while kept.front().is_some_and(|(at, _)| *at < end - size) {
            kept.pop_front();
        }
        let inside = kept.iter().take_while(|(at, _)| *at < end);
        let (count, sum) = inside.fold((0_u64, 0.0), |(n, sum), (_, x)| (n + 1, sum + x));
        if count > 0 {
            results += 1;
            total += sum / count as f64;
        }
    };
    for element in sensor {
        while element.at.0 >= end {
            close(&mut kept, end);
            end += slide;
        }
        kept.push_back((element.at.0, element.value));
    }
    let last = sensor.last().map_or(0, |e| e.at.0);
    while end - size <= last {
        close(&mut kept, end);
        end += slide;
    }
    (results, total)
}

/// A frame's nearest reading: told in the order of arrival.
fn align(bench: &mut Bench, sensor: &[Element<f64>], frames: &[Element<f64>]) {
    let mut told: Vec<Told<f64, f64>> = Vec::new();
    let mut readings = sensor.iter().peekable();
    for frame in frames {
        while let Some(reading) = readings.next_if(|r| r.arrived.0 <= frame.at.0 + 10 * MS) {
            told.push(Told::Lane(0, Event::Element(*reading)));
            told.push(Told::Lane(0, Event::Bound(reading.at + Nanos(1))));
        }
        told.push(Told::Primary(Event::Element(*frame)));
    }
    told.push(Told::Lane(0, Event::Bound(END)));
    let lane = LaneConfig {
        chain: vec![Choice::Interpolate {
            max_gap: Nanos::from_millis(100),
        }],
        is_needed: false,
        capacity: 512,
        late_steps: 32,
    };
    let engine = || {
        let mut align = Align::<f64, f64, 1>::new([lane.clone()], 8, Nanos::from_millis(50));
        let (mut count, mut sum) = (0_u64, 0.0);
        for told in &told {
            align.push(*told, &mut |event| {
                if let Event::Element(set) = event {
                    count += 1;
                    sum += set.value.answers[0].value.unwrap_or(0.0);
                }
            });
        }
        (count, sum)
    };
    // All readings in a list, searched for each frame.
    let by_hand = || {
        let mut sum = 0.0;
        for frame in frames {
            let after = sensor.partition_point(|r| r.at <= frame.at);
            if let (Some(b), Some(a)) = (after.checked_sub(1), sensor.get(after)) {
                let (b, t) = (&sensor[b], frame.at.0);
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let share = (t - b.at.0) as f64 / (a.at.0 - b.at.0) as f64;
                sum += b.value + (a.value - b.value) * share;
            }
        }
        (frames.len() as u64, sum)
    };
    let ((ours, sum), (theirs, expected)) = (engine(), by_hand());
    assert_eq!(ours, theirs);
    assert!((sum - expected).abs() < 1e-6, "{sum} and {expected}");
    bench.compare(
        "30 frames among 100 readings a second, interpolated: a frame",
        60,
        &mut [
            Peer::timed("engine, as it comes", frames.len() as u64, || {
                used(engine());
            }),
            Peer::timed("by hand, everything there", frames.len() as u64, || {
                used(by_hand());
            }),
        ],
    );
}
