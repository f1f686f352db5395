//! Promises of the text encoder and of the instruction sources.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_macros,
    reason = "tests stop where they fail"
)]

use std::sync::OnceLock;

use reflexarc::language::{self, MiniLm};
use reflexarc::models::{self, Group};

/// The real encoder, loaded once.
fn encoder() -> &'static MiniLm {
    static ENCODER: OnceLock<MiniLm> = OnceLock::new();
    language::keep_candle_on_this_thread();
    ENCODER.get_or_init(|| {
        models::ensure(&[Group::Run]).unwrap();
        MiniLm::load(&models::path(models::TEXT_ENCODER)).unwrap()
    })
}

fn cosine(a: &str, b: &str) -> f32 {
    let (a, b) = (encoder().encode(a).unwrap(), encoder().encode(b).unwrap());
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

fn near(found: f32, expected: f32, tolerance: f32) {
    assert!(
        (found - expected).abs() < tolerance,
        "{found} instead of {expected}"
    );
}

#[test]
fn the_encoder_reproduces_the_golden_numbers() {
    let embedding = encoder().encode("pick up the red block").unwrap();
    // From an independent implementation in numpy.
    for (found, expected) in embedding
        .iter()
        .zip([-0.05087, 0.00674, -0.05883, 0.03679, 0.03644, 0.03004])
    {
        near(*found, expected, 1e-5);
    }
    near(embedding.iter().map(|v| v * v).sum(), 1.0, 1e-5);
    let red = "pick up the red block";
    let drawer = "open the drawer";
    near(cosine(red, "grasp the red cube"), 0.54, 0.006);
    near(
        cosine(drawer, "pull the handle to open the drawer"),
        0.79,
        0.006,
    );
    near(cosine(red, "what is the weather today"), 0.02, 0.006);
    near(cosine(drawer, "what is the weather today"), -0.01, 0.006);
}
