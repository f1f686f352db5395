//! Convolutional networks as plans against candle: small ones of random shapes, and whole ones with made-up weights.

use reflexarc::error::Result;
use reflexarc::features::convolutional::{self, CLASSES, INPUT_LEN};
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::network::Network;
use reflexarc::inference::plan::{Input, Limits, Plan, Precision};
use reflexarc::inference::reference::Reference;
use reflexarc::inference::tensors::Source;

use crate::allocations;
use crate::made_up;
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

#[test]
fn convolutional_networks_give_what_candle_gives() {
    for seed in 0..60 {
        let mut random = Seeded(seed);
        let (height, width) = (random.from(30..=50), random.from(30..=50));
        let net = made_up::convolutional(&mut random, height, width);
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
    let net = made_up::convolutional(&mut Seeded(1), 32, 32);
    let mut plan = Plan::new(&net, Isa::best(), Precision::F32, ONE);
    let rows = net.output().rows.of(1) * net.output().columns;
    for pixels in [32 * 32 * 3 - 1, 32 * 32 * 3 + 1] {
        let pixels = vec![0.0; pixels];
        let mut output = vec![0.0; rows];
        crate::kernels::refuses(|| plan.run(Input::Picture(&pixels), &[1], &mut output));
    }
}
