//! Promises of the sensors: what arrives, what is refused and counted, and the state at an instant.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::disallowed_methods
)]

use std::path::Path;
use std::sync::Arc;

use reflexarc::clock;
use reflexarc::error::{Fault, Kind, StepError};
use reflexarc::rt::memory::{self, Ledgers};
use reflexarc::sensor::config::{SensorAddress, SensorConfig, StampClock};
use reflexarc::sensor::counters::SensorCounters;
use reflexarc::sensor::{Reading, SensorSource, open};
use reflexarc::units::{MonoTime, Nanos};
use reflexarc::wire::{DATAGRAM_BYTES_MAX, Kind as MessageKind, Malformed, Message};

#[global_allocator]
static ALLOCATOR: Ledgers = Ledgers;

fn config(line: &str) -> SensorConfig {
    SensorConfig::at(line.parse().unwrap())
}

/// As `[[sensor]]` in a configuration file.
fn read(text: &str) -> SensorConfig {
    toml::from_str(text).unwrap()
}

fn started(config: &SensorConfig) -> (Box<dyn SensorSource>, Arc<SensorCounters>) {
    let mut sensor = open(config, 3).unwrap();
    sensor.start().unwrap();
    let counters = sensor.counters().unwrap();
    (sensor, counters)
}

/// The next reading of a sensor that surely has one.
fn next(sensor: &mut dyn SensorSource) -> Reading {
    sensor
        .next(clock::now() + Nanos::from_secs(60))
        .unwrap()
        .expect("a reading within a minute")
}

/// What is there now, without waiting.
fn next_now(sensor: &mut dyn SensorSource) -> Option<Reading> {
    sensor.next(clock::now()).unwrap()
}

fn fault(config: &SensorConfig) -> Fault {
    let fault = match open(config, 0).and_then(|mut sensor| sensor.start()) {
        Ok(()) => panic!("{config:?} should be refused"),
        Err(fault) => fault,
    };
    assert!(!fault.why.is_empty() && !fault.fix.is_empty(), "{fault}");
    fault
}

/// `received = accepted + refused by reason`, always.
fn assert_accounts_balance(c: &SensorCounters) {
    let malformed: u64 = c.malformed.iter().map(|m| m.get()).sum();
    let refused = [
        &c.wrong_len,
        &c.unreadable,
        &c.duplicates,
        &c.too_old,
        &c.from_future,
    ];
    let refused: u64 = refused.iter().map(|r| r.get()).sum();
    assert_eq!(c.received.get(), c.accepted.get() + malformed + refused);
}

fn datagram(seq: u32, stamp: MonoTime, values: &[f32]) -> Vec<u8> {
    let mut message = Message {
        kind: MessageKind::Reading,
        seq,
        frame: 0,
        stamp_ns: stamp.0,
        len: values.len() as u8,
        values: [0.0; 16],
    };
    message.values[..values.len()].copy_from_slice(values);
    let mut out = [0; DATAGRAM_BYTES_MAX];
    let len = message.encode(&mut out);
    out[..len].to_vec()
}

mod sockets {
    use super::*;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    /// A port of this machine that was free a moment ago.
    fn free_port() -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    }

    struct Peer {
        socket: UdpSocket,
        sensor: Box<dyn SensorSource>,
        counters: Arc<SensorCounters>,
    }

    impl Peer {
        fn of(change: impl FnOnce(&mut SensorConfig)) -> Self {
            let port = free_port();
            let mut config = config(&format!("udp:127.0.0.1:{port}"));
            change(&mut config);
            let (sensor, counters) = started(&config);
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(("127.0.0.1", port)).unwrap();
            Self {
                socket,
                sensor,
                counters,
            }
        }

        /// Sends one datagram and tells what became of it. On the loopback it is there when send returns.
        fn send(&mut self, bytes: &[u8]) -> Option<Reading> {
            self.socket.send(bytes).unwrap();
            let reading = next_now(&mut *self.sensor);
            assert_accounts_balance(&self.counters);
            reading
        }
    }

    #[test]
    fn both_forms_arrive_with_their_event_time_on_the_same_socket() {
        let mut peer = Peer::of(|_| {});
        let at = clock::now() - Nanos::from_millis(7);
        let reading = peer.send(&datagram(5, at, &[0.5, -2.0])).unwrap();
        assert_eq!((reading.at, reading.seq, reading.len), (at, 5, 2));
        assert_eq!(reading.values(), &[0.5, -2.0]);
        assert_eq!(reading.source_index, 3);
        assert!(reading.arrived > at);
        let json = format!(
            r#"{{"at_ns":{},"values":[1.25,0],"seq":6,"robot":"arm"}}"#,
            at.0 + 9
        );
        let reading = peer.send(json.as_bytes()).unwrap();
        assert_eq!((reading.at.0, reading.seq), (at.0 + 9, 6));
        assert_eq!(reading.values(), &[1.25, 0.0]);
    }

    #[test]
    fn a_sensor_waits_for_a_reading_and_no_longer_than_its_deadline() {
        let mut peer = Peer::of(|_| {});
        let deadline = clock::now() + Nanos::from_millis(20);
        assert_eq!(peer.sensor.next(deadline), Ok(None));
        assert!(clock::now() >= deadline);
        let socket = peer.socket.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            clock::sleep_until(clock::now() + Nanos::from_millis(20));
            socket.send(&datagram(1, MonoTime::ZERO, &[1.0])).unwrap();
        });
        assert_eq!(next(&mut *peer.sensor).values(), &[1.0]);
        sender.join().unwrap();
    }

    #[test]
    fn rubbish_is_dropped_and_counted_by_reason() {
        let mut peer = Peer::of(|_| {});
        let good = datagram(1, MonoTime::ZERO, &[1.0]);
        let mut action = good.clone();
        action[5] = 1;
        let mut version = good.clone();
        version[4] = 9;
        let mut not_a_number = good.clone();
        not_a_number[24..28].copy_from_slice(&f32::NAN.to_le_bytes());
        let mut count = good.clone();
        count[6] = 200;
        for (bytes, reason) in [
            (&b""[..], Malformed::BadMagic),
            (b"hello", Malformed::BadMagic),
            (&good[..20], Malformed::BadLength),
            (&good[..27], Malformed::BadLength),
            (&action, Malformed::BadKind),
            (&version, Malformed::BadVersion),
            (&not_a_number, Malformed::NotFinite),
            (&count, Malformed::BadCount),
            (b"{\"values\":[1,]}", Malformed::BadJson),
            (&[b'{'; 9000], Malformed::BadJson),
        ] {
            let before = peer.counters.malformed[reason as usize].get();
            assert_eq!(peer.send(bytes), None);
            let after = peer.counters.malformed[reason as usize].get();
            assert_eq!(after, before + 1, "{}", reason.name());
        }
        assert!(peer.send(&good).is_some(), "it still hears the good ones");
        assert_eq!(peer.send(&datagram(2, MonoTime::ZERO, &[1.0, 2.0])), None);
        assert_eq!(peer.counters.wrong_len.get(), 1);
    }

    #[test]
    fn a_flood_of_rubbish_does_not_hold_the_thread_past_its_deadline() {
        let mut peer = Peer::of(|_| {});
        for _ in 0..200 {
            peer.socket.send(b"rubbish").unwrap();
        }
        assert_eq!(next_now(&mut *peer.sensor), None);
        assert_eq!(
            peer.counters.received.get(),
            1,
            "one look, then the deadline counts"
        );
    }

    #[test]
    fn stamps_that_cannot_be_true_are_refused_or_clamped_by_rule() {
        let mut peer = Peer::of(|_| {});
        let seq = std::cell::Cell::new(0);
        let mut send = |stamp| {
            seq.set(seq.get() + 1);
            peer.send(&datagram(seq.get(), stamp, &[1.0]))
        };
        let unstamped = send(MonoTime::ZERO).unwrap();
        assert_eq!(unstamped.at, unstamped.arrived);
        assert_eq!(send(clock::now() - Nanos::from_secs(2)), None);
        assert_eq!(send(clock::now() + Nanos::from_secs(60)), None);
        assert_eq!(send(MonoTime(i64::MIN)), None);
        assert_eq!(send(MonoTime::FAR), None);
        let c = Arc::clone(&peer.counters);
        assert_eq!(
            (c.unstamped.get(), c.too_old.get(), c.from_future.get()),
            (1, 2, 2)
        );
    }

    #[test]
    fn a_stamp_a_little_in_the_future_counts_as_the_arrival() {
        let mut peer = Peer::of(|c| c.tolerance = Nanos::from_secs(3600));
        let ahead = clock::now() + Nanos::from_secs(1800);
        let reading = peer.send(&datagram(1, ahead, &[1.0])).unwrap();
        assert_eq!(reading.at, reading.arrived);
        assert_eq!(peer.counters.clamped.get(), 1);
    }

    #[test]
    fn stamps_of_another_clock_are_brought_onto_ours() {
        let mut peer = Peer::of(|c| c.clock = StampClock::Realtime);
        let (before, there) = (clock::now(), clock::read(libc::CLOCK_REALTIME));
        let after = clock::now();
        let reading = peer.send(&datagram(1, there, &[1.0])).unwrap();
        // The true instant lies between the two, but for the error of measuring the offset again.
        let slack = Nanos::from_millis(20);
        assert!(reading.at > before - slack && reading.at < after + slack);

        let mut peer = Peer::of(|c| c.clock = StampClock::Arrival);
        let reading = peer.send(&datagram(1, MonoTime(77), &[1.0])).unwrap();
        assert_eq!(reading.at, reading.arrived);
    }

    #[test]
    fn lost_repeated_and_reordered_readings_are_counted() {
        let mut peer = Peer::of(|_| {});
        let base = clock::now() - Nanos::from_millis(500);
        let mut taken = Vec::new();
        for seq in [1, 2, 2, 5, 4, 4, 6, 100_000, 100_001] {
            let at = base + Nanos::from_millis(10 * (seq % 1000));
            taken.extend(peer.send(&datagram(seq as u32, at, &[1.0])).map(|r| r.seq));
        }
        assert_eq!(taken, [1, 2, 5, 4, 6, 100_000, 100_001]);
        let c = &peer.counters;
        assert_eq!(c.duplicates.get(), 2);
        assert_eq!(c.reordered.get(), 1);
        assert_eq!(c.gaps.get(), 2);
        assert_eq!(c.restarts.get(), 1);
        assert!(c.jitter.mean() > Nanos::ZERO);
    }

    #[test]
    fn receiving_allocates_nothing() {
        let mut peer = Peer::of(|_| {});
        let good = datagram(1, clock::now(), &[1.0; 16]);
        let ledger = memory::open_ledger();
        let mut totals = |bytes: &[u8]| {
            peer.socket.send(bytes).unwrap();
            let before = ledger.totals();
            let _ = next_now(&mut *peer.sensor);
            let after = ledger.totals();
            assert_eq!(before, after);
        };
        totals(&good);
        totals(b"rubbish");
        totals(br#"{"values":[1,2,"#);
        totals(br#"{"values":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16],"name":"\u00e4"}"#);
        totals(b"");
        let before = ledger.totals();
        assert_eq!(
            peer.sensor.next(clock::now() + Nanos::from_millis(2)),
            Ok(None)
        );
        assert_eq!(ledger.totals(), before);
    }

    #[test]
    fn a_unix_socket_receives_and_goes_with_its_sensor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sock");
        let (mut sensor, counters) = started(&config(&format!("unix:{}", path.display())));
        let sender = UnixDatagram::unbound().unwrap();
        let at = clock::now();
        sender.send_to(&datagram(1, at, &[2.0]), &path).unwrap();
        sender.send_to(br#"{"seq":2,"values":[3]}"#, &path).unwrap();
        assert_eq!(next(&mut *sensor).at, at);
        assert_eq!(next(&mut *sensor).values(), &[3.0]);
        assert_accounts_balance(&counters);
        drop(sensor);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sock");
        let config = config(&format!("unix:{}", path.display()));
        // A socket whose process has died: the file stays.
        drop(UnixDatagram::bind(&path).unwrap());
        assert!(path.exists());
        let (sensor, _) = started(&config);
        assert_eq!(fault(&config).kind, Kind::Busy);
        drop(sensor);
        std::fs::write(&path, "precious").unwrap();
        assert!(fault(&config).why.contains("not a socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn addresses_that_cannot_be_used_are_explained() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let line = format!("udp:{}", taken.local_addr().unwrap());
        let busy = fault(&config(&line));
        assert_eq!(busy.kind, Kind::Busy);
        assert!(busy.fix.contains("ss -ulpn"));
        assert_eq!(
            fault(&config("udp:no-such-host.invalid:9100")).kind,
            Kind::Config
        );
        // TEST-NET-1 (RFC 5737): no machine has it.
        assert_eq!(fault(&config("udp:192.0.2.1:9100")).kind, Kind::Config);
        assert_eq!(
            fault(&config("unix:/nowhere/state.sock")).kind,
            Kind::Config
        );
    }
}

mod recordings {
    use super::*;

    fn recording(text: &str, settings: &str) -> Result<(tempfile::TempDir, SensorConfig), Fault> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("joints.csv");
        std::fs::write(&path, text).unwrap();
        let config = read(&format!("source = \"csv:{}\"\n{settings}", path.display()));
        open(&config, 0).map(|_| (folder, config))
    }

    /// All readings with their times since the first.
    fn play(text: &str, settings: &str) -> Vec<(i64, Vec<f32>)> {
        let (_folder, config) = recording(text, settings).unwrap();
        let (mut sensor, counters) = started(&config);
        let mut rows = Vec::new();
        // No row is due later than that after the one before; so None means the end.
        while let Some(reading) = sensor.next(clock::now() + Nanos::from_millis(60)).unwrap() {
            assert!(reading.arrived >= reading.at, "never before it is due");
            rows.push((reading.at, reading.values().to_vec()));
        }
        assert_eq!(counters.accepted.get(), rows.len() as u64);
        let first = rows[0].0;
        rows.into_iter()
            .map(|(at, values)| ((at - first).0, values))
            .collect()
    }

    const MS: i64 = 1_000_000;

    #[test]
    fn rows_come_when_they_are_due_with_their_own_times() {
        let text = "time,pan,tilt\n0.000,1,2\n0.010,3,4\n0.0200005,5,6\n";
        assert_eq!(
            play(text, ""),
            [
                (0, vec![1.0, 2.0]),
                (10 * MS, vec![3.0, 4.0]),
                (20_000_500, vec![5.0, 6.0])
            ]
        );
    }

    #[test]
    fn columns_units_and_separators_are_as_configured() {
        let text = "\u{feff}# made by hand\nlabel;\"tilt\";stamp;pan\r\n\r\nx;2;1763823600000001;1\r\ny;4;1763823600003001;3\r\n";
        let settings = "[csv]\ntime = \"stamp\"\nunit = \"us\"\norigin = \"absolute\"\ncolumns = [\"pan\", \"tilt\"]";
        assert_eq!(
            play(text, settings),
            [(0, vec![1.0, 2.0]), (3 * MS, vec![3.0, 4.0])]
        );
    }

    #[test]
    fn a_relative_recording_begins_at_its_own_zero() {
        let (_folder, config) = recording("time,a\n0.03,1\n0.04,2\n", "").unwrap();
        let before = clock::now();
        let (mut sensor, _) = started(&config);
        assert!(next(&mut *sensor).at >= before + Nanos::from_millis(30));
        next(&mut *sensor);
        // At its end it waits like any other sensor; it must not make its thread spin.
        let deadline = clock::now() + Nanos::from_millis(10);
        assert_eq!(sensor.next(deadline), Ok(None));
        assert!(clock::now() >= deadline);
    }

    #[test]
    fn rows_without_a_value_are_left_out_and_disorder_is_sorted_and_both_are_named() {
        let text =
            "time,a\n0,1\n0.001,NaN\n0.003,4\n0.002,3\n0.004,\n0.005,inf\n0.006,n/a\n0.007,5\n";
        let (_folder, config) = recording(text, "").unwrap();
        let name = open(&config, 0).unwrap().describe();
        assert!(
            name.contains("4 rows left out, a value is missing (lines 3, 6, 7, 8)"),
            "{name}"
        );
        assert!(
            name.contains("1 rows out of order, sorted in (lines 5)"),
            "{name}"
        );
        let rows = play(text, "");
        let values: Vec<f32> = rows.iter().map(|(_, v)| v[0]).collect();
        assert_eq!(values, [1.0, 3.0, 4.0, 5.0]);
        assert!(rows.is_sorted_by_key(|(at, _)| *at));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_line() {
        for (text, settings, line, word) in [
            ("", "", 1, "empty"),
            (
                "t,a\n0,1\n",
                "",
                1,
                "there is no column `time`; there are: t, a",
            ),
            (
                "time,a\n0,1\n",
                "[csv]\ncolumns = [\"b\"]",
                1,
                "no column `b`",
            ),
            ("time\n0\n", "", 1, "0 columns"),
            (
                "time,a\n0,1\n",
                "values = 2",
                1,
                "1 columns have values, not 2",
            ),
            ("time,a,b\n0,1,2\n1,2\n", "", 3, "2 of 3 columns"),
            ("time,a\n0,1\n0.01,on\n", "", 3, "`on` in column `a`"),
            ("time,a\n12:30,1\n", "", 2, "the time `12:30`"),
            ("time,a\n5,1\n6,1\n4.5,1\n", "", 4, "back by 1.50 s"),
            ("time,a\n0,nan\n", "", 2, "no row can be used"),
        ] {
            let fault = recording(text, settings).err().unwrap();
            assert_eq!(fault.kind, Kind::BadInput);
            assert!(fault.what.contains(&format!("line {line}")), "{fault}");
            assert!(fault.why.contains(word), "{fault}");
        }
        let wide: Vec<String> = (0..20).map(|k| format!("c{k}")).collect();
        let fault = recording(&format!("time,{}\n", wide.join(",")), "")
            .err()
            .unwrap();
        assert!(fault.why.contains("20 columns have values, not 1 to 16"));
    }

    #[test]
    fn a_file_that_is_no_recording_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            fault(&config("csv:/nowhere/joints.csv")).kind,
            Kind::BadInput
        );
        let folder_line = format!("csv:{}", folder.path().display());
        assert_eq!(fault(&config(&folder_line)).kind, Kind::BadInput);
        let binary = folder.path().join("data.bin");
        std::fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
        assert!(
            fault(&config(&format!("csv:{}", binary.display())))
                .what
                .contains("not a text file")
        );
    }
}

mod iio {
    use super::*;
    use std::io::Write;

    /// A tree of files as the kernel shows a device. (No kernel of a build machine has one to offer.)
    struct Tree {
        folder: tempfile::TempDir,
        device: std::path::PathBuf,
    }

    impl Tree {
        fn new(name: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let device = folder.path().join("sys/iio:device0");
            std::fs::create_dir_all(&device).unwrap();
            std::fs::create_dir_all(folder.path().join("dev")).unwrap();
            let tree = Self { folder, device };
            tree.set("name", &format!("{name}\n"));
            tree
        }

        fn set(&self, file: &str, text: &str) {
            let path = self.device.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn get(&self, file: &str) -> String {
            std::fs::read_to_string(self.device.join(file)).unwrap()
        }

        fn channel(&self, name: &str, index: u32, kind: &str) {
            self.set(&format!("scan_elements/{name}_en"), "0\n");
            self.set(
                &format!("scan_elements/{name}_index"),
                &format!("{index}\n"),
            );
            self.set(&format!("scan_elements/{name}_type"), &format!("{kind}\n"));
        }

        /// An accelerometer with a buffer, and the pipe that stands for its device node.
        fn accelerometer() -> (Self, std::fs::File) {
            let tree = Self::new("lsm6dsl");
            tree.channel("in_accel_x", 0, "le:s16/16>>0");
            tree.channel("in_accel_y", 1, "be:s12/16>>4");
            tree.channel("in_accel_z", 2, "le:s16/16>>0");
            tree.channel("in_timestamp", 3, "le:s64/64>>0");
            tree.set("in_accel_scale", "0.5\n");
            tree.set("in_accel_y_scale", "0.25\n");
            tree.set("in_accel_y_offset", "-4\n");
            tree.set("buffer/enable", "1\n");
            tree.set("buffer/length", "2\n");
            tree.set("buffer/watermark", "2\n");
            tree.set("current_timestamp_clock", "realtime\n");
            tree.set("sampling_frequency", "52\n");
            let pipe = tree.pipe();
            (tree, pipe)
        }

        fn pipe(&self) -> std::fs::File {
            let path = self.folder.path().join("dev/iio:device0");
            let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
            // SAFETY: `name` is a C string that lives through the call.
            assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
            std::fs::File::options()
                .read(true)
                .write(true)
                .open(path)
                .unwrap()
        }

        fn config(&self, settings: &str) -> SensorConfig {
            let folder = self.folder.path().display();
            read(&format!(
                "source = \"iio:device0\"\n[iio]\nroot = \"{folder}/sys\"\nnodes = \"{folder}/dev\"\n{settings}"
            ))
        }
    }

    /// x, y and z in 16 bits each, two bytes of padding, the stamp.
    fn sample(x: i16, y: i16, z: i16, at: MonoTime) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(x.to_le_bytes());
        bytes.extend((y << 4).to_be_bytes());
        bytes.extend(z.to_le_bytes());
        bytes.extend([0xAA; 2]);
        bytes.extend(at.0.to_le_bytes());
        bytes
    }

    #[test]
    fn a_buffered_device_is_set_up_read_and_turned_off() {
        let (tree, mut pipe) = Tree::accelerometer();
        let config = tree.config("rate = 104\nbuffer = 64");
        let (mut sensor, counters) = started(&config);
        assert_eq!(tree.get("buffer/enable"), "1");
        assert_eq!(tree.get("buffer/length"), "64");
        assert_eq!(tree.get("buffer/watermark"), "1");
        assert_eq!(tree.get("sampling_frequency"), "104");
        assert_eq!(tree.get("current_timestamp_clock"), "monotonic");
        assert_eq!(tree.get("scan_elements/in_timestamp_en"), "1");
        let name = sensor.describe();
        assert!(
            name.contains("lsm6dsl") && name.contains("104 Hz"),
            "{name}"
        );

        let at = clock::now();
        let (first, second) = (
            sample(2, -1, 1000, at),
            sample(-2, 2047, -1000, at + Nanos(5)),
        );
        // The second arrives in two pieces.
        pipe.write_all(&first).unwrap();
        pipe.write_all(&second[..7]).unwrap();
        let reading = next(&mut *sensor);
        assert_eq!(reading.at, at);
        assert_eq!(reading.values(), &[1.0, -1.25, 500.0]);
        assert_eq!(next_now(&mut *sensor), None);
        pipe.write_all(&second[7..]).unwrap();
        let reading = next(&mut *sensor);
        assert_eq!(reading.values(), &[-1.0, 510.75, -500.0]);
        assert_eq!(reading.at, at + Nanos(5));

        pipe.write_all(&sample(0, 0, 0, at - Nanos::from_secs(5)))
            .unwrap();
        pipe.write_all(&sample(0, 0, 0, clock::now() + Nanos::from_secs(60)))
            .unwrap();
        pipe.write_all(&sample(6, 0, 0, MonoTime::ZERO)).unwrap();
        let reading = next(&mut *sensor);
        assert_eq!(reading.at, reading.arrived, "a stamp of 0 is none");
        assert_eq!((counters.too_old.get(), counters.from_future.get()), (1, 1));
        assert_accounts_balance(&counters);
        drop(sensor);
        assert_eq!(tree.get("buffer/enable"), "0");
    }

    #[test]
    fn a_buffered_device_reads_without_allocating() {
        let (tree, mut pipe) = Tree::accelerometer();
        let (mut sensor, _) = started(&tree.config(""));
        let ledger = memory::open_ledger();
        for _ in 0..200 {
            pipe.write_all(&sample(1, 2, 3, clock::now())).unwrap();
            let before = ledger.totals();
            let reading = next_now(&mut *sensor);
            assert_eq!(ledger.totals(), before);
            assert!(reading.is_some());
        }
    }

    #[test]
    fn only_the_channels_asked_for_are_enabled_in_the_order_asked_for() {
        let (tree, mut pipe) = Tree::accelerometer();
        let config = tree.config("channels = [\"in_accel_z\", \"in_accel_x\"]");
        let (mut sensor, _) = started(&config);
        assert_eq!(tree.get("scan_elements/in_accel_y_en"), "0");
        // x, z, four bytes of padding, the stamp.
        let mut bytes = Vec::new();
        bytes.extend(10_i16.to_le_bytes());
        bytes.extend(20_i16.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(clock::now().0.to_le_bytes());
        pipe.write_all(&bytes).unwrap();
        assert_eq!(next(&mut *sensor).values(), &[10.0, 5.0]);
    }

    #[test]
    fn stamps_of_a_kernel_that_only_knows_real_time_are_brought_onto_ours() {
        let (tree, mut pipe) = Tree::accelerometer();
        std::fs::remove_file(tree.device.join("current_timestamp_clock")).unwrap();
        let (mut sensor, _) = started(&tree.config(""));
        let before = clock::now();
        let real = clock::read(libc::CLOCK_REALTIME);
        pipe.write_all(&sample(1, 1, 1, real)).unwrap();
        let reading = next(&mut *sensor);
        let slack = Nanos::from_millis(20);
        assert!(reading.at > before - slack && reading.at <= reading.arrived);
    }

    #[test]
    fn a_device_without_a_buffer_is_polled_at_its_rate() {
        let tree = Tree::new("ads1015");
        tree.set("in_voltage0_raw", "100\n");
        tree.set("in_voltage1_raw", "-7\n");
        tree.set("in_voltage_scale", "3.0\n");
        tree.set("in_voltage1_offset", "2\n");
        tree.set("out_voltage0_raw", "1\n");
        let (mut sensor, counters) = started(&tree.config("rate = 200"));
        assert!(sensor.describe().contains("polled at 200 Hz"));
        let first = next(&mut *sensor);
        assert_eq!(first.values(), &[300.0, -15.0]);
        tree.set("in_voltage0_raw", "200\n");
        let second = next(&mut *sensor);
        assert_eq!(second.values(), &[600.0, -15.0]);
        assert!(second.arrived >= first.arrived && second.at <= second.arrived);
        // A converter that fails now and then is asked again at the next beat.
        tree.set("in_voltage0_raw", "busy\n");
        assert_eq!(sensor.next(clock::now() + Nanos::from_millis(30)), Ok(None));
        assert!(counters.unreadable.get() > 0);
        tree.set("in_voltage0_raw", "300\n");
        assert_eq!(next(&mut *sensor).values()[0], 900.0);
        assert_accounts_balance(&counters);
    }

    #[test]
    fn a_device_that_is_unplugged_is_an_error() {
        let (tree, pipe) = Tree::accelerometer();
        let (mut sensor, _) = started(&tree.config(""));
        drop(pipe);
        assert_eq!(
            sensor.next(clock::now() + Nanos::from_secs(60)),
            Err(StepError::DeviceLost)
        );
    }

    #[test]
    fn devices_are_found_by_number_and_by_name_and_else_the_present_ones_are_listed() {
        let (tree, _pipe) = Tree::accelerometer();
        let mut config = tree.config("");
        for name in ["device0", "iio:device0", "lsm6dsl"] {
            config.source = SensorAddress::Iio(name.to_owned());
            assert!(open(&config, 0).is_ok());
        }
        config.source = SensorAddress::Iio("bmi160".to_owned());
        let missing = fault(&config);
        assert_eq!(missing.kind, Kind::NoDevice);
        assert!(missing.why.contains("iio:device0 (lsm6dsl)"), "{missing}");
        config.iio.root = Path::new("/nowhere").into();
        assert!(fault(&config).fix.contains("CONFIG_IIO"));
    }

    #[test]
    fn wrong_settings_of_a_device_are_explained() {
        let (tree, _pipe) = Tree::accelerometer();
        let unknown = fault(&tree.config("channels = [\"in_gyro_x\"]"));
        assert!(
            unknown.why.contains("in_accel_x, in_accel_y, in_accel_z"),
            "{unknown}"
        );
        tree.set("scan_elements/in_accel_x_type", "odd\n");
        assert!(fault(&tree.config("")).what.contains("in_accel_x"));
        std::fs::remove_file(tree.device.join("sampling_frequency")).unwrap();
        assert!(
            fault(&tree.config("rate = 100"))
                .what
                .contains("sampling_frequency = 100")
        );
        let plain = Tree::new("adc");
        assert!(
            fault(&plain.config("mode = \"buffer\""))
                .what
                .contains("no buffer")
        );
        assert!(fault(&plain.config("")).what.contains("0 channels"));
    }
}

mod align {
    use super::*;
    use reflexarc::fusion::align::{AlignConfig, ChoiceName, SensorLane};
    use reflexarc::policy::State;
    use reflexarc::stream::align::choice::Status;

    fn reading(at: i64, values: &[f32]) -> Reading {
        let mut reading = Reading {
            at: MonoTime(at),
            arrived: MonoTime(at),
            seq: 0,
            source_index: 0,
            len: values.len() as u8,
            values: [0.0; 16],
        };
        reading.values[..values.len()].copy_from_slice(values);
        reading
    }

    fn config() -> AlignConfig {
        AlignConfig {
            readings: 64,
            max_age: Nanos(100),
            max_gap: Nanos(50),
            tolerance: Nanos(30),
            ..AlignConfig::default()
        }
    }

    fn lane(config: &AlignConfig, readings: &[(i64, f32)]) -> SensorLane {
        let mut lane = SensorLane::new(config);
        for (at, value) in readings {
            lane.push(&reading(*at, &[*value]));
        }
        lane
    }

    fn found(lane: &SensorLane, at: i64) -> (Status, Option<f32>, bool) {
        let state: State = lane.at(MonoTime(at));
        (
            state.status,
            state.values().first().copied(),
            state.is_filled,
        )
    }

    #[test]
    fn states_are_what_pandas_and_numpy_say() {
        let mut lane = SensorLane::new(&AlignConfig::default());
        let (mut questions, mut by_status) = (0, [0; 3]);
        for line in include_str!("oracles/history.txt").lines() {
            let mut words = line.split(' ');
            let kind = words.next().unwrap();
            let at = words.next().unwrap().parse().unwrap();
            let status = (kind == "q").then(|| words.next().unwrap());
            let values: Vec<f32> = words.map(|w| w.parse().unwrap()).collect();
            let Some(status) = status else {
                lane.push(&reading(at, &values));
                continue;
            };
            questions += 1;
            let state = lane.at(MonoTime(at));
            let found = match state.status {
                Status::Exact | Status::Interpolated(_) => 0,
                Status::Held(_) => 1,
                Status::Missing => 2,
                other => panic!("{line}: {other:?}"),
            };
            by_status[found] += 1;
            assert_eq!(["interpolated", "held", "missing"][found], status, "{line}");
            assert_eq!(state.values().len(), values.len(), "{line}");
            for (value, expected) in state.values().iter().zip(&values) {
                // Two orders of the same sum in f64 may round to neighbouring f32.
                let allowed = f32::EPSILON * expected.abs().max(1e-3);
                assert!((value - expected).abs() <= allowed, "{line}: {value}");
            }
        }
        assert_eq!(questions, 605);
        assert!(by_status.iter().all(|count| *count > 20), "{by_status:?}");
        let counts = lane.counters();
        assert_eq!((counts.pushed.get(), counts.too_late.get()), (400, 0));
        assert!(counts.reordered.get() > 50);
        let asked = [
            &counts.exact,
            &counts.interpolated,
            &counts.held,
            &counts.missing,
        ];
        assert_eq!(asked.map(|count| count.get()).iter().sum::<u64>(), 605);
    }

    #[test]
    fn each_case_of_an_instant_is_as_documented() {
        let lane = lane(
            &config(),
            &[(1000, 1.0), (1050, 2.0), (1101, 9.0), (2000, 9.0)],
        );
        for (at, expected) in [
            (999, (Status::Missing, None, false)),
            (1000, (Status::Exact, Some(1.0), false)),
            (1025, (Status::Interpolated(Nanos(50)), Some(1.5), false)),
            // 51 apart: the line is not drawn, the reading before is held.
            (1100, (Status::Held(Nanos(50)), Some(2.0), false)),
            (1300, (Status::Missing, None, false)),
            (2100, (Status::Held(Nanos(100)), Some(9.0), false)),
            (2101, (Status::Missing, None, false)),
        ] {
            assert_eq!(found(&lane, at), expected, "at {at}");
        }
    }

    #[test]
    fn a_sensor_is_aligned_as_it_asks() {
        let readings = [(1000, 1.0), (1040, 2.0)];
        let by = |choice| lane(&AlignConfig { choice, ..config() }, &readings);
        let nearest = by(ChoiceName::Nearest);
        assert_eq!(
            found(&nearest, 1020),
            (Status::Nearest(Nanos(-20)), Some(1.0), false),
            "of two equally near ones the earlier"
        );
        assert_eq!(
            found(&nearest, 1021),
            (Status::Nearest(Nanos(19)), Some(2.0), false)
        );
        assert_eq!(
            found(&nearest, 1071),
            (Status::Held(Nanos(31)), Some(2.0), false),
            "beyond the tolerance it is held"
        );
        assert_eq!(
            found(&by(ChoiceName::Hold), 1039),
            (Status::Held(Nanos(39)), Some(1.0), false)
        );
        assert_eq!(
            found(&by(ChoiceName::Latest), 1000),
            (Status::Latest(Nanos(40)), Some(2.0), false)
        );
    }

    #[test]
    fn what_nobody_measured_is_marked_as_made_up() {
        let config = AlignConfig {
            max_ahead: Nanos(20),
            default: vec![7.0],
            ..config()
        };
        let mut lane = lane(&config, &[]);
        assert_eq!(found(&lane, 5), (Status::Default, Some(7.0), true));
        lane.push(&reading(1000, &[1.0]));
        lane.push(&reading(1040, &[2.0]));
        assert_eq!(
            found(&lane, 1060),
            (Status::Predicted(Nanos(20)), Some(2.5), true)
        );
        assert_eq!(
            found(&lane, 1061),
            (Status::Held(Nanos(21)), Some(2.0), false)
        );
        assert_eq!(found(&lane, 1141), (Status::Default, Some(7.0), true));
        let counts = lane.counters();
        assert_eq!((counts.default.get(), counts.predicted.get()), (2, 1));
    }

    #[test]
    fn a_rotation_turns_on_the_shorter_arc_at_an_even_rate() {
        let config = AlignConfig {
            quaternion: Some(1),
            ..config()
        };
        let mut lane = SensorLane::new(&config);
        // 0 and 90 degrees about z, the second with its sign turned: the same rotation.
        let half = std::f32::consts::FRAC_PI_4;
        lane.push(&reading(1000, &[0.0, 0.0, 0.0, 0.0, 1.0]));
        lane.push(&reading(1030, &[3.0, 0.0, 0.0, -half.sin(), -half.cos()]));
        let state = lane.at(MonoTime(1010));
        let (sin, cos) = (std::f32::consts::PI / 12.0).sin_cos();
        for (value, expected) in state.values().iter().zip([1.0, 0.0, 0.0, sin, cos]) {
            assert!((value - expected).abs() < 1e-6, "{:?}", state.values());
        }
    }

    #[test]
    fn late_readings_find_their_place_and_hopeless_ones_are_dropped() {
        let readings: Vec<_> = (0..50).map(|i| (10 * i, 1.0)).collect();
        let mut lane = lane(&config(), &readings);
        lane.push(&reading(485, &[7.0]));
        assert_eq!(found(&lane, 485).1, Some(7.0));
        lane.push(&reading(485, &[8.0]));
        assert_eq!(
            found(&lane, 485).1,
            Some(8.0),
            "the one that came later counts"
        );
        lane.push(&reading(5, &[9.0]));
        lane.push(&reading(600, &[1.0, 2.0]));
        let counts = lane.counters();
        assert_eq!(counts.reordered.get(), 2);
        assert_eq!((counts.too_late.get(), counts.wrong_len.get()), (1, 1));
        assert_eq!(lane.len(), 52);
    }

    #[test]
    fn fusion_would_wait_only_for_what_can_still_change_the_state() {
        let lane = lane(&config(), &[(1000, 1.0), (1040, 2.0)]);
        assert!(lane.is_settled(MonoTime(1020)), "both neighbours are there");
        assert!(
            lane.is_settled(MonoTime(1040)),
            "a reading of this very instant"
        );
        assert!(
            !lane.is_settled(MonoTime(1041)),
            "the next one may lie on a line"
        );
    }

    #[test]
    fn aligning_never_allocates_after_it_was_made() {
        let mut lane = SensorLane::new(&AlignConfig::default());
        let before = memory::open_ledger().totals();
        for at in 0..5000 {
            lane.push(&reading(at * 10, &[1.0]));
            lane.push(&reading(at * 10 - 35, &[1.0]));
            lane.at(MonoTime(at * 10 - 7));
        }
        assert_eq!(memory::open_ledger().totals(), before);
    }
}

#[test]
fn wrong_settings_in_the_file_are_refused_with_their_line() {
    let error = |line: &str| {
        let text = format!("clock = \"arrival\"\n{line}\n");
        toml::from_str::<SensorConfig>(&text)
            .unwrap_err()
            .to_string()
    };
    for (line, reason) in [
        ("source = \"can:can0\"", "no such kind"),
        ("source = \"udp:9100\"", "needs a port"),
        ("source = \"udp:host:http\"", "not a number"),
        ("source = \"csv:\"", "nothing stands"),
        ("source = \"udp\"", "no `:`"),
        ("values = 17", "1 to 16"),
        ("values = 0", "1 to 16"),
        ("tolerance = \"-1 ms\"", "below zero"),
        ("oldest = 1", "duration"),
        ("speed = 1", "unknown field"),
        ("csv = { unit = \"min\" }", "unknown variant"),
        ("iio = { buffer = 1 }", "2 to 4096"),
        ("iio = { rate = 0 }", "not a rate"),
        ("iio = { mode = \"dma\" }", "unknown variant"),
    ] {
        let error = error(line);
        assert!(error.contains("line 2"), "{line}: {error}");
        assert!(error.contains(reason), "{line}: {error}");
    }
    assert!(error("").contains("missing field `source`"));
    let config = read("source = \"udp:0.0.0.0:9100\"");
    assert_eq!(config.oldest, Nanos::from_secs(1));
    assert_eq!(config.clock, StampClock::Monotonic);
}
