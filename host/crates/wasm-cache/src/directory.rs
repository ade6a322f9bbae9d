//! The directory: opened and checked anew for each use, and within one use never looked up by its path again.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sluicebox_private_directory::Obstacle;

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
    /// Opens the directory, or makes it (and what is missing above it), readable and writable by this user only. It may be a link of
    /// this user or of root.
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
    sluicebox_private_directory::open(path).map_err(|obstacle| match obstacle {
        Obstacle::Unsafe(reason) => CacheError::Unsafe { path: path.to_path_buf(), reason },
        Obstacle::Io { tried, cause } => CacheError::Io { tried, path: path.to_path_buf(), cause },
    })
}
