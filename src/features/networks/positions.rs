//! Positions of a vision transformer for another number of patches than it was trained on.
//!
//! Bicubic (Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981, with a = -1/2), widened where the
//! table becomes smaller, so that nothing between two new places is lost; as timm resamples them, and as Pillow does.
//!
//! Thread: start-up. Allocates: yes.

/// A table of `from` by `from` places as one of `to` by `to`, `columns` values each.
pub fn resample(table: &[f32], from: usize, to: usize, columns: usize) -> Vec<f32> {
    let taps = taps(from, to);
    // First within each row of places, then between rows.
    let mut rows = Vec::with_capacity(from * to * columns);
    for row in table.chunks_exact(from * columns) {
        for taps in &taps {
            rows.extend(mixed(taps, |place| &row[place * columns..][..columns]));
        }
    }
    let width = to * columns;
    let mixed_rows = taps
        .iter()
        .flat_map(|taps| mixed(taps, |row| &rows[row * width..][..width]));
    mixed_rows.collect()
}

/// What one new place is made of: the first old one, and the weight of each from there on.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tens of places, and what is below 0 becomes 0"
)]
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let widen = scale.max(1.0);
    let reach = 2.0 * widen;
    let places = (0..to).map(|place| {
        let centre = (place as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let weights = (first..end).map(|at| cubic((at as f64 + 0.5 - centre) / widen));
        let mut weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        Taps { first, weights }
    });
    places.collect()
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match x {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is what is wanted"
)]
fn mixed<'a>(taps: &Taps, old: impl Fn(usize) -> &'a [f32]) -> Vec<f32> {
    let mut sums = vec![0.0f64; old(taps.first).len()];
    for (at, weight) in (taps.first..).zip(&taps.weights) {
        for (sum, &v) in sums.iter_mut().zip(old(at)) {
            *sum += weight * f64::from(v);
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pillow 13's `resize((to, to), BICUBIC)` of pictures of type F, two columns: the value at (row, column) is
    /// `sin(3 row + 5 column)`, and its opposite.
    #[test]
    fn a_table_is_resampled_as_pillow_does_it() {
        for (from, to, expected) in [PILLOW_UP, PILLOW_DOWN] {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let value = |at: usize| ((3 * (at / from) + 5 * (at % from)) as f32).sin();
            let table: Vec<f32> = (0..from * from)
                .flat_map(|at| [value(at), -value(at)])
                .collect();
            let found = resample(&table, from, to, 2);
            assert_eq!(found.len(), to * to * 2);
            for (pair, expected) in found.as_chunks::<2>().0.iter().zip(expected) {
                assert!((pair[0] - expected).abs() < 2e-6, "{pair:?} {expected}");
                assert!((pair[1] + expected).abs() < 2e-6, "{pair:?} {expected}");
            }
        }
    }

    type Pillow = (usize, usize, &'static [f32]);

    const PILLOW_UP: Pillow = (
        3,
        4,
        &[
            0.0476527, -0.7002655, -0.960552, -0.5700296, 0.1031271, 0.3162881, 0.3127467,
            0.0947232, -0.026288, 0.2493875, 0.3511363, 0.2151708, -0.2594607, -0.8590264,
            -0.8694501, -0.284197,
        ],
    );
    const PILLOW_DOWN: Pillow = (
        7,
        3,
        &[
            -0.0677986, 0.0387416, -0.0180616, 0.0095484, -0.0073235, 0.0066822, -0.0746734,
            0.0705334, -0.0816445,
        ],
    );
}
