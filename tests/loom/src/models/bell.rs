//! Bells: whatever happens before a ring is seen by the thread that it wakes, and no ring is lost. A model ends only
//! when its waiting thread was woken, so a lost wake-up is a deadlock.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::{bounded, exhaustive};
use crate::clock::NOW;
use crate::link::newest;
use crate::rt::stop::Stop;
use crate::rt::wait::{Bell, WaitPolicy};
use crate::units::{MonoTime, Nanos};

const PARK: WaitPolicy = WaitPolicy::Park { spin: Nanos::ZERO };

#[test]
fn a_ring_is_never_lost() {
    exhaustive(|| {
        let bell = Bell::new();
        let ready = Arc::new(AtomicU32::new(0));
        let (ringer, flag) = (bell.clone(), Arc::clone(&ready));
        let ringing = thread::spawn(move || {
            // Relaxed: the bell alone must carry the news.
            flag.store(1, Ordering::Relaxed);
            ringer.ring();
        });
        assert!(
            bell.wait(PARK, None, MonoTime::FAR, || ready.load(Ordering::Relaxed)
                == 1)
        );
        ringing.join().unwrap();
    });
}

#[test]
fn the_second_of_two_rings_is_not_lost_while_the_first_is_handled() {
    bounded(|| {
        let bell = Bell::new();
        let ready = Arc::new(AtomicU32::new(0));
        let (ringer, flag) = (bell.clone(), Arc::clone(&ready));
        let ringing = thread::spawn(move || {
            for n in 1..=2 {
                flag.store(n, Ordering::Relaxed);
                ringer.ring();
            }
        });
        for n in 1..=2 {
            assert!(
                bell.wait(PARK, None, MonoTime::FAR, || ready.load(Ordering::Relaxed)
                    >= n)
            );
        }
        ringing.join().unwrap();
    });
}

#[test]
fn one_bell_serves_several_ringers() {
    bounded(|| {
        let bell = Bell::new();
        let flags: [_; 2] = std::array::from_fn(|_| Arc::new(AtomicU32::new(0)));
        let ringing = flags.clone().map(|flag| {
            let ringer = bell.clone();
            thread::spawn(move || {
                flag.store(1, Ordering::Relaxed);
                ringer.ring();
            })
        });
        for flag in &flags {
            assert!(
                bell.wait(PARK, None, MonoTime::FAR, || flag.load(Ordering::Relaxed)
                    == 1)
            );
        }
        for ringing in ringing {
            ringing.join().unwrap();
        }
    });
}

#[test]
fn a_wait_that_timed_out_leaves_the_bell_in_order() {
    exhaustive(|| {
        let bell = Bell::new();
        let ready = Arc::new(AtomicU32::new(0));
        let (ringer, flag) = (bell.clone(), Arc::clone(&ready));
        let ringing = thread::spawn(move || {
            flag.store(1, Ordering::Relaxed);
            ringer.ring();
        });
        // At its deadline the first wait gives up, at any moment of the ring.
        bell.wait(PARK, None, NOW, || ready.load(Ordering::Relaxed) == 1);
        assert!(
            bell.wait(PARK, None, MonoTime::FAR, || ready.load(Ordering::Relaxed)
                == 1)
        );
        ringing.join().unwrap();
    });
}

#[test]
fn a_timed_spin_is_woken_early_by_a_ring() {
    exhaustive(|| {
        let bell = Bell::new();
        let ready = Arc::new(AtomicU32::new(0));
        let (ringer, flag) = (bell.clone(), Arc::clone(&ready));
        let ringing = thread::spawn(move || {
            flag.store(1, Ordering::Relaxed);
            ringer.ring();
        });
        let policy = WaitPolicy::Timed {
            lead: Nanos(10),
            late: Nanos(10),
        };
        let due = Some(NOW + Nanos(1_000));
        assert!(
            bell.wait(policy, due, MonoTime::FAR, || ready.load(Ordering::Relaxed)
                == 1)
        );
        ringing.join().unwrap();
    });
}

#[test]
fn asking_to_stop_wakes_a_sleeper_who_then_sees_why() {
    exhaustive(|| {
        let (bell, stop) = (Bell::new(), Stop::default());
        let reason = Arc::new(AtomicU32::new(0));
        let (ringer, asker, why) = (bell.clone(), stop.clone(), Arc::clone(&reason));
        let asking = thread::spawn(move || {
            why.store(5, Ordering::Relaxed);
            asker.ask();
            ringer.ring();
        });
        assert!(bell.wait(PARK, None, MonoTime::FAR, || stop.asked()));
        assert_eq!(reason.load(Ordering::Relaxed), 5);
        asking.join().unwrap();
    });
}

#[test]
fn a_parked_reader_gets_the_newest_and_learns_that_the_writer_is_gone() {
    bounded(|| {
        let bell = Bell::new();
        let (mut writer, mut reader) = newest(&bell);
        let pushing = thread::spawn(move || {
            for n in 0..2 {
                writer.push(n);
            }
        });
        let mut last = None;
        // BOUND: two items and the end.
        for _ in 0..3 {
            bell.wait(PARK, None, MonoTime::FAR, || {
                !reader.is_empty() || reader.is_abandoned()
            });
            match reader.pop() {
                Some(item) => last = Some(item),
                None => break,
            }
        }
        assert_eq!(last, Some(1));
        pushing.join().unwrap();
    });
}
