//! Our side of `scripts/dev peers streams`: the streams of a robot in real time, and a chain as fast as it goes.
//!
//! usage: ours windows|join|asof SECONDS AHEAD OUT
//!        ours chain join|asof|hand INPUT PASSES OUT
//!        ours facts
//!
//! See README.md beside this file, and FlinkStreams.java, which does the same and writes the same lines.

#[path = "../../support/mod.rs"]
mod support;

use std::fmt::Write as _;

use reflexarc::clock;
use reflexarc::link::{EveryReader, every};
use reflexarc::rt::thread::housekeeping;
use reflexarc::rt::wait::{Bell, WaitPolicy};
use reflexarc::stream::aggregate::numbers::{Mean, Sum};
use reflexarc::stream::aggregate::of;
use reflexarc::stream::align::choice::Choice;
use reflexarc::stream::align::operator::{Align, LaneConfig, Told};
use reflexarc::stream::builder::Stream;
use reflexarc::stream::element::{Element, Event, Origin, Side};
use reflexarc::stream::operator::Operator as _;
use reflexarc::stream::time::{SourceTime, SourceTimeConfig};
use reflexarc::stream::window::config::WindowConfig;
use reflexarc::units::{MonoTime, Nanos};

const MS: i64 = 1_000_000;
const CAMERA: usize = 0;
const SENSOR: usize = 1;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [mode @ ("windows" | "join" | "asof"), seconds, ahead, out] => {
            let seconds = seconds.parse().expect("seconds");
            save(out, in_real_time(mode, seconds, ahead == "1"));
        }
        ["chain", way, input, passes, out] => {
            let input = load(input);
            let passes = passes.parse().expect("a number of passes");
            save(out, chain(way, &input, passes));
        }
        ["facts"] => support::say(&support::machine::facts().to_string()),
        // `cargo test --benches` and `cargo bench` without a driver: only that it still runs.
        _ => {
            let input: Vec<Row> = (0..4000).map(|i| (1000 + i * 10, reading(i))).collect();
            let mut frames: Vec<Row> = (0..1000).map(|i| (2000 + i * 33, None)).collect();
            frames.extend(&input);
            frames.sort_by_key(|row| row.0);
            let of = |way| {
                let text = chain(way, &frames, 1);
                text.split_once('\n').expect("a line of time").1.to_owned()
            };
            assert_eq!(of("join"), of("hand"), "all ways give the same");
            assert_eq!(of("asof"), of("hand"), "all ways give the same");
            for mode in ["windows", "join", "asof"] {
                assert!(in_real_time(mode, 1, true).contains("out,"), "{mode}");
            }
            support::say("works; to compare: scripts/dev peers streams");
        }
    }
}

fn save(path: &str, text: String) {
    std::fs::write(path, text).expect("the file can be written");
}

#[expect(clippy::cast_precision_loss, reason = "below 1024")]
fn reading(number: i64) -> Option<f64> {
    Some((number * 37 % 1024) as f64 / 1024.0)
}

fn element<T>(at: i64, arrived: i64, seq: i64, value: T) -> Element<T> {
    Element {
        at: MonoTime(at),
        arrived: MonoTime(arrived),
        seq: seq.unsigned_abs(),
        source: 0,
        origin: Origin::Measured,
        value,
    }
}

// ------------------------------------------------------------------------------------------- in real time

/// Stream and value of an element, with its own number there.
type Taken = Element<(usize, f64)>;

/// One thread gives 30 frames and 100 readings a second, each at its instant; another sleeps until it is rung, and does all
/// the work. The lines of the log.
fn in_real_time(mode: &str, seconds: i64, ahead: bool) -> String {
    let bell = Bell::new();
    let (mut link, reader) = every(64, &bell);
    let begin = clock::now() + Nanos(100 * MS);
    let source = housekeeping("source", move || {
        let mut taken = Vec::with_capacity(usize::try_from(seconds * 131).unwrap_or(0));
        let (mut frame, mut reading) = (0, 0);
        loop {
            // No frame and no reading lie in the same millisecond, and none lies on an end of a window.
            let frame_due = 28_500_000 + frame * 1_000_000_000 / 30;
            let reading_due = 4 * MS + reading * 10 * MS;
            let due = frame_due.min(reading_due);
            if due > seconds * 1_000_000_000 {
                return taken;
            }
            clock::sleep_until(begin + Nanos(due));
            let (stream, number) = if frame_due < reading_due {
                frame += 1;
                (CAMERA, frame - 1)
            } else {
                reading += 1;
                (SENSOR, reading - 1)
            };
            let now = clock::now();
            let value = self::reading(number).unwrap_or(0.0);
            // Whole milliseconds, as the others count.
            let at = due / MS;
            taken.push((at, stream, now));
            let full = link.push(element(at * MS, (now - begin).0, number, (stream, value)));
            assert!(full.is_ok(), "the stream fell 64 elements behind");
        }
    })
    .expect("a thread");
    let given = match mode {
        "windows" => windows(reader, &bell, ahead, seconds),
        "join" => join(reader, &bell, seconds),
        _ => asof(reader, &bell, seconds),
    };
    let taken = source.join().expect("the source ended");
    let mut text = format!("begin,{}\n", begin.0);
    for (at, stream, now) in taken {
        writeln!(text, "in,{at},{stream},{}", now.0).expect("text has room");
    }
    for [time, stream, value, now] in given {
        writeln!(text, "out,{time},{stream},{value},{now}").expect("text has room");
    }
    text
}

/// Every element, as it comes; the thread sleeps in between.
fn as_they_come(mut link: EveryReader<Taken>, bell: &Bell, mut take: impl FnMut(Taken)) {
    loop {
        let deadline = clock::now() + Nanos::from_secs(1);
        let park = WaitPolicy::Park { spin: Nanos::ZERO };
        bell.wait(park, None, deadline, || {
            !link.is_empty() || link.is_abandoned()
        });
        while let Some(element) = link.pop() {
            take(element);
        }
        if link.is_abandoned() && link.is_empty() {
            return;
        }
    }
}

fn source(period: Option<Nanos>) -> SourceTime {
    SourceTime::new(SourceTimeConfig {
        min_period: period,
        ..SourceTimeConfig::default()
    })
}

fn room(seconds: i64) -> Vec<[i64; 4]> {
    Vec::with_capacity(usize::try_from(seconds * 400).unwrap_or(0))
}

/// The end of each window, its stream, its sum in units of 1/1024, and when it was said.
fn windows(link: EveryReader<Taken>, bell: &Bell, ahead: bool, seconds: i64) -> Vec<[i64; 4]> {
    let config = WindowConfig {
        keys: 2,
        ..WindowConfig::sliding(Nanos::from_millis(50), Nanos::from_millis(25))
    };
    let mut given = room(seconds);
    let sums = of(|taken: &(usize, f64)| taken.1, Sum);
    let stream = Stream::input().beside(Stream::input()).merge();
    let mut running = stream
        .window(&config, |taken: &(usize, f64)| taken.0, sums)
        .expect("a window that can be")
        .start();
    let mut times = if ahead {
        [
            source(Some(Nanos(33 * MS))),
            source(Some(Nanos::from_millis(10))),
        ]
    } else {
        [source(None), source(None)]
    };
    as_they_come(link, bell, |taken| {
        let mut push = |side| {
            running.push(side, |event| {
                if let Event::Element(window) = event {
                    let window = window.value;
                    #[expect(clippy::cast_possible_truncation, reason = "a whole number")]
                    let sum = (window.result * 1024.0) as i64;
                    let stream = i64::from(window.key);
                    given.push([window.end.0 / MS, stream, sum, clock::now().0]);
                }
            });
        };
        let stream = taken.value.0;
        times[stream].push(taken, &mut |event| {
            // One source, in order: what comes of one stream says how far the other has come.
            match (event, ahead) {
                (Event::Bound(_), false) => {
                    push(Side::Left(event));
                    push(Side::Right(event));
                }
                _ if stream == CAMERA => push(Side::Left(event)),
                _ => push(Side::Right(event)),
            }
        });
    });
    given
}

/// A frame's time, 1, its reading's time, and when the pair was said.
fn join(link: EveryReader<Taken>, bell: &Bell, seconds: i64) -> Vec<[i64; 4]> {
    let mut given = room(seconds);
    let reach = Nanos::from_millis(10);
    let stream = Stream::input()
        .map(|taken: &(usize, i64)| taken.1)
        .beside(Stream::input().map(|taken: &(usize, i64)| taken.1));
    let mut running = stream
        .join(-reach, reach, 64, |_: &i64, _: &i64| true)
        .start();
    let mut times = [source(None), source(None)];
    as_they_come(link, bell, |taken| {
        let (stream, at) = (taken.value.0, taken.at.0 / MS);
        times[stream].push(taken.with((stream, at)), &mut |event| {
            let side = if stream == CAMERA {
                Side::Left(event)
            } else {
                Side::Right(event)
            };
            running.push(side, |event| {
                if let Event::Element(pair) = event {
                    given.push([pair.value.0, 1, pair.value.1, clock::now().0]);
                }
            });
        });
    });
    given
}

/// A frame's time, 1, its state between the readings before and after in units of 1/1024, and when it was said.
fn asof(link: EveryReader<Taken>, bell: &Bell, seconds: i64) -> Vec<[i64; 4]> {
    let mut given = room(seconds);
    let lane = LaneConfig {
        chain: vec![Choice::Interpolate {
            max_gap: Nanos::from_millis(100),
        }],
        is_needed: false,
        capacity: 64,
        late_steps: 8,
    };
    let mut align = Align::<(), f64, 1>::new([lane], 8, Nanos::from_millis(50));
    let mut time = source(None);
    as_they_come(link, bell, |taken| {
        let mut push = |told| {
            align.push(told, &mut |event| {
                if let Event::Element(set) = event {
                    let state = set.value.answers[0].value.unwrap_or(0.0);
                    #[expect(clippy::cast_possible_truncation, reason = "below 1024")]
                    let state = (state * 1024.0) as i64;
                    given.push([set.at.0 / MS, 1, state, clock::now().0]);
                }
            });
        };
        if taken.value.0 == CAMERA {
            push(Told::Primary(Event::Element(taken.with(()))));
        } else {
            let reading = taken.with(taken.value.1);
            time.push(reading, &mut |event| push(Told::Lane(0, event)));
        }
    });
    given
}

// ------------------------------------------------------------------------------------------- as fast as it goes

/// Milliseconds, and the value of a reading; a frame has none.
type Row = (i64, Option<f64>);

fn load(path: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(path).expect("the input can be read");
    let row = |line: &str| {
        let mut fields = line.split(',');
        let at = fields.next()?.parse().ok()?;
        let is_reading = fields.next()? == "1";
        let value = fields.next().and_then(|field| field.parse().ok());
        Some((at, value.filter(|_| is_reading)))
    };
    text.lines().map(|line| row(line).expect("a row")).collect()
}

/// Filter, map, mean of 50 ms every 25 ms, and for each frame the mean of the window that ended last, less than 25 ms before.
fn chain(way: &str, input: &[Row], passes: usize) -> String {
    let mut text = String::new();
    let mut results: Vec<(i64, f64)> = Vec::with_capacity(input.len());
    for _ in 0..passes {
        results.clear();
        let began = clock::now();
        match way {
            "join" => chain_join(input, &mut results),
            "asof" => chain_asof(input, &mut results),
            _ => chain_by_hand(input, &mut results),
        }
        writeln!(text, "ns,{}", (clock::now() - began).0).expect("text has room");
    }
    for (at, mean) in results {
        writeln!(text, "result,{at},{:x}", mean.to_bits()).expect("text has room");
    }
    text
}

/// Numbers as their sources would give them.
fn numbered(input: &[Row], mut take: impl FnMut(Result<Element<f64>, Element<()>>)) {
    let mut counts = [0; 2];
    for &(at, value) in input {
        let at = at * MS;
        let count = &mut counts[usize::from(value.is_some())];
        *count += 1;
        take(value.map_or_else(
            || Err(element(at, at, *count, ())),
            |value| Ok(element(at, at, *count, value)),
        ));
    }
}

/// With the admission of both streams, and an interval join.
fn chain_join(input: &[Row], results: &mut Vec<(i64, f64)>) {
    let config = WindowConfig::sliding(Nanos::from_millis(50), Nanos::from_millis(25));
    let means = Stream::input()
        .filter(|x: &f64| *x > 0.25)
        .map(|x| x * 2.0 + 1.0)
        .window(&config, |_| 0, Mean)
        .expect("a window that can be")
        .map(|window| window.result.unwrap_or(0.0));
    // A result lies 1 ns before its window's end.
    let (from, to) = (Nanos(1), Nanos::from_millis(25));
    let mut running = means
        .beside(Stream::input())
        .join(from, to, 64, |_: &f64, (): &()| true)
        .start();
    let mut push = |side| {
        running.push(side, |event| {
            if let Event::Element(pair) = event {
                results.push((pair.at.0 / MS, pair.value.0));
            }
        });
    };
    let (mut readings, mut frames) = (source(None), source(None));
    numbered(input, |element| {
        match element {
            Ok(reading) => readings.push(reading, &mut |event| push(Side::Left(event))),
            Err(frame) => frames.push(frame, &mut |event| push(Side::Right(event))),
        };
    });
    readings.end(&mut |event| push(Side::Left(event)));
    frames.end(&mut |event| push(Side::Right(event)));
}

/// The same with as-of alignment in place of the join.
fn chain_asof(input: &[Row], results: &mut Vec<(i64, f64)>) {
    let config = WindowConfig::sliding(Nanos::from_millis(50), Nanos::from_millis(25));
    let mut means = Stream::input()
        .filter(|x: &f64| *x > 0.25)
        .map(|x| x * 2.0 + 1.0)
        .window(&config, |_| 0, Mean)
        .expect("a window that can be")
        .map(|window| window.result.unwrap_or(0.0))
        .start();
    let lane = LaneConfig {
        chain: vec![Choice::Hold {
            max_age: Nanos::from_millis(25),
        }],
        is_needed: true,
        capacity: 16,
        late_steps: 4,
    };
    let mut align = Align::<(), f64, 1>::new([lane], 8, Nanos::MAX);
    let mut push = |told| {
        align.push(told, &mut |event| {
            if let Event::Element(set) = event
                && let Some(mean) = set.value.answers[0].value
            {
                results.push((set.at.0 / MS, mean));
            }
        });
    };
    let (mut readings, mut frames) = (source(None), source(None));
    numbered(input, |element| {
        match element {
            Ok(reading) => readings.push(reading, &mut |event| {
                means.push(event, |event| push(Told::Lane(0, event)));
            }),
            Err(frame) => frames.push(frame, &mut |event| push(Told::Primary(event))),
        };
    });
    readings.end(&mut |event| {
        means.push(event, |event| push(Told::Lane(0, event)));
    });
}

/// What one writes for exactly this: everything in order, the sums of two halves of a window, one result kept.
fn chain_by_hand(input: &[Row], results: &mut Vec<(i64, f64)>) {
    const SLIDE: i64 = 25;
    let mut half = i64::MIN;
    let (mut now, mut before) = ((0_u32, 0.0), (0_u32, 0.0));
    let mut newest = (i64::MIN / 2, 0.0);
    for &(at, value) in input {
        let this = at.div_euclid(SLIDE);
        while half < this {
            let count = now.0 + before.0;
            if count > 0 {
                newest = ((half + 1) * SLIDE, (now.1 + before.1) / f64::from(count));
            } else if half < this - 2 {
                // Nothing lies in between.
                half = this - 2;
            }
            before = std::mem::take(&mut now);
            half += 1;
        }
        match value {
            Some(x) if x > 0.25 => {
                now.0 += 1;
                now.1 += x * 2.0 + 1.0;
            }
            None if at - newest.0 < SLIDE => results.push((at, newest.1)),
            _ => {}
        }
    }
}
