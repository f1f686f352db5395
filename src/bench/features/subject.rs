//! What can be measured: every encoder of pictures, and the one of sentences, by name.

use std::path::Path;

use crate::error::{Fault, Kind, Result};
use crate::features::networks::{Model, Until};
use crate::inference::made_up::MadeUp;
use crate::inference::network::Network;
use crate::inference::plan::Input;
use crate::inference::tensors::{Source as _, TensorFile};
use crate::language::minilm;
use crate::models;

/// The name of the encoder of sentences.
const MINILM: &str = "minilm";

/// A network by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Picture(Model),
    Sentence,
}

/// Where its weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    Trained,
    /// The time of a network does not depend on them.
    MadeUp,
}

impl Subject {
    pub fn all() -> impl Iterator<Item = Self> {
        let pictures = Model::ALL.into_iter().map(Self::Picture);
        pictures.chain([Self::Sentence])
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Picture(model) => model.name(),
            Self::Sentence => MINILM,
        }
    }

    /// The description, with the weights of `file`, else with those of the models cache, else with made-up ones.
    ///
    /// # Errors
    /// `Model` where a file is missing or cannot be used: that which is named, or the encoder of sentences in the cache.
    pub fn network(self, file: Option<&Path>) -> Result<(Network, Weights)> {
        let model = match self {
            Self::Picture(model) => model,
            Self::Sentence => {
                let folder = models::path(models::TEXT_ENCODER);
                let folder = file.unwrap_or(&folder);
                return Ok((minilm::network(folder)?, Weights::Trained));
            }
        };
        let cached = model.weights().map(models::path).filter(|p| p.exists());
        match file.or(cached.as_deref()) {
            Some(path) => {
                let file = TensorFile::read(path, model.fix())?;
                let network = model.network(&file.tensors()?, Until::Map)?;
                Ok((network, Weights::Trained))
            }
            None => Ok((model.network(&MadeUp, Until::Map)?, Weights::MadeUp)),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = String;
    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Self::all()
            .find(|subject| subject.name() == name)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::all().map(Self::name).collect();
                format!("no encoder `{name}`: there are {}", known.join(", "))
            })
    }
}

impl Weights {
    pub fn name(self) -> &'static str {
        match self {
            Self::Trained => "trained",
            Self::MadeUp => "made up",
        }
    }
}

/// What goes in.
#[derive(Clone, Debug)]
pub enum Given {
    Picture { values: Vec<f32>, rows: usize },
    Words(Vec<u32>),
}

impl Given {
    /// A picture of noise, or a sentence of so many words.
    ///
    /// # Errors
    /// `Usage` where a sentence is longer than the network takes.
    pub fn to(subject: Subject, words: usize) -> Result<Self> {
        match subject {
            Subject::Picture(model) => Ok(Self::Picture {
                values: MadeUp.tensor("a picture", &[1, 1, 1, model.input().len()])?,
                rows: model.rows(),
            }),
            Subject::Sentence if (1..=minilm::TOKENS_MAX).contains(&words) => {
                // Of all parts of its table, as the words of a sentence are.
                let word = |place| u32::try_from(1000 + 37 * place).unwrap_or(0);
                Ok(Self::Words((0..words).map(word).collect()))
            }
            Subject::Sentence => Err(Fault::new(
                Kind::Usage,
                format!("no sentence of {words} words"),
                format!("{MINILM} takes 1 to {}", minilm::TOKENS_MAX),
                "name another number with --words",
            )),
        }
    }

    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Picture { values, .. } => Input::Picture(values),
            Self::Words(words) => Input::Words(words),
        }
    }

    /// As a plan counts them.
    pub fn rows(&self) -> usize {
        match self {
            Self::Picture { rows, .. } => *rows,
            Self::Words(words) => words.len(),
        }
    }
}
