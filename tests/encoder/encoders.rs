//! The encoders as the features stage uses them: camera frame in, feature map out.

use reflexarc::error::{Kind, StepError};
use reflexarc::features::classifier::{Classifier, pool};
use reflexarc::features::encoders::{
    EncoderConfig, EncoderName, Features, NetworkEncoder, NullEncoder, open,
};
use reflexarc::features::networks::{Model, Until};
use reflexarc::features::preprocess::Crop;
use reflexarc::features::{Encoder, FeatureMap, FrameView};
use reflexarc::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use reflexarc::inference::engine::{self, Backend};
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::plan::Precision;
use reflexarc::units::MonoTime;

use crate::seeded::Seeded;
use crate::{allocations, damage, network, photo};

fn meta(format: FrameFormat, bytes: usize) -> FrameMeta {
    FrameMeta {
        seq: 0,
        source_index: 0,
        format,
        bytes_used: bytes as u32,
        captured: MonoTime::ZERO,
        stamp: StampSource::Arrival,
        arrived: MonoTime::ZERO,
        marks: FrameMarks::default(),
    }
}

/// The class that an encoder sees in a whole RGB picture.
fn class_of(encoder: &mut dyn Encoder, format: FrameFormat, bytes: &[u8]) -> usize {
    let meta = meta(format, bytes.len());
    encoder.load(FrameView { meta: &meta, bytes }).unwrap();
    let mut map = FeatureMap::new(encoder.shape());
    encoder.encode(&mut map).unwrap();
    let mut pooled = vec![0.0; Classifier::CHANNELS];
    pool(&map, &mut pooled);
    let mut logits = vec![0.0; Classifier::CLASSES];
    let classifier = Classifier::load(&network::weights()).unwrap();
    classifier.logits(&pooled, &mut logits);
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    best.unwrap()
}

#[test]
fn what_a_camera_sees_is_recognised() {
    // The whole picture and an area filter in place of the golden numbers' crop and bicubic, so other pictures of the same
    // things: any cat of the three house cats among the classes will do.
    for (name, classes) in [
        ("chelsea", 281..=285),
        ("coffee", 967..=968),
        ("motorcycle_left", 665..=670),
    ] {
        let (width, height, pixels) = photo::decode(name);
        let format = FrameFormat::packed(PixelFormat::Rgb24, width as u32, height as u32);
        let config = EncoderConfig::default();
        let mut encoder = open(&config, format).unwrap();
        assert_eq!(encoder.name(), "efficientnet-lite0");
        let class = class_of(encoder.as_mut(), format, &pixels);
        assert!(classes.contains(&class), "{name} is seen as class {class}");
    }
}

#[test]
fn load_and_encode_allocate_nothing() {
    let format = FrameFormat::packed(PixelFormat::Yuyv, 1920, 1080);
    let bytes = vec![100; format.frame_bytes()];
    let meta = meta(format, bytes.len());
    let frame = FrameView {
        meta: &meta,
        bytes: &bytes,
    };
    for name in [EncoderName::default(), EncoderName::Null] {
        let config = EncoderConfig {
            name,
            ..EncoderConfig::default()
        };
        let mut encoder = open(&config, format).unwrap();
        let mut map = FeatureMap::new(encoder.shape());
        let count = allocations(|| {
            for _ in 0..3 {
                encoder.load(frame).unwrap();
                encoder.encode(&mut map).unwrap();
            }
        });
        assert_eq!(count, 0, "{name:?}");
    }
}

#[test]
fn a_short_frame_is_refused_and_the_next_one_is_fine() {
    let format = FrameFormat::packed(PixelFormat::Grey, 64, 48);
    let mut encoder = open(&EncoderConfig::default(), format).unwrap();
    let bytes = vec![100; format.frame_bytes()];
    let meta = meta(format, bytes.len());
    let short = FrameView {
        meta: &meta,
        bytes: &bytes[..bytes.len() - 1],
    };
    assert_eq!(encoder.load(short), Err(StepError::BadFrame));
    let whole = FrameView {
        meta: &meta,
        bytes: &bytes,
    };
    assert_eq!(encoder.load(whole), Ok(()));
}

#[test]
fn weights_that_overflow_are_found_at_the_warm_up() {
    let mut model = damage::Model::real();
    for (index, value) in [(0, f32::MAX), (1, f32::MIN)] {
        model.set("_conv_head.weight", index, value);
    }
    let gain = 1e3;
    model.set("_bn1.weight", 0, gain);
    model.with_file(|path| {
        let format = FrameFormat::packed(PixelFormat::Grey, 64, 48);
        let opened = NetworkEncoder::new(
            Model::EfficientNetLite0,
            path,
            &EncoderConfig::default(),
            format,
        );
        let fault = opened.err().unwrap();
        assert_eq!(fault.kind, Kind::Model);
        assert!(fault.what.contains("NotFinite"), "{fault}");
    });
}

#[test]
fn the_null_encoder_adds_up_every_byte() {
    let mut random = Seeded(7);
    for len in (1..200).chain([4096, 640 * 480 * 2]) {
        let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        let format = FrameFormat::packed(PixelFormat::Grey, len as u32, 1);
        let meta = meta(format, len);
        let mut encoder = NullEncoder::default();
        let mut load = |bytes: &[u8]| {
            let frame = FrameView { meta: &meta, bytes };
            encoder.load(frame).unwrap();
            encoder.sum()
        };
        let sum = load(&bytes);
        let places = [0, len / 2, len - 1, random.from(0..=len - 1)];
        for at in places {
            bytes[at] ^= 1;
            assert_ne!(load(&bytes), sum, "byte {at} of {len} was not looked at");
            bytes[at] ^= 1;
        }
        assert_eq!(load(&bytes), sum);
    }
}

#[test]
fn the_null_encoder_refuses_a_frame_without_bytes() {
    let format = FrameFormat::packed(PixelFormat::Grey, 1, 1);
    let frame = FrameView {
        meta: &meta(format, 0),
        bytes: &[],
    };
    let mut encoder = NullEncoder::default();
    assert_eq!(encoder.load(frame), Err(StepError::BadFrame));
}

#[test]
fn the_configuration_names_what_it_does_not_know() {
    let config: EncoderConfig = toml::from_str("").unwrap();
    assert_eq!(config, EncoderConfig::default());
    let config: EncoderConfig =
        toml::from_str("name = \"null\"\nbackend = \"plan-avx2\"\nprecision = \"bf16\"\nfeatures = \"summary\"\ncrop = \"full\"").unwrap();
    assert_eq!(config.name, EncoderName::Null);
    assert_eq!(config.backend, Backend::PlanAvx2);
    assert_eq!(config.precision, Precision::Bf16);
    assert_eq!(config.features, Features::Summary);
    assert_eq!(config.crop, Crop::Full);
    for (text, known) in [
        ("name = \"resnet\"", "`efficientnet-lite0`"),
        ("name = \"resnet\"", "`resnet18`"),
        ("backend = \"tpu\"", "plan"),
        ("[cuda]\nfallback = \"cpu\"", "plan"),
        ("precision = \"f8\"", "bf16"),
        ("features = \"all\"", "summary"),
        ("weight = \"file\"", "weights"),
    ] {
        let error = toml::from_str::<EncoderConfig>(text)
            .unwrap_err()
            .to_string();
        assert!(error.contains(known), "{error}");
    }
}

#[test]
fn weights_named_in_the_configuration_are_the_ones_that_are_read() {
    let config = EncoderConfig {
        weights: Some("no/such/file.safetensors".into()),
        ..EncoderConfig::default()
    };
    let format = FrameFormat::packed(PixelFormat::Grey, 64, 48);
    let fault = open(&config, format).err().unwrap();
    assert!(fault.what.contains("no/such/file.safetensors"), "{fault}");
}

#[test]
fn an_encoder_without_weights_of_its_own_says_whose_it_takes() {
    let format = FrameFormat::packed(PixelFormat::Grey, 64, 48);
    for model in Model::ALL
        .into_iter()
        .filter(|model| model.weights().is_none())
    {
        let config = EncoderConfig {
            name: EncoderName::Network(model),
            ..EncoderConfig::default()
        };
        let fault = open(&config, format).err().unwrap();
        assert_eq!(fault.kind, Kind::Config);
        assert!(fault.fix.contains("encoder.weights"), "{fault}");
        let whose = ["timm", "google/siglip"].map(|name| fault.fix.contains(name));
        assert!(whose.contains(&true), "{fault}");
    }
}

/// A file as its authors write it, with made-up weights.
fn written(model: Model, path: &std::path::Path) {
    let recording = damage::Recording::default();
    for until in [Until::Map, Until::Summary] {
        model.network(&recording, until).unwrap();
    }
    recording.write(path);
}

#[test]
fn every_network_runs_on_frames_from_a_file_of_weights() {
    let format = FrameFormat::packed(PixelFormat::Yuyv, 320, 240);
    let bytes: Vec<u8> = (0..format.frame_bytes())
        .map(|i| (i * 7 % 251) as u8)
        .collect();
    let meta = meta(format, bytes.len());
    let frame = FrameView {
        meta: &meta,
        bytes: &bytes,
    };
    let folder = tempfile::tempdir().unwrap();
    for model in Model::ALL {
        let path = folder.path().join(model.name());
        written(model, &path);
        let mut maps = [Features::Map, Features::Summary].map(|features| {
            let config = EncoderConfig {
                name: EncoderName::Network(model),
                weights: Some(path.clone()),
                features,
                ..EncoderConfig::default()
            };
            let mut encoder = open(&config, format).unwrap();
            assert_eq!(encoder.name(), model.name());
            let mut map = FeatureMap::new(encoder.shape());
            let count = allocations(|| {
                encoder.load(frame).unwrap();
                encoder.encode(&mut map).unwrap();
            });
            assert_eq!(count, 0, "{model:?}");
            map
        });
        let [map, summary] = &mut maps;
        assert_eq!(map.shape(), model.map());
        let shape = summary.shape();
        assert_eq!((shape.rows, shape.columns), (1, 1));
        // Of a convolutional network.
        if model.rows() == 1 {
            let mut pooled = vec![0.0; shape.channels];
            pool(map, &mut pooled);
            for (mean, found) in pooled.iter().zip(summary.values()) {
                assert!((mean - found).abs() < 1e-4, "{model:?}: {mean}, {found}");
            }
        }
    }
}

#[test]
fn a_precision_that_the_processor_has_no_instructions_for_is_refused() {
    for isa in Isa::available() {
        engine::check(isa, Precision::F32).unwrap();
        let older = [isa.without_pairs(), isa.without_quads()];
        for isa in older.into_iter().flatten() {
            let fault = engine::check(isa, Precision::Bf16).unwrap_err();
            assert_eq!(fault.kind, Kind::Unsupported);
            assert!(fault.to_string().contains("bf16"), "{fault}");
        }
        if let Some(isa) = isa.without_quads() {
            let fault = engine::check(isa, Precision::Int8).unwrap_err();
            assert_eq!(fault.kind, Kind::Unsupported);
            assert!(fault.to_string().contains("int8"), "{fault}");
        }
    }
    let portable = Isa::named("portable").unwrap();
    for precision in [Precision::Bf16, Precision::F16] {
        assert!(engine::check(portable, precision).is_err());
    }
    // No set of x86-64 multiplies f16 here.
    if cfg!(target_arch = "x86_64") {
        for isa in Isa::available() {
            let fault = engine::check(isa, Precision::F16).unwrap_err();
            assert_eq!(fault.kind, Kind::Unsupported);
            assert!(fault.to_string().contains("f16"), "{fault}");
        }
    }
}
