//! The directory: opened and checked anew for each use, and within one use never looked up by its path again.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::CacheError;
use crate::temporary::Temporary;

/// How much the cache may hold. What was used longest ago goes first.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Number of files.
    pub files: usize,
}

impl Default for Bounds {
    /// 128 MiB in 64 files: a Rust module compiles to about 0.5 MB, a Python one to about 40 MB.
    fn default() -> Self {
        Self { bytes: 128 << 20, files: 64 }
    }
}

/// A directory with compiled modules that nobody else can write.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    pub(crate) bounds: Bounds,
    /// Removes the directory at the end, when it is for one run only.
    _temporary: Option<Temporary>,
}

impl Cache {
    /// Opens the directory, or makes it (and what is missing above it), readable and writable by this user only.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Self, CacheError> {
        open(path)?;
        Ok(Self { path: path.to_path_buf(), bounds, _temporary: None })
    }

    /// Makes a directory of a random name in this one, for one run only: it is removed when the cache is dropped. What runs left behind
    /// that were ended otherwise is removed here. Everybody may be able to write the parent, if only he cannot remove what is not his,
    /// as in `/tmp`.
    pub fn temporary(parent: &Path, bounds: Bounds) -> Result<Self, CacheError> {
        let temporary = Temporary::make(parent)?;
        let path = temporary.path().to_path_buf();
        Ok(Self { path, bounds, _temporary: Some(temporary) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much it may hold.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The directory as it is now: when somebody has removed it, it is made again.
    pub(crate) fn directory(&self) -> Result<OwnedFd, CacheError> {
        open(&self.path)
    }

    /// The system refused something with a file of ours.
    pub(crate) fn failed(&self, tried: &'static str, name: &str, cause: Errno) -> CacheError {
        CacheError::Io { tried, path: self.path.join(name), cause }
    }
}

/// The directory, made where it is missing, if nobody else can write it.
pub(crate) fn open(path: &Path) -> Result<OwnedFd, CacheError> {
    let failed = |tried, cause| CacheError::Io { tried, path: path.to_path_buf(), cause };
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(failed("make the directory", Errno::from_io_error(&error).unwrap_or(Errno::IO)));
        }
        Ok(()) | Err(_) => {}
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::LOOP | Errno::NOTDIR) => {
            return Err(CacheError::Unsafe { path: path.to_path_buf(), reason: "it is a link, or no directory".to_owned() });
        }
        Err(cause) => return Err(failed("open the directory", cause)),
    };
    let status = rustix::fs::fstat(&directory).map_err(|cause| failed("look at the directory", cause))?;
    match writable_by_others(&status) {
        Some(reason) => Err(CacheError::Unsafe { path: path.to_path_buf(), reason }),
        None => Ok(directory),
    }
}

/// Why somebody else than this user could write here, if so.
pub(crate) fn writable_by_others(status: &Stat) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    if status.st_uid != us {
        return Some(format!("it belongs to user {}, and the collector runs as user {us}", status.st_uid));
    }
    let mode = status.st_mode & 0o7777;
    (mode & 0o022 != 0).then(|| format!("its mode {mode:04o} lets others write"))
}
