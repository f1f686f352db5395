//! From an instruction to the classes that it names.
//!
//! The sentence's embedding is compared with those of all class names and their synonyms. The best class counts, and
//! those nearly as good; and with each, its kin: classes whose weights in the network's last layer point the same way,
//! because the network itself takes one for the other ("motor scooter" and "moped"). Nothing is trained.
//!
//! Thread: `new` on main; `read` on fusion. Allocates: in `new`. Blocks: no. Locks: no.

use candle_core::{Device, Tensor};

use crate::error::{Fault, Kind, Result};
use crate::features::classifier::Classifier;
use crate::language::EMBEDDING_LEN;
use crate::models::ClassEmbeddings;

/// Classes of the network.
pub const CLASSES: usize = Classifier::CLASSES;

/// A class this much less similar than the best one counts nothing; between, in proportion.
const BAND: f32 = 0.15;
/// From this cosine of two classes' centred weights they are kin, fully from the second.
const KIN: (f32, f32) = (0.25, 0.5);

/// Knows which classes a sentence names.
pub struct Matching {
    embeddings: ClassEmbeddings,
    /// Cosines of the classes' centred weights, `[CLASSES][CLASSES]`.
    kinship: Vec<f32>,
    similarities: Box<[f32; CLASSES]>,
}

/// The best match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    pub class: usize,
    /// Cosine of the sentence and the class's nearest synonym.
    pub similarity: f32,
}

impl Matching {
    pub fn new(embeddings: ClassEmbeddings, classifier: &Classifier) -> Result<Self> {
        let kinship = kinship(classifier).map_err(|error| {
            Fault::new(
                Kind::Internal,
                "the classes could not be compared",
                error.to_string(),
                "report this with the model's checksum (`reflexarc models list`)",
            )
        })?;
        let similarities = Box::new([0.0; CLASSES]);
        Ok(Self {
            embeddings,
            kinship,
            similarities,
        })
    }

    /// Sets how much each class counts (0 to 1), and gives the best match.
    pub fn read(&mut self, sentence: &[f32; EMBEDDING_LEN], weights: &mut [f32; CLASSES]) -> Match {
        self.embeddings
            .similarities(sentence, &mut self.similarities);
        let (class, similarity) = self
            .similarities
            .iter()
            .copied()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or((0, 0.0));
        weights.fill(0.0);
        // BOUND: CLASSES named classes with CLASSES kin each: a million steps, about a millisecond, only at the
        // frame where the instruction changes; in practice a dozen classes are near the best.
        for (named, &near) in self.similarities.iter().enumerate() {
            let named_weight = ((near - (similarity - BAND)) / BAND).clamp(0.0, 1.0);
            if named_weight == 0.0 {
                continue;
            }
            let kin = &self.kinship[named * CLASSES..][..CLASSES];
            for (weight, &cosine) in weights.iter_mut().zip(kin) {
                let kin_weight = if cosine < KIN.0 {
                    0.0
                } else {
                    ((cosine - 0.15) / (KIN.1 - 0.15)).min(1.0)
                };
                *weight = weight.max(named_weight * kin_weight);
            }
        }
        Match { class, similarity }
    }
}

/// All cosines of the classes' weights, with what all classes share taken away.
fn kinship(classifier: &Classifier) -> candle_core::Result<Vec<f32>> {
    let rows: Vec<f32> = (0..CLASSES)
        .flat_map(|class| classifier.weights(class).iter().copied())
        .collect();
    let weights = Tensor::from_vec(rows, (CLASSES, Classifier::CHANNELS), &Device::Cpu)?;
    let centred = weights.broadcast_sub(&weights.mean_keepdim(0)?)?;
    let unit = centred.broadcast_div(&centred.sqr()?.sum_keepdim(1)?.sqrt()?)?;
    unit.matmul(&unit.t()?)?.flatten_all()?.to_vec1()
}
