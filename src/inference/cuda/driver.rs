//! NVIDIA's driver, opened when it is asked for: the some thirty functions of `libcuda.so.1` that a runner calls.
//!
//! Not linked: a binary with this in it starts on machines without a GPU and says what is missing. Names and numbers are those
//! of the CUDA driver API's reference (13.0); all of them are in drivers since CUDA 11.4.
//!
//! Thread: any. Allocates: in `open`. Blocks: as each function says.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

use crate::error::{Fault, Kind, Result};

/// Of the device's memory, or of the processor's as the device sees it.
pub type Address = u64;

/// What the driver gives out and is given back. Never followed here.
pub type Handle = *mut c_void;

const SUCCESS: c_int = 0;
const NO_DEVICE: c_int = 100;
const NO_IMAGE: c_int = 209;
const NOT_READY: c_int = 600;

/// Where `libcuda.so.1` is: where the loader looks, and where containers and Windows' Linux put it.
const PLACES: [&CStr; 3] = [
    c"libcuda.so.1",
    c"/usr/local/nvidia/lib64/libcuda.so.1",
    c"/usr/lib/wsl/lib/libcuda.so.1",
];

macro_rules! functions {
    ($($name:ident $symbol:literal ($($argument:ty),*);)*) => {
        /// The functions, by what this crate calls them and by their names in the library.
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Functions {
            /// # Errors
            /// The name that the library lacks.
            fn of(library: Handle) -> std::result::Result<Self, &'static CStr> {
                $(
                    // SAFETY: an open library, and a name that ends with 0.
                    let $name = unsafe { libc::dlsym(library, $symbol.as_ptr()) };
                    if $name.is_null() {
                        return Err($symbol);
                    }
                )*
                Ok(Self {
                    $(
                        // SAFETY: the driver's reference declares the function of this name with these arguments.
                        $name: unsafe {
                            std::mem::transmute::<Handle, unsafe extern "C" fn($($argument),*) -> c_int>($name)
                        },
                    )*
                })
            }
        }
    };
}

functions! {
    init c"cuInit" (c_uint);
    version c"cuDriverGetVersion" (*mut c_int);
    device_count c"cuDeviceGetCount" (*mut c_int);
    device c"cuDeviceGet" (*mut c_int, c_int);
    device_name c"cuDeviceGetName" (*mut c_char, c_int, c_int);
    device_attribute c"cuDeviceGetAttribute" (*mut c_int, c_int, c_int);
    retain_context c"cuDevicePrimaryCtxRetain" (*mut Handle, c_int);
    release_context c"cuDevicePrimaryCtxRelease_v2" (c_int);
    set_current c"cuCtxSetCurrent" (Handle);
    settle c"cuCtxSynchronize" ();
    priorities c"cuCtxGetStreamPriorityRange" (*mut c_int, *mut c_int);
    load c"cuModuleLoadData" (*mut Handle, *const c_void);
    unload c"cuModuleUnload" (Handle);
    function c"cuModuleGetFunction" (*mut Handle, Handle, *const c_char);
    allocate c"cuMemAlloc_v2" (*mut Address, usize);
    free c"cuMemFree_v2" (Address);
    fill c"cuMemsetD8_v2" (Address, u8, usize);
    copy c"cuMemcpyHtoD_v2" (Address, *const c_void, usize);
    copy_async c"cuMemcpyHtoDAsync_v2" (Address, *const c_void, usize, Handle);
    allocate_pinned c"cuMemHostAlloc" (*mut *mut c_void, usize, c_uint);
    free_pinned c"cuMemFreeHost" (*mut c_void);
    pinned_address c"cuMemHostGetDevicePointer_v2" (*mut Address, *mut c_void, c_uint);
    stream c"cuStreamCreateWithPriority" (*mut Handle, c_uint, c_int);
    destroy_stream c"cuStreamDestroy_v2" (Handle);
    query c"cuStreamQuery" (Handle);
    synchronise c"cuStreamSynchronize" (Handle);
    begin_capture c"cuStreamBeginCapture_v2" (Handle, c_int);
    end_capture c"cuStreamEndCapture" (Handle, *mut Handle);
    instantiate c"cuGraphInstantiateWithFlags" (*mut Handle, Handle, u64);
    destroy_graph c"cuGraphDestroy" (Handle);
    destroy_replay c"cuGraphExecDestroy" (Handle);
    upload c"cuGraphUpload" (Handle, Handle);
    replay c"cuGraphLaunch" (Handle, Handle);
    launch c"cuLaunchKernel" (Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void);
    error_name c"cuGetErrorName" (c_int, *mut *const c_char);
}

/// What is asked of a device. The driver's numbers.
#[derive(Clone, Copy, Debug)]
pub enum Attribute {
    Multiprocessors = 16,
    /// It has no memory of its own: a Jetson.
    IsIntegrated = 18,
    Major = 75,
    Minor = 76,
}

/// The driver, initialised. It stays loaded until the process ends.
pub struct Driver {
    functions: Functions,
}

/// An error of the driver, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(c_int);

impl Refused {
    /// Work is under way: no error.
    pub fn is_not_ready(self) -> bool {
        self.0 == NOT_READY
    }

    /// There is no code for this device in the module.
    pub fn is_no_image(self) -> bool {
        self.0 == NO_IMAGE
    }
}

type Answer<T = ()> = std::result::Result<T, Refused>;

fn answer(code: c_int) -> Answer {
    match code {
        SUCCESS => Ok(()),
        code => Err(Refused(code)),
    }
}

impl Driver {
    /// Opens the driver of this machine.
    ///
    /// # Errors
    /// `NoDevice` if there is no driver, or it finds no device; `Unsupported` if it is too old.
    pub fn open() -> Result<Self> {
        Self::open_first(&PLACES)
    }

    /// Opens the first of these libraries that is there.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    pub fn open_first(places: &[&CStr]) -> Result<Self> {
        let opened = places.iter().map(|place| {
            // SAFETY: a name that ends with 0. What a driver does when it is loaded is its own affair.
            unsafe { libc::dlopen(place.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) }
        });
        let Some(library) = opened.into_iter().find(|library| !library.is_null()) else {
            return Err(Fault::new(
                Kind::NoDevice,
                "no NVIDIA driver on this machine",
                "libcuda.so.1, which the driver brings, was not found",
                "install NVIDIA's driver (on a Jetson it is part of the system image), or set the backend to \"plan\"",
            ));
        };
        let functions = Functions::of(library).map_err(|name| {
            Fault::new(
                Kind::Unsupported,
                "NVIDIA's driver is too old",
                format!("it has no function {}", name.to_string_lossy()),
                "install a driver of CUDA 13.0 or newer (580), or set the backend to \"plan\"",
            )
        })?;
        let driver = Self { functions };
        // SAFETY: the first call, with the flags that there are: none.
        let code = unsafe { (driver.functions.init)(0) };
        answer(code).map_err(|refused| driver.fault("NVIDIA's driver does not start", refused))?;
        Ok(driver)
    }

    /// An error for people. Not on the way of a frame.
    pub fn fault(&self, what: impl Into<String>, refused: Refused) -> Fault {
        let (kind, fix) = match refused.0 {
            NO_DEVICE => (
                Kind::NoDevice,
                "see what `nvidia-smi` finds; or set the backend to \"plan\"",
            ),
            NO_IMAGE => (
                Kind::Unsupported,
                "build for this device: REFLEXARC_CUDA_ARCHITECTURES, see docs/cuda.md",
            ),
            _ => (
                Kind::NoDevice,
                "`nvidia-smi` and the kernel's log (`dmesg`, Xid) say more; or set the backend to \"plan\"",
            ),
        };
        Fault::new(
            kind,
            what,
            format!("the driver says {}", self.name(refused)),
            fix,
        )
    }

    fn name(&self, refused: Refused) -> String {
        let mut name = std::ptr::null();
        // SAFETY: takes any number, and writes the address of a text of its own.
        let code = unsafe { (self.functions.error_name)(refused.0, &raw mut name) };
        if code != SUCCESS || name.is_null() {
            return format!("error {}", refused.0);
        }
        // SAFETY: not null, and the driver's texts end with 0 and stay.
        let name = unsafe { CStr::from_ptr(name) };
        format!("{} ({})", name.to_string_lossy(), refused.0)
    }

    /// As 1000 times the major number plus 10 times the minor: 13000.
    pub fn version(&self) -> Answer<i32> {
        let mut version = 0;
        // SAFETY: writes the number.
        answer(unsafe { (self.functions.version)(&raw mut version) })?;
        Ok(version)
    }

    pub fn device_count(&self) -> Answer<i32> {
        let mut count = 0;
        // SAFETY: writes the number.
        answer(unsafe { (self.functions.device_count)(&raw mut count) })?;
        Ok(count)
    }

    pub fn device(&self, ordinal: i32) -> Answer<i32> {
        let mut device = 0;
        // SAFETY: writes the number.
        answer(unsafe { (self.functions.device)(&raw mut device, ordinal) })?;
        Ok(device)
    }

    pub fn device_name(&self, device: i32) -> Answer<String> {
        let mut name = [0u8; 256];
        // SAFETY: writes at most that many bytes, the last of them 0.
        answer(unsafe { (self.functions.device_name)(name.as_mut_ptr().cast(), 256, device) })?;
        let name = CStr::from_bytes_until_nul(&name).unwrap_or(c"?");
        Ok(name.to_string_lossy().into_owned())
    }

    pub fn attribute(&self, device: i32, attribute: Attribute) -> Answer<i32> {
        let mut value = 0;
        // SAFETY: writes the number.
        answer(unsafe {
            (self.functions.device_attribute)(&raw mut value, attribute as c_int, device)
        })?;
        Ok(value)
    }

    /// The context that all of a process share.
    pub fn retain_context(&self, device: i32) -> Answer<Handle> {
        let mut context = null_mut();
        // SAFETY: writes the handle.
        answer(unsafe { (self.functions.retain_context)(&raw mut context, device) })?;
        Ok(context)
    }

    pub fn release_context(&self, device: i32) {
        // SAFETY: takes a number; an error has no consequence here.
        let _: c_int = unsafe { (self.functions.release_context)(device) };
    }

    /// For this thread.
    pub fn set_current(&self, context: Handle) -> Answer {
        // SAFETY: a context that is retained.
        answer(unsafe { (self.functions.set_current)(context) })
    }

    /// Waits for all work of this thread's context: also for copies and fills, whose last part the device does by itself, on a
    /// stream that others do not wait for.
    pub fn settle(&self) -> Answer {
        // SAFETY: takes nothing.
        answer(unsafe { (self.functions.settle)() })
    }

    /// A stream of the highest priority, that waits for no other.
    pub fn stream(&self) -> Answer<Handle> {
        /// `CU_STREAM_NON_BLOCKING`: the legacy stream, which cannot be captured, has no part in it.
        const NON_BLOCKING: c_uint = 1;
        let (mut least, mut greatest) = (0, 0);
        // SAFETY: writes the two numbers.
        answer(unsafe { (self.functions.priorities)(&raw mut least, &raw mut greatest) })?;
        let mut stream = null_mut();
        // SAFETY: writes the handle.
        answer(unsafe { (self.functions.stream)(&raw mut stream, NON_BLOCKING, greatest) })?;
        Ok(stream)
    }

    /// # Safety
    /// A stream of this driver, not used again.
    pub unsafe fn destroy_stream(&self, stream: Handle) {
        // SAFETY: by the contract.
        let _: c_int = unsafe { (self.functions.destroy_stream)(stream) };
    }

    /// Whether all work is done. Does not wait.
    ///
    /// # Safety
    /// A stream of this driver.
    pub unsafe fn query(&self, stream: Handle) -> Answer {
        // SAFETY: by the contract.
        answer(unsafe { (self.functions.query)(stream) })
    }

    /// Waits until all work is done.
    ///
    /// # Safety
    /// A stream of this driver.
    pub unsafe fn synchronise(&self, stream: Handle) -> Answer {
        // SAFETY: by the contract.
        answer(unsafe { (self.functions.synchronise)(stream) })
    }

    /// A module of kernels, from a fatbin, a cubin or PTX.
    ///
    /// # Safety
    /// `image` is one of these, whole.
    pub unsafe fn load(&self, image: &[u64]) -> Answer<Handle> {
        let mut module = null_mut();
        // SAFETY: by the contract: its header says how long it is.
        answer(unsafe { (self.functions.load)(&raw mut module, image.as_ptr().cast()) })?;
        Ok(module)
    }

    /// # Safety
    /// A module of this driver, not used again, nor its functions.
    pub unsafe fn unload(&self, module: Handle) {
        // SAFETY: by the contract.
        let _: c_int = unsafe { (self.functions.unload)(module) };
    }

    /// # Safety
    /// A module of this driver.
    pub unsafe fn function(&self, module: Handle, name: &str) -> Answer<Handle> {
        /// `CUDA_ERROR_NOT_FOUND`
        const NOT_FOUND: c_int = 500;
        let name = CString::new(name).map_err(|_| Refused(NOT_FOUND))?;
        let mut function = null_mut();
        // SAFETY: by the contract, and the name ends with 0.
        answer(unsafe { (self.functions.function)(&raw mut function, module, name.as_ptr()) })?;
        Ok(function)
    }

    /// Memory of the device, zeroed: see [`settle`](Self::settle).
    pub fn allocate(&self, bytes: usize) -> Answer<Address> {
        let mut address = 0;
        // SAFETY: writes the address.
        answer(unsafe { (self.functions.allocate)(&raw mut address, bytes.max(1)) })?;
        // SAFETY: the memory that was just allocated.
        answer(unsafe { (self.functions.fill)(address, 0, bytes.max(1)) })?;
        Ok(address)
    }

    /// # Safety
    /// Memory of [`allocate`](Self::allocate), that no work uses any more.
    pub unsafe fn free(&self, address: Address) {
        // SAFETY: by the contract.
        let _: c_int = unsafe { (self.functions.free)(address) };
    }

    /// The bytes may be on their way yet when it returns: see [`settle`](Self::settle).
    ///
    /// # Safety
    /// As many bytes of the device's memory at `to`, that no work uses.
    pub unsafe fn copy(&self, to: Address, from: &[u8]) -> Answer {
        // SAFETY: by the contract.
        answer(unsafe { (self.functions.copy)(to, from.as_ptr().cast(), from.len()) })
    }

    /// # Safety
    /// Pinned memory at `from`, the device's at `to`, of so many bytes, both until the stream has done it.
    pub unsafe fn copy_async(
        &self,
        to: Address,
        from: *const u8,
        bytes: usize,
        stream: Handle,
    ) -> Answer {
        // SAFETY: by the contract.
        answer(unsafe { (self.functions.copy_async)(to, from.cast(), bytes, stream) })
    }

    /// Memory of the processor that stays where it is and that the device sees: its address here, and there.
    pub fn allocate_pinned(&self, bytes: usize) -> Answer<(*mut u8, Address)> {
        /// `CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP`
        const FLAGS: c_uint = 1 | 2;
        let mut here = null_mut();
        // SAFETY: writes the address.
        answer(unsafe { (self.functions.allocate_pinned)(&raw mut here, bytes.max(1), FLAGS) })?;
        let mut there = 0;
        // SAFETY: memory of the call before, and no flags, of which there are none.
        let code = unsafe { (self.functions.pinned_address)(&raw mut there, here, 0) };
        if let Err(refused) = answer(code) {
            // SAFETY: allocated above, and nobody has it.
            unsafe { self.free_pinned(here.cast()) };
            return Err(refused);
        }
        // SAFETY: as many bytes as were allocated.
        unsafe { here.cast::<u8>().write_bytes(0, bytes.max(1)) };
        Ok((here.cast(), there))
    }

    /// # Safety
    /// Memory of [`allocate_pinned`](Self::allocate_pinned), that no work uses any more.
    pub unsafe fn free_pinned(&self, here: *mut u8) {
        // SAFETY: by the contract.
        let _: c_int = unsafe { (self.functions.free_pinned)(here.cast()) };
    }

    /// # Safety
    /// A stream of this driver. What this thread puts on it from now on is remembered, not done.
    pub unsafe fn begin_capture(&self, stream: Handle) -> Answer {
        /// `CU_STREAM_CAPTURE_MODE_THREAD_LOCAL`: what other threads do meanwhile is their own affair.
        const THREAD_LOCAL: c_int = 1;
        // SAFETY: by the contract.
        answer(unsafe { (self.functions.begin_capture)(stream, THREAD_LOCAL) })
    }

    /// What was remembered, ready to be replayed.
    ///
    /// # Safety
    /// A stream that is captured.
    pub unsafe fn end_capture(&self, stream: Handle) -> Answer<Handle> {
        let (mut graph, mut replay) = (null_mut(), null_mut());
        // SAFETY: by the contract; writes the handle.
        answer(unsafe { (self.functions.end_capture)(stream, &raw mut graph) })?;
        // SAFETY: the graph that was just made; writes the handle.
        let made = answer(unsafe { (self.functions.instantiate)(&raw mut replay, graph, 0) });
        // SAFETY: what is replayed is a copy.
        let _: c_int = unsafe { (self.functions.destroy_graph)(graph) };
        made?;
        // SAFETY: a graph and a stream of this driver.
        let uploaded = answer(unsafe { (self.functions.upload)(replay, stream) });
        if let Err(refused) = uploaded {
            // SAFETY: nobody has it.
            unsafe { self.destroy_replay(replay) };
            return Err(refused);
        }
        Ok(replay)
    }

    /// # Safety
    /// What [`end_capture`](Self::end_capture) gave, not used again.
    pub unsafe fn destroy_replay(&self, replay: Handle) {
        // SAFETY: by the contract.
        let _: c_int = unsafe { (self.functions.destroy_replay)(replay) };
    }

    /// Does what was captured. Does not wait.
    ///
    /// # Safety
    /// A graph and a stream of this driver, and all memory that it uses.
    pub unsafe fn replay(&self, replay: Handle, stream: Handle) -> Answer {
        // SAFETY: by the contract.
        answer(unsafe { (self.functions.replay)(replay, stream) })
    }

    /// # Safety
    /// A kernel and a stream of this driver; `arguments` are the kernel's one struct, and what it points to is large enough until
    /// the kernel has run.
    pub unsafe fn launch(
        &self,
        function: Handle,
        grid: [u32; 3],
        block: u32,
        stream: Handle,
        arguments: &[u64],
    ) -> Answer {
        let mut all = [arguments.as_ptr().cast_mut().cast::<c_void>()];
        let [x, y, z] = grid;
        // SAFETY: by the contract; the driver copies the arguments before it returns.
        answer(unsafe {
            (self.functions.launch)(
                function,
                x,
                y,
                z,
                block,
                1,
                1,
                0,
                stream,
                all.as_mut_ptr(),
                null_mut(),
            )
        })
    }
}
