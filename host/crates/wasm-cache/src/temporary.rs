//! A directory for one run, for hosts that have none of their own: nobody else can enter it, and it goes with the run.

use std::fs::DirBuilder;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use sluicebox_private_directory::writable_by_others;

use crate::CacheError;
use crate::directory::open;
use crate::store::{ENDING, UNFINISHED};

const PREFIX: &str = "sluicebox-modules-";
/// So many names are tried. They are random: even the second is never needed.
const TRIES: u32 = 8;
/// So many entries of the parent are looked at for what other runs have left behind.
const ENTRIES: usize = 4096;

#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    /// Locked as long as this run lives, however it ends: what is not locked has been left behind.
    _lock: OwnedFd,
}

impl Temporary {
    pub(crate) fn make(parent: &Path) -> Result<Self, CacheError> {
        sweep(parent);
        let mut cause = Errno::EXIST;
        for _ in 0..TRIES {
            let path = parent.join(format!("{PREFIX}{}-{:016x}", std::process::id(), random()));
            // It must not exist: somebody else's could be a trap.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let lock = open(&path)?;
                    // Where locks do not work nothing is swept either.
                    let _ = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive);
                    return Ok(Self { path, _lock: lock });
                }
                Err(error) => {
                    cause = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    if error.kind() != ErrorKind::AlreadyExists {
                        break;
                    }
                }
            }
        }
        Err(CacheError::Io { tried: "make a temporary directory in", path: parent.to_path_buf(), cause })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Whether something is left behind matters to nobody who could still do something about it.
        if let Ok(directory) = open(&self.path) {
            empty(&directory);
        }
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// For names that nobody has: numbers of processes come again, in containers above all.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Removes the directories of runs that did not end cleanly. One that a run has made and not yet locked may go with them: that run
/// makes it again.
fn sweep(parent: &Path) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(parent) = rustix::fs::open(parent, flags, Mode::empty()) else {
        return;
    };
    let Ok(entries) = Dir::read_from(&parent) else {
        return;
    };
    for entry in entries.take(ENTRIES).flatten() {
        let name = entry.file_name();
        if !name.to_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let Ok(directory) = rustix::fs::openat(&parent, name, flags | OFlags::NOFOLLOW, Mode::empty()) else {
            continue;
        };
        let ours = rustix::fs::fstat(&directory).is_ok_and(|status| writable_by_others(&status).is_none());
        if ours && rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok() {
            empty(&directory);
            let _ = rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR);
        }
    }
}

/// Removes our files; with others in it the directory stays.
fn empty(directory: &OwnedFd) {
    let Ok(entries) = Dir::read_from(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if [ENDING, UNFINISHED].iter().any(|ending| name.to_bytes().ends_with(ending.as_bytes())) {
            let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
        }
    }
}
