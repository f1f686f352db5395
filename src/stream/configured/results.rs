//! What was said of a configured stream's windows.
//!
//! Thread: main, between two looks at the probes. Allocates: lines of its file. Blocks: in writes to its file. Locks: no.

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};

use crate::error::{Fault, Kind, Result};
use crate::stream::configured::config::StreamConfig;
use crate::stream::element::{Event, Side};
use crate::stream::kept::kept;
use crate::stream::window::Window;

/// What became of a stream's elements, and what was said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Elements of its port.
    pub elements: u64,
    /// Those that were repeated, came from the future or were too old.
    pub put_aside: u64,
    /// Those for which all conditions held.
    pub kept: u64,
    /// Those that came when all their windows had been closed.
    pub late: u64,
    /// Windows of which something was said.
    pub results: u64,
    pub last: Option<Window<Option<f64>>>,
    pub least: Option<f64>,
    pub greatest: Option<f64>,
    /// Results that could not be written to its file.
    pub unwritten: u64,
}

kept!(impl [] Summary {
    elements, put_aside, kept, late, results, last, least, greatest, unwritten,
});

/// What was said of windows: summed up, and written to a file if one was asked for.
#[derive(Debug)]
pub(super) struct Results {
    name: String,
    pub summary: Summary,
    file: Option<BufWriter<File>>,
    /// Bytes given to the file.
    written: u64,
    /// Those that have not been told yet, if anybody wants to know.
    pub fresh: Option<Vec<Window<Option<f64>>>>,
}

kept!(impl [] Results { summary, written });

impl Results {
    pub fn open(config: &StreamConfig, keeps_file: bool) -> Result<Self> {
        let open = |path: &std::path::PathBuf| {
            let mut options = File::options();
            options.create(true).write(true).truncate(!keeps_file);
            options.open(path).map(BufWriter::new).map_err(|e| {
                Fault::from_io(
                    format!(
                        "the results of stream `{}` cannot be written to {}",
                        config.name,
                        path.display()
                    ),
                    &e,
                    Kind::Output,
                    "make its folder, or choose another `out`",
                )
            })
        };
        Ok(Self {
            name: config.name.clone(),
            summary: Summary::default(),
            written: 0,
            fresh: None,
            file: config.out.as_ref().map(open).transpose()?,
        })
    }

    pub fn take(&mut self, given: Side<Event<Window<Option<f64>>>, Event<f64>>) {
        match given {
            Side::Left(Event::Element(element)) => self.result(&element.value),
            Side::Right(Event::Element(_)) => self.summary.late += 1,
            _ => {}
        }
    }

    fn result(&mut self, window: &Window<Option<f64>>) {
        let summary = &mut self.summary;
        summary.results += 1;
        summary.last = Some(*window);
        if let Some(fresh) = &mut self.fresh {
            fresh.push(*window);
        }
        if let Some(value) = window.result {
            summary.least = Some(summary.least.map_or(value, |least| least.min(value)));
            summary.greatest = Some(summary.greatest.map_or(value, |most| most.max(value)));
        }
        let Some(file) = &mut self.file else { return };
        let line = serde_json::json!({
            "stream": self.name,
            "start_ns": window.start.0,
            "end_ns": window.end.0,
            "count": window.count,
            "filled": window.filled,
            "revision": window.revision,
            "is_final": window.is_final,
            "value": window.result,
        });
        let line = format!("{line}\n");
        match file.write_all(line.as_bytes()) {
            Ok(()) => self.written += line.len() as u64,
            Err(_) => summary.unwritten += 1,
        }
    }

    /// Takes out of the file what was said after the state was kept: it will be said again. False if the file is shorter.
    pub fn go_on(&mut self) -> bool {
        let Some(file) = &mut self.file else {
            return true;
        };
        let file = file.get_mut();
        let Ok(len) = file.seek(SeekFrom::End(0)) else {
            // A pipe has nothing that could be taken back.
            return true;
        };
        let begin = self.written.min(len);
        let cut = file.set_len(begin);
        let is_there = cut.and_then(|()| file.seek(SeekFrom::Start(begin))).is_ok();
        let is_whole = is_there && begin == self.written;
        self.written = begin;
        is_whole
    }

    pub fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && file.flush().is_err()
        {
            self.summary.unwritten += 1;
        }
    }
}
