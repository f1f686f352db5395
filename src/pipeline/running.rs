//! A pipeline from its start to its end.
//!
//! Thread: main. Allocates: yes.

use std::sync::OnceLock;

use crate::action::ActionCounters;
use crate::capture::stage::CaptureEnd;
use crate::capture::{Source, SourceCounters};
use crate::error::{Fault, Kind, Result};
use crate::fusion::align::AlignCounters;
use crate::fusion::views::ViewCounters;
use crate::link::LinkCount;
use crate::record::recorder::Tapped;
use crate::rt::sync::Arc;
use crate::rt::thread::Thread;
use crate::sensor::counters::SensorCounters;
use crate::stage::StageCount;
use crate::telemetry::trace::Stage;

/// A running pipeline.
pub struct Pipeline {
    /// First the threads of the way, which end with the source; then those that last until the stop.
    pub threads: Vec<Thread>,
    pub(super) way_count: usize,
    pub(super) language: Option<std::thread::JoinHandle<()>>,
    pub links: Vec<NamedLink>,
    pub stages: Vec<(Stage, Arc<StageCount>)>,
    /// The first is the one whose frames go the whole way.
    pub cameras: Vec<CameraCounts>,
    pub sensors: Vec<SensorCounts>,
    pub player: Arc<ActionCounters>,
    /// Where the joints are told to be as the run begins (radian).
    pub start: Vec<f32>,
    /// The run is to be recorded; whoever runs it starts this before [`Pipeline::go`].
    pub recorder: Option<Tapped>,
    pub(super) ends: Vec<Arc<OnceLock<CaptureEnd>>>,
}

/// One camera, and what it counts.
pub struct CameraCounts {
    pub name: String,
    /// Slots that its source owns.
    pub slots: u32,
    pub source: Arc<SourceCounters>,
    /// Of a camera other than the first: how often fusion had something of it to show.
    pub view: Option<Arc<ViewCounters>>,
}

impl CameraCounts {
    pub(super) fn of(source: &dyn Source, view: Option<Arc<ViewCounters>>) -> Self {
        Self {
            name: source.describe(),
            slots: source.slot_count(),
            source: source.counters(),
            view,
        }
    }
}

/// What one sensor, if it counts, and its lane in fusion have counted.
pub struct SensorCounts {
    pub intake: Option<Arc<SensorCounters>>,
    pub align: Arc<AlignCounters>,
}

/// A link or call between two stages, for the accounts.
#[derive(Clone, Debug)]
pub struct NamedLink {
    pub name: String,
    /// `newest`, `recent`, `every` or `call`.
    pub kind: &'static str,
    pub count: Arc<LinkCount>,
}

impl Pipeline {
    /// Lets all threads begin.
    pub fn go(&self) {
        self.threads.iter().for_each(Thread::go);
    }

    /// True once a frame has gone the whole way: the policy has answered it, if only by holding on purpose.
    pub fn works(&self) -> bool {
        let fusion = self
            .stages
            .iter()
            .find(|(stage, _)| *stage == Stage::Fusion);
        fusion.is_some_and(|(_, count)| count.passed.get() + count.held.get() > 0)
    }

    /// True when the source has ended or was lost and all that it gave has been worked off.
    pub fn way_has_ended(&self) -> bool {
        self.threads[..self.way_count]
            .iter()
            .all(Thread::is_finished)
    }

    /// Waits for all threads; the stop must have been asked for. Tells how the capture of each camera ended, in their order.
    pub fn join(&mut self) -> Result<Vec<CaptureEnd>> {
        let mut died = Vec::new();
        for thread in &mut self.threads {
            if !thread.join() {
                died.push(thread.spec.name.clone());
            }
        }
        if let Some(language) = self.language.take()
            && language.join().is_err()
        {
            died.push("language".to_owned());
        }
        if !died.is_empty() {
            return Err(Fault::new(
                Kind::Internal,
                format!("the thread {} panicked", died.join(", ")),
                "a bug in reflexarc or in a user's stage; the message is above",
                "report it with the message and the configuration",
            ));
        }
        let ends = std::mem::take(&mut self.ends).into_iter();
        let lost = |slots_out| CaptureEnd {
            slots_out,
            fault: None,
            notes: Vec::new(),
            interruptions: (Vec::new(), 0),
        };
        let told = |(end, camera): (Arc<OnceLock<CaptureEnd>>, &CameraCounts)| {
            let told = Arc::into_inner(end).and_then(OnceLock::into_inner);
            told.unwrap_or_else(|| lost(camera.slots))
        };
        Ok(ends.zip(&self.cameras).map(told).collect())
    }
}
