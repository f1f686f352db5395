//! The gaze policy in the scene, with real weights, faster than real time: the same policy, encoder, player and world as
//! a run, stepped by a simulated clock.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::sync::OnceLock;

use reflexarc::action::Chunk;
use reflexarc::action::config::ActionConfig;
use reflexarc::action::player::Player;
use reflexarc::features::encoders::{self, EncoderConfig};
use reflexarc::features::{Encoder, FeatureMap, FrameView};
use reflexarc::frame::{FrameFormat, FrameMarks, FrameMeta, StampSource};
use reflexarc::language::{Instruction, MiniLm};
use reflexarc::lens::Pose;
use reflexarc::models::{self, Group};
use reflexarc::policy::gaze::{Gaze, GazeConfig};
use reflexarc::policy::{Aligned, Phase, Policy, State};
use reflexarc::scene::{SceneConfig, World};
use reflexarc::stream::align::choice::Status;
use reflexarc::units::{Hertz, MonoTime, Nanos};

/// Half the size of the pictures and a third of the frames of a real run, so that many seeds fit in a test.
const RATE: f64 = 10.0;
const DURATION: Nanos = Nanos::from_secs(20);
/// From exposure to chunk.
const DELAY: Nanos = Nanos::from_millis(15);
const BEAT: Nanos = Nanos::from_millis(10);

fn text_encoder() -> MiniLm {
    static ENCODER: OnceLock<MiniLm> = OnceLock::new();
    let encoder = ENCODER.get_or_init(|| {
        models::ensure(&[Group::Run]).unwrap();
        MiniLm::load(&models::path(models::TEXT_ENCODER)).unwrap()
    });
    encoder.clone()
}

/// A closed loop with a clock of its own.
struct Loop {
    world: World,
    encoder: Box<dyn Encoder>,
    map: FeatureMap,
    bytes: Vec<u8>,
    format: FrameFormat,
    policy: Gaze,
    player: Player,
    chunk: Chunk,
    instructions: u32,
    now: MonoTime,
    tick: u64,
}

impl Loop {
    fn new(seed: u64) -> Self {
        text_encoder();
        let config = SceneConfig {
            seed,
            width: 960,
            height: 540,
            rate: Hertz::new(RATE).unwrap(),
            ..SceneConfig::default()
        };
        let format = config.frame_format();
        let world = World::open(&config, &models::cache_dir()).unwrap();
        let encoder = encoders::open(&EncoderConfig::default(), format).unwrap();
        let policy = Gaze::open(
            &GazeConfig::default(),
            &models::cache_dir(),
            &models::path(models::ENCODER),
            world.lens(),
            encoder.shape(),
        )
        .unwrap();
        Self {
            map: FeatureMap::new(encoder.shape()),
            bytes: vec![0; format.frame_bytes()],
            player: Player::new(&ActionConfig::default(), 2, &[]).unwrap(),
            chunk: Chunk::new(2),
            format,
            instructions: 0,
            now: MonoTime(1_000_000_000),
            tick: 0,
            world,
            encoder,
            policy,
        }
    }

    /// Runs for a while under this instruction.
    fn obey(&mut self, text: &str, duration: Nanos) {
        self.instructions += 1;
        let embedding = text_encoder().encode(text).unwrap();
        let instruction = Instruction::new(self.instructions, text, self.now, embedding);
        let end = self.now + duration;
        let period = Hertz::new(RATE).unwrap().period();
        while self.now < end {
            let pose = self.world.pose();
            let captured = self.now;
            self.world.render(pose, &mut self.bytes);
            let meta = FrameMeta {
                seq: self.tick,
                source_index: 0,
                format: self.format,
                bytes_used: u32::try_from(self.bytes.len()).unwrap(),
                captured,
                stamp: StampSource::Synthetic,
                arrived: captured,
                marks: FrameMarks::default(),
            };
            self.encoder
                .load(FrameView {
                    meta: &meta,
                    bytes: &self.bytes,
                })
                .unwrap();
            self.encoder.encode(&mut self.map).unwrap();
            let mut values = [0.0; 16];
            #[expect(
                clippy::cast_possible_truncation,
                reason = "as a sensor reports angles"
            )]
            {
                (values[0], values[1]) = (pose.pan as f32, pose.tilt as f32);
            }
            let states = [State {
                at: captured,
                status: Status::Exact,
                is_filled: false,
                len: 2,
                values,
            }];
            let set = Aligned {
                now: captured + DELAY,
                frame: &meta,
                features: &self.map,
                views: &[],
                instruction: Some(&instruction),
                states: &states,
            };
            self.chunk.clear();
            self.policy.decide(&set, &mut self.chunk).unwrap();
            self.chunk.trace =
                reflexarc::telemetry::trace::Trace::new(self.tick, 0, captured, captured);
            let next_frame = captured + period;
            let mut fresh = Some(&self.chunk);
            while self.now < next_frame {
                let due = if self.now - captured >= DELAY {
                    fresh.take()
                } else {
                    None
                };
                let played = self.player.tick(self.tick, self.now, due);
                let targets = played.action.targets();
                self.world.command(Pose {
                    pan: targets[0].into(),
                    tilt: targets[1].into(),
                });
                self.world.step(BEAT);
                self.now += BEAT;
                self.tick += 1;
            }
        }
    }

    /// Distance of the named object from the picture's centre, as a share of the picture; None: out of sight.
    fn miss(&self, file: &str) -> Option<f64> {
        let placed = self
            .world
            .placed()
            .iter()
            .find(|p| p.exhibit.file == file)
            .unwrap();
        let offset = self.world.lens().offset(self.world.pose(), placed.object)?;
        Some(offset[0].abs().max(offset[1].abs()))
    }

    fn words(&self) -> String {
        (self.policy.explainer())(&self.policy.status())
    }
}

const NAMED: [(&str, &str); 3] = [
    ("look at the cat", "chelsea.png"),
    ("find the motorcycle", "motorcycle_left.png"),
    ("show me the cup of coffee", "coffee.png"),
];

fn seeds() -> u64 {
    if std::env::var_os("REFLEXARC_LONG").is_some() {
        20
    } else {
        3
    }
}

/// Past the test harness, which shows the output of failed tests alone: these numbers are a result.
fn print_number(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn what_is_named_ends_within_a_tenth_of_the_centre() {
    let count = seeds();
    for (text, file) in NAMED {
        let mut reached = 0;
        for seed in 1..=count {
            let mut run = Loop::new(seed);
            run.obey(text, DURATION);
            let miss = run.miss(file);
            let there = miss.is_some_and(|miss| miss <= 0.1);
            reached += u64::from(there);
            eprintln!(
                "seed {seed}: \"{text}\": {miss:.3?} from the centre; {}",
                run.words()
            );
        }
        print_number(&format!("gaze: success {reached}/{count} \"{text}\""));
        assert!(
            reached * 10 >= count * 9,
            "\"{text}\" reached {reached} of {count}"
        );
    }
}

#[test]
fn a_new_instruction_in_mid_run_retargets() {
    let mut run = Loop::new(1);
    run.obey("look at the cat", DURATION);
    assert!(
        run.miss("chelsea.png").is_some_and(|miss| miss <= 0.1),
        "{}",
        run.words()
    );
    run.obey("find the motorcycle", DURATION);
    assert!(
        run.miss("motorcycle_left.png")
            .is_some_and(|miss| miss <= 0.1),
        "{}",
        run.words()
    );
}

#[test]
fn a_known_thing_that_is_not_on_the_wall_is_searched_for_and_not_locked_on() {
    let count = seeds();
    let mut wrong = 0;
    for seed in 1..=count {
        let mut run = Loop::new(seed);
        run.obey("look at the submarine", DURATION);
        let phase = run.policy.status().phase;
        wrong += u64::from(phase != Phase::NotFound);
        eprintln!("seed {seed}: {phase:?}: {}", run.words());
    }
    print_number(&format!(
        "gaze: {}/{count} \"look at the submarine\" did not lock on and said why",
        count - wrong
    ));
    assert_eq!(
        wrong, 0,
        "locked on or still searching in {wrong} of {count}"
    );
}

#[test]
fn an_instruction_that_names_nothing_holds_and_says_why() {
    let mut run = Loop::new(1);
    for text in ["tell me a joke", "what is the weather today", "thank you"] {
        let before = run.world.pose();
        run.obey(text, Nanos::from_secs(1));
        assert_eq!(
            run.policy.status().phase,
            Phase::NoMatch,
            "{text}: {}",
            run.words()
        );
        assert!(run.words().contains("no class is named"));
        let after = run.world.pose();
        assert!((after.pan - before.pan).abs() < 0.01, "{text}: it moved");
    }
}
