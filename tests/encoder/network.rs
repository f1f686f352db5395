//! The whole network, on real weights and real photographs.

use std::path::PathBuf;
use std::sync::Once;

use reflexarc::error::{Kind, StepError};
use reflexarc::features::efficientnet_lite0::{
    Backend, Classifier, EfficientNetLite0, INPUT_LEN, SHAPE, pool,
};
use reflexarc::features::{FeatureMap, FeatureShape};
use reflexarc::inference::kernels::Isa;
use reflexarc::models::{self, Group};

use crate::{allocations, photo};

/// A file of the models cache, fetched if it is missing.
pub fn cached(file: &str) -> PathBuf {
    static FETCHED: Once = Once::new();
    FETCHED.call_once(|| {
        models::ensure(&[Group::Run]).unwrap_or_else(|fault| panic!("{fault}"));
    });
    models::path(file)
}

pub fn weights() -> PathBuf {
    cached(models::ENCODER)
}

/// The fused backend of each instruction set that this processor has.
fn fused() -> impl Iterator<Item = Backend> {
    Isa::available().map(|isa| match isa.name() {
        "avx512" => Backend::FusedAvx512,
        "avx2" => Backend::FusedAvx2,
        "neon" => Backend::FusedNeon,
        "portable" => Backend::FusedPortable,
        other => panic!("no backend for {other}"),
    })
}

/// What onnxruntime 1.31 made of a photograph: class, its logit, the length of the pooled features, the first five
/// of them. The graph for it was built from the same weights by another program, and Pillow prepared the
/// photograph.
struct Golden {
    photo: &'static str,
    class: usize,
    logit: f32,
    length: f32,
    first: [f32; 5],
}

const GOLDEN: [Golden; 3] = [
    Golden {
        photo: "chelsea",
        class: 282, // tiger cat
        logit: 9.21498,
        length: 15.55332,
        first: [0.09529, 0.04349, 0.0, 0.44387, 1.66424],
    },
    Golden {
        photo: "coffee",
        class: 967, // espresso
        logit: 11.40244,
        length: 13.82191,
        first: [0.05946, 0.09497, 1.32593, 0.0, 0.0477],
    },
    Golden {
        photo: "motorcycle_left",
        class: 665, // moped
        logit: 8.01538,
        length: 11.27997,
        first: [0.0, 0.68086, 0.0, 0.51755, 0.00663],
    },
];

/// The golden numbers have five decimals, and sums of 1280 products in another order differ in the sixth.
const GOLDEN_TOLERANCE: f32 = 2e-5;

#[test]
fn real_photographs_give_the_numbers_that_another_runtime_computed() {
    let classifier = Classifier::load(&weights()).unwrap();
    for backend in fused().chain([Backend::Candle]) {
        let mut network = EfficientNetLite0::load(&weights(), backend).unwrap();
        let mut map = FeatureMap::new(SHAPE);
        for golden in &GOLDEN {
            network.run(&photo::input(golden.photo), &mut map).unwrap();
            let mut pooled = vec![0.0; Classifier::CHANNELS];
            pool(&map, &mut pooled);
            let mut logits = vec![0.0; Classifier::CLASSES];
            classifier.logits(&pooled, &mut logits);
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            let length = pooled.iter().map(|v| v * v).sum::<f32>().sqrt();

            let name = golden.photo;
            let near = |what: &str, found: f32, expected: f32| {
                assert!(
                    (found - expected).abs() < GOLDEN_TOLERANCE,
                    "{backend:?}, {name}: {what} is {found}, expected {expected}"
                );
            };
            assert_eq!(best, Some(golden.class), "{backend:?}, {name}");
            near("logit", logits[golden.class], golden.logit);
            near("|features|", length, golden.length);
            for (i, expected) in golden.first.into_iter().enumerate() {
                near(&format!("feature {i}"), pooled[i], expected);
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_what_candle_gives() {
    let mut candle = EfficientNetLite0::load(&weights(), Backend::Candle).unwrap();
    for name in GOLDEN.map(|g| g.photo) {
        let image = photo::input(name);
        let mut expected = FeatureMap::new(SHAPE);
        candle.run(&image, &mut expected).unwrap();
        for backend in fused() {
            let mut network = EfficientNetLite0::load(&weights(), backend).unwrap();
            let mut found = FeatureMap::new(SHAPE);
            network.run(&image, &mut found).unwrap();
            let error = found
                .values()
                .iter()
                .zip(expected.values())
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            // 50 layers of sums in another order; the values reach 6.
            assert!(error < 1e-4, "{backend:?}, {name}: differs by {error}");
        }
    }
}

#[test]
fn a_forward_allocates_nothing() {
    let image = photo::input("chelsea");
    let classifier = Classifier::load(&weights()).unwrap();
    for backend in fused() {
        let mut network = EfficientNetLite0::load(&weights(), backend).unwrap();
        let mut map = FeatureMap::new(SHAPE);
        let mut pooled = vec![0.0; Classifier::CHANNELS];
        let mut logits = vec![0.0; Classifier::CLASSES];
        let count = allocations(|| {
            for _ in 0..3 {
                network.run(&image, &mut map).unwrap();
                pool(&map, &mut pooled);
                classifier.logits(&pooled, &mut logits);
            }
        });
        assert_eq!(count, 0, "{backend:?}");
    }
}

#[test]
fn a_forward_leaves_nothing_behind_for_the_next() {
    let image = photo::input("coffee");
    for backend in fused() {
        let mut network = EfficientNetLite0::load(&weights(), backend).unwrap();
        let mut first = FeatureMap::new(SHAPE);
        network.run(&image, &mut first).unwrap();
        let mut second = FeatureMap::new(SHAPE);
        network
            .run(&vec![f32::NAN; INPUT_LEN], &mut second)
            .unwrap();
        network.run(&image, &mut second).unwrap();
        assert_eq!(first.values(), second.values(), "{backend:?}");
    }
}

#[test]
fn an_input_that_is_not_a_number_is_not_hidden_by_the_limits_of_relu6() {
    for backend in fused().chain([Backend::Candle]) {
        let mut network = EfficientNetLite0::load(&weights(), backend).unwrap();
        let mut image = vec![0.0; INPUT_LEN];
        image[INPUT_LEN / 2] = f32::NAN;
        let mut map = FeatureMap::new(SHAPE);
        network.run(&image, &mut map).unwrap();
        assert!(map.values().iter().any(|v| v.is_nan()), "{backend:?}");
    }
}

#[test]
fn an_image_or_a_map_of_another_size_is_refused() {
    let mut network = EfficientNetLite0::load(&weights(), Backend::Fused).unwrap();
    let mut map = FeatureMap::new(SHAPE);
    let short = vec![0.0; INPUT_LEN - 1];
    assert_eq!(network.run(&short, &mut map), Err(StepError::Compute));
    let image = vec![0.0; INPUT_LEN];
    let mut turned = FeatureMap::new(FeatureShape {
        rows: 1,
        columns: 49,
        ..SHAPE
    });
    assert_eq!(network.run(&image, &mut turned), Err(StepError::Compute));
}

#[test]
fn a_backend_that_the_processor_lacks_is_explained() {
    for (backend, name) in [
        (Backend::FusedAvx512, "avx512"),
        (Backend::FusedAvx2, "avx2"),
        (Backend::FusedNeon, "neon"),
    ] {
        let loaded = EfficientNetLite0::load(&weights(), backend);
        if Isa::named(name).is_some() {
            assert_eq!(loaded.unwrap().isa(), name);
        } else {
            let fault = loaded.err().unwrap();
            assert_eq!(fault.kind, Kind::Unsupported);
            assert!(fault.why.contains("portable"), "{fault}");
        }
    }
    let fastest = EfficientNetLite0::load(&weights(), Backend::Fused).unwrap();
    assert_eq!(fastest.isa(), Isa::best().name());
}

#[test]
fn a_class_seen_at_every_position_averages_to_its_logit() {
    let classifier = Classifier::load(&weights()).unwrap();
    let mut network = EfficientNetLite0::load(&weights(), Backend::Fused).unwrap();
    let mut map = FeatureMap::new(SHAPE);
    network.run(&photo::input("chelsea"), &mut map).unwrap();
    let mut pooled = vec![0.0; Classifier::CHANNELS];
    pool(&map, &mut pooled);
    let positions = (0..SHAPE.rows).flat_map(|r| (0..SHAPE.columns).map(move |c| (r, c)));
    let sum: f32 = positions
        .map(|(r, c)| classifier.logit(282, map.at(r, c)))
        .sum();
    assert!((sum / 49.0 - classifier.logit(282, &pooled)).abs() < 1e-4);
}
