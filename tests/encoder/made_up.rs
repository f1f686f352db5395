//! Small networks of random shapes with random weights.

use reflexarc::inference::network::{
    Activation, Convolution, Linear, Network, Norm, Value, Weights, Window,
};

use crate::seeded::Seeded;

pub fn weights(random: &mut Seeded, len: usize, size: f32) -> Weights {
    (0..len).map(|_| random.value() * size).collect()
}

/// Keeps the size of what goes through it.
pub fn linear(random: &mut Seeded, inputs: usize, outputs: usize) -> Linear {
    let size = (3.0 / inputs as f32).sqrt();
    Linear {
        weights: weights(random, outputs * inputs, size),
        bias: weights(random, outputs, 0.1),
    }
}

pub fn norm(random: &mut Seeded, columns: usize) -> Norm {
    Norm {
        gain: (0..columns).map(|_| 1.0 + 0.2 * random.value()).collect(),
        shift: weights(random, columns, 0.1),
        epsilon: 1e-6,
    }
}

/// A block of a vision transformer: norms before, LayerScale behind.
fn block(net: &mut Network, random: &mut Seeded, x: Value, heads: usize) -> Value {
    let columns = net.shape(x).columns;
    let normed = net.layer_norm(x, norm(random, columns));
    let attended = net.attention(normed, linear(random, columns, 3 * columns), heads);
    let projected = net.linear(attended, linear(random, columns, columns));
    let scaled = net.scale(projected, weights(random, columns, 1.0));
    let x = net.add(x, scaled);
    let normed = net.layer_norm(x, norm(random, columns));
    let inner = net.linear(normed, linear(random, columns, 4 * columns));
    let activation = [Activation::Gelu, Activation::Silu][random.from(0..=1)];
    let inner = net.activate(inner, activation);
    let outer = net.linear(inner, linear(random, 4 * columns, columns));
    let scaled = net.scale(outer, weights(random, columns, 1.0));
    net.add(scaled, x)
}

/// A small vision transformer on rows of `inputs` numbers.
pub fn vision(
    random: &mut Seeded,
    inputs: usize,
    columns: usize,
    heads: usize,
    rows: usize,
) -> Network {
    let mut net = Network::default();
    let patches = net.rows(inputs);
    let x = net.linear(patches, linear(random, inputs, columns));
    let x = net.first(x, weights(random, columns, 1.0));
    let mut x = net.positions(x, weights(random, (rows + 1) * columns, 1.0));
    for _ in 0..2 {
        x = block(&mut net, random, x, heads);
    }
    let x = net.layer_norm(x, norm(random, columns));
    match random.from(0..=2) {
        0 => net.take(x, 0),
        1 => net.mean(x),
        _ => x,
    };
    net
}

pub fn layer(
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
fn inverted_residual(net: &mut Network, random: &mut Seeded, x: Value, pixels: usize) -> Value {
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

pub fn convolutional(random: &mut Seeded, height: usize, width: usize) -> Network {
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
            true => inverted_residual(&mut net, random, x, 6),
            false => residual(&mut net, random, x),
        };
    }
    if random.flip() {
        net.mean(x);
    }
    net
}
