//! A sensor and instructions from Kafka, up to the running binary.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reflexarc::clock;
use reflexarc::kafka::KafkaConfig;
use reflexarc::rt::memory;
use reflexarc::sensor::config::SensorConfig;
use reflexarc::sensor::counters::SensorCounters;
use reflexarc::sensor::{Reading, SensorSource, open};
use reflexarc::units::Nanos;

use crate::brokers::{Broker, Listener, Producer, free_port, wait_until};
use crate::support;

fn now_ms() -> i64 {
    clock::read(libc::CLOCK_REALTIME).0 / 1_000_000
}

fn sensor(broker: &str, more: &str) -> (Box<dyn SensorSource>, Arc<SensorCounters>) {
    let text =
        format!("source = \"kafka:{broker}/joints\"\nkafka = {{ begin = \"earliest\" }}\n{more}");
    let config: SensorConfig = toml::from_str(&text).unwrap();
    let mut sensor = open(&config, 0).unwrap();
    sensor.start().unwrap();
    let counters = sensor.counters().unwrap();
    (sensor, counters)
}

fn next(sensor: &mut dyn SensorSource) -> Reading {
    let deadline = clock::now() + Nanos::from_secs(60);
    sensor
        .next(deadline)
        .unwrap()
        .expect("a reading within a minute")
}

#[test]
fn readings_come_in_both_forms_and_what_is_no_reading_is_counted() {
    let broker = Broker::start(free_port());
    broker.make("joints", 1);
    let mut producer = Producer::start(&broker.address());
    let message = reflexarc::wire::Message {
        kind: reflexarc::wire::Kind::Reading,
        seq: 1,
        frame: 0,
        stamp_ns: 0,
        len: 2,
        values: [0.25; 16],
    };
    let mut compact = [0; reflexarc::wire::DATAGRAM_BYTES_MAX];
    let length = message.encode(&mut compact);
    producer.say("joints", &compact[..length]);
    producer.say("joints", br#"{"seq":2,"values":[0.5,-0.5]}"#);
    for rubbish in [
        &b"rubbish"[..],
        b"",
        b"{\"values\":[1e99,0]}",
        &[b'{'; 5000],
    ] {
        producer.say("joints", rubbish);
    }
    producer.say("joints", br#"{"seq":3,"values":[1,2,3]}"#);
    producer.say("joints", br#"{"seq":2,"values":[7,7]}"#);
    producer.say("joints", br#"{"seq":5,"values":[0.75,1]}"#);
    let (mut sensor, counters) = sensor(&broker.address(), "oldest = \"1 h\"");
    assert_eq!(next(&mut *sensor).values(), [0.25, 0.25]);
    assert_eq!(next(&mut *sensor).values(), [0.5, -0.5]);
    let last = next(&mut *sensor);
    assert_eq!((last.values(), last.seq), (&[0.75, 1.0][..], 5));
    let malformed: u64 = counters.malformed.iter().map(|count| count.get()).sum();
    assert_eq!(
        (
            malformed,
            counters.wrong_len.get(),
            counters.duplicates.get()
        ),
        (4, 1, 1)
    );
    assert_eq!((counters.received.get(), counters.accepted.get()), (9, 3));
}

#[test]
fn a_reading_is_as_old_as_its_stamp_or_its_records_or_new_where_neither_counts() {
    let broker = Broker::start(free_port());
    broker.make("joints", 1);
    let mut producer = Producer::start(&broker.address());
    let ms = Nanos::from_millis(1);
    let unstamped = br#"{"values":[1]}"#;
    // Of ten seconds ago by its record; then of now by its record.
    producer.say_at("joints", unstamped, now_ms() - 10_000);
    let recorded = now_ms();
    producer.say_at("joints", unstamped, recorded);
    // Of now by its own stamp, whatever its record says.
    let (stamp, since_1970) = (clock::now(), clock::read(libc::CLOCK_REALTIME));
    let stamped = format!("{{\"at_ns\":{},\"values\":[2]}}", stamp.0);
    producer.say_at("joints", stamped.as_bytes(), now_ms() - 10_000);

    let (mut by_stamp, counters) = sensor(&broker.address(), "oldest = \"8 s\"");
    let first = next(&mut *by_stamp);
    let expected = stamp - Nanos(since_1970.0 - recorded * 1_000_000);
    let apart = if first.at > expected {
        first.at - expected
    } else {
        expected - first.at
    };
    assert!(apart < ms && first.at < first.arrived, "{apart}");
    assert_eq!(next(&mut *by_stamp).at, stamp);
    assert_eq!((counters.too_old.get(), counters.unstamped.get()), (1, 0));

    let (mut by_arrival, counters) = sensor(&broker.address(), "clock = \"arrival\"");
    for _ in 0..3 {
        let reading = next(&mut *by_arrival);
        assert_eq!(reading.at, reading.arrived);
    }
    assert_eq!((counters.too_old.get(), counters.unstamped.get()), (0, 3));
}

#[test]
fn taking_readings_allocates_nothing_and_a_broker_that_is_away_costs_the_wait_only() {
    let port = free_port();
    let (mut sensor, counters) = sensor(&format!("127.0.0.1:{port}"), "");
    let before = memory::open_ledger().totals();
    let deadline = clock::now() + Nanos::from_millis(20);
    assert_eq!(sensor.next(deadline), Ok(None));
    assert!(clock::now() >= deadline);
    assert_eq!(memory::open_ledger().totals(), before);
    let broker = Broker::start(port);
    broker.make("joints", 1);
    let mut producer = Producer::start(&broker.address());
    for _ in 0..20 {
        producer.say("joints", br#"{"values":[1,2]}"#);
    }
    let before = memory::open_ledger().totals();
    for _ in 0..20 {
        let deadline = clock::now() + Nanos::from_secs(60);
        assert!(matches!(sensor.next(deadline), Ok(Some(_))));
    }
    assert_eq!(memory::open_ledger().totals(), before);
    // Killed, it is missed and waited for.
    drop((producer, broker));
    wait_until("the loss is counted", || {
        assert_eq!(sensor.next(clock::now() + Nanos::from_millis(1)), Ok(None));
        counters.interrupted.get() == 1
    });
    let begun = std::time::Instant::now();
    drop(sensor);
    assert!(begun.elapsed() < Duration::from_secs(30), "it never ends");
}

/// A camera made of arithmetic, the policy that reads instructions, joints and instructions from Kafka.
fn config(dir: &Path, broker: &str) -> String {
    let text = format!(
        r#"
[camera]
source = "synthetic:320x240@30"
[language]
kafka = {{ topic = "{broker}/orders", oldest = "1 min" }}
[[sensor]]
source = "kafka:{broker}/joints"
values = 2
"#
    );
    let path = dir.join("kafka.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_run_acts_on_instructions_and_readings_from_kafka_also_after_the_broker_was_killed() {
    support::cached("all-minilm-l6-v2/model.safetensors");
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let make = || {
        let broker = Broker::start(port);
        broker.make("orders", 1);
        broker.make("joints", 1);
        broker
    };
    let broker = make();
    let config = config(dir.path(), &broker.address());
    let arguments = ["--config", &config, "--duration", "12s"];
    let run = support::start(dir.path(), &arguments);
    let mut broker = Some(broker);
    let mut said = 0;
    for (turn, order) in ["look at the cat", "find the motorcycle"]
        .into_iter()
        .enumerate()
    {
        let up = broker.get_or_insert_with(make);
        let mut producer = Producer::start(&up.address());
        // 100 Hz for three seconds, with an instruction among them.
        for tick in 0..300 {
            let at = clock::now();
            said += 1;
            let reading = format!("{{\"seq\":{said},\"at_ns\":{},\"values\":[0.1,0.2]}}", at.0);
            producer.say("joints", reading.as_bytes());
            if tick == 200 {
                producer.say("orders", order.as_bytes());
            }
            clock::sleep_until(at + Nanos::from_millis(10));
        }
        if turn == 0 {
            broker = None;
        }
    }
    let output = run.wait_with_output().unwrap();
    let text = support::text(&output);
    let report = support::report(dir.path());
    support::assert_accounts_balance(&report);
    let intake = &report["sensors"][0]["intake"];
    let count = |value: &serde_json::Value| value.as_u64().unwrap();
    assert_eq!(count(&intake["odd"]["interrupted"]), 1, "{text}");
    // Those of before the first contact are yesterday's.
    assert!(count(&intake["accepted"]) > 400, "{intake}");
    assert_eq!(count(&intake["refused"]["duplicate"]), 0, "{intake}");
    let instructions: Vec<_> = report["instructions"]["ways"]
        .as_array()
        .unwrap_or(&Vec::new())
        .iter()
        .map(|way| way["text"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        instructions,
        ["look at the cat", "find the motorcycle"],
        "{text}\n{report:#}"
    );
}

/// From the producer's hand to this process, and on from there to the sensor's thread, with the broker on this machine: a minute with each wait
/// where long tests are asked for. It prints, and asserts no time.
#[test]
fn how_long_a_record_takes_is_measured() {
    let long = std::env::var_os("REFLEXARC_LONG").is_some();
    for wait in ["100 ms", "10 ms"] {
        measure(wait, if long { 6000 } else { 100 });
    }
}

#[expect(clippy::disallowed_macros, reason = "prints what it measured")]
fn measure(wait: &str, readings: usize) {
    let broker = Broker::start(free_port());
    broker.make("joints", 1);
    broker.make("orders", 1);
    let follow = format!("begin = \"earliest\"\nwait = \"{wait}\"");
    let address = broker.address();
    let text = format!("source = \"kafka:{address}/joints\"\n[kafka]\n{follow}");
    let mut sensor = open(&toml::from_str(&text).unwrap(), 0).unwrap();
    sensor.start().unwrap();
    let follow: KafkaConfig = toml::from_str(&follow).unwrap();
    let listener = Listener::start(&format!("{address}/orders"), &follow);
    listener.wait_heard(1);
    let mut producer = Producer::start(&address);
    let talker = std::thread::spawn(move || {
        let mut due = clock::now();
        for seq in 1..=readings {
            clock::sleep_until(due);
            let at = clock::now().0;
            let reading = format!("{{\"seq\":{seq},\"at_ns\":{at},\"values\":[1]}}");
            producer.say_all("joints", [reading.as_bytes()]);
            if seq % 20 == 10 {
                producer.say_all("orders", [clock::now().0.to_string().as_bytes()]);
            }
            due += Nanos::from_millis(10);
        }
    });
    let (mut ages, mut here) = (Vec::new(), Vec::new());
    for _ in 0..readings {
        let reading = next(&mut *sensor);
        ages.push(reading.arrived - reading.at);
        here.push(clock::now() - reading.arrived);
    }
    talker.join().unwrap();
    listener.wait_values(readings / 20);
    let counters = sensor.counters().unwrap();
    let wrong = counters.gaps.get() + counters.duplicates.get();
    assert_eq!((counters.accepted.get(), wrong), (readings as u64, 0));
    for (name, mut times) in [
        ("reading, produced to here", ages),
        ("reading, here to the sensor's thread", here),
        ("instruction, produced to here", listener.heard_ages()),
    ] {
        times.sort();
        let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000];
        println!(
            "wait {wait}: {name}: n {}, p50 {}, p99 {}, p99.9 {}, max {}",
            times.len(),
            at(500),
            at(990),
            at(999),
            at(1000)
        );
    }
}
