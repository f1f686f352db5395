//! Weights that are missing, damaged, or of something else: each is refused with what, why and fix.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use reflexarc::error::{Fault, Kind};
use reflexarc::features::classifier::Classifier;
use reflexarc::features::encoders::{EncoderConfig, NetworkEncoder};
use reflexarc::features::networks::Model as NetworkModel;
use reflexarc::frame::{FrameFormat, PixelFormat};
use reflexarc::inference::made_up::MadeUp;
use reflexarc::inference::tensors::Source;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::network::weights;

/// Type, shape and bytes, by name.
type Tensors = HashMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The real tensors, to be spoilt.
pub struct Model(Tensors);

impl Model {
    pub fn real() -> Self {
        let bytes = std::fs::read(weights()).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        Self(
            tensors
                .tensors()
                .into_iter()
                .map(|(name, t)| (name, (t.dtype(), t.shape().to_vec(), t.data().to_vec())))
                .collect(),
        )
    }

    fn tensor(&mut self, name: &str) -> &mut (Dtype, Vec<usize>, Vec<u8>) {
        self.0.get_mut(name).unwrap()
    }

    pub fn set(&mut self, name: &str, index: usize, value: f32) {
        self.tensor(name).2[index * 4..][..4].copy_from_slice(&value.to_le_bytes());
    }

    /// Writes it to a file for as long as `with` runs.
    pub fn with_file<T>(&self, with: impl FnOnce(&Path) -> T) -> T {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spoilt.safetensors");
        self.write(&path);
        with(&path)
    }

    fn write(&self, path: &Path) {
        let views = self.0.iter().map(|(name, (dtype, shape, data))| {
            (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        safetensors::serialize_to_file(views, None, path).unwrap();
    }

    fn refused(&self) -> Fault {
        self.with_file(refused)
    }
}

/// Made-up weights, each kept as it is asked for: what a network reads is what the file will hold.
#[derive(Default)]
pub struct Recording(RefCell<Tensors>);

impl Source for Recording {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Fault> {
        let values = MadeUp.tensor(name, shape)?;
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = (Dtype::F32, shape.to_vec(), bytes);
        self.0.borrow_mut().insert(name.to_owned(), tensor);
        Ok(values)
    }
}

impl Recording {
    pub fn write(self, path: &Path) {
        Model(self.0.into_inner()).write(path);
    }
}

/// The fault of loading `path`, which must name the file and a way out.
fn refused(path: &Path) -> Fault {
    let (config, format) = (
        EncoderConfig::default(),
        FrameFormat::packed(PixelFormat::Grey, 64, 48),
    );
    let model = NetworkModel::EfficientNetLite0;
    let fault = NetworkEncoder::new(model, path, &config, format)
        .err()
        .unwrap();
    assert!(fault.what.contains(path.to_str().unwrap()), "{fault}");
    assert!(fault.fix.contains("reflexarc models fetch"), "{fault}");
    fault
}

#[track_caller]
fn explains(fault: &Fault, words: &[&str]) {
    assert_eq!(fault.kind, Kind::Model, "{fault}");
    for word in words {
        assert!(fault.why.contains(word), "no `{word}` in: {fault}");
    }
}

#[test]
fn a_missing_file_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("nothing.safetensors");
    assert_eq!(refused(&path).kind, Kind::Model);
    assert!(Classifier::load(&path).is_err());
}

#[test]
fn a_folder_in_place_of_the_file_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(refused(folder.path()).kind, Kind::Model);
}

#[test]
fn a_file_truncated_anywhere_is_refused() {
    let whole = std::fs::read(weights()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.safetensors");
    for len in [0, 1, 7, 8, 9, 100, 20_000, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        explains(&refused(&path), &[&format!("{len} bytes")]);
    }
    std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    explains(&refused(&path), &["bytes"]);
}

#[test]
fn a_file_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.safetensors");
    std::fs::write(&path, "<!doctype html><title>404</title>").unwrap();
    explains(&refused(&path), &["no complete safetensors file"]);
}

#[test]
fn a_missing_tensor_is_named_with_its_shape() {
    let mut model = Model::real();
    model.0.remove("_blocks.7._depthwise_conv.weight").unwrap();
    let fault = model.refused();
    explains(
        &fault,
        &[
            "_blocks.7._depthwise_conv.weight",
            "[480, 1, 3, 3]",
            "missing",
        ],
    );
}

#[test]
fn another_network_is_refused_with_what_the_file_holds() {
    let mut model = Model::real();
    model.0 = HashMap::from([(
        "encoder.layer.0.weight".to_owned(),
        (Dtype::F32, vec![1], vec![0; 4]),
    )]);
    explains(
        &model.refused(),
        &["_conv_stem.weight", "1 tensors", "encoder.layer.0.weight"],
    );
}

#[test]
fn a_wrong_shape_is_explained_with_both_shapes() {
    let mut model = Model::real();
    model.tensor("_conv_head.weight").1 = vec![320, 1280, 1, 1];
    explains(
        &model.refused(),
        &[
            "_conv_head.weight",
            "[320, 1280, 1, 1]",
            "expected [1280, 320, 1, 1]",
        ],
    );
}

#[test]
fn a_wrong_type_is_explained() {
    let mut model = Model::real();
    let tensor = model.tensor("_bn0.bias");
    tensor.0 = Dtype::I32;
    explains(
        &model.refused(),
        &["_bn0.bias", "I32", "expected F32 or F16"],
    );
}

#[test]
fn a_weight_that_is_not_finite_is_found() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut model = Model::real();
        model.set("_blocks.15._project_conv.weight", 1000, bad);
        explains(
            &model.refused(),
            &["_blocks.15._project_conv.weight", "position 1000"],
        );
    }
}

#[test]
fn a_negative_variance_is_found() {
    let mut model = Model::real();
    model.set("_blocks.3._bn1.running_var", 5, -1.0);
    explains(
        &model.refused(),
        &["_blocks.3._bn1.running_var", "-1", "position 5"],
    );
}
