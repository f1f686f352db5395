//! The three tasks, and what they were given and found.
//!
//! All instants are nanoseconds of Copper's clock: the one with which its limiter keeps its phase.

use std::sync::{Arc, Mutex, OnceLock};

use bincode::de::Decoder;
use bincode::error::DecodeError;
use bincode::{Decode, Encode};
use cu29::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{picture, thread};

/// 30 frames a second, to the nanosecond the period of Copper's limiter.
pub const PERIOD: u64 = 1_000_000_000 / 30;
/// How early a timed wait wakes to spin, as in our runtime.
const LEAD: i64 = 250_000;
/// Buffers, as our synthetic camera has.
const BUFFERS: usize = 4;

/// Who waits for the next frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The source: sleeps until shortly before the instant, then spins, as our capture stage does.
    Source,
    /// Copper's limiter, after each round of all tasks.
    Limiter,
}

/// What the tasks are told. A static, because Copper makes the tasks itself.
pub struct Orders {
    pub frames: u64,
    pub wait: Wait,
    /// Whether one thread runs everything, which then has to be made a real-time thread from inside.
    pub serial: bool,
}

pub static ORDERS: OnceLock<Orders> = OnceLock::new();
pub static FOUND: Mutex<Option<Found>> = Mutex::new(None);

/// What a run has found.
#[derive(Default)]
pub struct Found {
    /// One for each frame that reached the sink, in the order of its reaching it.
    pub records: Vec<Record>,
    /// Frames that were over before the source came to take them, as far as the source can know.
    pub overtaken: u64,
    /// Frames for which the pool had no buffer.
    pub no_buffer: u64,
}

/// One frame's way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record {
    pub touched: Touched,
    /// The sink has it.
    pub sunk: u64,
}

/// Passed from the source to the features.
#[derive(Clone, Debug, Default, Deserialize, Encode, Reflect, Serialize)]
pub struct Frame {
    /// Scheduled instant; 0 where only the limiter knows it.
    due: u64,
    bytes: CuHandle<Vec<u8>>,
}

// By hand, because a handle can be decoded in no context but this one.
impl Decode<()> for Frame {
    fn decode<D: Decoder<Context = ()>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(Self {
            due: Decode::decode(decoder)?,
            bytes: Decode::decode(decoder)?,
        })
    }
}

/// Passed from the features to the sink.
#[derive(Clone, Copy, Debug, Default, Decode, Deserialize, Encode, Reflect, Serialize)]
pub struct Touched {
    /// The number found in the frame's bytes.
    pub number: u64,
    pub sum: u64,
    pub due: u64,
    /// The source has it: the message's time of validity.
    pub taken: u64,
    /// Before and after the touching.
    pub begin: u64,
    pub end: u64,
}

fn orders() -> CuResult<&'static Orders> {
    ORDERS
        .get()
        .ok_or_else(|| "the tasks have no orders".into())
}

fn failed(what: &str) -> impl FnOnce(std::io::Error) -> CuError {
    move |error| CuError::new_with_cause(what, error)
}

/// Plays the camera: a frame is drawn into a free buffer ahead of its time, as a driver's DMA would, and handed out at its
/// instant. An exposure that nobody took before the next one was over is lost and counted.
#[derive(Reflect)]
pub struct Source {
    pool: Arc<CuHostMemoryPool<Vec<u8>>>,
    ahead: Option<CuHandle<Vec<u8>>>,
    /// Number of the next frame. Where the limiter waits, numbers count what was handed out.
    next: u64,
    /// Instant of frame 0.
    base: u64,
    overtaken: u64,
    no_buffer: u64,
    asked_to_stop: bool,
}

impl Freezable for Source {}

impl Source {
    /// Draws the next frame, if that has not been done yet and a buffer is free.
    fn prepare(&mut self) {
        if self.ahead.is_none() {
            self.ahead = self.pool.acquire();
            self.redraw();
        }
    }

    fn redraw(&mut self) {
        if let Some(handle) = &self.ahead {
            handle.with_inner_mut(|bytes| picture::draw(bytes, self.next));
        }
    }

    /// Waits for the next frame and returns its instant.
    fn wait(&mut self, clock: &RobotClock, frames: u64) -> u64 {
        let due = self.base + self.next * PERIOD;
        let mut now = clock.now().as_nanos();
        // The two clocks differ by less than 1 in 1000 (checked after the run): over a period by far less than the lead.
        if due > now {
            thread::sleep_until(thread::monotonic() + (due - now).cast_signed() - LEAD);
        }
        // BOUND: the lead.
        while now < due {
            std::hint::spin_loop();
            now = clock.now().as_nanos();
        }
        let late = (now - due) / PERIOD;
        let late = late.min(frames - 1 - self.next);
        if late > 0 {
            // As a camera that is drained to its newest frame.
            self.overtaken += late;
            self.next += late;
            self.redraw();
        }
        due + late * PERIOD
    }
}

impl CuSrcTask for Source {
    type Resources<'r> = ();
    type Output<'m> = output_msg!(Frame);

    fn new(_config: Option<&ComponentConfig>, _resources: ()) -> CuResult<Self> {
        Ok(Self {
            pool: CuHostMemoryPool::new("frames", BUFFERS, picture::paint)?,
            ahead: None,
            next: 0,
            base: 0,
            overtaken: 0,
            no_buffer: 0,
            asked_to_stop: false,
        })
    }

    fn start(&mut self, ctx: &CuContext) -> CuResult<()> {
        if orders()?.serial {
            // Here and not before, so that the threads that Copper starts do not inherit it.
            thread::pin(thread::CORE).map_err(failed("no core of its own"))?;
            thread::become_real_time().map_err(failed("no real-time priority"))?;
        }
        self.prepare();
        self.base = ctx.now().as_nanos() + PERIOD;
        Ok(())
    }

    fn process(&mut self, ctx: &CuContext, output: &mut Self::Output<'_>) -> CuResult<()> {
        let orders = orders()?;
        if self.next >= orders.frames {
            output.clear_payload();
            if !self.asked_to_stop {
                self.asked_to_stop = true;
                thread::ask_to_stop();
            }
            // Until Copper looks, so that the thread that handles the signal gets a core.
            thread::sleep_until(thread::monotonic() + 1_000_000);
            return Ok(());
        }
        let due = match orders.wait {
            Wait::Source => {
                // The frame that this message carried before goes back to the pool now and not on the next one's way.
                output.clear_payload();
                self.prepare();
                self.wait(ctx, orders.frames)
            }
            Wait::Limiter => 0,
        };
        let taken = ctx.now();
        if self.ahead.is_none() {
            self.prepare();
        }
        match self.ahead.take() {
            Some(bytes) => {
                output.tov = Tov::Time(taken);
                output.set_payload(Frame { due, bytes });
            }
            None => {
                self.no_buffer += 1;
                output.clear_payload();
            }
        }
        self.next += 1;
        Ok(())
    }

    /// After the sink has run, where one thread runs all. The pipeline does not call it; there the next round prepares.
    fn postprocess(&mut self, _ctx: &CuContext) -> CuResult<()> {
        self.prepare();
        Ok(())
    }

    fn stop(&mut self, _ctx: &CuContext) -> CuResult<()> {
        let mut found = FOUND
            .lock()
            .map_err(|_| CuError::from("a task has panicked"))?;
        let found = found.get_or_insert_default();
        found.overtaken = self.overtaken;
        found.no_buffer = self.no_buffer;
        Ok(())
    }
}

/// Touches every byte.
#[derive(Reflect)]
pub struct Features;

impl Freezable for Features {}

impl CuTask for Features {
    type Resources<'r> = ();
    type Input<'m> = input_msg!(Frame);
    type Output<'m> = output_msg!(Touched);

    fn new(_config: Option<&ComponentConfig>, _resources: ()) -> CuResult<Self> {
        Ok(Self)
    }

    fn process(
        &mut self,
        ctx: &CuContext,
        input: &Self::Input<'_>,
        output: &mut Self::Output<'_>,
    ) -> CuResult<()> {
        let (Some(frame), Tov::Time(taken)) = (input.payload(), input.tov) else {
            output.clear_payload();
            return Ok(());
        };
        // The handle's lock is taken within the touching: it is not counted as overhead.
        let begin = ctx.now().as_nanos();
        let (number, sum) = frame
            .bytes
            .with_inner(|bytes| (picture::number(bytes), picture::touch(bytes)));
        let end = ctx.now().as_nanos();
        output.tov = input.tov;
        output.set_payload(Touched {
            number,
            sum,
            due: frame.due,
            taken: taken.as_nanos(),
            begin,
            end,
        });
        Ok(())
    }
}

/// Takes the time.
#[derive(Reflect)]
pub struct Sink {
    records: Vec<Record>,
}

impl Freezable for Sink {}

impl CuSinkTask for Sink {
    type Resources<'r> = ();
    type Input<'m> = input_msg!(Touched);

    fn new(_config: Option<&ComponentConfig>, _resources: ()) -> CuResult<Self> {
        let frames = usize::try_from(orders()?.frames)
            .map_err(|error| CuError::new_with_cause("too many frames", error))?;
        Ok(Self {
            records: Vec::with_capacity(frames),
        })
    }

    fn process(&mut self, ctx: &CuContext, input: &Self::Input<'_>) -> CuResult<()> {
        if let Some(&touched) = input.payload() {
            let sunk = ctx.now().as_nanos();
            // Never more than there are frames, so that it never grows.
            if self.records.len() < self.records.capacity() {
                self.records.push(Record { touched, sunk });
            }
        }
        Ok(())
    }

    fn stop(&mut self, _ctx: &CuContext) -> CuResult<()> {
        let mut found = FOUND
            .lock()
            .map_err(|_| CuError::from("a task has panicked"))?;
        found.get_or_insert_default().records = std::mem::take(&mut self.records);
        Ok(())
    }
}
