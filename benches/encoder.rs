//! How long does one forward of the vision encoder take, and how far is it from what the core could do?

mod support;

use std::hint::black_box;

fn main() {
    let mut bench = support::Bench::start(
        "encoder",
        "How long does one forward of the vision encoder take?",
    );
    let mut sum = vec![1.0f32; 4096];
    bench.compare(
        "4096 multiply-adds",
        1000,
        &mut [support::Peer::timed("f32", 4096, || {
            for v in &mut sum {
                *v = v.mul_add(0.5, 0.25);
            }
            black_box(&mut sum);
        })],
    );
    bench.finish();
}
