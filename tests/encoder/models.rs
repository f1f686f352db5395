//! The networks of full size, with made-up weights, against candle.

use reflexarc::error::{Fault, Kind, Result};
use reflexarc::features::networks::vision_transformer::{self, DINOV2_SMALL, VIT_TINY};
use reflexarc::features::networks::{CLASSES, Model, Until};
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::made_up::MadeUp;
use reflexarc::inference::plan::{Input, Limits, Plan, Precision};
use reflexarc::inference::reference::Reference;
use reflexarc::inference::tensors::Source;

use crate::allocations;
use crate::plans::{assert_equal, cosine};
use crate::seeded::Seeded;

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

/// One whose vision transformer was trained on `side` by `side` patches.
struct Trained {
    side: usize,
}

impl Source for Trained {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        if name == "pos_embed" {
            assert_eq!(shape, self.shape(name), "the table as it is");
        }
        MadeUp.tensor(name, shape)
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        assert_eq!(name, "pos_embed");
        vec![1, self.side.pow(2) + 1, VIT_TINY.columns]
    }
}

/// Plans on these instruction sets, in both precisions, give what candle gives, and allocate nothing.
fn check(model: Model, isas: impl Iterator<Item = Isa>, until: Until) {
    let network = model.network(&MadeUp, until).unwrap();
    let picture = Seeded(1).values(model.input().len());
    let (input, lengths) = (Input::Picture(&picture), [model.rows()]);
    let limits = Limits {
        rows: model.rows(),
        sequences: 1,
    };
    let reference = Reference::new(&network).unwrap();
    let expected = reference.run(input, &lengths).unwrap();
    let mut found = vec![0.0; expected.len()];
    for isa in isas {
        let case = format!("{model:?}, {isa:?}");
        let mut plan = Plan::new(&network, isa, Precision::F32, limits);
        let count = allocations(|| plan.run(input, &lengths, &mut found));
        assert_eq!(count, 0, "{case}");
        assert_equal(&found, &expected, &case);
        let mut plan = Plan::new(&network, isa, Precision::Bf16, limits);
        plan.run(input, &lengths, &mut found);
        let cosine = cosine(&found, &expected);
        eprintln!("{case}, bf16: a cosine of {cosine:.6}");
        // Of convolutions each layer's output is rounded, of transformers what is added to is not.
        let promised = if model.rows() == 1 { 0.999 } else { 0.9999 };
        assert!(cosine > promised, "{case}, bf16: a cosine of {cosine}");
    }
}

#[test]
fn efficientnet_lite0_gives_what_candle_gives() {
    check(Model::EfficientNetLite0, Isa::available(), Until::Map);
}

#[test]
fn efficientnet_lite1_gives_what_candle_gives() {
    check(Model::EfficientNetLite1, fastest(), Until::Summary);
}

#[test]
fn efficientnet_lite2_gives_what_candle_gives() {
    check(Model::EfficientNetLite2, fastest(), Until::Map);
}

#[test]
fn mobilenet_v2_gives_what_candle_gives() {
    check(Model::MobileNetV2, Isa::available(), Until::Classes);
}

#[test]
fn resnet18_gives_what_candle_gives() {
    check(Model::ResNet18, Isa::available(), Until::Classes);
}

#[test]
fn vit_tiny_gives_what_candle_gives() {
    check(Model::VitTiny, Isa::available(), Until::Map);
}

#[test]
fn vit_small_gives_what_candle_gives() {
    check(Model::VitSmall, fastest(), Until::Summary);
}

#[test]
fn dinov2_small_gives_what_candle_gives() {
    check(Model::DinoV2Small, fastest(), Until::Map);
}

#[test]
fn siglip_gives_what_candle_gives() {
    check(Model::SiglipBase, fastest(), Until::Summary);
}

/// What Hugging Face's transformers 5 on PyTorch 2.15 makes of the same weights and picture: tests/oracles/siglip.py.
#[test]
fn siglip_gives_what_transformers_gives() {
    let model = Model::SiglipBase;
    let picture = MadeUp
        .tensor("a picture", &[1, 1, 1, model.input().len()])
        .unwrap();
    let limits = Limits {
        rows: model.rows(),
        sequences: 1,
    };
    let first = [
        0.38004, -0.92518, -0.79735, 0.98307, -0.03981, 2.90336, 0.31211, 1.07432,
    ];
    let hundredth = [
        0.40473, -0.18465, -0.65716, 0.0786, 1.62933, -1.59329, -0.0297, 1.49346,
    ];
    let channels = model.map().channels;
    for (until, row, expected) in [(Until::Summary, 0, first), (Until::Map, 100, hundredth)] {
        let network = model.network(&MadeUp, until).unwrap();
        let mut plan = Plan::new(&network, Isa::best(), Precision::F32, limits);
        let shape = network.output();
        let mut found = vec![0.0; shape.rows.of(model.rows()) * shape.columns];
        plan.run(Input::Picture(&picture), &[model.rows()], &mut found);
        let found = &found[row * channels..];
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 2e-4,
                "{until:?}: {found} in place of {expected}"
            );
        }
    }
}

fn fastest() -> impl Iterator<Item = Isa> {
    Isa::available().take(1)
}

#[test]
fn what_a_model_says_of_its_shape_is_what_its_network_has() {
    for model in Model::ALL {
        let map = model.network(&MadeUp, Until::Map).unwrap().output();
        let positions = map.rows.of(model.rows()) - model.rows_in_front();
        assert_eq!(
            positions,
            model.map().rows * model.map().columns,
            "{model:?}"
        );
        assert_eq!(map.columns, model.map().channels, "{model:?}");
        let summary = model.network(&MadeUp, Until::Summary).unwrap().output();
        assert_eq!(summary.rows.of(model.rows()), 1, "{model:?}");
        assert_eq!(summary.columns, map.columns, "{model:?}");
    }
    let classes = Model::MobileNetV2.network(&MadeUp, Until::Classes).unwrap();
    assert_eq!(classes.output().columns, CLASSES);
}

/// The millions that timm 1.0 states for its models of these names, with two digits for some.
#[test]
fn multiply_adds_are_those_that_others_count() {
    for (model, millions) in [
        (Model::EfficientNetLite0, 400),
        (Model::MobileNetV2, 300),
        (Model::ResNet18, 1820),
        (Model::VitTiny, 1260),
    ] {
        let network = model.network(&MadeUp, Until::Map).unwrap();
        let found = network.multiply_adds(model.rows()) / 1_000_000;
        assert!(
            found.abs_diff(millions) < millions / 20,
            "{model:?}: {found}"
        );
    }
}

#[test]
fn a_transformer_says_which_tensor_it_misses() {
    let network = vision_transformer::network;
    for name in ["cls_token", "blocks.11.ls2.gamma", "norm.bias"] {
        let fault = network(DINOV2_SMALL, &Without(name), Until::Map).unwrap_err();
        assert_eq!(fault.why, name);
    }
    assert!(network(VIT_TINY, &Without("blocks.0.ls1.gamma"), Until::Map).is_ok());
}

#[test]
fn a_transformer_that_was_trained_on_other_pictures_has_its_positions_resampled() {
    let network = vision_transformer::network(VIT_TINY, &Trained { side: 37 }, Until::Map);
    let limits = Limits {
        rows: VIT_TINY.patches(),
        sequences: 1,
    };
    let mut plan = Plan::new(&network.unwrap(), Isa::best(), Precision::F32, limits);
    let picture = Seeded(1).values(Model::VitTiny.input().len());
    let mut output = vec![0.0; (VIT_TINY.patches() + 1) * VIT_TINY.columns];
    plan.run(Input::Picture(&picture), &[VIT_TINY.patches()], &mut output);
    assert!(output.iter().all(|v| v.is_finite()));
}
