//! From camera frame to feature map.

// From camera format to the model's input, in one pass.
pub mod preprocess;

// The encoders, by name.
pub mod encoders;

// The networks.
pub mod networks;

// From features to the classes of ImageNet.
pub mod classifier;

// The stage.
pub mod stage;

use crate::error::StepError;
pub use crate::frame::FrameView;
use crate::rt::crew::Crew;

/// The shape of an encoder's output: `rows` x `columns` positions of the picture, `channels` values each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureShape {
    pub rows: usize,
    pub columns: usize,
    pub channels: usize,
}

impl FeatureShape {
    pub fn len(&self) -> usize {
        self.rows * self.columns * self.channels
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A feature map in row-major order: row, column, channel.
#[derive(Clone, Debug)]
pub struct FeatureMap {
    shape: FeatureShape,
    values: Vec<f32>,
}

impl FeatureMap {
    /// A map of zeros; the only allocation.
    pub fn new(shape: FeatureShape) -> Self {
        Self {
            shape,
            values: vec![0.0; shape.len()],
        }
    }
    pub fn shape(&self) -> FeatureShape {
        self.shape
    }
    pub fn values(&self) -> &[f32] {
        &self.values
    }
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
    /// The channels at one position.
    pub fn at(&self, row: usize, column: usize) -> &[f32] {
        let start = (row * self.shape.columns + column) * self.shape.channels;
        &self.values[start..start + self.shape.channels]
    }
}

/// What is to be said of how an encoder computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub text: String,
    /// It is not what was asked for.
    pub is_warning: bool,
}

/// A vision encoder. Takes all its memory, and warms up, when it is made.
pub trait Encoder: Send {
    /// As in the configuration: `efficientnet-lite0`.
    fn name(&self) -> &'static str;

    fn shape(&self) -> FeatureShape;

    /// What its user should know of how it computes: which GPU, or what stands in for one.
    fn remark(&self) -> Option<&Remark> {
        None
    }

    /// Shares its work from now on with partners on other cores. An encoder that cannot lets them go.
    fn share_with(&mut self, _crew: Crew) {}

    /// Reads the camera frame, once, into the model's input. After this the frame's slot goes back.
    fn load(&mut self, frame: FrameView<'_>) -> Result<(), StepError>;

    /// Computes the feature map of the frame loaded last.
    fn encode(&mut self, out: &mut FeatureMap) -> Result<(), StepError>;
}
