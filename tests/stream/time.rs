//! What is let in, and how far time has come in one source.

use reflexarc::stream::element::{END, Element, Event, Origin};
use reflexarc::stream::time::{Admission, SourceTime, SourceTimeConfig};
use reflexarc::units::{MonoTime, Nanos};

use super::made::{Random, element};

fn push(time: &mut SourceTime, element: Element<u8>) -> (Admission, Vec<Event<u8>>) {
    let mut out = Vec::new();
    let admission = time.push(element, &mut |event| out.push(event));
    (admission, out)
}

fn tick(time: &mut SourceTime, now: i64, is_blocked: bool) -> Vec<Event<u8>> {
    let mut out = Vec::new();
    time.tick(MonoTime(now), is_blocked, &mut |event| out.push(event));
    out
}

fn bound(at: i64) -> Event<u8> {
    Event::Bound(MonoTime(at))
}

#[test]
fn an_element_in_order_says_that_the_next_lies_behind_it() {
    let mut time = SourceTime::new(SourceTimeConfig::default());
    let first = element(100, 0, 7);
    assert_eq!(
        push(&mut time, first),
        (Admission::Admitted, vec![Event::Element(first), bound(101)])
    );
}

#[test]
fn disorder_holds_the_bound_back_and_it_never_goes_back_itself() {
    let mut time = SourceTime::new(SourceTimeConfig {
        disorder: Nanos(15),
        ..SourceTimeConfig::default()
    });
    let mut random = Random(5);
    let (mut latest, mut before) = (0, MonoTime(i64::MIN));
    for seq in 0..2000 {
        let at = 10 * seq as i64 - random.below(40) as i64;
        latest = if seq == 0 { at } else { latest.max(at) };
        push(&mut time, element(at, seq, 0));
        assert_eq!(time.bound(), MonoTime(latest - 15));
        assert!(time.bound() >= before);
        before = time.bound();
    }
    assert!(
        time.counts().behind_bound > 0,
        "some disorder was too great"
    );
}

#[test]
fn a_stamp_from_the_future_is_put_aside_and_moves_nothing() {
    let mut time = SourceTime::new(SourceTimeConfig::default());
    push(&mut time, element(100, 0, 0));
    let hour = 3_600_000_000_000;
    let poison = Element {
        arrived: MonoTime(110),
        ..element(hour, 1, 0)
    };
    assert_eq!(push(&mut time, poison), (Admission::FromFuture, vec![]));
    assert_eq!(time.bound(), MonoTime(101));
    assert_eq!(push(&mut time, element(120, 2, 0)).0, Admission::Admitted);
    assert_eq!(time.counts().from_future, 1);
}

#[test]
fn what_is_too_old_or_was_seen_is_counted_and_goes_no_further() {
    let mut time = SourceTime::new(SourceTimeConfig {
        max_age: Some(Nanos(50)),
        disorder: Nanos(20),
        ..SourceTimeConfig::default()
    });
    push(&mut time, element(100, 5, 0));
    push(&mut time, element(110, 7, 0));
    assert_eq!(
        push(&mut time, element(100, 5, 0)),
        (Admission::Duplicate, vec![])
    );
    let old = Element {
        arrived: MonoTime(200),
        ..element(149, 8, 0)
    };
    assert_eq!(push(&mut time, old), (Admission::TooOld, vec![]));
    assert_eq!(time.counts().lost, 1, "number 6 has not come");
    assert_eq!(push(&mut time, element(105, 6, 0)).0, Admission::Admitted);
    let counts = time.counts();
    assert_eq!(counts.lost, 0, "now it has");
    assert_eq!(
        counts.seen,
        counts.admitted + counts.duplicates + counts.from_future + counts.too_old
    );
}

#[test]
fn a_sender_that_counts_anew_is_believed() {
    let mut time = SourceTime::new(SourceTimeConfig::default());
    for seq in 0..50 {
        push(&mut time, element(seq as i64 * 10, seq, 0));
    }
    // Switched off and on again: the numbers begin anew, time does not.
    for seq in 0..50 {
        let again = element(1000 + seq as i64 * 10, seq, 0);
        assert_eq!(push(&mut time, again).0, Admission::Admitted);
    }
    assert_eq!(time.counts().duplicates, 0);
}

#[test]
fn a_rate_hint_promises_a_period_ahead_until_it_has_been_wrong_too_often() {
    let mut time = SourceTime::new(SourceTimeConfig {
        min_period: Some(Nanos(10)),
        ..SourceTimeConfig::default()
    });
    push(&mut time, element(100, 0, 0));
    assert_eq!(time.bound(), MonoTime(110));
    for seq in 1..=8 {
        push(&mut time, element(100 + 5 * seq as i64, seq, 0));
    }
    assert_eq!(time.counts().hint_violations, 8);
    push(&mut time, element(200, 9, 0));
    assert_eq!(time.bound(), MonoTime(201), "it is not believed any more");
}

#[test]
fn a_clock_moves_time_on_while_nothing_comes() {
    let mut time = SourceTime::new(SourceTimeConfig {
        max_delay: Some(Nanos(30)),
        ..SourceTimeConfig::default()
    });
    assert_eq!(tick(&mut time, 100, false), [bound(70)]);
    assert_eq!(
        tick(&mut time, 90, false),
        [],
        "a clock set back changes nothing"
    );
    assert_eq!(tick(&mut time, 120, false), [bound(90)]);
}

#[test]
fn a_silent_source_is_not_waited_for_and_a_blocked_one_is_not_silent() {
    let mut time = SourceTime::new(SourceTimeConfig {
        idle_timeout: Some(Nanos(50)),
        ..SourceTimeConfig::default()
    });
    push(&mut time, element(100, 0, 0));
    assert_eq!(tick(&mut time, 149, false), []);
    assert_eq!(
        tick(&mut time, 190, true),
        [],
        "it could not give what it has"
    );
    assert_eq!(tick(&mut time, 239, false), []);
    assert_eq!(tick(&mut time, 240, false), [Event::Idle, bound(190)]);
    assert!(time.is_idle());
    let (_, out) = push(&mut time, element(260, 1, 0));
    assert_eq!(out.len(), 2);
    assert!(!time.is_idle());
}

#[test]
fn what_the_runtime_made_up_is_no_sign_of_life() {
    let mut time = SourceTime::new(SourceTimeConfig {
        idle_timeout: Some(Nanos(50)),
        ..SourceTimeConfig::default()
    });
    push(&mut time, element(100, 0, 0));
    let filled = Element {
        origin: Origin::Filled,
        ..element(140, 0, 0)
    };
    let (admission, out) = push(&mut time, filled);
    assert_eq!(
        (admission, out),
        (Admission::Admitted, vec![Event::Element(filled)])
    );
    assert_eq!(time.bound(), MonoTime(101));
    assert!(tick(&mut time, 150, false).contains(&Event::Idle));
}

#[test]
fn the_end_and_what_the_source_knows_move_time_at_once() {
    let mut time = SourceTime::new(SourceTimeConfig::default());
    let mut out = Vec::new();
    time.advance(MonoTime(500), &mut |event: Event<u8>| out.push(event));
    time.advance(MonoTime(400), &mut |event| out.push(event));
    time.end(&mut |event| out.push(event));
    assert_eq!(out, [bound(500), Event::Bound(END)]);
}

#[test]
fn settings_that_cannot_be_are_refused_with_the_way_out() {
    for (text, words) in [
        ("disorder = \"-1 ms\"", "below zero"),
        ("min_period = \"0 ms\"", "not above zero"),
        ("idle_timeout = \"-1 s\"", "leave it out"),
        (
            "min_period = \"10 ms\"\ndisorder = \"2 ms\"",
            "leave one of them out",
        ),
    ] {
        let config: SourceTimeConfig = toml::from_str(text).unwrap();
        let why = config.check().unwrap_err();
        assert!(why.contains(words), "{text}: {why}");
    }
    assert!(SourceTimeConfig::default().check().is_ok());
}
