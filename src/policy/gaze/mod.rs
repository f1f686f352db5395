//! The `gaze` policy: points a pan-tilt camera at what the instruction names, without any training.
//!
//! The instruction is matched to the network's classes (`matching`), their evidence is looked for in the feature map
//! (`evidence`), and its centre, seen from where the camera stood when the frame was taken, is the direction to turn
//! to. What is not in view is searched for in one sweep over the joint range (`search`); what no class names is not
//! searched for at all. Either way it says so and holds.
//!
//! Actions are `[pan, tilt]` in radian, positions. Needs the joint angles as the first sensor.
//!
//! Thread: fusion. Allocates: in `open`. Blocks: no. Locks: no. Syscalls: no.

mod config;
mod evidence;
mod matching;
mod memory;
mod search;

use std::path::Path;

use crate::action::Chunk;
use crate::error::{Fault, Kind, Result, StepError};
use crate::features::FeatureShape;
use crate::features::classifier::Classifier;
use crate::language::Instruction;
use crate::lens::{Lens, Pose};
use crate::models;
use crate::policy::{Aligned, Explainer, Memory, Phase, Policy, PolicyStatus};
use crate::stream::align::choice::Status;
use crate::units::{MonoTime, Nanos};

pub use config::GazeConfig;
use evidence::{Evidence, Sighting};
use matching::{CLASSES, Matching};
use search::Search;

/// Targets of a chunk: enough to bridge ten lost frames at 30 a second.
const STEPS: u8 = 35;
const STEP: Nanos = Nanos::from_millis(10);
/// Frames in a row that must show the object before it counts as seen, and miss it before it counts as lost.
const SEEN_FRAMES: u32 = 2;
const LOST_FRAMES: u32 = 10;
/// Share of a new direction in the smoothed one.
const SMOOTHING: f64 = 0.35;
/// The object counts as centred within this share of the picture.
const CENTRED: f64 = 0.06;

/// See the module.
pub struct Gaze {
    config: GazeConfig,
    lens: Lens,
    names: Vec<String>,
    matching: Matching,
    evidence: Evidence,
    search: Search,
    weights: Box<[f32; CLASSES]>,
    instruction: u32,
    phase: Phase,
    class: usize,
    similarity: f32,
    sighting: Sighting,
    seen: u32,
    missed: u32,
    /// Where the object is, smoothed.
    object: Pose,
    /// Where the last command had brought the joints, and when.
    command: Pose,
    command_at: MonoTime,
}

impl Gaze {
    /// Loads class names and embeddings from the models cache, and the network's last layer from the file of the
    /// encoder's weights. `lens` is the camera's.
    ///
    /// # Errors
    /// `Model` when a file is missing, damaged or does not fit; `Config` when the features are not the map that its classes
    /// were trained on.
    pub fn open(
        config: &GazeConfig,
        models_dir: &Path,
        weights: &Path,
        lens: Lens,
        shape: FeatureShape,
    ) -> Result<Self> {
        if shape.channels != Classifier::CHANNELS || shape.rows * shape.columns == 1 {
            return Err(Fault::new(
                Kind::Config,
                format!(
                    "the policy \"gaze\" with features of {} by {} positions and {} channels",
                    shape.rows, shape.columns, shape.channels
                ),
                format!(
                    "it looks for classes at each position, by an EfficientNet-Lite's {} channels",
                    Classifier::CHANNELS
                ),
                "set encoder.name to \"efficientnet-lite0\", \"-lite1\" or \"-lite2\" and encoder.features to \"map\", or \
                 choose another policy",
            ));
        }
        let classifier = Classifier::load(weights)?;
        let names = models::class_names::load(&models_dir.join(models::CLASS_NAMES))?;
        let matching = Matching::new(models::class_embeddings()?, &classifier)?;
        let range = Pose {
            pan: config.pan_range.radians(),
            tilt: config.tilt_range.radians(),
        };
        Ok(Self {
            config: config.clone(),
            lens,
            names,
            matching,
            evidence: Evidence::new(classifier, shape.rows * shape.columns),
            search: Search::new(range),
            weights: Box::new([0.0; CLASSES]),
            instruction: 0,
            phase: Phase::Idle,
            class: 0,
            similarity: 0.0,
            sighting: Sighting::default(),
            seen: 0,
            missed: 0,
            object: Pose::default(),
            command: Pose::default(),
            command_at: MonoTime::ZERO,
        })
    }

    /// Takes a new instruction in.
    fn hear(&mut self, set: &Aligned<'_>, pose: Pose) {
        let Some(instruction) = set.instruction.filter(|i| i.id != self.instruction) else {
            return;
        };
        self.instruction = instruction.id;
        let best = self
            .matching
            .read(&instruction.embedding, &mut self.weights);
        (self.class, self.similarity) = (best.class, best.similarity);
        (self.seen, self.missed) = (0, 0);
        if best.similarity < self.config.match_at_least {
            self.phase = Phase::NoMatch;
            return;
        }
        self.phase = Phase::Searching;
        self.search.begin(pose, &self.lens);
    }

    /// Looks at the picture, and changes the phase by what it shows.
    fn see(&mut self, set: &Aligned<'_>, pose: Pose) {
        if matches!(self.phase, Phase::Idle | Phase::NoMatch) {
            self.sighting = Sighting::default();
            return;
        }
        self.sighting = self.evidence.look(set.features, &self.weights);
        let tracking = matches!(self.phase, Phase::Tracking | Phase::Locked);
        let needed = if tracking {
            self.config.lost_at
        } else {
            self.config.seen_at
        };
        if self.sighting.probability < needed {
            self.seen = 0;
            self.missed += 1;
            if tracking && self.missed >= LOST_FRAMES {
                self.phase = Phase::Searching;
                self.search.begin(pose, &self.lens);
            }
            return;
        }
        self.missed = 0;
        self.seen += 1;
        // What it is called in the report: what is seen, among the classes that the instruction names.
        self.class = self.sighting.class;
        let object = self.lens.direction(pose, self.sighting.offset);
        if !tracking {
            self.object = object;
            if self.seen >= SEEN_FRAMES {
                self.phase = Phase::Tracking;
            }
            return;
        }
        self.object.pan += SMOOTHING * (object.pan - self.object.pan);
        self.object.tilt += SMOOTHING * (object.tilt - self.object.tilt);
        let centred = self
            .lens
            .offset(pose, self.object)
            .is_some_and(|o| o[0].abs().max(o[1].abs()) < CENTRED);
        self.phase = if centred {
            Phase::Locked
        } else {
            Phase::Tracking
        };
    }

    /// Where to turn to and how fast (radian a second); None: stay.
    fn target(&mut self) -> Option<(Pose, f64)> {
        match self.phase {
            Phase::Tracking | Phase::Locked => {
                Some((self.object, self.config.track_speed.radians()))
            }
            // Something is there: stop until the next frame tells whether it is what was named.
            Phase::Searching if self.seen > 0 => None,
            Phase::Searching => match self.search.target(self.command) {
                Some(point) => Some((point, self.config.search_speed.radians())),
                None => {
                    self.phase = Phase::NotFound;
                    None
                }
            },
            Phase::Idle | Phase::NoMatch | Phase::NotFound => None,
        }
    }
}

/// One move towards a target, limited in length.
fn towards(from: Pose, to: Pose, length: f64) -> Pose {
    let (pan, tilt) = (to.pan - from.pan, to.tilt - from.tilt);
    let distance = pan.hypot(tilt);
    if distance <= length {
        return to;
    }
    let share = length / distance;
    Pose {
        pan: from.pan + pan * share,
        tilt: from.tilt + tilt * share,
    }
}

impl Policy for Gaze {
    fn name(&self) -> &'static str {
        "gaze"
    }

    fn dof(&self) -> u8 {
        2
    }

    fn decide(&mut self, set: &Aligned<'_>, chunk: &mut Chunk) -> Result<(), StepError> {
        let state = set.state();
        let [pan, tilt, ..] = state.values;
        let pose = Pose {
            pan: f64::from(pan),
            tilt: f64::from(tilt),
        };
        if state.status == Status::Missing || state.len < 2 {
            // Without knowing where the camera stands, a place in the picture is no direction.
            return Ok(());
        }
        if !self.command_at.is_set() {
            (self.command, self.command_at) = (pose, set.now);
        }
        self.hear(set, pose);
        self.see(set, pose);
        let (goal, speed) = self.target().unwrap_or((self.command, 0.0));
        chunk.begin = set.now;
        chunk.step = STEP;
        // The command goes on from where the last one had brought it by now, so that chunks join without a jump.
        let since = (set.now - self.command_at).as_secs_f64().clamp(0.0, 0.1);
        self.command = towards(self.command, goal, speed * since);
        self.command_at = set.now;
        let mut at = self.command;
        for _ in 0..STEPS {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "radians to f32, as actions are"
            )]
            chunk.push(&[at.pan as f32, at.tilt as f32])?;
            at = towards(at, goal, speed * STEP.as_secs_f64());
        }
        Ok(())
    }

    fn memory(&self) -> Memory {
        self.remember()
    }

    fn recall(&mut self, memory: &Memory, instruction: Option<&Instruction>) -> bool {
        self.take_on(memory, instruction).is_some()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a picture's share to f32, for people"
    )]
    fn status(&self) -> PolicyStatus {
        let known = !matches!(self.phase, Phase::Idle);
        PolicyStatus {
            phase: self.phase,
            object: if known {
                i32::try_from(self.class).unwrap_or(-1)
            } else {
                -1
            },
            match_score: self.similarity,
            confidence: self.sighting.probability,
            offset: self.sighting.offset.map(|share| share as f32),
        }
    }

    fn explainer(&self) -> Explainer {
        let (names, config) = (self.names.clone(), self.config.clone());
        Box::new(move |status| explain(&names, &config, status))
    }
}

fn explain(names: &[String], config: &GazeConfig, status: &PolicyStatus) -> String {
    let name = usize::try_from(status.object)
        .ok()
        .and_then(|class| names.get(class));
    let name = name.map_or("nothing", |name| name.split(',').next().unwrap_or(name));
    let (score, sure) = (status.match_score, status.confidence);
    match status.phase {
        Phase::Idle => "waits for an instruction".to_owned(),
        Phase::NoMatch => format!(
            "holds: no class is named; the nearest is \"{name}\" with {score:.2}, and {:.2} are needed",
            config.match_at_least
        ),
        Phase::Searching => format!(
            "searches for \"{name}\" (match {score:.2}); in this view {sure:.2}, {:.2} are needed",
            config.seen_at
        ),
        Phase::Tracking => format!("turns to \"{name}\" (match {score:.2}, seen {sure:.2})"),
        Phase::Locked => format!("looks at \"{name}\" (match {score:.2}, seen {sure:.2})"),
        Phase::NotFound => format!(
            "holds: looked everywhere for \"{name}\" (match {score:.2}) and no view reached {:.2}",
            config.seen_at
        ),
    }
}
