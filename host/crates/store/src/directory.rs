//! A directory that nobody else can write: opened once, checked by its handle, never looked up by its path again.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use sluicebox_private_directory::{OPEN, Obstacle, checked, writable_by_others};

use crate::StoreError;

/// The file that whoever works on a directory holds.
const LOCK: &str = "lock";
/// How long another program is waited for that works on a directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// More names than this are not read from one directory.
pub(crate) const MOST_NAMES: usize = 100_000;
/// What an interrupted program leaves behind is removed when it is older than this.
const UNFINISHED_SECONDS: i64 = 600;

/// What is promised of a file that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endures {
    /// It survives the end of the program, however that came.
    Program,
    /// It survives a power cut, too, once its directory was synced.
    Power,
}

#[derive(Debug)]
pub(crate) struct Directory {
    handle: OwnedFd,
    path: PathBuf,
    /// Distinguishes the files that several threads are writing.
    written: AtomicU64,
}

impl Directory {
    /// Opens a directory, or makes it (and what is missing above it), readable and writable by this user only. It may be a link of this
    /// user or of root: systemd hands such a link to services with a user of the moment.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::of(path.to_owned(), sluicebox_private_directory::open(path))
    }

    /// Opens a directory in this one, or makes it.
    pub(crate) fn below(&self, name: &str) -> Result<Self, StoreError> {
        match rustix::fs::mkdirat(&self.handle, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(cause) => return Err(self.failed("make the directory", name, cause)),
        }
        Self::of(self.path.join(name), checked(rustix::fs::openat(&self.handle, name, OPEN, Mode::empty())))
    }

    /// Opens a directory in this one if it is there.
    pub(crate) fn existing(&self, name: &str) -> Result<Option<Self>, StoreError> {
        match rustix::fs::openat(&self.handle, name, OPEN, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            opened => Self::of(self.path.join(name), checked(opened)).map(Some),
        }
    }

    fn of(path: PathBuf, opened: Result<OwnedFd, Obstacle>) -> Result<Self, StoreError> {
        match opened {
            Ok(handle) => Ok(Self { handle, path, written: AtomicU64::new(0) }),
            Err(Obstacle::Unsafe(reason)) => Err(StoreError::Unsafe { path, reason }),
            Err(Obstacle::Io { tried, cause }) => Err(StoreError::Io { tried, path, cause }),
        }
    }

    /// The names in it. Files that an interrupted program left unfinished are no part of them, and are removed when they are old.
    pub(crate) fn names(&self) -> Result<Vec<OsString>, StoreError> {
        let listed = Dir::read_from(&self.handle).map_err(|cause| self.failed("list", "", cause))?;
        let mut names = Vec::new();
        for entry in listed {
            let entry = entry.map_err(|cause| self.failed("list", "", cause))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if unfinished(name) {
                self.remove_when_old(name);
                continue;
            }
            if names.len() == MOST_NAMES {
                break;
            }
            names.push(name.to_owned());
        }
        Ok(names)
    }

    /// When something last came or went, in seconds and nanoseconds; none when that is so recent that the next change might bear the
    /// same time.
    pub(crate) fn changed(&self) -> Option<(i64, i64)> {
        let status = rustix::fs::fstat(&self.handle).ok()?;
        let settled = now_seconds().saturating_sub(status.st_mtime) > 2;
        settled.then(|| (status.st_mtime, i64::try_from(status.st_mtime_nsec).unwrap_or(0)))
    }

    /// The size of a file in bytes; none when it is gone or no regular file.
    pub(crate) fn size(&self, name: impl AsRef<OsStr>) -> Option<u64> {
        let status = rustix::fs::statat(&self.handle, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let regular = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
        regular.then(|| u64::try_from(status.st_size).unwrap_or(0))
    }

    /// Whether there is anything of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        !matches!(rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
    }

    /// A file of ours with at most `most` bytes; none when it is not there.
    pub(crate) fn read(&self, name: impl AsRef<OsStr>, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let name = name.as_ref();
        let damaged = |reason: &str| StoreError::Damaged { path: self.path.join(name), reason: reason.to_owned() };
        let too_large =
            |bytes| StoreError::TooLarge { what: format!("the file {}", self.path.join(name).display()), bytes, most };
        // Not to be held up by what is no file: opening a pipe would wait for whoever writes into it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(damaged("it is a link")),
            Err(Errno::NXIO) => return Err(damaged("it is no regular file")),
            Err(cause) => return Err(self.failed("open", name, cause)),
        };
        let status = rustix::fs::fstat(&file).map_err(|cause| self.failed("look at", name, cause))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(damaged("it is no regular file"));
        }
        if let Some(reason) = writable_by_others(&status) {
            return Err(damaged(&reason));
        }
        let size = u64::try_from(status.st_size).unwrap_or(0);
        if size > most {
            return Err(too_large(size));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
        let read = read.map_err(|error| self.failed("read", name, errno(&error)))? as u64;
        // It may have grown since it was looked at.
        if read > most { Err(too_large(read)) } else { Ok(Some(bytes)) }
    }

    /// Makes a file that grows; one of this name that is there goes.
    pub(crate) fn create(&self, name: &str) -> Result<File, StoreError> {
        self.remove(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR);
        made.map(File::from).map_err(|cause| self.failed("make", name, cause))
    }

    /// A regular file for reading; none when there is none of this name.
    pub(crate) fn open_file(&self, name: &str) -> Result<Option<File>, StoreError> {
        if self.size(name).is_none() {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT) => Ok(None),
            Err(cause) => Err(self.failed("open", name, cause)),
        }
    }

    /// As [`Directory::open_file`], for writing as well.
    pub(crate) fn open_to_write(&self, name: &str) -> Result<Option<File>, StoreError> {
        if self.size(name).is_none() {
            return Ok(None);
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT) => Ok(None),
            Err(cause) => Err(self.failed("open", name, cause)),
        }
    }

    /// Gives a file another name, in place of what has that name.
    pub(crate) fn put_in_place(&self, new: &str, name: &str) -> Result<(), StoreError> {
        let renamed = rustix::fs::renameat(&self.handle, new, &self.handle, name);
        renamed.map_err(|cause| self.failed("put in place", name, cause))
    }

    /// Cuts a file back to so many bytes.
    pub(crate) fn cut(&self, name: &str, bytes: u64) -> Result<(), StoreError> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.handle, name, flags, Mode::empty());
        let cut = opened.and_then(|file| rustix::fs::ftruncate(&file, bytes));
        cut.map_err(|cause| self.failed("cut", name, cause))
    }

    /// Keeps other programs from working on what is in here, for as long as the answer lives; the end of the program, however it comes, lets
    /// them.
    pub(crate) fn lock(&self) -> Result<File, StoreError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.handle, LOCK, flags, Mode::RUSR | Mode::WUSR);
        let file = opened.map_err(|cause| self.failed("open", LOCK, cause))?;
        // A program that has just ended may still hold it for a moment, or a process that it was about to start.
        let end = Instant::now() + LOCK_PATIENCE;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(File::from(file)),
                Err(Errno::WOULDBLOCK) if Instant::now() < end => std::thread::park_timeout(LOCK_PATIENCE / 20),
                Err(Errno::WOULDBLOCK) => return Err(StoreError::InUse { path: self.path.clone() }),
                Err(cause) => return Err(self.failed("lock", LOCK, cause)),
            }
        }
    }

    /// Whether a program works on it, without a change to anything.
    pub(crate) fn is_locked(&self) -> bool {
        let file = self.open_file(LOCK).ok().flatten();
        let locked = file.map(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared));
        locked == Some(Err(Errno::WOULDBLOCK))
    }

    /// Writes a file in place of what was there under this name: whole or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], endures: Endures) -> Result<(), StoreError> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let new = format!(".{name}.{}-{number}.new", std::process::id());
        let written = self.fill(&new, bytes, endures).and_then(|()| {
            let renamed = rustix::fs::renameat(&self.handle, &new, &self.handle, name);
            renamed.map_err(|cause| self.failed("put in place", name, cause))
        });
        if written.is_err() {
            let _gone = rustix::fs::unlinkat(&self.handle, &new, AtFlags::empty());
        }
        written
    }

    fn fill(&self, name: &str, bytes: &[u8], endures: Endures) -> Result<(), StoreError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = match rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR) {
            // Left behind by a program that had our number before.
            Err(Errno::EXIST) => {
                let _gone = rustix::fs::unlinkat(&self.handle, name, AtFlags::empty());
                rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)
            }
            made => made,
        };
        let mut file = File::from(made.map_err(|cause| self.failed("make", name, cause))?);
        let filled = file.write_all(bytes).and_then(|()| if endures == Endures::Power { file.sync_all() } else { Ok(()) });
        filled.map_err(|error| self.failed("write", name, errno(&error)))
    }

    /// Writes over the beginning of a file that is there, which needs no room on the disk; says whether there is one. Whoever reads it must know
    /// by itself whether it is whole.
    pub(crate) fn write_over(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let Some(file) = self.open_to_write(name)? else { return Ok(false) };
        let written = file.write_all_at(bytes, 0).and_then(|()| file.set_len(bytes.len() as u64));
        written.map(|()| true).map_err(|error| self.failed("write", name, errno(&error)))
    }

    /// Has what came and went in this directory survive a power cut.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        match rustix::fs::fsync(&self.handle) {
            // Some file systems of the network cannot do that with a directory.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(cause) => Err(self.failed("sync", "", cause)),
        }
    }

    /// Removes a file; says whether it was there.
    pub(crate) fn remove(&self, name: impl AsRef<OsStr>) -> Result<bool, StoreError> {
        match rustix::fs::unlinkat(&self.handle, name.as_ref(), AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(cause) => Err(self.failed("remove", name, cause)),
        }
    }

    /// Removes an empty directory in this one.
    pub(crate) fn remove_directory(&self, name: &str) -> Result<(), StoreError> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR) {
            // What an interrupted program left unfinished may still be in it, until it is old.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
            Err(cause) => Err(self.failed("remove", name, cause)),
        }
    }

    /// Moves a file into another directory; says whether it was there.
    pub(crate) fn hand_over(&self, name: &str, to: &Self) -> Result<bool, StoreError> {
        match rustix::fs::renameat(&self.handle, name, &to.handle, name) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(cause) => Err(self.failed("move", name, cause)),
        }
    }

    pub(crate) fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// Errors of removal are left to the next time.
    fn remove_when_old(&self, name: &OsStr) {
        let Ok(status) = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) else {
            return;
        };
        if now_seconds().saturating_sub(status.st_mtime) > UNFINISHED_SECONDS {
            let _gone = rustix::fs::unlinkat(&self.handle, name, AtFlags::empty());
        }
    }

    fn failed(&self, tried: &'static str, name: impl AsRef<OsStr>, cause: Errno) -> StoreError {
        StoreError::Io { tried, path: self.path.join(name.as_ref()), cause }
    }
}

fn unfinished(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".") && name.ends_with(b".new")
}

fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
