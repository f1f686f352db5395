//! What is measured with real threads: that the counts add up and the order is kept, and what may be said of the times. How
//! long anything took is the machine's affair, and no test's.

use reflexarc::estimate::agreement::{Verdict, agreement};
use reflexarc::estimate::measure::{Measured, Trial, measure};
use reflexarc::estimate::queue::{End, Item, Queue, WhenFull};
use reflexarc::estimate::setting::Setting;
use reflexarc::units::Nanos;

const MS: fn(i64) -> Nanos = Nanos::from_millis;

fn measured(when_full: WhenFull, room: Option<u32>) -> Measured {
    let setting = Setting {
        queue: Queue {
            workers: 1,
            room,
            when_full,
        },
        ..Setting::periodic(40, MS(2), MS(4))
    };
    measure(Trial::plan(&setting, MS(400)).unwrap()).unwrap()
}

fn done(items: &[Item]) -> Vec<(Nanos, Nanos)> {
    items
        .iter()
        .filter_map(|item| match item.end {
            End::Done { began, done } => Some((began, done)),
            End::Dropped { .. } => None,
        })
        .collect()
}

/// In order, one at a time, each for at least its work, none before it came.
fn assert_worked_off(measured: &Measured) {
    let all = done(&measured.items);
    let mut last = Nanos::ZERO;
    for (began, done) in all {
        assert!(began >= last, "one at a time");
        assert!(done - began >= MS(4), "each for its work");
        last = done;
    }
    for item in &measured.items {
        if let (Some(entered), End::Done { began, .. }) = (item.entered, item.end) {
            assert!(item.arrived <= entered && began >= item.arrived);
        }
    }
    let account = &measured.account;
    assert_eq!(account.arrived, 40);
    assert_eq!(account.arrived, account.done + account.dropped);
    // The last one to come finds room in every link but a full one that drops the newest.
    assert!(account.done >= 1);
}

#[test]
fn with_room_for_all_every_item_is_done() {
    let measured = measured(WhenFull::Block, None);
    assert_worked_off(&measured);
    assert_eq!(measured.account.dropped, 0);
    assert_eq!(measured.theory.done, 40);
}

#[test]
fn a_blocked_source_loses_nothing() {
    let measured = measured(WhenFull::Block, Some(3));
    assert_worked_off(&measured);
    assert_eq!(measured.account.dropped, 0);
}

#[test]
fn a_full_link_refuses_the_newest_and_the_counts_add_up() {
    let measured = measured(WhenFull::DropNewest, Some(3));
    assert_worked_off(&measured);
    assert!(
        measured.account.dropped > 0,
        "twice as much comes as can be done"
    );
    let entered = measured.items.iter().filter(|i| i.entered.is_some());
    assert_eq!(entered.count() as u64, measured.account.done);
}

#[test]
fn a_newest_link_always_delivers_the_last_item() {
    let measured = measured(WhenFull::NewestOnly, None);
    assert_worked_off(&measured);
    assert!(
        measured.account.dropped > 0,
        "twice as much comes as can be done"
    );
    assert!(measured.items.last().unwrap().done().is_some());
}

#[test]
fn several_workers_share_the_items() {
    if reflexarc::rt::thread::allowed_cores().len() < 2 {
        eprintln!("skipped: two workers at once take two cores");
        return;
    }
    let setting = Setting {
        queue: Queue::unbounded(2),
        ..Setting::periodic(20, MS(2), MS(3))
    };
    let measured = measure(Trial::plan(&setting, MS(400)).unwrap()).unwrap();
    assert_eq!(measured.account.done, 20);
}

#[test]
fn a_trial_keeps_the_ratios_and_ends_in_time() {
    let w2 = Setting::periodic(100, MS(100), MS(50));
    let trial = Trial::plan(&w2, Nanos::from_secs(2)).unwrap();
    assert_eq!(trial.setting.items, 100);
    assert!((trial.setting.utilisation() - 0.5).abs() < 1e-6);
    let makespan = trial.setting.outcome().stream.makespan();
    assert!((makespan - Nanos::from_secs(2)).abs() < MS(1), "{makespan}");

    // Shorter than a millisecond would measure the machine: then there are fewer items.
    let many = Setting::periodic(1_000_000, MS(2), MS(1));
    let trial = Trial::plan(&many, Nanos::from_secs(1)).unwrap();
    assert!(trial.setting.items < 1_000);
    assert_eq!(trial.setting.interval(), MS(2));

    // What is short is left as it is.
    let short = Setting::periodic(10, MS(10), MS(5));
    assert_eq!(
        Trial::plan(&short, Nanos::from_secs(5)).unwrap().setting,
        short
    );
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_reason() {
    let refused = |queue: Queue, work| {
        let setting = Setting {
            queue,
            ..Setting::periodic(10, MS(10), work)
        };
        Trial::plan(&setting, Nanos::from_secs(1)).unwrap_err().why
    };
    let shared = Queue {
        workers: 2,
        room: Some(5),
        when_full: WhenFull::DropNewest,
    };
    assert!(refused(shared, MS(5)).contains("several workers"));
    let crowd = Queue::unbounded(u16::MAX);
    assert!(refused(crowd, MS(5)).contains("cores"));
    let no_room = Queue {
        room: Some(0),
        ..Queue::default()
    };
    assert!(refused(no_room, MS(5)).contains("room for at least one"));
    let work = Nanos::from_micros(10);
    assert!(refused(Queue::default(), work).contains("50 us"));
}

/// A measurement as it would be on a perfect machine, to be spoilt.
fn perfect() -> Measured {
    let mut measured = measured(WhenFull::Block, None);
    measured.account = measured.theory.clone();
    measured.wakes = Default::default();
    measured.source_late = Default::default();
    measured.handover = Default::default();
    measured.overshoot = Default::default();
    measured.overshoot_sum = Nanos::ZERO;
    measured
}

#[test]
fn a_perfect_machine_agrees_and_a_slow_program_on_it_does_not() {
    let mut measured = perfect();
    assert_eq!(agreement(&measured).verdict, Verdict::Agrees);
    measured.account.latency.mean_ns += measured.theory.latency.mean_ns / 50;
    let agreement = agreement(&measured);
    assert_eq!(agreement.verdict, Verdict::Differs);
    let outside: Vec<_> = agreement.rows.iter().filter(|row| !row.within).collect();
    assert_eq!(outside.len(), 1);
    assert!((outside[0].difference_percent - 2.0).abs() < 0.01);
}

#[test]
fn nothing_is_claimed_of_a_machine_that_is_busy_with_something_else() {
    let mut measured = perfect();
    measured.overshoot_sum = Nanos(measured.theory.latency.mean_ns);
    assert_eq!(agreement(&measured).verdict, Verdict::TooLoaded);
    let mut measured = perfect();
    measured.wakes.p99_ns = measured.theory.latency.mean_ns;
    assert_eq!(agreement(&measured).verdict, Verdict::TooLoaded);
}
