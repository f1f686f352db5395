//! Whole networks, with made-up weights.

use std::ops::Range;

use reflexarc::features::networks::{Model, Until};
use reflexarc::inference::cuda::Program;
use reflexarc::inference::cuda::compile::Feed;
use reflexarc::inference::cuda::program::Numbers;
use reflexarc::inference::made_up::MadeUp;
use reflexarc::inference::plan::Input;
use reflexarc::inference::tensors::Source as _;

use crate::compare;
use crate::emulated::emulator;

/// In f32 as against candle, in f16 as docs/cuda.md states.
const ERRORS: [f32; 2] = [1e-4, 2e-2];

fn check(models: &[Model]) {
    let Some(emulator) = emulator() else { return };
    for &model in models {
        let network = model.network(&MadeUp, Until::Map).unwrap();
        let picture = MadeUp
            .tensor("a picture", &[1, 1, 1, model.input().len()])
            .unwrap();
        let found = compare(
            emulator,
            &network,
            Input::Picture(&picture),
            model.rows(),
            true,
        );
        println!("{}: {found:?}", model.name());
        assert!(
            found[0] <= ERRORS[0] && found[1] <= ERRORS[1],
            "{}: {found:?}",
            model.name()
        );
    }
}

#[test]
fn the_smallest_convolutional_network_and_the_smallest_transformer() {
    check(&[Model::MobileNetV2, Model::VitTiny]);
}

/// Every value is read by those who are to read it before its memory is another's.
#[test]
fn nothing_is_overwritten_before_it_is_read_for_the_last_time() {
    for model in [Model::EfficientNetLite0, Model::ResNet18, Model::VitTiny] {
        let network = model.network(&MadeUp, Until::Map).unwrap();
        for numbers in [Numbers::F32, Numbers::F16] {
            let program = Program::new(&network, &Feed::Values, numbers, model.rows(), 16).unwrap();
            // Which launch wrote each part that is whole.
            let mut whole: Vec<Range<usize>> = Vec::new();
            let mut all = 0;
            for launch in &program.launches {
                for read in &launch.reads {
                    assert!(
                        whole.contains(read),
                        "{}: {} reads {read:?}",
                        model.name(),
                        launch.kernel
                    );
                }
                if let Some(written) = &launch.writes {
                    assert!(written.end <= program.arena);
                    assert!(
                        launch
                            .reads
                            .iter()
                            .all(|r| r.end <= written.start || written.end <= r.start)
                    );
                    whole.retain(|part| part.end <= written.start || written.end <= part.start);
                    whole.push(written.clone());
                    all += written.len();
                }
            }
            assert!(
                program.arena < all / 2,
                "{}: memory is used again",
                model.name()
            );
        }
    }
}

/// Minutes on one core. Not those which are a larger one of the same parts, and take many more.
#[test]
fn the_larger_networks() {
    if std::env::var_os("REFLEXARC_LONG").is_none() {
        println!("skipped: set REFLEXARC_LONG=1");
        return;
    }
    check(&[
        Model::EfficientNetLite0,
        Model::EfficientNetLite2,
        Model::ResNet18,
        Model::DinoV2Small,
    ]);
}
