//! Sound files as sensors, levels, and what is refused: without a sound card.

use std::path::PathBuf;

use reflexarc::clock;
use reflexarc::error::Kind;
use reflexarc::microphone::wav::Wave;
use reflexarc::rt::memory;
use reflexarc::sensor::config::SensorConfig;
use reflexarc::sensor::{Reading, SensorSource, open};
use reflexarc::units::Nanos;

use crate::{tone, wav};

/// Level, peak and zero crossings of each 10 ms of [`tone`]: numpy 2.4.6 in f64,
/// `10*log10(mean(b*b))`, `20*log10(max(abs(b)))`, `count_nonzero(diff(signbit(b)))*100`.
const NUMPY: [[f32; 3]; 10] = [
    [-14.1446, -10.2752, 800.0],
    [-14.1157, -10.3796, 900.0],
    [-14.2385, -10.3133, 900.0],
    [-14.2664, -10.2812, 900.0],
    [-14.2284, -10.5138, 800.0],
    [-14.1995, -10.4077, 900.0],
    [-14.1660, -10.3779, 900.0],
    [-14.2503, -10.3560, 900.0],
    [-14.2440, -10.3875, 900.0],
    [-14.1667, -10.2260, 800.0],
];

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.wav");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn config(path: &std::path::Path, more: &str) -> SensorConfig {
    toml::from_str(&format!("source = \"wav:{}\"\n{more}", path.display())).unwrap()
}

/// All readings of a file that lasts less than a second.
fn readings(sensor: &mut dyn SensorSource) -> Vec<Reading> {
    sensor.start().unwrap();
    let mut all = Vec::new();
    while let Some(reading) = sensor.next(clock::now() + Nanos::from_millis(300)).unwrap() {
        all.push(reading);
    }
    all
}

#[test]
fn levels_are_what_numpy_says() {
    let (_folder, path) = file(&wav(16_000, 1, &tone(1_600)));
    let mut sensor = open(&config(&path, ""), 2).unwrap();
    let readings = readings(&mut *sensor);
    assert_eq!(readings.len(), NUMPY.len());
    for (reading, expected) in readings.iter().zip(NUMPY) {
        assert_eq!(reading.source_index, 2);
        for (value, expected) in reading.values().iter().zip(expected) {
            assert!((value - expected).abs() < 1e-3, "{reading:?} {expected}");
        }
    }
    let counters = sensor.counters().unwrap();
    assert_eq!((counters.accepted.get(), counters.gaps.get()), (10, 0));
}

#[test]
fn a_reading_is_of_the_time_of_its_last_sample() {
    // 44.1 kHz at 60 readings a second: 735 samples each. At 64: 689 and 690 in turn.
    for (rate, ends) in [(60.0, [734, 1_469, 2_204]), (64.0, [688, 1_377, 2_066])] {
        let (_folder, path) = file(&wav(44_100, 1, &vec![100; 2_300]));
        let config = config(&path, &format!("microphone.readings = {rate}"));
        let mut sensor = open(&config, 0).unwrap();
        let readings = readings(&mut *sensor);
        let step = |n: usize| (readings[n].at - readings[0].at).0;
        for n in 1..3 {
            let samples = ends[n] - ends[0];
            let expected = samples * 1_000_000_000 / 44_100;
            assert!(
                (step(n) - expected).abs() <= 2,
                "{rate}: {} {expected}",
                step(n)
            );
        }
        assert!(readings.iter().all(|r| r.arrived > r.at));
        assert_eq!(
            readings.iter().map(|r| r.seq).collect::<Vec<_>>(),
            [1, 2, 3]
        );
    }
}

#[test]
fn nothing_is_allocated_once_it_runs() {
    let (_folder, path) = file(&wav(16_000, 2, &tone(1_600)));
    let mut sensor = open(
        &config(&path, "microphone = { channel = 1, repeat = true }"),
        0,
    )
    .unwrap();
    sensor.start().unwrap();
    let ledger = memory::open_ledger();
    let before = ledger.totals();
    for _ in 0..20 {
        let reading = sensor.next(clock::now() + Nanos::from_secs(60)).unwrap();
        assert!(reading.is_some(), "a file that repeats does not end");
    }
    assert_eq!(ledger.totals(), before);
}

#[test]
fn the_other_channel_is_another_sound() {
    let samples: Vec<i16> = (0..1_600)
        .flat_map(|n| [0, if n % 2 == 0 { 16_384 } else { -16_384 }])
        .collect();
    let (_folder, path) = file(&wav(16_000, 2, &samples));
    let of = |channel: u16| {
        let mut sensor = open(
            &config(&path, &format!("microphone.channel = {channel}")),
            0,
        )
        .unwrap();
        readings(&mut *sensor)[3].values().to_vec()
    };
    assert_eq!(of(0), [-120.0, -120.0, 0.0]);
    let half = -6.0206;
    let loud = of(1);
    assert!(
        (loud[0] - half).abs() < 1e-3 && (loud[1] - half).abs() < 1e-3 && loud[2] == 16_000.0,
        "{loud:?}"
    );
}

#[test]
fn files_that_are_no_sound_are_refused_with_the_reason() {
    let good = wav(16_000, 1, &tone(160));
    let mut of_another_kind = good.clone();
    of_another_kind[20] = 85; // MP3 in a WAV file.
    let mut of_8_bits = good.clone();
    of_8_bits[34] = 8;
    let mut of_no_channels = good.clone();
    of_no_channels[22] = 0;
    let cases: [(&[u8], Kind, &str); 7] = [
        (b"", Kind::BadInput, "does not begin as a WAV file"),
        (
            b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0",
            Kind::BadInput,
            "does not begin as a WAV file",
        ),
        (&good[..30], Kind::BadInput, "format is cut short"),
        (&good[..44], Kind::BadInput, "no samples"),
        (&of_another_kind, Kind::Unsupported, "kind 85"),
        (&of_8_bits, Kind::Unsupported, "8 bits"),
        (&of_no_channels, Kind::BadInput, "0 channels"),
    ];
    for (bytes, kind, why) in cases {
        let (_folder, path) = file(bytes);
        let fault = open(&config(&path, ""), 0).err().expect(why);
        assert!(fault.kind == kind && fault.why.contains(why), "{fault}");
    }
    // No byte of a header makes it panic, and none makes it wait.
    for at in 0..44 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            let _ = Wave::parse(&bytes, 0);
        }
    }
}

#[test]
fn a_recording_that_was_cut_off_is_heard_as_far_as_it_goes() {
    let mut bytes = wav(16_000, 1, &tone(480));
    // What `arecord` leaves when it is killed.
    bytes[40..44].copy_from_slice(&0x7fff_ff00_u32.to_le_bytes());
    let (_folder, path) = file(&bytes);
    let mut sensor = open(&config(&path, ""), 0).unwrap();
    assert!(
        sensor.describe().contains("cut short"),
        "{}",
        sensor.describe()
    );
    assert_eq!(readings(&mut *sensor).len(), 3);
}

#[test]
fn what_cannot_be_asked_of_a_microphone_is_refused_where_it_is_written() {
    let wrong = [
        ("source = \"microphone:default\"", "hw:CARD,DEVICE"),
        ("source = \"wav:\"", "nothing stands after"),
        (
            "source = \"wav:a\"\nmicrophone.readings = 0.5",
            "1 to 1000 readings",
        ),
        (
            "source = \"wav:a\"\nmicrophone.reading = 5",
            "unknown field",
        ),
    ];
    for (text, why) in wrong {
        let error = toml::from_str::<SensorConfig>(text)
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_microphone_that_is_not_there_is_said_so_with_what_is() {
    let config = toml::from_str::<SensorConfig>("source = \"microphone:hw:Nowhere,0\"").unwrap();
    let fault = open(&config, 0).err().unwrap();
    assert_eq!(fault.kind, Kind::NoDevice);
    assert!(fault.fix.contains("reflexarc microphones"), "{fault}");
}

#[test]
fn how_loud_it_is_is_never_taken_for_where_the_joints_are() {
    let check = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (sound, config) = (
            folder.path().join("sound.wav"),
            folder.path().join("run.toml"),
        );
        std::fs::write(&sound, wav(16_000, 1, &tone(16_000))).unwrap();
        let text = text.replace("SOUND", &format!("wav:{}", sound.display()));
        let camera = "camera.source = \"synthetic:160x120@30\"\nencoder.name = \"null\"\npolicy.name = \"still\"\n";
        std::fs::write(&config, format!("{camera}{text}")).unwrap();
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_reflexarc"))
            .args(["run", "--quiet", "--duration", "1s", "--config"])
            .arg(&config)
            .args(["--report", "report"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let actions =
            std::fs::read_to_string(folder.path().join("actions.jsonl")).unwrap_or_default();
        (
            run.status.code().unwrap(),
            String::from_utf8(run.stderr).unwrap(),
            actions,
        )
    };
    // Alone it is heard, and nothing is commanded by it.
    let (code, errors, actions) =
        check("sink = \"json:actions.jsonl\"\n[[sensor]]\nsource = \"SOUND\"\n");
    assert!(code <= 1, "{code} {errors}");
    assert!(
        actions.contains("\"targets\":[0,0]") && !actions.contains("-14."),
        "{actions}"
    );
    // Before the joints it would be taken for them.
    let (code, errors, _) =
        check("[[sensor]]\nsource = \"SOUND\"\n[[sensor]]\nsource = \"udp:127.0.0.1:0\"\n");
    assert!(
        code == 3 && errors.contains("the first [[sensor]] is a microphone"),
        "{errors}"
    );
    // And where a robot could stand behind the sink, somebody else has to say where it is.
    let (code, errors, _) = check("sink = \"udp:127.0.0.1:9\"\n[[sensor]]\nsource = \"SOUND\"\n");
    assert!(
        code == 3 && errors.contains("does not say where the joints are"),
        "{errors}"
    );
}
