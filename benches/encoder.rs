//! How long does one forward of the vision encoder take, how much faster is that than candle, and how far from what
//! the core can do at most?

mod support;

use std::cell::RefCell;
use std::path::PathBuf;

use reflexarc::features::FeatureMap;
use reflexarc::features::efficientnet_lite0::{
    Backend, Classifier, EfficientNetLite0, INPUT_LEN, SHAPE, pool, spec,
};
use reflexarc::inference::kernels::Isa;
use reflexarc::models::{self, Group};
use support::{Bench, Peer, Summary, peak};

/// Between two runtimes that add in another order, over 50 layers; the features reach 6.
const ERROR_MAX: f32 = 1e-4;

fn main() {
    let mut bench = Bench::start(
        "encoder",
        "How long does one forward of EfficientNet-Lite0 take on one core?",
    );
    let weights = weights();
    let image = image();
    let mut candle = load(&weights, Backend::Candle);
    let mut fused: Vec<EfficientNetLite0> = [
        ("avx512", Backend::FusedAvx512),
        ("avx2", Backend::FusedAvx2),
        ("neon", Backend::FusedNeon),
        ("portable", Backend::FusedPortable),
    ]
    .into_iter()
    .filter(|(name, _)| Isa::named(name).is_some())
    .map(|(_, backend)| load(&weights, backend))
    .collect();
    check(&mut bench, &mut candle, &mut fused, &image);

    let map = RefCell::new(FeatureMap::new(SHAPE));
    let forward = |network: &mut EfficientNetLite0| {
        let done = network.run(&image, &mut map.borrow_mut());
        done.expect("the image and the map have the network's sizes");
    };
    let [fastest, ..] = &mut fused[..] else {
        unreachable!("the portable backend is always there")
    };
    let name = format!("fused {}", fastest.isa());
    let alone = bench.compare(
        "one forward after the other, one core",
        1000,
        &mut [Peer::timed(&name, 1, || forward(fastest))],
    );
    let operations = peak::multiply_adds();
    if operations > 0 {
        let mut multiply_add = || {
            peak::multiply_adds();
        };
        let peak = bench.compare(
            "the core's peak, f32",
            1000,
            &mut [Peer::timed(
                "multiply-add in registers",
                operations,
                &mut multiply_add,
            )],
        );
        note_roof(&mut bench, &alone[0], &peak[0]);
    }
    let mut peers: Vec<Peer<'_>> = fused
        .iter_mut()
        .map(|network| Peer::timed(format!("fused {}", network.isa()), 1, || forward(network)))
        .collect();
    bench.compare("instruction sets in turn, one core", 500, &mut peers);
    drop(peers);
    bench.compare(
        "against candle (fused on one core, candle on all)",
        30,
        &mut [
            Peer::timed(&name, 1, || forward(&mut fused[0])),
            Peer::timed("candle", 1, || forward(&mut candle)),
        ],
    );
    classify(&mut bench, &weights, &map.borrow());
    bench.finish();
}

/// Every backend gives what candle gives, or the times mean nothing.
fn check(
    bench: &mut Bench,
    candle: &mut EfficientNetLite0,
    fused: &mut [EfficientNetLite0],
    image: &[f32],
) {
    let mut expected = FeatureMap::new(SHAPE);
    candle.run(image, &mut expected).expect("candle runs");
    for network in fused {
        let mut found = FeatureMap::new(SHAPE);
        network.run(image, &mut found).expect("the sizes are right");
        let pairs = found.values().iter().zip(expected.values());
        let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        bench.note(
            &format!("largest difference to candle, {}", network.isa()),
            error,
        );
        assert!(error < ERROR_MAX, "{} differs by {error}", network.isa());
    }
}

/// The fastest forward beside the core's peak, both at their best of the same run.
#[expect(clippy::cast_precision_loss, reason = "printed to three digits")]
fn note_roof(bench: &mut Bench, forward: &Summary, peak: &Summary) {
    let gflops = 2.0 / peak.min();
    let floor = spec::multiply_adds() as f64 * peak.min() / 1e6;
    let share = floor * 1e6 / forward.min() * 100.0;
    bench.note(
        "multiply-adds of a forward, millions",
        spec::multiply_adds() / 1_000_000,
    );
    bench.note("peak of the core, f32 GFLOP/s", round(gflops));
    bench.note("a forward at the peak, ms", round(floor));
    bench.note("share of the peak that a forward reaches, %", round(share));
}

/// What the gaze policy adds: pooling and all logits.
fn classify(bench: &mut Bench, weights: &std::path::Path, map: &FeatureMap) {
    let classifier = Classifier::load(weights).expect("the same file as the network's");
    let mut pooled = vec![0.0; Classifier::CHANNELS];
    let mut logits = vec![0.0; Classifier::CLASSES];
    bench.compare(
        "from map to classes",
        1000,
        &mut [Peer::timed("pool and 1000 logits", 1, || {
            pool(map, &mut pooled);
            classifier.logits(&pooled, &mut logits);
        })],
    );
}

fn load(weights: &std::path::Path, backend: Backend) -> EfficientNetLite0 {
    EfficientNetLite0::load(weights, backend).unwrap_or_else(|fault| panic!("{fault}"))
}

/// A picture of smooth gradients: the time of a forward does not depend on the values.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn image() -> Vec<f32> {
    (0..INPUT_LEN)
        .map(|i| (i % 251) as f32 / 125.0 - 1.0)
        .collect()
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The encoder's file in the models cache, fetched if it is missing.
fn weights() -> PathBuf {
    models::ensure(&[Group::Run]).unwrap_or_else(|fault| panic!("{fault}"));
    models::path(models::ENCODER)
}
