//! What do bf16 and int8 cost in accuracy? Each precision against f32, on frames of real footage and photographs with the
//! trained EfficientNets, and on instructions that robots are given with MiniLM. `benches/accuracy.py` fetches those, and runs this.

mod support;

use std::path::Path;

use reflexarc::capture::file::{FileConfig, FileSource};
use reflexarc::capture::{Pace, Readiness, Source as _};
use reflexarc::clock;
use reflexarc::features::FeatureMap;
use reflexarc::features::FrameView;
use reflexarc::features::classifier::{Classifier, pool};
use reflexarc::features::networks::{Model, Until};
use reflexarc::features::preprocess::{Crop, Preprocess};
use reflexarc::inference::engine::{self, Backend, Engine};
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::network::Network;
use reflexarc::inference::plan::{Input, Precision};
use reflexarc::inference::tensors::TensorFile;
use reflexarc::language::minilm::MiniLm;
use reflexarc::models::{self, Group};
use reflexarc::units::Nanos;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;
use serde_json::json;
use support::{Bench, say};

#[path = "support/photo.rs"]
mod photo;

/// Every precision that there ever was: what this build or this processor lacks is left out, and said.
const PRECISIONS: [&str; 3] = ["bf16", "int8", "f16"];
const CLIPS: [&str; 5] = [
    "vtest.avi",
    "traffic_sequence.mp4",
    "bikes.mp4",
    "carphone_pristine.mp4",
    "bigbuckbunny.mp4",
];
const PHOTOS: [&str; 6] = [
    "astronaut",
    "chelsea",
    "coffee",
    "ihc",
    "motorcycle_left",
    "motorcycle_right",
];
/// Frames of each clip, evenly spread over its first ones.
const FRAMES: usize = 100;
const STEP: usize = 3;
/// A frame is decoded in some ms.
const PATIENCE: Nanos = Nanos::from_secs(10);

fn main() {
    let mut bench = Bench::start(
        "accuracy",
        "What do bf16 and int8 cost in accuracy, against f32?",
    );
    models::ensure(&[Group::Run, Group::Footage]).unwrap_or_else(|fault| panic!("{fault}"));
    for model in [
        Model::EfficientNetLite0,
        Model::EfficientNetLite1,
        Model::EfficientNetLite2,
    ] {
        let path = models::path(model.weights().expect("an EfficientNet has weights"));
        match path.exists() {
            true => pictures(&mut bench, model, &path),
            false => say(&format!(
                "{}: `reflexarc models fetch encoders`",
                model.name()
            )),
        }
    }
    sentences(&mut bench);
    bench.finish();
}

/// Those that this processor computes faster than f32.
fn precisions() -> Vec<(&'static str, Precision)> {
    let known = PRECISIONS.into_iter().filter_map(|name| {
        let precision = Precision::deserialize(name.into_deserializer());
        precision
            .map_err(|_: ValueError| ())
            .ok()
            .map(|p| (name, p))
    });
    known
        .filter(|&(_, precision)| engine::check(Isa::best(), precision).is_ok())
        .collect()
}

// ------------------------------------------------------------------------------------------- pictures

/// What a picture becomes.
struct Seen {
    map: Vec<f32>,
    pooled: Vec<f32>,
    /// The likeliest class first.
    classes: Vec<usize>,
}

/// Sees pictures in one precision.
struct Eye {
    engine: Engine,
    rows: usize,
    map: FeatureMap,
}

impl Eye {
    fn new(network: &Network, model: Model, precision: Precision) -> Self {
        let rows = model.rows();
        let engine = Engine::new(network, Backend::Plan, precision, rows);
        Self {
            engine: engine.unwrap_or_else(|fault| panic!("{fault}")),
            rows,
            map: FeatureMap::new(model.map()),
        }
    }

    fn see(&mut self, picture: &[f32], classifier: &Classifier) -> Seen {
        let (input, to) = (Input::Picture(picture), self.map.values_mut());
        self.engine
            .run(input, self.rows, to)
            .expect("a plan does not fail");
        let mut pooled = vec![0.0; Classifier::CHANNELS];
        pool(&self.map, &mut pooled);
        let mut logits = vec![0.0; Classifier::CLASSES];
        classifier.logits(&pooled, &mut logits);
        let mut classes: Vec<usize> = (0..logits.len()).collect();
        classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        Seen {
            map: self.map.values().to_vec(),
            pooled,
            classes,
        }
    }
}

fn pictures(bench: &mut Bench, model: Model, weights: &Path) {
    let file = TensorFile::read(weights, model.fix()).unwrap_or_else(|fault| panic!("{fault}"));
    let network = file.tensors().and_then(|t| model.network(&t, Until::Map));
    let network = network.unwrap_or_else(|fault| panic!("{fault}"));
    let classifier = Classifier::load(weights).unwrap_or_else(|fault| panic!("{fault}"));
    let mut exact = Eye::new(&network, model, Precision::F32);
    let mut others: Vec<_> = precisions()
        .into_iter()
        .map(|(name, p)| (name, Eye::new(&network, model, p), Vec::new()))
        .collect();
    let frames = bench.size(FRAMES, 2);
    let mut count = 0;
    let mut each = |picture: &[f32]| {
        let expected = exact.see(picture, &classifier);
        for (_, eye, found) in &mut others {
            found.push(Compared::of(&expected, &eye.see(picture, &classifier)));
        }
        count += 1;
    };
    for name in PHOTOS {
        each(&photo::input(name, model.input()));
    }
    for clip in CLIPS {
        clip_frames(clip, model, frames, &mut each);
    }
    for (name, _, found) in others {
        let share =
            |test: fn(&Compared) -> bool| share(found.iter().filter(|c| test(c)).count(), count);
        bench.note(
            &format!("{} {name}", model.name()),
            json!({
                "pictures": count,
                "cosine_of_features": spread(found.iter().map(|c| c.pooled)),
                "cosine_of_map": spread(found.iter().map(|c| c.map)),
                "same_class_percent": share(|c| c.is_same_class),
                "class_among_first_five_percent": share(|c| c.is_among_five),
            }),
        );
    }
}

/// One picture in two precisions.
struct Compared {
    map: f64,
    pooled: f64,
    is_same_class: bool,
    /// The class of f32 is among the five likeliest.
    is_among_five: bool,
}

impl Compared {
    fn of(exact: &Seen, other: &Seen) -> Self {
        let class = exact.classes[0];
        Self {
            map: cosine(&exact.map, &other.map),
            pooled: cosine(&exact.pooled, &other.pooled),
            is_same_class: other.classes[0] == class,
            is_among_five: other.classes[..5].contains(&class),
        }
    }
}

/// Every third frame of a clip, so many of them, as the network's input.
fn clip_frames(clip: &str, model: Model, frames: usize, each: &mut dyn FnMut(&[f32])) {
    let config = FileConfig {
        path: models::path(&format!("{}/{clip}", models::FOOTAGE)),
        pace: Pace::Fastest,
        ..FileConfig::default()
    };
    let mut source = FileSource::open(&config, 0).unwrap_or_else(|fault| panic!("{fault}"));
    let input = model.input();
    let mut preprocess =
        Preprocess::new(source.format(), Crop::Full, input).expect("a format of ours");
    let mut values = vec![0.0; input.len()];
    source.start().unwrap_or_else(|fault| panic!("{fault}"));
    let mut index = 0;
    while index < frames * STEP {
        let ready = source
            .wait(clock::now() + PATIENCE)
            .expect("a file is read");
        match ready {
            Readiness::Ready => {}
            Readiness::Ended => break,
            other => panic!("{clip}: {other:?}"),
        }
        let Some(slot) = source.take(clock::now()).expect("a file is read") else {
            continue;
        };
        if index % STEP == 0 {
            let frame = FrameView {
                meta: slot.meta(),
                bytes: slot.bytes(),
            };
            preprocess.run(frame, &mut values).expect("a whole frame");
            each(&values);
        }
        source.give_back(slot.empty());
        index += 1;
    }
    source.stop();
}

// ------------------------------------------------------------------------------------------ sentences

/// Instructions of LIBERO and of Meta-World, a line each, where `accuracy.py` put them; and the things that the classifier
/// knows, each in a sentence.
fn sentences(bench: &mut Bench) {
    let names =
        std::fs::read(models::path(models::CLASS_NAMES)).expect("the names are in the cache");
    let names: Vec<String> = serde_json::from_slice(&names).expect("an array of names");
    let first = |name: &String| name.split(',').next().unwrap_or_default().to_owned();
    let things: Vec<String> = names
        .iter()
        .take(bench.size(1000, 20))
        .map(|name| format!("look at the {}", first(name)))
        .collect();
    let file = std::env::var_os("REFLEXARC_INSTRUCTIONS");
    let given =
        file.map(|file| std::fs::read_to_string(file).expect("the instructions can be read"));
    let given: Vec<String> = given
        .iter()
        .flat_map(|text| text.lines())
        .map(str::to_owned)
        .collect();
    for (title, texts) in [("instructions", given), ("things", things)] {
        if texts.is_empty() {
            say("no instructions of robots: python3 benches/accuracy.py brings them");
            continue;
        }
        let exact = embeddings(&texts, Precision::F32);
        for (name, precision) in precisions() {
            let found = embeddings(&texts, precision);
            let cosines = exact.iter().zip(&found).map(|(a, b)| cosine(a, b));
            let same = (0..texts.len()).filter(|&i| nearest(&exact, i) == nearest(&found, i));
            bench.note(
                &format!("minilm {name}, {title}"),
                json!({
                    "sentences": texts.len(),
                    "cosine": spread(cosines),
                    "same_nearest_sentence_percent": share(same.count(), texts.len()),
                }),
            );
        }
    }
}

type Embeddings = Vec<[f32; reflexarc::language::EMBEDDING_LEN]>;

/// One by one, as a robot hears them.
fn embeddings(texts: &[String], precision: Precision) -> Embeddings {
    let folder = models::path(models::TEXT_ENCODER);
    let model = MiniLm::load_for(&folder, Isa::best(), precision);
    let mut model = model.unwrap_or_else(|fault| panic!("{fault}"));
    let each = texts.iter().map(|text| model.encode(text));
    each.collect::<Result<_, _>>()
        .unwrap_or_else(|fault| panic!("{fault}"))
}

/// The other one that means most nearly the same.
fn nearest(all: &Embeddings, index: usize) -> usize {
    let others = (0..all.len()).filter(|&other| other != index);
    let near = |other: &usize| cosine(&all[*other], &all[index]);
    others
        .max_by(|a, b| near(a).total_cmp(&near(b)))
        .unwrap_or(index)
}

// -------------------------------------------------------------------------------------------- numbers

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The least, the hundredth part and the middle, to six digits.
fn spread(values: impl Iterator<Item = f64>) -> serde_json::Value {
    let mut values: Vec<f64> = values.map(|v| (v * 1e6).round() / 1e6).collect();
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values[(values.len() - 1) * part / 100];
    json!({ "least": at(0), "p1": at(1), "median": at(50) })
}

#[expect(clippy::cast_precision_loss, reason = "a thousand at most")]
fn share(part: usize, all: usize) -> f64 {
    (part as f64 / all as f64 * 10_000.0).round() / 100.0
}
