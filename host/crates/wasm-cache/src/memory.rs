//! Compiled code where no directory can be written: a file in memory that has no name, and that nobody can write once it is looked at.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::CacheError;
use crate::load::{runnable, whole};
use crate::store::DIGEST_BYTES;

/// As the system shows it.
const NAME: &str = "memfd:compiled-module";

/// Holds the compiled code of one module for as long as that is loaded.
#[derive(Debug)]
pub struct MemoryFile {
    file: OwnedFd,
}

impl MemoryFile {
    /// An empty one.
    pub fn new() -> Result<Self, CacheError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Nobody is to run it as a program. Older systems do not know how to say so.
        let made = match rustix::fs::memfd_create("compiled-module", flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => rustix::fs::memfd_create("compiled-module", flags),
            made => made,
        };
        Ok(Self { file: made.map_err(|cause| failed("make", cause))? })
    }

    /// What the compiler's process writes to, with [`write_code`].
    pub fn writer(&self) -> Result<OwnedFd, CacheError> {
        self.file.try_clone().map_err(|error| failed("open", errno(&error)))
    }

    /// The compiled module, if it was written whole. Nothing can be written any more, whoever has a writer.
    pub fn load(self, engine: &wasmtime::Engine) -> Result<Component, CacheError> {
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&self.file, seals).map_err(|cause| failed("seal", cause))?;
        // Opened anew: whoever has a writer could still move its position.
        let file =
            File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd())).map_err(|error| failed("open", errno(&error)))?;
        let bytes = file.metadata().map_err(|error| failed("look at", errno(&error)))?.len();
        if !whole(&file, bytes).map_err(|error| failed("read", errno(&error)))? {
            return Err(damaged("its content does not have the digest that was stored with it"));
        }
        runnable(engine, &file, bytes.saturating_sub(DIGEST_BYTES)).map_err(|cause| damaged(&format!("{cause:#}")))
    }
}

/// Writes what `Engine::precompile_component` gave, as [`MemoryFile::load`] wants it.
pub fn write_code(code: &[u8], mut to: impl Write) -> std::io::Result<()> {
    to.write_all(code)?;
    to.write_all(&Sha256::digest(code))?;
    to.flush()
}

fn damaged(reason: &str) -> CacheError {
    CacheError::Damaged { path: PathBuf::from(NAME), reason: reason.to_owned() }
}

fn failed(tried: &'static str, cause: Errno) -> CacheError {
    CacheError::Io { tried, path: PathBuf::from(NAME), cause }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
