//! Compiled code becomes runnable: the one unsafe line of sluicebox, and the checks that make it right.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use sluicebox_private_directory::writable_by_others;
use wasmtime::component::Component;

use crate::store::DIGEST_BYTES;
use crate::{Cache, CacheError, Key};

impl Cache {
    /// The compiled module, if it is there. A file that is not what was stored is removed and told as an error.
    pub fn load(&self, engine: &wasmtime::Engine, key: &Key) -> Result<Option<Component>, CacheError> {
        let name = key.file_name();
        let directory = self.directory()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&directory, &name, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(self.damaged(&directory, &name, "it is a link")),
            Err(cause) => return Err(self.failed("open", &name, cause)),
        };
        let status = rustix::fs::fstat(&file).map_err(|cause| self.failed("look at", &name, cause))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(self.damaged(&directory, &name, "it is no regular file"));
        }
        if let Some(reason) = writable_by_others(&status) {
            return Err(self.damaged(&directory, &name, &reason));
        }
        let bytes = u64::try_from(status.st_size).unwrap_or(0);
        match whole(&file, bytes) {
            Ok(true) => {}
            Ok(false) => {
                return Err(self.damaged(&directory, &name, "its content does not have the digest that was stored with it"));
            }
            Err(cause) => {
                return Err(self.failed("read", &name, Errno::from_io_error(&cause).unwrap_or(Errno::IO)));
            }
        }
        let component = runnable(engine, &file, bytes.saturating_sub(DIGEST_BYTES))
            .map_err(|cause| self.damaged(&directory, &name, &format!("{cause:#}")))?;
        // The age decides what goes first when the cache is full; a cache that does not know it is no fault.
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let _ = rustix::fs::futimens(&file, &Timestamps { last_access: now, last_modification: now });
        Ok(Some(component))
    }

    /// Takes a bad file away.
    fn damaged(&self, directory: &OwnedFd, name: &str, reason: &str) -> CacheError {
        // When it cannot be removed the next one that is stored replaces it.
        let _ = rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty());
        CacheError::Damaged { path: self.path().join(name), reason: reason.to_owned() }
    }
}

/// Whether the file ends in the digest of what stands before it.
pub(crate) fn whole(mut file: &std::fs::File, bytes: u64) -> std::io::Result<bool> {
    let Some(code) = bytes.checked_sub(DIGEST_BYTES) else {
        return Ok(false);
    };
    let mut digest = Sha256::new();
    let mut left = code;
    let mut buffer = vec![0_u8; 64 * 1024];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(part) = buffer.get_mut(..want) else {
            return Ok(false);
        };
        file.read_exact(part)?;
        digest.update(&*part);
        left -= want as u64;
    }
    let mut stored = [0_u8; 32];
    file.read_exact(&mut stored)?;
    Ok(digest.finalize().as_slice() == stored)
}

/// Makes the open file runnable. Wasmtime itself compares its version, the processor and the settings, and refuses what does not fit.
#[allow(unsafe_code, reason = "wasmtime cannot prove that a file was made by itself; its callers do")]
pub(crate) fn runnable(engine: &wasmtime::Engine, file: &std::fs::File, code: u64) -> wasmtime::Result<Component> {
    // SAFETY of both: the bytes are those that `Cache::store` or `write_code` wrote (their digest fits), from what wasmtime made of a
    // component that it compiled. In a directory nobody but this user can have written the file or can write it (owner and mode of the
    // directory and of the file were checked by handle), and this crate never writes into a file that exists: it replaces and removes
    // only. In memory nobody but the compiler's process was given the file, and it was sealed before the digest was compared.
    if may_be_mapped(file) {
        // By its handle: the very file that was looked at and read, whatever its name stands for by now.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        unsafe { Component::deserialize_file(engine, path) }
    } else {
        let bytes = read(file, code)?;
        unsafe { Component::deserialize(engine, &bytes) }
    }
}

/// Where a file system is mounted `noexec`, as `/tmp` may be, its files cannot be mapped as code. Read, they take memory of the host's own.
fn may_be_mapped(file: &std::fs::File) -> bool {
    rustix::fs::fstatvfs(file).is_ok_and(|system| !system.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

fn read(mut file: &std::fs::File, code: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(code).unwrap_or(usize::MAX))?;
    file.seek(SeekFrom::Start(0))?;
    file.take(code).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn code_that_cannot_be_mapped_is_read() {
        let engine = wasmtime::Engine::default();
        let code = engine.precompile_component(&wat::parse_str("(component)").unwrap()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&code).unwrap();
        file.write_all(&[7; 32]).unwrap();
        let length = code.len() as u64;
        assert_eq!(read(&file, length).unwrap(), code);
    }
}
