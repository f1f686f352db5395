//! Which stages on pictures take turns, strip by strip, and how much room their pictures need for it.
//!
//! Thread: start-up. Allocates: yes.

use super::super::kernels::Isa;
use super::super::network::{Convolution, Network, Op, Value, Window};
use super::canvas::Canvas;
use super::layout::{Draft, key};
use super::{GROUP_MAX, Group, Work};

/// The edge of each picture: as wide as the widest padding of its readers. Pictures that are added have equal edges, so
/// that they are laid out equally.
pub(super) fn edges(network: &Network) -> Vec<usize> {
    let mut edges = vec![0; network.ops.len()];
    for op in &network.ops {
        if let Op::Convolution {
            x,
            layer: Convolution { window, .. },
        }
        | Op::MaxPool { x, window } = op
        {
            let edge = &mut edges[x.index()];
            *edge = window.before.max(window.after).max(*edge);
        }
    }
    // BOUND: every round but the last makes some edge wider, and none is wider than the widest padding.
    loop {
        let mut is_settled = true;
        for (index, op) in network.ops.iter().enumerate() {
            if !matches!(op, Op::Add { .. } | Op::Activate { .. }) {
                continue;
            }
            let together = || op.inputs().map(Value::index).chain([index]);
            let widest = together().map(|value| edges[value]).max().unwrap_or(0);
            for value in together() {
                is_settled &= edges[value] == widest;
                edges[value] = widest;
            }
        }
        if is_settled {
            return edges;
        }
    }
}

/// What a strip and the rows that it is made of may take, in bytes: they stay in the second-level cache of small boards (512
/// KiB) beside the weights that pass by.
const STRIP_BYTES_MAX: usize = 384 << 10;

/// Cuts the stages into groups: a product, a depthwise convolution on nothing else and a product on nothing else take
/// turns; all others are alone. `readers` says how many stages read each key.
pub(super) fn groups(
    drafts: &[Draft],
    readers: &[usize],
    edges: &[usize],
    isa: Isa,
    network: &Network,
) -> Vec<Group> {
    let reads = |place: usize| {
        let (before, x) = match &drafts[place].work {
            Work::Depthwise { x, .. } | Work::Dense { x, .. } => (place.checked_sub(1)?, x),
            _ => return None,
        };
        let made = key(drafts[before].value, drafts[before].precision);
        (x.slot == made && readers[made] == 1).then_some(before)
    };
    let is_depthwise = |place: usize| matches!(drafts[place].work, Work::Depthwise { .. });
    let is_dense = |place: usize| matches!(drafts[place].work, Work::Dense { .. });
    let mut groups: Vec<Group> = Vec::new();
    let mut place = 0;
    while place < drafts.len() {
        let mut end = place + 1;
        if is_dense(place) && end < drafts.len() && is_depthwise(end) && reads(end).is_some() {
            end += 1;
            let next = drafts.get(end);
            if next.is_some_and(|next| next.work.is_pointwise()) && reads(end).is_some() {
                end += 1;
            }
        }
        let stages = place..end;
        assert!(stages.len() <= GROUP_MAX, "a group of {stages:?}");
        let strip = (stages.len() > 1).then(|| {
            // Bytes of a row of each but the last.
            let row = |draft: &Draft| {
                let shape = network.shapes[draft.value];
                let edge = edges[draft.value];
                let canvas = Canvas::new(isa, shape.rows, shape.columns, edge, false)
                    .of_precision(draft.precision);
                canvas.floats() * size_of::<f32>() / (canvas.height + 2 * edge)
            };
            let bytes: usize = drafts[place..end - 1].iter().map(row).sum();
            (STRIP_BYTES_MAX / bytes).max(1)
        });
        groups.push(Group { stages, strip });
        place = end;
    }
    groups
}

impl Work {
    /// A dense convolution with windows of one pixel, one after the other.
    fn is_pointwise(&self) -> bool {
        let window = Window::centred(1, 1);
        matches!(self, Self::Dense { dense, .. } if dense.window() == window)
    }
}

/// The rows that each draft's picture needs room for: in a group, those that one turn of the next stage reads.
pub(super) fn rooms(drafts: &[Draft], groups: &[Group]) -> Vec<usize> {
    let mut rooms = vec![usize::MAX; drafts.len()];
    for group in groups {
        let Some(mut rows) = group.strip else {
            continue;
        };
        // From the last stage, which makes so many rows in a turn, to the first.
        for place in group.stages.clone().skip(1).rev() {
            let window = match &drafts[place].work {
                Work::Dense { dense, .. } => dense.window(),
                Work::Depthwise { window, .. } => *window,
                _ => continue,
            };
            rows = (rows - 1) * window.stride + window.size;
            rooms[place - 1] = rows;
        }
    }
    rooms
}
