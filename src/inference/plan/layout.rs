//! Where the values of a network live while it runs.
//!
//! A value has a slot from the stage that makes it to the last that reads it, and then the slot is another's. Stages that take turns
//! pass what they make to each other in memory of their own.
//!
//! Thread: start-up. Allocates: yes.

use super::super::kernels::Isa;
use super::super::network::{Network, Rows};
use super::canvas::Canvas;
use super::turns::{groups, rooms};
use super::{GROUP_MAX, Group, Limits, Precision, Source, Stage, Work};

/// Where a value is not in a slot.
const NO_SLOT: usize = usize::MAX;

/// A stage whose values have no slots yet.
pub(super) struct Draft {
    /// With keys where slots will be.
    pub(super) work: Work,
    pub(super) value: usize,
    /// Of what it makes.
    pub(super) precision: Precision,
    /// It makes the value as bf16 too.
    pub(super) also: bool,
}

/// In which a value can be.
const PRECISIONS: usize = 4;

/// A value in one precision.
pub(super) fn key(value: usize, precision: Precision) -> usize {
    PRECISIONS * value
        + match precision {
            Precision::F32 => 0,
            Precision::Bf16 => 1,
            Precision::Int8 => 2,
            Precision::F16 => 3,
        }
}

/// What is to be laid out, in the order in which it runs.
pub(super) struct Drafts<'a> {
    pub(super) network: &'a Network,
    pub(super) isa: Isa,
    pub(super) limits: Limits,
    /// Of each value that is a picture: zeros around it.
    pub(super) edges: &'a [usize],
    pub(super) stages: Vec<Draft>,
}

/// See [`Program`](super::Program), of which these are parts.
pub(super) struct Layout {
    pub(super) stages: Vec<Stage>,
    pub(super) groups: Vec<Group>,
    pub(super) slots: Vec<usize>,
    pub(super) inner: [usize; GROUP_MAX - 1],
    pub(super) scratch: [usize; 2],
}

impl Drafts<'_> {
    /// Gives each value a slot that no other needs while it lives, and each slot the size of its largest value.
    pub(super) fn lay_out(mut self) -> Layout {
        let keys = PRECISIONS * self.network.ops.len();
        let (groups, last_use) = self.groups(keys);
        let rooms = rooms(&self.stages, &groups);
        let mut room_of = vec![usize::MAX; keys];
        for (draft, &room) in self.stages.iter().zip(&rooms) {
            room_of[key(draft.value, draft.precision)] = room;
        }
        let mut slots = Slots::new(keys);
        let (mut stages, mut inner, mut scratch) = (Vec::new(), [0; GROUP_MAX - 1], [0; 2]);
        let drafts = std::mem::take(&mut self.stages);
        for (place, (mut draft, &room)) in drafts.into_iter().zip(&rooms).enumerate() {
            let floats = |precision| self.floats(&draft, precision, room);
            let group = groups.iter().find(|group| group.stages.contains(&place));
            let to = match group.filter(|group| place + 1 < group.stages.end) {
                Some(group) => {
                    let passed = &mut inner[place - group.stages.start];
                    *passed = floats(draft.precision).max(*passed);
                    NO_SLOT
                }
                None => slots.take(key(draft.value, draft.precision), floats(draft.precision)),
            };
            let bf16 = Precision::Bf16;
            let also = draft
                .also
                .then(|| slots.take(key(draft.value, bf16), floats(bf16)));
            if let Work::Winograd { winograd, .. } = &draft.work {
                let floats = winograd.scratch();
                scratch = [scratch[0].max(floats[0]), scratch[1].max(floats[1])];
            }
            for source in draft.work.sources() {
                source.room = room_of[source.slot];
                source.slot = slots.of[source.slot];
            }
            slots.free(&last_use, place);
            let shape = self.network.shapes[draft.value];
            stages.push(Stage {
                work: draft.work,
                to,
                also,
                precision: draft.precision,
                rows: shape.rows,
                columns: shape.columns,
                edge: edge(draft.precision, self.edges[draft.value]),
                room,
            });
        }
        Layout {
            stages,
            groups,
            slots: slots.floats,
            inner,
            scratch,
        }
    }

    /// The stages that take turns, and for each key the last stage that needs it.
    fn groups(&mut self, keys: usize) -> (Vec<Group>, Vec<usize>) {
        let (mut last_use, mut readers) = (vec![usize::MAX; keys], vec![0; keys]);
        for (place, draft) in self.stages.iter_mut().enumerate() {
            for source in draft.work.sources() {
                last_use[source.slot] = place;
                readers[source.slot] += 1;
            }
        }
        let groups = groups(&self.stages, &readers, self.edges, self.isa, self.network);
        // All of a group's stages take turns, so what one of them reads is needed until the last is done.
        for used in &mut last_use {
            let group = groups.iter().find(|group| group.stages.contains(used));
            *used = group.map_or(*used, |group| group.stages.end - 1);
        }
        (groups, last_use)
    }

    /// Floats that a draft's value takes in a precision.
    fn floats(&self, draft: &Draft, precision: Precision, room: usize) -> usize {
        let shape = self.network.shapes[draft.value];
        let rows = match shape.rows {
            Rows::Each { more } => self.limits.rows + more * self.limits.sequences,
            Rows::Fixed { rows } => rows * self.limits.sequences,
            Rows::Picture { height, width } => {
                let edge = edge(draft.precision, self.edges[draft.value]);
                let is_interleaved = matches!(draft.work, Work::Picture);
                let canvas = Canvas::new(self.isa, shape.rows, shape.columns, edge, is_interleaved)
                    .of_precision(draft.precision)
                    .with_room(room);
                return canvas.floats() + scales(draft.precision, height * width);
            }
        };
        let blocks = self.isa.blocks(shape.columns);
        let blocks = blocks.div_ceil(precision.columns_per_word());
        // A pitch has one row more where the rows are even.
        blocks * self.isa.lanes() * (rows + 1) + scales(precision, rows)
    }
}

/// Zeros around a picture in a precision.
pub(super) fn edge(precision: Precision, edge: usize) -> usize {
    match precision {
        // Only windows of one pixel read these.
        Precision::F16 | Precision::Int8 => 0,
        Precision::F32 | Precision::Bf16 => edge,
    }
}

/// The slots while they are given out.
struct Slots {
    /// Of each slot.
    floats: Vec<usize>,
    free: Vec<usize>,
    /// Of each key, or [`NO_SLOT`].
    of: Vec<usize>,
}

impl Slots {
    fn new(keys: usize) -> Self {
        Self {
            floats: Vec::new(),
            free: Vec::new(),
            of: vec![NO_SLOT; keys],
        }
    }

    /// One for a value that begins to live.
    fn take(&mut self, key: usize, floats: usize) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.floats.push(0);
            self.floats.len() - 1
        });
        self.floats[slot] = self.floats[slot].max(floats);
        self.of[key] = slot;
        slot
    }

    /// Takes back those of values that nobody needs behind stage `place`.
    fn free(&mut self, last_use: &[usize], place: usize) {
        let ended = self.of.iter().zip(last_use);
        let ended = ended.filter(|&(&slot, &used)| used == place && slot != NO_SLOT);
        for (&slot, _) in ended {
            if !self.free.contains(&slot) {
                self.free.push(slot);
            }
        }
    }
}

impl Work {
    /// What it reads.
    fn sources(&mut self) -> impl Iterator<Item = &mut Source> {
        let all = match self {
            Self::Words { .. }
            | Self::Rows
            | Self::Patches { .. }
            | Self::Picture
            | Self::Condition { .. }
            | Self::Constant { .. } => [None, None, None],
            Self::Linear { x, residual, .. }
            | Self::Dense { x, residual, .. }
            | Self::Winograd { x, residual, .. } => [Some(x), residual.as_mut(), None],
            Self::Add { x, y } | Self::Join { x, y } => [Some(x), Some(y), None],
            Self::Film {
                x, gains, shifts, ..
            } => [Some(x), Some(gains), Some(shifts)],
            Self::Attention {
                queries,
                keys,
                values,
                ..
            } => [queries, keys, values].map(|part| Some(&mut part.of)),
            Self::Depthwise { x, .. }
            | Self::MaxPool { x, .. }
            | Self::Pixels { x }
            | Self::Positions { x, .. }
            | Self::LayerNorm { x, .. }
            | Self::Round { x }
            | Self::Mean { x }
            | Self::Take { x, .. } => [Some(x), None, None],
        };
        all.into_iter().flatten()
    }
}

/// Room for the factors of so many rows, if they have any.
fn scales(precision: Precision, rows: usize) -> usize {
    match precision {
        Precision::Int8 => rows,
        Precision::F32 | Precision::Bf16 | Precision::F16 => 0,
    }
}
