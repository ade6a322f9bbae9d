//! Names what compiled code depends on: the module's content, and everything that the engine puts into its code.

use std::fmt::Write as _;
use std::hash::Hasher;

use sha2::{Digest, Sha256};

/// Which compiled code is meant: 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The key of a module with this SHA-256 digest, compiled by this engine.
    pub fn new(content: &[u8; 32], engine: &wasmtime::Engine) -> Self {
        let mut digest = Digesting(Sha256::new());
        digest.0.update(content);
        fingerprint(engine, &mut digest);
        let mut text = String::with_capacity(64);
        for byte in digest.0.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The name of the file.
    pub(crate) fn file_name(&self) -> String {
        format!("{}{}", self.0, crate::store::ENDING)
    }
}

/// With a compiler wasmtime itself knows what matters: its version, the processor's features, our settings.
#[cfg(feature = "compiler")]
fn fingerprint(engine: &wasmtime::Engine, digest: &mut Digesting) {
    use std::hash::Hash as _;
    engine.precompile_compatibility_hash().hash(digest);
}

/// Without one, only code of the very same build is looked for. Wasmtime compares the rest when it loads.
#[cfg(not(feature = "compiler"))]
fn fingerprint(_engine: &wasmtime::Engine, digest: &mut Digesting) {
    for part in [env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS] {
        digest.write(part.as_bytes());
        digest.write(b"\n");
    }
}

/// Lets what can be hashed be hashed by SHA-256: collisions of 64 bits would be too likely to trust code to them.
struct Digesting(Sha256);

impl Hasher for Digesting {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}
