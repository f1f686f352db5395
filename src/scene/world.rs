//! The world without a clock: joints, wall and camera. Whoever holds it says how time passes.
//!
//! The live scene advances it with the real clock; tests and tuning advance it as fast as they can compute.
//!
//! Thread: any, one at a time. Allocates: in `open`. Blocks: no. Locks: no. Syscalls: in `open`.

use std::path::Path;

use super::config::SceneConfig;
use super::dice::Dice;
use super::render::Renderer;
use super::servo::Servo;
use super::wall::{Placed, Wall};
use crate::error::{Fault, Kind, Result};
use crate::lens::{Lens, Pose};
use crate::units::Nanos;

/// The longest step of the integration.
const STEP: Nanos = Nanos::from_millis(1);

/// A pan-tilt camera in front of a wall.
#[derive(Clone, Debug)]
pub struct World {
    wall: Wall,
    renderer: Renderer,
    lens: Lens,
    pan: Servo,
    tilt: Servo,
    /// Radian.
    sensor_noise: f64,
    noise: Dice,
    jitter: Dice,
}

impl World {
    /// Hangs the photographs of `models/photos`; the camera looks straight ahead.
    pub fn open(config: &SceneConfig, models: &Path) -> Result<Self> {
        config.check().map_err(|why| {
            Fault::new(
                Kind::Config,
                "the scene cannot be made",
                why,
                "correct [camera.scene] in the configuration",
            )
        })?;
        Ok(Self {
            wall: Wall::open(config, models)?,
            renderer: Renderer::new(config.lens(), config.frame_format()),
            lens: config.lens(),
            pan: Servo::new(config, config.pan_range.radians()),
            tilt: Servo::new(config, config.tilt_range.radians()),
            sensor_noise: config.sensor_noise.radians(),
            noise: Dice::new(config.seed, 2),
            jitter: Dice::new(config.seed, 3),
        })
    }

    /// Lets this much time pass; the time past is the same however it is cut into calls only to the precision of
    /// the integration.
    pub fn step(&mut self, dt: Nanos) {
        let mut left = dt;
        // BOUND: dt / 1 ms turns.
        while left > Nanos::ZERO {
            let part = left.min(STEP);
            self.pan.step(part.as_secs_f64());
            self.tilt.step(part.as_secs_f64());
            left = left - part;
        }
    }

    /// From now on the joints go there.
    pub fn command(&mut self, to: Pose) {
        self.pan.command(to.pan);
        self.tilt.command(to.tilt);
    }

    /// How the camera truly stands.
    pub fn pose(&self) -> Pose {
        Pose {
            pan: self.pan.position(),
            tilt: self.tilt.position(),
        }
    }

    /// What the joint sensors say now: the pose with noise.
    pub fn read_joints(&mut self) -> Pose {
        let pose = self.pose();
        Pose {
            pan: pose.pan + self.noise.bell() * self.sensor_noise,
            tilt: pose.tilt + self.noise.bell() * self.sensor_noise,
        }
    }

    /// By how much the next reading is early or late, as a share of the largest jitter: -1 to 1.
    pub(super) fn next_jitter(&mut self) -> f64 {
        self.jitter.spread()
    }

    /// Renders what a camera in this pose sees into a frame of the configured format.
    ///
    /// # Panics
    /// If `out` is shorter than the format's frame.
    pub fn render(&mut self, pose: Pose, out: &mut [u8]) {
        self.renderer.render(&self.wall, pose, out);
    }

    pub fn lens(&self) -> Lens {
        self.lens
    }

    /// What hangs where.
    pub fn placed(&self) -> &[Placed] {
        self.wall.placed()
    }
}
