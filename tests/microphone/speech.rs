//! From sound to words with the real weights, each step beside what others make of the same.

use std::path::PathBuf;

use reflexarc::inference::kernels::Isa;
use reflexarc::microphone::wav::Wave;
use reflexarc::models;
use reflexarc::rt::memory;
use reflexarc::speech::config::SpeechConfig;
use reflexarc::speech::ear::Ear;
use reflexarc::speech::mel::Mel;
use reflexarc::speech::resample::Resampler;
use reflexarc::speech::silero::Silero;
use reflexarc::speech::utterance::Utterances;
use reflexarc::speech::whisper::Whisper;
use reflexarc::speech::{CHUNK, listener};
use reflexarc::telemetry::report::data::Report;
use reflexarc::units::{MonoTime, Nanos};

/// A man reads Beckett: "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
const BECKETT: &str = "voices/beckett.wav";

/// Probabilities of speech of every eighth chunk: onnxruntime 1.23.2 on the graph of silero_vad_16k_op15.onnx, with the weights
/// of silero_vad_16k.safetensors in it (that package's graphs have others).
const ONNXRUNTIME: [f32; 39] = [
    0.03268, 0.03047, 0.99997, 0.99993, 0.99993, 0.04692, 0.02274, 0.0213, 0.99999, 0.99997,
    0.99991, 0.10221, 0.03507, 0.01987, 0.99986, 0.99975, 0.99968, 0.01699, 0.02013, 0.6115,
    0.99998, 0.99998, 0.02422, 0.02218, 0.02454, 0.01334, 0.9852, 0.99982, 0.99987, 0.03207,
    0.00668, 0.01355, 0.9958, 0.99958, 0.9997, 0.03039, 0.01051, 0.00887, 0.00974,
];

/// Its utterances: CTranslate2 4.8.5 in f32 on the same samples, greedy: the text, the mean log probability, that of no speech.
const CTRANSLATE2: [(&str, f32, f32); 6] = [
    ("Ever tried.", -0.1944, 0.0840),
    ("ever failed.", -0.1827, 0.0198),
    ("No matter.", -0.1201, 0.0264),
    ("Try again.", -0.0887, 0.0416),
    ("Fail again.", -0.3506, 0.0529),
    ("Fail better.", -0.3638, 0.0227),
];

/// A file of the models cache, fetched if it is not there.
fn cached(file: &str) -> PathBuf {
    models::ensure_files(&[file]).unwrap();
    models::path(file)
}

fn beckett() -> Wave {
    Wave::open(&cached(BECKETT), 0).unwrap()
}

fn detector() -> Silero {
    Silero::load(&cached(models::SPEECH_DETECTOR)).unwrap()
}

#[test]
fn the_probability_of_speech_is_that_of_onnxruntime() {
    let mut detector = detector();
    let wave = beckett();
    let heard: Vec<f32> = wave
        .samples
        .as_chunks::<CHUNK>()
        .0
        .iter()
        .map(|chunk| detector.hear(chunk))
        .collect();
    assert_eq!(heard.len(), 311);
    for (n, expected) in ONNXRUNTIME.iter().enumerate() {
        assert!(
            (heard[8 * n] - expected).abs() < 2e-5,
            "chunk {}: {} {expected}",
            8 * n,
            heard[8 * n]
        );
    }
}

#[test]
fn every_rate_is_brought_to_16_khz_as_scipy_does() {
    // scipy 1.17.1: `signal.resample_poly(noise, up, down)[100:106]`.
    let scipy: [(u32, [f32; 6]); 4] = [
        (
            48_000,
            [
                -0.383_580, 0.439_353, -0.152_387, -0.079_372, -0.318_096, -0.222_616,
            ],
        ),
        (
            44_100,
            [
                0.064_391, -0.227_331, 0.049_680, 0.072_910, -0.461_282, -0.049_939,
            ],
        ),
        (
            24_000,
            [
                0.073_567, -0.089_553, 0.141_457, 0.230_656, 0.067_623, 0.248_798,
            ],
        ),
        (
            8_000,
            [
                0.457_054, 0.081_309, -0.472_168, -0.618_797, -0.181_368, 0.303_034,
            ],
        ),
    ];
    for (rate, expected) in scipy {
        let mut resampler = Resampler::new(rate);
        let (mut state, mut heard) = (1_u64, Vec::new());
        for _ in 0..2_000 {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            resampler.push((state >> 16) as f32 / 32_768.0 - 0.5, |sample| {
                heard.push(sample)
            });
        }
        let from = 100 + resampler.delay() as usize;
        for (sample, expected) in heard[from..].iter().zip(expected) {
            assert!(
                (sample - expected).abs() < 2e-6,
                "{rate}: {sample} {expected}"
            );
        }
    }
}

#[test]
fn the_spectrum_is_that_of_whisper() {
    // faster-whisper 1.2.1, `FeatureExtractor()(samples padded to 30 s, padding=0)[band, window]`.
    let expected = [
        (0, [0.47897, -0.51345, -0.94679]),
        (1, [0.49073, -0.50331, -0.95671]),
        (50, [0.45702, 0.46238, -0.77201]),
        (400, [0.40385, 0.38608, -0.39771]),
        (997, [0.06812, -0.43558, -0.88519]),
        (2_999, [-0.95671, -0.95671, -0.95671]),
    ];
    let spectrum = Mel::new(Isa::best()).spectrum(&beckett().samples, 3_000);
    for (window, values) in expected {
        for (band, value) in [0, 20, 79].into_iter().zip(values) {
            let ours: f32 = spectrum[window * 80 + band];
            assert!(
                (ours - value).abs() < 3e-5,
                "window {window}, band {band}: {ours} {value}"
            );
        }
    }
}

#[test]
fn what_is_said_is_cut_where_it_ends_and_read_as_ctranslate2_reads_it() {
    let (mut out, chunks) = listener::chunks();
    let wave = beckett();
    let mut ear = Ear::new(detector(), wave.rate, None);
    // Through the ear, as from a microphone, in pieces that are no chunks.
    let ledger = memory::open_ledger();
    let (mut detector, mut cutter) = (self::detector(), Utterances::new(&SpeechConfig::default()));
    let before = ledger.totals();
    for (n, samples) in wave.samples.chunks(160).enumerate() {
        ear.hear(samples, MonoTime(n as i64 * 10_000_000), 16_000.0);
    }
    assert_eq!(
        ledger.totals(),
        before,
        "nothing is allocated on the sensor's thread"
    );
    assert!(ear.probability() < 0.1);

    models::ensure_files(&[models::RECOGNISER]).unwrap();
    let mut whisper = Whisper::load(&models::path(models::RECOGNISER), Isa::best()).unwrap();
    let mut expected = CTRANSLATE2.into_iter();
    for (n, samples) in wave.samples.as_chunks::<CHUNK>().0.iter().enumerate() {
        let chunk = reflexarc::speech::Chunk {
            first: MonoTime(n as i64 * 32_000_000),
            follows: n > 0,
            probability: detector.hear(samples),
            samples: *samples,
        };
        assert!(out.push(chunk).is_ok(), "20 s find room");
        let Some(utterance) = cutter.push(&chunk) else {
            continue;
        };
        let said = whisper
            .recognise(utterance.samples, Nanos::from_secs(30))
            .unwrap();
        let (text, sureness, no_speech) = expected.next().unwrap();
        assert_eq!((said.text.as_str(), said.cut), (text, false));
        assert!(
            (said.sureness - sureness).abs() < 0.005,
            "{said:?} {sureness}"
        );
        assert!(
            (said.no_speech - no_speech).abs() < 0.002,
            "{said:?} {no_speech}"
        );
    }
    assert_eq!((expected.count(), cutter.dropped()), (0, 0));
    drop(chunks);
}

#[test]
fn silence_and_noise_are_no_words() {
    models::ensure_files(&[models::RECOGNISER]).unwrap();
    let mut whisper = Whisper::load(&models::path(models::RECOGNISER), Isa::best()).unwrap();
    let config = SpeechConfig::default();
    let mut state = 1_u64;
    let mut noise = |loud: f32| {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        ((state >> 16) as f32 / 32_768.0 - 0.5) * loud
    };
    for loud in [0.0, 0.002, 0.5] {
        let samples: Vec<f32> = (0..32_000).map(|_| noise(loud)).collect();
        let mut detector = detector();
        let heard = samples
            .as_chunks::<CHUNK>()
            .0
            .iter()
            .map(|chunk| detector.hear(chunk));
        assert!(
            heard.fold(0.0, f32::max) < config.speech,
            "{loud}: nobody speaks"
        );
        // And if the detector were wrong, the recogniser says so itself.
        let said = whisper.recognise(&samples, config.read).unwrap();
        let refused = said.no_speech >= config.no_speech
            || said.sureness < config.sure
            || said.cut
            || !said.text.chars().any(char::is_alphanumeric);
        assert!(refused, "{loud}: {said:?}");
    }
}

#[test]
fn what_is_spoken_into_a_run_becomes_its_instruction() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "camera.source = \"scene\"\nlanguage.microphone = {{}}\n\
         [[sensor]]\nsource = \"wav:{}\"\nmicrophone.speech = true\n\
         [goals]\ncamera_to_action = \"20 s\"\nfusion = \"20 s\"\nelements_per_second = 1\n",
        cached(BECKETT).display()
    );
    std::fs::write(folder.path().join("run.toml"), text).unwrap();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_reflexarc"))
        .args([
            "run",
            "--quiet",
            "--duration",
            "14s",
            "--config",
            "run.toml",
            "--report",
            "report",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let notes = String::from_utf8(run.stderr).unwrap();
    for (number, text) in [(1, "Ever tried."), (2, "ever failed."), (3, "No matter.")] {
        assert!(
            notes.contains(&format!("the microphone: ok {number} \"{text}\"")),
            "{notes}"
        );
    }
    let report: Report =
        serde_json::from_slice(&std::fs::read(folder.path().join("report/report.json")).unwrap())
            .unwrap();
    assert!(report.elements.instructions >= 1, "{:?}", report.elements);
    for thread in report
        .threads
        .iter()
        .filter(|thread| thread.name.starts_with("sensor-"))
    {
        assert_eq!(thread.allocations, Some(0), "{thread:?}");
    }
}
