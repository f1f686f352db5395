//! What is said of many numbers: exact where it says so, within the stated error elsewhere, blind to order.

use reflexarc::stream::aggregate::Aggregate;
use reflexarc::stream::aggregate::numbers::{Max, Mean, Min, Sum, Variance};
use reflexarc::stream::aggregate::quantile::Quantile;
use reflexarc::stream::aggregate::statistic::Statistic;

use crate::made::{Random, element};

fn state<A: Aggregate<In = f64>>(aggregate: &A, numbers: &[f64]) -> A::State {
    let mut state = aggregate.empty();
    for (k, x) in numbers.iter().enumerate() {
        aggregate.add(&mut state, &element(k as i64, k as u64, *x));
    }
    state
}

fn said<A: Aggregate<In = f64>>(aggregate: &A, numbers: &[f64]) -> A::Out {
    aggregate.result(&state(aggregate, numbers))
}

/// Numbers over many magnitudes, both signs.
fn numbers(random: &mut Random, magnitudes: u64) -> Vec<f64> {
    (0..1 + random.below(300))
        .map(|_| {
            let fraction = random.below(1 << 52) as f64 / (1_u64 << 51) as f64 - 1.0;
            fraction * 2_f64.powi(random.below(magnitudes) as i32)
        })
        .collect()
}

#[test]
fn order_changes_no_bit_of_a_sum_a_mean_or_a_variance() {
    let mut random = Random(21);
    for _ in 0..200 {
        let mut numbers = numbers(&mut random, 80);
        let before = (
            said(&Sum, &numbers),
            said(&Mean, &numbers),
            said(&Variance::POPULATION, &numbers),
        );
        random.shuffle(&mut numbers);
        let after = (
            said(&Sum, &numbers),
            said(&Mean, &numbers),
            said(&Variance::POPULATION, &numbers),
        );
        assert_eq!(before, after);
    }
}

#[test]
fn parts_make_the_whole_and_what_left_was_never_there() {
    let mut random = Random(22);
    let variance = Variance::SAMPLE;
    for _ in 0..200 {
        let numbers = numbers(&mut random, 40);
        let (left, right) = numbers.split_at(random.below(numbers.len() as u64) as usize);
        let mut whole = state(&variance, left);
        variance.merge(&mut whole, &state(&variance, right));
        assert_eq!(variance.result(&whole), said(&variance, &numbers));
        for x in left {
            variance.remove(&mut whole, &element(0, 0, *x));
        }
        assert_eq!(variance.result(&whole), said(&variance, right));
    }
}

#[test]
fn a_small_variance_far_from_zero_is_right() {
    // Two-pass in whole numbers: 1e9 + {4, 7, 13, 16} has the mean 1e9 + 10 and the variance 22.5.
    let numbers = [4.0, 7.0, 13.0, 16.0].map(|x| x + 1e9);
    assert_eq!(said(&Variance::POPULATION, &numbers), Some(22.5));
    assert_eq!(said(&Variance::SAMPLE, &numbers), Some(30.0));
    assert_eq!(said(&Variance::POPULATION, &[0.1; 1_000]), Some(0.0));
    assert_eq!(said(&Variance::SAMPLE, &[1.0]), None);
    assert_eq!(said(&Variance::POPULATION, &[]), None);
    assert!(
        said(&Variance::POPULATION, &[1.0, f64::NAN])
            .unwrap()
            .is_nan()
    );
}

#[test]
fn a_quantile_is_within_its_stated_error() {
    let mut random = Random(23);
    for _ in 0..300 {
        let numbers = numbers(&mut random, 14);
        let mut sorted = numbers.clone();
        sorted.sort_by(f64::total_cmp);
        let largest = sorted
            .iter()
            .fold(0.0_f64, |largest, x| largest.max(x.abs()));
        for q in [0.0, 0.1, 0.5, 0.9, 0.99, 1.0] {
            let exact = sorted[(q * (sorted.len() - 1) as f64).floor() as usize];
            let close = said(&<Quantile>::new(q).unwrap(), &numbers).unwrap();
            let error = (close - exact).abs();
            assert!(
                error <= exact.abs() * 0.008 || exact.abs() <= largest / 32_768.0 && close == 0.0,
                "{q}: {close} for {exact}, largest {largest}"
            );
        }
    }
}

#[test]
fn a_quantile_depends_on_the_numbers_alone() {
    let mut random = Random(24);
    let median = Quantile::MEDIAN;
    for _ in 0..200 {
        let mut numbers = numbers(&mut random, 60);
        let before = said(&median, &numbers);
        random.shuffle(&mut numbers);
        let (left, right) = numbers.split_at(random.below(numbers.len() as u64) as usize);
        let mut whole = state(&median, left);
        median.merge(&mut whole, &state(&median, right));
        assert_eq!(median.result(&whole), before);
        for x in &numbers {
            median.remove(&mut whole, &element(0, 0, *x));
        }
        assert_eq!(median.result(&whole), None);
    }
    assert_eq!(said(&median, &[f64::NAN, 3.0]).map(f64::round), Some(3.0));
    assert_eq!(
        said(&median, &[f64::INFINITY, f64::MAX, f64::MIN_POSITIVE]).map(|x| x > 1e308),
        Some(true)
    );
    assert!(<Quantile>::new(1.1).is_none());
}

#[test]
fn extremes_pass_over_what_is_no_number() {
    assert_eq!(said(&Min, &[f64::NAN, 2.0, -1.0]), Some(-1.0));
    assert_eq!(said(&Max, &[f64::NAN, 2.0, -1.0]), Some(2.0));
    assert_eq!(said(&Max, &[f64::NAN]), None);
}

#[test]
fn a_statistic_by_its_name_is_the_aggregate_of_that_name() {
    #[derive(serde::Deserialize)]
    struct Asked {
        statistics: Vec<Statistic>,
    }
    let names = r#"statistics = ["count", "sum", "mean", "min", "max", "variance", "variance-of-sample", "median", "first", "last"]"#;
    let numbers = [3.0, 1.0, 2.0, 6.0];
    let asked: Asked = toml::from_str(names).unwrap();
    let said: Vec<_> = asked
        .statistics
        .iter()
        .map(|statistic| {
            let mut whole = state(statistic, &numbers[..1]);
            let mut rest = statistic.empty();
            for (k, x) in numbers.iter().enumerate().skip(1) {
                statistic.add(&mut rest, &element(k as i64, k as u64, *x));
            }
            statistic.merge(&mut whole, &rest);
            (statistic.result(&whole).unwrap() * 100.0).round() / 100.0
        })
        .collect();
    assert_eq!(said, [4.0, 12.0, 3.0, 1.0, 6.0, 3.5, 4.67, 2.02, 3.0, 6.0]);
}
