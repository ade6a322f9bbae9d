//! The directory: every call to the file system that the sink makes, except those at files that are appended to. All names are taken
//! relative to the open directory and no symbolic link in it is followed, so that nothing outside can be reached through it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, fsync, mkdirat, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::config::FileMode;
use super::name::{Place, TEMPORARY};

/// An open directory, ours alone.
#[derive(Debug)]
pub(super) struct Directory {
    root: OwnedFd,
    /// Whether others are kept out; some network file systems cannot do that.
    pub(super) locked: bool,
}

/// How files are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) mode: FileMode,
    pub(super) sync: bool,
}

impl Directory {
    /// Opens the directory, makes it where missing, and keeps others of our kind out. `Errno::WOULDBLOCK`: one is in already.
    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        std::fs::create_dir_all(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty())?;
        let locked = match flock(&root, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => return Err(Errno::WOULDBLOCK),
            Err(_) => false,
        };
        let directory = Self { root, locked };
        unlink(directory.root.as_fd(), TEMPORARY)?;
        Ok(directory)
    }

    /// What names are relative to.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Puts a file in place of what was there, in one step for every reader.
    pub(super) fn put(&self, place: &Place, body: &[u8], manner: Manner) -> Result<(), Errno> {
        let collection = match &place.collection {
            Some(name) => Some(self.make(name)?),
            None => None,
        };
        let holder = collection.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
        self.put_into(holder, &place.name, body, manner)
    }

    /// Puts a file of the sink's own into the directory.
    pub(super) fn put_own(&self, name: &str, body: &[u8], manner: Manner) -> Result<(), Errno> {
        self.put_into(self.root.as_fd(), name, body, manner)
    }

    /// Whether a file can be made here and removed again.
    pub(super) fn takes_files(&self, manner: Manner) -> bool {
        let made = self.write_temporary(&[], manner);
        let removed = unlink(self.root.as_fd(), TEMPORARY);
        made.and(removed).is_ok()
    }

    /// Removes a file; one that is not there is removed already. A collection that has become empty goes, too.
    pub(super) fn remove(&self, place: &Place) -> Result<(), Errno> {
        let Some(name) = &place.collection else {
            return unlink(self.root.as_fd(), &place.name);
        };
        match self.enter(name) {
            Ok(collection) => unlink(collection.as_fd(), &place.name)?,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        // Refused while it holds anything, which is what we want.
        let _kept = unlinkat(&self.root, name.as_str(), AtFlags::REMOVEDIR);
        Ok(())
    }

    /// Removes a file of the sink's own.
    pub(super) fn remove_own(&self, name: &str) -> Result<(), Errno> {
        unlink(self.root.as_fd(), name)
    }

    /// Reads a file of the directory; none when it is not there.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Errno> {
        // NONBLOCK: whoever put a pipe there must not make us wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(&self.root, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL);
        }
        let mut bytes = Vec::new();
        let count = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        let count = count.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if count as u64 > limit {
            return Err(Errno::FBIG);
        }
        Ok(Some(bytes))
    }

    /// The regular files of the directory whose names end like this.
    pub(super) fn names(&self, suffix: &str) -> Result<Vec<String>, Errno> {
        let mut names = Vec::new();
        for item in Dir::read_from(&self.root)? {
            let item = item?;
            // A name that is no UTF-8 cannot be one of ours.
            let Ok(name) = item.file_name().to_str() else {
                continue;
            };
            if name.ends_with(suffix) && self.is_file(item.file_type(), name) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn is_file(&self, kind: FileType, name: &str) -> bool {
        match kind {
            FileType::Unknown => statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile),
            kind => kind == FileType::RegularFile,
        }
    }

    fn put_into(&self, holder: BorrowedFd<'_>, name: &str, body: &[u8], manner: Manner) -> Result<(), Errno> {
        let done = self.write_temporary(body, manner).and_then(|()| renameat(&self.root, TEMPORARY, holder, name));
        if let Err(errno) = done {
            // Half a file takes room that the next try may need.
            let _left_for_the_next_start = unlink(self.root.as_fd(), TEMPORARY);
            return Err(errno);
        }
        if manner.sync { fsync(holder) } else { Ok(()) }
    }

    fn write_temporary(&self, body: &[u8], manner: Manner) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || openat(&self.root, TEMPORARY, flags, Mode::RUSR | Mode::WUSR);
        let file = match create() {
            Err(Errno::EXIST) => {
                unlink(self.root.as_fd(), TEMPORARY)?;
                create()?
            }
            done => done?,
        };
        let mut file = File::from(file);
        let written = file.write_all(body);
        written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        fchmod(&file, Mode::from_raw_mode(manner.mode.0))?;
        if manner.sync { fsync(&file) } else { Ok(()) }
    }

    fn make(&self, collection: &str) -> Result<OwnedFd, Errno> {
        match self.enter(collection) {
            Err(Errno::NOENT) => {
                mkdirat(&self.root, collection, Mode::from_raw_mode(0o755))?;
                self.enter(collection)
            }
            done => done,
        }
    }

    fn enter(&self, collection: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.root, collection, flags, Mode::empty())
    }
}

/// What is not there is removed already.
fn unlink(holder: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    match unlinkat(holder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
