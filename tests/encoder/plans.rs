//! Plans against candle on networks with random weights, and what a plan does with wrong input.

use std::panic::{AssertUnwindSafe, catch_unwind};

use reflexarc::inference::kernels::Isa;
use reflexarc::inference::network::{Activation, Network};
use reflexarc::inference::plan::{Input, Limits, Plan, Precision};
use reflexarc::inference::reference::Reference;

use crate::allocations;
use crate::made_up::{linear, vision, weights};
use crate::seeded::Seeded;

/// Between two runtimes that add in another order, relative to the largest value.
const ERROR_MAX: f32 = 1e-4;

pub fn assert_equal(found: &[f32], expected: &[f32], case: &str) {
    assert_eq!(found.len(), expected.len(), "{case}");
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let pairs = found.iter().zip(expected);
    let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(
        error <= ERROR_MAX * largest,
        "{case}: differs by {error} where the largest value is {largest}"
    );
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn a_vision_transformer_gives_what_candle_gives() {
    for seed in 0..12 {
        let mut random = Seeded(seed);
        let heads = random.from(1..=3);
        let (inputs, columns) = (random.from(1..=50), heads * 16 * random.from(1..=3));
        let lengths: Vec<usize> = (0..random.from(1..=3))
            .map(|_| random.from(1..=50))
            .collect();
        let net = vision(&mut random, inputs, columns, heads, 50);
        let rows: usize = lengths.iter().sum();
        let input = random.values(rows * inputs);
        let reference = Reference::new(&net).unwrap();
        let expected = reference.run(Input::Rows(&input), &lengths).unwrap();
        let limits = Limits {
            rows,
            sequences: lengths.len(),
        };
        for isa in Isa::available() {
            let case = format!("seed {seed}, {isa:?}, {lengths:?}");
            let mut plan = Plan::new(&net, isa, Precision::F32, limits);
            let mut found = vec![0.0; expected.len()];
            plan.run(Input::Rows(&input), &lengths, &mut found);
            assert_equal(&found, &expected, &case);
            // Again, and by a clone: nothing is left of the run before.
            let mut again = vec![0.0; expected.len()];
            plan.clone().run(Input::Rows(&input), &lengths, &mut again);
            assert_eq!(found, again, "{case}");
            plan.run(Input::Rows(&input), &lengths, &mut again);
            assert_eq!(found, again, "{case}");

            let mut rounded = Plan::new(&net, isa, Precision::Bf16, limits);
            rounded.run(Input::Rows(&input), &lengths, &mut found);
            let cosine = cosine(&found, &expected);
            assert!(cosine > 0.999, "{case}, bf16: a cosine of {cosine}");
        }
    }
}

#[test]
fn sums_and_shared_values_give_what_candle_gives() {
    let mut random = Seeded(1);
    let columns = 24;
    let mut net = Network::default();
    let input = net.rows(columns);
    let layer = |random: &mut Seeded| linear(random, columns, columns);
    // A value with two users, a sum with itself, a sum of two products, and one behind an activation.
    let a = net.linear(input, layer(&mut random));
    let b = net.activate(a, Activation::Relu);
    let c = net.linear(b, layer(&mut random));
    let d = net.linear(b, layer(&mut random));
    let e = net.add(c, d);
    let f = net.add(e, e);
    let g = net.linear(f, layer(&mut random));
    let g = net.activate(g, Activation::Gelu);
    let h = net.add(g, input);
    let i = net.linear(h, layer(&mut random));
    let i = net.add(i, f);
    net.activate(i, Activation::Relu6);
    let input = random.values(7 * columns);
    let reference = Reference::new(&net).unwrap();
    let expected = reference.run(Input::Rows(&input), &[7]).unwrap();
    let limits = Limits {
        rows: 7,
        sequences: 1,
    };
    for isa in Isa::available() {
        let mut found = vec![0.0; expected.len()];
        Plan::new(&net, isa, Precision::F32, limits).run(Input::Rows(&input), &[7], &mut found);
        assert_equal(&found, &expected, isa.name());
    }
}

#[test]
fn a_run_does_not_allocate() {
    let mut random = Seeded(7);
    let net = vision(&mut random, 20, 48, 3, 40);
    let limits = Limits {
        rows: 40,
        sequences: 2,
    };
    for isa in Isa::available() {
        let input = random.values(40 * 20);
        for (lengths, precision) in [
            (&[40][..], Precision::F32),
            (&[1], Precision::F32),
            (&[25, 15], Precision::F32),
            (&[40], Precision::Bf16),
            (&[3, 2], Precision::Bf16),
        ] {
            let mut plan = Plan::new(&net, isa, precision, limits);
            let rows: usize = lengths.iter().sum();
            let outputs = lengths
                .iter()
                .map(|&len| net.output().rows.of(len))
                .sum::<usize>();
            let mut output = vec![0.0; outputs * net.output().columns];
            let count = allocations(|| {
                plan.run(Input::Rows(&input[..rows * 20]), lengths, &mut output);
            });
            assert_eq!(count, 0, "{isa:?}, {lengths:?}");
        }
    }
}

#[test]
fn what_does_not_fit_a_plan_is_refused() {
    let mut random = Seeded(3);
    let mut net = Network::default();
    let words = net.words(&weights(&mut random, 10 * 16, 1.0), 16);
    net.mean(words);
    let limits = Limits {
        rows: 8,
        sequences: 2,
    };
    let mut plan = Plan::new(&net, Isa::best(), Precision::F32, limits);
    let mut refuses = |input: Input<'_>, lengths: &[usize], output: usize| {
        let mut output = vec![0.0; output];
        let mut run = || plan.run(input, lengths, &mut output);
        assert!(catch_unwind(AssertUnwindSafe(&mut run)).is_err());
    };
    let words = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    refuses(Input::Words(&words), &[9], 16);
    refuses(Input::Words(&words[..3]), &[1, 1, 1], 48);
    refuses(Input::Words(&words[..3]), &[3, 0], 32);
    refuses(Input::Words(&words[..3]), &[4], 16);
    refuses(Input::Words(&words[..3]), &[3], 15);
    refuses(Input::Words(&[10]), &[1], 16);
    refuses(Input::Rows(&[0.0; 16]), &[1], 16);
}

#[test]
fn a_refused_run_leaves_the_plan_as_it_was() {
    let mut random = Seeded(4);
    let mut net = Network::default();
    let words = net.words(&weights(&mut random, 10 * 16, 1.0), 16);
    net.mean(words);
    let limits = Limits {
        rows: 8,
        sequences: 1,
    };
    let mut plan = Plan::new(&net, Isa::best(), Precision::F32, limits);
    let (mut before, mut after) = ([0.0; 16], [0.0; 16]);
    plan.run(Input::Words(&[1, 2, 3]), &[3], &mut before);
    let refused = catch_unwind(AssertUnwindSafe(|| {
        plan.run(Input::Words(&[1, 99]), &[2], &mut [0.0; 16]);
    }));
    assert!(refused.is_err());
    plan.run(Input::Words(&[1, 2, 3]), &[3], &mut after);
    assert_eq!(before, after);
}
