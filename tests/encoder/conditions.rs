//! What a network is run on beside its input, and attention between values: the layers of policies, as plans against candle.

use reflexarc::inference::kernels::Isa;
use reflexarc::inference::network::{Activation, Network, Value, Window};
use reflexarc::inference::plan::{Input, Inputs, Limits, Plan, Precision};
use reflexarc::inference::reference::Reference;

use crate::allocations;
use crate::kernels::refuses;
use crate::made_up::{layer, linear, norm, weights};
use crate::plans::{assert_equal, cosine};
use crate::seeded::Seeded;

const ONE: Limits = Limits {
    rows: 1,
    sequences: 1,
};

/// Runs a network on every instruction set, and holds it against candle.
fn check(net: &Network, inputs: Inputs<'_>, lengths: &[usize], case: &str) {
    let limits = Limits {
        rows: lengths.iter().sum(),
        sequences: lengths.len(),
    };
    let reference = Reference::new(net).unwrap();
    let expected = reference.run(inputs, lengths).unwrap();
    let mut found = vec![0.0; expected.len()];
    for isa in Isa::available() {
        let case = format!("{case}, {isa:?}");
        let mut plan = Plan::new(net, isa, Precision::F32, limits);
        for _ in 0..2 {
            let count = allocations(|| plan.run(inputs, lengths, &mut found));
            assert_eq!(count, 0, "{case}");
            assert_equal(&found, &expected, &case);
        }
        let mut rounded = Plan::new(net, isa, Precision::Bf16, limits);
        rounded.run(inputs, lengths, &mut found);
        let cosine = cosine(&found, &expected);
        assert!(cosine > 0.999, "{case}, bf16: a cosine of {cosine}");
    }
}

/// A network being made, of layers that all have `columns` columns.
struct Maker<'a> {
    net: Network,
    random: &'a mut Seeded,
    columns: usize,
    heads: usize,
}

impl Maker<'_> {
    /// Queries and keys know where they stand, values do not (Carion et al., "End-to-End Object Detection with Transformers",
    /// 2020). What is added is normalised behind it.
    fn attend(&mut self, asking: [Value; 2], asked: [Value; 2]) -> Value {
        let columns = self.columns;
        let [x, queries] = asking;
        let [values, keys] = asked;
        let layers = [queries, keys, values].map(|of| (of, linear(self.random, columns, columns)));
        let [queries, keys, values] = layers;
        let attended = self.net.attend(queries, keys, values, self.heads);
        let out = linear(self.random, columns, columns);
        let out = self.net.linear(attended, out);
        self.add_and_normalise(x, out)
    }

    fn perceptron(&mut self, x: Value) -> Value {
        let (columns, inner) = (self.columns, 2 * self.columns);
        let wide = self.net.linear(x, linear(self.random, columns, inner));
        let wide = self.net.activate(wide, Activation::Relu);
        let out = self.net.linear(wide, linear(self.random, inner, columns));
        self.add_and_normalise(x, out)
    }

    fn add_and_normalise(&mut self, x: Value, y: Value) -> Value {
        let sum = self.net.add(x, y);
        self.net.layer_norm(sum, norm(self.random, self.columns))
    }
}

/// The policy of Zhao et al., "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware" (2023), as it runs: a
/// convolutional network's map, a robot's state and a latent that is zero are the words of a transformer, which a decoder
/// asks for a chunk of actions.
fn action_chunking(random: &mut Seeded, [height, width]: [usize; 2], state: usize) -> Network {
    let heads = random.from(1..=4);
    let columns = heads * 16 * random.from(1..=2);
    let mut net = Network::default();
    let picture = net.picture(height, width);
    let stem = net.convolution(picture, layer(random, 3, 24, Window::centred(7, 2), false));
    let stem = net.activate(stem, Activation::Relu);
    let pooled = net.max_pool(stem, Window::centred(3, 2));
    let map = net.convolution(pooled, layer(random, 24, 40, Window::centred(3, 1), false));
    let map = net.activate(map, Activation::Relu);
    let projection = layer(random, 40, columns, Window::centred(1, 1), false);
    let map = net.convolution(map, projection);
    let pixels = net.pixels(map);
    let state = net.condition(state);
    let of = net.shape(state).columns;
    let state = net.linear(state, linear(random, of, columns));
    let words = net.join(state, pixels);
    let words = net.first(words, weights(random, columns, 1.0));
    let count = net.shape(words).rows.of(1);
    let places = weights(random, count * columns, 1.0);
    let chunk = random.from(1..=50);
    let queries = weights(random, chunk * columns, 1.0);
    let mut maker = Maker {
        net,
        random,
        columns,
        heads,
    };
    let mut x = words;
    for _ in 0..2 {
        let placed = maker.net.positions(x, places.clone());
        x = maker.attend([x, placed], [x, placed]);
        x = maker.perceptron(x);
    }
    let placed = maker.net.positions(x, places);
    let nothing = maker
        .net
        .constant(vec![0.0; chunk * columns].into(), columns);
    let asking = maker.net.constant(queries.clone(), columns);
    let y = maker.attend([nothing, asking], [nothing, asking]);
    let asking = maker.net.positions(y, queries);
    let y = maker.attend([y, asking], [x, placed]);
    let y = maker.perceptron(y);
    let actions = linear(maker.random, columns, 14);
    maker.net.linear(y, actions);
    maker.net
}

#[test]
fn an_action_chunking_transformer_gives_what_candle_gives() {
    for seed in 0..12 {
        let mut random = Seeded(seed);
        let [height, width, state] = [30, 30, 1].map(|least| random.from(least..=least + 20));
        let net = action_chunking(&mut random, [height, width], state);
        let (pixels, state) = (random.values(height * width * 3), random.values(state));
        let inputs = Inputs {
            input: Input::Picture(&pixels),
            conditions: &[&state],
        };
        check(&net, inputs, &[1], &format!("seed {seed}"));
    }
}

/// Convolutions whose channels an instruction scales and shifts (Jang et al., "BC-Z", 2022).
#[test]
fn a_picture_that_a_condition_modulates_gives_what_candle_gives() {
    for seed in 0..12 {
        let mut random = Seeded(seed);
        let [height, width, words] = [30, 30, 1].map(|least| random.from(least..=least + 20));
        let random = &mut random;
        let mut net = Network::default();
        let mut x = net.picture(height, width);
        let condition = net.condition(words);
        for stride in [2, 1, 1] {
            let (inputs, channels) = (net.shape(x).columns, random.from(1..=40));
            let window = Window::centred(3, stride);
            x = net.convolution(x, layer(random, inputs, channels, window, false));
            let [gains, shifts] =
                [(); 2].map(|()| net.linear(condition, linear(random, words, channels)));
            x = net.film(x, gains, shifts);
            if random.flip() {
                let activation = [Activation::Relu, Activation::Relu6][random.from(0..=1)];
                x = net.activate(x, activation);
            }
        }
        let (pixels, words) = (random.values(height * width * 3), random.values(words));
        let inputs = Inputs {
            input: Input::Picture(&pixels),
            conditions: &[&words],
        };
        check(&net, inputs, &[1], &format!("seed {seed}"));
    }
}

/// Some queries that are always the same ask sequences of several lengths, and a condition of each modulates what they hear.
fn asked(random: &mut Seeded, inputs: usize, conditions: [usize; 2]) -> Network {
    let heads = random.from(1..=3);
    let columns = heads * 16 * random.from(1..=3);
    let queries = random.from(1..=60);
    let mut net = Network::default();
    let x = net.rows(inputs);
    let conditions = conditions.map(|columns| net.condition(columns));
    let x = net.linear(x, linear(random, inputs, columns));
    let rows = conditions.map(|x| {
        let of = net.shape(x).columns;
        net.linear(x, linear(random, of, columns))
    });
    let asking = net.constant(weights(random, queries * columns, 1.0), columns);
    let asking = net.join(asking, rows[0]);
    let heard = net.join(x, rows[1]);
    let layers = [asking, heard, heard].map(|of| (of, linear(random, columns, columns)));
    let [queries, keys, values] = layers;
    let attended = net.attend(queries, keys, values, heads);
    let modulated = net.film(attended, rows[0], rows[1]);
    let y = net.linear(modulated, linear(random, columns, 10));
    net.add(y, y);
    net
}

#[test]
fn queries_ask_sequences_of_other_lengths_and_conditions_are_each_sequences_own() {
    for seed in 0..12 {
        let mut random = Seeded(seed);
        let [inputs, first, second] = [1; 3].map(|least| random.from(least..=40));
        let net = asked(&mut random, inputs, [first, second]);
        let lengths: Vec<usize> = (0..random.from(1..=3))
            .map(|_| random.from(1..=50))
            .collect();
        let rows = random.values(lengths.iter().sum::<usize>() * inputs);
        let [first, second] = [first, second].map(|len| random.values(lengths.len() * len));
        let inputs = Inputs {
            input: Input::Rows(&rows),
            conditions: &[&first, &second],
        };
        check(&net, inputs, &lengths, &format!("seed {seed}, {lengths:?}"));
    }
}

#[test]
fn a_condition_that_is_missing_or_of_another_size_is_refused() {
    let net = asked(&mut Seeded(1), 8, [3, 4]);
    let mut plan = Plan::new(&net, Isa::best(), Precision::F32, ONE);
    let mut output = vec![0.0; net.output().rows.of(1) * net.output().columns];
    let (input, zeros) = (Input::Rows(&[0.0; 8]), [0.0; 5]);
    let cases: [&[&[f32]]; 5] = [
        &[],
        &[&zeros[..3]],
        &[&zeros[..3], &zeros[..5]],
        &[&zeros[..4], &zeros[..3]],
        &[&zeros[..3], &zeros[..4], &zeros[..4]],
    ];
    for conditions in cases {
        refuses(|| plan.run(Inputs { input, conditions }, &[1], &mut output));
    }
    let conditions: &[&[f32]] = &[&zeros[..3], &zeros[..4]];
    plan.run(Inputs { input, conditions }, &[1], &mut output);
}
