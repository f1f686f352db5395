//! The recursion against a simulation that goes tick by tick, against its closed forms, and what must hold for all of it.

use reflexarc::estimate::account::Account;
use reflexarc::estimate::arrivals::{Arrivals, Work};
use reflexarc::estimate::closed::{Periodic, PoissonFixed};
use reflexarc::estimate::queue::{End, Item, Queue, WhenFull, in_system, pass};
use reflexarc::estimate::setting::Setting;
use reflexarc::estimate::window::Window;
use reflexarc::units::Nanos;

/// Numbers that follow from a seed: xorshift64 (Marsaglia: Xorshift RNGs, 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn ticks(&mut self, low: u64, high: u64) -> i64 {
        i64::try_from(low + self.below(high - low + 1)).unwrap()
    }
}

/// One random case: items at whole ticks, also several at one, with work of whole ticks.
struct Case {
    arrived: Vec<Nanos>,
    work: Vec<Nanos>,
    queue: Queue,
}

impl Case {
    fn of(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let count = chance.ticks(1, 40);
        let longest = chance.ticks(0, 6).unsigned_abs();
        let mut at = 0;
        let arrived = (0..count)
            .map(|_| {
                at += chance.ticks(0, longest);
                Nanos(at)
            })
            .collect();
        let most = chance.ticks(1, 12).unsigned_abs();
        let work = (0..count).map(|_| Nanos(chance.ticks(1, most))).collect();
        let when_full = WhenFull::ALL[usize::try_from(chance.below(4)).unwrap()];
        let room = u32::try_from(chance.below(6)).unwrap();
        let queue = Queue {
            workers: u16::try_from(chance.ticks(1, 4)).unwrap(),
            room: (chance.below(4) > 0).then_some(room),
            when_full,
        };
        Self {
            arrived,
            work,
            queue,
        }
    }
}

/// Goes through time tick by tick, with an explicit room and explicit workers, and says when each item was done or dropped.
fn by_ticks(case: &Case) -> Vec<Result<Nanos, Nanos>> {
    let room = match (case.queue.when_full, case.queue.room) {
        (WhenFull::NewestOnly, _) => 1,
        (WhenFull::Block, _) | (_, None) => usize::MAX,
        (_, Some(room)) => usize::try_from(room).unwrap(),
    };
    let mut fate: Vec<Option<Result<Nanos, Nanos>>> = vec![None; case.arrived.len()];
    let mut workers: Vec<Option<(usize, Nanos)>> = vec![None; usize::from(case.queue.workers)];
    let mut waiting: Vec<usize> = Vec::new();
    let mut next = 0;
    let mut tick = Nanos::ZERO;
    while fate.iter().any(Option::is_none) {
        for worker in &mut workers {
            if let Some((item, end)) = *worker
                && end == tick
            {
                fate[item] = Some(Ok(tick));
                *worker = None;
            }
        }
        loop {
            for worker in workers.iter_mut().filter(|worker| worker.is_none()) {
                if !waiting.is_empty() {
                    let item = waiting.remove(0);
                    *worker = Some((item, tick + case.work[item]));
                }
            }
            if case.arrived.get(next) != Some(&tick) {
                break;
            }
            let is_free = workers.iter().any(Option::is_none);
            if is_free || waiting.len() < room {
                waiting.push(next);
            } else if case.queue.when_full == WhenFull::DropNewest || waiting.is_empty() {
                fate[next] = Some(Err(tick));
            } else {
                fate[waiting.remove(0)] = Some(Err(tick));
                waiting.push(next);
            }
            next += 1;
        }
        tick += Nanos(1);
    }
    fate.into_iter().map(Option::unwrap).collect()
}

const CASES: u64 = 4_000;

#[test]
fn the_recursion_equals_a_simulation_tick_by_tick() {
    for seed in 0..CASES {
        let case = Case::of(seed);
        let items = pass(&case.arrived, &case.work, &case.queue);
        let ends: Vec<_> = items
            .iter()
            .map(|item| match item.end {
                End::Done { done, .. } => Ok(done),
                End::Dropped { at } => Err(at),
            })
            .collect();
        assert_eq!(ends, by_ticks(&case), "seed {seed}: {:?}", case.queue);
    }
}

#[test]
fn what_comes_in_is_done_or_dropped() {
    for seed in 0..CASES {
        let case = Case::of(seed);
        let account = Account::of(&pass(&case.arrived, &case.work, &case.queue), 1);
        assert_eq!(
            account.arrived,
            account.done + account.dropped,
            "seed {seed}"
        );
        if case.queue.when_full == WhenFull::Block {
            assert_eq!(
                account.dropped, 0,
                "seed {seed}: a blocked source loses nothing"
            );
        }
    }
}

#[test]
fn no_more_are_at_once_than_there_is_room_for() {
    for seed in 0..CASES {
        let case = Case::of(seed);
        let account = Account::of(&pass(&case.arrived, &case.work, &case.queue), 1);
        let room = match case.queue.when_full {
            WhenFull::NewestOnly => Some(1),
            _ => case.queue.room,
        };
        if let Some(room) = room {
            let most = room + u32::from(case.queue.workers);
            assert!(account.in_system_max <= most, "seed {seed}: {account:?}");
        }
    }
}

/// Little: A proof for the queuing formula L = λW, 1961. Over a whole passage it is an identity: the items' times inside add
/// up to the area under their number.
#[test]
fn littles_law_holds_to_the_nanosecond() {
    for seed in 0..CASES {
        let case = Case::of(seed);
        let items = pass(&case.arrived, &case.work, &case.queue);
        let inside: i64 = items
            .iter()
            .filter_map(|item| Some((item.left() - item.entered?).0))
            .sum();
        let line = in_system(&items);
        let area: i64 = line
            .windows(2)
            .map(|step| (step[1].0 - step[0].0).0 * i64::from(step[0].1))
            .sum();
        assert_eq!(inside, area, "seed {seed}");
        assert_eq!(
            line.last().map_or(0, |step| step.1),
            0,
            "seed {seed}: all have left"
        );
    }
}

#[test]
fn a_blocked_source_changes_where_items_wait_and_not_how_long() {
    for seed in 0..CASES {
        let case = Case::of(seed);
        let blocked = Queue {
            when_full: WhenFull::Block,
            ..case.queue
        };
        let all = Queue::unbounded(case.queue.workers);
        let ends = |queue: &Queue| -> Vec<End> {
            let items = pass(&case.arrived, &case.work, queue);
            items.iter().map(|item| item.end).collect()
        };
        assert_eq!(ends(&blocked), ends(&all), "seed {seed}");
    }
}

#[test]
fn each_worker_does_one_item_at_a_time_and_each_item_its_work() {
    for seed in 0..CASES {
        let case = Case::of(seed);
        let items = pass(&case.arrived, &case.work, &case.queue);
        let mut steps: Vec<(Nanos, i32)> = Vec::new();
        for (item, work) in items.iter().zip(&case.work) {
            if let End::Done { began, done } = item.end {
                assert_eq!(done - began, *work, "seed {seed}");
                assert!(item.arrived <= began, "seed {seed}");
                steps.extend([(began, 1), (done, -1)]);
            }
        }
        steps.sort_unstable();
        let mut busy = 0;
        for (_, step) in steps {
            busy += step;
            assert!(busy <= i32::from(case.queue.workers), "seed {seed}");
        }
    }
}

#[test]
fn a_stream_is_done_no_later_than_the_batch() {
    for seed in 0..500 {
        let mut chance = Chance(seed * 2 + 1);
        let setting = Setting {
            arrivals: Arrivals::Poisson {
                mean: Nanos::from_millis(chance.ticks(1, 50)),
                seed,
            },
            work: Work::Bell {
                mean: Nanos::from_millis(chance.ticks(1, 100)),
                deviation: Nanos::from_millis(chance.ticks(0, 30)),
                seed,
            },
            queue: Queue::unbounded(u16::try_from(chance.ticks(1, 4)).unwrap()),
            ..Setting::periodic(50, Nanos(1), Nanos(1))
        };
        let outcome = setting.outcome();
        assert!(
            outcome.stream.makespan_ns <= outcome.batch.makespan_ns,
            "seed {seed}: {outcome:?}"
        );
        let item_by_item = setting.stream().into_iter().zip(setting.batch());
        for (stream, batch) in item_by_item {
            assert!(stream.done() <= batch.done(), "seed {seed}");
        }
    }
}

/// Periodic settings with and without backlog, also where everything falls on the same instants.
fn periodic(seed: u64) -> Periodic {
    let mut chance = Chance(seed * 2 + 1);
    Periodic {
        items: u32::try_from(chance.ticks(1, 60)).unwrap(),
        interval: Nanos(chance.ticks(1, 30)),
        work: Nanos(chance.ticks(1, 90)),
        workers: u16::try_from(chance.ticks(1, 5)).unwrap(),
    }
}

#[test]
fn closed_forms_equal_the_recursion() {
    for seed in 0..CASES {
        let closed = periodic(seed);
        let setting = Setting {
            queue: Queue::unbounded(closed.workers),
            ..Setting::periodic(closed.items, closed.interval, closed.work)
        };
        let items = setting.stream();
        let latencies: Vec<_> = items.iter().filter_map(Item::latency).collect();
        let formula: Vec<_> = (1..=closed.items).map(|i| closed.latency(i)).collect();
        assert_eq!(latencies, formula, "{closed:?}");
        let outcome = setting.outcome();
        assert_eq!(outcome.stream.makespan(), closed.makespan(), "{closed:?}");
        assert_eq!(
            outcome.stream.in_system_max,
            closed.in_system_max(),
            "{closed:?}"
        );
        assert_eq!(
            outcome.batch.makespan(),
            closed.batch_makespan(),
            "{closed:?}"
        );
    }
}

#[test]
fn a_newest_link_bounds_the_latency_whatever_the_overload() {
    for seed in 0..CASES {
        let closed = Periodic {
            workers: 1,
            ..periodic(seed)
        };
        let newest = Queue {
            when_full: WhenFull::NewestOnly,
            ..Queue::default()
        };
        let setting = Setting::periodic(closed.items, closed.interval, closed.work);
        let items = setting.stream_through(&newest);
        let (last, others) = items.split_last().unwrap();
        for item in others {
            let latency = item.latency().unwrap_or_default();
            assert!(
                latency <= closed.newest_only_bound(),
                "{closed:?}: {item:?}"
            );
        }
        // No newer one takes the place of the last.
        let latency = last.latency().unwrap();
        assert!(latency <= closed.work * 2, "{closed:?}: {last:?}");
    }
}

#[test]
fn the_rate_of_ever_more_items_comes_near_the_one_for_ever() {
    for seed in 0..200 {
        let closed = Periodic {
            items: 100_000,
            ..periodic(seed)
        };
        let finite = 1e5 / closed.makespan().as_secs_f64();
        assert!(finite <= closed.steady_rate(), "{closed:?}");
        assert!(finite > closed.steady_rate() * 0.99, "{closed:?}");
    }
}

#[test]
fn a_wait_for_a_window_is_the_slide_at_most_and_half_of_it_on_average() {
    let window = Window::new(Nanos::from_millis(50), Nanos::from_millis(25)).unwrap();
    let waits: Vec<Nanos> = (0..25_000)
        .map(|us| {
            let item = Nanos::from_micros(us);
            window.complete(item) - item
        })
        .collect();
    assert_eq!(waits.iter().max(), Some(&window.longest_wait()));
    let sum: i64 = waits.iter().map(|wait| wait.0).sum();
    let mean = Nanos(sum / 25_000);
    assert!(
        (mean - window.mean_wait()).abs() < Nanos::from_micros(1),
        "{mean}"
    );
}

#[test]
fn queues_with_chance_come_near_the_formulas_of_pollaczek_and_erlang() {
    for (interval, items) in [(60, 300_000), (40, 600_000), (35, 1_000_000)] {
        let closed = PoissonFixed {
            interval: Nanos::from_millis(interval),
            work: Nanos::from_millis(30),
        };
        let setting = Setting {
            arrivals: Arrivals::Poisson {
                mean: closed.interval,
                seed: 7,
            },
            ..Setting::periodic(items, closed.interval, closed.work)
        };
        let latency = Account::of(&setting.stream(), 1).latency;
        let near = |simulated: i64, formula: Option<Nanos>| {
            let formula = formula.unwrap().as_secs_f64();
            let apart = (Nanos(simulated).as_secs_f64() - formula).abs() / formula;
            assert!(apart < 0.05, "{simulated} ns, {formula} s at {interval} ms");
        };
        near(latency.mean_ns, closed.mean_latency());
        near(latency.p50_ns, closed.latency_at(0.5));
        near(latency.p99_ns, closed.latency_at(0.99));
    }
}

#[test]
fn an_overloaded_queue_with_chance_has_no_mean() {
    let closed = PoissonFixed {
        interval: Nanos::from_millis(30),
        work: Nanos::from_millis(30),
    };
    assert_eq!(closed.mean_latency(), None);
    assert_eq!(closed.latency_at(0.99), None);
}

#[test]
fn the_same_seed_gives_the_same_items() {
    let poisson = |seed| Arrivals::Poisson {
        mean: Nanos::from_millis(10),
        seed,
    };
    assert_eq!(poisson(3).instants(1_000), poisson(3).instants(1_000));
    assert_ne!(poisson(3).instants(1_000), poisson(4).instants(1_000));
    let instants = poisson(3).instants(100_000);
    assert!(instants.is_sorted());
    let mean = instants[99_999].as_secs_f64() / 1e5;
    assert!((mean - 0.01).abs() < 0.000_2, "{mean}");
}
