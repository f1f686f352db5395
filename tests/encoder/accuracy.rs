//! What bf16 and int8 cost on real pictures: frames of all clips of the footage, through the whole encoder in f32 and in those.

use reflexarc::capture::file::{FileConfig, FileSource};
use reflexarc::capture::{Pace, Readiness, Source};
use reflexarc::clock;
use reflexarc::features::classifier::{Classifier, pool};
use reflexarc::features::encoders::{EncoderConfig, open};
use reflexarc::features::{FeatureMap, FrameView};
use reflexarc::inference::plan::Precision;
use reflexarc::models::{self, Group};
use reflexarc::units::Nanos;

use crate::plans::cosine;

const CLIPS: [&str; 5] = [
    "bigbuckbunny.mp4",
    "bikes.mp4",
    "carphone_pristine.mp4",
    "traffic_sequence.mp4",
    "vtest.avi",
];

/// Of each clip at most, every fourth frame.
const FRAMES: usize = 60;

/// Cosines of maps; of how many frames the first class was the same; of how many that of f32 was among the first five.
#[derive(Default)]
struct Found {
    cosines: Vec<f64>,
    agreed: usize,
    near: usize,
}

fn compare(clip: &str, precision: Precision, classifier: &Classifier, found: &mut Found) {
    let path = models::path("footage").join(clip);
    let pace = Pace::Fastest;
    let mut source = FileSource::open(
        &FileConfig {
            path,
            pace,
            ..FileConfig::default()
        },
        0,
    )
    .unwrap();
    let encoders = [Precision::F32, precision].map(|precision| {
        let config = EncoderConfig {
            precision,
            ..EncoderConfig::default()
        };
        open(&config, source.format()).unwrap()
    });
    let mut encoders = encoders.map(|encoder| {
        let map = FeatureMap::new(encoder.shape());
        (encoder, map)
    });
    source.start().unwrap();
    let (mut taken, mut seen) = (0, 0);
    while taken < FRAMES {
        let now = clock::now();
        match source.wait(now + Nanos::from_secs(5)).unwrap() {
            Readiness::Ready => {}
            Readiness::Ended => break,
            other => panic!("{clip}: {other:?}"),
        }
        let Some(slot) = source.take(now).unwrap() else {
            continue;
        };
        if seen % 4 == 0 {
            taken += 1;
            let logits = encoders.each_mut().map(|(encoder, map)| {
                let frame = FrameView {
                    meta: slot.meta(),
                    bytes: slot.bytes(),
                };
                encoder.load(frame).unwrap();
                encoder.encode(map).unwrap();
                let mut pooled = vec![0.0; Classifier::CHANNELS];
                pool(map, &mut pooled);
                let mut logits = vec![0.0; Classifier::CLASSES];
                classifier.logits(&pooled, &mut logits);
                logits
            });
            let [exact, rounded] = &logits;
            let classes = 0..Classifier::CLASSES;
            let best = classes.max_by(|&a, &b| exact[a].total_cmp(&exact[b]));
            let best = rounded[best.unwrap()];
            let better = rounded.iter().filter(|&&logit| logit > best).count();
            found.agreed += usize::from(better == 0);
            found.near += usize::from(better < 5);
            let [(_, exact), (_, rounded)] = &encoders;
            found.cosines.push(cosine(rounded.values(), exact.values()));
        }
        seen += 1;
        source.give_back(slot.empty());
    }
    source.stop();
}

/// All clips, and the least of their cosines and the one in the middle.
fn all(precision: Precision) -> (Found, [f64; 2]) {
    models::ensure(&[Group::Run, Group::Footage]).unwrap();
    let classifier = Classifier::load(&crate::network::weights()).unwrap();
    let mut found = Found::default();
    for clip in CLIPS {
        let before = (found.cosines.len(), found.agreed);
        compare(clip, precision, &classifier, &mut found);
        let cosines = &found.cosines[before.0..];
        let worst = cosines.iter().copied().fold(1.0, f64::min);
        let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
        eprintln!(
            "{precision:?}, {clip}: {} frames, cosine of the map at least {worst:.5}, mean {mean:.5}; same first class in {}",
            cosines.len(),
            found.agreed - before.1
        );
    }
    let frames = found.cosines.len();
    found.cosines.sort_by(f64::total_cmp);
    let [worst, median] = [found.cosines[0], found.cosines[frames / 2]];
    eprintln!(
        "{precision:?}, all: {frames} frames, cosine at least {worst:.5}, median {median:.5}; same first class in {}, among the \
         first five in {}",
        found.agreed, found.near
    );
    assert!(frames >= 200, "{frames} frames are too few to say anything");
    (found, [worst, median])
}

#[test]
fn int8_keeps_the_promised_cosine_and_classes_on_real_pictures() {
    if !reflexarc::inference::kernels::Isa::best().takes_bytes() {
        eprintln!("skipped: this processor cannot multiply bytes");
        return;
    }
    let (found, [worst, median]) = all(Precision::Int8);
    let (frames, agreed) = (found.cosines.len(), found.agreed);
    assert!(worst > 0.97 && median > 0.99, "{worst}, {median}");
    assert!(agreed * 4 >= frames * 3, "{agreed} of {frames}");
    assert!(found.near * 50 >= frames * 49, "{} of {frames}", found.near);
}

#[test]
fn bf16_keeps_the_promised_cosine_and_classes_on_real_pictures() {
    if !reflexarc::inference::kernels::Isa::best().has_pairs() {
        eprintln!("skipped: this processor cannot multiply pairs of bf16");
        return;
    }
    let (found, [worst, median]) = all(Precision::Bf16);
    let (frames, agreed) = (found.cosines.len(), found.agreed);
    assert!(worst > 0.99 && median > 0.998, "{worst}, {median}");
    assert!(agreed * 10 >= frames * 9, "{agreed} of {frames}");
    assert!(found.near == frames, "{} of {frames}", found.near);
}
