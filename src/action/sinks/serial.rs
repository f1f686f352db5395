//! Actions on a serial port.
//!
//! Thread: action. Allocates: in `open`. Blocks: no (non-blocking descriptor). Locks: no. Syscalls: at most two
//! `write` an action.
//!
//! A serial line is slow and its driver may take half an action. The rest is kept and goes out first; while
//! any is left, newer actions are dropped whole. So the receiver sees old or new actions, never parts.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Form, Pen, refusal};
use crate::action::{Action, Sink};
use crate::error::{Fault, Kind, Result, StepError};
use crate::units::Hertz;
use crate::wire::{HEADER_BYTES, json, stream};

/// What the line will have to carry.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub dof: u8,
    pub rate: Hertz,
}

/// Room for one action as written on the line, with its end.
const LINE_BYTES_MAX: usize = json::JSON_BYTES_MAX + 1;
const _: () = assert!(stream::FRAMED_BYTES_MAX <= LINE_BYTES_MAX);

#[derive(Debug)]
pub struct Serial {
    port: File,
    device: PathBuf,
    speed: u32,
    pen: Pen,
    /// The action that is being written, up to `end`; from `sent` on it is still to go.
    line: Box<[u8; LINE_BYTES_MAX]>,
    sent: usize,
    end: usize,
}

impl Serial {
    pub fn open(device: &Path, speed: u32, form: Form, load: Load) -> Result<Self> {
        let name = device.display();
        let Some(code) = speed_code(speed) else {
            return Err(Fault::new(
                Kind::Config,
                format!("{name} cannot run at {speed} bits a second"),
                "it is not one of the standard speeds",
                "use one of 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 500000, \
                 576000, 921600, 1000000, 1500000, 2000000, 3000000, 4000000",
            ));
        };
        load.check(device, speed, form)?;
        let port = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(device)
            .map_err(|e| not_open(device, &e))?;
        set_up(&port, code).map_err(|e| not_serial(device, speed, &e))?;
        Ok(Self {
            port,
            device: device.to_owned(),
            speed,
            pen: Pen::new(form),
            line: Box::new([0; LINE_BYTES_MAX]),
            sent: 0,
            end: 0,
        })
    }

    /// Sends what is left of the present line as far as the driver takes it.
    fn send(&mut self) -> Result<(), StepError> {
        if self.sent == self.end {
            return Ok(());
        }
        match self.port.write(&self.line[self.sent..self.end]) {
            Ok(taken) => {
                self.sent += taken;
                Ok(())
            }
            Err(e) => Err(refusal(&e)),
        }
    }
}

impl Sink for Serial {
    fn describe(&self) -> String {
        let (form, device) = (self.pen.form.suffix(), self.device.display());
        format!("serial{form} {device} at {} bit/s", self.speed)
    }

    fn write(&mut self, action: &Action) -> Result<(), StepError> {
        self.send()?;
        if self.sent < self.end {
            return Err(StepError::WouldBlock);
        }
        (self.sent, self.end) = (0, put_line(&mut self.pen, action, &mut self.line));
        let result = self.send();
        if self.sent == 0 {
            // Nothing of it has gone out, so by the time the driver has room it would be stale.
            self.end = 0;
        }
        result
    }
}

/// Writes one action with its end into `line`.
fn put_line(pen: &mut Pen, action: &Action, line: &mut [u8; LINE_BYTES_MAX]) -> usize {
    let form = pen.form;
    let bytes = pen.write(action);
    match form {
        Form::Json => {
            line[..bytes.len()].copy_from_slice(bytes);
            line[bytes.len()] = b'\n';
            bytes.len() + 1
        }
        Form::Compact => {
            let framed = line.first_chunk_mut().expect("asserted above");
            stream::encode(bytes, framed)
        }
    }
}

impl Load {
    /// Refuses a line that cannot carry the actions; it would drop some all the time.
    fn check(self, device: &Path, speed: u32, form: Form) -> Result<()> {
        let values = u32::from(self.dof);
        let bytes = match form {
            // The frame adds a CRC of 4, COBS 1, the end 1.
            Form::Compact => u32::try_from(HEADER_BYTES).unwrap_or(0) + 4 * values + 6,
            // About: names and numbers of the header take 95, a value 11 digits and a comma.
            Form::Json => 95 + 12 * values,
        };
        // A byte on the line takes a start bit, 8 bits and a stop bit.
        let needed = f64::from(bytes * 10) * self.rate.get();
        if needed <= f64::from(speed) {
            return Ok(());
        }
        let name = device.display();
        Err(Fault::new(
            Kind::Config,
            format!("{name} at {speed} bit/s is too slow for the actions"),
            format!(
                "{values} values at {} take {bytes} bytes an action, {needed:.0} bit/s",
                self.rate
            ),
            "raise the speed, lower action.rate, or use the compact form (`serial:` instead of `serial+json:`)",
        ))
    }
}

/// Raw mode at this speed, for this process alone: no echo, no translation, no control lines.
fn set_up(port: &File, code: libc::speed_t) -> io::Result<()> {
    let fd = port.as_raw_fd();
    let checked = |result| match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: a termios is plain integers, for which all zeros is a valid value.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open and `settings` lives through the call.
    checked(unsafe { libc::tcgetattr(fd, &raw mut settings) })?;
    // SAFETY: the descriptor is open; the request takes no argument.
    checked(unsafe { libc::ioctl(fd, libc::TIOCEXCL) })?;
    // SAFETY: `settings` was filled in above.
    unsafe { libc::cfmakeraw(&raw mut settings) };
    settings.c_cflag |= libc::CLOCAL | libc::CREAD;
    settings.c_cflag &= !(libc::CSTOPB | libc::CRTSCTS);
    // SAFETY: `settings` was filled in above, and the code comes from the table below.
    checked(unsafe { libc::cfsetspeed(&raw mut settings, code) })?;
    // SAFETY: the descriptor is open and `settings` lives through the call.
    checked(unsafe { libc::tcsetattr(fd, libc::TCSANOW, &raw const settings) })?;
    // tcsetattr succeeds when any one of the settings could be made, so the speed is read back.
    // SAFETY: as for the first call.
    checked(unsafe { libc::tcgetattr(fd, &raw mut settings) })?;
    // SAFETY: `settings` was filled in above.
    if unsafe { libc::cfgetospeed(&raw const settings) } != code {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(())
}

fn speed_code(speed: u32) -> Option<libc::speed_t> {
    Some(match speed {
        1200 => libc::B1200,
        2400 => libc::B2400,
        4800 => libc::B4800,
        9600 => libc::B9600,
        19_200 => libc::B19200,
        38_400 => libc::B38400,
        57_600 => libc::B57600,
        115_200 => libc::B115200,
        230_400 => libc::B230400,
        460_800 => libc::B460800,
        500_000 => libc::B500000,
        576_000 => libc::B576000,
        921_600 => libc::B921600,
        1_000_000 => libc::B1000000,
        1_500_000 => libc::B1500000,
        2_000_000 => libc::B2000000,
        3_000_000 => libc::B3000000,
        4_000_000 => libc::B4000000,
        _ => return None,
    })
}

fn not_open(device: &Path, error: &io::Error) -> Fault {
    let what = format!("cannot open the serial port {}", device.display());
    let fix = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "become a member of the port's group (often `sudo usermod -aG dialout $USER`) and log in again"
                .to_owned()
        }
        io::ErrorKind::NotFound => match present_ports().as_slice() {
            [] => "plug it in; this machine has no /dev/ttyACM*, ttyUSB*, ttyAMA* or ttyTHS* now".to_owned(),
            ports => format!("use one that is there: {}", ports.join(", ")),
        },
        _ => "check that no other program has it open (`fuser` tells) and that the cable is in".to_owned(),
    };
    Fault::from_io(what, error, Kind::NoDevice, fix)
}

fn not_serial(device: &Path, speed: u32, error: &io::Error) -> Fault {
    let name = device.display();
    match error.raw_os_error() {
        Some(libc::ENOTTY) => Fault::new(
            Kind::Unsupported,
            format!("{name} is not a serial port"),
            error.to_string(),
            "name the port's device, such as /dev/ttyACM0; for a file use json:PATH",
        ),
        _ => Fault::from_io(
            format!("{name} cannot be set to {speed} bit/s"),
            error,
            Kind::Unsupported,
            "use a speed that the port and the robot's controller both have",
        ),
    }
}

fn present_ports() -> Vec<String> {
    let mut ports: Vec<_> = std::fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            ["ttyACM", "ttyUSB", "ttyAMA", "ttyTHS"]
                .iter()
                .any(|kind| name.starts_with(kind))
        })
        .map(|name| format!("/dev/{name}"))
        .collect();
    ports.sort();
    ports
}
