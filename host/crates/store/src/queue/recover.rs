//! What is found of a queue at the start, and what is made of it.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::time::Instant;

use rustix::io::Errno;

use super::place::{self, Place};
use super::segment::{self, Found, Segment, first_of};
use super::{Queue, QueueSettings};
use crate::StoreError;
use crate::directory::Directory;

/// What an opened queue has had in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries that wait.
    pub entries: u64,
    /// Bytes at the end of files that were cut off: they were never finished, or have changed.
    pub cut: u64,
    /// Entries that are known to be missing. Of what was written in the last second and is behind the last good entry of all, nothing tells.
    pub missing: u64,
}

pub(super) fn open(directory: Directory, settings: QueueSettings) -> Result<(Queue, Recovered), StoreError> {
    let lock = directory.lock()?;
    let place = place::kept(&directory)?.unwrap_or_default();
    let names = numbers(&directory)?;
    let (lowest, highest) = (names.first().copied(), names.last().copied());
    let (mut files, mut recovered) = (VecDeque::<Segment>::new(), Recovered::default());
    for first in names {
        let before = files.back().map_or(0, |last| last.next());
        // Nobody writes entries that another file has already; read as they stand they would hide what comes behind both.
        let is_ours = |found: &Found| first >= before && (found.is_begun() || Some(first) == highest);
        let Some(found) = segment::look(&directory, first)?.filter(is_ours) else {
            recovered.cut += directory.size(segment::name(first)).unwrap_or(0);
            directory.remove(segment::name(first))?;
            continue;
        };
        if found.behind > 0 {
            recovered.cut += found.behind;
            directory.cut(&segment::name(first), found.segment.bytes)?;
        }
        files.push_back(found.segment);
    }
    let contents = Contents::new(files.make_contiguous(), lowest, place);
    (recovered.entries, recovered.missing) = (contents.entries, contents.missing);
    let (next, first_open) = (contents.next, contents.first_open);
    let (tail, files) = tail(&directory, files, next)?;
    let mut queue = Queue {
        directory,
        settings,
        files,
        tail,
        gathered: Vec::new(),
        gathered_entries: 0,
        reading: None,
        next_read: first_open,
        first_open,
        unsynced_since: None,
        synced: (next, false),
        placed: (Instant::now(), place),
        dropped: 0,
        damaged: recovered.missing,
        _lock: lock,
    };
    if recovered.missing > 0 {
        // They are counted once.
        let _on_a_full_disk = queue.keep_place();
    }
    Ok((queue, recovered))
}

/// The numbers of the first entries of all files, in order.
pub(super) fn numbers(directory: &Directory) -> Result<Vec<u64>, StoreError> {
    let names = directory.names()?;
    let files = names.iter().filter(|name| directory.size(name).is_some());
    let mut numbers: Vec<u64> = files.filter_map(|name| first_of(name.to_str()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What files hold that can be read, and what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// Entries that wait.
    pub(super) entries: u64,
    /// Entries that are missing before, between and behind what can be read, but for those that were known to be.
    pub(super) missing: u64,
    /// The number of the first entry that waits.
    pub(super) first_open: u64,
    /// The number after all of them.
    pub(super) next: u64,
    /// Numbers of which no file has an entry.
    pub(super) gaps: Vec<Range<u64>>,
}

impl Contents {
    /// `files` are those that can be read, in order; `lowest` is the first number of all that are there, read or not.
    pub(super) fn new(files: &[Segment], lowest: Option<u64>, place: Place) -> Self {
        // What was before the first file was done, or dropped and counted.
        let begin = place.first_open.max(lowest.unwrap_or(0));
        let (mut next, mut gaps, mut entries) = (begin, Vec::new(), 0);
        let mut first_open = None;
        for file in files {
            gaps.push(next..file.first);
            let here = file.next().saturating_sub(file.first.max(next));
            if here > 0 {
                first_open.get_or_insert(file.first.max(next));
            }
            entries += here;
            next = next.max(file.next());
        }
        gaps.push(next..place.next);
        gaps.retain(|gap| !gap.is_empty());
        next = next.max(place.next);
        let missing = gaps.iter().map(|gap| gap.end - gap.start).sum::<u64>().saturating_sub(place.lost);
        Self { entries, missing, first_open: first_open.unwrap_or(next), next, gaps }
    }
}

/// The file that is written to from here on: a new one, so that nothing is written behind what may be broken. None where the disk is full:
/// that is no reason not to start, since what waits can be written, which makes room.
fn tail(directory: &Directory, mut files: VecDeque<Segment>, next: u64) -> Result<(Option<File>, VecDeque<Segment>), StoreError> {
    // One without entries has its name.
    while files.back().is_some_and(|last| last.entries == 0) {
        if let Some(empty) = files.pop_back() {
            directory.remove(empty.name())?;
        }
    }
    let (tail, segment) = match segment::create(directory, next) {
        Ok((tail, segment)) => (Some(tail), segment),
        Err(StoreError::Io { cause: Errno::NOSPC | Errno::DQUOT, .. }) => (None, Segment::empty(next)),
        Err(error) => return Err(error),
    };
    directory.sync()?;
    files.push_back(segment);
    Ok((tail, files))
}
