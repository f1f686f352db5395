//! The table in the terminal.

use std::io::{self, Write};
use std::sync::mpsc;

use reflexarc::telemetry::goals::GoalsConfig;
use reflexarc::telemetry::live::{Live, LiveView, Look};
use reflexarc::telemetry::report::Report;
use reflexarc::units::Nanos;

use crate::ms;
use crate::run::Run;

/// A terminal that remembers what was written to it.
struct Screen(mpsc::SyncSender<Vec<u8>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn screen() -> (Screen, mpsc::Receiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::sync_channel(1000);
    (Screen(sender), receiver)
}

fn shown(receiver: &mpsc::Receiver<Vec<u8>>) -> String {
    let bytes: Vec<u8> = receiver.try_iter().flatten().collect();
    String::from_utf8(bytes).unwrap()
}

/// What a terminal shows after `output`: as much of ECMA-48 as the table uses.
fn replay(output: &str) -> Vec<String> {
    let mut rows: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = output.chars();
    while let Some(c) = rest.next() {
        match c {
            '\n' => {
                (row, column) = (row + 1, 0);
                rows.resize(rows.len().max(row + 1), Vec::new());
            }
            '\r' => column = 0,
            '\x1b' => {
                assert_eq!(rest.next(), Some('['));
                let mut number = String::new();
                let command = loop {
                    match rest.next().unwrap() {
                        c if c.is_ascii_digit() => number.push(c),
                        c => break c,
                    }
                };
                match command {
                    'A' => row -= number.parse::<usize>().unwrap(),
                    'K' => rows[row].truncate(column),
                    'J' => {
                        rows.truncate(row + 1);
                        rows[row].truncate(column);
                    }
                    'm' => {}
                    other => panic!("unexpected command {other}"),
                }
            }
            c => {
                let line = &mut rows[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
    }
    rows.into_iter().map(String::from_iter).collect()
}

fn view() -> LiveView {
    LiveView {
        title: "scene -> efficientnet-lite0 -> gaze -> scene".to_owned(),
        duration: Some(Nanos::from_secs(20)),
        instruction: "find the motorcycle".to_owned(),
        policy: "tracking \"motor scooter\" (match 0.71)".to_owned(),
        links: Run::default().facts().links,
        source_away: false,
        lost_samples: 0,
    }
}

fn table_look(columns: usize, rows: usize) -> Look {
    Look::Table {
        columns,
        rows,
        colour: true,
    }
}

#[test]
fn a_redrawn_table_covers_the_one_before() {
    let (screen, receiver) = screen();
    let mut live = Live::new(Box::new(screen), table_look(100, 40));
    let collector = Run::default().collector();
    let goals = GoalsConfig::default();
    let mut first = view();
    first.policy = "a long explanation that a shorter one must cover".to_owned();
    live.update(ms(1000), collector.measured(), &goals, || first);
    live.update(ms(1250), collector.measured(), &goals, view);
    let rows = replay(&shown(&receiver));
    let of = |word: &str| rows.iter().filter(|r| r.contains(word)).count();
    assert_eq!(of("reflexarc"), 1, "{rows:#?}");
    assert_eq!(of("camera to action"), 1);
    assert_eq!(of("policy  "), 1);
    assert_eq!(of("a shorter one must cover"), 0);
    assert_eq!(
        rows.last().unwrap(),
        "",
        "the cursor stands below the table"
    );
}

#[test]
fn a_source_that_is_away_stands_in_the_table_and_in_the_line() {
    let away = || LiveView {
        source_away: true,
        ..view()
    };
    for look in [table_look(100, 40), Look::Lines] {
        for (view, times) in [(away as fn() -> LiveView, 1), (view, 0)] {
            let (screen, receiver) = screen();
            let mut live = Live::new(Box::new(screen), look);
            let collector = Run::default().collector();
            live.update(
                ms(1000),
                collector.measured(),
                &GoalsConfig::default(),
                view,
            );
            assert_eq!(shown(&receiver).matches("AWAY").count(), times, "{look:?}");
        }
    }
}

#[test]
fn the_table_is_drawn_four_times_a_second_and_asks_for_nothing_in_between() {
    let (screen, receiver) = screen();
    let mut live = Live::new(Box::new(screen), table_look(100, 40));
    let collector = Run::default().collector();
    let mut asked = 0;
    for n in 0..100 {
        let view = || {
            asked += 1;
            view()
        };
        live.update(
            ms(n * 20),
            collector.measured(),
            &GoalsConfig::default(),
            view,
        );
    }
    // 2 s: one at the start, then each 260 ms, the first multiple of 20 past 250.
    assert_eq!(asked, 8);
    assert_eq!(receiver.try_iter().count(), 8, "each in one write");
}

#[test]
fn no_line_is_wider_and_no_table_higher_than_the_window() {
    for (columns, rows) in [(80, 24), (100, 40), (40, 10), (10, 3), (1, 1)] {
        let (screen, receiver) = screen();
        let mut live = Live::new(Box::new(screen), table_look(columns, rows));
        let collector = Run::default().collector();
        for n in 0..3 {
            live.update(
                ms(n * 300),
                collector.measured(),
                &GoalsConfig::default(),
                view,
            );
        }
        let drawn = replay(&shown(&receiver));
        assert!(drawn.len() <= rows, "{columns}x{rows}: {drawn:#?}");
        for line in drawn {
            assert!(
                line.chars().count() < columns.max(2),
                "{columns}x{rows}: {line}"
            );
        }
    }
}

#[test]
fn eighty_columns_hold_the_stages_whole() {
    let (screen, receiver) = screen();
    let mut live = Live::new(Box::new(screen), table_look(80, 40));
    let collector = Run::default().collector();
    live.update(ms(1), collector.measured(), &GoalsConfig::default(), view);
    let rows = replay(&shown(&receiver));
    let features = rows.iter().find(|r| r.starts_with("features")).unwrap();
    assert!(
        !features.contains('…') && features.matches('|').count() == 2,
        "{features}"
    );
}

#[test]
fn where_there_is_no_terminal_it_is_a_line_a_second_without_control_characters() {
    let (screen, receiver) = screen();
    let mut live = Live::new(Box::new(screen), Look::Lines);
    let collector = Run::default().collector();
    for n in 0..31 {
        live.update(
            ms(n * 100),
            collector.measured(),
            &GoalsConfig::default(),
            view,
        );
    }
    let text = shown(&receiver);
    assert_eq!(text.lines().count(), 4);
    assert!(!text.contains('\x1b'));
}

#[test]
fn quiet_is_quiet() {
    let (screen, receiver) = screen();
    let mut live = Live::new(Box::new(screen), Look::Quiet);
    let run = Run::default();
    let collector = run.collector();
    live.update(ms(1), collector.measured(), &GoalsConfig::default(), view);
    live.finish(&Report::new(&collector, run.facts()), None);
    assert_eq!(shown(&receiver), "");
}

#[test]
fn the_summary_takes_the_place_of_the_table() {
    let (screen, receiver) = screen();
    let mut live = Live::new(Box::new(screen), table_look(100, 60));
    let run = Run::default();
    let collector = run.collector();
    live.update(ms(1), collector.measured(), &GoalsConfig::default(), view);
    let page = std::path::Path::new("reports/latest/report.html");
    live.finish(&Report::new(&collector, run.facts()), Some(page));
    let rows = replay(&shown(&receiver));
    assert!(rows[0].starts_with("GOALS MET"), "{rows:#?}");
    assert!(
        rows.iter()
            .any(|r| r == "report: reports/latest/report.html")
    );
    assert!(!rows.iter().any(|r| r.contains("elements/s  scene")));
}

#[test]
fn a_closed_pipe_ends_the_show_and_not_the_run() {
    let (screen, receiver) = screen();
    drop(receiver);
    let mut live = Live::new(Box::new(screen), Look::Lines);
    let run = Run::default();
    let collector = run.collector();
    for n in 0..5 {
        live.update(
            ms(n * 1000),
            collector.measured(),
            &GoalsConfig::default(),
            view,
        );
    }
    live.finish(&Report::new(&collector, run.facts()), None);
}
