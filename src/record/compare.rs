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
    /// The first that is not the same, in words.
    pub first: Option<String>,
    recorded: Sha256,
    replayed: Sha256,
}

impl Compared {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            count: 0,
            different: 0,
            near: 0,
            first: None,
            recorded: Sha256::new(),
            replayed: Sha256::new(),
        }
    }

    /// Compares two messages. `near` is asked when they differ; `say` then tells how.
    pub fn add(
        &mut self,
        recorded: &[u8],
        replayed: &[u8],
        near: impl FnOnce() -> bool,
        say: impl FnOnce() -> String,
    ) {
        self.count += 1;
        self.recorded.update(recorded);
        self.replayed.update(replayed);
        if recorded == replayed {
            return;
        }
        if near() {
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
            (0, near) => write!(
                f,
                "{name}: {count}, {near} of them only within the tolerance, sha256 {hash}, recorded {}",
                &self.recorded_hash()[..16]
            ),
            (different, near) => {
                writeln!(
                    f,
                    "{name}: {count}, {different} DIFFERENT, {near} within the tolerance, sha256 {hash}, recorded {}",
                    &self.recorded_hash()[..16]
                )?;
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
