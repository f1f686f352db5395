//! Convolutional networks of random shapes as plans, against candle.

use reflexarc::inference::kernels::Isa;
use reflexarc::inference::plan::{Input, Limits, Plan, Precision};
use reflexarc::inference::reference::Reference;

use crate::allocations;
use crate::made_up;
use crate::plans::assert_equal;
use crate::seeded::Seeded;

const ONE: Limits = Limits {
    rows: 1,
    sequences: 1,
};

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
