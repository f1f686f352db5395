//! Vision transformers of full size, with weights from a seeded generator, against candle.

use reflexarc::error::{Fault, Kind, Result};
use reflexarc::features::vision_transformer::{self, DINOV2_SMALL, Spec, VIT_SMALL, VIT_TINY};
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::plan::{Input, Limits, Plan, Precision};
use reflexarc::inference::reference::Reference;
use reflexarc::inference::tensors::Source;

use crate::allocations;
use crate::plans::{assert_equal, cosine};
use crate::seeded::Seeded;

/// Weights that keep the size of what goes through them, each tensor by its name.
struct MadeUp;

impl Source for MadeUp {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let seed = name
            .bytes()
            .fold(0, |sum, b| sum * 31 % 65_521 + u64::from(b));
        let inputs: usize = shape[1..].iter().product();
        let (size, mean) = match name {
            _ if name.ends_with("gamma") => (0.5, 0.5),
            _ if name.contains("norm") && name.ends_with("weight") => (0.2, 1.0),
            _ if name.ends_with("bias") => (0.05, 0.0),
            "cls_token" | "pos_embed" => (1.0, 0.0),
            _ => ((3.0 / inputs as f32).sqrt(), 0.0),
        };
        let values = Seeded(seed).values(shape.iter().product());
        Ok(values.iter().map(|v| mean + size * v).collect())
    }
}

/// One without the tensor of this name.
struct Without(&'static str);

impl Source for Without {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        if name == self.0 {
            return Err(Fault::new(Kind::Model, "no such tensor", name, ""));
        }
        MadeUp.tensor(name, shape)
    }
}

fn plan(spec: Spec, isa: Isa, precision: Precision) -> Plan {
    let network = vision_transformer::network(spec, &MadeUp).unwrap();
    let limits = Limits {
        rows: spec.patches(),
        sequences: 1,
    };
    Plan::new(&network, isa, precision, limits)
}

fn check(spec: Spec, isas: impl Iterator<Item = Isa>) {
    let network = vision_transformer::network(spec, &MadeUp).unwrap();
    let picture = Seeded(1).values(spec.input_len());
    let (input, lengths) = (Input::Picture(&picture), [spec.patches()]);
    let reference = Reference::new(&network).unwrap();
    let expected = reference.run(input, &lengths).unwrap();
    let mut found = vec![0.0; spec.output_len()];
    for isa in isas {
        let case = format!("{spec:?}, {isa:?}");
        let mut exact = plan(spec, isa, Precision::F32);
        let count = allocations(|| exact.run(input, &lengths, &mut found));
        assert_eq!(count, 0, "{case}");
        assert_equal(&found, &expected, &case);
        plan(spec, isa, Precision::Bf16).run(input, &lengths, &mut found);
        let cosine = cosine(&found, &expected);
        eprintln!("{case}, bf16: a cosine of {cosine:.6}");
        assert!(cosine > 0.9999, "{case}, bf16: a cosine of {cosine}");
    }
}

#[test]
fn vit_tiny_gives_what_candle_gives() {
    check(VIT_TINY, Isa::available());
}

#[test]
fn vit_small_gives_what_candle_gives() {
    check(VIT_SMALL, Isa::available().take(1));
}

#[test]
fn dinov2_small_gives_what_candle_gives() {
    check(DINOV2_SMALL, Isa::available().take(1));
}

#[test]
fn a_transformer_says_which_tensor_it_misses() {
    for name in ["cls_token", "blocks.11.ls2.gamma", "norm.bias"] {
        let fault = vision_transformer::network(DINOV2_SMALL, &Without(name)).unwrap_err();
        assert_eq!(fault.why, name);
    }
    assert!(vision_transformer::network(VIT_TINY, &Without("blocks.0.ls1.gamma")).is_ok());
}
