//! Compiled code is put on disk: whole or not at all, and never more than the bounds allow.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use crate::memory::write_code;
use crate::temporary::random;
use crate::{Cache, CacheError, Key};

/// How the names of our files end; others are left alone.
pub(crate) const ENDING: &str = ".cwasm";
pub(crate) const UNFINISHED: &str = ".cwasm.new";
/// What an interrupted host leaves behind is removed when it is older than this.
const UNFINISHED_SECONDS: i64 = 600;

/// Each file ends in the SHA-256 digest of what stands before it.
pub(crate) const DIGEST_BYTES: u64 = 32;

impl Cache {
    /// Stores what `Component::serialize` or `Engine::precompile_component` gave, in place of what was there. Code larger than the bounds
    /// is not stored, which is an error.
    pub fn store(&self, key: &Key, code: &[u8]) -> Result<(), CacheError> {
        let bytes = code.len() as u64 + DIGEST_BYTES;
        if bytes > self.bounds.bytes || self.bounds.files == 0 {
            return Err(CacheError::TooLarge { bytes, most: self.bounds.bytes });
        }
        let name = key.file_name();
        let directory = self.directory()?;
        self.make_room(&directory, bytes, &name);
        let unfinished = format!("{:016x}-{name}.new", random());
        let stored = self.write(&directory, &unfinished, code).and_then(|()| {
            let renamed = rustix::fs::renameat(&directory, &unfinished, &directory, &name);
            renamed.map_err(|cause| self.failed("put in place", &name, cause))
        });
        if stored.is_err() {
            let _ = rustix::fs::unlinkat(&directory, &unfinished, AtFlags::empty());
        }
        stored
    }

    fn write(&self, directory: &OwnedFd, name: &str, code: &[u8]) -> Result<(), CacheError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = std::fs::File::from(file.map_err(|cause| self.failed("make", name, cause))?);
        // No fsync: a file that a power cut left half written does not have its digest, and is compiled again.
        write_code(code, &mut file).map_err(|cause| self.failed("write", name, Errno::from_io_error(&cause).unwrap_or(Errno::IO)))
    }

    /// Removes what was used longest ago until another file of this size fits. What cannot be listed or removed stays: the cache
    /// is then too large, which is no reason to stop.
    fn make_room(&self, directory: &OwnedFd, bytes: u64, name: &str) {
        let mut files = files(directory);
        files.retain(|file| file.name != name);
        files.sort_by_key(|file| std::cmp::Reverse(file.used));
        let (mut total, mut count) = (bytes, 1);
        for file in files {
            total += file.bytes;
            count += 1;
            if total > self.bounds.bytes || count > self.bounds.files {
                let _ = rustix::fs::unlinkat(directory, &file.name, AtFlags::empty());
            }
        }
    }
}

/// Our files; unfinished ones that are old are removed on the way.
fn files(directory: &OwnedFd) -> Vec<StoredFile> {
    let Ok(entries) = Dir::read_from(directory) else {
        return Vec::new();
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        let Ok(status) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if name.ends_with(ENDING) {
            let used = (status.st_mtime, i64::try_from(status.st_mtime_nsec).unwrap_or(0));
            files.push(StoredFile { name: name.to_owned(), bytes: u64::try_from(status.st_size).unwrap_or(0), used });
        } else if name.ends_with(UNFINISHED) && now.saturating_sub(status.st_mtime) > UNFINISHED_SECONDS {
            let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
        }
    }
    files
}

struct StoredFile {
    name: String,
    bytes: u64,
    /// Seconds and nanoseconds.
    used: (i64, i64),
}
