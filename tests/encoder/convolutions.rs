//! Convolutional networks as plans against candle: small ones of random shapes, and whole ones with made-up weights.

use reflexarc::error::Result;
use reflexarc::features::convolutional::{self, CLASSES, INPUT_LEN};
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::network::{Activation, Convolution, Network, Value, Window};
use reflexarc::inference::plan::{Input, Limits, Plan, Precision};
use reflexarc::inference::reference::Reference;
use reflexarc::inference::tensors::Source;

use crate::allocations;
use crate::plans::assert_equal;
use crate::seeded::Seeded;

const ONE: Limits = Limits {
    rows: 1,
    sequences: 1,
};

/// Weights that keep the size of what goes through them, each tensor by its name.
struct MadeUp;

impl Source for MadeUp {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let seed = name
            .bytes()
            .fold(0, |sum, b| sum * 31 % 65_521 + u64::from(b));
        let inputs: usize = shape[1..].iter().product();
        let (size, mean) = match name {
            _ if name.ends_with("running_var") => (0.5, 1.0),
            _ if shape.len() == 1 && name.ends_with("weight") => (0.2, 1.0),
            _ if shape.len() == 1 => (0.2, 0.0),
            _ => ((6.0 / inputs as f32).sqrt(), 0.0),
        };
        let values = Seeded(seed).values(shape.iter().product());
        Ok(values.iter().map(|v| mean + size * v).collect())
    }
}

fn layer(
    random: &mut Seeded,
    inputs: usize,
    outputs: usize,
    window: Window,
    is_depthwise: bool,
) -> Convolution {
    let inputs = if is_depthwise { 1 } else { inputs } * window.size.pow(2);
    let size = (6.0 / inputs as f32).sqrt();
    let values = random.values(outputs * inputs);
    Convolution {
        weights: values.iter().map(|w| w * size).collect(),
        bias: random.values(outputs).into(),
        window,
        is_depthwise,
    }
}

/// A window that fits into a picture of `pixels` by `pixels`, with any padding.
fn window(random: &mut Seeded, size: usize, stride: usize, pixels: usize) -> Window {
    match random.from(0..=2) {
        0 => Window::centred(size, stride),
        1 => Window::same(size, stride, pixels),
        _ => Window {
            size,
            stride,
            before: random.from(0..=size - 1),
            after: random.from(0..=size - 1),
        },
    }
}

/// Expand, depthwise, project, and perhaps what came in added: the stages that take turns.
fn block(net: &mut Network, random: &mut Seeded, x: Value, pixels: usize) -> Value {
    let inputs = net.shape(x).columns;
    let hidden = random.from(1..=70);
    let pointwise = Window::centred(1, 1);
    let expanded = net.convolution(x, layer(random, inputs, hidden, pointwise, false));
    let expanded = net.activate(expanded, Activation::Relu6);
    let size = [3, 5][random.from(0..=1)];
    let keeps = random.flip();
    let moving = match keeps {
        true => Window::centred(size, 1),
        false => {
            let stride = random.from(1..=2);
            window(random, size, stride, pixels)
        }
    };
    let moved = net.convolution(expanded, layer(random, hidden, hidden, moving, true));
    let moved = net.activate(moved, Activation::Relu6);
    let outputs = if keeps { inputs } else { random.from(1..=40) };
    let projected = net.convolution(moved, layer(random, hidden, outputs, pointwise, false));
    match keeps {
        true => net.add(projected, x),
        false => projected,
    }
}

/// Two dense convolutions beside a third, which are added.
fn residual(net: &mut Network, random: &mut Seeded, x: Value) -> Value {
    let inputs = net.shape(x).columns;
    let (stride, outputs) = (random.from(1..=2), random.from(1..=40));
    let first = Window::centred([1, 3, 5][random.from(0..=2)], stride);
    let inner = net.convolution(x, layer(random, inputs, outputs, first, false));
    let inner = net.activate(inner, Activation::Relu);
    let second = layer(random, outputs, outputs, Window::centred(3, 1), false);
    let outer = net.convolution(inner, second);
    let beside = layer(random, inputs, outputs, Window::centred(1, stride), false);
    let beside = net.convolution(x, beside);
    let sum = net.add(outer, beside);
    let activation = [Activation::Relu, Activation::Silu, Activation::Relu6][random.from(0..=2)];
    net.activate(sum, activation)
}

fn network(random: &mut Seeded, height: usize, width: usize) -> Network {
    let mut net = Network::default();
    let picture = net.picture(height, width);
    let size = [3, 5, 7][random.from(0..=2)];
    let stem_window = window(random, size, 2, height.min(width));
    let channels = random.from(1..=40);
    let x = net.convolution(picture, layer(random, 3, channels, stem_window, false));
    let mut x = net.activate(x, Activation::Relu6);
    if random.flip() {
        let stride = random.from(1..=2);
        let pool = window(random, 3, stride, 8);
        x = net.max_pool(x, pool);
    }
    for _ in 0..2 {
        x = match random.flip() {
            true => block(&mut net, random, x, 6),
            false => residual(&mut net, random, x),
        };
    }
    if random.flip() {
        net.mean(x);
    }
    net
}

#[test]
fn convolutional_networks_give_what_candle_gives() {
    for seed in 0..60 {
        let mut random = Seeded(seed);
        let (height, width) = (random.from(30..=50), random.from(30..=50));
        let net = network(&mut random, height, width);
        let pixels = random.values(height * width * 3);
        let input = Input::Picture(&pixels);
        let expected = Reference::new(&net).unwrap().run(input, &[1]).unwrap();
        for isa in Isa::available() {
            let case = format!("seed {seed}, {isa:?}, {height} x {width}");
            let mut plan = Plan::new(&net, isa, Precision::F32, ONE);
            let mut found = vec![0.0; expected.len()];
            let count = allocations(|| plan.run(input, &[1], &mut found));
            assert_eq!(count, 0, "{case}");
            assert_equal(&found, &expected, &case);
            // Again, on the memory that another picture has left.
            let other = random.values(pixels.len());
            plan.run(Input::Picture(&other), &[1], &mut found);
            plan.run(input, &[1], &mut found);
            assert_equal(&found, &expected, &case);
        }
    }
}

fn check(net: &Network, isas: impl Iterator<Item = Isa>) {
    let pixels = Seeded(1).values(INPUT_LEN);
    let input = Input::Picture(&pixels);
    let expected = Reference::new(net).unwrap().run(input, &[1]).unwrap();
    let mut found = vec![0.0; CLASSES];
    for isa in isas {
        let mut plan = Plan::new(net, isa, Precision::F32, ONE);
        let count = allocations(|| plan.run(input, &[1], &mut found));
        assert_eq!(count, 0, "{isa:?}");
        assert_equal(&found, &expected, isa.name());
    }
}

#[test]
fn mobilenet_v2_gives_what_candle_gives() {
    check(
        &convolutional::mobilenet_v2(&MadeUp).unwrap(),
        Isa::available(),
    );
}

#[test]
fn resnet18_gives_what_candle_gives() {
    check(&convolutional::resnet18(&MadeUp).unwrap(), Isa::available());
}

#[test]
fn a_picture_of_another_size_is_refused() {
    let net = network(&mut Seeded(1), 32, 32);
    let mut plan = Plan::new(&net, Isa::best(), Precision::F32, ONE);
    let rows = net.output().rows.of(1) * net.output().columns;
    for pixels in [32 * 32 * 3 - 1, 32 * 32 * 3 + 1] {
        let pixels = vec![0.0; pixels];
        let mut output = vec![0.0; rows];
        crate::kernels::refuses(|| plan.run(Input::Picture(&pixels), &[1], &mut output));
    }
}
