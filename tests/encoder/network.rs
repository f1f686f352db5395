//! The networks that have real weights, on real photographs.

use std::path::PathBuf;
use std::sync::Once;

use reflexarc::error::{Kind, Result, StepError};
use reflexarc::features::classifier::{Classifier, pool};
use reflexarc::features::encoders::{EncoderConfig, NetworkEncoder};
use reflexarc::features::networks::Model;
use reflexarc::features::{FeatureMap, FeatureShape};
use reflexarc::frame::{FrameFormat, PixelFormat};
use reflexarc::inference::engine::Backend;
use reflexarc::inference::kernels::Isa;
use reflexarc::models::{self, Group};

use crate::{allocations, photo};

/// A file of the models cache, fetched if it is missing.
pub fn cached(file: &str) -> PathBuf {
    static FETCHED: Once = Once::new();
    FETCHED.call_once(|| {
        models::ensure(&[Group::Run, Group::Encoders]).unwrap_or_else(|fault| panic!("{fault}"));
    });
    models::path(file)
}

pub fn weights() -> PathBuf {
    cached(models::ENCODER)
}

const MODEL: Model = Model::EfficientNetLite0;
const SIZE: usize = 224;

/// A plan on each instruction set that this processor has.
fn plans() -> impl Iterator<Item = Backend> {
    Isa::available().map(Backend::on)
}

fn load(backend: Backend) -> Result<NetworkEncoder> {
    load_model(MODEL, backend)
}

fn load_model(model: Model, backend: Backend) -> Result<NetworkEncoder> {
    let config = EncoderConfig {
        backend,
        ..EncoderConfig::default()
    };
    let format = FrameFormat::packed(PixelFormat::Grey, 64, 48);
    let weights = cached(model.weights().unwrap());
    NetworkEncoder::new(model, &weights, &config, format)
}

/// What another runtime made of a photograph: class, its logit, the length of the pooled features, the first five of them.
/// Pillow prepared the photograph.
struct Golden {
    model: Model,
    photo: &'static str,
    class: usize,
    logit: f32,
    length: f32,
    first: [f32; 5],
}

/// A numbered one of EfficientNet-Lite.
const fn golden(
    model: Model,
    photo: &'static str,
    (class, logit): (usize, f32),
    length: f32,
    first: [f32; 5],
) -> Golden {
    Golden {
        model,
        photo,
        class,
        logit,
        length,
        first,
    }
}

/// Tiger cat or Egyptian cat, espresso, moped. Lite0 by onnxruntime 1.31, whose graph another program had built from the same
/// weights; Lite1 and Lite2 by PyTorch 2.15 with the package efficientnet-lite-pytorch 0.1.0.
const GOLDEN: [Golden; 9] = {
    use Model::{
        EfficientNetLite0 as LITE0, EfficientNetLite1 as LITE1, EfficientNetLite2 as LITE2,
    };
    [
        golden(
            LITE0,
            "chelsea",
            (282, 9.21498),
            15.55332,
            [0.09529, 0.04349, 0.0, 0.44387, 1.66424],
        ),
        golden(
            LITE0,
            "coffee",
            (967, 11.40244),
            13.82191,
            [0.05946, 0.09497, 1.32593, 0.0, 0.0477],
        ),
        golden(
            LITE0,
            "motorcycle_left",
            (665, 8.01538),
            11.27997,
            [0.0, 0.68086, 0.0, 0.51755, 0.00663],
        ),
        golden(
            LITE1,
            "chelsea",
            (285, 8.12645),
            13.01609,
            [0.08807, 0.0, 0.05199, 0.0, 0.0],
        ),
        golden(
            LITE1,
            "coffee",
            (967, 7.49402),
            10.15776,
            [0.0, 0.08876, 0.0, 0.00167, 0.02403],
        ),
        golden(
            LITE1,
            "motorcycle_left",
            (665, 6.36783),
            9.91372,
            [0.20464, 0.0, 0.00031, 0.03427, 0.0],
        ),
        golden(
            LITE2,
            "chelsea",
            (285, 8.48558),
            11.78824,
            [0.0, 0.5, 0.02543, 0.11429, 0.32546],
        ),
        golden(
            LITE2,
            "coffee",
            (967, 9.53250),
            10.48652,
            [0.13186, 0.0, 0.25475, 0.01276, 0.0],
        ),
        golden(
            LITE2,
            "motorcycle_left",
            (665, 5.86851),
            9.71451,
            [0.0, 0.0, 0.0, 0.20317, 0.0],
        ),
    ]
};

/// The golden numbers have five decimals, and sums of 1280 products in another order differ in the sixth.
const GOLDEN_TOLERANCE: f32 = 2e-5;

#[test]
fn real_photographs_give_the_numbers_that_another_runtime_computed() {
    for golden in &GOLDEN {
        let model = golden.model;
        let classifier = Classifier::load(&cached(model.weights().unwrap())).unwrap();
        let picture = photo::input(golden.photo, model.input().width);
        // candle's way there is the same for all.
        let candle = (model == MODEL).then_some(Backend::Candle);
        for backend in plans().chain(candle) {
            let mut network = load_model(model, backend).unwrap();
            let mut map = FeatureMap::new(model.map());
            network.encode_picture(&picture, &mut map).unwrap();
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
                    "{model:?}, {backend:?}, {name}: {what} is {found}, expected {expected}"
                );
            };
            assert_eq!(best, Some(golden.class), "{model:?}, {backend:?}, {name}");
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
    let mut candle = load(Backend::Candle).unwrap();
    for name in ["chelsea", "coffee", "motorcycle_left"] {
        let image = photo::input(name, SIZE);
        let mut expected = FeatureMap::new(MODEL.map());
        candle.encode_picture(&image, &mut expected).unwrap();
        for backend in plans() {
            let mut network = load(backend).unwrap();
            let mut found = FeatureMap::new(MODEL.map());
            network.encode_picture(&image, &mut found).unwrap();
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
    let image = photo::input("chelsea", SIZE);
    let classifier = Classifier::load(&weights()).unwrap();
    for backend in plans() {
        let mut network = load(backend).unwrap();
        let mut map = FeatureMap::new(MODEL.map());
        let mut pooled = vec![0.0; Classifier::CHANNELS];
        let mut logits = vec![0.0; Classifier::CLASSES];
        let count = allocations(|| {
            for _ in 0..3 {
                network.encode_picture(&image, &mut map).unwrap();
                pool(&map, &mut pooled);
                classifier.logits(&pooled, &mut logits);
            }
        });
        assert_eq!(count, 0, "{backend:?}");
    }
}

#[test]
fn a_forward_leaves_nothing_behind_for_the_next() {
    let image = photo::input("coffee", SIZE);
    for backend in plans() {
        let mut network = load(backend).unwrap();
        let mut first = FeatureMap::new(MODEL.map());
        network.encode_picture(&image, &mut first).unwrap();
        let mut second = FeatureMap::new(MODEL.map());
        let nothing = vec![f32::NAN; MODEL.input().len()];
        let refused = network.encode_picture(&nothing, &mut second);
        assert_eq!(refused, Err(StepError::NotFinite));
        network.encode_picture(&image, &mut second).unwrap();
        assert_eq!(first.values(), second.values(), "{backend:?}");
    }
}

#[test]
fn an_input_that_is_not_a_number_is_not_hidden_by_the_limits_of_relu6() {
    for backend in plans().chain([Backend::Candle]) {
        let mut network = load(backend).unwrap();
        let mut image = vec![0.0; MODEL.input().len()];
        image[MODEL.input().len() / 2] = f32::NAN;
        let mut map = FeatureMap::new(MODEL.map());
        let found = network.encode_picture(&image, &mut map);
        assert_eq!(found, Err(StepError::NotFinite), "{backend:?}");
    }
}

#[test]
fn an_image_or_a_map_of_another_size_is_replans() {
    let mut network = load(Backend::Plan).unwrap();
    let mut map = FeatureMap::new(MODEL.map());
    let short = vec![0.0; MODEL.input().len() - 1];
    assert_eq!(
        network.encode_picture(&short, &mut map),
        Err(StepError::Compute)
    );
    let image = vec![0.0; MODEL.input().len()];
    let mut turned = FeatureMap::new(FeatureShape {
        rows: 1,
        columns: 49,
        ..MODEL.map()
    });
    assert_eq!(
        network.encode_picture(&image, &mut turned),
        Err(StepError::Compute)
    );
}

#[test]
fn a_backend_that_the_processor_lacks_is_explained() {
    for (backend, name) in [
        (Backend::PlanAvx512, "avx512"),
        (Backend::PlanAvx2, "avx2"),
        (Backend::PlanNeon, "neon"),
    ] {
        let loaded = load(backend);
        if Isa::named(name).is_some() {
            assert_eq!(loaded.unwrap().computes_on(), name);
        } else {
            let fault = loaded.err().unwrap();
            assert_eq!(fault.kind, Kind::Unsupported);
            assert!(fault.why.contains("portable"), "{fault}");
        }
    }
    let fastest = load(Backend::Plan).unwrap();
    assert_eq!(fastest.computes_on(), Isa::best().name());
}

#[test]
fn a_class_seen_at_every_position_averages_to_its_logit() {
    let classifier = Classifier::load(&weights()).unwrap();
    let mut network = load(Backend::Plan).unwrap();
    let mut map = FeatureMap::new(MODEL.map());
    network
        .encode_picture(&photo::input("chelsea", SIZE), &mut map)
        .unwrap();
    let mut pooled = vec![0.0; Classifier::CHANNELS];
    pool(&map, &mut pooled);
    let positions =
        (0..MODEL.map().rows).flat_map(|r| (0..MODEL.map().columns).map(move |c| (r, c)));
    let sum: f32 = positions
        .map(|(r, c)| classifier.logit(282, map.at(r, c)))
        .sum();
    assert!((sum / 49.0 - classifier.logit(282, &pooled)).abs() < 1e-4);
}
