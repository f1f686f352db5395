//! How long does one forward of each network take on its plan, in f32 and in bf16, beside candle? MiniLM has its real
//! weights, the others made-up ones: the time does not depend on them.

mod support;

use reflexarc::features::networks::{Model, Until};
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::made_up::MadeUp;
use reflexarc::inference::network::Network;
use reflexarc::inference::plan::{Input, Limits, Plan, Precision};
use reflexarc::inference::reference::Reference;
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
    for model in [
        Model::EfficientNetLite0,
        Model::MobileNetV2,
        Model::ResNet18,
        Model::VitTiny,
        Model::DinoV2Small,
    ] {
        let network = model.network(&MadeUp, Until::Map);
        let network = network.expect("there is a tensor of every name");
        let picture = values(7, model.input().len());
        let input = Input::Picture(&picture);
        compare(&mut bench, model.name(), &network, input, model.rows());
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
    let rounded = sets().filter(|isa| isa.has_pairs());
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
