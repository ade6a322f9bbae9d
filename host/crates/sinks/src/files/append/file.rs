//! One open file that is appended to: found or made, mended where a line is torn, written to in one piece. No symbolic link is
//! followed, and nothing but a regular file is opened.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fchmod, fdatasync, fstat, ftruncate, openat, statat};
use rustix::io::{Errno, write};

use super::config::Durability;
use crate::files::config::FileMode;

/// The open file.
#[derive(Debug)]
pub(super) struct Appended {
    file: File,
    identity: (u64, u64),
    /// Up to the end of the last whole line that is known of.
    length: u64,
    /// What a failed write may have left behind that, as far as it could not be cut off yet.
    pub(super) left: Option<Vec<u8>>,
    /// The first line, where it has been compared or written.
    heading: Option<Vec<u8>>,
    /// It was not there before.
    pub(super) is_made: bool,
}

/// What may stand in a file that was let go: from this place on, the beginning of what was to be written.
#[derive(Debug)]
pub(super) struct Left {
    length: u64,
    text: Vec<u8>,
}

impl Left {
    /// Whether that, and nothing else, stands at the end of a file of this size.
    fn is_in(&self, file: &File, size: u64) -> Result<bool, Errno> {
        let behind = size.checked_sub(self.length).and_then(|behind| usize::try_from(behind).ok());
        let Some(expected) = behind.filter(|behind| *behind > 0).and_then(|behind| self.text.get(..behind)) else {
            return Ok(false);
        };
        let mut found = vec![0; expected.len()];
        file.read_exact_at(&mut found, self.length).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(found == expected)
    }
}

impl Appended {
    /// Opens the file of this name, or makes it; cuts off what is left of a write that failed before it was let go.
    pub(super) fn open(root: BorrowedFd<'_>, name: &str, mode: FileMode, left: Option<&Left>) -> Result<Self, Errno> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let is_made = match statat(root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                // Before it is opened: opening alone does something to a pipe or a device.
                check(&stat)?;
                false
            }
            Err(Errno::NOENT) => true,
            Err(errno) => return Err(errno),
        };
        let created = if is_made { OFlags::CREATE | OFlags::EXCL } else { OFlags::empty() };
        let file = File::from(openat(root, name, flags | created, Mode::RUSR | Mode::WUSR)?);
        if is_made {
            fchmod(&file, Mode::from_raw_mode(mode.0))?;
        }
        let stat = fstat(&file)?;
        check(&stat)?;
        let mut appended = Self { file, identity: identity(&stat), length: 0, left: None, heading: None, is_made };
        let mut size = size(&stat);
        if let Some(left) = left
            && left.is_in(&appended.file, size)?
        {
            ftruncate(&appended.file, left.length)?;
            size = left.length;
        }
        appended.accept(size)?;
        Ok(appended)
    }

    /// Whether this is still the file of that name; then makes it fit to be appended to, whatever has been done to it.
    pub(super) fn is_still(&mut self, root: BorrowedFd<'_>, name: &str) -> Result<bool, Errno> {
        let stat = match statat(root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        if identity(&stat) != self.identity {
            return Ok(false);
        }
        let size = size(&stat);
        if self.left.is_some() && size > self.length {
            ftruncate(&self.file, self.length)?;
        } else if size != self.length {
            self.accept(size)?;
        }
        self.left = None;
        Ok(true)
    }

    /// Closes it; gives what the next one to open it must know.
    pub(super) fn let_go(self) -> Option<Left> {
        let length = self.length;
        self.left.map(|text| Left { length, text })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn heading(&self) -> Option<&[u8]> {
        self.heading.as_deref()
    }

    /// Whether there is more than the line on top, as far as that is known to be one.
    pub(super) fn has_lines(&self) -> bool {
        self.length > self.heading.as_ref().map_or(0, |heading| heading.len() as u64)
    }

    /// Whether this is the first line of the file.
    pub(super) fn begins_with(&mut self, heading: &[u8]) -> Result<bool, Errno> {
        if self.heading.as_deref() == Some(heading) {
            return Ok(true);
        }
        if self.length < heading.len() as u64 {
            return Ok(false);
        }
        let mut first = vec![0; heading.len()];
        self.file.read_exact_at(&mut first, 0).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let is_same = first == heading;
        if is_same {
            self.heading = Some(first);
        }
        Ok(is_same)
    }

    /// The next lines to be written begin with this one on top.
    pub(super) fn begin(&mut self, heading: Vec<u8>) {
        self.heading = Some(heading);
    }

    /// When the file was made; when it was last written to, where the file system does not know that.
    pub(super) fn birth(&self) -> Option<SystemTime> {
        let metadata = self.file.metadata().ok()?;
        metadata.created().or_else(|_| metadata.modified()).ok()
    }

    /// Writes all pieces, which end at these places of the text; else says how many are in the file, whole, and why not the next.
    /// Of that one nothing stays behind: it will be written again.
    pub(super) fn write(&mut self, text: &[u8], ends: &[usize], sync: Durability) -> Result<(), (usize, Errno)> {
        let done = write_all(self.file.as_fd(), text);
        let synced = match (done, sync) {
            // What could not be brought to the disk is perhaps not there, all of it.
            (Ok(()), Durability::EachWrite) => fdatasync(&self.file).map_err(|errno| (0, errno)),
            (done, _) => done,
        };
        let Err((written, errno)) = synced else {
            self.length += text.len() as u64;
            return Ok(());
        };
        let whole = ends.partition_point(|end| *end <= written);
        let end = whole.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or_default();
        self.length += end as u64;
        if self.length == 0 {
            self.heading = None;
        }
        // Where nothing can be cut off, as of a disk that has become read-only, there may be nothing to be cut off either.
        let is_whole = || fstat(&self.file).is_ok_and(|stat| size(&stat) == self.length);
        let is_torn = ftruncate(&self.file, self.length).is_err() && !is_whole();
        self.left = is_torn.then(|| text.get(end..).unwrap_or_default().to_vec());
        Err((whole, errno))
    }

    /// Takes the file as it is, and ends a line at its end that has no end.
    fn accept(&mut self, size: u64) -> Result<(), Errno> {
        let mut last = *b"\n";
        if let Some(at) = size.checked_sub(1) {
            self.file.read_exact_at(&mut last, at).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        }
        let is_torn = last != *b"\n";
        if is_torn {
            write_all(self.file.as_fd(), b"\n").map_err(|(_, errno)| errno)?;
        }
        self.length = size + u64::from(is_torn);
        self.heading = None;
        Ok(())
    }
}

/// Nothing else than a regular file is appended to.
fn check(stat: &Stat) -> Result<(), Errno> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Symlink => Err(Errno::LOOP),
        FileType::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::NXIO),
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// Writes all bytes, in one call where the file system takes them so; else says how many were written.
fn write_all(to: BorrowedFd<'_>, text: &[u8]) -> Result<(), (usize, Errno)> {
    let mut rest = text;
    while !rest.is_empty() {
        match write(to, rest) {
            Ok(0) => return Err((text.len() - rest.len(), Errno::IO)),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err((text.len() - rest.len(), errno)),
        }
    }
    Ok(())
}
