//! Whether the work of a window's results can keep up with the windows.
//!
//! Results come every slide. Work of `p` for each, done by `w` workers, keeps up if `p <= slide * w`; otherwise each result
//! waits longer than the one before, without end.
//!
//! Thread: main, before the run. Allocates: in errors. Blocks: no.

use std::fmt;

use crate::error::{Fault, Kind, Result};
use crate::units::Nanos;

/// Work against time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// From one result to the next.
    pub slide: Nanos,
    /// What is done for each, by one worker.
    pub work: Nanos,
    pub workers: u32,
}

impl Load {
    /// Which part of the workers' time is used. Above 1 they cannot keep up.
    pub fn utilisation(&self) -> f64 {
        self.work.as_secs_f64() / (self.slide.as_secs_f64() * f64::from(self.workers.max(1)))
    }

    /// How long after its window's end the `n`-th result is done, counted from 1, when all windows give one.
    ///
    /// With several workers each takes every `workers`-th result.
    pub fn wait(&self, n: u32) -> Nanos {
        let workers = i64::from(self.workers.max(1));
        let before = (i64::from(n.max(1)) - 1) / workers;
        let more = (self.work - self.slide * workers).max(Nanos::ZERO);
        self.work + more * before
    }

    /// Results of the first second.
    fn in_a_second(&self) -> u32 {
        let slide = self.slide.0.max(1);
        u32::try_from(1_000_000_000_i64.div_euclid(slide).max(2)).unwrap_or(u32::MAX)
    }

    /// The sum, if the work cannot keep up.
    ///
    /// # Errors
    /// Utilisation above 1: with the sum, and what it leads to.
    pub fn check(&self) -> Result<()> {
        if self.work <= self.slide * i64::from(self.workers.max(1)) {
            return Ok(());
        }
        let n = self.in_a_second();
        let enough = self.work.0.div_euclid(self.slide.0.max(1))
            + i64::from(self.work.0.rem_euclid(self.slide.0.max(1)) > 0);
        Err(Fault::new(
            Kind::Config,
            format!("the work of these windows cannot keep up: {self}"),
            format!(
                "the first result is done {} after its window's end, result {n} {} after, and so on without end",
                self.wait(1),
                self.wait(n)
            ),
            format!("use a slide of at least {}, or {enough} workers", self.work),
        ))
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            slide,
            work,
            workers,
        } = self;
        write!(
            f,
            "{work} of work every {slide} with {workers} worker(s) is a utilisation of {:.2}",
            self.utilisation()
        )
    }
}
