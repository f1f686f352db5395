//! From what happened to a message's bytes, and back. Both directions of a message stand together.
//!
//! Thread: the recorder's; a replay's. Allocates: the bytes. Blocks: no.

use super::cdr::{CdrReader, CdrWriter};
use super::config::SensorKind;
use super::tap::{Beat, FrameEvent, FusionStep, Given, Numbered};
use crate::action::{Action, Chunk, Refusal, Rung};
use crate::error::StepError;
use crate::frame::{FrameFormat, FrameMarks, FrameMeta, Matrix, PixelFormat, Range, StampSource};
use crate::language::{EMBEDDING_LEN, Instruction};
use crate::policy::{Memory, State};
use crate::sensor::{DOF_MAX, Reading};
use crate::stream::align::choice::Status;
use crate::telemetry::record::Outcome;
use crate::telemetry::trace::{Mark, Trace};
use crate::units::{MonoTime, Nanos};

/// From the monotonic clock to UTC, fixed when the recording begins: a clock that is set meanwhile moves no message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcOffset(pub i64);

impl UtcOffset {
    /// Nanoseconds since 1970, as MCAP wants them.
    pub fn utc(self, at: MonoTime) -> u64 {
        u64::try_from(at.0.saturating_add(self.0)).unwrap_or(0)
    }

    fn header(self, out: &mut CdrWriter, at: MonoTime, frame: &str) {
        let utc = self.utc(at);
        let (seconds, nanos) = (utc / 1_000_000_000, utc % 1_000_000_000);
        out.i32(i32::try_from(seconds).unwrap_or(i32::MAX));
        out.u32(u32::try_from(nanos).unwrap_or(0));
        out.text(frame);
    }
}

/// All of an image message but the pixels, which follow it.
pub fn image_head(meta: &FrameMeta, utc: UtcOffset) -> Vec<u8> {
    let mut out = CdrWriter::default();
    utc.header(&mut out, meta.captured, "camera");
    let format = &meta.format;
    if format.pixel == PixelFormat::Mjpeg {
        out.text("jpeg");
    } else {
        out.u32(format.height);
        out.u32(format.width);
        out.text(image_encoding(format.pixel));
        out.bool(false);
        out.u32(format.stride);
    }
    out.len(meta.bytes_used as usize);
    out.into_bytes()
}

/// As ROS and Foxglove name it.
fn image_encoding(pixel: PixelFormat) -> &'static str {
    match pixel {
        PixelFormat::Yuyv => "yuv422_yuy2",
        PixelFormat::Uyvy => "uyvy",
        PixelFormat::Nv12 => "nv12",
        PixelFormat::Rgb24 => "rgb8",
        PixelFormat::Grey => "mono8",
        PixelFormat::Mjpeg => "jpeg",
    }
}

/// The pixels of an image message.
pub fn image_bytes(message: &[u8], is_compressed: bool) -> Option<&[u8]> {
    let mut read = CdrReader::new(message);
    let _stamp = (read.i32(), read.u32(), read.text());
    if is_compressed {
        read.text();
    } else {
        let _size = (read.u32(), read.u32(), read.text(), read.bool(), read.u32());
    }
    let len = read.u32() as usize;
    let bytes = read.take(len);
    read.whole(bytes)
}

/// The message for people that a reading makes, if its kind has one.
pub fn sensor_state(reading: &Reading, kind: SensorKind, utc: UtcOffset) -> Option<Vec<u8>> {
    let mut out = CdrWriter::default();
    match (kind, reading.values()) {
        (SensorKind::Joints, values) => {
            utc.header(&mut out, reading.at, "");
            out.len(values.len());
            (0..values.len()).for_each(|joint| out.text(&format!("joint_{joint}")));
            out.len(values.len());
            values.iter().for_each(|v| out.f64(f64::from(*v)));
            // Neither velocity nor effort.
            out.len(0);
            out.len(0);
        }
        (SensorKind::Imu, [ax, ay, az, gx, gy, gz, orientation @ ..])
            if matches!(orientation.len(), 0 | 4) =>
        {
            // By the message's own rule: -1 says that a part is not there, 0 that its spread is unknown.
            let covariance = |out: &mut CdrWriter, known: bool| {
                (0..9).for_each(|i| out.f64(if i == 0 && !known { -1.0 } else { 0.0 }));
            };
            utc.header(&mut out, reading.at, "imu");
            let known = !orientation.is_empty();
            let quaternion = if known { orientation } else { &[0.0; 4] };
            quaternion.iter().for_each(|v| out.f64(f64::from(*v)));
            covariance(&mut out, known);
            [gx, gy, gz].iter().for_each(|v| out.f64(f64::from(**v)));
            covariance(&mut out, true);
            [ax, ay, az].iter().for_each(|v| out.f64(f64::from(**v)));
            covariance(&mut out, true);
        }
        _ => return None,
    }
    Some(out.into_bytes())
}

pub fn frame(numbered: &Numbered<FrameEvent>) -> Vec<u8> {
    let event = &numbered.event;
    let (meta, trace) = (&event.meta, &event.trace);
    let mut out = CdrWriter::default();
    out.u64(numbered.order);
    out.u64(meta.seq);
    out.u8(meta.source_index);
    for at in [
        meta.captured,
        meta.arrived,
        trace.at(Mark::HandedOver),
        trace.at(Mark::FeaturesBegin),
        trace.at(Mark::Loaded),
        trace.at(Mark::Encoded),
        event.end,
    ] {
        out.i64(at.0);
    }
    out.u8(outcome_code(event.outcome));
    out.text(meta.format.pixel.name());
    out.u32(meta.format.width);
    out.u32(meta.format.height);
    out.u32(meta.format.stride);
    out.text(match meta.format.matrix {
        Matrix::Bt601 => "bt601",
        Matrix::Bt709 => "bt709",
    });
    out.text(match meta.format.range {
        Range::Limited => "limited",
        Range::Full => "full",
    });
    out.u32(meta.bytes_used);
    out.u8(meta.stamp as u8);
    let marks = &meta.marks;
    let bits = [
        marks.error,
        marks.short,
        marks.repeated,
        marks.future_stamp,
        marks.resumed,
    ];
    let set = (0u8..).zip(bits).map(|(bit, on)| u8::from(on) << bit);
    out.u8(set.sum());
    out.u32(marks.gap_before);
    out.bool(event.tapped);
    out.into_bytes()
}

pub fn read_frame(message: &[u8]) -> Option<Numbered<FrameEvent>> {
    let mut read = CdrReader::new(message);
    let (order, seq, source_index) = (read.u64(), read.u64(), read.u8());
    let [captured, arrived, handed_over, begin, loaded, encoded, end] =
        std::array::from_fn(|_| MonoTime(read.i64()));
    let outcome = outcome_of(read.u8())?;
    let pixel = PixelFormat::parse(&read.text())?;
    let (width, height, stride) = (read.u32(), read.u32(), read.u32());
    let matrix = match read.text().as_str() {
        "bt601" => Matrix::Bt601,
        "bt709" => Matrix::Bt709,
        _ => return None,
    };
    let range = match read.text().as_str() {
        "limited" => Range::Limited,
        "full" => Range::Full,
        _ => return None,
    };
    let bytes_used = read.u32();
    let stamp = *STAMPS.get(usize::from(read.u8()))?;
    let (bits, gap_before, tapped) = (read.u8(), read.u32(), read.bool());
    let is_set = |bit: u8| bits & (1 << bit) != 0;
    let mut trace = Trace::new(seq, source_index, captured, arrived);
    for (mark, at) in [
        (Mark::HandedOver, handed_over),
        (Mark::FeaturesBegin, begin),
        (Mark::Loaded, loaded),
        (Mark::Encoded, encoded),
    ] {
        trace.stamp(mark, at);
    }
    let meta = FrameMeta {
        seq,
        source_index,
        format: FrameFormat {
            pixel,
            width,
            height,
            stride,
            matrix,
            range,
        },
        bytes_used,
        captured,
        stamp,
        arrived,
        marks: FrameMarks {
            error: is_set(0),
            short: is_set(1),
            repeated: is_set(2),
            future_stamp: is_set(3),
            resumed: is_set(4),
            gap_before,
        },
    };
    let event = FrameEvent {
        meta,
        trace,
        end,
        outcome,
        tapped,
    };
    read.whole(Numbered { order, event })
}

/// In the order of their codes.
const STAMPS: [StampSource; 5] = [
    StampSource::StartOfExposure,
    StampSource::EndOfFrame,
    StampSource::Arrival,
    StampSource::Recorded,
    StampSource::Synthetic,
];

pub fn reading(order: u64, sensor: u8, reading: &Reading) -> Vec<u8> {
    let mut out = CdrWriter::default();
    out.u64(order);
    out.u8(sensor);
    out.u8(reading.source_index);
    out.u32(reading.seq);
    out.i64(reading.at.0);
    out.i64(reading.arrived.0);
    out.f32s(reading.values());
    out.into_bytes()
}

pub fn read_reading(message: &[u8]) -> Option<Numbered<(u8, Reading)>> {
    let mut read = CdrReader::new(message);
    let (order, sensor, source_index) = (read.u64(), read.u8(), read.u8());
    let (seq, at, arrived) = (read.u32(), MonoTime(read.i64()), MonoTime(read.i64()));
    let (len, values) = padded(&read.f32s())?;
    let reading = Reading {
        at,
        arrived,
        seq,
        source_index,
        len,
        values,
    };
    read.whole(Numbered {
        order,
        event: (sensor, reading),
    })
}

pub fn instruction(numbered: &Numbered<Instruction>) -> Vec<u8> {
    let instruction = &numbered.event;
    let mut out = CdrWriter::default();
    out.u64(numbered.order);
    out.u32(instruction.id);
    out.i64(instruction.received.0);
    out.i64(instruction.encoded.0);
    out.text(instruction.text());
    out.f32s(&instruction.embedding);
    out.into_bytes()
}

pub fn read_instruction(message: &[u8]) -> Option<Numbered<Instruction>> {
    let mut read = CdrReader::new(message);
    let (order, id) = (read.u64(), read.u32());
    let (received, encoded) = (MonoTime(read.i64()), MonoTime(read.i64()));
    let text = read.text();
    let embedding: [f32; EMBEDDING_LEN] = read.f32s().try_into().ok()?;
    let mut event = Instruction::new(id, &text, received, embedding);
    event.encoded = encoded;
    read.whole(Numbered { order, event })
}

pub fn step(order: u64, step: &FusionStep) -> Vec<u8> {
    let mut out = CdrWriter::default();
    out.u64(order);
    out.u64(step.seq);
    out.i64(step.begin.0);
    out.i64(step.end.0);
    out.u8(outcome_code(step.outcome));
    out.u32(step.instruction_id);
    let state = &step.state;
    let (code, span) = status_code(state.status);
    out.i64(state.at.0);
    out.u8(code);
    out.i64(span.0);
    out.bool(state.is_filled);
    out.f32s(state.values());
    let remembered = step.memory.bytes();
    out.bool(remembered.is_some());
    out.bytes(remembered.unwrap_or_default());
    out.into_bytes()
}

pub fn read_step(message: &[u8]) -> Option<Numbered<FusionStep>> {
    let mut read = CdrReader::new(message);
    let (order, seq) = (read.u64(), read.u64());
    let (begin, end) = (MonoTime(read.i64()), MonoTime(read.i64()));
    let outcome = outcome_of(read.u8())?;
    let (instruction_id, at) = (read.u32(), MonoTime(read.i64()));
    let status = status_of(read.u8(), Nanos(read.i64()))?;
    let (is_filled, values) = (read.bool(), read.f32s());
    let (len, values) = padded(&values)?;
    let (is_said, memory) = (read.bool(), read.bytes());
    let memory = is_said.then(|| Memory::of(memory));
    let event = FusionStep {
        seq,
        begin,
        end,
        outcome,
        state: State {
            at,
            status,
            is_filled,
            len,
            values,
        },
        instruction_id,
        memory: memory.map_or(Some(Memory::default()), |memory| memory)?,
    };
    read.whole(Numbered { order, event })
}

/// A result of the stream of this name, which is that in words.
pub fn stream_result(name: &str, what: &str, given: &Given) -> Vec<u8> {
    let window = &given.window;
    let mut out = CdrWriter::default();
    out.text(name);
    out.text(what);
    for instant in [window.start, window.end, window.min_at, window.max_at] {
        out.i64(instant.0);
    }
    out.u64(window.count);
    out.u64(window.filled);
    out.u32(window.revision);
    out.bool(window.is_final);
    out.bool(window.result.is_some());
    out.f64(window.result.unwrap_or_default());
    out.into_bytes()
}

fn status_code(status: Status) -> (u8, Nanos) {
    match status {
        Status::Exact => (0, Nanos::ZERO),
        Status::Nearest(span) => (1, span),
        Status::Held(span) => (2, span),
        Status::Interpolated(span) => (3, span),
        Status::Predicted(span) => (4, span),
        Status::Latest(span) => (5, span),
        Status::Default => (6, Nanos::ZERO),
        Status::Missing => (7, Nanos::ZERO),
    }
}

fn status_of(code: u8, span: Nanos) -> Option<Status> {
    Some(match code {
        0 => Status::Exact,
        1 => Status::Nearest(span),
        2 => Status::Held(span),
        3 => Status::Interpolated(span),
        4 => Status::Predicted(span),
        5 => Status::Latest(span),
        6 => Status::Default,
        7 => Status::Missing,
        _ => return None,
    })
}

pub fn chunk(chunk: &Chunk) -> Vec<u8> {
    let mut out = CdrWriter::default();
    out.u64(chunk.trace.seq);
    out.u8(chunk.trace.source_index);
    out.u32(chunk.trace.instruction_id);
    for mark in Mark::ALL {
        out.i64(chunk.trace.at(mark).0);
    }
    out.i64(chunk.begin.0);
    out.i64(chunk.step.0);
    out.u8(chunk.dof);
    let dof = usize::from(chunk.dof);
    out.len(chunk.steps().len() * dof);
    for step in chunk.steps() {
        step[..dof].iter().for_each(|v| out.f32(*v));
    }
    out.into_bytes()
}

pub fn read_chunk(message: &[u8]) -> Option<Chunk> {
    let mut read = CdrReader::new(message);
    let (seq, source_index, instruction_id) = (read.u64(), read.u8(), read.u32());
    let mut trace = Trace::new(seq, source_index, MonoTime::ZERO, MonoTime::ZERO);
    trace.instruction_id = instruction_id;
    for mark in Mark::ALL {
        trace.stamp(mark, MonoTime(read.i64()));
    }
    let (begin, step, dof) = (MonoTime(read.i64()), Nanos(read.i64()), read.u8());
    let targets = read.f32s();
    if usize::from(dof) > DOF_MAX {
        return None;
    }
    let mut chunk = Chunk::new(dof);
    (chunk.trace, chunk.begin, chunk.step) = (trace, begin, step);
    for target in targets.chunks_exact(usize::from(dof).max(1)) {
        chunk.push(target).ok()?;
    }
    read.whole(chunk)
}

pub fn action(numbered: &Numbered<Beat>) -> Vec<u8> {
    let beat = &numbered.event;
    let action = &beat.action;
    let mut out = CdrWriter::default();
    out.u64(numbered.order);
    out.u64(action.tick);
    out.i64(action.at.0);
    out.i64(beat.begin.0);
    out.i64(beat.written.0);
    out.u32(beat.missed);
    out.u8(action.rung as u8);
    out.u64(action.frame_seq);
    out.bool(beat.chunk.is_some());
    out.u64(beat.chunk.unwrap_or(0));
    // 255 is -1.
    out.u8(beat.refused.map_or(u8::MAX, |refusal| refusal as u8));
    out.bool(beat.reset);
    out.bool(beat.stopping);
    out.u8(outcome_code(
        beat.write_failed.map_or(Outcome::Ok, Outcome::Failed),
    ));
    out.f32s(action.targets());
    out.into_bytes()
}

pub fn read_action(message: &[u8]) -> Option<Numbered<Beat>> {
    let mut read = CdrReader::new(message);
    let (order, tick, at) = (read.u64(), read.u64(), MonoTime(read.i64()));
    let (begin, written, missed) = (MonoTime(read.i64()), MonoTime(read.i64()), read.u32());
    let rung = *Rung::ALL.get(usize::from(read.u8()))?;
    let frame_seq = read.u64();
    let (took, seq) = (read.bool(), read.u64());
    let refused = match read.u8() {
        u8::MAX => None,
        code => Some(*Refusal::ALL.get(usize::from(code))?),
    };
    let (reset, stopping) = (read.bool(), read.bool());
    let write_failed = match outcome_of(read.u8())? {
        Outcome::Failed(error) => Some(error),
        _ => None,
    };
    let (dof, targets) = padded(&read.f32s())?;
    let action = Action {
        tick,
        at,
        rung,
        frame_seq,
        dof,
        targets,
    };
    let event = Beat {
        action,
        begin,
        written,
        missed,
        chunk: took.then_some(seq),
        refused,
        reset,
        stopping,
        write_failed,
    };
    read.whole(Numbered { order, event })
}

fn padded(values: &[f32]) -> Option<(u8, [f32; DOF_MAX])> {
    let mut padded = [0.0; DOF_MAX];
    padded.get_mut(..values.len())?.copy_from_slice(values);
    Some((u8::try_from(values.len()).ok()?, padded))
}

/// In the order of their codes, the first of which is 2.
const ERRORS: [StepError; 7] = [
    StepError::BadFrame,
    StepError::NotFinite,
    StepError::Compute,
    StepError::DeviceLost,
    StepError::WouldBlock,
    StepError::OutOfRange,
    StepError::Late,
];

fn outcome_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Ok => 0,
        Outcome::Dropped => 1,
        Outcome::Failed(error) => 2 + error as u8,
    }
}

fn outcome_of(code: u8) -> Option<Outcome> {
    match code {
        0 => Some(Outcome::Ok),
        1 => Some(Outcome::Dropped),
        code => ERRORS
            .get(usize::from(code) - 2)
            .map(|e| Outcome::Failed(*e)),
    }
}
