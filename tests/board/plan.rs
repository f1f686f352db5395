//! A board's plan in a run: each thread gets the core, class, priority and waiting that the file names.

use reflexarc::board::registry::{self, Registry};
use reflexarc::config::Config;
use reflexarc::rt::plan::{Layout, Machine, Plan, ThreadsConfig};
use reflexarc::rt::thread::Class;
use reflexarc::rt::wait::WaitPolicy;
use reflexarc::units::Nanos;

fn machine(cores: usize) -> Machine {
    Machine {
        cores: (0..cores).collect(),
        isolated: Vec::new(),
    }
}

fn plan(threads: &ThreadsConfig, cores: usize) -> Plan {
    Plan::new(threads, true, &machine(cores), Nanos::ZERO, None)
}

fn threads(text: &str) -> ThreadsConfig {
    Config::parse(text, "t.toml").unwrap().threads
}

#[test]
fn every_board_has_a_plan_for_its_own_cores() {
    for file in Registry::built_in().unwrap().boards {
        let board = &file.board;
        let cores = board.cores.count.as_ref().map_or(4, |fact| fact.value);
        file.check(&machine(cores)).unwrap();
        for layout in [Layout::Together, Layout::CaptureApart, Layout::Apart] {
            let threads = ThreadsConfig {
                layout,
                ..board.plan()
            };
            let plan = plan(&threads, cores);
            let Some(isolated) = &board.cores.isolated else {
                continue;
            };
            for spec in [
                &plan.capture,
                &plan.features,
                &plan.fusion,
                &plan.action,
                &plan.sensor,
            ] {
                assert!(isolated.has(spec.cores[0]), "{}: {spec:?}", board.name);
            }
            // Whatever the layout, the action clock is never on the core of the thread that runs the whole way.
            assert_ne!(
                plan.action.cores, plan.capture.cores,
                "{} {layout:?}",
                board.name
            );
            assert_eq!(
                plan.housekeeping,
                board.cores.housekeeping.as_ref().unwrap().cores()
            );
        }
    }
}

#[test]
fn the_threads_of_the_orin_nano_are_as_its_file_says() {
    let nano = registry::find("jetson-orin-nano").unwrap().board.plan();
    let together = plan(&nano, 6);
    assert_eq!(together.layout, Layout::Together);
    assert_eq!(
        (together.capture.cores, together.action.cores),
        (vec![4], vec![5])
    );
    assert_eq!(together.capture.class, Class::Fifo(79));
    assert_eq!(together.action.class, Class::Fifo(80));
    assert!(matches!(together.action.wait, WaitPolicy::Timed { .. }));
    assert!(matches!(together.sensor.wait, WaitPolicy::Park { .. }));

    let apart = ThreadsConfig {
        layout: Layout::CaptureApart,
        ..nano
    };
    let apart = plan(&apart, 6);
    assert_eq!(
        (apart.capture.cores, apart.features.cores),
        (vec![4], vec![5])
    );
    assert_eq!(apart.features.class, Class::Fifo(78));
    // It shares the core with features: it sleeps between beats and does not spin before one.
    assert_eq!(apart.action.wait, WaitPolicy::Park { spin: Nanos::ZERO });
}

#[test]
fn what_is_left_out_for_a_thread_is_as_without_it() {
    for layout in ["together", "capture-apart", "apart"] {
        for wait in ["auto", "park", "timed", "spin"] {
            let text =
                format!("[threads]\nlayout = \"{layout}\"\nwait = \"{wait}\"\ncores = [1, 2, 3]\n");
            let bare = plan(&threads(&text), 4);
            let said = format!("{text}[threads.action]\nclass = \"fifo\"\nwait = \"auto\"\n");
            let same = plan(&threads(&said), 4);
            for (a, b) in [
                (&bare.capture, &same.capture),
                (&bare.features, &same.features),
                (&bare.fusion, &same.fusion),
                (&bare.action, &same.action),
                (&bare.sensor, &same.sensor),
            ] {
                assert_eq!(a, b, "{layout} {wait}");
            }
        }
    }
}

#[test]
fn one_thread_can_be_moved_lowered_and_made_normal() {
    let text = "[threads]\ncores = [2, 3]\nlayout = \"together\"\n[threads.action]\ncore = 1\npriority = 42\nwait = \"park\"\n[threads.sensor]\nclass = \"normal\"\n";
    let plan = plan(&threads(text), 4);
    assert_eq!(plan.action.cores, [1]);
    assert_eq!(plan.action.class, Class::Fifo(42));
    assert_eq!(plan.action.wait, WaitPolicy::Park { spin: Nanos::ZERO });
    assert_eq!(plan.sensor.class, Class::Normal);
    assert_eq!(plan.capture.class, Class::Fifo(79));
    let without = Plan::new(&threads(text), false, &machine(4), Nanos::ZERO, None);
    assert_eq!(
        without.action.class,
        Class::Normal,
        "fifo is not wanted at all"
    );
}

#[test]
fn a_thread_spins_only_where_it_is_alone() {
    let alone = "[threads]\ncores = [2, 3]\nlayout = \"together\"\n[threads.capture]\ncore = 3\nwait = \"spin\"\n";
    let plan_alone = plan(&threads(alone), 4);
    assert_eq!(plan_alone.capture.wait, WaitPolicy::Spin);
    let shared = format!("{alone}[threads.action]\ncore = 3\n");
    let plan_shared = plan(&threads(&shared), 4);
    assert!(matches!(plan_shared.capture.wait, WaitPolicy::Timed { .. }));
    assert!(
        plan_shared
            .why
            .contains("capture shares core 3 with action"),
        "{}",
        plan_shared.why
    );
}

#[test]
fn a_core_that_the_machine_lacks_and_a_priority_of_a_normal_thread_are_refused() {
    for (text, words) in [
        (
            "[threads.action]\ncore = 77\n",
            &["t.toml line 2", "threads.action.core", "77"][..],
        ),
        (
            "[threads.action]\npriority = 7\nclass = \"normal\"\n",
            &["t.toml line 2", "normal"],
        ),
    ] {
        let config = Config::parse(text, "t.toml").unwrap();
        let fault = config.check().unwrap_err();
        for word in words {
            assert!(fault.to_string().contains(word), "no `{word}` in {fault}");
        }
    }
    let nano = registry::find("jetson-orin-nano").unwrap();
    let fault = nano.check(&machine(4)).unwrap_err();
    assert!(
        fault.what.contains("cores.isolated names core 4"),
        "{fault}"
    );
}
