//! The text encoder on the plan against the same weights on candle.

use std::path::PathBuf;

use reflexarc::inference::kernels::Isa;
use reflexarc::inference::plan::{Input, Precision};
use reflexarc::inference::reference::Reference;
use reflexarc::language::{MiniLm, minilm};
use reflexarc::models::{self, Group, class_names};

use crate::allocations;

/// Between two runtimes that add in another order, on vectors of length 1.
const ERROR_MAX: f32 = 1e-5;

fn folder() -> PathBuf {
    models::ensure(&[Group::Run]).unwrap();
    models::path(models::TEXT_ENCODER)
}

/// Words from all over the vocabulary between the marks of a sentence.
fn tokens(len: usize) -> Vec<u32> {
    let words = (0..len as u32 - 2).map(|i| 1000 + i * 7919 % 29_000);
    [101].into_iter().chain(words).chain([102]).collect()
}

#[test]
fn sentences_of_any_length_give_what_candle_gives() {
    let network = minilm::network(&folder()).unwrap();
    let reference = Reference::new(&network).unwrap();
    for isa in Isa::available() {
        let mut encoder = MiniLm::load_for(&folder(), isa, Precision::F32).unwrap();
        for len in [2, 3, 9, 16, 37, 64, minilm::TOKENS_MAX] {
            let tokens = tokens(len);
            let pooled = reference.run(Input::Words(&tokens), &[len]).unwrap();
            let length = pooled.iter().map(|v| v * v).sum::<f32>().sqrt();
            let found = encoder.embed(&tokens).unwrap();
            let pairs = found.iter().zip(&pooled);
            let error = pairs
                .map(|(a, b)| (a - b / length).abs())
                .fold(0.0, f32::max);
            assert!(error < ERROR_MAX, "{isa:?}, {len} tokens: {error}");
        }
    }
}

#[test]
fn a_sentence_is_embedded_without_allocation() {
    let mut encoder = MiniLm::load(&folder()).unwrap();
    for len in [2, 16, minilm::TOKENS_MAX] {
        let tokens = tokens(len);
        let count = allocations(|| {
            encoder.embed(&tokens).unwrap();
        });
        assert_eq!(count, 0, "{len} tokens");
    }
}

#[test]
fn bf16_and_int8_keep_the_promised_cosine_on_a_thousand_real_texts() {
    let names = class_names::load(&models::path(models::CLASS_NAMES)).unwrap();
    let instructions = names.iter().map(|name| {
        let name = name.split(',').next().unwrap_or(name);
        format!("look at the {name} and then move slowly to the left")
    });
    let texts: Vec<String> = names
        .iter()
        .cloned()
        .chain(instructions.take(200))
        .collect();
    let load = |precision| MiniLm::load_for(&folder(), Isa::best(), precision).unwrap();
    let exact = load(Precision::F32).encode_all(&texts).unwrap();
    let least = |precision, least: f32| {
        let rounded = load(precision).encode_all(&texts).unwrap();
        let worst = worst_cosine(precision, &exact, &rounded);
        assert!(worst > least, "{precision:?}: {worst}");
    };
    least(Precision::Bf16, 0.9999);
    if Isa::best().takes_bytes() {
        least(Precision::Int8, 0.985);
    }
}

/// The least cosine; prints more.
fn worst_cosine(precision: Precision, exact: &[[f32; 384]], rounded: &[[f32; 384]]) -> f32 {
    let pairs = exact.iter().zip(rounded);
    let cosines = pairs
        .clone()
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a * b).sum());
    let (worst, sum) = cosines.fold((1.0f32, 0.0f32), |(worst, sum), cosine: f32| {
        (worst.min(cosine), sum + cosine)
    });
    let differences = pairs.flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).abs()));
    let largest = differences.fold(0.0, f32::max);
    let mean = sum / exact.len() as f32;
    eprintln!(
        "{precision:?}, {} texts: cosine at least {worst:.6}, mean {mean:.6}; largest difference {largest:.5}",
        exact.len()
    );
    worst
}

#[test]
fn tokens_that_the_model_does_not_know_are_refused_with_a_reason() {
    let mut encoder = MiniLm::load(&folder()).unwrap();
    for tokens in [&[][..], &[101, 30_522, 102], &[u32::MAX], &[101; 257]] {
        let fault = encoder.embed(tokens).unwrap_err();
        assert!(fault.why.contains("token"), "{fault}");
    }
    assert!(encoder.embed(&[101, 102]).is_ok());
}
