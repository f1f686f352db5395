//! Our side of `benches/engines`: writes the cases that all engines run, and is two of the engines, ours and candle.
//!
//! usage: `engines_ours export FOLDER`, `engines_ours facts`, `engines_ours serve plan|candle PRECISION THREADS`
//!
//! `serve` is told what to do by lines on its standard input and answers each with a line: see README.md.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use core_affinity::CoreId;
use reflexarc::clock;
use reflexarc::error::{Fault, Kind, Result};
use reflexarc::features::networks::{Model, Until};
use reflexarc::inference::engine::{Backend, Engine};
use reflexarc::inference::made_up::MadeUp;
use reflexarc::inference::network::Network;
use reflexarc::inference::plan::{Input, Precision};
use reflexarc::inference::tensors::{Source, TensorFile};
use reflexarc::language::{self, minilm};
use reflexarc::models::{self, Group};
use reflexarc::rt::crew::{Crew, Partner, crew};
use reflexarc::rt::thread::{self, Class, ThreadSpec};
use reflexarc::rt::wait::WaitPolicy;
use reflexarc::units::Nanos;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;
use tokenizers::Tokenizer;

#[allow(dead_code, reason = "its facts are wanted, not its one line")]
#[path = "../support/machine.rs"]
mod machine;

#[path = "../support/photo.rs"]
mod photo;

/// What a network looks at.
const PHOTO: &str = "chelsea";
/// Others, by which the peers' int8 finds its ranges.
const CALIBRATION: [&str; 5] = [
    "astronaut",
    "coffee",
    "ihc",
    "motorcycle_left",
    "motorcycle_right",
];
/// Sentences of 9 and of 16 tokens.
const SENTENCES: [&str; 2] = [
    "Put the red cup on the table",
    "Take the small screw from the left box, and give it to me",
];

/// Forwards before the first that is timed: memory comes into being, and the processor leaves its idle frequency.
const WARM_UP: usize = 3;

/// What is computed: the network, and the values that go in.
struct Case {
    name: String,
    model: Option<Model>,
    words: Vec<u32>,
    picture: Vec<f32>,
}

impl Case {
    fn all() -> Vec<Self> {
        let models = [
            Model::MobileNetV2,
            Model::EfficientNetLite0,
            Model::ResNet18,
            Model::VitTiny,
            Model::DinoV2Small,
        ];
        let pictures = models.map(|model| Self {
            name: model.name().to_owned(),
            model: Some(model),
            words: Vec::new(),
            picture: photo::input(PHOTO, model.input()),
        });
        let file = models::path(models::TEXT_ENCODER).join("tokenizer.json");
        let mut tokenizer = Tokenizer::from_file(file).expect("the models cache has been filled");
        tokenizer.with_padding(None);
        let sentences = SENTENCES.map(|sentence| {
            let encoding = tokenizer.encode(sentence, true).expect("a sentence");
            let words = encoding.get_ids().to_vec();
            Self {
                name: format!("minilm@{}", words.len()),
                model: None,
                words,
                picture: Vec::new(),
            }
        });
        pictures.into_iter().chain(sentences).collect()
    }

    fn input(&self) -> Input<'_> {
        match self.model {
            Some(_) => Input::Picture(&self.picture),
            None => Input::Words(&self.words),
        }
    }

    /// Rows of the input, as a plan counts them.
    fn rows(&self) -> usize {
        self.model.map_or(self.words.len(), Model::rows)
    }

    /// A convolutional network to its classes, a transformer to its last norm.
    fn until(model: Model) -> Until {
        match model {
            Model::VitTiny | Model::VitSmall | Model::DinoV2Small => Until::Map,
            _ => Until::Classes,
        }
    }

    /// The network, with trained weights where a package has them, and all tensors that it took.
    fn network(&self) -> Result<(Network, Taken)> {
        let Some(model) = self.model else {
            let folder = models::path(models::TEXT_ENCODER);
            return Ok((
                minilm::network(&folder)?,
                Taken::File(folder.join("model.safetensors")),
            ));
        };
        let until = Self::until(model);
        match model.weights() {
            Some(file) => {
                let path = models::path(file);
                let file = TensorFile::read(&path, model.fix())?;
                let network = model.network(&file.tensors()?, until)?;
                Ok((network, Taken::File(path)))
            }
            None => {
                let recording = Recording::default();
                let network = model.network(&recording, until)?;
                Ok((network, Taken::Tensors(recording.0.into_inner())))
            }
        }
    }
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Where a network's weights are to be had by others.
enum Taken {
    File(PathBuf),
    Tensors(Tensors),
}

/// Made-up weights, which remembers those that it was asked for.
#[derive(Default)]
struct Recording(RefCell<Tensors>);

impl Source for Recording {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let values = MadeUp.tensor(name, shape)?;
        let tensor = (shape.to_vec(), values.clone());
        self.0.borrow_mut().insert(name.to_owned(), tensor);
        Ok(values)
    }
}

fn main() {
    // What each does is said by who starts it; anything else is a mistake there.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["export", folder] => export(Path::new(folder)),
        ["facts"] => {
            say(&machine::facts().to_string());
            Ok(())
        }
        ["serve", engine, precision, threads] => serve(engine, precision, threads),
        // As `cargo test --benches` and `cargo bench` call it.
        _ => Ok(()),
    };
    if let Err(fault) = done {
        panic!("{fault}");
    }
}

/// Writes for each case a folder with the weights, the input, and candle's output.
fn export(folder: &Path) -> Result<()> {
    models::ensure(&[Group::Run])?;
    language::keep_candle_on_this_thread();
    for case in Case::all() {
        let folder = folder.join(&case.name);
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let (network, taken) = case.network()?;
        let weights = folder.join("weights.safetensors");
        match taken {
            Taken::File(path) => {
                std::fs::copy(path, weights).expect("the weights can be copied");
            }
            Taken::Tensors(tensors) => write(&weights, &tensors),
        }
        let mut engine = Engine::new(&network, Backend::Candle, Precision::F32, case.rows())?;
        let mut expected = vec![0.0; engine.output_len()];
        let done = engine.run(case.input(), case.rows(), &mut expected);
        done.expect("candle runs what it has taken");
        let input = match case.model {
            Some(_) => bytes(&case.picture),
            None => case
                .words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect(),
        };
        std::fs::write(folder.join("input.bin"), input).expect("the input can be written");
        if let Some(model) = case.model {
            let others = CALIBRATION.map(|name| bytes(&photo::input(name, model.input())));
            let file = folder.join("calibration.bin");
            std::fs::write(file, others.concat()).expect("the others can be written");
        }
        std::fs::write(folder.join("expected.bin"), bytes(&expected))
            .expect("the output can be written");
        say(&format!(
            "{}: {} million multiply-adds, {} outputs",
            case.name,
            network.multiply_adds(case.rows()) / 1_000_000,
            expected.len()
        ));
    }
    Ok(())
}

fn write(path: &Path, tensors: &Tensors) {
    let bytes: BTreeMap<&String, (&Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (name, (shape, bytes(values))))
        .collect();
    let views = bytes.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, (*shape).clone(), bytes);
        (name, view.expect("as many values as the shape has"))
    });
    safetensors::serialize_to_file(views, None, path).expect("the weights can be written");
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// A case that is ready to be timed.
struct Loaded {
    case: Case,
    engine: Engine,
    output: Vec<f32>,
}

/// What is asked of ours for all cases.
struct Asked<'a> {
    backend: Backend,
    precision: &'a str,
    threads: usize,
    /// Those that this process may use; the last is that of the main thread.
    cores: Vec<CoreId>,
}

impl Loaded {
    fn new(name: &str, asked: &Asked<'_>) -> Result<Self> {
        // As the configuration has it: what this build does not know is no precision of ours.
        let precision = Precision::deserialize(asked.precision.into_deserializer());
        let precision = precision.map_err(|error: ValueError| no_such(&error))?;
        let case = Case::all().into_iter().find(|case| case.name == name);
        let case = case.unwrap_or_else(|| panic!("no case {name}"));
        let network = case.network()?.0;
        let mut engine = Engine::new(&network, asked.backend, precision, case.rows())?;
        if asked.backend == Backend::Plan {
            engine.share_with(partners(asked.threads - 1, &asked.cores)?);
        }
        let mut loaded = Self {
            output: vec![0.0; engine.output_len()],
            case,
            engine,
        };
        for _ in 0..WARM_UP {
            loaded.run();
        }
        Ok(loaded)
    }

    fn run(&mut self) {
        let done = self
            .engine
            .run(self.case.input(), self.case.rows(), &mut self.output);
        done.expect("it ran when it was loaded");
    }

    /// One forward that is not counted, then forwards for so long, at least one: nanoseconds of each, and processor time of
    /// all.
    fn time(&mut self, budget: Nanos) -> String {
        self.run();
        let (begin, used) = (clock::now(), processor_ns());
        let mut answer = String::new();
        loop {
            let from = clock::now();
            self.run();
            let now = clock::now();
            let _ = write!(answer, " {}", (now - from).clamp_u64());
            if now - begin >= budget {
                break;
            }
        }
        format!("{}{answer}", processor_ns() - used)
    }
}

/// So many partners, on the cores before this thread's. They end when the crew does.
fn partners(count: usize, cores: &[CoreId]) -> Result<Crew> {
    let (crew, partners) = crew(count);
    for (partner, core) in partners.into_iter().zip(cores.iter().rev().skip(1)) {
        let spec = ThreadSpec {
            name: "partner".to_owned(),
            class: Class::Normal,
            cores: vec![core.id],
            wait: WaitPolicy::Park { spin: Nanos::ZERO },
        };
        thread::spawn(spec, move |context| serve_as(partner, context.wait))?;
    }
    Ok(crew)
}

fn serve_as(mut partner: Partner, wait: WaitPolicy) {
    // BOUND: until the engine is dropped; between two looks whether it was, 50 ms.
    while !partner.is_over() {
        partner.serve(wait, clock::now() + Nanos::from_millis(50));
    }
}

/// Answers line by line, until its input ends.
fn serve(engine: &str, precision: &str, threads: &str) -> Result<()> {
    models::ensure(&[Group::Run])?;
    let asked = Asked {
        backend: match engine {
            "candle" => Backend::Candle,
            _ => Backend::Plan,
        },
        precision,
        threads: threads.parse().expect("a number of threads"),
        cores: core_affinity::get_core_ids().unwrap_or_default(),
    };
    // candle's threads would inherit it.
    if let (Backend::Plan, Some(&own)) = (asked.backend, asked.cores.last()) {
        core_affinity::set_for_current(own);
    }
    if asked.threads == 1 {
        language::keep_candle_on_this_thread();
    }
    let mut loaded: Option<Loaded> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("lines are text");
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match (&words[..], &mut loaded) {
            (["load", name, _folder, output], place) => {
                *place = None;
                match Loaded::new(name, &asked) {
                    Ok(ready) => {
                        std::fs::write(output, bytes(&ready.output))
                            .expect("the output can be written");
                        *place = Some(ready);
                        "ok".to_owned()
                    }
                    Err(fault) => format!("no {}", one_line(&fault)),
                }
            }
            (["time", ms], Some(ready)) => {
                let ms = ms.parse().expect("a number of milliseconds");
                ready.time(Nanos::from_millis(ms))
            }
            _ => panic!("what is `{line}`?"),
        };
        say(&answer);
    }
    Ok(())
}

fn no_such(error: &ValueError) -> Fault {
    let what = "this build has no such precision";
    Fault::new(Kind::Unsupported, what, error.to_string(), "leave it out")
}

fn one_line(fault: &Fault) -> String {
    fault.to_string().replace('\n', "; ")
}

/// What this process has used of all cores.
fn processor_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of ours, and the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// A line to who started us.
#[expect(clippy::disallowed_macros, reason = "its output is how it answers")]
fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}
