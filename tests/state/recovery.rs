//! What the next run begins with, after a kill, a reboot, a set clock, a changed configuration or damage.

use std::path::Path;

use reflexarc::state::clocks::{Away, BootId, ClockMap};
use reflexarc::state::config::OnChange;
use reflexarc::state::content::{InForce, State, id};
use reflexarc::state::journal::{Entry, What};
use reflexarc::state::pair::{NAMES, Pair};
use reflexarc::state::recovery::{Now, Resumed, hash, recover};
use reflexarc::state::segments::Ring;
use reflexarc::units::{MonoTime, Nanos};

use crate::damage::{entry, head, state};

const HOUR: i64 = 3_600_000_000_000;
const LEASE: u64 = 60_000;

/// 3.5 s after the state's snapshot, in the same boot.
fn later() -> ClockMap {
    let before = state(3, 7).clocks;
    ClockMap {
        mono: before.mono + Nanos::from_millis(3500),
        utc: before.utc + 3_500_000_000,
        ..before
    }
}

fn now(clocks: ClockMap) -> Now<'static> {
    Now {
        graph: 5,
        clocks,
        given: None,
        on_change: OnChange::Cold,
        lease: LEASE,
    }
}

fn keep(folder: &Path, state: &State) {
    Pair::new(folder, None)
        .write(&state.snapshot(5, 12))
        .unwrap();
}

fn begun(folder: &Path, now: &Now<'_>) -> (Resumed, String) {
    let mut resumed = recover(folder, now).unwrap();
    resumed.listens(now.clocks);
    let said = resumed.said.join("\n");
    (resumed, said)
}

#[test]
fn nothing_there_is_a_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let (resumed, said) = begun(dir.path(), &now(later()));
    assert_eq!(resumed.first_number(LEASE), 0);
    assert_eq!(resumed.state.runs.run, 1);
    assert_eq!(resumed.away, None);
    assert!(said.contains("begun anew"), "{said}");
}

#[test]
fn a_run_that_was_cut_off_is_gone_on_from_with_its_words_and_behind_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    keep(dir.path(), &state(3, 7));
    let (resumed, said) = begun(dir.path(), &now(later()));
    assert_eq!(resumed.first_number(LEASE), 61_000);
    assert_eq!(resumed.state.numbers.next, 61_000 + LEASE);
    assert_eq!((resumed.state.runs.run, resumed.state.runs.cut_off), (4, 3));
    assert_eq!(resumed.away, Some(Nanos::from_millis(3500)));
    assert_eq!(
        resumed.state.instruction.in_force,
        state(3, 7).instruction.in_force
    );
    assert!(said.contains("run 3 was cut off"), "{said}");
    assert!(said.contains("3.50 s of input are lost"), "{said}");
    assert!(
        said.contains("instruction 7 `look at the cup number 7` is in force again"),
        "{said}"
    );
}

#[test]
fn the_journal_is_applied_behind_the_snapshot_and_tells_when_the_run_ended() {
    let dir = tempfile::tempdir().unwrap();
    let before = state(3, 7);
    keep(dir.path(), &before);
    let mut ring = Ring::new(dir.path(), 1 << 20, head(1, 1));
    let at = |millis| before.clocks.mono + Nanos::from_millis(millis);
    let put = |ring: &mut Ring, number, millis, what| {
        let entry = Entry {
            number,
            event: at(millis),
            arrived: at(millis),
            source: 0,
            what,
        };
        ring.append(&entry).unwrap();
    };
    // The snapshot holds the entries up to 4.
    for number in 1..=4 {
        put(&mut ring, number, -10, entry(number).what);
    }
    let words = What::Instruction {
        id: 8,
        text: "look at the rocket".to_owned(),
    };
    put(&mut ring, 5, 100, words);
    let action = What::Action {
        number: 70_000,
        captured: at(90),
        rung: reflexarc::action::Rung::Fresh,
        sent: true,
    };
    put(&mut ring, 6, 420, action);
    ring.commit().unwrap();
    let (resumed, said) = begun(dir.path(), &now(later()));
    assert_eq!(resumed.replayed, 2);
    assert_eq!(resumed.snapshot_age, Some(Nanos::from_millis(420)));
    assert_eq!(resumed.away, Some(Nanos::from_millis(3080)));
    // Behind the number in the journal, although the snapshot did not know of it.
    assert_eq!(resumed.first_number(LEASE), 70_001);
    assert_eq!(resumed.state.progress.actions, before.progress.actions + 1);
    let text = "look at the rocket".to_owned();
    assert_eq!(
        resumed.state.instruction.in_force,
        Some(InForce { id: 8, text })
    );
    assert!(
        said.contains("snapshot of 420.00 ms before the end and 2 journal entries"),
        "{said}"
    );
    assert!(said.contains("3.08 s of input are lost"), "{said}");
}

#[test]
fn windows_go_on_in_the_same_boot_and_graph_only() {
    let dir = tempfile::tempdir().unwrap();
    let before = state(3, 7);
    keep(dir.path(), &before);
    let (resumed, said) = begun(dir.path(), &now(later()));
    assert_eq!(resumed.state.windows, before.windows);
    assert!(!said.contains("cold"), "{said}");

    let rebooted = ClockMap {
        boot: BootId([8; 16]),
        mono: MonoTime(2_000_000_000),
        ..later()
    };
    let (resumed, said) = begun(dir.path(), &now(rebooted));
    assert!(resumed.state.windows.is_empty());
    assert!(
        said.contains("streams begin cold: the machine was started anew"),
        "{said}"
    );

    let changed = Now {
        graph: 6,
        ..now(later())
    };
    let (resumed, said) = begun(dir.path(), &changed);
    assert!(resumed.state.windows.is_empty());
    assert!(said.contains("cold start"), "{said}");

    // As a later version might keep them.
    let mut snapshot = before.snapshot(5, 13);
    for section in &mut snapshot.sections {
        if section.id == id::WINDOWS {
            section.version += 1;
        }
    }
    Pair::new(dir.path(), Some(0)).write(&snapshot).unwrap();
    let (resumed, said) = begun(dir.path(), &now(later()));
    assert!(resumed.state.windows.is_empty());
    assert!(said.contains("another version of this program"), "{said}");
    assert_eq!(resumed.first_number(LEASE), 61_000);
}

#[test]
fn a_wall_clock_set_by_an_hour_changes_nothing_and_is_said() {
    let before = state(3, 7).clocks;
    for step in [HOUR, -HOUR] {
        let dir = tempfile::tempdir().unwrap();
        keep(dir.path(), &state(3, 7));
        let stepped = ClockMap {
            utc: later().utc + step,
            ..later()
        };
        let (resumed, said) = begun(dir.path(), &now(stepped));
        assert_eq!(resumed.away, Some(Nanos::from_millis(3500)), "{said}");
        assert!(said.contains("the wall clock was set by"), "{said}");

        // After a reboot only the wall clock knows.
        let rebooted = ClockMap {
            boot: BootId([8; 16]),
            mono: MonoTime(2_000_000_000),
            ..stepped
        };
        let (resumed, said) = begun(dir.path(), &now(rebooted));
        if step > 0 {
            assert_eq!(resumed.away, Some(Nanos(HOUR + 3_500_000_000)));
            assert!(said.contains("by the wall clock"), "{said}");
        } else {
            assert_eq!(resumed.away, None);
            assert!(said.contains("nobody knows"), "{said}");
        }
        assert_eq!(resumed.first_number(LEASE), 61_000);
    }
    // Slewing is no step; a boot without a name is no boot that we know.
    let slewed = ClockMap {
        mono: before.mono + Nanos(HOUR),
        utc: before.utc + HOUR + 900_000_000,
        ..before
    };
    let time = Nanos(HOUR);
    assert_eq!(
        slewed.since(&before),
        Away::Measured {
            time,
            wall_stepped: None
        }
    );
    let nameless = ClockMap {
        boot: BootId::default(),
        ..before
    };
    assert_eq!(nameless.since(&nameless), Away::ByWallClock(Nanos::ZERO));
}

#[test]
fn another_graph_begins_cold_or_not_at_all_and_the_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    keep(dir.path(), &state(3, 7));
    let other = Now {
        graph: 6,
        ..now(later())
    };
    let (resumed, said) = begun(dir.path(), &other);
    assert_eq!(resumed.state.instruction.in_force, None);
    assert_eq!(resumed.first_number(LEASE), 61_000);
    assert!(said.contains("cold start"), "{said}");

    let refusing = Now {
        on_change: OnChange::Refuse,
        ..other
    };
    let fault = recover(dir.path(), &refusing).unwrap_err();
    assert!(fault.fix.contains("on_change"), "{fault}");
}

#[test]
fn a_run_that_is_started_with_other_words_has_those() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = state(3, 7);
    before.instruction.started_with = hash("look at the cat");
    keep(dir.path(), &before);
    let with = |given| Now {
        given: Some(given),
        ..now(later())
    };
    // The same command again, as a service manager does it.
    let (resumed, _) = begun(dir.path(), &with("look at the cat"));
    assert_eq!(
        resumed.state.instruction.in_force,
        before.instruction.in_force
    );
    let (resumed, said) = begun(dir.path(), &with("look at the dog"));
    assert_eq!(resumed.state.instruction.in_force, None);
    assert!(said.contains("not in force any more"), "{said}");
    assert_eq!(
        resumed.state.instruction.started_with,
        hash("look at the dog")
    );
}

#[test]
fn without_a_whole_snapshot_it_begins_cold_behind_the_numbers_of_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    for name in NAMES {
        std::fs::write(dir.path().join(name), b"no snapshot").unwrap();
    }
    let (resumed, said) = begun(dir.path(), &now(later()));
    assert_eq!(resumed.first_number(LEASE), 0);
    assert!(
        said.contains("numbers of earlier runs come again"),
        "{said}"
    );

    let mut ring = Ring::new(dir.path(), 1 << 20, head(1, 1));
    (1..=7).for_each(|number| ring.append(&entry(number)).unwrap());
    ring.commit().unwrap();
    let (resumed, said) = begun(dir.path(), &now(later()));
    assert_eq!(resumed.first_number(LEASE), 1008);
    assert_eq!(resumed.state.runs.run, 4);
    assert_eq!(resumed.state.instruction.in_force, None);
    assert!(said.contains("cold start"), "{said}");
}
