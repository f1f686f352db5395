//! A closed loop without hardware: a virtual pan-tilt camera looks at a wall of real photographs and turns as the
//! actions say.
//!
//! [`World`] is the physics and the picture, without a clock. [`Scene::open`] sets it going in real time behind
//! the three ends that a robot has: a camera ([`SceneSource`]), joint sensors ([`SceneSensor`]) and motors
//! ([`SceneSink`]). They talk to the thread `world` through links, so the hot threads neither lock nor allocate.
//! [`SceneTruth`] says where things really are, for the tests and for the report.
//!
//! ```text
//!   capture <== newest frame == world == every reading ==> sensor
//!      +------ every slot -----> ^ <---- every command ----- action
//! ```

mod config;
pub(crate) mod dice;
mod ends;
mod live;
mod photo;
mod render;
mod servo;
mod truth;
mod wall;
mod world;

pub use config::SceneConfig;
pub use ends::{SceneSensor, SceneSink, SceneSource};
pub use live::Scene;
pub use photo::Exhibit;
pub use truth::SceneTruth;
pub use wall::Placed;
pub use world::World;
