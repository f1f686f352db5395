//! Whether what was replayed is what was recorded: message by message, and by a hash of all.

use std::fmt;

use sha2::{Digest, Sha256};

/// One kind of output, compared.
#[derive(Clone, Debug)]
pub struct Compared {
    /// `chunks` or `actions`.
    pub name: &'static str,
    /// Messages that were compared.
    pub count: u64,
    /// Those of them that are not the same.
    pub different: u64,
    /// Those that are the same within the tolerance only.
    pub near: u64,
    /// How far apart two values were at most, where they were all that differed.
    pub greatest: f32,
    /// The first that is not the same, in words.
    pub first: Option<String>,
    tolerance: f32,
    recorded: Sha256,
    replayed: Sha256,
}

impl Compared {
    /// Values that differ by at most `tolerance` are near enough; 0: to the bit.
    pub fn new(name: &'static str, tolerance: f32) -> Self {
        Self {
            name,
            count: 0,
            different: 0,
            near: 0,
            greatest: 0.0,
            tolerance,
            first: None,
            recorded: Sha256::new(),
            replayed: Sha256::new(),
        }
    }

    /// Compares two messages. When they differ `apart` is asked how far their values are from each other, none if anything
    /// else differs; `say` then tells how.
    pub fn add(
        &mut self,
        recorded: &[u8],
        replayed: &[u8],
        apart: impl FnOnce() -> Option<f32>,
        say: impl FnOnce() -> String,
    ) {
        self.count += 1;
        self.recorded.update(recorded);
        self.replayed.update(replayed);
        if recorded == replayed {
            return;
        }
        let apart = apart();
        self.greatest = self.greatest.max(apart.unwrap_or_default());
        if self.tolerance > 0.0 && apart.is_some_and(|apart| apart <= self.tolerance) {
            self.near += 1;
            return;
        }
        self.different += 1;
        if self.first.is_none() {
            self.first = Some(say());
        }
    }

    pub fn is_same(&self) -> bool {
        self.different == 0
    }

    /// The hash of all that was replayed, in hexadecimal.
    pub fn hash(&self) -> String {
        hex(&self.replayed)
    }

    /// The hash of what was recorded.
    pub fn recorded_hash(&self) -> String {
        hex(&self.recorded)
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, count) = (self.name, self.count);
        let hash = &self.hash()[..16];
        match (self.different, self.near) {
            (0, 0) => write!(f, "{name}: {count}, all identical, sha256 {hash}"),
            (0, near) if self.greatest == 0.0 => write!(
                f,
                "{name}: {count}, {near} of them but for the roundings that the policy remembers, sha256 {hash}, recorded {}",
                &self.recorded_hash()[..16]
            ),
            (0, near) => write!(
                f,
                "{name}: {count}, {near} of them only within the tolerance, at most {:.1e} apart, sha256 {hash}, recorded {}",
                self.greatest,
                &self.recorded_hash()[..16]
            ),
            (different, near) => {
                writeln!(
                    f,
                    "{name}: {count}, {different} DIFFERENT, {near} within the tolerance, sha256 {hash}, recorded {}",
                    &self.recorded_hash()[..16]
                )?;
                if self.greatest > 0.0 {
                    writeln!(
                        f,
                        "  values at most {:.1e} apart where nothing else differs",
                        self.greatest
                    )?;
                }
                let first = self.first.as_deref().unwrap_or_default();
                write!(f, "  first difference: {first}")
            }
        }
    }
}

fn hex(hash: &Sha256) -> String {
    let bytes = hash.clone().finalize();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
