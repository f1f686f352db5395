//! What a snapshot of a run holds, and each part as a section.
//!
//! Thread: housekeeping. Allocates: yes. Blocks: no. Locks: no. Syscalls: none.

use super::bytes::{Fields, put_text};
use super::clocks::ClockMap;
use super::snapshot::{Damage, Section, Snapshot};

/// Ids of the sections. A number is never used for something else.
pub mod id {
    pub const RUNS: u32 = 1;
    pub const NUMBERS: u32 = 2;
    pub const CLOCKS: u32 = 3;
    pub const INSTRUCTION: u32 = 4;
    pub const PROGRESS: u32 = 5;
    /// Left out where there are none.
    pub const WINDOWS: u32 = 16;
}

/// Of all sections above but the windows.
const VERSION: u16 = 1;
/// Of how operators keep their state: another number for each change of one that is kept.
pub const WINDOWS_VERSION: u16 = 1;

/// BOUND: a longer instruction is in force as any, and is not kept. Twice the longest line that the sources of instructions
/// take.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;

/// The state of a run at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub runs: Runs,
    pub numbers: Numbers,
    pub clocks: ClockMap,
    pub instruction: Words,
    pub progress: Progress,
    /// Configured streams, as [`Streams::keep`](crate::stream::configured::running::Streams::keep) writes them.
    pub windows: Vec<u8>,
}

/// Runs that had this state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// This one's number; the first is 1.
    pub run: u64,
    /// How many of those before did not come to their end.
    pub cut_off: u64,
    /// This one has come to its end.
    pub ended: bool,
}

/// Numbers of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The newest that is known to have been sent; 0: none.
    pub last: u64,
    /// Every number below this may have been sent, so the next run begins here.
    pub next: u64,
}

/// What the robot was told in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The instruction in force.
    pub in_force: Option<InForce>,
    /// A hash of the instruction that the run was started with (command line or configuration); 0: none.
    pub started_with: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Counts instructions of a run from 1.
    pub id: u32,
    pub text: String,
}

/// How far the run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Frames that were decided on.
    pub frames: u64,
    pub readings: u64,
    pub actions: u64,
    /// The number of the newest journal entry that this holds; 0: there is no journal.
    pub journal: u64,
}

impl State {
    pub fn snapshot(&self, graph: u64, epoch: u64) -> Snapshot {
        let section = |id, bytes| Section {
            id,
            version: VERSION,
            bytes,
        };
        let mut sections = vec![
            section(id::RUNS, self.runs.bytes()),
            section(
                id::NUMBERS,
                numbers(&[self.numbers.last, self.numbers.next]),
            ),
            section(id::CLOCKS, {
                let mut bytes = Vec::new();
                self.clocks.write(&mut bytes);
                bytes
            }),
            section(id::INSTRUCTION, self.instruction.bytes()),
            section(id::PROGRESS, {
                let p = &self.progress;
                numbers(&[p.frames, p.readings, p.actions, p.journal])
            }),
        ];
        if !self.windows.is_empty() {
            sections.push(Section {
                id: id::WINDOWS,
                version: WINDOWS_VERSION,
                bytes: self.windows.clone(),
            });
        }
        Snapshot {
            graph,
            epoch,
            mono: self.clocks.mono.0,
            utc: self.clocks.utc,
            sections,
        }
    }

    /// # Errors
    /// [`Damage::Content`]: a section is missing or says what cannot be, although its checksum is right.
    pub fn of(snapshot: &Snapshot) -> Result<Self, Damage> {
        Self::parse(snapshot).ok_or(Damage::Content)
    }

    fn parse(snapshot: &Snapshot) -> Option<Self> {
        let fields = |id| snapshot.section(id, VERSION).map(Fields::new);
        let [last, next] = read_numbers(fields(id::NUMBERS)?)?;
        let [frames, readings, actions, journal] = read_numbers(fields(id::PROGRESS)?)?;
        let mut clocks = fields(id::CLOCKS)?;
        let state = Self {
            runs: Runs::parse(fields(id::RUNS)?)?,
            numbers: Numbers { last, next },
            clocks: ClockMap::read(&mut clocks)?,
            instruction: Words::parse(fields(id::INSTRUCTION)?)?,
            progress: Progress {
                frames,
                readings,
                actions,
                journal,
            },
            windows: snapshot
                .section(id::WINDOWS, WINDOWS_VERSION)
                .unwrap_or_default()
                .to_vec(),
        };
        clocks.end()?;
        Some(state)
    }
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn read_numbers<const N: usize>(mut fields: Fields<'_>) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = fields.u64()?;
    }
    fields.end().map(|()| numbers)
}

impl Runs {
    fn bytes(&self) -> Vec<u8> {
        numbers(&[self.run, self.cut_off, u64::from(self.ended)])
    }

    fn parse(fields: Fields<'_>) -> Option<Self> {
        let [run, cut_off, ended] = read_numbers(fields)?;
        (ended <= 1).then_some(Self {
            run,
            cut_off,
            ended: ended == 1,
        })
    }
}

impl Words {
    fn bytes(&self) -> Vec<u8> {
        let mut out = numbers(&[self.started_with]);
        let (id, text) = match &self.in_force {
            Some(words) => (words.id, words.text.as_str()),
            None => (0, ""),
        };
        out.extend_from_slice(&id.to_le_bytes());
        put_text(text, &mut out);
        out
    }

    fn parse(mut fields: Fields<'_>) -> Option<Self> {
        let (started_with, id) = (fields.u64()?, fields.u32()?);
        let text = fields.text()?.to_owned();
        fields.end()?;
        Some(Self {
            in_force: (id > 0).then_some(InForce { id, text }),
            started_with,
        })
    }
}
