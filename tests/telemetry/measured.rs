//! From records to numbers.

use reflexarc::action::Rung;
use reflexarc::error::StepError;
use reflexarc::telemetry::collect::Collector;
use reflexarc::telemetry::durations::{DURATION_MAX, Durations};
use reflexarc::telemetry::goals::GoalsConfig;
use reflexarc::telemetry::measured::Measured;
use reflexarc::telemetry::record::{Outcome, Record, Step, Tick};
use reflexarc::telemetry::timeline::{INTERVAL_FIRST, INTERVALS_MAX, Timeline};
use reflexarc::telemetry::trace::{Mark, SPANS, Stage, Trace};
use reflexarc::units::{MonoTime, Nanos};

use crate::run::reading;
use crate::{BEGAN, Random, ms};

/// Nearest rank on the sorted samples: the definition of a percentile, with no histogram.
fn sorted_quantile(sorted: &[u64], quantile: f64) -> u64 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn complete_trace(seq: u64, captured: MonoTime, gaps_us: [i64; 9]) -> Trace {
    let mut at = captured;
    let mut trace = Trace::new(seq, 0, captured, captured);
    for (mark, gap) in Mark::ALL[1..].iter().zip(gaps_us) {
        at += Nanos::from_micros(gap);
        trace.stamp(*mark, at);
    }
    trace
}

fn measured() -> Measured {
    Measured::new(BEGAN, &GoalsConfig::default())
}

#[test]
fn percentiles_equal_those_of_the_sorted_samples_within_one_part_in_a_thousand() {
    let mut random = Random(7);
    for count in [1, 2, 10, 999, 100_000] {
        let mut durations = Durations::new();
        let mut samples: Vec<u64> = (0..count).map(|_| random.duration()).collect();
        for ns in &samples {
            durations.record(Nanos(*ns as i64));
        }
        samples.sort_unstable();
        let got = durations.quantiles();
        for (quantile, ns) in [
            (0.5, got.p50_ns),
            (0.99, got.p99_ns),
            (0.999, got.p999_ns),
            (0.9999, got.p9999_ns),
        ] {
            let want = sorted_quantile(&samples, quantile);
            assert!(
                ns.abs_diff(want) as f64 <= want as f64 / 1000.0,
                "count {count}, quantile {quantile}: {ns} instead of {want}"
            );
        }
        assert_eq!(got.max_ns, *samples.last().unwrap(), "the maximum is exact");
        assert_eq!(got.count, count);
        assert_eq!(durations.sum_ns(), samples.iter().sum::<u64>());
    }
}

#[test]
fn without_data_all_is_zero_and_so_is_the_count() {
    let quantiles = Durations::new().quantiles();
    assert_eq!(quantiles, Default::default());
}

#[test]
fn a_negative_duration_counts_as_zero_and_is_counted_as_wrong() {
    let mut durations = Durations::new();
    durations.record(Nanos(-5));
    assert_eq!((durations.max(), durations.negative()), (0, 1));
}

#[test]
fn a_hang_is_clamped_in_the_histogram_counted_and_kept_exactly_as_the_maximum() {
    let mut durations = Durations::new();
    durations.record(Nanos::from_secs(3600));
    assert_eq!(durations.clamped(), 1);
    assert_eq!(durations.max(), 3_600_000_000_000);
    assert!(durations.at_quantile(0.5) >= DURATION_MAX.clamp_u64());
}

#[test]
fn durations_above_a_limit_are_counted_exactly() {
    let mut durations = Durations::with_limit(Nanos(100_000_000));
    for ns in [99_999_999, 100_000_000, 100_000_001, 100_000_002] {
        durations.record(Nanos(ns));
    }
    assert_eq!(durations.above_limit(), 2);
}

#[test]
fn a_full_probe_loses_the_newest_record_and_counts_it() {
    let mut collector = Collector::new(BEGAN, &GoalsConfig::default());
    let mut probe = collector.probe_of("capture", 8);
    for n in 0..10 {
        probe.record(Record::Reading(reading(ms(n), ms(n))));
    }
    assert_eq!(collector.collect(), 8);
    let totals = collector.probes().next().unwrap();
    assert_eq!((totals.recorded, totals.lost), (8, 2));
    assert_eq!(collector.measured().elements.readings, 8);
}

#[test]
fn records_of_an_ended_thread_are_still_collected() {
    let mut collector = Collector::new(BEGAN, &GoalsConfig::default());
    let mut probe = collector.probe("fusion");
    let thread = std::thread::Builder::new().spawn(move || {
        for _ in 0..100 {
            probe.record(Record::Frame(complete_trace(1, BEGAN, [1; 9])));
        }
    });
    thread.unwrap().join().unwrap();
    assert_eq!(collector.collect(), 100);
    assert_eq!(collector.measured().camera_to_action.durations.count(), 100);
}

#[test]
fn a_step_gives_wait_work_and_age() {
    let mut measured = measured();
    measured.apply(&Record::Step(Step {
        stage: Stage::Fusion,
        source_index: 0,
        outcome: Outcome::Ok,
        ready: ms(10),
        begin: ms(12),
        end: ms(17),
        captured: ms(3),
    }));
    let stage = measured.stage(Stage::Fusion);
    assert_eq!(stage.wait.max(), 2_000_000);
    assert_eq!(stage.work.durations.max(), 5_000_000);
    assert_eq!(stage.age.max(), 14_000_000);
    assert_eq!(measured.fusion.durations.max(), 7_000_000);
    assert_eq!(measured.elements.chunks, 1);
}

#[test]
fn a_failed_step_is_counted_by_its_reason_and_makes_no_element() {
    let mut measured = measured();
    for outcome in [
        Outcome::Failed(StepError::BadFrame),
        Outcome::Failed(StepError::BadFrame),
        Outcome::Failed(StepError::NotFinite),
        Outcome::Dropped,
    ] {
        measured.apply(&Record::Step(Step {
            stage: Stage::Features,
            source_index: 0,
            outcome,
            ready: ms(1),
            begin: ms(1),
            end: ms(2),
            captured: ms(0),
        }));
    }
    let stage = measured.stage(Stage::Features);
    let failed: Vec<_> = stage.failed.by_reason().collect();
    assert_eq!(failed, [("bad frame", 2), ("not finite", 1)]);
    assert_eq!((stage.ok, stage.dropped), (0, 1));
    assert_eq!(measured.elements.total(), 0);
}

#[test]
fn a_stall_shows_in_its_own_span_and_nowhere_else() {
    for stalled in 0..SPANS.len() {
        let mut measured = measured();
        let mut gaps = [100; 9];
        gaps[stalled] = 40_000;
        measured.apply(&Record::Frame(complete_trace(1, ms(0), gaps)));
        for (index, durations) in measured.spans.iter().enumerate() {
            let want = if index == stalled {
                40_000_000
            } else {
                100_000
            };
            assert_eq!(durations.max(), want, "{}", SPANS[index].name);
        }
        assert_eq!(measured.residual_max, Nanos::ZERO);
        assert_eq!(measured.camera_to_action.durations.max(), 40_800_000);
    }
}

#[test]
fn stamps_out_of_order_show_as_residual() {
    let mut measured = measured();
    let mut trace = complete_trace(1, ms(0), [1000; 9]);
    // Encoded two milliseconds before Loaded: the spans around it no longer add up.
    trace.stamp(Mark::Encoded, ms(2));
    measured.apply(&Record::Frame(trace));
    assert_eq!(measured.residual_max, Nanos::from_millis(2));
}

#[test]
fn a_trace_without_all_marks_is_counted_and_not_measured() {
    let mut measured = measured();
    measured.apply(&Record::Frame(Trace::new(1, 0, ms(0), ms(1))));
    assert_eq!(measured.incomplete_traces, 1);
    assert_eq!(measured.camera_to_action.durations.count(), 0);
}

fn tick(scheduled_ms: i64, late_us: i64) -> Tick {
    let begin = ms(scheduled_ms) + Nanos::from_micros(late_us);
    Tick {
        number: 0,
        scheduled: ms(scheduled_ms),
        begin,
        written: begin + Nanos::from_micros(5),
        captured: ms(scheduled_ms - 20),
        rung: Rung::Fresh,
        missed: 0,
        write_failed: None,
    }
}

#[test]
fn a_beat_gives_its_jitter_and_its_period_jitter() {
    let mut measured = measured();
    for (at, late) in [(100, 10), (110, 40), (120, 5)] {
        measured.apply(&Record::Tick(tick(at, late)));
    }
    assert_eq!(measured.jitter.durations.max(), 40_000);
    // The second beat came 30 us late after the first, the third 35 us early after the second.
    assert_eq!(measured.period_jitter.count(), 2);
    assert_eq!(measured.period_jitter.max(), 35_000);
    assert_eq!(measured.data_age.durations.max(), 20_045_000);
    assert_eq!(measured.rungs.ticks, [3, 0, 0, 0]);
}

#[test]
fn a_held_position_has_no_age_and_is_counted_by_its_rung() {
    let mut measured = measured();
    for (at, rung) in [
        (100, Rung::Tail),
        (5000, Rung::Hold),
        (6000, Rung::SafeStop),
    ] {
        measured.apply(&Record::Tick(Tick {
            rung,
            captured: ms(80),
            ..tick(at, 1)
        }));
    }
    assert_eq!(measured.data_age.durations.count(), 1);
    assert_eq!(measured.data_age.durations.max(), 20_006_000);
    assert_eq!(measured.stage(Stage::Action).age.count(), 1);
    assert_eq!(measured.rungs.ticks, [0, 1, 1, 1]);
}

#[test]
fn deciding_to_send_nothing_counts_as_fusion_and_makes_no_chunk() {
    let mut measured = measured();
    measured.apply(&Record::Step(Step {
        stage: Stage::Fusion,
        source_index: 0,
        outcome: Outcome::Dropped,
        ready: ms(10),
        begin: ms(11),
        end: ms(14),
        captured: ms(3),
    }));
    assert_eq!(measured.fusion.durations.max(), 4_000_000);
    assert_eq!(measured.elements.chunks, 0);
}

#[test]
fn an_action_that_the_sink_refused_is_no_element() {
    let mut measured = measured();
    measured.apply(&Record::Tick(Tick {
        write_failed: Some(StepError::WouldBlock),
        ..tick(100, 1)
    }));
    assert_eq!(measured.elements.actions, 0);
    assert_eq!(measured.stage(Stage::Action).failed.total(), 1);
}

#[test]
fn instruction_to_action_joins_both_halves_in_either_order() {
    let ready = Record::InstructionReady {
        id: 1,
        received: ms(100),
        encoded: ms(110),
    };
    let mut trace = complete_trace(9, ms(120), [1000; 9]);
    trace.instruction_id = 1;
    for swap in [false, true] {
        let mut measured = measured();
        let mut records = [ready, Record::Frame(trace)];
        if swap {
            records.reverse();
        }
        for record in &records {
            measured.apply(record);
        }
        assert_eq!(measured.instructions.to_action.count(), 1);
        assert_eq!(measured.instructions.to_action.max(), 29_000_000);
        // Later frames under the same instruction are not its first action.
        measured.apply(&Record::Frame(trace));
        assert_eq!(measured.instructions.to_action.count(), 1);
    }
}

#[test]
fn an_instruction_that_was_overtaken_never_acts() {
    let mut measured = measured();
    for id in 1..=3 {
        measured.apply(&Record::InstructionReady {
            id,
            received: ms(i64::from(id)),
            encoded: ms(i64::from(id)),
        });
    }
    let mut trace = complete_trace(9, ms(120), [1000; 9]);
    trace.instruction_id = 3;
    measured.apply(&Record::Frame(trace));
    assert_eq!(measured.instructions.received, 3);
    assert_eq!(measured.instructions.to_action.count(), 1);
    assert!(measured.instructions.ways()[0].acted.is_none());
}

#[test]
fn a_long_timeline_stays_bounded_and_loses_no_sample() {
    let mut timeline = Timeline::new(BEGAN);
    let durations = Durations::new();
    let mut random = Random(3);
    // A day at one sample a second, with the longest one planted.
    for second in 0..86_400 {
        let ns = if second == 50_000 {
            9_999_999_999
        } else {
            random.duration() % 5_000_000_000
        };
        let at = BEGAN + Nanos::from_secs(second);
        timeline.record(at, ns, durations.bucket_of(ns));
    }
    let intervals: Vec<_> = timeline.intervals().collect();
    assert!(intervals.len() <= INTERVALS_MAX as usize);
    assert!(intervals.len() >= INTERVALS_MAX as usize / 4);
    assert_eq!(
        intervals.iter().map(|(_, i)| i.count()).sum::<u64>(),
        86_400
    );
    let (at, worst) = intervals.iter().max_by_key(|(_, i)| i.max()).unwrap();
    assert_eq!(worst.max(), 9_999_999_999);
    let planted = Nanos::from_secs(50_000);
    assert!(*at <= planted && planted < *at + timeline.width());
}

#[test]
fn an_interval_has_the_percentiles_of_its_own_samples() {
    let mut timeline = Timeline::new(BEGAN);
    let durations = Durations::new();
    let mut random = Random(11);
    let mut wanted = Vec::new();
    for interval in 0..4 {
        let mut samples: Vec<u64> = (0..500).map(|_| random.duration()).collect();
        for ns in &samples {
            let at = BEGAN + INTERVAL_FIRST * interval + Nanos(1);
            timeline.record(at, *ns, durations.bucket_of(*ns));
        }
        samples.sort_unstable();
        wanted.push(samples);
    }
    for ((_, got), samples) in timeline.intervals().zip(wanted) {
        for quantile in [0.5, 0.9, 0.99] {
            let want = sorted_quantile(&samples, quantile);
            assert!(got.at_quantile(quantile).abs_diff(want) as f64 <= want as f64 / 1000.0);
        }
        assert_eq!(got.max(), *samples.last().unwrap());
    }
}

#[test]
fn goals_with_wrong_values_are_refused_with_the_line() {
    for (toml, want) in [
        ("percentile = 0.0", "not a percentile"),
        ("percentile = 101", "not a percentile"),
        ("fusion = \"0 ms\"", "must be above 0"),
        ("fusion = \"-3 ms\"", "must be above 0"),
        ("fusion = 50", "with its unit"),
        ("fusion = \"50\"", "not a duration"),
        ("elements_per_second = 0", "not a rate"),
        ("camera_to_acton = \"1 ms\"", "unknown field"),
    ] {
        let error = toml::from_str::<GoalsConfig>(toml).unwrap_err().to_string();
        assert!(error.contains(want), "`{toml}` gives: {error}");
        assert!(error.contains("line 1"), "`{toml}` gives: {error}");
    }
}
