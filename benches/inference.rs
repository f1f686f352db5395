//! How long does one forward of each network take on its plan, in f32 and in bf16, beside candle? MiniLM has its real
//! weights, the others made-up ones: the time does not depend on them. (Convolutions are f32 in both precisions.)

mod support;

use reflexarc::error::Result;
use reflexarc::features::convolutional;
use reflexarc::features::vision_transformer::{self, DINOV2_SMALL, Spec, VIT_TINY};
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::network::Network;
use reflexarc::inference::plan::{Input, Limits, Plan, Precision};
use reflexarc::inference::reference::Reference;
use reflexarc::inference::tensors::Source;
use reflexarc::language::{self, minilm};
use reflexarc::models::{self, Group};
use support::{Bench, Peer};

/// Between two runtimes that add in another order, relative to the largest value.
const ERROR_MAX: f32 = 1e-4;

fn main() {
    let mut bench = Bench::start(
        "inference",
        "How long does one forward of each network take on one core?",
    );
    // This thread's pool is its own: candle does not hop to another.
    language::keep_candle_on_this_thread();
    sentences(&mut bench);
    for (name, spec) in [("ViT-Tiny", VIT_TINY), ("DINOv2-S", DINOV2_SMALL)] {
        transformer(&mut bench, name, spec);
    }
    for (name, network) in [
        ("MobileNetV2", convolutional::mobilenet_v2(&MadeUp)),
        ("ResNet18", convolutional::resnet18(&MadeUp)),
    ] {
        let network = network.expect("there is a tensor of every name");
        let picture = values(7, convolutional::INPUT_LEN);
        compare(&mut bench, name, &network, Input::Picture(&picture), 1);
    }
    bench.finish();
}

fn sentences(bench: &mut Bench) {
    models::ensure(&[Group::Run]).unwrap_or_else(|fault| panic!("{fault}"));
    let network = minilm::network(&models::path(models::TEXT_ENCODER));
    let network = network.unwrap_or_else(|fault| panic!("{fault}"));
    for len in [9_u32, 16] {
        let tokens: Vec<u32> = (0..len).map(|i| 1000 + 37 * i).collect();
        let name = format!("MiniLM, {len} tokens");
        compare(bench, &name, &network, Input::Words(&tokens), tokens.len());
    }
}

fn transformer(bench: &mut Bench, name: &str, spec: Spec) {
    let network = vision_transformer::network(spec, &MadeUp);
    let network = network.expect("there is a tensor of every name");
    let picture = values(7, spec.input_len());
    let input = Input::Picture(&picture);
    compare(bench, name, &network, input, spec.patches());
}

/// Every instruction set in f32, bf16 where there is an instruction for it, and candle. `rows` is the length of the one
/// sequence.
fn compare(bench: &mut Bench, name: &str, network: &Network, input: Input<'_>, rows: usize) {
    let candle = Reference::new(network).expect("candle takes the weights");
    let expected = candle.run(input, &[rows]).expect("candle runs");
    let largest = expected.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let limits = Limits { rows, sequences: 1 };
    // In plain Rust they would take seconds.
    let sets = || Isa::available().filter(|isa| isa.name() != "portable");
    let exact = sets().map(|isa| (isa, Precision::F32));
    let has_convolutions = matches!(input, Input::Picture(_)) && rows == 1;
    let rounded = sets().filter(|isa| isa.has_pairs() && !has_convolutions);
    let rounded = rounded.map(|isa| (isa, Precision::Bf16));
    let mut output = vec![0.0; expected.len()];
    let mut plans = Vec::new();
    for (isa, precision) in exact.chain(rounded) {
        let mut plan = Plan::new(network, isa, precision, limits);
        plan.run(input, &[rows], &mut output);
        let pairs = output.iter().zip(&expected);
        let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
        let peer = format!("{} {precision:?}", isa.name());
        bench.note(
            &format!("{name}, {peer}: largest difference to candle, relative"),
            error,
        );
        assert!(
            precision == Precision::Bf16 || error < ERROR_MAX,
            "{name}, {peer} differs by {error}"
        );
        plans.push((peer, plan));
    }
    let mut peers: Vec<Peer<'_>> = plans
        .iter_mut()
        .map(|(peer, plan)| {
            let mut output = output.clone();
            Peer::timed(&**peer, 1, move || plan.run(input, &[rows], &mut output))
        })
        .collect();
    bench.compare(name, 100, &mut peers);
    peers.truncate(1);
    peers.push(Peer::timed("candle", 1, || {
        drop(candle.run(input, &[rows]));
    }));
    bench.compare(&format!("{name}, against candle"), 10, &mut peers);
}

/// Weights that keep the size of what goes through them, each tensor by its name.
struct MadeUp;

impl Source for MadeUp {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let seed = name
            .bytes()
            .fold(1, |sum, b| sum * 31 % 65_521 + u64::from(b));
        #[expect(clippy::cast_precision_loss, reason = "a few thousand inputs at most")]
        let inputs = shape[1..].iter().product::<usize>() as f32;
        let (size, mean) = match name {
            _ if name.ends_with("running_var") => (0.5, 1.0),
            _ if shape.len() == 1 && name.ends_with("weight") => (0.2, 1.0),
            _ if shape.len() == 1 => (0.2, 0.0),
            "cls_token" | "pos_embed" => (1.0, 0.0),
            _ => ((3.0 / inputs).sqrt(), 0.0),
        };
        let values = values(seed, shape.iter().product());
        Ok(values.iter().map(|v| mean + size * v).collect())
    }
}

/// From -1 to 1, by a linear congruence.
#[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
