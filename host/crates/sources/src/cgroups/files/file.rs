//! One file of a cgroup: kept open and read again at each tick, with a pause after it could not be.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::buffer::Buffer;
use super::directories::Doors;
use super::open_files::{OpenFiles, Permit};
use super::{Row, Whose};

/// No FIFO makes us wait, no link leads us elsewhere, no terminal becomes ours.
pub(crate) const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::NOCTTY);

/// A file that could not be read is tried at the next ticks, then ever more rarely: at most so many are passed over.
const LONGEST_REST: u8 = 64;
/// So often at once: the files of a cgroup that is just being made come one after the other.
const TRIES_AT_ONCE: u32 = 2;

/// Why a file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The directory it should be in is not there.
    NoDirectory,
    /// The directory is, the file is not; or the kernel says that it is of no use.
    Missing,
    /// A directory, a FIFO or a link stands in its place.
    NotRegular,
    /// It is longer than any that the kernel writes.
    TooLong,
    /// This process, or the machine, has no descriptor left.
    NoDescriptors,
    /// Anything else.
    Other(i32),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::OPNOTSUPP | Errno::SRCH => Self::Missing,
            Errno::LOOP | Errno::ISDIR | Errno::SPIPE => Self::NotRegular,
            Errno::MFILE | Errno::NFILE => Self::NoDescriptors,
            errno => Self::Other(errno.raw_os_error()),
        }
    }
}

/// A file of a cgroup.
#[derive(Debug)]
pub(crate) struct File {
    row: &'static Row,
    /// The one to look for first; `row` is what takes its place, on kernels that lack it.
    first: &'static Row,
    whose: Whose,
    kept: Option<Kept>,
    /// Of the file that was opened last. Another one means that the cgroup was made anew.
    inode: Option<u64>,
    anew: bool,
    failures: u32,
    rest: u8,
    /// Whether it was looked at for values that should stand in it.
    pub(crate) examined: bool,
}

/// An open file and what allows it to stay open.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) file: OwnedFd,
    _permit: Permit,
}

impl Kept {
    /// Keeps it, if one more may be.
    pub(crate) fn new(file: OwnedFd, open_files: &OpenFiles) -> Option<Self> {
        open_files.claim().map(|permit| Self { file, _permit: permit })
    }
}

impl File {
    /// Of a cgroup of these.
    pub(crate) fn new(row: &'static Row, whose: Whose) -> Self {
        Self { row, first: row, whose, kept: None, inode: None, anew: false, failures: 0, rest: 0, examined: false }
    }

    pub(crate) fn row(&self) -> &'static Row {
        self.row
    }

    /// How often in a row it could not be read.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it is another file than before, since it was last asked.
    pub(crate) fn take_anew(&mut self) -> bool {
        std::mem::take(&mut self.anew)
    }

    /// Opens it to be kept open, if that may be.
    pub(crate) fn prepare(&mut self, doors: &mut Doors<'_>, open_files: &OpenFiles) -> Result<(), Failure> {
        let file = self.open(doors);
        self.note(file.as_ref().err());
        self.kept = Kept::new(file?, open_files);
        Ok(())
    }

    /// Its text; none while it rests after it could not be read.
    pub(crate) fn read<'b>(
        &mut self,
        doors: &mut Doors<'_>,
        open_files: &OpenFiles,
        buffer: &'b mut Buffer,
    ) -> Result<Option<&'b [u8]>, Failure> {
        if let Some(rest) = self.rest.checked_sub(1) {
            self.rest = rest;
            return Ok(None);
        }
        let length = self.fill(doors, open_files, buffer);
        self.note(length.as_ref().err());
        length.map(|length| Some(buffer.text(length)))
    }

    fn fill(&mut self, doors: &mut Doors<'_>, open_files: &OpenFiles, buffer: &mut Buffer) -> Result<usize, Failure> {
        if let Some(kept) = self.kept.take() {
            match buffer.fill(&kept.file) {
                Ok(length) => {
                    self.kept = Some(kept);
                    return Ok(length);
                }
                // The cgroup is gone. Another one may have been made in its place.
                Err(Failure::Missing) => drop(kept),
                Err(failure) => return Err(failure),
            }
        }
        let file = self.open(doors)?;
        let length = buffer.fill(&file)?;
        self.kept = Kept::new(file, open_files);
        Ok(length)
    }

    fn open(&mut self, doors: &mut Doors<'_>) -> Result<OwnedFd, Failure> {
        let directory = doors.enter(self.row.home)?;
        let otherwise = self.row.otherwise.filter(|otherwise| otherwise.is_of(self.whose));
        let file = match (openat(directory, self.row.file, FLAGS, Mode::empty()), otherwise) {
            (Err(Errno::NOENT), Some(otherwise)) => {
                let file = openat(directory, otherwise.file, FLAGS, Mode::empty())?;
                self.row = otherwise;
                file
            }
            (Err(errno), _) => {
                self.row = self.first;
                return Err(errno.into());
            }
            (Ok(file), _) => file,
        };
        let inode = regular(&file)?;
        self.anew |= self.inode.replace(inode).is_some_and(|before| before != inode);
        Ok(file)
    }

    fn note(&mut self, failure: Option<&Failure>) {
        self.failures = if failure.is_some() { self.failures.saturating_add(1) } else { 0 };
        self.rest = match self.failures.checked_sub(TRIES_AT_ONCE + 1) {
            Some(doublings) => {
                1_u8.checked_shl(doublings).filter(|rest| (1..LONGEST_REST).contains(rest)).unwrap_or(LONGEST_REST)
            }
            None => 0,
        };
    }
}

/// Its inode, if it is a file and nothing else.
pub(crate) fn regular(file: impl AsFd) -> Result<u64, Failure> {
    let stat = fstat(file)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile { Ok(stat.st_ino) } else { Err(Failure::NotRegular) }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
