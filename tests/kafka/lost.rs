//! A topic through lost connections, brokers that are killed or away, leaders that change and logs that are cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reflexarc::kafka::KafkaConfig;

use crate::brokers::{Broker, Cluster, Listener, Producer, Word, free_port, wait_until};
use crate::heard::earliest;

/// Stands before a broker and cuts the connections of reflexarc after a number of bytes that is made up anew each time.
struct Cutter {
    port: u16,
    cuts: Arc<AtomicU64>,
}

impl Cutter {
    fn before(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&cuts);
        std::thread::spawn(move || {
            let mut dice: u64 = 0x2545_F491_4F6C_DD1D;
            while let Ok((client, _)) = listener.accept() {
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                // Now and then it gets far.
                let bytes = if dice.is_multiple_of(16) {
                    100_000
                } else {
                    dice % 3000
                };
                let count = Arc::clone(&count);
                std::thread::spawn(move || {
                    pass(client, broker, usize::try_from(bytes).unwrap(), &count);
                });
            }
        });
        Self { port, cuts }
    }
}

fn pass(mut client: TcpStream, broker: u16, mut left: usize, cuts: &AtomicU64) {
    let Ok(mut broker) = TcpStream::connect(("127.0.0.1", broker)) else {
        return;
    };
    let mut first = [0; 512];
    let Ok(length) = client.read(&mut first) else {
        return;
    };
    let ours = first[..length]
        .windows(9)
        .any(|bytes| bytes == b"reflexarc");
    if broker.write_all(&first[..length]).is_err() {
        return;
    }
    let (mut from, mut to) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = broker.read(&mut bytes) {
        let count = if ours { count.min(left) } else { count };
        if client.write_all(&bytes[..count]).is_err() {
            break;
        }
        if ours {
            left -= count;
            if left == 0 {
                cuts.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = broker.shutdown(Shutdown::Both);
}

#[test]
fn connections_that_are_cut_anywhere_lose_nothing_and_bring_nothing_twice() {
    let port = free_port();
    let cutter = Cutter::before(port);
    let broker = Broker::start_known_as(port, cutter.port);
    broker.make("t", 1);
    let address = format!("127.0.0.1:{}/t", cutter.port);
    let listener = Listener::start(&address, &earliest());
    let mut producer = Producer::start(&broker.address());
    let mut values = Vec::new();
    // BOUND: a made-up number of bytes is 1500 in the mean, so forty cuts come early.
    while cutter.cuts.load(Ordering::Relaxed) < 40 && values.len() < 20_000 {
        values.push(format!("instruction {}", values.len()));
        producer.say("t", values[values.len() - 1].as_bytes());
        // Fast enough for several in an answer, and not so fast that no answer gets through whole any more.
        std::thread::sleep(Duration::from_millis(3));
    }
    assert_eq!(listener.wait_texts(values.len()), values);
    let cuts = cutter.cuts.load(Ordering::Relaxed);
    assert!(cuts >= 40, "{cuts}");
    let interruptions = listener
        .told()
        .iter()
        .filter(|word| **word == Word::Interrupted)
        .count();
    assert!(interruptions > 3, "{interruptions}");
}

#[test]
fn a_broker_that_comes_later_or_comes_back_with_another_log_is_heard() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}/orders");
    let listener = Listener::start(&address, &KafkaConfig::default());
    listener.wait_trouble("no broker answers");
    let broker = Broker::start(port);
    listener.wait_trouble("has no topic `orders`");
    broker.make("orders", 1);
    let mut producer = Producer::start(&broker.address());
    // Whether it has found the topic by now or not: what is said while it waits for it is heard.
    producer.say("orders", b"one");
    producer.say("orders", b"two");
    assert_eq!(listener.wait_texts(2), ["one", "two"]);
    // SIGKILL. This broker forgets what it had, so the topic is made anew, and its log begins again.
    drop((producer, broker));
    wait_until("the loss is noticed", || {
        listener.told().contains(&Word::Interrupted)
    });
    let broker = Broker::start(port);
    broker.make("orders", 1);
    let mut producer = Producer::start(&broker.address());
    for text in ["three", "four", "five", "six"] {
        producer.say("orders", text.as_bytes());
    }
    assert_eq!(
        listener.wait_texts(6),
        ["one", "two", "three", "four", "five", "six"]
    );
    listener.wait_for(
        "it is said",
        |word| matches!(word, Word::Note(note) if note.contains("made anew")),
    );
}

#[test]
fn of_a_topic_made_anew_from_a_copy_yesterdays_orders_are_not_heard() {
    let port = free_port();
    let listener = Listener::start(&format!("127.0.0.1:{port}/orders"), &KafkaConfig::default());
    let broker = Broker::start(port);
    broker.make("orders", 1);
    listener.wait_heard(1);
    drop(broker);
    wait_until("the loss is noticed", || {
        listener.told().contains(&Word::Interrupted)
    });
    let broker = Broker::start(port);
    broker.make("orders", 1);
    let mut producer = Producer::start(&broker.address());
    // A mirror brings old records with their old stamps.
    producer.say_at("orders", b"yesterday", 1_700_000_000_000);
    producer.say("orders", b"now");
    assert_eq!(listener.wait_texts(1), ["now"]);
}

#[test]
fn a_leader_that_changes_and_brokers_that_go_and_come_back_lose_nothing_and_bring_nothing_twice() {
    let mut cluster = Cluster::start();
    cluster.tell("make t 1");
    let address = format!("{}/t", cluster.brokers.join(","));
    let listener = Listener::start(&address, &earliest());
    let mut said = Vec::new();
    let say = |cluster: &mut Cluster, said: &mut Vec<String>, text: String| {
        cluster.say("t", "none", &[&text]);
        said.push(text);
    };
    for turn in 0..6 {
        let (leader, other) = (1 + turn % 3, 1 + (turn + 1) % 3);
        cluster.tell(&format!("lead t {leader}"));
        say(
            &mut cluster,
            &mut said,
            format!("led by {leader}, turn {turn}"),
        );
        listener.wait_texts(turn * 3 + 1);
        // The leader is gone, and another takes over.
        cluster.tell(&format!("down {leader}"));
        cluster.tell(&format!("lead t {other}"));
        say(
            &mut cluster,
            &mut said,
            format!("{leader} is down, turn {turn}"),
        );
        cluster.tell(&format!("up {leader}"));
        say(
            &mut cluster,
            &mut said,
            format!("{leader} is back, turn {turn}"),
        );
    }
    assert_eq!(listener.wait_texts(18), said);
    // Errors that a broker gives in passing: not the leader, storage, and one of no known number.
    for code in [6, 56, 9999] {
        cluster.tell(&format!("fail 1 {code} 2"));
        say(&mut cluster, &mut said, format!("after error {code}"));
    }
    assert_eq!(listener.wait_texts(21), said);
    assert!(
        listener
            .troubles()
            .iter()
            .all(|fault| !fault.fix.is_empty())
    );
}

#[test]
fn what_the_broker_no_longer_keeps_is_counted() {
    let mut cluster = Cluster::start();
    cluster.tell("make t 1");
    cluster.tell("lead t 1");
    // It knows of one broker only, so it hears nothing while that one is away and the log goes on.
    let listener = Listener::start(&format!("{}/t", cluster.brokers[0]), &earliest());
    cluster.say("t", "none", &["0", "1"]);
    listener.wait_texts(2);
    cluster.tell("down 1");
    cluster.tell("lead t 2");
    listener.wait_trouble("no broker answers");
    for text in ["2", "3", "4", "5"] {
        cluster.say("t", "none", &[text]);
    }
    cluster.tell("forget t 5");
    cluster.tell("up 1");
    listener.wait_for("the loss is counted", |word| *word == Word::Gone(3));
    assert_eq!(listener.wait_texts(3), ["0", "1", "5"]);
}
