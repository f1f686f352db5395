//! Promises of a pipeline under more than it can take, or with more than one of everything: what each link does with too
//! many items, several workers of the encoder, several cameras.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reflexarc::action::config::ActionConfig;
use reflexarc::action::player::Player;
use reflexarc::action::{Action, Chunk, Sink};
use reflexarc::capture::stage::CaptureEnd;
use reflexarc::capture::synthetic::{SyntheticConfig, SyntheticSource, embedded};
use reflexarc::capture::{Pace, Source as _};
use reflexarc::clock;
use reflexarc::error::StepError;
use reflexarc::features::{Encoder, FeatureMap, FeatureShape, FrameView};
use reflexarc::fusion::views::{ViewChoice, ViewConfig};
use reflexarc::link::policy::{LinkPolicy, WhenFull};
use reflexarc::pipeline::{OtherCamera, Parts, Pipeline};
use reflexarc::policy::still::Still;
use reflexarc::policy::{Aligned, Explainer, Policy, PolicyStatus};
use reflexarc::rt::plan::{Layout, Machine, Plan, ThreadsConfig};
use reflexarc::rt::stop::Stop;
use reflexarc::rt::thread::Class;
use reflexarc::rt::wait::Bell;
use reflexarc::stage::{self, Item};
use reflexarc::telemetry::collect::Collector;
use reflexarc::telemetry::goals::GoalsConfig;
use reflexarc::telemetry::trace::Stage;
use reflexarc::units::{Hertz, MonoTime, Nanos};

// ---------------------------------------------------------------------------------------------
// Partners of the encoder

/// A plan for four cores, of which the way has 2 and 3, with partners on these.
fn partnered(layout: Layout, partners: &[usize]) -> reflexarc::error::Result<Plan> {
    partnered_with(layout, partners, 0)
}

fn partnered_with(
    layout: Layout,
    partners: &[usize],
    sensors: usize,
) -> reflexarc::error::Result<Plan> {
    let machine = Machine {
        cores: vec![0, 1, 2, 3],
        isolated: Vec::new(),
    };
    let threads = ThreadsConfig {
        layout,
        ..ThreadsConfig::default()
    };
    let plan = Plan::new(&threads, true, &machine, Nanos::ZERO, None);
    plan.with_partners(&threads, &machine, partners, sensors)
}

#[test]
fn a_partner_is_refused_on_a_core_that_is_not_there_or_another_threads() {
    for (layout, core, word) in [
        (Layout::Together, 4, "[0, 1, 2, 3]"),
        (Layout::Together, 3, "`capture`"),
        (Layout::CaptureApart, 3, "`features`"),
        (Layout::Apart, 3, "`features`"),
    ] {
        let said = partnered(layout, &[core]).unwrap_err().to_string();
        assert!(said.contains(word), "{layout:?}, core {core}: {said}");
    }
}

#[test]
fn a_partner_on_the_core_of_the_action_clock_comes_after_it_and_after_sensors() {
    for sensors in [0, 1] {
        let plan = partnered_with(Layout::Together, &[2], sensors).unwrap();
        let fifo = |class| match class {
            Class::Fifo(priority) => priority,
            Class::Normal => 0,
        };
        let partner = fifo(plan.partners[0].class);
        assert!(partner > 0 && partner < fifo(plan.action.class));
        assert_eq!(plan.action.cores, plan.partners[0].cores);
        if sensors > 0 {
            assert_eq!(plan.sensor.cores, plan.partners[0].cores);
            assert!(partner < fifo(plan.sensor.class));
        }
    }
}

#[test]
fn a_partner_has_the_class_of_whom_it_helps_and_a_core_to_itself() {
    for layout in [Layout::Together, Layout::CaptureApart, Layout::Apart] {
        let plan = partnered(layout, &[1]).unwrap();
        let helped = match layout {
            Layout::Together => &plan.capture,
            _ => &plan.features,
        };
        assert_eq!(plan.partners[0].class, helped.class);
        assert_eq!(plan.partners[0].cores, [1]);
        assert_eq!(plan.housekeeping, [0]);
    }
    // Where nothing else is left housekeeping stays, and it is said.
    let plan = partnered(Layout::Together, &[0, 1]).unwrap();
    assert_eq!(plan.housekeeping, [0, 1]);
    assert!(plan.why.contains("housekeeping too"), "{}", plan.why);
}

// ---------------------------------------------------------------------------------------------
// Links, with a reader that is away

/// A numbered thing, captured so long ago.
#[derive(Debug)]
struct Thing(u32, Nanos);

impl Item for Thing {
    fn captured(&self) -> MonoTime {
        clock::now() - self.1
    }
}

const YOUNG: Nanos = Nanos::ZERO;
const OLD: Nanos = Nanos::from_secs(10);

fn policy(when_full: WhenFull, room: usize) -> LinkPolicy {
    LinkPolicy {
        when_full,
        room,
        ..LinkPolicy::NEWEST
    }
}

/// Ten things while the reader is away: which come through, and which come back.
fn ten(policy: LinkPolicy) -> (Vec<u32>, Vec<u32>, reflexarc::link::LinkTotals) {
    let (mut next, mut inlet) = stage::link::<Thing>(policy, &Bell::silent());
    let back = (0..10)
        .filter_map(|n| next.deliver(Thing(n, YOUNG)))
        .map(|thing| thing.0)
        .collect();
    let came = std::iter::from_fn(|| inlet.pop())
        .map(|thing| thing.0)
        .collect();
    (came, back, next.count().totals())
}

#[test]
fn each_policy_keeps_what_it_says_and_gives_the_rest_back() {
    let (came, back, totals) = ten(policy(WhenFull::NewestOnly, 1));
    assert_eq!(came, [9]);
    assert_eq!(back, (0..9).collect::<Vec<_>>());
    assert_eq!((totals.stale, totals.refused), (9, 0));

    let (came, back, totals) = ten(policy(WhenFull::DropOldest, 3));
    assert_eq!(came, [7, 8, 9]);
    assert_eq!(back, (0..7).collect::<Vec<_>>());
    assert_eq!((totals.stale, totals.refused), (7, 0));

    let (came, back, totals) = ten(policy(WhenFull::DropNewest, 3));
    assert_eq!(came, [0, 1, 2]);
    assert_eq!(back, (3..10).collect::<Vec<_>>());
    assert_eq!((totals.stale, totals.refused), (0, 7));
}

#[test]
fn a_link_that_blocks_says_so_before_anything_is_lost() {
    let (mut next, mut inlet) = stage::link::<Thing>(policy(WhenFull::Block, 2), &Bell::silent());
    let mut sent = 0;
    while next.has_room() {
        assert!(next.deliver(Thing(sent, YOUNG)).is_none());
        sent += 1;
    }
    assert_eq!(sent, 2);
    assert_eq!(inlet.pop().unwrap().0, 0);
    assert!(next.has_room());
    for dropping in [
        WhenFull::NewestOnly,
        WhenFull::DropOldest,
        WhenFull::DropNewest,
    ] {
        let (mut next, _inlet) = stage::link::<Thing>(policy(dropping, 1), &Bell::silent());
        let _ = next.deliver(Thing(0, YOUNG));
        assert!(next.has_room(), "nobody waits for {dropping:?}");
    }
}

#[test]
fn one_of_n_passes_the_first_of_each_n_and_counts_the_others() {
    let every_third = LinkPolicy {
        one_of: 3,
        ..policy(WhenFull::DropNewest, 16)
    };
    let (came, back, totals) = ten(every_third);
    assert_eq!(came, [0, 3, 6, 9]);
    assert_eq!(back, [1, 2, 4, 5, 7, 8]);
    assert_eq!((totals.pushed, totals.skipped), (4, 6));
}

#[test]
fn what_is_too_old_when_its_reader_comes_to_it_is_told_apart_and_counted() {
    let expiring = LinkPolicy {
        expire: Some(Nanos::from_secs(1)),
        ..policy(WhenFull::DropNewest, 16)
    };
    let (mut next, mut inlet) = stage::link::<Thing>(expiring, &Bell::silent());
    for (number, age) in [(0, OLD), (1, YOUNG), (2, OLD), (3, YOUNG)] {
        assert!(next.deliver(Thing(number, age)).is_none());
    }
    let mut expired = Vec::new();
    while let Some(thing) = inlet.pop() {
        expired.push(inlet.is_expired(&thing));
    }
    assert_eq!(expired, [true, false, true, false]);
    let totals = next.count().totals();
    assert_eq!((totals.pushed, totals.popped, totals.expired), (4, 2, 2));
    assert_eq!(totals.in_flight, 0);
}

#[test]
fn items_are_dealt_one_each_in_turn_and_only_one_waits() {
    let bells = [Bell::silent(), Bell::silent(), Bell::silent()];
    let (mut next, mut inlets) = stage::deal::<Thing>(LinkPolicy::NEWEST, &bells);
    let mut send = |n| next.deliver(Thing(n, YOUNG)).map(|thing| thing.0);
    assert_eq!(send(0), None);
    assert_eq!(
        send(1),
        Some(0),
        "nobody has begun, so the newer takes its place"
    );
    assert_eq!(inlets[0].pop().unwrap().0, 1);
    assert_eq!(send(2), None, "now it is the second's turn");
    assert_eq!(send(3), Some(2));
    assert!(inlets[0].is_empty() && inlets[2].is_empty());
    assert_eq!(inlets[1].pop().unwrap().0, 3);
    assert_eq!((send(4), inlets[2].pop().unwrap().0), (None, 4));
    assert_eq!((send(5), inlets[0].pop().unwrap().0), (None, 5));
}

#[test]
#[should_panic(expected = "cannot drop the oldest")]
fn several_workers_cannot_drop_the_oldest() {
    let bells = [Bell::silent(), Bell::silent()];
    drop(stage::deal::<Thing>(
        policy(WhenFull::DropOldest, 2),
        &bells,
    ));
}

#[test]
fn results_are_taken_in_the_order_in_which_their_items_were_dealt() {
    let (mut nexts, mut inlet) =
        stage::gather::<Thing>(3, 4, LinkPolicy::block(4), &Bell::silent());
    // The third is done first, the first last.
    for worker in [2, 1, 2, 1, 0] {
        let number = nexts[worker].count().totals().pushed * 3 + worker as u64;
        let thing = Thing(u32::try_from(number).unwrap(), YOUNG);
        assert!(nexts[worker].deliver(thing).is_none());
    }
    let came: Vec<u32> = std::iter::from_fn(|| inlet.pop()).map(|t| t.0).collect();
    assert_eq!(came, [0, 1, 2], "the fourth is not there yet");
    // It never comes: its worker has died. The others' results still do.
    drop(nexts.remove(0));
    let came: Vec<u32> = std::iter::from_fn(|| inlet.pop()).map(|t| t.0).collect();
    assert_eq!(came, [4, 5]);
    assert!(inlet.is_empty() && !inlet.is_abandoned());
}

// ---------------------------------------------------------------------------------------------
// Pipelines

/// Takes a while for each frame, on its own core or asleep; may fail at some.
struct Slow {
    seq: u64,
    /// Works so long, and by a number made from the frame's up to as long again.
    work: Nanos,
    fails_at: fn(u64) -> bool,
    /// Frames between the one that it was given last and the newest that the source had then.
    behind: Arc<Behind>,
}

struct Behind {
    newest: AtomicU64,
    lags: [AtomicU64; 64],
}

impl Default for Behind {
    fn default() -> Self {
        Self {
            newest: AtomicU64::new(0),
            lags: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Behind {
    /// Half of the frames were at most so many frames old when they were begun.
    fn median(&self) -> u64 {
        let counts: Vec<u64> = self
            .lags
            .iter()
            .map(|c| c.load(Ordering::Relaxed))
            .collect();
        let half = counts.iter().sum::<u64>().div_ceil(2);
        let mut sum = 0;
        let at = counts.iter().position(|count| {
            sum += count;
            sum >= half
        });
        at.unwrap() as u64
    }
}

impl Encoder for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }
    fn shape(&self) -> FeatureShape {
        FeatureShape {
            rows: 1,
            columns: 1,
            channels: 1,
        }
    }
    fn load(&mut self, frame: FrameView<'_>) -> Result<(), StepError> {
        let (seq, _) = embedded(frame).expect("the pattern carries its number");
        assert_eq!(seq, frame.meta.seq, "the pixels belong to another frame");
        self.seq = seq;
        let lag = self
            .behind
            .newest
            .load(Ordering::Relaxed)
            .saturating_sub(seq);
        let bin = usize::try_from(lag.min(63)).unwrap();
        self.behind.lags[bin].fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    fn encode(&mut self, out: &mut FeatureMap) -> Result<(), StepError> {
        let more = (self.seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) % 5;
        let more = Nanos(self.work.0 * i64::try_from(more).unwrap() / 4);
        clock::sleep_until(clock::now() + self.work + more);
        if (self.fails_at)(self.seq) {
            return Err(StepError::Compute);
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let seq = self.seq as f32;
        out.values_mut()[0] = seq;
        Ok(())
    }
}

/// What a policy was shown.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    seq: u64,
    captured: MonoTime,
    /// Of each other camera: captured, and the camera.
    views: Vec<Option<(MonoTime, u8)>>,
}

/// A policy that notes what it is shown, and checks that frame and features belong together.
struct Noting {
    inner: Still,
    shown: std::sync::mpsc::Sender<Shown>,
}

impl Policy for Noting {
    fn name(&self) -> &'static str {
        "noting"
    }
    fn dof(&self) -> u8 {
        self.inner.dof()
    }
    fn decide(&mut self, set: &Aligned<'_>, chunk: &mut Chunk) -> Result<(), StepError> {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let seq = set.frame.seq as f32;
        assert_eq!(set.features.values()[0].to_bits(), seq.to_bits());
        let views = set.views.iter().map(|view| {
            view.map(|view| {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let seq = view.frame.seq as f32;
                assert_eq!(view.features.values()[0].to_bits(), seq.to_bits());
                (view.frame.captured, view.frame.source_index)
            })
        });
        let shown = Shown {
            seq: set.frame.seq,
            captured: set.frame.captured,
            views: views.collect(),
        };
        self.shown.send(shown).unwrap();
        self.inner.decide(set, chunk)
    }
    fn status(&self) -> PolicyStatus {
        self.inner.status()
    }
    fn explainer(&self) -> Explainer {
        self.inner.explainer()
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn describe(&self) -> String {
        "nowhere".to_owned()
    }
    fn write(&mut self, _action: &Action) -> Result<(), StepError> {
        Ok(())
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "a test's own gate, far from any hot thread"
)]
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A run to be.
struct Trial {
    layout: Layout,
    rate: f64,
    pace: Pace,
    frames: u64,
    work: Nanos,
    workers: usize,
    fails_at: fn(u64) -> bool,
    frames_link: LinkPolicy,
    /// Rate and number of frames of each other camera, and how its pictures are chosen.
    others: Vec<(f64, u64, ViewConfig)>,
}

impl Default for Trial {
    fn default() -> Self {
        Self {
            layout: Layout::Apart,
            rate: 200.0,
            pace: Pace::RealTime,
            frames: 200,
            work: Nanos::from_millis(2),
            workers: 1,
            fails_at: |_| false,
            frames_link: LinkPolicy::NEWEST,
            others: Vec::new(),
        }
    }
}

struct Ran {
    pipeline: Pipeline,
    collector: Collector,
    shown: Vec<Shown>,
    ends: Vec<CaptureEnd>,
    behind: Arc<Behind>,
}

fn source(rate: f64, pace: Pace, frames: u64, index: u8) -> SyntheticSource {
    let config = SyntheticConfig {
        width: 64,
        height: 48,
        rate: Hertz::new(rate).unwrap(),
        pace,
        slots: 8,
        frames: Some(frames),
        ..SyntheticConfig::default()
    };
    SyntheticSource::open(&config, index).unwrap()
}

impl Trial {
    fn run(self) -> Ran {
        let _alone = ALONE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let threads = ThreadsConfig {
            layout: self.layout,
            ..ThreadsConfig::default()
        };
        let machine = Machine::detect();
        let plan = Plan::new(&threads, true, &machine, Nanos::ZERO, None);
        let plan = plan.scaled(&threads, &machine, self.workers, self.others.len());
        let behind = Arc::<Behind>::default();
        let encoder = || -> Box<dyn Encoder> {
            Box::new(Slow {
                seq: 0,
                work: self.work,
                fails_at: self.fails_at,
                behind: Arc::clone(&behind),
            })
        };
        #[expect(clippy::disallowed_methods, reason = "a test notes everything")]
        let (sender, receiver) = std::sync::mpsc::channel();
        let policy = Noting {
            inner: Still::new(2),
            shown: sender,
        };
        let first = source(self.rate, self.pace, self.frames, 0);
        let counters = first.counters();
        let player = Player::new(&ActionConfig::default(), 2, &[]).unwrap();
        let mut parts = Parts::new(
            Box::new(first),
            encoder(),
            Box::new(policy),
            player,
            Box::new(Nowhere),
        );
        parts.encoders.extend((1..self.workers).map(|_| encoder()));
        parts.links.frames = self.frames_link;
        for (index, (rate, frames, view)) in self.others.iter().enumerate() {
            let index = u8::try_from(index + 1).unwrap();
            parts.others.push(OtherCamera {
                source: Box::new(source(*rate, Pace::RealTime, *frames, index)),
                encoder: Box::new(Slow {
                    seq: 0,
                    work: Nanos::ZERO,
                    fails_at: |_| false,
                    behind: Arc::default(),
                }),
                view: view.clone(),
            });
        }
        let stop = Stop::default();
        let mut collector = Collector::new(clock::now(), &GoalsConfig::default());
        let mut pipeline = Pipeline::build(parts, &plan, &mut collector, &stop).unwrap();
        pipeline.go();
        while !pipeline.way_has_ended() {
            collector.collect();
            let produced = counters.produced.get();
            behind
                .newest
                .store(produced.saturating_sub(1), Ordering::Relaxed);
            clock::sleep_until(clock::now() + Nanos::from_millis(1));
        }
        stop.ask();
        let ends = pipeline.join().unwrap();
        collector.collect();
        let ran = Ran {
            pipeline,
            collector,
            shown: receiver.iter().collect(),
            ends,
            behind,
        };
        ran.assert_accounts();
        ran
    }
}

impl Ran {
    /// What holds for every run: all slots came home, nothing was lost without a reason, and frames came in order.
    fn assert_accounts(&self) {
        for end in &self.ends {
            assert!(end.fault.is_none());
            assert_eq!(end.slots_out, 0, "every slot came home");
        }
        for link in &self.pipeline.links {
            let totals = link.count.totals();
            let gone = totals.popped + totals.stale + totals.expired + totals.in_flight;
            assert_eq!(totals.pushed, gone, "{}: {totals:?}", link.name);
        }
        assert!(
            self.shown.windows(2).all(|pair| pair[0].seq < pair[1].seq),
            "frames came out of order"
        );
    }

    fn seqs(&self) -> Vec<u64> {
        self.shown.iter().map(|shown| shown.seq).collect()
    }

    /// Of all links from capture to features.
    fn frames(&self, count: fn(&reflexarc::link::LinkTotals) -> u64) -> u64 {
        let links = self.pipeline.links.iter();
        let way = links.filter(|link| link.name.starts_with("capture -> features"));
        way.map(|link| count(&link.count.totals())).sum()
    }
}

#[test]
fn workers_bring_all_results_back_in_order_where_no_frame_may_be_lost() {
    for workers in [1, 2, 3, 5] {
        let ran = Trial {
            pace: Pace::Fastest,
            workers,
            ..Trial::default()
        }
        .run();
        assert_eq!(
            ran.seqs(),
            (0..200).collect::<Vec<_>>(),
            "{workers} workers"
        );
    }
}

#[test]
fn a_frame_that_fails_loses_nothing_but_itself() {
    let ran = Trial {
        pace: Pace::Fastest,
        workers: 3,
        fails_at: |seq| seq % 7 == 3,
        ..Trial::default()
    }
    .run();
    let wanted: Vec<u64> = (0..200).filter(|seq| seq % 7 != 3).collect();
    assert_eq!(ran.seqs(), wanted);
    let failed: u64 = ran
        .pipeline
        .stages
        .iter()
        .filter(|(stage, _)| *stage == Stage::Features)
        .map(|(_, count)| count.failed.get())
        .sum();
    assert_eq!(failed, 200 - wanted.len() as u64);
}

#[test]
fn more_workers_get_more_frames_through_and_the_newest_first() {
    // 5 ms between frames, 15 to 30 ms of work.
    let through = |workers| {
        let ran = Trial {
            frames: 240,
            work: Nanos::from_millis(15),
            workers,
            ..Trial::default()
        }
        .run();
        assert!(
            ran.frames(|t| t.stale) > 0,
            "the rest gave way to newer ones"
        );
        ran.seqs().len()
    };
    let (one, three) = (through(1), through(3));
    assert!(
        three > one * 3 / 2,
        "{three} with three workers, {one} with one"
    );
}

#[test]
fn under_overload_no_policy_that_drops_lets_frames_grow_older_than_its_room() {
    // 5 ms between frames, 20 to 40 ms of work: six times too much.
    for layout in [Layout::CaptureApart, Layout::Apart] {
        for (when_full, room) in [
            (WhenFull::NewestOnly, 1),
            (WhenFull::DropOldest, 3),
            (WhenFull::DropNewest, 3),
        ] {
            let ran = Trial {
                layout,
                frames: 240,
                work: Nanos::from_millis(20),
                frames_link: policy(when_full, room),
                ..Trial::default()
            }
            .run();
            let lost = ran.frames(|t| t.stale + t.refused);
            assert!(lost > 100, "{when_full:?}: {lost} of 240 were dropped");
            let behind = ran.behind.median();
            // The newest waits for nothing. A queue that drops its oldest holds the newest `room`. One that drops its newest
            // holds frames until those before them are done: up to 8 periods each.
            let bound = match when_full {
                WhenFull::NewestOnly => 1,
                WhenFull::DropOldest => room as u64,
                _ => 8 * (room as u64 + 1),
            };
            assert!(
                behind <= bound + 1,
                "{when_full:?}, {layout:?}: half of the frames were {behind} or more frames old, of {bound}"
            );
        }
    }
}

#[test]
fn a_link_that_blocks_leaves_what_is_too_much_with_the_source() {
    let ran = Trial {
        frames: 120,
        work: Nanos::from_millis(20),
        frames_link: LinkPolicy::block(2),
        ..Trial::default()
    }
    .run();
    assert_eq!(ran.frames(|t| t.stale + t.refused + t.expired), 0);
    let source = &ran.pipeline.cameras[0].source;
    let lost = source.drained.get() + source.no_slot.get();
    assert!(lost > 50, "{lost} of 120 were lost by the source");
    assert_eq!(ran.frames(|t| t.popped), source.taken.get());
}

#[test]
fn frames_that_are_left_out_or_too_old_go_home_unread() {
    let ran = Trial {
        frames: 90,
        work: Nanos::from_millis(1),
        frames_link: LinkPolicy {
            one_of: 3,
            ..LinkPolicy::NEWEST
        },
        ..Trial::default()
    }
    .run();
    let taken = ran.pipeline.cameras[0].source.taken.get();
    assert_eq!(ran.frames(|t| t.skipped), taken - taken.div_ceil(3));
    let ran = Trial {
        frames: 60,
        work: Nanos::from_millis(20),
        frames_link: LinkPolicy {
            expire: Some(Nanos(1)),
            ..policy(WhenFull::DropNewest, 4)
        },
        ..Trial::default()
    }
    .run();
    assert_eq!(ran.shown, [], "a nanosecond is less than a hand-over takes");
    let taken = ran.pipeline.cameras[0].source.taken.get();
    assert_eq!(ran.frames(|t| t.expired), taken);
}

#[test]
fn a_frame_that_expires_passes_the_turn_of_its_worker() {
    let run = |expire| {
        Trial {
            frames: 120,
            work: Nanos::from_millis(15),
            workers: 3,
            frames_link: LinkPolicy {
                expire: Some(expire),
                ..policy(WhenFull::DropNewest, 3)
            },
            ..Trial::default()
        }
        .run()
    };
    // A nanosecond is less than a hand-over takes; in 8 ms some have waited too long and some have not.
    let all = run(Nanos(1));
    assert_eq!(all.shown, []);
    assert_eq!(all.frames(|t| t.expired), all.frames(|t| t.pushed));
    let some = run(Nanos::from_millis(8));
    let results = some.pipeline.links.iter();
    let results = results.filter(|link| link.name.starts_with("features -> fusion"));
    let overtaken: u64 = results.map(|link| link.count.totals().expired).sum();
    let worked = some.frames(|t| t.popped);
    assert!(worked > 0);
    assert_eq!(
        some.shown.len() as u64 + overtaken,
        worked,
        "every other one came through, or a newer one of another worker overtook it"
    );
    assert_eq!(
        some.frames(|t| t.pushed),
        worked + some.frames(|t| t.expired)
    );
}

#[test]
fn every_frame_is_shown_with_what_each_other_camera_saw_before_it() {
    let hold = ViewConfig::default();
    let latest = ViewConfig {
        choice: ViewChoice::Latest,
        max_age: Nanos::from_secs(10),
    };
    for layout in [Layout::Together, Layout::CaptureApart, Layout::Apart] {
        let ran = Trial {
            layout,
            rate: 100.0,
            frames: 150,
            others: vec![(50.0, 1_000, hold.clone()), (200.0, 1_000, latest.clone())],
            ..Trial::default()
        }
        .run();
        let (mut held, mut newest) = (0, 0);
        let mut before = [MonoTime::ZERO; 2];
        for shown in &ran.shown {
            assert_eq!(shown.views.len(), 2);
            if let Some((captured, camera)) = shown.views[0] {
                assert_eq!(camera, 1);
                assert!(captured <= shown.captured, "from the future");
                assert!(shown.captured - captured <= hold.max_age, "too old");
                assert!(captured >= before[0], "went back in time");
                before[0] = captured;
                held += 1;
            }
            if let Some((captured, camera)) = shown.views[1] {
                assert_eq!(camera, 2);
                assert!(captured >= before[1], "went back in time");
                before[1] = captured;
                newest += 1;
            }
        }
        let frames = ran.shown.len();
        assert!(
            held > frames / 2 && newest > frames / 2,
            "{held}, {newest} of {frames}"
        );
        for (camera, count) in ran.pipeline.cameras[1..].iter().zip([held, newest]) {
            let view = camera.view.as_ref().unwrap();
            assert_eq!(view.shown.get(), count as u64);
            assert_eq!(view.missing.get(), (frames - count) as u64);
        }
        // Their frames are measured apart from those of the way.
        let measured = ran.collector.measured();
        assert_eq!(
            measured.stage(Stage::Capture).ok,
            ran.pipeline.cameras[0].source.taken.get()
        );
        for camera in 1..=2 {
            let taken = ran.pipeline.cameras[usize::from(camera)].source.taken.get();
            assert_eq!(measured.stage_of(camera, Stage::Capture).unwrap().ok, taken);
        }
    }
}

#[test]
fn a_camera_that_ends_is_no_longer_shown_and_holds_nothing_up() {
    let view = ViewConfig {
        choice: ViewChoice::Hold,
        max_age: Nanos::from_millis(60),
    };
    let ran = Trial {
        layout: Layout::Together,
        rate: 100.0,
        frames: 100,
        others: vec![(100.0, 20, view)],
        ..Trial::default()
    }
    .run();
    let last = ran.shown.last().unwrap();
    assert_eq!(last.views, [None], "its last picture is too old");
    assert!(ran.shown.iter().any(|shown| shown.views[0].is_some()));
    assert!(ran.shown.len() > 50, "the first camera's frames go on");
}
