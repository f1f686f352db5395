//! A real driver: snd-aloop, the kernel's loopback card, into which the test plays. Run by `scripts/dev vm microphone`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use reflexarc::clock;
use reflexarc::error::{Fault, Kind};
use reflexarc::microphone::address::Address;
use reflexarc::microphone::alsa::device::Microphone;
use reflexarc::microphone::alsa::negotiate::{self, Agreed, Wanted};
use reflexarc::microphone::alsa::pcm::Pcm;
use reflexarc::microphone::alsa::samples::Form;
use reflexarc::microphone::{Heard, Sound};
use reflexarc::rt::memory;
use reflexarc::sensor::config::SensorConfig;
use reflexarc::sensor::counters::SensorCounters;
use reflexarc::sensor::{SensorSource, open};
use reflexarc::units::{MonoTime, Nanos};

use crate::tone;

/// What is played into `hw:Loopback,0` is heard at `hw:Loopback,1`.
const HEARD: &str = "hw:Loopback,1";
const PLAYED: &str = "/dev/snd/pcmC0D0p";
const DRIVER: &str = "/sys/bus/platform/drivers/snd_aloop";

/// Not through libtest's own capture: a line that the guest's console shows and the host reads.
fn measured(text: &str) {
    let line = format!("\nmeasured: {text}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn wanted(rate: u32) -> Wanted {
    Wanted {
        rate: Some(rate),
        channel: 0,
        period: Nanos::from_millis(10),
    }
}

fn microphone(rate: u32) -> (Microphone, Arc<SensorCounters>) {
    let counters = Arc::<SensorCounters>::default();
    let address = HEARD.parse::<Address>().unwrap();
    (
        Microphone::open(&address, wanted(rate), Arc::clone(&counters)).unwrap(),
        counters,
    )
}

fn sensor(more: &str) -> (Box<dyn SensorSource>, Arc<SensorCounters>) {
    let config: SensorConfig =
        toml::from_str(&format!("source = \"microphone:{HEARD}\"\n{more}")).unwrap();
    let mut sensor = open(&config, 0).unwrap();
    sensor.start().unwrap();
    let counters = sensor.counters().unwrap();
    (sensor, counters)
}

fn fault(config: &str) -> Fault {
    let config: SensorConfig = toml::from_str(config).unwrap();
    open(&config, 0).err().expect("refused")
}

/// Plays `samples` again and again, the same on each channel, until it is told to stop. Gives when it was started: before and
/// after.
struct Player {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    started: (MonoTime, MonoTime),
    agreed: Agreed,
}

impl Player {
    fn start(rate: u32, samples: Vec<i16>) -> Self {
        let pcm = Pcm::open(Path::new(PLAYED)).unwrap();
        let agreed = negotiate::agree(&pcm, &wanted(rate)).unwrap();
        let bytes: Vec<u8> = samples
            .iter()
            .flat_map(|&sample| frame(agreed, sample))
            .collect();
        let size = agreed.frame_bytes();
        let mut at = pcm.write(&bytes, size).unwrap() * size % bytes.len();
        let before = clock::now();
        pcm.start().unwrap();
        let started = (before, clock::now());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match pcm.write(&bytes[at..], size) {
                    Ok(frames) => at = (at + frames * size) % bytes.len(),
                    Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => {
                        clock::sleep_until(clock::now() + Nanos::from_millis(5));
                    }
                    // The card was taken away.
                    Err(_) => break,
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
            started,
            agreed,
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// A sample as the device takes it, on each channel.
fn frame(agreed: Agreed, sample: i16) -> Vec<u8> {
    let wide = i32::from(sample);
    let one = match agreed.form {
        Form::S16 => sample.to_le_bytes().to_vec(),
        Form::S24In3 => (wide << 8).to_le_bytes()[..3].to_vec(),
        Form::S24 => (wide << 8).to_le_bytes().to_vec(),
        Form::S32 => (wide << 16).to_le_bytes().to_vec(),
        Form::Float => (f32::from(sample) / 32_768.0).to_le_bytes().to_vec(),
    };
    one.repeat(agreed.channels)
}

/// `count` samples from the first that is not 0 on, and the time of that one.
fn hear(microphone: &mut Microphone, count: usize) -> (Vec<i16>, MonoTime) {
    let (mut heard, mut first_at) = (Vec::new(), MonoTime::ZERO);
    let mut buffer = [0.0; 333];
    let end = clock::now() + Nanos::from_secs(60);
    while heard.len() < count {
        assert!(
            clock::now() < end,
            "{} samples came in a minute",
            heard.len()
        );
        match microphone.read(&mut buffer, clock::now() + Nanos::from_secs(1)) {
            Heard::Samples { count, first } => {
                let samples = buffer[..count].iter().map(|s| (s * 32_768.0) as i16);
                let mut at = first;
                let step = Nanos::from_secs_f64(1.0 / microphone.rate());
                for sample in samples {
                    if heard.is_empty() && sample != 0 {
                        first_at = at;
                    }
                    if !heard.is_empty() || sample != 0 {
                        heard.push(sample);
                    }
                    at += step;
                }
            }
            Heard::Gap => heard.clear(),
            Heard::Nothing => {}
        }
    }
    (heard, first_at)
}

#[test]
#[ignore = "needs the kernel's loopback sound card"]
fn what_is_played_is_heard_sample_for_sample() {
    // Numbers that tell their place, none of them 0.
    let played: Vec<i16> = (0..9_973_i32)
        .map(|n| (n * 13 % 32_749 + 1) as i16)
        .collect();
    for rate in [8_000, 16_000, 44_100, 48_000, 192_000] {
        let (mut microphone, counters) = microphone(rate);
        let player = Player::start(rate, played.clone());
        let (heard, _) = hear(&mut microphone, 30_000);
        let from = played.iter().position(|&s| s == heard[0]).unwrap();
        for (n, &sample) in heard.iter().enumerate() {
            assert_eq!(
                sample,
                played[(from + n) % played.len()],
                "{rate} Hz, sample {n}"
            );
        }
        assert_eq!(
            (counters.overruns.get(), counters.interrupted.get()),
            (0, 0)
        );
        let form = player.agreed.form.name();
        measured(&format!(
            "{rate} Hz {form}, {} channels: 30,000 samples, each the one that was played",
            player.agreed.channels
        ));
    }
}

#[test]
#[ignore = "needs the kernel's loopback sound card"]
fn a_sample_has_the_time_at_which_it_was_played() {
    let (mut microphone, _) = microphone(48_000);
    // It runs before there is anything to hear, as a microphone does.
    let mut silence = [0.0; 480];
    let begin = clock::now();
    while clock::now() - begin < Nanos::from_millis(600) {
        microphone.read(&mut silence, clock::now() + Nanos::from_millis(20));
    }
    let player = Player::start(48_000, tone(16_000).into_iter().map(|s| s | 1).collect());
    let (_, first) = hear(&mut microphone, 1_000);
    let (before, after) = player.started;
    measured(&format!(
        "the first sample: {:.2} ms after it was asked to be played",
        (first - before).as_millis_f64()
    ));
    // BOUND: the loopback moves sound with the kernel's tick (4 ms at 250 Hz), once on either side.
    let tick = Nanos::from_millis(4);
    assert!(
        first >= before - tick && first <= after + tick * 3,
        "{before:?} {first:?} {after:?}"
    );

    // Then they run on evenly: never back, never ahead of now, and apart as the rate says.
    let (mut buffer, mut last) = ([0.0; 480], None::<(MonoTime, usize)>);
    let (mut count, mut worst) = (0_usize, Nanos::ZERO);
    let origin = clock::now();
    let mut zero = None::<(MonoTime, usize)>;
    while clock::now() - origin < Nanos::from_secs(5) {
        let Heard::Samples { count: came, first } =
            microphone.read(&mut buffer, clock::now() + Nanos::from_secs(1))
        else {
            continue;
        };
        assert!(first < clock::now());
        assert!(last.is_none_or(|(at, _)| first >= at));
        last = Some((first, count));
        let (zero_at, zero_count) = *zero.get_or_insert((first, count));
        let expected = Nanos::from_secs_f64((count - zero_count) as f64 / 48_000.0);
        worst = worst.max(((first - zero_at) - expected).abs());
        count += came;
    }
    let (last, before) = last.unwrap();
    let (zero, zero_count) = zero.unwrap();
    let rate = (before - zero_count) as f64 / (last - zero).as_secs_f64();
    measured(&format!(
        "{rate:.2} samples a second by their stamps, which lie at most {:.2} ms from even",
        worst.as_millis_f64()
    ));
    assert!(
        (rate - 48_000.0).abs() < 48.0 && worst < tick * 2,
        "{rate} {worst}"
    );
}

#[test]
#[ignore = "needs the kernel's loopback sound card"]
fn sound_that_nobody_takes_is_counted_as_lost_and_it_goes_on() {
    let (mut sensor, counters) = sensor("");
    let soon = || clock::now() + Nanos::from_secs(10);
    let before = sensor.next(soon()).unwrap().unwrap();
    clock::sleep_until(clock::now() + Nanos::from_millis(3_500));
    let mut after = sensor.next(soon()).unwrap().unwrap();
    while counters.overruns.get() == 0 {
        after = sensor.next(soon()).unwrap().unwrap();
    }
    after = sensor.next(soon()).unwrap().unwrap_or(after);
    assert_eq!(
        (counters.overruns.get(), counters.interrupted.get()),
        (1, 0)
    );
    let (missing, gone) = (after.seq - before.seq, (after.at - before.at).as_secs_f64());
    assert!(
        (f64::from(missing) / 100.0 - gone).abs() < 0.1,
        "{missing} numbers for {gone} s"
    );
    measured(&format!(
        "overrun after {gone:.2} s without reading: {} readings counted as missing",
        counters.gaps.get()
    ));
}

fn write(path: PathBuf) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all(b"snd_aloop.0").unwrap();
    })
}

#[test]
#[ignore = "needs the kernel's loopback sound card"]
fn an_unplugged_microphone_is_noticed_at_once_and_heard_again_when_it_is_back() {
    let (mut sensor, counters) = sensor("");
    let turn = || clock::now() + Nanos::from_millis(50);
    for round in 1..=5 {
        let player = Player::start(sensor_rate(&*sensor), tone(16_000));
        for _ in 0..20 {
            sensor
                .next(clock::now() + Nanos::from_secs(10))
                .unwrap()
                .unwrap();
        }
        // The kernel takes the card away, and waits until nobody has it open.
        let unplugged = clock::now();
        let unbinding = write(Path::new(DRIVER).join("unbind"));
        let mut last = MonoTime::ZERO;
        while counters.interrupted.get() < round {
            // Shorter than what is measured.
            let turn = clock::now() + Nanos::from_millis(1);
            if let Some(reading) = sensor.next(turn).unwrap() {
                last = reading.at;
            }
        }
        let noticed = clock::now() - unplugged;
        drop(player);
        unbinding.join().unwrap();
        assert!(
            sensor.next(turn()).unwrap().is_none(),
            "nothing is made up meanwhile"
        );
        let binding = write(Path::new(DRIVER).join("bind"));
        let plugged = clock::now();
        let back = loop {
            if let Some(reading) = sensor.next(turn()).unwrap() {
                break reading;
            }
        };
        assert_eq!(counters.resumed.get(), round);
        assert!(back.at > last);
        measured(&format!(
            "unplugged: noticed after {:.1} ms; heard again {:.1} ms after it was plugged in",
            noticed.as_millis_f64(),
            (clock::now() - plugged).as_millis_f64()
        ));
        binding.join().unwrap();
    }
}

/// Out of its description, as a person would read it.
fn sensor_rate(sensor: &dyn SensorSource) -> u32 {
    let line = sensor.describe();
    let words: Vec<_> = line.split(' ').collect();
    let at = words.iter().position(|word| *word == "Hz").unwrap();
    words[at - 1].parse().unwrap()
}

#[test]
#[ignore = "needs the kernel's loopback sound card"]
fn nothing_is_allocated_while_it_is_read_lost_and_found() {
    let (mut sensor, counters) = sensor("");
    sensor
        .next(clock::now() + Nanos::from_secs(10))
        .unwrap()
        .unwrap();
    let unplug = Path::new(DRIVER).join("unbind");
    let plug = Path::new(DRIVER).join("bind");
    // On threads of their own: each has a ledger of its own.
    let other = std::thread::spawn(move || {
        clock::sleep_until(clock::now() + Nanos::from_millis(300));
        write(unplug).join().unwrap();
        clock::sleep_until(clock::now() + Nanos::from_millis(300));
        write(plug).join().unwrap();
    });
    let ledger = memory::open_ledger();
    let before = ledger.totals();
    let end = clock::now() + Nanos::from_secs(30);
    let mut heard = 0;
    while (counters.resumed.get() == 0 || heard < 50) && clock::now() < end {
        heard += u32::from(
            sensor
                .next(clock::now() + Nanos::from_millis(50))
                .unwrap()
                .is_some(),
        );
    }
    assert_eq!(ledger.totals(), before);
    assert_eq!((counters.interrupted.get(), counters.resumed.get()), (1, 1));
    other.join().unwrap();
}

#[test]
#[ignore = "needs the kernel's loopback sound card"]
fn what_it_cannot_do_is_said_with_what_it_can() {
    let source = format!("source = \"microphone:{HEARD}\"\n");
    let no_rate = fault(&format!("{source}microphone.rate = 7000"));
    assert_eq!(no_rate.kind, Kind::Unsupported);
    assert!(no_rate.why.contains("8000, 11025, 12000"), "{no_rate}");
    let no_channel = fault(&format!("{source}microphone.channel = 40"));
    assert!(no_channel.why.contains("1 to 32 channels"), "{no_channel}");
    let no_card = fault("source = \"microphone:hw:Webcam,0\"");
    assert_eq!(no_card.kind, Kind::NoDevice);
    assert!(no_card.why.contains("hw:Loopback,1"), "{no_card}");
    let no_number = fault("source = \"microphone:7\"");
    assert_eq!(no_number.kind, Kind::NoDevice);
}

#[test]
#[ignore = "needs the kernel's loopback sound card"]
fn a_microphone_in_use_is_said_so_with_who_uses_it() {
    // The loopback has one place a device here. Another process holds it.
    let mut command = Command::new("/bin/reflexarc");
    command
        .args([
            "run",
            "--quiet",
            "--duration",
            "60s",
            "--config",
            "/tmp/holder.toml",
        ])
        .current_dir("/tmp");
    let text = format!(
        "camera.source = \"synthetic:160x120@10\"\nencoder.name = \"null\"\npolicy.name = \"still\"\nsink = \"null\"\n\
         [[sensor]]\nsource = \"microphone:{HEARD}\"\n"
    );
    std::fs::write("/tmp/holder.toml", text).unwrap();
    let mut child = command.spawn().unwrap();
    let config = format!("source = \"microphone:{HEARD}\"");
    let end = clock::now() + Nanos::from_secs(60);
    let used = || std::fs::read_to_string("/proc/asound/card0/pcm1c/sub0/status").unwrap();
    while used().starts_with("closed") {
        let runs = child.try_wait().unwrap().is_none();
        assert!(
            clock::now() < end && runs,
            "the other process did not take it"
        );
        clock::sleep_until(clock::now() + Nanos::from_millis(20));
    }
    let fault = fault(&config);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fault.kind, Kind::Busy);
    assert!(
        fault
            .why
            .contains(&format!("reflexarc (process {})", child.id())),
        "{fault}"
    );
}

#[test]
#[ignore = "needs the kernel's loopback sound card"]
fn a_run_sees_sound_as_one_more_sensor_and_outlives_its_cable() {
    let text = format!(
        "camera.source = \"synthetic:160x120@10\"\nencoder.name = \"null\"\npolicy.name = \"still\"\nsink = \"null\"\n\
         action.fresh_within = \"5 s\"\naction.hold_after = \"10 s\"\naction.stop_after = \"20 s\"\n\
         [goals]\ncamera_to_action = \"20 s\"\nfusion = \"20 s\"\nelements_per_second = 1\n\
         [[sensor]]\nsource = \"microphone:{HEARD}\"\n\
         [[stream]]\nname = \"loudness\"\nfrom = \"sensor-0\"\nvalue = \"v0\"\nout = \"/tmp/loudness.jsonl\"\n\
         window = {{ size = \"500 ms\" }}\naggregate = \"max\"\n"
    );
    std::fs::write("/tmp/sound.toml", text).unwrap();
    let player = Player::start(16_000, tone(16_000));
    let mut child = Command::new("/bin/reflexarc")
        .args([
            "run",
            "--quiet",
            "--duration",
            "8s",
            "--config",
            "/tmp/sound.toml",
            "--report",
            "/tmp/sound-report",
        ])
        .current_dir("/tmp")
        .spawn()
        .unwrap();
    clock::sleep_until(clock::now() + Nanos::from_millis(4_000));
    let unbinding = write(Path::new(DRIVER).join("unbind"));
    clock::sleep_until(clock::now() + Nanos::from_millis(1_000));
    drop(player);
    unbinding.join().unwrap();
    write(Path::new(DRIVER).join("bind")).join().unwrap();
    let status = child.wait().unwrap();
    let report: reflexarc::telemetry::report::data::Report =
        serde_json::from_slice(&std::fs::read("/tmp/sound-report/report.json").unwrap()).unwrap();
    let intake = report.sensors[0].intake.clone().unwrap();
    assert!(status.success(), "{status} {intake:?}");
    assert_eq!(
        (intake.odd["interrupted"], intake.odd["resumed"]),
        (1, 1),
        "{intake:?}"
    );
    let loudness = std::fs::read_to_string("/tmp/loudness.jsonl").unwrap();
    assert!(loudness.lines().count() > 5, "{loudness}");
    measured(&format!(
        "{} readings in a run of 8 s with the card away in between, {} windows of them",
        intake.accepted,
        loudness.lines().count()
    ));
}
