//! From configuration to parts: opens the source, loads models, makes policy, sensors, sink and player.
//!
//! Everything that can be wrong shows itself here, before a thread starts.

use std::collections::BTreeMap;
use std::path::Path;

use crate::action::config::Mode;
use crate::action::player::Player;
use crate::action::sinks::{self, SinkConfig};
use crate::capture::Source;
use crate::capture::spec::SourceKind;
use crate::cli;
use crate::config::{Config, PolicyName};
use crate::error::{Fault, Kind, Result};
use crate::estimate::way::{SensorLoad, Way, WindowLoad};
use crate::features::encoders;
use crate::features::{Encoder, Remark};
use crate::frame::{FrameFormat, StampSource};
use crate::fusion::align::AlignConfig;
use crate::language::Heard;
use crate::lens::Lens;
use crate::link::EveryReader;
use crate::link::policy::LinkPolicy;
use crate::models;
use crate::pipeline::{OtherCamera, Parts};
use crate::policy::gaze::Gaze;
use crate::policy::still::Still;
use crate::policy::{Explainer, Policy, PolicyStatus};
use crate::record::recorder::Recorder;
use crate::rt::crew::crew;
use crate::rt::plan::{Layout, Machine, Plan};
use crate::run::{cameras, speech};
use crate::scene::SceneTruth;
use crate::sensor::config::{SensorAddress, SensorConfig};
use crate::sensor::{self, SensorSource};
use crate::stage::IDLE_TURN;
use crate::state::keeper::Resume;
use crate::stream::configured::load::{self, Rates};
use crate::units::{Hertz, Nanos};

/// Values of an action where the policy does not say: pan and tilt.
const STILL_DOF: u8 = 2;

/// Everything a run needs, opened; and what main keeps of it.
pub(super) struct Opened {
    parts: Option<Parts>,
    /// The first before the others.
    pub cameras: Vec<CameraAbout>,
    pub encoder: &'static str,
    pub policy: &'static str,
    pub sink: String,
    /// Actions go to standard output, so nothing else may.
    pub sink_is_stdout: bool,
    pub sensors: Vec<String>,
    pub explain: Explainer,
    pub truth: Option<SceneTruth>,
    /// The source has an end of its own.
    pub ends_by_itself: bool,
    /// What is to be said of how the encoders compute, each thing once.
    pub remarks: Vec<Remark>,
    /// Measured: from a frame to its feature map.
    work: Nanos,
    /// The time between frames, if the source goes on when nobody takes them.
    period: Option<Nanos>,
    heard: Option<EveryReader<Heard>>,
    /// Instructions were given, and nothing understands them.
    is_deaf: bool,
    /// Texts of the instructions heard, by number.
    pub instructions: BTreeMap<u32, String>,
}

/// What main knows of a camera.
pub(super) struct CameraAbout {
    pub name: String,
    /// What its time stamps mean.
    pub stamp: StampSource,
    /// Frames a second, if it knows.
    pub rate: Option<f64>,
}

impl CameraAbout {
    fn of(source: &dyn Source) -> Self {
        Self {
            name: source.describe(),
            stamp: source.stamp_source(),
            rate: source.rate().map(|rate| rate.get()),
        }
    }
}

/// Opens everything that the configuration names. Fetches models that are missing.
pub(super) fn open(config: &Config, args: &cli::Run) -> Result<Opened> {
    open_resumed(config, args, Resume::default())
}

/// The same for a run that goes on from an earlier one.
pub(super) fn open_resumed(config: &Config, args: &cli::Run, resume: Resume) -> Result<Opened> {
    let kind = config.camera.first.source.kind;
    check_mode(config)?;
    check_joints_first(config)?;
    let awaits_start = awaits_start(config)?;
    models::ensure_files(&models_used(config))?;
    let dir = models::cache_dir();

    let (source, scene) = cameras::open_source(&cameras::first_of(config), 0, &dir)?;
    let links = cameras::links(config, source.slot_count())?;
    let others = cameras::open_others(config, &dir)?;
    let format = source.format();
    let recorder = config.record.path.is_some();
    let recorder = recorder.then(|| Recorder::open(&config.record, &format));
    let recorder = recorder.transpose()?;
    let workers = config.encoder.workers.get();
    let mut encoders = open_encoders(config, format, workers)?;
    let mut partners = Vec::new();
    let each = config.encoder.partners.len() / workers;
    for encoder in encoders.iter_mut().filter(|_| each > 0) {
        let (crew, helping) = crew(each);
        encoder.share_with(crew);
        partners.extend(helping);
    }
    let work = cameras::warm_up(&mut *encoders[0], &mut partners[..each], &format);
    let lens = cameras::lens(config, &format)?;
    let policy = open_policy(config, &dir, lens, &*encoders[0])?;

    let (mut sensors, mut scene_sink, mut truth) =
        (Vec::<(Box<dyn SensorSource>, _)>::new(), None, None);
    if let Some(scene) = scene {
        sensors.push((scene.sensor, align_of(config, 0).clone()));
        scene_sink = Some(scene.sink);
        truth = Some(scene.truth);
    }
    let (mut spoken_in, spoken) = speech::spoken(config)?.unzip();
    for (index, sensor) in config.sensor.iter().enumerate() {
        let index = u8::try_from(sensors.len().max(index)).unwrap_or(u8::MAX);
        let align = align_of(config, sensors.len()).clone();
        let listener = match sensor.is_sound() {
            true => spoken_in.take(),
            false => None,
        };
        sensors.push((sensor::open_heard(sensor, index, listener)?, align));
    }
    let dof = policy.dof();
    let sink = match (&config.sink, scene_sink) {
        (None, Some(sink)) => sink,
        (sink, _) => sinks::open(&sink.clone().unwrap_or_default(), dof, config.action.rate)?,
    };
    let mut player = Player::new(&config.action, dof, &start_position(truth.as_ref()))?;
    player.count_from(resume.first_number);
    if awaits_start {
        player.await_start();
    }
    let (language, heard) = speech::open(config, args, kind, resume.instruction, spoken)?;
    Ok(Opened {
        cameras: std::iter::once(&source)
            .chain(others.iter().map(|other| &other.source))
            .map(|source| CameraAbout::of(&**source))
            .collect(),
        encoder: encoders[0].name(),
        remarks: remarks(&encoders, &others),
        policy: policy.name(),
        sink: sink.describe(),
        sink_is_stdout: config.sink == Some(SinkConfig::JsonLines("-".into())),
        sensors: sensors.iter().map(|(s, _)| s.describe()).collect(),
        explain: policy.explainer(),
        truth,
        ends_by_itself: kind == SourceKind::File || cameras::is_limited(&config.camera.first),
        work,
        period: source
            .rate()
            .filter(|_| source.drops_when_behind())
            .map(|rate| rate.period()),
        is_deaf: heard.is_none()
            && (args.instruct.is_some() || !speech::listens_by_default(config)),
        heard,
        instructions: BTreeMap::new(),
        parts: Some(Parts {
            source,
            encoders,
            partners,
            others,
            policy,
            sensors,
            language,
            player,
            sink,
            links,
            recorder,
        }),
    })
}

/// How this sensor is brought to a frame's time. A scene's own comes before those of the configuration.
pub(crate) fn align_of(config: &Config, sensor: usize) -> &AlignConfig {
    let own = usize::from(config.camera.first.source.kind == SourceKind::Scene);
    let written = sensor.checked_sub(own).and_then(|i| config.sensor.get(i));
    let align = written.and_then(|sensor| sensor.align.as_ref());
    align.unwrap_or(&config.align)
}

/// What computes actions from pictures of this format, without a camera or a robot: for a replay, with as many encoders
/// as it has workers.
pub(crate) fn open_mind(config: &Config, format: FrameFormat, workers: usize) -> Result<Mind> {
    check_mode(config)?;
    let mut used = models_used(config);
    used.retain(|name| *name != models::PHOTOS);
    models::ensure_files(&used)?;
    let encoders = open_encoders(config, format, workers.max(1))?;
    let lens = cameras::lens(config, &format)?;
    let policy = open_policy(config, &models::cache_dir(), lens, &*encoders[0])?;
    Ok((encoders, policy))
}

/// One for each worker.
fn open_encoders(
    config: &Config,
    format: FrameFormat,
    workers: usize,
) -> Result<Vec<Box<dyn Encoder>>> {
    let open = |_| encoders::open(&config.encoder, format);
    (0..workers).map(open).collect()
}

/// Of all encoders, each once.
fn remarks(encoders: &[Box<dyn Encoder>], others: &[OtherCamera]) -> Vec<Remark> {
    let others = others.iter().map(|other| &other.encoder);
    let all = encoders.iter().chain(others);
    let mut remarks: Vec<Remark> = all.filter_map(|e| e.remark().cloned()).collect();
    remarks.dedup();
    remarks
}

/// Encoders, and the policy that reads what they make.
pub(crate) type Mind = (Vec<Box<dyn Encoder>>, Box<dyn Policy>);

impl Opened {
    /// # Errors
    /// `Config` if partners of the encoder have a core that they cannot have.
    pub fn plan(&self, config: &Config) -> Result<Plan> {
        let machine = Machine::detect();
        let mut threads = config.threads.clone();
        let workers = config.encoder.workers.get();
        if workers > 1 {
            threads.layout = Layout::Apart;
        }
        let fifo = config.real_time.fifo;
        let plan = Plan::new(&threads, fifo, &machine, self.work, self.period);
        let plan = plan.scaled(&threads, &machine, workers, config.camera.others.len());
        let partners = &config.encoder.partners;
        let plan = plan.with_partners(&threads, &machine, partners, self.sensors.len());
        plan.map_err(|fault| config.locate(fault))
    }

    /// What can be computed about this run before it runs. Only before the parts are taken.
    ///
    /// # Errors
    /// A configured stream cannot be opened.
    pub fn way(&self, config: &Config, plan: &Plan) -> Result<Way> {
        let source = self.parts.as_ref().map(|parts| &parts.source);
        // A scene's own sensor comes before those of the configuration.
        let own = self.sensors.len() - config.sensor.len();
        let named = config.sensor.iter().zip(&self.sensors[own..]);
        let rates = self.rates(config);
        let windows = config.stream.iter().map(|stream| {
            let measured = load::measure(stream, &rates)?;
            Ok(WindowLoad {
                name: format!("stream `{}`", stream.name),
                slide: measured.period,
                work: measured.work,
                workers: 1,
                guessed: measured.is_guess.then_some(measured.rate),
            })
        });
        Ok(Way {
            period: self.period,
            work: self.work,
            workers: u16::try_from(config.encoder.workers.get()).unwrap_or(u16::MAX),
            layout: plan.layout,
            frames: self
                .parts
                .as_ref()
                .map_or(LinkPolicy::NEWEST, |parts| parts.links.frames),
            beat: config.action.rate.period(),
            goal: config.goals.camera_to_action,
            frame_bytes: source.map_or(0, |source| source.format().frame_bytes() as u64),
            slots: source.map_or(0, |source| source.slot_count()),
            readings_room: self
                .parts
                .as_ref()
                .map_or(0, |parts| parts.links.readings.room),
            idle_turn: IDLE_TURN,
            sensors: named
                .filter_map(|(sensor, name)| {
                    let (name, rate) = (name.clone(), sensor.rate()?);
                    Some(SensorLoad { name, rate })
                })
                .collect(),
            windows: windows.collect::<Result<_>>()?,
        })
    }

    /// How fast the ports of configured streams are.
    fn rates(&self, config: &Config) -> Rates {
        let scene = config.camera.first.source.kind == SourceKind::Scene;
        let own = scene.then_some(Some(config.camera.first.scene.sensor_rate));
        let sensors = config.sensor.iter().map(|sensor| sensor.rate());
        Rates {
            camera: self.cameras[0].rate.and_then(Hertz::new),
            beat: Some(config.action.rate),
            sensors: own.into_iter().chain(sensors).collect(),
        }
    }

    /// The parts, once.
    pub fn take_parts(&mut self) -> Parts {
        self.parts
            .take()
            .expect("the parts are taken once, by the one run")
    }

    /// What runs, in one line.
    pub fn title(&self) -> String {
        format!(
            "{} -> {} -> {} -> {}",
            self.cameras[0].name, self.encoder, self.policy, self.sink
        )
    }

    /// What runs, a line each.
    pub fn describe(&self) -> String {
        let mut lines = vec![
            format!("source:  {}", self.cameras[0].name),
            format!("encoder: {}, {} a frame when warm", self.encoder, self.work),
            format!("policy:  {}", self.policy),
            format!("sink:    {}", self.sink),
        ];
        lines.extend(self.remarks.iter().map(|remark| match remark.is_warning {
            true => format!("warning: {}", remark.text),
            false => remark.text.clone(),
        }));
        let others = self.cameras[1..].iter().zip(1..);
        lines.extend(others.map(|(camera, index)| format!("camera-{index}: {}", camera.name)));
        lines.extend(
            self.sensors
                .iter()
                .map(|sensor| format!("sensor:  {sensor}")),
        );
        if self.is_deaf {
            lines.push(format!(
                "language: instructions are not listened to, since the policy {} understands no words",
                self.policy
            ));
        }
        lines.join("\n") + "\n"
    }

    /// Takes note of instructions heard since the last call.
    pub fn listen(&mut self) {
        if let Some(heard) = &mut self.heard {
            // BOUND: the capacity of the link.
            while let Some(Heard { id, text }) = heard.pop() {
                self.instructions.insert(id, text);
            }
        }
    }

    /// What the policy does and why, in words; in a scene with the truth beside it.
    pub fn policy_in_words(&self, status: &PolicyStatus) -> String {
        let said = (self.explain)(status);
        match self.truth_in_words() {
            Some(truth) => format!("{said}; truth: {truth}"),
            None => said,
        }
    }

    /// Where the object that the newest instruction names really is in the picture, if this is a scene and
    /// it hangs there.
    pub fn truth_in_words(&self) -> Option<String> {
        let truth = self.truth.as_ref()?;
        let text = self.instructions.values().next_back()?;
        let Some(object) = truth.named_in(text) else {
            return Some("nothing on the wall has that name".to_owned());
        };
        Some(match truth.offset(object) {
            Some(offset) => format!(
                "the {} is {:.1} % of the width and {:.1} % of the height from the centre",
                object.exhibit.name,
                offset[0].abs() * 100.0,
                offset[1].abs() * 100.0
            ),
            None => format!("the {} is not in view", object.exhibit.name),
        })
    }
}

/// Files and folders of the models cache that this run reads.
fn models_used(config: &Config) -> Vec<&'static str> {
    let mut used = Vec::new();
    used.extend(config.encoder.cached_weights());
    if understands_words(config) {
        used.extend([models::TEXT_ENCODER, models::CLASS_NAMES]);
        if config.language.microphone.is_some() {
            used.extend([models::SPEECH_DETECTOR, models::RECOGNISER]);
        }
    }
    if config
        .sensor
        .iter()
        .any(|s| s.is_sound() && s.microphone.speech)
    {
        used.push(models::SPEECH_DETECTOR);
    }
    if config.camera.first.source.kind == SourceKind::Scene {
        used.push(models::PHOTOS);
    }
    used
}

pub(super) fn understands_words(config: &Config) -> bool {
    config.policy.name == PolicyName::Gaze
}

fn open_policy(
    config: &Config,
    models: &Path,
    lens: Lens,
    encoder: &dyn Encoder,
) -> Result<Box<dyn Policy>> {
    match config.policy.name {
        PolicyName::Still => Ok(Box::new(still(config))),
        PolicyName::Gaze => Ok(Box::new(Gaze::open(
            &config.policy.gaze,
            models,
            &config.encoder.weights_file()?,
            lens,
            encoder.shape(),
        )?)),
    }
}

/// Refuses to take positions for velocities. Not a matter of the configuration alone: a policy of the user's own may well
/// command velocities.
fn check_mode(config: &Config) -> Result<()> {
    match config.action.mode {
        Mode::Position => Ok(()),
        Mode::Velocity => Err(Fault::new(
            Kind::Config,
            "action.mode = \"velocity\" with a policy that commands positions",
            "the built-in policies say where each joint shall be (radian); a robot that takes that for a velocity \
             (radian/s) turns on and on",
            "set action.mode = \"position\", or give the pipeline a policy of your own that commands velocities",
        )),
    }
}

/// Where a sensor could say where the joints are, silence means that nobody knows.
fn still(config: &Config) -> Still {
    let scene = config.camera.first.source.kind == SourceKind::Scene;
    let joints = config.sensor.first().map(SensorConfig::may_tell_joints);
    let placed = match &config.action.start {
        _ if scene || joints == Some(true) => return Still::where_reported(STILL_DOF),
        Some(start) => Still::at(STILL_DOF, start),
        None => Still::new(STILL_DOF),
    };
    match joints {
        Some(false) => placed.without_joints(),
        _ => placed,
    }
}

/// The built-in policies and the player take what the first sensor says for the positions of the joints; how loud it is
/// must not get there.
fn check_joints_first(config: &Config) -> Result<()> {
    let scene = config.camera.first.source.kind == SourceKind::Scene;
    let joints = config.sensor.iter().any(SensorConfig::may_tell_joints);
    let first = config.sensor.first().map(SensorConfig::may_tell_joints);
    let needed = joints || config.policy.name == PolicyName::Gaze;
    match scene || first != Some(false) || !needed {
        true => Ok(()),
        false => Err(Fault::new(
            Kind::Config,
            "the first [[sensor]] is a microphone",
            "what the first sensor reports is taken for the positions of the joints",
            "write the [[sensor]] that reports the joints before it",
        )),
    }
}

/// Whether the first sensor must say where the joints are before anything is commanded. In position mode the first
/// command is a position, and a robot that is elsewhere jumps there. Files and nothing at all cannot be hurt.
fn awaits_start(config: &Config) -> Result<bool> {
    if config.action.start.is_some() {
        return Ok(false);
    }
    let robot = config.sink.as_ref().filter(|sink| sink.reaches_a_robot());
    let scene = config.camera.first.source.kind == SourceKind::Scene;
    let why = match config.sensor.first().map(|sensor| &sensor.source) {
        _ if scene => "the scene's joints are not the robot's",
        Some(SensorAddress::Microphone(_) | SensorAddress::Wav(_)) => {
            "a microphone does not say where the joints are"
        }
        Some(SensorAddress::Csv(_)) => "a recording does not say where the joints are now",
        Some(_) => return Ok(true),
        None => "there is no sensor",
    };
    if robot.is_none() {
        return Ok(false);
    }
    Err(Fault::new(
        Kind::Config,
        "neither action.start nor a sensor says where the robot's joints are",
        format!("{why}, and the first position commanded would make the robot jump"),
        "add a [[sensor]] that reports the joint positions, or write them into action.start; use the sink \"null\" or \
         \"json:PATH\" to see the actions without a robot",
    ))
}

/// Where the joints are as the run begins, if the scene knows it.
fn start_position(truth: Option<&SceneTruth>) -> Vec<f32> {
    let pose = truth.map(SceneTruth::pose);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "radians to f32, as actions are"
    )]
    pose.map_or_else(Vec::new, |p| vec![p.pan as f32, p.tilt as f32])
}
