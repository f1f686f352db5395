//! What does one beat of the action clock cost, and one reading of a sensor?
//!
//! The beat is the player's tick (with a new chunk, or playing on) and the sink's write. For comparison: one
//! datagram through the kernel and back, which is the floor of every socket.

mod support;

use std::hint::black_box;
use std::net::UdpSocket;

use reflexarc::action::config::ActionConfig;
use reflexarc::action::player::Player;
use reflexarc::action::sinks::{SinkConfig, open};
use reflexarc::action::{Action, Chunk, Rung, Sink};
use reflexarc::clock;
use reflexarc::sensor::config::SensorConfig;
use reflexarc::sensor::{self, SensorSource};
use reflexarc::telemetry::trace::Trace;
use reflexarc::units::{Hertz, MonoTime, Nanos};
use reflexarc::wire::{DATAGRAM_BYTES_MAX, Kind, Message, json};
use support::{Bench, Peer};

const DOF: u8 = 7;
/// Operations a call of the harness, so that reading the clock does not count.
const EACH: u64 = 50;

fn main() {
    let mut bench = Bench::start("action", "What does one beat of the action clock cost?");
    ticks(&mut bench);
    writes(&mut bench);
    readings(&mut bench);
    bench.finish();
}

/// A chunk of 50 steps for 7 joints, from a frame captured at `at`.
fn chunk(at: MonoTime) -> Chunk {
    let mut chunk = Chunk::new(DOF);
    chunk.trace = Trace::new(1, 0, at, at);
    chunk.begin = at;
    for k in 0..50_u8 {
        let target = 0.001 * f32::from(k);
        chunk.push(&[target; DOF as usize]).expect("50 steps fit");
    }
    chunk
}

fn ticks(bench: &mut Bench) {
    let player = || Player::new(&ActionConfig::default(), DOF, &[]).expect("defaults are valid");
    let run = |player: &mut Player, anew: bool| {
        let begin = clock::now();
        let new = chunk(begin);
        for k in 0..EACH {
            let at = begin + Nanos::from_millis(1) * i64::try_from(k).unwrap_or(0);
            let newest = (anew || k == 0).then_some(&new);
            let played = black_box(player.tick(k, at, newest));
            assert_eq!(played.action.rung, Rung::Fresh);
        }
    };
    let (mut playing, mut taking) = (player(), player());
    let rounds = bench.size(2_000, 3);
    bench.compare(
        "one tick, 7 joints",
        rounds,
        &mut [
            Peer::timed("plays on", EACH, || run(&mut playing, false)),
            Peer::timed("takes a chunk of 50 steps", EACH, || run(&mut taking, true)),
        ],
    );
}

fn action(tick: u64) -> Action {
    let mut targets = [0.0; 16];
    targets[..DOF as usize].fill(0.123_456);
    Action {
        tick,
        at: clock::now(),
        rung: Rung::Fresh,
        frame_seq: tick,
        dof: DOF,
        targets,
    }
}

fn opened(line: &str) -> Box<dyn Sink> {
    let config: SinkConfig = line.parse().expect("a sink");
    let rate = Hertz::new(100.0).expect("a rate");
    open(&config, DOF, rate).expect("it opens")
}

fn writes(bench: &mut Bench) {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let address = receiver.local_addr().expect("bound");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    sender.connect(address).expect("loopback");
    let drain = || {
        let mut bytes = [0; 2048];
        receiver.set_nonblocking(true).expect("a socket");
        while receiver.recv(&mut bytes).is_ok() {}
    };
    let write = |sink: &mut Box<dyn Sink>| {
        let begin = clock::now();
        for tick in 0..EACH {
            // A full link refuses, which costs no less.
            let _ = black_box(sink.write(&action(tick)));
        }
        let ns = (clock::now() - begin).clamp_u64() / EACH;
        drain();
        ns
    };
    let mut null = opened("null");
    let mut lines = opened("json:/dev/null");
    let mut udp = opened(&format!("udp:{address}"));
    let mut udp_json = opened(&format!("udp+json:{address}"));
    let rounds = bench.size(500, 3);
    bench.compare(
        "one write, 7 joints",
        rounds,
        &mut [
            Peer::measured("null", || write(&mut null)),
            Peer::measured("json lines", || write(&mut lines)),
            Peer::measured("udp", || write(&mut udp)),
            Peer::measured("udp+json", || write(&mut udp_json)),
            Peer::measured("send of 52 bytes, nothing else", || {
                let begin = clock::now();
                for _ in 0..EACH {
                    sender.send(black_box(&[0; 52])).expect("loopback");
                }
                let ns = (clock::now() - begin).clamp_u64() / EACH;
                drain();
                ns
            }),
        ],
    );
}

/// A started sensor, and a socket that sends to it.
fn pair() -> (Box<dyn SensorSource>, UdpSocket) {
    // A port that is free now; the sensor binds it a moment later.
    let free = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let address = free.local_addr().expect("bound");
    drop(free);
    let source = format!("udp:{address}").parse().expect("an address");
    let mut sensor = sensor::open(&SensorConfig::at(source), 0).expect("it opens");
    sensor.start().expect("the port is free");
    let sender = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    sender.connect(address).expect("loopback");
    (sensor, sender)
}

fn reading() -> Message {
    let mut message = Message {
        kind: Kind::Reading,
        seq: 0,
        frame: 0,
        stamp_ns: clock::now().0,
        len: DOF,
        values: [0.0; 16],
    };
    message.values[..DOF as usize].fill(0.123_456);
    message
}

fn readings(bench: &mut Bench) {
    let receive = |(sensor, sender): &mut (Box<dyn SensorSource>, UdpSocket), bytes: &[u8]| {
        for _ in 0..EACH {
            sender.send(bytes).expect("loopback");
        }
        let begin = clock::now();
        for _ in 0..EACH {
            let reading = sensor.next(begin + Nanos::from_secs(1)).expect("it works");
            assert_eq!(reading.map(|r| r.len), Some(DOF));
        }
        (clock::now() - begin).clamp_u64() / EACH
    };
    let (mut compact, mut as_json) = (pair(), pair());
    let rounds = bench.size(500, 3);
    bench.compare(
        "one reading received, 7 joints",
        rounds,
        &mut [
            Peer::measured("compact", || {
                let mut out = [0; DATAGRAM_BYTES_MAX];
                let len = reading().encode(&mut out);
                receive(&mut compact, &out[..len])
            }),
            Peer::measured("JSON", || {
                let mut out = [0; json::JSON_BYTES_MAX];
                let len = json::write(&reading(), &mut out);
                receive(&mut as_json, &out[..len])
            }),
        ],
    );
}
