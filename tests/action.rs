//! Promises of the action clock: what is played, what is refused, which limits always hold, how it stops.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::large_stack_arrays
)]

use reflexarc::action::config::{ActionConfig, Mode, PerJoint, SafeAction};
use reflexarc::action::player::{Played, Player};
use reflexarc::action::{CHUNK_STEPS_MAX, Chunk, Refusal, Rung};
use reflexarc::error::Kind;
use reflexarc::rt::memory::{self, Ledgers};
use reflexarc::telemetry::trace::Trace;
use reflexarc::units::{Hertz, MonoTime, Nanos};

#[global_allocator]
static ALLOCATOR: Ledgers = Ledgers;

const START: MonoTime = MonoTime(1_000_000_000_000);
const MS: i64 = 1_000_000;

/// SplitMix64 (Steele, Lea, Flood 2014): enough for tests, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    /// Uniform in -1..1.
    fn signed(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
    fn ms(&mut self, low: i64, high: i64) -> Nanos {
        Nanos::from_millis(low + self.below((high - low) as u64) as i64)
    }
}

fn config() -> ActionConfig {
    ActionConfig::default()
}

fn at_ms(ms: i64) -> MonoTime {
    START + Nanos::from_millis(ms)
}

/// A chunk of one joint's targets, 10 ms apart.
fn chunk(seq: u64, captured: MonoTime, begin: MonoTime, targets: &[f32]) -> Chunk {
    let mut chunk = Chunk::new(1);
    chunk.trace = Trace::new(seq, 0, captured, captured);
    chunk.begin = begin;
    chunk.step = Nanos::from_millis(10);
    for target in targets {
        chunk.push(&[*target]).unwrap();
    }
    chunk
}

/// Plays ticks 10 ms apart, from `from` ms on.
fn play(player: &mut Player, from_ms: i64, ticks: i64) -> Vec<Played> {
    (0..ticks)
        .map(|k| player.tick(k as u64, at_ms(from_ms + 10 * k), None))
        .collect()
}

fn ramp(from: f32, step: f32, count: usize) -> Vec<f32> {
    (0..count).map(|k| from + step * k as f32).collect()
}

#[test]
fn a_chunk_within_the_limits_is_followed_exactly() {
    let mut player = Player::new(&config(), 1, &[0.0]).unwrap();
    // Speeds up by 0.05 rad/s a step, which is half the acceleration limit.
    let targets: Vec<f32> = (0..20).map(|k| 0.000_25 * (k * k) as f32).collect();
    let mut heard = vec![player.tick(0, at_ms(0), Some(&chunk(7, at_ms(-20), at_ms(0), &targets)))];
    heard.extend(play(&mut player, 10, 19));
    for (played, target) in heard.iter().zip(&targets) {
        assert_eq!(played.action.targets(), &[*target]);
        assert_eq!(played.action.frame_seq, 7);
    }
    assert_eq!(player.counters().limited.get(), 0);
}

#[test]
fn between_steps_the_targets_are_interpolated() {
    let mut player = Player::new(&config(), 1, &[0.0]).unwrap();
    let mut slow = chunk(1, at_ms(-20), at_ms(0), &[0.0, 0.002, 0.005]);
    slow.step = Nanos::from_millis(40);
    player.tick(0, at_ms(0), Some(&slow));
    let heard = play(&mut player, 10, 9);
    let expected = [
        0.0005, 0.001, 0.0015, 0.002, 0.002_75, 0.0035, 0.004_25, 0.005, 0.005,
    ];
    for (played, expected) in heard.iter().zip(expected) {
        assert!((played.action.targets[0] - expected).abs() < 1e-7);
    }
}

#[test]
fn the_first_action_of_each_chunk_carries_its_trace_once() {
    let mut player = Player::new(&config(), 1, &[]).unwrap();
    let one = chunk(1, at_ms(-20), at_ms(0), &[0.0; 10]);
    let first = player.tick(0, at_ms(0), Some(&one));
    assert_eq!(first.first_of, Some(one.trace));
    assert!(
        play(&mut player, 10, 3)
            .iter()
            .all(|p| p.first_of.is_none())
    );
    let two = chunk(2, at_ms(10), at_ms(40), &[0.0; 10]);
    assert_eq!(
        player.tick(4, at_ms(40), Some(&two)).first_of,
        Some(two.trace)
    );
}

#[test]
fn a_chunk_that_begins_later_is_spliced_in_at_its_time() {
    let mut player = Player::new(&config(), 1, &[]).unwrap();
    let now = chunk(1, at_ms(-20), at_ms(0), &[0.0; 20]);
    let later = chunk(2, at_ms(-10), at_ms(30), &ramp(0.0, 0.001, 20));
    player.tick(0, at_ms(0), Some(&now));
    let waits = player.tick(1, at_ms(10), Some(&later));
    assert_eq!((waits.action.frame_seq, waits.refused), (1, None));
    assert_eq!(player.tick(2, at_ms(20), None).action.frame_seq, 1);
    let begins = player.tick(3, at_ms(30), None);
    assert_eq!(begins.first_of.map(|t| t.seq), Some(2));
}

#[test]
fn a_policy_that_always_plans_ahead_is_not_starved() {
    let mut player = Player::new(&config(), 1, &[]).unwrap();
    let mut first = 0;
    for k in 0..100 {
        // Each chunk begins 50 ms from now, and five more come before that.
        let ahead = chunk(k as u64, at_ms(10 * k - 10), at_ms(10 * k + 50), &[0.0; 10]);
        let played = player.tick(k as u64, at_ms(10 * k), Some(&ahead));
        first += u64::from(played.first_of.is_some());
    }
    assert_eq!(first, 95);
}

#[test]
fn chunks_that_cannot_play_are_refused_and_the_old_one_plays_on() {
    let mut player = Player::new(&config(), 1, &[]).unwrap();
    let good = chunk(1, at_ms(-20), at_ms(0), &[0.25; 100]);
    player.tick(0, at_ms(0), Some(&good));
    let mut wrong_dof = Chunk::new(2);
    wrong_dof.trace = good.trace;
    wrong_dof.begin = at_ms(0);
    wrong_dof.push(&[0.0, 0.0]).unwrap();
    let mut no_step = good;
    no_step.step = Nanos::ZERO;
    let mut no_stamp = good;
    no_stamp.trace = Trace::default();
    let now = at_ms(10);
    let cases = [
        (Refusal::Empty, chunk(2, now, now, &[])),
        (Refusal::BadShape, wrong_dof),
        (Refusal::BadShape, no_step),
        (Refusal::NotFinite, chunk(2, now, now, &[0.0, f32::NAN])),
        (Refusal::NotFinite, chunk(2, now, now, &[f32::INFINITY])),
        (Refusal::OutOfRange, chunk(2, now, now, &[0.0, 10.0])),
        (Refusal::BadStamp, no_stamp),
        (Refusal::BadStamp, chunk(2, at_ms(5000), now, &[0.0])),
        (Refusal::Older, chunk(2, at_ms(-30), now, &[0.0])),
        (Refusal::Late, chunk(2, at_ms(-10), at_ms(-9), &[0.0])),
        (Refusal::TooEarly, chunk(2, now, at_ms(5000), &[0.0])),
    ];
    let mut by_reason = [0; Refusal::COUNT];
    for (expected, bad) in &cases {
        let played = player.tick(1, now, Some(bad));
        assert_eq!(played.refused, Some(*expected));
        assert_eq!(played.action.rung, Rung::Fresh);
        assert_eq!(played.action.frame_seq, 1);
        by_reason[*expected as usize] += 1;
    }
    let counters = player.counters();
    for (count, expected) in counters.refused.iter().zip(by_reason) {
        assert_eq!(count.get(), expected);
    }
    assert_eq!(counters.offered.get(), 1 + cases.len() as u64);
    assert_eq!(counters.accepted.get(), 1);
}

#[test]
fn without_new_chunks_the_ladder_goes_down_and_says_when() {
    let mut player = Player::new(&config(), 1, &[]).unwrap();
    player.tick(
        0,
        at_ms(0),
        Some(&chunk(1, at_ms(0), at_ms(0), &[0.0; 100])),
    );
    let changes: Vec<_> = play(&mut player, 10, 250)
        .into_iter()
        .filter_map(|p| {
            p.change
                .map(|(from, to)| (from, to, (p.action.at - START).0 / MS))
        })
        .collect();
    let expected = [
        (Rung::Fresh, Rung::Tail, 160),
        (Rung::Tail, Rung::Hold, 500),
        (Rung::Hold, Rung::SafeStop, 2000),
    ];
    assert_eq!(changes, expected);
    let counters = player.counters();
    assert_eq!(
        counters.changes[Rung::Tail as usize][Rung::Hold as usize].get(),
        1
    );
    assert_eq!(
        counters
            .ticks
            .iter()
            .map(reflexarc::capture::Count::get)
            .sum::<u64>(),
        251
    );
}

#[test]
fn a_chunk_that_runs_out_is_held_until_a_new_one_comes() {
    let mut player = Player::new(&config(), 1, &[]).unwrap();
    player.tick(0, at_ms(0), Some(&chunk(1, at_ms(0), at_ms(0), &[0.0; 3])));
    let rungs: Vec<_> = play(&mut player, 10, 4)
        .iter()
        .map(|p| p.action.rung)
        .collect();
    assert_eq!(rungs, [Rung::Fresh, Rung::Fresh, Rung::Hold, Rung::Hold]);
    let again = player.tick(5, at_ms(50), Some(&chunk(2, at_ms(40), at_ms(50), &[0.0])));
    assert_eq!(again.change, Some((Rung::Hold, Rung::Fresh)));
}

#[test]
fn before_the_first_chunk_it_holds_the_start_and_stops_when_none_comes() {
    let mut player = Player::new(&config(), 2, &[0.5, -0.5]).unwrap();
    for played in play(&mut player, 0, 1000) {
        assert_eq!(played.action.rung, Rung::Hold);
        assert_eq!(played.action.targets(), &[0.5, -0.5]);
    }
    assert_eq!(
        play(&mut player, 10_000, 1)[0].change,
        Some((Rung::Hold, Rung::SafeStop))
    );
}

#[test]
fn a_latched_stop_is_left_by_reset_and_a_new_chunk_only() {
    let mut player = Player::new(&config(), 1, &[]).unwrap();
    player.tick(0, at_ms(0), Some(&chunk(1, at_ms(0), at_ms(0), &[0.0; 9])));
    assert!(!player.reset(), "there is nothing to reset");
    assert_eq!(
        player.tick(1, at_ms(3000), None).action.rung,
        Rung::SafeStop
    );
    let fresh = |ms| chunk(ms as u64, at_ms(ms), at_ms(ms), &[0.1; 9]);
    let refused = player.tick(2, at_ms(3010), Some(&fresh(3000)));
    assert_eq!(refused.refused, Some(Refusal::Stopped));
    assert_eq!(refused.action.rung, Rung::SafeStop);
    assert!(player.reset());
    let held = player.tick(3, at_ms(3020), None);
    assert_eq!(held.action.rung, Rung::Hold);
    assert_eq!(held.change, Some((Rung::SafeStop, Rung::Hold)));
    let back = player.tick(4, at_ms(3030), Some(&fresh(3020)));
    assert_eq!(back.change, Some((Rung::Hold, Rung::Fresh)));
}

#[test]
fn an_unlatched_stop_recovers_with_a_new_chunk() {
    let config = ActionConfig {
        latch: false,
        ..config()
    };
    let mut player = Player::new(&config, 1, &[]).unwrap();
    player.tick(0, at_ms(0), Some(&chunk(1, at_ms(0), at_ms(0), &[0.0; 9])));
    assert_eq!(
        player.tick(1, at_ms(3000), None).action.rung,
        Rung::SafeStop
    );
    assert_eq!(
        player.tick(2, at_ms(3010), None).action.rung,
        Rung::SafeStop
    );
    let new = chunk(2, at_ms(3000), at_ms(3000), &[0.1; 9]);
    assert_eq!(
        player.tick(3, at_ms(3020), Some(&new)).change,
        Some((Rung::SafeStop, Rung::Fresh))
    );
}

#[test]
fn a_velocity_is_ramped_to_zero_when_data_stops() {
    let config = ActionConfig {
        mode: Mode::Velocity,
        ..config()
    };
    let mut player = Player::new(&config, 1, &[]).unwrap();
    player.tick(
        0,
        at_ms(0),
        Some(&chunk(1, at_ms(0), at_ms(0), &[1.0; 100])),
    );
    let speeds: Vec<f32> = play(&mut player, 10, 70)
        .iter()
        .map(|p| p.action.targets[0])
        .collect();
    assert_eq!(speeds[40], 1.0, "the tail plays on");
    assert_eq!(speeds[69], 0.0);
    let steepest = speeds
        .windows(2)
        .map(|w| (w[1] - w[0]).abs())
        .fold(0.0, f32::max);
    assert!(steepest <= 0.100_001, "0.1 rad/s a tick, not {steepest}");
}

#[test]
fn the_end_of_a_run_ends_in_the_safe_position_within_its_bound() {
    let config = ActionConfig {
        safe: SafeAction::GoTo(vec![-1.0, 0.5]),
        ..config()
    };
    let mut player = Player::new(&config, 2, &[1.0, 0.0]).unwrap();
    let mut fast = Chunk::new(2);
    fast.trace = Trace::new(1, 0, at_ms(0), at_ms(0));
    fast.begin = at_ms(0);
    for k in 0..100 {
        fast.push(&[1.0 + 0.02 * k as f32, 0.02 * k as f32])
            .unwrap();
    }
    player.tick(0, at_ms(0), Some(&fast));
    play(&mut player, 10, 30);
    player.begin_stop();
    let mut ticks = 0;
    while !player.stopped() {
        let played = player.tick(ticks, at_ms(310 + 10 * ticks as i64), Some(&fast));
        assert_eq!(played.action.rung, Rung::SafeStop);
        assert_eq!(played.refused, Some(Refusal::Stopped));
        ticks += 1;
        assert!(ticks <= player.stop_ticks_max());
    }
    assert!(!player.reset(), "the end of a run is final");
    let last = player.tick(ticks, at_ms(9000), None);
    assert_eq!(last.action.targets(), &[-1.0, 0.5]);
}

#[test]
fn a_player_that_awaits_its_start_begins_at_the_first_reading_and_within_its_limits() {
    let mut player = Player::new(&config(), 2, &[]).unwrap();
    assert_eq!(player.awaits_start(), None);
    player.await_start();
    assert_eq!(player.awaits_start(), Some(config().start_within));
    // A third value is another sensor's business.
    player.start_at(&[1.25, -0.5, 9.0]).unwrap();
    assert_eq!(player.awaits_start(), None);
    let held = player.tick(0, at_ms(0), None);
    assert_eq!(held.action.targets(), &[1.25, -0.5]);
    // A chunk that wants it at zero at once: the way there keeps the limits from the true start.
    let mut zero = Chunk::new(2);
    zero.trace = Trace::new(1, 0, at_ms(0), at_ms(0));
    zero.begin = at_ms(10);
    for _ in 0..CHUNK_STEPS_MAX {
        zero.push(&[0.0, 0.0]).unwrap();
    }
    let (mut place, mut speed) = (1.25, 0.0_f64);
    for k in 1..40 {
        let played = player.tick(k, at_ms(10 * k as i64), (k == 1).then_some(&zero));
        let now = f64::from(played.action.targets[0]);
        let moved = (now - place) / 0.01;
        assert!(moved.abs() <= 2.0 + 1e-4, "tick {k}: {moved} rad/s");
        assert!(
            (moved - speed).abs() <= 0.1 + 1e-4,
            "tick {k}: {speed} to {moved} rad/s"
        );
        (place, speed) = (now, moved);
    }
    assert!(place < 0.8, "it is on its way: {place}");
}

#[test]
fn a_start_that_cannot_be_right_is_refused() {
    let mut player = Player::new(&config(), 2, &[]).unwrap();
    player.await_start();
    for (reading, reason) in [
        (&[0.5][..], "has 1 values"),
        (&[0.0, 4.0], "joint 1 starts at 4"),
        (&[f32::NAN, 0.0], "joint 0 starts at NaN"),
    ] {
        let fault = player.start_at(reading).unwrap_err();
        assert!(fault.what.contains(reason), "{fault}");
        assert!(player.awaits_start().is_some(), "it goes on waiting");
    }
}

#[test]
fn the_configured_start_comes_before_every_other() {
    let config = ActionConfig {
        start: Some(vec![0.25, -0.75]),
        ..config()
    };
    let mut player = Player::new(&config, 2, &[1.0, 1.0]).unwrap();
    let first = player.tick(0, at_ms(0), None);
    assert_eq!(first.action.targets(), &[0.25, -0.75]);
}

#[test]
fn a_velocity_needs_no_start() {
    let config = ActionConfig {
        mode: Mode::Velocity,
        ..config()
    };
    let mut player = Player::new(&config, 2, &[]).unwrap();
    player.await_start();
    assert_eq!(player.awaits_start(), None);
}

/// What a hostile policy could send.
fn any_chunk(random: &mut Random, dof: u8, now: MonoTime) -> Chunk {
    let mut chunk = Chunk::new(if random.below(50) == 0 { dof + 1 } else { dof });
    let captured = now - random.ms(-5, 200);
    chunk.trace = Trace::new(random.next(), 0, captured, captured);
    chunk.begin = match random.below(20) {
        0 => MonoTime(i64::MIN),
        1 => MonoTime::FAR,
        _ => now - random.ms(-80, 200),
    };
    chunk.step = match random.below(20) {
        0 => Nanos(-5),
        1 => Nanos(1),
        2 => Nanos::MAX,
        _ => random.ms(1, 60),
    };
    let mut target = [0.0f64; 16];
    let wild = random.below(10) == 0;
    for _ in 0..random.below(CHUNK_STEPS_MAX as u64 + 1) {
        for value in &mut target {
            let jump = if random.below(4) == 0 { 4.0 } else { 0.05 };
            *value = (*value + jump * random.signed()).clamp(-9.0, 9.0);
        }
        let mut values = target.map(|v| v as f32);
        if wild && random.below(30) == 0 {
            values[0] = [f32::NAN, f32::INFINITY, f32::MAX, -1e20][random.below(4) as usize];
        }
        chunk.push(&values).unwrap();
    }
    chunk
}

struct Tolerance {
    speed: f64,
    acceleration: f64,
}

/// Half a unit in the last place of an f32 near pi is 1.2e-7; differences of it over one and two periods.
fn rounding(period: f64) -> Tolerance {
    Tolerance {
        speed: 3e-7 / period,
        acceleration: 6e-7 / (period * period),
    }
}

#[test]
fn no_chunk_and_no_change_of_rung_ever_breaks_a_limit() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let velocity_mode = seed % 3 == 2;
        let rate = [50.0, 100.0, 1000.0][(seed % 4 % 3) as usize];
        let (dof, period) = (1 + (seed % 6) as u8, 1.0 / rate);
        let limit = ActionConfig {
            rate: Hertz::new(rate).unwrap(),
            mode: [Mode::Position, Mode::Velocity][usize::from(velocity_mode)],
            position_min: (!velocity_mode).then_some(PerJoint::All(-2.5)),
            position_max: (!velocity_mode).then_some(PerJoint::All(1.5)),
            velocity_max: PerJoint::All(1.0 + 0.1 * seed as f32),
            acceleration_max: PerJoint::All(3.0 + seed as f32),
            latch: seed % 2 == 0,
            safe: match velocity_mode || seed % 5 == 0 {
                true => SafeAction::Rest,
                false => SafeAction::GoTo(vec![0.75; usize::from(dof)]),
            },
            ..config()
        };
        let velocity_max = 1.0 + 0.1 * f64::from(seed as f32) + 1e-6;
        let acceleration_max = 3.0 + seed as f64;
        let tolerance = rounding(period);
        let start = vec![0.25; usize::from(dof)];
        let mut player = Player::new(&limit, dof, &start).unwrap();
        let mut now = START;
        let mut before = vec![if velocity_mode { 0.0 } else { 0.25 }; usize::from(dof)];
        let mut speed_before = vec![0.0; usize::from(dof)];
        let (mut stop_left, mut tick) = (None, 0);
        while stop_left != Some(0) {
            // Chunks come in bursts, with silences long enough for every rung.
            let quiet = (tick / 300) % 3 == 2;
            let newest = (!quiet && random.below(4) == 0).then(|| any_chunk(&mut random, dof, now));
            match random.below(200) {
                0 => now += random.ms(0, 3000),
                1 => {
                    player.reset();
                }
                _ => now += Nanos::from_secs_f64(period),
            }
            if tick == 4000 {
                player.begin_stop();
                stop_left = Some(player.stop_ticks_max());
            }
            let played = player.tick(tick, now, newest.as_ref());
            assert_eq!(played.action.tick, tick);
            for (j, target) in played.action.targets().iter().enumerate() {
                let (value, old) = (f64::from(*target), before[j]);
                let context = || format!("seed {seed} tick {tick} joint {j}: {old} to {value}");
                let speed = if velocity_mode {
                    value
                } else {
                    (value - old) / period
                };
                assert!(
                    velocity_mode || (-2.5..=1.5).contains(&value),
                    "{}",
                    context()
                );
                assert!(
                    speed.abs() <= velocity_max + tolerance.speed,
                    "{}",
                    context()
                );
                let acceleration = (speed - speed_before[j]).abs() / period;
                assert!(
                    acceleration <= acceleration_max * (1.0 + 1e-6) + tolerance.acceleration,
                    "{}: {acceleration} rad/s2",
                    context()
                );
                before[j] = value;
                speed_before[j] = speed;
            }
            stop_left = stop_left.map(|left| left - 1);
            tick += 1;
        }
        assert!(
            player.stopped(),
            "seed {seed} did not stop within its bound"
        );
        let counters = player.counters();
        let refused: u64 = counters.refused.iter().map(|c| c.get()).sum();
        assert_eq!(counters.offered.get(), counters.accepted.get() + refused);
        assert_eq!(
            counters.accepted.get(),
            counters.played.get() + counters.unplayed.get(),
            "seed {seed}: at rest nothing waits"
        );
        assert!(seed > 0 || counters.ticks.iter().all(|c| c.get() > 0));
    }
}

#[test]
fn the_same_chunks_at_the_same_ticks_give_the_same_actions() {
    let run = || {
        let mut random = Random(4);
        let mut player = Player::new(&config(), 3, &[]).unwrap();
        (0..2000)
            .map(|k| {
                let now = at_ms(10 * k);
                let newest = (random.below(3) == 0).then(|| any_chunk(&mut random, 3, now));
                player.tick(k as u64, now, newest.as_ref()).action
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn no_tick_allocates_whatever_comes() {
    let mut random = Random(9);
    let config = ActionConfig {
        latch: false,
        ..config()
    };
    let mut player = Player::new(&config, 5, &[]).unwrap();
    let ledger = memory::open_ledger();
    let mut now = START;
    for tick in 0..5000 {
        now += random.ms(1, 40) * if random.below(100) == 0 { 100 } else { 1 };
        let newest = (random.below(2) == 0).then(|| any_chunk(&mut random, 5, now));
        let before = ledger.totals();
        player.tick(tick, now, newest.as_ref());
        assert_eq!(ledger.totals(), before, "tick {tick}");
    }
    assert!(player.counters().ticks.iter().all(|count| count.get() > 0));
}

#[test]
fn wrong_settings_are_refused_with_what_why_and_fix() {
    let refused = |change: &dyn Fn(&mut ActionConfig), dof, start: &[f32]| {
        let mut config = config();
        change(&mut config);
        let fault = Player::new(&config, dof, start).unwrap_err();
        assert_eq!(fault.kind, Kind::Config);
        assert!(!fault.why.is_empty() && !fault.fix.is_empty());
        fault.what
    };
    let each = |values: &[f32]| PerJoint::Each(values.to_vec());
    assert!(refused(&|_| {}, 0, &[]).contains("0 values"));
    assert!(refused(&|_| {}, 17, &[]).contains("17 values"));
    assert!(refused(&|c| c.hold_after = Nanos(1), 1, &[]).contains("hold_after"));
    assert!(refused(&|c| c.stop_after = Nanos(1), 1, &[]).contains("stop_after"));
    assert!(refused(&|c| c.velocity_max = each(&[1.0]), 2, &[]).contains("velocity_max"));
    assert!(refused(&|c| c.position_max = Some(PerJoint::All(-4.0)), 1, &[]).contains("joint 0"));
    assert!(refused(&|_| {}, 2, &[0.0]).contains("start position"));
    assert!(refused(&|_| {}, 1, &[4.0]).contains("starts at 4"));
    assert!(refused(&|_| {}, 1, &[f32::NAN]).contains("starts at NaN"));
    let go_to = |c: &mut ActionConfig| c.safe = SafeAction::GoTo(vec![9.0]);
    assert!(refused(&go_to, 1, &[]).contains("go_to"));
    assert!(refused(&go_to, 2, &[]).contains("go_to has 1"));
    let velocity = |c: &mut ActionConfig| c.mode = Mode::Velocity;
    assert!(refused(&|c| (velocity(c), go_to(c)).0, 1, &[]).contains("velocity mode"));
    let limit = |c: &mut ActionConfig| c.position_min = Some(PerJoint::All(-1.0));
    assert!(refused(&|c| (velocity(c), limit(c)).0, 1, &[]).contains("velocity mode"));
    let start = |c: &mut ActionConfig| c.start = Some(vec![0.0, 9.0]);
    assert!(refused(&|c| (velocity(c), start(c)).0, 2, &[]).contains("velocity mode"));
    assert!(refused(&start, 1, &[]).contains("action.start"));
    assert!(refused(&start, 2, &[]).contains("starts at 9"));
}

#[test]
fn a_wrong_value_in_the_file_is_refused_with_its_line() {
    let read = |text: &str| toml::from_str::<ActionConfig>(text);
    let good = read(
        "mode = \"velocity\"\nvelocity_max = [1, 2.5]\nsafe = \"rest\"\nfresh_within = \"40 ms\"",
    )
    .unwrap();
    assert_eq!(good.velocity_max, PerJoint::Each(vec![1.0, 2.5]));
    assert_eq!(good.fresh_within, Nanos::from_millis(40));
    let go = read("safe = { go_to = [0.5, 1] }").unwrap();
    assert_eq!(go.safe, SafeAction::GoTo(vec![0.5, 1.0]));
    for (line, reason) in [
        ("rate = 2000", "1 to 1000 Hz"),
        ("rate = nan", "not a rate"),
        ("mode = \"torque\"", "position"),
        ("velocity_max = 0", "above 0"),
        ("acceleration_max = [1, -1]", "above 0"),
        ("velocity_max = inf", "finite"),
        ("velocity_max = \"2\"", "a number, or a list"),
        ("fresh_within = \"0 ms\"", "above 0"),
        ("fresh_within = 40", "duration"),
        ("safe_speed = 1.5", "share"),
        ("start = [0.0, nan]", "finite"),
        ("start = 0.5", "sequence"),
        ("start_within = \"0 s\"", "above 0"),
        ("start_within = \"61 min\"", "an hour"),
        ("refuse_beyond = -1", "number of ranges"),
        ("safe = \"explode\"", "rest"),
        ("speed = 1", "unknown field"),
    ] {
        let error = read(&format!("latch = true\n{line}\n"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 2"), "{line}: {error}");
        assert!(error.contains(reason), "{line}: {error}");
    }
}

mod sinks {
    //! Every sink on the real thing: sockets, a pty, files, pipes.

    use std::io::{BufRead, BufReader, Read};
    use std::net::UdpSocket;
    use std::os::fd::{AsRawFd, FromRawFd};
    use std::os::unix::net::UnixDatagram;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use reflexarc::action::sinks::{Form, SinkConfig, open};
    use reflexarc::action::{Action, Rung, Sink};
    use reflexarc::error::{Fault, Kind, StepError};
    use reflexarc::rt::memory;
    use reflexarc::units::{Hertz, MonoTime};
    use reflexarc::wire::{Message, stream};

    fn rate() -> Hertz {
        Hertz::new(100.0).unwrap()
    }

    fn opened(line: &str) -> Result<Box<dyn Sink>, Fault> {
        open(&line.parse().unwrap(), 2, rate())
    }

    fn action(tick: u64) -> Action {
        let mut targets = [0.0; 16];
        targets[..2].copy_from_slice(&[0.1 * tick as f32, -1.25]);
        Action {
            tick,
            at: MonoTime(1_000_000_000 + tick as i64),
            rung: Rung::Tail,
            frame_seq: 3,
            dof: 2,
            targets,
        }
    }

    fn message(tick: u64) -> Message {
        Message::of_action(&action(tick))
    }

    #[test]
    fn udp_sends_each_action_as_one_datagram_in_both_forms() {
        for kind in ["udp", "udp+json"] {
            let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
            receiver
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            let address = receiver.local_addr().unwrap();
            let mut sink = opened(&format!("{kind}:{address}")).unwrap();
            assert_eq!(sink.describe(), format!("{kind} {address}"));
            for tick in 0..3 {
                sink.write(&action(tick)).unwrap();
                let mut bytes = [0; 2000];
                let len = receiver.recv(&mut bytes).unwrap();
                assert_eq!(Message::decode(&bytes[..len]), Ok(message(tick)));
            }
        }
    }

    #[test]
    fn udp_goes_on_when_the_receiver_comes_back() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        let mut sink = opened(&format!("udp:{address}")).unwrap();
        drop(receiver);
        for tick in 0..20 {
            // Nobody listens: the kernel says so for some, and none of it is fatal.
            let _ = sink.write(&action(tick));
        }
        let receiver = UdpSocket::bind(address).unwrap();
        sink.write(&action(20)).unwrap();
        let mut bytes = [0; 200];
        let len = receiver.recv(&mut bytes).unwrap();
        assert_eq!(Message::decode(&bytes[..len]), Ok(message(20)));
    }

    #[test]
    fn unix_goes_on_when_the_receiver_is_restarted_and_never_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("actions.sock");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut sink = opened(&format!("unix+json:{}", path.display())).unwrap();
        let read = |receiver: &UnixDatagram| {
            let mut bytes = [0; 2000];
            let len = receiver.recv(&mut bytes).unwrap();
            Message::decode(&bytes[..len])
        };
        sink.write(&action(1)).unwrap();
        assert_eq!(read(&receiver), Ok(message(1)));
        // A receiver that does not read fills its queue.
        let full = (0..100_000).find_map(|tick| sink.write(&action(tick)).err());
        assert_eq!(full, Some(StepError::WouldBlock));
        drop(receiver);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(sink.write(&action(2)), Err(StepError::DeviceLost));
        let receiver = UnixDatagram::bind(&path).unwrap();
        sink.write(&action(3)).unwrap();
        assert_eq!(read(&receiver), Ok(message(3)));
    }

    fn lines(text: impl Read) -> Vec<serde_json::Value> {
        BufReader::new(text)
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn json_lines_holds_every_action_once_the_sink_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("actions.jsonl");
        let mut sink = opened(&format!("json:{}", path.display())).unwrap();
        for tick in 0..500 {
            sink.write(&action(tick)).unwrap();
        }
        drop(sink);
        let lines = lines(std::fs::File::open(&path).unwrap());
        assert_eq!(lines.len(), 500);
        assert_eq!(lines[7]["tick"], 7);
        assert_eq!(lines[7]["rung"], "tail");
        assert_eq!(lines[7]["frame"], 3);
        assert_eq!(lines[7]["at_ns"], 1_000_000_007);
        assert_eq!(lines[7]["targets"][1], -1.25);
    }

    fn fifo(path: &Path) {
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: `name` is a C string that lives through the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_refused_and_one_that_stalls_never_blocks_the_clock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        fifo(&path);
        let line = format!("json:{}", path.display());
        assert_eq!(opened(&line).err().unwrap().kind, Kind::NoDevice);
        let reader = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let mut sink = opened(&line).unwrap();
        // 64 KiB of pipe and 1024 actions of link fill up; after that actions are refused at once.
        let full = (0..1_000_000).find_map(|tick| sink.write(&action(tick)).err());
        assert_eq!(full, Some(StepError::WouldBlock));
        drop(reader);
        drop(sink);
    }

    /// A pseudo terminal: the other end of the cable, and the port's path.
    fn pty() -> (std::fs::File, PathBuf) {
        // SAFETY: the call takes flags only.
        let fd = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) };
        assert!(fd >= 0);
        // SAFETY: the descriptor is fresh and owned by nobody else.
        let cable = unsafe { std::fs::File::from_raw_fd(fd) };
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { libc::grantpt(fd) }, 0);
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { libc::unlockpt(fd) }, 0);
        let mut name = [0; 128];
        // SAFETY: the buffer is as long as is said.
        let result = unsafe { libc::ptsname_r(fd, name.as_mut_ptr(), name.len()) };
        assert_eq!(result, 0);
        // SAFETY: ptsname_r ended the name with a 0.
        let name = unsafe { std::ffi::CStr::from_ptr(name.as_ptr()) };
        (cable, name.to_str().unwrap().into())
    }

    #[test]
    fn a_serial_port_carries_framed_datagrams_that_a_receiver_can_check() {
        let (cable, port) = pty();
        let mut sink = opened(&format!("serial:{}@115200", port.display())).unwrap();
        let mut cable = BufReader::new(cable);
        for tick in 0..50 {
            sink.write(&action(tick)).unwrap();
            let mut frame = Vec::new();
            cable.read_until(0, &mut frame).unwrap();
            frame.pop();
            let mut room = [0; stream::FRAMED_BYTES_MAX];
            let datagram = stream::decode(&frame, &mut room).unwrap();
            assert_eq!(Message::decode(datagram), Ok(message(tick)));
        }
    }

    #[test]
    fn a_serial_port_that_is_full_drops_whole_lines_and_never_halves() {
        let (cable, port) = pty();
        let mut sink = opened(&format!("serial+json:{}@921600", port.display())).unwrap();
        // SAFETY: the descriptor is open; O_NONBLOCK lets the test read only what is there.
        unsafe { libc::fcntl(cable.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        let mut received = Vec::new();
        let mut drain = |most: usize| {
            let mut bytes = vec![0; most];
            let len = (&cable).read(&mut bytes).unwrap_or(0);
            received.extend_from_slice(&bytes[..len]);
            len
        };
        let (mut sent, mut refused) = (Vec::new(), 0);
        let mut tick = 0;
        while refused < 300 {
            match sink.write(&action(tick)) {
                Ok(()) => sent.push(tick),
                Err(e) => {
                    assert_eq!(e, StepError::WouldBlock);
                    refused += 1;
                    // Room for a part of a line only, so that halves would show.
                    drain(61);
                }
            }
            tick += 1;
        }
        while drain(4096) > 0 || sink.write(&action(tick)).map(|()| sent.push(tick)).is_err() {}
        while drain(4096) > 0 {}
        let ticks: Vec<u64> = lines(&received[..])
            .iter()
            .map(|line| line["tick"].as_u64().unwrap())
            .collect();
        assert_eq!(ticks, sent, "what was taken arrives whole and in order");
        assert!(refused > 0 && sent.len() > 10);
    }

    #[test]
    fn no_write_allocates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("actions.sock");
        let unix = UnixDatagram::bind(&path).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (_cable, port) = pty();
        let ledger = memory::open_ledger();
        for line in [
            "null".to_owned(),
            format!("json:{}", folder.path().join("actions.jsonl").display()),
            format!("udp:{}", udp.local_addr().unwrap()),
            format!("udp+json:{}", udp.local_addr().unwrap()),
            format!("unix+json:{}", path.display()),
            format!("serial+json:{}@921600", port.display()),
        ] {
            let mut sink = opened(&line).unwrap();
            let before = ledger.totals();
            // Far more than any buffer holds, so that refusals are among them.
            let refused = (0..5000)
                .filter(|tick| sink.write(&action(*tick)).is_err())
                .count();
            assert_eq!(ledger.totals(), before, "{line}");
            let fills_up = ["unix", "serial"].iter().any(|kind| line.starts_with(kind));
            assert!(!fills_up || refused > 0, "{line}");
        }
        drop(unix);
    }

    #[test]
    fn a_robot_that_is_unplugged_is_an_error_on_every_write() {
        let (cable, port) = pty();
        let mut sink = opened(&format!("serial:{}@115200", port.display())).unwrap();
        drop(cable);
        for tick in 0..3 {
            assert_eq!(sink.write(&action(tick)), Err(StepError::DeviceLost));
        }
    }

    #[test]
    fn wrong_sinks_are_refused_with_what_why_and_fix() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let (_cable, port) = pty();
        let (file, port) = (file.display(), port.display());
        let long = "x".repeat(200);
        for (line, kind, word) in [
            (
                "udp:no-such-host.invalid:9000".to_owned(),
                Kind::Config,
                "no-such-host",
            ),
            (
                "unix:/nowhere/actions.sock".to_owned(),
                Kind::NoDevice,
                "nobody receives",
            ),
            (format!("unix:/{long}"), Kind::Config, "path of a socket"),
            (
                "json:/nowhere/actions.jsonl".to_owned(),
                Kind::Output,
                "cannot write",
            ),
            (
                "serial:/dev/ttyNOPE@115200".to_owned(),
                Kind::NoDevice,
                "cannot open",
            ),
            (
                format!("serial:{file}@115200"),
                Kind::Unsupported,
                "not a serial port",
            ),
            (format!("serial:{port}@123"), Kind::Config, "123 bits"),
            (format!("serial+json:{port}@9600"), Kind::Config, "too slow"),
        ] {
            let fault = opened(&line).err().unwrap();
            assert_eq!(fault.kind, kind, "{line}: {fault}");
            assert!(fault.what.contains(word), "{line}: {fault}");
            assert!(!fault.why.is_empty() && !fault.fix.is_empty(), "{line}");
        }
    }

    #[test]
    fn a_sink_is_named_by_one_line() {
        let parse = |line: &str| line.parse::<SinkConfig>();
        assert_eq!(parse("null"), Ok(SinkConfig::Null));
        assert_eq!(parse("json:-"), Ok(SinkConfig::JsonLines("-".into())));
        assert_eq!(
            parse("udp:[::1]:9000"),
            Ok(SinkConfig::Udp("[::1]:9000".into(), Form::Compact))
        );
        assert_eq!(
            parse("serial+json:/dev/ttyACM0@9600"),
            Ok(SinkConfig::Serial("/dev/ttyACM0".into(), 9600, Form::Json))
        );
        for bad in [
            "",
            "udp",
            "udp:",
            "udp:host",
            "udp:host:port",
            "udp:h:0",
            "udp:h:99999",
            "tcp:host:1",
            "json+json:x",
            "serial:/dev/x",
            "serial:/dev/x@fast",
            "null:x",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains("serial:DEVICE@SPEED"), "{bad}: {error}");
        }
        #[derive(Debug, serde::Deserialize)]
        struct File {
            #[expect(dead_code, reason = "only its error is looked at")]
            sink: SinkConfig,
        }
        let error = toml::from_str::<File>("\nsink = \"tcp:h:1\"").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
