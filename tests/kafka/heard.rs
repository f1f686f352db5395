//! A topic and what it says: order, beginnings, partitions, forms, and what is wrong with an address.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use reflexarc::error::Kind;
use reflexarc::kafka::batch::Unusable;
use reflexarc::kafka::{Begin, KafkaConfig};

use crate::brokers::{Broker, Cluster, Listener, Producer, Word, free_port, wait_until};

pub fn earliest() -> KafkaConfig {
    KafkaConfig {
        begin: Begin::Earliest,
        ..KafkaConfig::default()
    }
}

#[test]
fn what_is_produced_is_heard_in_order_and_once() {
    let broker = Broker::start(free_port());
    broker.make("all", 1);
    let listener = Listener::start(
        &format!("{}/all", broker.address()),
        &KafkaConfig::default(),
    );
    listener.wait_heard(1);
    // Of 0 to 5000 bytes, alone and many at once, packed and not.
    let value = |i: usize| vec![u8::try_from(i % 251).unwrap(); (i * 37) % 5000];
    let values: Vec<_> = (0..2000).map(value).collect();
    let mut producer = Producer::start(&broker.address());
    for value in &values[..200] {
        producer.say("all", value);
    }
    producer.say_all("all", values[200..1000].iter().map(Vec::as_slice));
    let mut packing = Producer::with(&broker.address(), &["gzip"]);
    packing.say_all("all", values[1000..].iter().map(Vec::as_slice));
    assert_eq!(listener.wait_values(2000), values);
    let offsets = listener.told().into_iter().filter_map(|word| match word {
        Word::Record(offset, ..) => Some(offset),
        _ => None,
    });
    assert!(offsets.eq(0..2000));
    assert!(listener.troubles().is_empty());
}

#[test]
fn latest_hears_what_comes_and_earliest_what_is_there() {
    let broker = Broker::start(free_port());
    broker.make("t", 1);
    let mut producer = Producer::start(&broker.address());
    producer.say_at("t", b"yesterday", 1_795_000_000_000);
    let address = format!("{}/t", broker.address());
    let late = Listener::start(&address, &KafkaConfig::default());
    let all = Listener::start(&address, &earliest());
    late.wait_heard(1);
    producer.say_at("t", b"today", 1_795_086_400_000);
    assert_eq!(late.wait_texts(1), ["today"]);
    assert_eq!(all.wait_texts(2), ["yesterday", "today"]);
    // The record's own time stamp comes with it, and its place.
    let word = Word::Record(1, Some(1_795_086_400_000), b"today".to_vec());
    assert!(late.told().contains(&word));
}

#[test]
fn a_topic_with_several_partitions_needs_a_choice() {
    let broker = Broker::start(free_port());
    broker.make("many", 3);
    let address = format!("{}/many", broker.address());
    let without = Listener::start(&address, &earliest());
    assert!(
        without
            .wait_trouble("3 partitions")
            .fix
            .contains("partition = 0")
    );
    let config = |partition| KafkaConfig {
        partition: Some(partition),
        ..earliest()
    };
    Listener::start(&address, &config(7)).wait_trouble("and no 7");
    let chosen = Listener::start(&address, &config(0));
    Producer::start(&broker.address()).say("many", b"to the first");
    assert_eq!(chosen.wait_texts(1), ["to the first"]);
}

#[test]
fn batches_that_librdkafka_packs_are_heard_or_skipped_and_said() {
    let mut cluster = Cluster::start();
    cluster.tell("make packed 1");
    let address = format!("{}/packed", cluster.brokers[0]);
    let listener = Listener::start(&address, &earliest());
    let long = "look at the cat ".repeat(100);
    for codec in ["none", "gzip", "lz4", "snappy", "zstd", "none"] {
        let marked = format!("{codec} {long}");
        cluster.say("packed", codec, &[&marked, &marked]);
    }
    let texts = listener.wait_texts(8);
    let codecs: Vec<_> = texts
        .iter()
        .map(|text| text.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        codecs,
        ["none", "none", "gzip", "gzip", "lz4", "lz4", "none", "none"]
    );
    for why in [Unusable::Snappy, Unusable::Zstd] {
        assert!(listener.told().contains(&Word::Skipped(2, why)), "{why}");
    }
}

#[test]
fn what_is_too_large_is_skipped_and_what_follows_is_heard() {
    let broker = Broker::start(free_port());
    broker.make("large", 1);
    let mut producer = Producer::start(&broker.address());
    producer.say("large", b"before");
    producer.say("large", &vec![b'x'; 3 << 20]);
    producer.say("large", b"after");
    let listener = Listener::start(&format!("{}/large", broker.address()), &earliest());
    let texts = listener.wait_texts(2);
    assert_eq!(texts.last().unwrap(), "after");
    let is_skipped = |word: &Word| *word == Word::Skipped(1, Unusable::TooLarge);
    assert!(
        listener.told().iter().any(is_skipped),
        "{:?}",
        listener.told().len()
    );
}

#[test]
fn who_does_not_speak_kafka_is_told_apart_from_who_does_not_speak() {
    // Nobody listens.
    let nobody = Listener::start(&format!("127.0.0.1:{}/t", free_port()), &earliest());
    let fault = nobody.wait_trouble("no broker answers");
    assert_eq!(fault.kind, Kind::Network);
    // No such name.
    let named = Listener::start("no-such-host.invalid:9092/t", &earliest());
    named.wait_trouble("has no address");
    // A web server answers something else; a listener with TLS closes.
    let answering = |answer: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                let _ = client.read(&mut [0; 512]);
                let _ = client.write_all(answer);
            }
        });
        Listener::start(&format!("127.0.0.1:{port}/t"), &earliest())
    };
    let web = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(web.wait_trouble("does not speak Kafka").kind, Kind::Config);
    let alert = answering(&[21, 3, 3, 0, 2, 2, 40, 0]);
    alert.wait_trouble("does not speak Kafka");
    answering(b"")
        .wait_trouble("does not answer")
        .fix
        .contains("TLS");
    // A length that would take all memory.
    answering(&[0x0f, 0xff, 0xff, 0xff, 0, 0, 0, 9]).wait_trouble("does not speak Kafka");
}

#[test]
fn a_broker_that_is_too_old_is_explained() {
    let mut cluster = Cluster::start();
    cluster.tell("make t 1");
    cluster.tell("speak 1 0 9");
    let address = format!("{}/t", cluster.brokers[0]);
    let old = Listener::start(&address, &earliest());
    let fault = old.wait_trouble("does not know the versions");
    assert_eq!(fault.kind, Kind::Unsupported);
}

#[test]
fn a_leader_at_an_address_that_nobody_reaches_is_named_with_who_told_it() {
    let nowhere = free_port();
    let broker = Broker::start_known_as(free_port(), nowhere);
    broker.make("t", 1);
    let listener = Listener::start(&format!("{}/t", broker.address()), &earliest());
    let fault = listener.wait_trouble("says that the partition is at");
    assert!(
        fault.why.contains(&format!("127.0.0.1:{nowhere}")),
        "{fault}"
    );
    assert!(fault.why.contains(&broker.address()), "{fault}");
    assert!(fault.fix.contains("advertised.listeners"), "{fault}");
}

#[test]
fn a_broker_without_identities_is_followed_as_well() {
    let mut cluster = Cluster::start();
    cluster.tell("make t 1");
    cluster.tell("speak 3 0 8");
    let listener = Listener::start(&format!("{}/t", cluster.brokers[0]), &earliest());
    cluster.say("t", "none", &["one", "two"]);
    assert_eq!(listener.wait_texts(2), ["one", "two"]);
}

#[test]
fn it_ends_at_once_also_while_nobody_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("{}/t", silent.local_addr().unwrap());
    let listener = Listener::start(&address, &earliest());
    // It has asked, and waits for the answer.
    let (mut client, _) = silent.accept().unwrap();
    assert!(client.read(&mut [0; 64]).unwrap() > 0);
    drop(listener);
    // Its end of the connection goes with it.
    wait_until("it has ended", || {
        matches!(client.read(&mut [0; 64]), Ok(0) | Err(_))
    });
}
