//! The 1000 class names as sentence embeddings: what an instruction is compared with. Computed once with the
//! text encoder, then kept in the cache beside what it was computed from.
//!
//! A class has one row for each of its synonyms, so that "look at the cup" is compared with "cup" and not
//! with the mean of "cup" and something rarer. The names stand alone, without a sentence around them:
//! among "{}", "the {}", "a photo of a {}", "find the {}" and "look at the {}" no sentence ranked everyday
//! instructions better, and "look at the {}" made everything similar to "look at nothing".
//!
//! Thread: start-up. Allocates, blocks. [`ClassEmbeddings::similarities`] does neither.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use super::catalog::{Group, PACKAGES};
use super::class_names::{self, CLASS_COUNT};
use super::progress::Progress;
use super::store::{Store, place};
use crate::error::{Fault, Kind, Result};
use crate::language::{EMBEDDING_LEN, MiniLm};

/// Below the cache directory. Tensors: `embeddings` of rows x 384 f32, `class` of rows i32.
pub const FILE: &str = "class-embeddings.safetensors";
/// Of the file's contents; a change makes old files be computed anew.
const LAYOUT: &str = "1";
/// The metadata entry that says what a file was computed from.
const SOURCE: &str = "source";
/// How far a row's length may be from 1: f32 rounding over 384 values stays below a tenth of it.
const LENGTH_TOLERANCE: f32 = 1e-3;

/// One row for each synonym of each class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassEmbeddings {
    rows: Vec<[f32; EMBEDDING_LEN]>,
    classes: Vec<u16>,
}

/// The embeddings of the cache's class names by the cache's text encoder; both must have been fetched.
///
/// # Errors
/// [`Kind::Model`] if the encoder or the names are missing or damaged.
pub fn class_embeddings() -> Result<ClassEmbeddings> {
    let store = Store::default();
    let file = store.dir().join(FILE);
    let source = source();
    if let Some(kept) = read(&file, &source) {
        return Ok(kept);
    }
    // Held so that two processes, or two threads, do not compute and write the same. Without it (in a cache
    // that only others may write to) nothing can be kept, which is allowed: it costs the time again.
    let mut progress = Progress::stderr();
    let lock = store.lock(&mut progress);
    if let Some(kept) = read(&file, &source) {
        return Ok(kept);
    }
    progress.note("embedding the class names (once, some seconds)");
    let names = class_names::load(&store.dir().join(super::CLASS_NAMES))?;
    let encoder = MiniLm::load(&store.dir().join(super::TEXT_ENCODER))?;
    let computed = ClassEmbeddings::compute(&encoder, &names)?;
    if let Err(fault) = lock.and_then(|_held| write(&file, &source, &computed)) {
        progress.note(&format!("warning: {} ({})", fault.what, fault.why));
    }
    Ok(computed)
}

impl ClassEmbeddings {
    /// Embeds every synonym of every name, on all cores.
    pub fn compute(encoder: &MiniLm, names: &[String]) -> Result<Self> {
        let (mut classes, mut texts) = (Vec::new(), Vec::new());
        for (class, name) in (0_u16..).zip(names) {
            for synonym in class_names::synonyms(name) {
                classes.push(class);
                texts.push(synonym);
            }
        }
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = texts.len().div_ceil(workers).max(1);
        let parts = std::thread::scope(|scope| {
            let part = |texts| encoder.clone().encode_all(texts);
            let spawned: Vec<_> = texts
                .chunks(share)
                .map(|texts| scope.spawn(move || part(texts)))
                .collect();
            // A panic in a part goes on in this thread.
            let join = |part: std::thread::ScopedJoinHandle<_>| match part.join() {
                Ok(rows) => rows,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            spawned.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?;
        Ok(Self {
            rows: parts.concat(),
            classes,
        })
    }

    /// Rows, each with the class that it belongs to. A class has one or more, next to each other.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (usize, &[f32; EMBEDDING_LEN])> {
        let classes = self.classes.iter().map(|&class| usize::from(class));
        classes.zip(&self.rows)
    }

    /// For each class the cosine, -1..=1, between `query` (unit length) and its nearest synonym. Takes
    /// about 0.7 million multiplications.
    pub fn similarities(
        &self,
        query: &[f32; EMBEDDING_LEN],
        similarities: &mut [f32; CLASS_COUNT],
    ) {
        similarities.fill(-1.0);
        for (class, row) in self.rows() {
            let best = &mut similarities[class];
            *best = best.max(cosine(query, row));
        }
    }
}

/// Eight sums side by side, which the compiler turns into vector instructions.
fn cosine(a: &[f32; EMBEDDING_LEN], b: &[f32; EMBEDDING_LEN]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// What the embeddings follow from: the pinned hashes of names and encoder.
fn source() -> String {
    let mut hasher = Sha256::new();
    hasher.update(LAYOUT);
    let run = PACKAGES.iter().filter(|p| p.group == Group::Run);
    for item in run.flat_map(|p| p.items) {
        if item.file == super::CLASS_NAMES || item.file.starts_with(super::TEXT_ENCODER) {
            hasher.update(item.sha256);
        }
    }
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The file's content, if it is whole and follows from `source`.
fn read(file: &Path, source: &str) -> Option<ClassEmbeddings> {
    let bytes = std::fs::read(file).ok()?;
    let (_, facts) = SafeTensors::read_metadata(&bytes).ok()?;
    if facts.metadata().as_ref()?.get(SOURCE)? != source {
        return None;
    }
    let tensors = SafeTensors::deserialize(&bytes).ok()?;
    let (embeddings, classes) = (
        tensors.tensor("embeddings").ok()?,
        tensors.tensor("class").ok()?,
    );
    let count = *classes.shape().first()?;
    let expected = (Dtype::F32, [count, EMBEDDING_LEN]);
    if (embeddings.dtype(), embeddings.shape()) != (expected.0, &expected.1)
        || (classes.dtype(), classes.shape()) != (Dtype::I32, &[count])
    {
        return None;
    }
    let (values, _) = embeddings.data().as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|&v| f32::from_le_bytes(v)).collect();
    let rows = values.as_chunks::<EMBEDDING_LEN>().0.to_vec();
    let is_unit = |row: &[f32; EMBEDDING_LEN]| (cosine(row, row) - 1.0).abs() < LENGTH_TOLERANCE;
    let (classes, _) = classes.data().as_chunks::<4>();
    let classes = classes
        .iter()
        .map(|&class| u16::try_from(i32::from_le_bytes(class)).ok())
        .collect::<Option<Vec<_>>>()?;
    let is_known = |&class: &u16| usize::from(class) < CLASS_COUNT;
    (rows.iter().all(is_unit) && classes.iter().all(is_known))
        .then_some(ClassEmbeddings { rows, classes })
}

fn write(file: &Path, source: &str, content: &ClassEmbeddings) -> Result<()> {
    let values: Vec<u8> = content
        .rows
        .as_flattened()
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let classes = content.classes.iter().map(|&class| i32::from(class));
    let classes: Vec<u8> = classes.flat_map(i32::to_le_bytes).collect();
    let count = content.rows.len();
    let unwritten = |e: &dyn std::fmt::Display| {
        Fault::new(
            Kind::Output,
            format!("cannot write {}", file.display()),
            e.to_string(),
            "let REFLEXARC_MODELS name a directory that can be written",
        )
    };
    let view = |dtype, shape, data| TensorView::new(dtype, shape, data);
    let tensors = [
        (
            "embeddings",
            view(Dtype::F32, vec![count, EMBEDDING_LEN], &values),
        ),
        ("class", view(Dtype::I32, vec![count], &classes)),
    ]
    .into_iter()
    .map(|(name, tensor)| tensor.map(|tensor| (name, tensor)))
    .collect::<std::result::Result<Vec<_>, _>>()
    .map_err(|e| unwritten(&e))?;
    let facts = HashMap::from([(SOURCE.to_owned(), source.to_owned())]);
    let bytes = safetensors::serialize(tensors, Some(facts)).map_err(|e| unwritten(&e))?;
    let part = file.with_extension("part");
    let placed = std::fs::write(&part, bytes).and_then(|()| place(&part, file));
    placed.map_err(|e| {
        let _ = std::fs::remove_file(&part);
        unwritten(&e)
    })
}
