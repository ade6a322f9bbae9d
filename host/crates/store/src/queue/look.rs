//! A queue looked at, without changing it: also while a program works on it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use sluicebox_contract::Record;

use super::recover::{Contents, numbers};
use super::segment::{self, Reading};
use super::{Queue, place};
use crate::StoreError;
use crate::directory::{Directory, Endures};

/// Copies of one damaged file, at most.
const MOST_COPIES: usize = 1000;

/// What a queue looks like.
#[derive(Debug)]
pub struct Looks {
    directory: Directory,
    /// Its files, the oldest first.
    pub files: Vec<LookedAt>,
    /// Whether a program works on it: then the end of the last file may be about to be written.
    pub in_use: bool,
    /// The number of the first entry that is not done, as it was last written down.
    pub first_open: u64,
    /// Entries that wait.
    pub entries: u64,
    /// Entries that are known to be missing.
    pub missing: u64,
    /// Numbers of which no file has an entry that can be read; those that are known to be lost are among them.
    pub gaps: Vec<Range<u64>>,
}

/// A file of a queue.
#[derive(Debug)]
pub struct LookedAt {
    /// Its name.
    pub name: String,
    /// The number of its first entry.
    pub first: u64,
    /// Entries that can be read.
    pub entries: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Of these, bytes behind the last entry that can be read.
    pub behind: u64,
    /// Why nothing of it can be read.
    pub trouble: Option<String>,
    /// A later version has written it: it is no damage, and nothing here can read it.
    pub is_later: bool,
}

impl Queue {
    /// Looks at the queue in this directory, which must be there.
    pub fn look(path: &Path) -> Result<Looks, StoreError> {
        if !path.is_dir() {
            return Err(StoreError::Unknown(format!("there is no store in {}", path.display())));
        }
        let directory = Directory::open(path)?;
        let in_use = directory.is_locked();
        let place = place::kept(&directory)?.unwrap_or_default();
        let mut files = Vec::new();
        let mut good = Vec::new();
        let names = numbers(&directory)?;
        let (lowest, highest) = (names.first().copied(), names.last().copied());
        for first in names {
            let name = segment::name(first);
            // What was done meanwhile has gone.
            let Some(bytes) = directory.size(&name) else { continue };
            let (found, is_later, trouble) = match segment::look(&directory, first) {
                Ok(Some(found)) if found.is_begun() || Some(first) == highest => (Some(found), false, None),
                Ok(_) => (None, false, Some("it does not begin as a file of a store does".to_owned())),
                Err(error) => (None, matches!(error, StoreError::Damaged { .. }), Some(error.to_string())),
            };
            let (entries, behind) = found.as_ref().map_or((0, bytes), |found| (found.segment.entries, found.behind));
            files.push(LookedAt { name, first, entries, bytes, behind, trouble, is_later });
            good.extend(found.map(|found| found.segment));
        }
        let Contents { entries, missing, first_open, gaps, .. } = Contents::new(&good, lowest, place);
        Ok(Looks { directory, files, in_use, first_open, entries, missing, gaps })
    }
}

impl Looks {
    /// Whether everything that was written can be read.
    pub fn is_whole(&self) -> bool {
        let last = self.files.len().saturating_sub(1);
        let is_whole =
            |(index, file): (usize, &LookedAt)| file.trouble.is_none() && (file.behind == 0 || self.in_use && index == last);
        self.missing == 0 && self.files.iter().enumerate().all(is_whole)
    }

    /// Gives every record with an entry that waits, in order, until it is told to stop.
    pub fn each(&self, mut see: impl FnMut(&Record) -> bool) -> Result<(), StoreError> {
        for file in self.files.iter().filter(|file| file.entries > 0) {
            let Some(mut reading) = Reading::open(&self.directory, file.first)? else { continue };
            while let Some(record) = reading.read(&self.directory)? {
                if record.next() > self.first_open && !see(&record) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Copies every file of which something cannot be read into this directory, or into `damaged` beside them; gives the paths of the copies.
    /// What is there stays: a copy gets another name then.
    pub fn copy_damaged(&self, to: Option<&Path>) -> Result<Vec<PathBuf>, StoreError> {
        let damaged = self.files.iter().filter(|file| file.behind > 0 || file.trouble.is_some());
        let damaged: Vec<&LookedAt> = damaged.collect();
        if damaged.is_empty() {
            return Ok(Vec::new());
        }
        let aside = match to {
            Some(to) => Directory::open(to)?,
            None => self.directory.below("damaged")?,
        };
        let mut copies = Vec::new();
        for file in damaged {
            let bytes = self.directory.read(&file.name, u64::MAX)?.unwrap_or_default();
            let names = std::iter::once(file.name.clone()).chain((1..).map(|number| format!("{}.{number}", file.name)));
            let free = names.take(MOST_COPIES).find(|name| !aside.has(name));
            let name =
                free.ok_or_else(|| StoreError::Unfit(format!("there are too many copies in {}", aside.path("").display())))?;
            aside.write(&name, &bytes, Endures::Power)?;
            copies.push(aside.path(name));
        }
        Ok(copies)
    }
}
