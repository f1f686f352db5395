//! A tape archive in the form that POSIX calls ustar: what every `tar` reads. Two captures of the same files are equal
//! byte for byte, since no time, owner or machine is in it.

use std::io::{self, Write};

const BLOCK: usize = 512;

/// Writes entries to `out`.
#[derive(Debug)]
pub struct Archive<W: Write> {
    out: W,
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Self {
        Self { out }
    }

    pub fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.header(path, bytes.len(), b'0')?;
        self.out.write_all(bytes)?;
        self.fill(bytes.len())
    }

    pub fn folder(&mut self, path: &str) -> io::Result<()> {
        self.header(&format!("{path}/"), 0, b'5')
    }

    /// Closes the archive, and gives back what it was written to.
    pub fn end(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn fill(&mut self, length: usize) -> io::Result<()> {
        let zeros = [0; BLOCK];
        self.out
            .write_all(&zeros[..length.next_multiple_of(BLOCK) - length])
    }

    fn header(&mut self, path: &str, length: usize, kind: u8) -> io::Result<()> {
        let mut block = [0u8; BLOCK];
        let (before, name) =
            apart(path).ok_or_else(|| io::Error::other(format!("{path} is too long a name")))?;
        put(&mut block[0..100], name);
        put(
            &mut block[100..108],
            if kind == b'5' { "0000755" } else { "0000644" },
        );
        put(&mut block[108..116], "0000000");
        put(&mut block[116..124], "0000000");
        put(&mut block[124..136], &format!("{length:011o}"));
        put(&mut block[136..148], "00000000000");
        // The sum is made with blanks in its own place.
        put(&mut block[148..156], "        ");
        block[156] = kind;
        put(&mut block[257..265], "ustar\x0000");
        put(&mut block[345..500], before);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut block[148..156], &format!("{sum:06o}\0 "));
        self.out.write_all(&block)
    }
}

/// A long path has its first part in another field.
fn apart(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    let mut cuts = path
        .match_indices('/')
        .map(|(at, _)| (&path[..at], &path[at + 1..]));
    cuts.find(|(before, name)| before.len() <= 155 && name.len() <= 100 && !name.is_empty())
}

fn put(field: &mut [u8], text: &str) {
    field[..text.len()].copy_from_slice(text.as_bytes());
}
