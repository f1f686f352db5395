//! Plans whose work is shared: the same to the bit with any number of partners, whether they come or not.

use std::thread;

use reflexarc::clock;
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::network::Network;
use reflexarc::inference::plan::{Input, Limits, Plan, Precision};
use reflexarc::rt::crew::{Partner, crew};
use reflexarc::rt::wait::WaitPolicy;
use reflexarc::units::Nanos;

use crate::made_up::{convolutional, vision};
use crate::seeded::Seeded;

const PARK: WaitPolicy = WaitPolicy::Park { spin: Nanos::ZERO };

/// Networks of each kind; an interpreter has time for few, and so has an emulator.
fn seeds() -> u64 {
    match std::env::var_os("REFLEXARC_EMULATED") {
        _ if cfg!(miri) => 1,
        Some(_) => 1,
        None => 12,
    }
}

fn serve(mut partner: Partner) {
    while !partner.is_over() {
        partner.serve(PARK, clock::now() + Nanos::from_millis(50));
    }
}

/// Sets that are compared: a test by an interpreter takes one, which has no instructions of its own.
fn sets() -> impl Iterator<Item = Isa> {
    Isa::available().filter(|isa| !cfg!(miri) || isa.name() == "portable")
}

/// What a plan gives with so many partners that have threads.
fn shared(plan: &Plan, partners: usize, input: Input<'_>, lengths: &[usize], len: usize) -> u64 {
    let mut expected = vec![0.0; len];
    plan.clone().run(input, lengths, &mut expected);
    let (crew, partners) = crew(partners);
    let mut plan = plan.clone();
    plan.share_with(crew);
    thread::scope(|scope| {
        for partner in partners {
            scope.spawn(move || serve(partner));
        }
        for run in 0..3 {
            let mut found = vec![0.0; len];
            plan.run(input, lengths, &mut found);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(&expected), "run {run}");
        }
        let helped = plan.crew().totals().helped;
        // Its end is the partners'.
        drop(plan);
        helped
    })
}

fn compare(net: &Network, limits: Limits, input: Input<'_>, lengths: &[usize]) -> u64 {
    let output = net.output();
    let rows: usize = lengths.iter().map(|&len| output.rows.of(len)).sum();
    let mut helped = 0;
    for isa in sets() {
        let precisions = [
            Precision::F32,
            Precision::Bf16,
            Precision::F16,
            Precision::Int8,
        ];
        let takes = |p: &Precision| match p {
            Precision::F32 | Precision::Bf16 => true,
            // The portable set computes each product in turn.
            Precision::F16 => isa.has_halves(),
            Precision::Int8 => isa.takes_bytes(),
        };
        for precision in precisions.into_iter().filter(takes) {
            let plan = Plan::new(net, isa, precision, limits);
            for partners in 1..=3 {
                helped += shared(&plan, partners, input, lengths, rows * output.columns);
            }
        }
    }
    helped
}

#[test]
fn a_transformer_with_partners_gives_the_same_bits() {
    let mut helped = 0;
    for seed in 0..seeds() {
        let mut random = Seeded(seed);
        let heads = random.from(1..=4);
        let (inputs, columns) = (random.from(1..=50), heads * 16 * random.from(1..=3));
        let rows = if cfg!(miri) { 9 } else { 90 };
        let lengths: Vec<usize> = (0..random.from(1..=3))
            .map(|_| random.from(1..=rows))
            .collect();
        let net = vision(&mut random, inputs, columns, heads, rows);
        let limits = Limits {
            rows: lengths.iter().sum(),
            sequences: lengths.len(),
        };
        let input = random.values(limits.rows * inputs);
        helped += compare(&net, limits, Input::Rows(&input), &lengths);
    }
    assert!(helped > 0, "no partner ever came");
}

#[test]
fn a_convolutional_network_with_partners_gives_the_same_bits() {
    let mut helped = 0;
    for seed in 0..2 * seeds() {
        let mut random = Seeded(seed);
        let (least, most) = if cfg!(miri) { (16, 20) } else { (40, 70) };
        let (height, width) = (random.from(least..=most), random.from(least..=most));
        let net = convolutional(&mut random, height, width);
        let pixels = random.values(height * width * 3);
        let one = Limits {
            rows: 1,
            sequences: 1,
        };
        helped += compare(&net, one, Input::Picture(&pixels), &[1]);
    }
    assert!(helped > 0 || cfg!(miri), "no partner ever came");
}

#[test]
fn a_plan_whose_partners_never_come_gives_the_same() {
    let mut random = Seeded(5);
    let net = vision(&mut random, 20, 48, 3, 40);
    let limits = Limits {
        rows: 40,
        sequences: 1,
    };
    let input = random.values(40 * 20);
    let len = net.output().rows.of(40) * net.output().columns;
    let mut plan = Plan::new(&net, Isa::best(), Precision::F32, limits);
    let (mut alone, mut found) = (vec![0.0; len], vec![0.0; len]);
    plan.clone().run(Input::Rows(&input), &[40], &mut alone);
    let (crew, partners) = crew(2);
    plan.share_with(crew);
    plan.run(Input::Rows(&input), &[40], &mut found);
    assert_eq!(alone, found);
    drop(partners);
}
