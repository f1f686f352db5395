//! Promises of crews, with real threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use reflexarc::clock;
use reflexarc::rt::crew::{Crew, Partner, Share, crew};
use reflexarc::rt::wait::WaitPolicy;
use reflexarc::units::Nanos;

const PARK: WaitPolicy = WaitPolicy::Park { spin: Nanos::ZERO };

fn rounds() -> u64 {
    if cfg!(miri) { 20 } else { 20_000 }
}

fn serve(mut partner: Partner) {
    while !partner.is_over() {
        partner.serve(PARK, clock::now() + Nanos::from_millis(50));
    }
}

/// Runs `body` with a crew whose partners have threads.
fn with_partners(count: usize, body: impl FnOnce(&mut Crew)) {
    let (mut crew, partners) = crew(count);
    thread::scope(|scope| {
        for partner in partners {
            scope.spawn(move || serve(partner));
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&mut crew)));
        drop(crew);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn each_chunk_of_each_piece_is_done_once_with_any_number_of_partners() {
    for partners in 0..4 {
        with_partners(partners, |crew| {
            let values: [AtomicU64; 7] = Default::default();
            let mut expected = [0u64; 7];
            for round in 1..=rounds() {
                // Calls and pieces in turn, so that partners fall asleep and wake in all places.
                if round % 5 == 0 {
                    crew.dismiss();
                }
                crew.call();
                let chunks = usize::try_from(round % 8).unwrap();
                crew.share(chunks, &|Share { who, chunk }| {
                    assert!(who <= partners);
                    // Read and written in two steps, so that twice at the same time would show.
                    let before = values[chunk].load(Ordering::Relaxed);
                    values[chunk].store(before + round, Ordering::Relaxed);
                });
                for (chunk, expected) in expected.iter_mut().enumerate() {
                    *expected += if chunk < chunks { round } else { 0 };
                    let value = values[chunk].load(Ordering::Relaxed);
                    assert_eq!(value, *expected, "chunk {chunk} of round {round}");
                }
            }
        });
    }
}

#[test]
fn a_crew_whose_partners_never_come_does_everything_itself() {
    let (mut crew, partners) = crew(3);
    let done = AtomicU64::new(0);
    crew.call();
    crew.share(100, &|share| {
        assert_eq!(share.who, 0);
        done.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(done.into_inner(), 100);
    assert_eq!(crew.totals().helped, 0);
    drop((crew, partners));
}

#[test]
fn partners_help_once_they_are_called() {
    with_partners(1, |crew| {
        // BOUND: a partner that is called comes, once the machine lets it.
        while crew.totals().helped == 0 {
            crew.call();
            crew.share(2, &|_| thread::yield_now());
            crew.dismiss();
        }
    });
}

#[test]
fn the_caller_waits_for_a_chunk_that_a_partner_has_not_finished() {
    with_partners(1, |crew| {
        let (taken, done) = (AtomicBool::new(false), AtomicBool::new(false));
        crew.call();
        crew.share(2, &|share| {
            if share.who == 0 {
                // Until the partner has the other chunk.
                while !taken.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
                return;
            }
            taken.store(true, Ordering::Relaxed);
            // Long past the time for which the caller waits awake.
            thread::sleep(std::time::Duration::from_millis(if cfg!(miri) {
                5
            } else {
                50
            }));
            done.store(true, Ordering::Relaxed);
        });
        assert!(done.into_inner());
        assert!(crew.totals().naps > 0);
    });
}

#[test]
fn a_panic_of_a_chunk_reaches_the_caller_whoever_did_it() {
    for culprit in [0, 1] {
        let outcome = catch_unwind(|| {
            with_partners(1, |crew| {
                crew.call();
                let taken = AtomicU64::new(0);
                crew.share(2, &|share| {
                    taken.fetch_add(1, Ordering::Relaxed);
                    // Both have one, so the culprit has one.
                    while taken.load(Ordering::Relaxed) < 2 {
                        thread::yield_now();
                    }
                    assert_ne!(share.who, culprit, "on purpose");
                });
            });
        });
        assert!(outcome.is_err(), "{culprit}");
    }
}
