//! A run as the threads of the way would tell it: 30 frames and 100 beats a second, seeded.

use std::collections::BTreeMap;

use reflexarc::action::{ActionCounters, Refusal, Rung};
use reflexarc::fusion::align::AlignCounters;
use reflexarc::policy::{Phase, PolicyStatus};
use reflexarc::sensor::counters::SensorCounters;
use reflexarc::sensor::{DOF_MAX, Reading};
use reflexarc::telemetry::collect::Collector;
use reflexarc::telemetry::environment::Environment;
use reflexarc::telemetry::goals::GoalsConfig;
use reflexarc::telemetry::record::{Outcome, Record, Step, Tick};
use reflexarc::telemetry::report::{
    Facts, LinkReport, PlayerReport, RunInfo, SensorReport, SourceReport, ThreadReport,
};
use reflexarc::telemetry::trace::{Mark, Stage, Trace};
use reflexarc::units::{MonoTime, Nanos};
use reflexarc::wire::Malformed;

use crate::{BEGAN, Random};

/// What one simulated run does.
pub struct Run {
    pub seconds: i64,
    /// Work of the features stage, in microseconds.
    pub encode_us: i64,
    /// A stall of the features stage in mid-run, in milliseconds.
    pub stall_ms: i64,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            seconds: 20,
            encode_us: 8_000,
            stall_ms: 0,
        }
    }
}

/// Microseconds around `middle`, sometimes far more.
fn around(random: &mut Random, middle: i64) -> Nanos {
    let spread = (random.next() % 1000) as i64;
    let tail = if random.next().is_multiple_of(200) {
        middle * 2
    } else {
        0
    };
    Nanos(middle * 900 + middle * spread / 5 + tail * 1000)
}

impl Run {
    /// All records of the run, collected.
    pub fn collector(&self) -> Collector {
        let mut collector = Collector::new(BEGAN, &GoalsConfig::default());
        let mut probe = collector.probe("way");
        let mut random = Random(1);
        for frame in 0..self.seconds * 30 {
            for record in self.frame(frame, &mut random) {
                probe.record(record);
            }
            collector.collect();
        }
        for beat in 0..self.seconds * 100 {
            probe.record(Record::Tick(self.beat(beat, &mut random)));
            let at = BEGAN + Nanos::from_millis(beat * 10);
            probe.record(Record::Reading(reading(at, at + around(&mut random, 120))));
            collector.collect();
        }
        probe.record(Record::InstructionReady {
            id: 1,
            received: BEGAN + Nanos::from_millis(40),
            encoded: BEGAN + Nanos::from_millis(52),
        });
        if self.stall_ms > 0 {
            let at = BEGAN + Nanos::from_secs(self.seconds / 2);
            for (from, to, late) in [(Rung::Fresh, Rung::Tail, 60), (Rung::Tail, Rung::Hold, 160)] {
                let at = at + Nanos::from_millis(late);
                probe.record(Record::RungChange { at, from, to });
            }
        }
        collector.collect();
        collector
    }

    fn frame(&self, frame: i64, random: &mut Random) -> Vec<Record> {
        let captured = BEGAN + Nanos(frame * 1_000_000_000 / 30);
        let stalled = frame == self.seconds * 15;
        let stall = Nanos::from_millis(if stalled { self.stall_ms } else { 0 });
        let mut at = captured + around(random, 900);
        let mut trace = Trace::new(frame as u64, 0, captured, at);
        trace.instruction_id = u32::from(frame >= 2);
        for (mark, work) in [
            (Mark::HandedOver, around(random, 4)),
            (Mark::FeaturesBegin, around(random, 35)),
            (Mark::Loaded, around(random, 700)),
            (Mark::Encoded, around(random, self.encode_us) + stall),
            (Mark::FusionBegin, around(random, 6)),
            (Mark::Fused, around(random, 60)),
            (
                Mark::ActionBegin,
                Nanos((random.next() % 10_000_000) as i64),
            ),
            (Mark::Written, around(random, 8)),
        ] {
            at += work;
            trace.stamp(mark, at);
        }
        let step = |stage, ready, begin, end| {
            Record::Step(Step {
                stage,
                source_index: 0,
                outcome: Outcome::Ok,
                ready: trace.at(ready),
                begin: trace.at(begin),
                end: trace.at(end),
                captured,
            })
        };
        let status = PolicyStatus {
            phase: if frame < 2 {
                Phase::Idle
            } else {
                Phase::Tracking
            },
            object: if frame < 2 { 0 } else { 670 },
            match_score: 0.71,
            confidence: 0.9,
            offset: [0.1, -0.02],
        };
        vec![
            step(
                Stage::Capture,
                Mark::Captured,
                Mark::Arrived,
                Mark::HandedOver,
            ),
            step(
                Stage::Features,
                Mark::HandedOver,
                Mark::FeaturesBegin,
                Mark::Encoded,
            ),
            step(Stage::Fusion, Mark::Encoded, Mark::FusionBegin, Mark::Fused),
            Record::Policy {
                at: trace.at(Mark::Fused),
                status,
            },
            Record::Frame(trace),
        ]
    }

    fn beat(&self, beat: i64, random: &mut Random) -> Tick {
        let scheduled = BEGAN + Nanos::from_millis(beat * 10);
        let begin = scheduled + around(random, 9);
        let age = Nanos((random.next() % 33_000_000) as i64 + 18_000_000);
        Tick {
            number: 0,
            scheduled,
            begin,
            written: begin + around(random, 5),
            captured: if beat < 4 {
                MonoTime::ZERO
            } else {
                begin - age
            },
            rung: Rung::Fresh,
            missed: 0,
            write_failed: None,
        }
    }

    /// What the pipeline would add.
    pub fn facts(&self) -> Facts {
        let frames = (self.seconds * 30) as u64;
        let link = |name: &str, policy: &str, reason: &str, dropped| LinkReport {
            name: name.to_owned(),
            policy: policy.to_owned(),
            entered: frames,
            left: frames.saturating_sub(dropped),
            dropped: BTreeMap::from([(reason.to_owned(), dropped.min(frames))]),
            in_flight: 0,
        };
        Facts {
            run: RunInfo {
                started: "2026-11-22T15:08:01Z".to_owned(),
                started_unix_ms: 1_795_360_081_000,
                duration_ns: self.seconds as u64 * 1_000_000_000,
                command: vec!["reflexarc".to_owned(), "run".to_owned()],
                encoder: "efficientnet-lite0".to_owned(),
                policy: "gaze".to_owned(),
                sink: "scene".to_owned(),
                ended_by: "duration".to_owned(),
                ..RunInfo::default()
            },
            environment: Environment::read(),
            links: vec![
                link("capture to features", "newest", "stale", 3),
                link("features to fusion", "every", "full", 0),
                link("fusion to action", "newest", "stale", 0),
            ],
            sources: vec![SourceReport {
                name: "scene 1920x1080 YUYV 30 Hz <seed 1>".to_owned(),
                rate_hz: Some(30.0),
                stamp: "synthetic".to_owned(),
                entered: frames + 1,
                left: frames,
                dropped: BTreeMap::from([("drained".to_owned(), 1)]),
                ..SourceReport::default()
            }],
            threads: vec![
                self.thread("capture-0", &["capture"], 0.001),
                self.thread(
                    "features-0",
                    &["features"],
                    self.encode_us as f64 * 30.0 / 1e6,
                ),
                self.thread("fusion", &["fusion"], 0.002),
                self.thread("action", &["action"], 0.001),
            ],
            sensors: vec![self.sensor()],
            player: self.player(),
            policy_explanation: "tracking \"motor scooter\" (match 0.71), 0.10 right of the centre"
                .to_owned(),
            instructions: BTreeMap::from([(1, "find the <motorcycle>".to_owned())]),
            ..Facts::default()
        }
    }

    fn sensor(&self) -> SensorReport {
        let sensor = SensorReport {
            name: "udp <127.0.0.1>:9000".to_owned(),
            ..SensorReport::default()
        };
        let (intake, align) = (SensorCounters::default(), AlignCounters::default());
        let readings = (self.seconds * 100) as u64;
        intake.received.add(readings + 4);
        intake.accepted.add(readings);
        intake.malformed[Malformed::BadMagic as usize].add(4);
        intake.gaps.add(2);
        align.pushed.add(readings);
        align.interpolated.add((self.seconds * 30) as u64);
        align.held.add(1);
        sensor.count(Some(&intake), &align)
    }

    fn player(&self) -> PlayerReport {
        let counters = ActionCounters::default();
        let chunks = (self.seconds * 30) as u64;
        counters.ticks[Rung::Fresh as usize].add((self.seconds * 100) as u64);
        counters.changes[Rung::Hold as usize][Rung::Fresh as usize].add(1);
        counters.offered.add(chunks + 3);
        counters.accepted.add(chunks + 1);
        counters.refused[Refusal::Older as usize].add(2);
        counters.played.add(chunks);
        counters.unplayed.add(1);
        counters.limited.add(7);
        PlayerReport::new(&counters)
    }

    fn thread(&self, name: &str, stages: &[&str], work_fraction: f64) -> ThreadReport {
        ThreadReport {
            name: name.to_owned(),
            stages: stages.iter().map(|s| (*s).to_owned()).collect(),
            class_asked: "fifo 80".to_owned(),
            class_given: "normal".to_owned(),
            cores: vec![1],
            wait: "park".to_owned(),
            refused: vec!["SCHED_FIFO was refused: no permission".to_owned()],
            allocations: Some(0),
            wall_ns: self.seconds as u64 * 1_000_000_000,
            cpu_ns: (work_fraction * self.seconds as f64 * 1e9) as u64,
            cpu_fraction: work_fraction,
            work_fraction,
            voluntary_switches: 600,
            ..ThreadReport::default()
        }
    }
}

/// A reading of the first sensor.
pub fn reading(at: MonoTime, arrived: MonoTime) -> Reading {
    Reading {
        at,
        arrived,
        seq: 0,
        source_index: 0,
        len: 0,
        values: [0.0; DOF_MAX],
    }
}
