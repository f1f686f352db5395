//! Every kernel on shapes of chance.

use reflexarc::inference::cuda::half;
use reflexarc::inference::network::{
    Activation, Convolution, Linear, Network, Norm, Value, Window,
};
use reflexarc::inference::plan::{Input, Inputs};

use crate::emulated::{Emulator, emulator};
use crate::{Random, compare};

/// f32 sums in another order; f16 has 11 bits.
const ERRORS: [f32; 2] = [5e-6, 4e-3];

fn check<'a>(
    emulator: &Emulator,
    name: &str,
    network: &Network,
    inputs: impl Into<Inputs<'a>>,
    rows: usize,
    seed: u64,
) {
    let found = compare(emulator, network, inputs, rows, seed % 2 == 1);
    println!("{name} {seed}: {found:?}");
    assert!(
        found[0] <= ERRORS[0] && found[1] <= ERRORS[1],
        "{name}, seed {seed}: f32 and f16 differ by {found:?}"
    );
}

fn linear(random: &mut Random, inputs: usize, outputs: usize) -> Linear {
    let spread = (3.0 / inputs as f32).sqrt();
    let weights: Vec<f32> = random
        .values(inputs * outputs)
        .iter()
        .map(|v| v * spread)
        .collect();
    Linear {
        weights: weights.into(),
        bias: random.values(outputs).into(),
    }
}

fn activation(random: &mut Random) -> Activation {
    use Activation::{Gelu, GeluTanh, None, Relu, Relu6, Silu};
    [None, Relu, Relu6, Gelu, Silu, GeluTanh][random.from(0..=5)]
}

#[test]
fn linear_layers_with_what_follows_them() {
    let Some(emulator) = emulator() else { return };
    for seed in 0..60 {
        let random = &mut Random(seed);
        let (rows, inputs) = (random.from(1..=200), random.from(1..=150));
        let outputs = random.from(1..=200);
        let mut net = Network::default();
        let x = net.rows(inputs);
        let layer = linear(random, inputs, outputs);
        let mut y = net.linear(x, layer);
        if random.from(0..=1) == 1 {
            y = net.scale(y, random.values(outputs).into());
        }
        if random.from(0..=1) == 1 {
            let layer = linear(random, inputs, outputs);
            let other = net.linear(x, layer);
            y = if random.from(0..=1) == 1 {
                net.add(y, other)
            } else {
                net.add(other, y)
            };
        }
        let act = activation(random);
        let _: Value = net.activate(y, act);
        let values = random.values(rows * inputs);
        check(emulator, "linear", &net, Input::Rows(&values), rows, seed);
    }
}

#[test]
fn long_sums_are_divided_among_warps_in_one_order() {
    let Some(emulator) = emulator() else { return };
    for (seed, (rows, inputs, outputs)) in
        [(5, 1536, 64), (33, 1000, 40), (1, 2304, 8), (70, 64, 320)]
            .into_iter()
            .enumerate()
    {
        let random = &mut Random(seed as u64);
        let mut net = Network::default();
        let x = net.rows(inputs);
        let layer = linear(random, inputs, outputs);
        net.linear(x, layer);
        let values = random.values(rows * inputs);
        check(
            emulator,
            "long sums",
            &net,
            Input::Rows(&values),
            rows,
            seed as u64,
        );
    }
}

fn convolution(
    random: &mut Random,
    inputs: usize,
    outputs: usize,
    window: Window,
    is_depthwise: bool,
) -> Convolution {
    let connected = if is_depthwise { 1 } else { inputs };
    let taps = window.size * window.size;
    let spread = (3.0 / (connected * taps) as f32).sqrt();
    let weights: Vec<f32> = random
        .values(outputs * connected * taps)
        .iter()
        .map(|v| v * spread)
        .collect();
    Convolution {
        weights: weights.into(),
        bias: random.values(outputs).into(),
        window,
        is_depthwise,
    }
}

#[test]
fn convolutions_of_every_kind_and_padding() {
    let Some(emulator) = emulator() else { return };
    for seed in 0..60 {
        let random = &mut Random(1000 + seed);
        let (height, width) = (random.from(7..=24), random.from(7..=24));
        let mut window = || Window {
            size: random.from(1..=7),
            stride: random.from(1..=3),
            before: random.from(0..=3),
            after: random.from(0..=3),
        };
        let (first, second, third) = (
            window(),
            Window {
                stride: 1,
                ..Window::centred(3, 1)
            },
            Window::centred([3, 5][random.from(0..=1)], random.from(1..=2)),
        );
        let (middle, outputs) = (random.from(1..=40), random.from(1..=70));
        let mut net = Network::default();
        let x = net.picture(height, width);
        let layer = convolution(random, 3, middle, first, false);
        let mut y = net.convolution(x, layer);
        y = net.activate(y, Activation::Relu6);
        let layer = convolution(random, middle, middle, third, true);
        y = net.convolution(y, layer);
        y = net.activate(y, Activation::Relu6);
        let layer = convolution(random, middle, outputs, second, false);
        y = net.convolution(y, layer);
        if random.from(0..=1) == 1 {
            let layer = convolution(random, outputs, outputs, Window::centred(1, 1), false);
            let other = net.convolution(y, layer);
            y = net.add(y, other);
            y = net.activate(y, Activation::Relu);
        }
        if random.from(0..=1) == 1 {
            net.mean(y);
        }
        let values = random.values(height * width * 3);
        check(
            emulator,
            "convolutions",
            &net,
            Input::Picture(&values),
            1,
            seed,
        );
    }
}

#[test]
fn a_large_picture_takes_wide_tiles() {
    let Some(emulator) = emulator() else { return };
    let random = &mut Random(5);
    let mut net = Network::default();
    let x = net.picture(80, 80);
    let layer = convolution(random, 3, 72, Window::centred(3, 2), false);
    let mut y = net.convolution(x, layer);
    y = net.activate(y, Activation::Silu);
    let layer = convolution(random, 72, 80, Window::centred(3, 1), false);
    y = net.convolution(y, layer);
    net.max_pool(y, Window::centred(3, 2));
    let values = random.values(80 * 80 * 3);
    check(emulator, "wide", &net, Input::Picture(&values), 1, 1);
}

#[test]
fn transformers_with_heads_of_32_and_of_64() {
    let Some(emulator) = emulator() else { return };
    for seed in 0..24 {
        let random = &mut Random(2000 + seed);
        let (heads, len) = (random.from(1..=3), [32, 64][random.from(0..=1)]);
        let columns = heads * len;
        let rows = random.from(1..=150);
        let mut net = Network::default();
        let mut x = net.rows(columns);
        let front = random.from(0..=2);
        if front > 0 {
            x = net.first(x, random.values(front * columns).into());
        }
        x = net.positions(x, random.values((rows + front) * columns).into());
        for _ in 0..2 {
            let norm = Norm {
                gain: random.values(columns).into(),
                shift: random.values(columns).into(),
                epsilon: 1e-6,
            };
            let normed = net.layer_norm(x, norm);
            let qkv = linear(random, columns, 3 * columns);
            let attended = net.attention(normed, qkv, heads);
            let layer = linear(random, columns, columns);
            let mut y = net.linear(attended, layer);
            y = net.scale(y, random.values(columns).into());
            x = net.add(x, y);
        }
        if random.from(0..=1) == 1 {
            x = net.take(x, random.from(0..=rows + front - 1));
        } else if random.from(0..=1) == 1 {
            x = net.mean(x);
        }
        let norm = Norm {
            gain: vec![1.0; columns].into(),
            shift: vec![0.0; columns].into(),
            epsilon: 1e-6,
        };
        net.layer_norm(x, norm);
        let values = random.values(rows * columns);
        check(
            emulator,
            "transformer",
            &net,
            Input::Rows(&values),
            rows,
            seed,
        );
    }
}

/// A policy's head, say: what it sees as pixels, with an instruction and a state, and queries of its own.
#[test]
fn conditions_film_and_attention_to_another_sequence() {
    let Some(emulator) = emulator() else { return };
    for seed in 0..12 {
        let random = &mut Random(4000 + seed);
        let (side, columns, queries) = (random.from(3..=9), 64, random.from(1..=40));
        let mut net = Network::default();
        let picture = net.picture(side, side);
        let layer = convolution(random, 3, columns, Window::centred(3, 1), false);
        let seen = net.convolution(picture, layer);
        let (told, state) = (net.condition(24), net.condition(7));
        let [gains, shifts] = [(); 2].map(|()| {
            let layer = linear(random, 24, columns);
            net.linear(told, layer)
        });
        let seen = net.film(seen, gains, shifts);
        let act = activation(random);
        let seen = net.activate(seen, act);
        let seen = net.pixels(seen);
        let layer = linear(random, 7, columns);
        let state = net.linear(state, layer);
        let all = net.join(state, seen);
        let asked = net.constant(random.values(queries * columns).into(), columns);
        let layers = [(); 3].map(|()| linear(random, columns, columns));
        let [q, k, v] = layers;
        let mixed = net.attend((asked, q), (all, k), (all, v), [1, 2][random.from(0..=1)]);
        net.add(mixed, asked);
        let (picture, told, state) = (
            random.values(side * side * 3),
            random.values(24),
            random.values(7),
        );
        let inputs = Inputs {
            input: Input::Picture(&picture),
            conditions: &[&told, &state],
        };
        check(emulator, "conditions", &net, inputs, 1, seed);
    }
}

#[test]
fn patches_and_words_come_in() {
    let Some(emulator) = emulator() else { return };
    for seed in 0..10 {
        let random = &mut Random(3000 + seed);
        let (patch, count) = ([2, 7, 14, 16][random.from(0..=3)], random.from(1..=4));
        let side = patch * count;
        let outputs = random.from(1..=40);
        let mut net = Network::default();
        let x = net.patches(side, patch);
        let layer = linear(random, patch * patch * 3, outputs);
        net.linear(x, layer);
        let values = random.values(side * side * 3);
        check(
            emulator,
            "patches",
            &net,
            Input::Picture(&values),
            count * count,
            seed,
        );

        let (columns, rows) = (random.from(1..=70), random.from(1..=40));
        let mut net = Network::default();
        let words = net.words(&random.values(columns * 100).into(), columns);
        net.positions(words, random.values(columns * rows).into());
        let words: Vec<u32> = (0..rows).map(|_| random.from(0..=99) as u32).collect();
        check(emulator, "words", &net, Input::Words(&words), rows, seed);
    }
}

#[test]
fn numbers_of_16_bits_are_rounded_as_the_kernels_round() {
    let Some(emulator) = emulator() else { return };
    let random = &mut Random(1);
    for _ in 0..1_000_000 {
        let x = f32::from_bits(random.bits() as u32);
        // SAFETY: it takes any number.
        let expected = unsafe { (emulator.half_of)(x) };
        let both_nan = x.is_nan() && half::bits(x) & 0x7c00 == 0x7c00 && half::bits(x) & 0x3ff != 0;
        assert!(
            both_nan || half::bits(x) == expected,
            "{x:e}: {:x} {expected:x}",
            half::bits(x)
        );
    }
}
