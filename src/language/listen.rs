//! The language side of a run: takes text from all sources, encodes it, and pushes the newest instruction.
//!
//! Encoding takes milliseconds and happens here, on a thread of its own; the fusion thread finds a finished
//! instruction in its link and never waits for one.
//!
//! Thread: language (housekeeping). Allocates, blocks in `poll`.

use crate::clock;
use crate::console;
use crate::error::{Fault, Kind, Result};
use crate::inference::engine;
use crate::inference::kernels::Isa;
use crate::language::minilm::Encoded;
use crate::language::sources::kafka::{self, InstructionTopic};
use crate::language::sources::lines::Line;
use crate::language::sources::script::{self, Timed};
use crate::language::sources::socket::Socket;
use crate::language::sources::stdin::Stdin;
use crate::language::sources::{LanguageConfig, wait_readable};
use crate::language::{Instruction, MiniLm};
use crate::link::{EveryWriter, NewestWriter};
use crate::models;
use crate::rt::stop::Stop;
use crate::speech::listener::{Listener, Spoken};
use crate::units::{MonoTime, Nanos};

/// Longest wait before the stop flag is looked at again.
const TURN: Nanos = Nanos::from_millis(50);

/// The same where somebody speaks: the end of an utterance waits for no longer than this.
const TURN_HEARING: Nanos = Nanos::from_millis(10);

/// Takes a line for the person at the terminal.
pub type Notes = Box<dyn FnMut(&str) + Send>;

/// An instruction that was taken, in words, for who shows or reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// As in [`Instruction::id`].
    pub id: u32,
    pub text: String,
}

/// What came during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LanguageTotals {
    /// Instructions pushed.
    pub instructions: u32,
    /// Lines that were no instruction.
    pub refused: u32,
}

/// The text encoder and all sources, ready to run.
pub struct Language {
    encoder: MiniLm,
    initial: Option<String>,
    /// Those still to come, the next one last.
    script: Vec<Timed>,
    stdin: Option<Stdin>,
    socket: Option<Socket>,
    kafka: Option<InstructionTopic>,
    /// Hears what is spoken.
    listener: Option<Listener>,
    notes: Notes,
    heard: Option<EveryWriter<Heard>>,
    totals: LanguageTotals,
    /// Instructions of an earlier run, which this one's are numbered behind.
    before: u32,
}

impl std::fmt::Debug for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Language")
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

impl Language {
    /// Loads the encoder from the models cache (where it must have been fetched) and opens the sources.
    /// `initial`, from the command line, stands in for the configuration's instruction.
    ///
    /// # Errors
    /// Those of [`MiniLm::load`], [`script::load`] and [`Socket::open`]; [`Kind::Usage`] if the first
    /// instruction is empty; [`Kind::Unsupported`] for bf16 on a processor that would be slower with it.
    pub fn open(config: &LanguageConfig, initial: Option<String>) -> Result<Self> {
        let (folder, isa) = (models::path(models::TEXT_ENCODER), Isa::best());
        engine::check(isa, config.precision)?;
        let encoder = MiniLm::load_for(&folder, isa, config.precision)?;
        Self::with_encoder(encoder, config, initial)
    }

    /// As [`open`](Self::open), with an encoder that is loaded already.
    pub fn with_encoder(
        encoder: MiniLm,
        config: &LanguageConfig,
        initial: Option<String>,
    ) -> Result<Self> {
        let initial = initial.or_else(|| config.instruction.clone());
        let initial = initial.map(|text| text.trim().to_owned());
        if initial.as_ref().is_some_and(String::is_empty) {
            return Err(Fault::new(
                Kind::Usage,
                "the instruction is empty",
                "there is nothing to look for",
                "name a thing, as in `--instruct \"look at the cat\"`, or leave the option out",
            ));
        }
        let mut script = config
            .script
            .as_deref()
            .map(script::load)
            .transpose()?
            .unwrap_or_default();
        script.reverse();
        let stdin = config.stdin.then(Stdin::open).transpose().map_err(|e| {
            Fault::from_io(
                "standard input cannot be used",
                &e,
                Kind::BadInput,
                "set `language.stdin = false`, or start with `< /dev/null`",
            )
        })?;
        Ok(Self {
            encoder,
            initial,
            script,
            stdin,
            socket: config.socket.as_deref().map(Socket::open).transpose()?,
            kafka: config.kafka.clone(),
            listener: None,
            notes: Box::new(|line| console::line(line)),
            heard: None,
            totals: LanguageTotals::default(),
            before: 0,
        })
    }

    /// Begins with an instruction of an earlier run, under the number that it had there, in place of the first.
    pub fn with_resumed(mut self, id: u32, text: String) -> Self {
        self.before = id.saturating_sub(1);
        self.initial = Some(text);
        self
    }

    /// Listens to what is spoken as well.
    pub fn with_listener(mut self, listener: Listener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Reads instructions from `stdin` as from standard input.
    pub fn with_stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = Some(stdin);
        self
    }

    /// Where lines for the person at the terminal go; standard error unless this is called.
    pub fn with_notes(mut self, notes: Notes) -> Self {
        self.notes = notes;
        self
    }

    /// Tells every instruction that is taken; when the link is full it is not told.
    pub fn with_heard(mut self, heard: EveryWriter<Heard>) -> Self {
        self.heard = Some(heard);
        self
    }

    /// Runs until `stop` is asked for, also when every source has ended. Times of the script count from now.
    pub fn run(mut self, mut out: NewestWriter<Instruction>, stop: &Stop) -> LanguageTotals {
        let start = clock::now();
        if let Some(text) = self.initial.take() {
            self.tell("the first instruction", line_of(text, start), &mut out);
        }
        let mut topic = self.follow();
        while !stop.asked() {
            let mut served = self.serve(start, &mut out);
            served |= self.hear(topic.as_mut(), &mut out);
            let next = self
                .script
                .last()
                .map(|timed| start + timed.at - clock::now());
            let turn = match self.listener {
                Some(_) => TURN_HEARING,
                None => TURN,
            };
            let timeout = match served {
                true => Nanos::ZERO,
                false => next.map_or(turn, |next| next.min(turn)),
            };
            self.wait_and_read(topic.as_mut(), timeout);
        }
        self.totals
    }

    /// Begins to follow a topic. On this thread, which is on the cores that the follower's may use.
    fn follow(&mut self) -> Option<kafka::Topic> {
        let started = self.kafka.as_ref().map(kafka::Topic::start)?;
        started
            .inspect_err(|fault| (self.notes)(&fault.to_string()))
            .ok()
    }

    /// Serves what came from the topic; true if anything did.
    fn hear(
        &mut self,
        topic: Option<&mut kafka::Topic>,
        out: &mut NewestWriter<Instruction>,
    ) -> bool {
        match topic.and_then(kafka::Topic::pop) {
            Some(kafka::Next::Line(line)) => self.tell("kafka", line, out),
            Some(kafka::Next::Note(note)) => (self.notes)(&note),
            None => return false,
        }
        true
    }

    /// Serves at most one instruction of each source; true if there was one.
    fn serve(&mut self, start: MonoTime, out: &mut NewestWriter<Instruction>) -> bool {
        let mut served = false;
        let now = clock::now();
        if let Some(timed) = self.script.pop_if(|timed| start + timed.at <= now) {
            self.tell("the script", line_of(timed.text, now), out);
            served = true;
        }
        if let Some(line) = self.stdin.as_mut().and_then(Stdin::pop) {
            self.tell("standard input", line, out);
            served = true;
        }
        // Taken out for the turn, because answering needs the rest of `self`.
        if let Some(mut socket) = self.socket.take() {
            served |= socket.serve(|line| match self.take(line, out) {
                Ok(accepted) => accepted.answer(),
                Err(why) => format!("error: {why}"),
            });
            self.socket = Some(socket);
        }
        served |= self.hear_speech(out);
        served
    }

    /// What was spoken: the person at the terminal is told what was understood, and how long it took.
    fn hear_speech(&mut self, out: &mut NewestWriter<Instruction>) -> bool {
        let Some(Spoken { text, ended, took }) = self.listener.as_mut().and_then(Listener::heard)
        else {
            return false;
        };
        let answer = match text {
            Ok(text) => self
                .take(line_of(text, ended), out)
                .map(|accepted| accepted.answer()),
            Err(why) => {
                self.totals.refused += 1;
                Err(why)
            }
        };
        let (after, took) = ((clock::now() - ended).as_millis_f64(), took.as_millis_f64());
        let times = format!("{after:.0} ms after the last word, {took:.0} of them recognising it");
        match answer {
            Ok(answer) => (self.notes)(&format!("the microphone: {answer} ({times})")),
            Err(why) => (self.notes)(&format!("the microphone: not taken: {why} ({times})")),
        }
        true
    }

    fn wait_and_read(&mut self, topic: Option<&mut kafka::Topic>, timeout: Nanos) {
        let stdin = self.stdin.as_ref().and_then(Stdin::waits_for);
        let stdin_count = usize::from(stdin.is_some());
        let clients = self.socket.iter().flat_map(Socket::waits_for);
        let wake = topic.iter().map(|topic| topic.waits_for());
        let wake_count = wake.len();
        let fds: Vec<_> = stdin.into_iter().chain(wake).chain(clients).collect();
        let ready = wait_readable(&fds, timeout);
        let (stdin_ready, others_ready) = ready.split_at(stdin_count);
        let (wake_ready, socket_ready) = others_ready.split_at(wake_count);
        if let (Some(topic), [true]) = (topic, wake_ready) {
            topic.read();
        }
        if let (Some(stdin), [true]) = (&mut self.stdin, stdin_ready) {
            stdin.read();
        }
        if let Some(socket) = &mut self.socket {
            socket.read(socket_ready);
        }
    }

    /// Takes a line of a source that has nobody to answer: problems go to the person at the terminal.
    fn tell(&mut self, source: &str, line: Line, out: &mut NewestWriter<Instruction>) {
        match self.take(line, out) {
            Ok(accepted) if accepted.warning.is_none() => {}
            Ok(accepted) => (self.notes)(&format!("{source}: {}", accepted.answer())),
            Err(why) => (self.notes)(&format!("{source}: error: {why}")),
        }
    }

    /// Encodes a line and makes it the newest instruction, or says why not.
    fn take(
        &mut self,
        line: Line,
        out: &mut NewestWriter<Instruction>,
    ) -> Result<Accepted, String> {
        let Line { text, received } = line;
        let encoded = text.map_err(|bad| bad.to_string()).and_then(|text| {
            match self.encoder.encode_noting(&text) {
                Ok(encoded) => Ok((text, encoded)),
                Err(fault) => Err(format!("{}: {}", fault.what, fault.why)),
            }
        });
        let (text, encoded) = encoded.inspect_err(|_| self.totals.refused += 1)?;
        self.totals.instructions += 1;
        let id = self.before.saturating_add(self.totals.instructions);
        let mut instruction = Instruction::new(id, &text, received, encoded.embedding);
        instruction.encoded = clock::now();
        // An instruction that fusion had not taken yet is given back: it is out of date.
        let _outdated = out.push(instruction);
        if let Some(heard) = &mut self.heard {
            let text = text.clone();
            drop(heard.push(Heard { id, text }));
        }
        Ok(Accepted {
            id,
            text,
            warning: warning(&encoded),
        })
    }
}

fn line_of(text: String, received: MonoTime) -> Line {
    Line {
        text: Ok(text),
        received,
    }
}

/// An instruction that was pushed.
struct Accepted {
    id: u32,
    text: String,
    warning: Option<&'static str>,
}

impl Accepted {
    /// `ok 3 "look at the cat"`, with the text in JSON's quotes.
    fn answer(&self) -> String {
        let text = serde_json::Value::from(self.text.as_str());
        match self.warning {
            None => format!("ok {} {text}", self.id),
            Some(warning) => format!("ok {} {text} (warning: {warning})", self.id),
        }
    }
}

fn warning(encoded: &Encoded) -> Option<&'static str> {
    if encoded.is_mostly_unknown() {
        Some("most of it is in no word list of the encoder, which reads English")
    } else if encoded.cut {
        Some("it is longer than the encoder reads; the end was left out")
    } else {
        None
    }
}
