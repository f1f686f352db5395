//! From a feature map to where in the picture the named classes are.
//!
//! The network's last layer, meant for the average over the picture, is applied at each of its 7 x 7 positions
//! (a class activation map: Zhou et al., "Learning deep features for discriminative localization", CVPR 2016). A
//! position's softmax over competing classes makes it evidence: a position that could be many things says little, so
//! something that is not there does not light up.
//!
//! Thread: fusion. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: no.

use crate::features::FeatureMap;
use crate::features::classifier::{Classifier, pool};
use crate::policy::gaze::matching::CLASSES;

/// Classes that compete at each position: those that the whole picture speaks for most, and the named ones.
// BOUND: 49 positions x 160 classes x 1280 channels are 10 million multiply-adds, 1 to 2 ms on one core.
const RIVALS: usize = 160;
/// Positions farther from the peak than this, in rows or columns, belong to something else.
const REACH: usize = 3;
/// Positions with less than this share of the peak's probability do not count.
const FLOOR: f32 = 0.05;

/// Looks for classes in feature maps.
pub struct Evidence {
    classifier: Classifier,
    pooled: Vec<f32>,
    logits: Vec<f32>,
    order: Vec<usize>,
    map: Vec<f32>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sighting {
    /// Probability at the best position, 0..=1.
    pub probability: f32,
    /// The best position: row x columns + column.
    pub peak: usize,
    /// The named class that speaks loudest there.
    pub class: usize,
    /// Centre of the evidence: picture widths and heights from the picture's centre, right and down.
    pub offset: [f64; 2],
}

impl Evidence {
    pub fn new(classifier: Classifier, positions: usize) -> Self {
        Self {
            classifier,
            pooled: vec![0.0; Classifier::CHANNELS],
            logits: vec![0.0; CLASSES],
            order: (0..CLASSES).collect(),
            map: vec![0.0; positions],
        }
    }

    /// `weights`: how much each class counts.
    pub fn look(&mut self, features: &FeatureMap, weights: &[f32; CLASSES]) -> Sighting {
        let shape = features.shape();
        pool(features, &mut self.pooled);
        self.classifier.logits(&self.pooled, &mut self.logits);
        // Named classes first, then those that the whole picture speaks for most.
        let logits = &self.logits;
        let rank = |class: usize| {
            if weights[class] > 0.0 {
                f32::INFINITY
            } else {
                logits[class]
            }
        };
        // From the same order each time: sums are rounded by it, and a picture's result must not depend on those before.
        (self.order.iter_mut().zip(0..)).for_each(|(place, class)| *place = class);
        self.order
            .select_nth_unstable_by(RIVALS, |&a, &b| rank(b).total_cmp(&rank(a)));
        let rivals = &self.order[..RIVALS];
        for (position, evidence) in self.map.iter_mut().enumerate() {
            let at = features.at(position / shape.columns, position % shape.columns);
            let (mut top, mut sum, mut named) = (f32::NEG_INFINITY, 0.0f32, 0.0f32);
            for &class in rivals {
                let logit = self.classifier.logit(class, at);
                if logit > top {
                    let shrink = (top - logit).exp();
                    (sum, named, top) = (sum * shrink, named * shrink, logit);
                }
                let share = (logit - top).exp();
                sum += share;
                named += share * weights[class];
            }
            *evidence = named / sum;
        }
        let mut sighting = self.centre(shape.rows, shape.columns);
        let at = features.at(sighting.peak / shape.columns, sighting.peak % shape.columns);
        let named = self.order[..RIVALS]
            .iter()
            .copied()
            .filter(|&class| weights[class] > 0.0);
        let loudness = |class: usize| self.classifier.logit(class, at) + weights[class].ln();
        sighting.class = named
            .max_by(|&a, &b| loudness(a).total_cmp(&loudness(b)))
            .unwrap_or_default();
        sighting
    }

    #[expect(clippy::cast_precision_loss, reason = "rows and columns are few")]
    fn centre(&self, rows: usize, columns: usize) -> Sighting {
        let best = self
            .map
            .iter()
            .copied()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((peak, probability)) = best else {
            return Sighting::default();
        };
        let (peak_row, peak_column) = (peak / columns, peak % columns);
        let (mut sum, mut across, mut down) = (0.0f64, 0.0, 0.0);
        for row in 0..rows {
            for column in 0..columns {
                let evidence = self.map[row * columns + column];
                let near = row.abs_diff(peak_row) <= REACH && column.abs_diff(peak_column) <= REACH;
                if near && evidence >= FLOOR * probability {
                    let evidence = f64::from(evidence);
                    sum += evidence;
                    across += evidence * ((column as f64 + 0.5) / columns as f64 - 0.5);
                    down += evidence * ((row as f64 + 0.5) / rows as f64 - 0.5);
                }
            }
        }
        let offset = if sum > 0.0 {
            [across / sum, down / sum]
        } else {
            [0.0; 2]
        };
        Sighting {
            probability,
            class: 0,
            peak,
            offset,
        }
    }
}
