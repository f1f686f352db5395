//! What does measuring cost the thread that is measured, and what does it cost the housekeeping side?

mod support;

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reflexarc::action::Rung;
use reflexarc::clock;
use reflexarc::rt::thread::housekeeping;
use reflexarc::telemetry::collect::Collector;
use reflexarc::telemetry::goals::GoalsConfig;
use reflexarc::telemetry::probe::Probe;
use reflexarc::telemetry::record::{Outcome, Record, Step, Tick};
use reflexarc::telemetry::report::assemble;
use reflexarc::telemetry::trace::{Mark, Stage, Trace};
use reflexarc::units::Nanos;
use support::{Bench, Peer};

/// Records a call: far fewer than a probe holds, so that none is lost.
const RECORDS: u64 = 1000;

fn main() {
    let mut bench = Bench::start("probe", "What does it cost to measure?");
    bench.note("bytes of a record", size_of::<Record>());
    hot(&mut bench);
    across(&mut bench);
    housekeeping_side(&mut bench);
    bench.finish();
}

fn step() -> Record {
    let now = clock::now();
    Record::Step(Step {
        stage: Stage::Features,
        source_index: 0,
        outcome: Outcome::Ok,
        ready: now,
        begin: now + Nanos(1_000),
        end: now + Nanos(9_000_000),
        captured: now,
    })
}

fn frame() -> Record {
    let now = clock::now();
    let mut trace = Trace::new(1, 0, now, now);
    for (index, mark) in (1..).zip(&Mark::ALL[1..]) {
        trace.stamp(*mark, now + Nanos::from_millis(index));
    }
    Record::Frame(trace)
}

fn tick() -> Record {
    let now = clock::now();
    Record::Tick(Tick {
        number: 0,
        scheduled: now,
        begin: now + Nanos(9_000),
        written: now + Nanos(14_000),
        captured: now - Nanos::from_millis(30),
        rung: Rung::Fresh,
        missed: 0,
        write_failed: None,
    })
}

/// A thousand records, not timed: the collector empties the ring before the timed call.
fn timed_records(
    probe: &RefCell<Probe>,
    collector: &RefCell<Collector>,
    record: Record,
) -> impl FnMut() -> u64 {
    move || {
        collector.borrow_mut().collect();
        let mut probe = probe.borrow_mut();
        let begin = clock::now();
        for _ in 0..RECORDS {
            probe.record(black_box(record));
        }
        (clock::now() - begin).clamp_u64() / RECORDS
    }
}

/// The measured thread's side, the ring's memory in its own cache.
fn hot(bench: &mut Bench) {
    let mut collector = Collector::new(clock::now(), &GoalsConfig::default());
    let probe = RefCell::new(collector.probe("bench"));
    let collector = RefCell::new(collector);
    bench.compare(
        "one record, ring warm",
        2000,
        &mut [
            Peer::timed("reading the clock", RECORDS, || {
                for _ in 0..RECORDS {
                    black_box(clock::now());
                }
            }),
            Peer::measured("a step", timed_records(&probe, &collector, step())),
            Peer::measured(
                "a frame's trace",
                timed_records(&probe, &collector, frame()),
            ),
        ],
    );
    let mut collector = collector.into_inner();
    collector.collect();
    let totals = collector.probes().next().expect("one probe was made");
    assert_eq!(totals.lost, 0, "a call records less than a ring holds");
    assert_eq!(totals.recorded, collector.measured().records);
}

/// The same while another thread reads the ring, so that each line comes from that thread's cache.
fn across(bench: &mut Bench) {
    let mut collector = Collector::new(clock::now(), &GoalsConfig::default());
    let mut probe = collector.probe("bench");
    let collected = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (collected, done) = (Arc::clone(&collected), Arc::clone(&done));
        let body = move || {
            // ORDERING: Relaxed, alone. A count and a flag; the ring itself synchronises.
            while !done.load(Ordering::Relaxed) {
                collector.collect();
                collected.store(collector.measured().records, Ordering::Relaxed);
                clock::sleep_until(clock::now() + Nanos::from_micros(200));
            }
            collector
        };
        housekeeping("collector", body).expect("a thread can be started")
    };
    let mut recorded = 0;
    let record = step();
    let timed = || {
        // BOUND: until the reader has taken what was recorded, a few wakes of its sleep.
        while collected.load(Ordering::Relaxed) < recorded {
            std::hint::spin_loop();
        }
        let begin = clock::now();
        for _ in 0..RECORDS {
            probe.record(black_box(record));
        }
        recorded += RECORDS;
        (clock::now() - begin).clamp_u64() / RECORDS
    };
    bench.compare(
        "one record, ring read by another thread",
        1000,
        &mut [Peer::measured("a step", timed)],
    );
    done.store(true, Ordering::Relaxed);
    let collector = reader.join().expect("the collector does not panic");
    let totals = collector.probes().next().expect("one probe was made");
    assert_eq!(totals.lost, 0);
}

/// What the housekeeping thread spends on it.
fn housekeeping_side(bench: &mut Bench) {
    let mut collector = Collector::new(clock::now(), &GoalsConfig::default());
    let probe = RefCell::new(collector.probe("bench"));
    let collector = RefCell::new(collector);
    let collect = |record: Record| {
        let (probe, collector) = (&probe, &collector);
        move || {
            for _ in 0..RECORDS {
                probe.borrow_mut().record(record);
            }
            let begin = clock::now();
            let taken = collector.borrow_mut().collect();
            assert_eq!(taken, RECORDS);
            (clock::now() - begin).clamp_u64() / RECORDS
        }
    };
    bench.compare(
        "collecting one record",
        1000,
        &mut [
            Peer::measured("a step", collect(step())),
            Peer::measured("a frame's trace", collect(frame())),
            Peer::measured("a beat", collect(tick())),
        ],
    );
    let collector = collector.into_inner();
    let summaries = || {
        black_box(assemble::stages(collector.measured()));
        black_box(assemble::end_to_end(collector.measured()));
    };
    bench.compare(
        "percentiles for one live table",
        200,
        &mut [Peer::timed("all stages and latencies", 1, summaries)],
    );
}
