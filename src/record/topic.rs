//! The topics of a recording, and which message each carries.

use super::config::{RecordConfig, SensorKind};
use super::mcap::write::Schema;
use super::schema;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Image,
    CompressedImage,
    /// A sensor's readings for people, by its number.
    State(u8),
    Frame,
    Reading,
    Instruction,
    Step,
    Chunk,
    Action,
    StreamResult,
}

impl Topic {
    /// Ours. A replay reads all but the results of streams.
    pub const OWN: [Self; 7] = [
        Self::Frame,
        Self::Reading,
        Self::Instruction,
        Self::Step,
        Self::Chunk,
        Self::Action,
        Self::StreamResult,
    ];

    /// The topic of this name.
    pub fn named(name: &str) -> Option<Self> {
        let state = name
            .strip_prefix("/sensor_")
            .and_then(|rest| rest.strip_suffix("/state"));
        if let Some(sensor) = state {
            return sensor.parse().ok().map(Self::State);
        }
        let mut topics = [Self::Image, Self::CompressedImage]
            .into_iter()
            .chain(Self::OWN);
        topics.find(|topic| topic.name() == name)
    }

    pub fn name(self) -> String {
        match self {
            Self::Image => "/camera/image".to_owned(),
            Self::CompressedImage => "/camera/image/compressed".to_owned(),
            Self::State(sensor) => format!("/sensor_{sensor}/state"),
            Self::Frame => "/reflexarc/frames".to_owned(),
            Self::Reading => "/reflexarc/readings".to_owned(),
            Self::Instruction => "/reflexarc/instructions".to_owned(),
            Self::Step => "/reflexarc/steps".to_owned(),
            Self::Chunk => "/reflexarc/chunks".to_owned(),
            Self::Action => "/reflexarc/actions".to_owned(),
            Self::StreamResult => "/reflexarc/streams".to_owned(),
        }
    }

    /// The message that it carries; None for readings that no standard message fits.
    pub fn schema(self, config: &RecordConfig) -> Option<Schema<'static>> {
        Some(match self {
            Self::Image => schema::IMAGE,
            Self::CompressedImage => schema::COMPRESSED_IMAGE,
            Self::State(sensor) => match config.sensor_kind(usize::from(sensor)) {
                SensorKind::Joints => schema::JOINT_STATE,
                SensorKind::Imu => schema::IMU,
                SensorKind::Values => return None,
            },
            Self::Frame => schema::FRAME,
            Self::Reading => schema::READING,
            Self::Instruction => schema::INSTRUCTION,
            Self::Step => schema::STEP,
            Self::Chunk => schema::CHUNK,
            Self::Action => schema::ACTION,
            Self::StreamResult => schema::STREAM_RESULT,
        })
    }
}
