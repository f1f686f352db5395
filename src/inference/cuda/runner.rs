//! A program on a device: captured once, replayed for each frame, and polled for until a deadline.
//!
//! Thread: any, one at a time. Allocates: in `new`. Blocks: no; [`Runner::finish`] looks again and again until the deadline.
//! Locks: the driver's, around the launch of a graph. Syscalls: the driver's, few or none.

use std::ffi::CStr;
use std::slice;

use super::compile::Feed;
use super::config::CudaConfig;
use super::driver::{Address, Attribute, Driver, Handle, Refused};
use super::kernels;
use super::program::{Arguments, Bases, Launch, Program};
use crate::clock;
use crate::error::{Fault, Kind, Result, StepError};
use crate::inference::network::Network;
use crate::inference::plan::{Input, Inputs};
use crate::rt::sync::{AtomicU32, Ordering, spin_loop};
use crate::units::{MonoTime, Nanos};

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    /// Ten times the compute capability: 87, 90, 110.
    pub architecture: i32,
    pub multiprocessors: usize,
    /// It has no memory of its own, and reads the processor's as fast.
    pub is_integrated: bool,
    /// Of CUDA, as 13000.
    pub driver: i32,
}

/// A network on a device, with all memory that a run needs.
pub struct Runner {
    device: Device,
    program: Program,
    deadline: Nanos,
    /// Frames that were launched; the device counts those that are done.
    launched: u32,
    /// When the last of them was.
    began: MonoTime,
    late: u64,
    held: Held,
}

/// What the driver gave, and is given back in the order that it wants.
struct Held {
    driver: Driver,
    ordinal: i32,
    context: Handle,
    stream: Handle,
    module: Handle,
    replay: Handle,
    /// The device's memory.
    addresses: Vec<Address>,
    /// The processor's.
    input: *mut u8,
    output: *mut u8,
    done: *mut u8,
}

// SAFETY: handles and addresses of the driver are for any thread, one at a time, which `&mut self` grants; each call that
// needs it makes the context this thread's own.
unsafe impl Send for Held {}

impl Runner {
    /// Compiles the network for the device, uploads weights, takes all memory and captures a frame.
    ///
    /// # Errors
    /// `NoDevice` if there is no driver or no such device; `Unsupported` if this binary has no kernels for it, or there are none
    /// for what the network does.
    pub fn new(network: &Network, feed: &Feed, rows: usize, config: &CudaConfig) -> Result<Self> {
        let image = kernels::image()?;
        let driver = Driver::open()?;
        Self::on(driver, &image, network, feed, rows, config)
    }

    /// As [`new`](Self::new), with the driver in `library`: for tests, which have one of their own.
    ///
    /// # Errors
    /// As there.
    pub fn with_library(
        library: &CStr,
        network: &Network,
        feed: &Feed,
        rows: usize,
        config: &CudaConfig,
    ) -> Result<Self> {
        let driver = Driver::open_first(&[library])?;
        Self::on(driver, &[0], network, feed, rows, config)
    }

    fn on(
        driver: Driver,
        image: &[u64],
        network: &Network,
        feed: &Feed,
        rows: usize,
        config: &CudaConfig,
    ) -> Result<Self> {
        let device = Device::find(&driver, config.device)?;
        let program = Program::new(
            network,
            feed,
            config.precision,
            rows,
            device.multiprocessors,
        )?;
        let held = Held::new(driver, config.device, image, &program, &device)?;
        Ok(Self {
            device,
            program,
            deadline: config.deadline,
            launched: 0,
            began: MonoTime::ZERO,
            late: 0,
            held,
        })
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Kernels and copies of a frame.
    pub fn launches(&self) -> usize {
        self.program.launches.len()
    }

    /// Bytes of the device's memory.
    pub fn bytes(&self) -> usize {
        self.program.constants.len() + self.program.arena
    }

    /// Frames that were given up because they were not done by their deadline.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Bytes of the input.
    pub fn input_len(&self) -> usize {
        self.program.input
    }

    /// Values of the output.
    pub fn output_len(&self) -> usize {
        self.program.output
    }

    /// Takes an input's bytes, of which there may be more than are read, and lets the device begin. A frame before this one that
    /// was given up is waited for first, for as long as a frame may take.
    ///
    /// # Errors
    /// `BadFrame` if there are too few bytes; `Compute` if the network has conditions as well; `Late` if the device is still at an earlier frame; `DeviceLost` if it refuses.
    pub fn begin(&mut self, input: &[u8]) -> Result<(), StepError> {
        let Some(input) = input.get(..self.program.input) else {
            return Err(StepError::BadFrame);
        };
        if !self.program.conditions.is_empty() {
            return Err(StepError::Compute);
        }
        self.begin_with(input, &[])
    }

    fn begin_with(&mut self, input: &[u8], conditions: &[&[f32]]) -> Result<(), StepError> {
        self.held
            .make_current()
            .map_err(|_| StepError::DeviceLost)?;
        self.wait(clock::now() + self.deadline)?;
        let bytes = self.program.input_bytes();
        // SAFETY: pinned memory of that many bytes, ours alone while no frame is under way.
        let to = unsafe { slice::from_raw_parts_mut(self.held.input, bytes) };
        to[..self.program.input].copy_from_slice(input);
        for (place, values) in self.program.conditions.iter().zip(conditions) {
            to[place.clone()].copy_from_slice(bytes_of(values));
        }
        self.began = clock::now();
        // SAFETY: the graph and the stream are this driver's, and the memory stays until `Held` is dropped.
        let launched = unsafe { self.held.driver.replay(self.held.replay, self.held.stream) };
        launched.map_err(|_| StepError::DeviceLost)?;
        self.launched = self.launched.wrapping_add(1);
        Ok(())
    }

    /// Waits for what was begun last, until its deadline.
    ///
    /// # Errors
    /// `Late` if it is not done by then: it is counted, and its result will not be seen. `DeviceLost` if the device has failed.
    ///
    /// # Panics
    /// If `output` is not as long as the output.
    pub fn finish(&mut self, output: &mut [f32]) -> Result<(), StepError> {
        assert_eq!(output.len(), self.program.output, "the output's length");
        self.wait(self.began + self.deadline)?;
        // SAFETY: pinned memory of that many floats; the device wrote them before the number, which was read.
        let values = unsafe { slice::from_raw_parts(self.held.output.cast::<f32>(), output.len()) };
        output.copy_from_slice(values);
        Ok(())
    }

    /// [`begin`](Self::begin) and [`finish`](Self::finish), of values of the network's own kind.
    ///
    /// # Errors
    /// As theirs; `Compute` if the input is not what the network takes.
    pub fn run<'a>(
        &mut self,
        inputs: impl Into<Inputs<'a>>,
        output: &mut [f32],
    ) -> Result<(), StepError> {
        let Inputs { input, conditions } = inputs.into();
        let wanted = &self.program.conditions;
        let mut pairs = wanted.iter().zip(conditions);
        if wanted.len() != conditions.len()
            || !pairs.all(|(place, values)| place.len() == size_of_val(*values))
        {
            return Err(StepError::Compute);
        }
        let bytes = match (input, self.program.words) {
            (Input::Words(words), Some(count)) => {
                let known = |&word: &u32| usize::try_from(word).is_ok_and(|word| word < count);
                if !words.iter().all(known) {
                    return Err(StepError::Compute);
                }
                bytes_of(words)
            }
            (Input::Rows(values) | Input::Picture(values), None) => bytes_of(values),
            _ => return Err(StepError::Compute),
        };
        if bytes.len() != self.program.input {
            return Err(StepError::Compute);
        }
        self.begin_with(bytes, conditions)?;
        self.finish(output)
    }

    /// Keeps the device busy for so long before the next frame: for tests of deadlines.
    ///
    /// # Errors
    /// `DeviceLost` if the device refuses.
    pub fn delay(&mut self, time: Nanos) -> Result<(), StepError> {
        let held = &self.held;
        let delay = || -> std::result::Result<(), Refused> {
            held.make_current()?;
            // SAFETY: the module is loaded until `Held` is dropped.
            let kernel = unsafe { held.driver.function(held.module, "delay") }?;
            // SAFETY: it takes one number and no memory.
            unsafe {
                held.driver
                    .launch(kernel, [1; 3], 32, held.stream, &[time.clamp_u64()])
            }
        };
        delay().map_err(|_| StepError::DeviceLost)
    }

    /// Looks for the number of the last frame until `deadline`.
    fn wait(&mut self, deadline: MonoTime) -> Result<(), StepError> {
        // SAFETY: pinned memory, aligned to a page, that stays until `Held` is dropped; the device writes it as a whole.
        let done = unsafe { AtomicU32::from_ptr(self.held.done.cast()) };
        // BOUND: until the deadline.
        loop {
            // ORDERING: Acquire, so that the output is read after the number. The device fences between them.
            if done.load(Ordering::Acquire) == self.launched {
                return Ok(());
            }
            if clock::now() >= deadline {
                break;
            }
            spin_loop();
        }
        self.late += 1;
        // SAFETY: the stream is this driver's.
        match unsafe { self.held.driver.query(self.held.stream) } {
            Err(refused) if !refused.is_not_ready() => Err(StepError::DeviceLost),
            _ => Err(StepError::Late),
        }
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("device", &self.device)
            .field("launches", &self.program.launches.len())
            .finish_non_exhaustive()
    }
}

impl Device {
    fn find(driver: &Driver, ordinal: u32) -> Result<Self> {
        let wrong = |refused| driver.fault(format!("GPU {ordinal} does not answer"), refused);
        let count = driver.device_count().map_err(wrong)?;
        let Some(number) = i32::try_from(ordinal).ok().filter(|&number| number < count) else {
            return Err(Fault::new(
                Kind::NoDevice,
                format!("there is no GPU {ordinal}"),
                format!("the driver finds {count}"),
                "name another with `encoder.cuda.device` (the first is 0), or set the backend to \"plan\"",
            ));
        };
        let read = || -> std::result::Result<Self, Refused> {
            let device = driver.device(number)?;
            let attribute = |attribute| driver.attribute(device, attribute);
            let multiprocessors = attribute(Attribute::Multiprocessors)?;
            Ok(Self {
                name: driver.device_name(device)?,
                architecture: 10 * attribute(Attribute::Major)? + attribute(Attribute::Minor)?,
                multiprocessors: usize::try_from(multiprocessors).unwrap_or(1),
                is_integrated: attribute(Attribute::IsIntegrated)? != 0,
                driver: driver.version()?,
            })
        };
        let device = read().map_err(wrong)?;
        if device.architecture < 80 {
            return Err(Fault::new(
                Kind::Unsupported,
                format!("GPU {ordinal}, {}, is too old", device.name),
                format!(
                    "its architecture is sm_{}, and the kernels need sm_80 (2020) or newer",
                    device.architecture
                ),
                "set the backend to \"plan\"",
            ));
        }
        Ok(device)
    }
}

impl Held {
    fn new(
        driver: Driver,
        ordinal: u32,
        image: &[u64],
        program: &Program,
        device: &Device,
    ) -> Result<Self> {
        let mut held = Self {
            driver,
            ordinal: i32::try_from(ordinal).unwrap_or(0),
            context: std::ptr::null_mut(),
            stream: std::ptr::null_mut(),
            module: std::ptr::null_mut(),
            replay: std::ptr::null_mut(),
            addresses: Vec::new(),
            input: std::ptr::null_mut(),
            output: std::ptr::null_mut(),
            done: std::ptr::null_mut(),
        };
        // What was taken before a failure is given back by the drop.
        held.prepare(image, program, device.is_integrated)
            .map_err(|refused| {
                let what = match refused.is_no_image() {
                    true => format!(
                        "this binary has no kernels for GPU {ordinal}, {} (sm_{})",
                        device.name, device.architecture
                    ),
                    false => format!("GPU {ordinal}, {}, cannot be prepared", device.name),
                };
                held.driver.fault(what, refused)
            })?;
        Ok(held)
    }

    fn make_current(&self) -> std::result::Result<(), Refused> {
        self.driver.set_current(self.context)
    }

    fn prepare(
        &mut self,
        image: &[u64],
        program: &Program,
        is_integrated: bool,
    ) -> std::result::Result<(), Refused> {
        self.context = self.driver.retain_context(self.ordinal)?;
        self.make_current()?;
        self.stream = self.driver.stream()?;
        // SAFETY: nvcc's file, whole.
        self.module = unsafe { self.driver.load(image) }?;
        let constants = self.device_memory(program.constants.len())?;
        // SAFETY: as many bytes, which nobody uses yet.
        unsafe { self.driver.copy(constants, &program.constants) }?;
        let (input, seen_input) = self.driver.allocate_pinned(program.input_bytes())?;
        self.input = input;
        let (output, seen_output) = self
            .driver
            .allocate_pinned(program.output * size_of::<f32>())?;
        self.output = output;
        let (done, seen_done) = self.driver.allocate_pinned(size_of::<u32>())?;
        self.done = done;
        let bases = Bases {
            constants,
            arena: self.device_memory(program.arena)?,
            // Where the device reads the processor's memory as fast as its own, nothing is copied.
            input: match is_integrated {
                true => seen_input,
                false => self.device_memory(program.input_bytes())?,
            },
            output: seen_output,
            done: seen_done,
            counters: self.device_memory(2 * size_of::<u32>())?,
        };
        let kernels = self.kernels(program)?;
        self.driver.settle()?;
        // SAFETY: the stream is this driver's.
        unsafe { self.driver.begin_capture(self.stream) }?;
        let captured = self.put(program, &kernels, &bases, is_integrated);
        // SAFETY: it is captured. Also after a failure, which ends a capture without a graph.
        let replay = unsafe { self.driver.end_capture(self.stream) };
        captured?;
        self.replay = replay?;
        // SAFETY: the stream is this driver's.
        unsafe { self.driver.synchronise(self.stream) }
    }

    fn device_memory(&mut self, bytes: usize) -> std::result::Result<Address, Refused> {
        let address = self.driver.allocate(bytes)?;
        self.addresses.push(address);
        Ok(address)
    }

    /// Of each launch its kernel.
    fn kernels(&self, program: &Program) -> std::result::Result<Vec<Handle>, Refused> {
        let kernels = program.launches.iter().map(|launch| {
            // SAFETY: the module is loaded until this is dropped.
            unsafe { self.driver.function(self.module, launch.kernel) }
        });
        kernels.collect()
    }

    /// All of a frame, on the stream.
    fn put(
        &self,
        program: &Program,
        kernels: &[Handle],
        bases: &Bases,
        is_integrated: bool,
    ) -> std::result::Result<(), Refused> {
        if !is_integrated {
            // SAFETY: both have as many bytes and stay until this is dropped.
            unsafe {
                self.driver
                    .copy_async(bases.input, self.input, program.input_bytes(), self.stream)
            }?;
        }
        for (
            Launch {
                grid,
                block,
                arguments,
                ..
            },
            &kernel,
        ) in program.launches.iter().zip(kernels)
        {
            let arguments = Arguments::resolved(arguments, bases);
            // SAFETY: the program keeps each kernel within its part of the memory, which tests check with margins around every
            // part; and all of it stays until this is dropped.
            unsafe {
                self.driver
                    .launch(kernel, *grid, *block, self.stream, &arguments)
            }?;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.context.is_null() {
            return;
        }
        let driver = &self.driver;
        // In whichever thread this ends. If the device has failed these do nothing, and the process is about to end.
        if driver.set_current(self.context).is_ok() {
            // SAFETY: each was given by this driver, is given back once, and after the stream has been waited for, so no work
            // uses it any more.
            unsafe {
                if !self.stream.is_null() {
                    let _: std::result::Result<(), Refused> = driver.synchronise(self.stream);
                }
                if !self.replay.is_null() {
                    driver.destroy_replay(self.replay);
                }
                for pinned in [self.input, self.output, self.done] {
                    if !pinned.is_null() {
                        driver.free_pinned(pinned);
                    }
                }
                for &address in &self.addresses {
                    driver.free(address);
                }
                if !self.module.is_null() {
                    driver.unload(self.module);
                }
                if !self.stream.is_null() {
                    driver.destroy_stream(self.stream);
                }
            }
        }
        driver.release_context(self.ordinal);
    }
}

/// As the memory has them.
fn bytes_of<T: Copy>(values: &[T]) -> &[u8] {
    // SAFETY: called with u32 and f32, whose bytes are all initialised; the length is theirs.
    unsafe { slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}
