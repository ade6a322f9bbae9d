//! Entries that wait for their sink on the disk, in the order in which they came. Those that came together stand together, as a record; each
//! entry has a number, so that it is known how many are lost where a record cannot be read.
//!
//! ```text
//! <queue>/0000000000000000.entries   entries from the one with this number on, in hexadecimal
//! <queue>/00000000000004b1.entries   the one that is written to
//! <queue>/place                      up to which entry the sink has them
//! <queue>/lock                       held by the program that works on it
//! ```
//!
//! `frame.rs` is how entries stand in a file, `segment.rs` one file, `recover.rs` what is found at the start. Files are small and only ever
//! grow at their end or go as a whole, so that a crash costs no more than what was being written, and a small disk is given back at once.

mod backlog;
pub(crate) mod frame;
#[cfg(test)]
mod fuzz;
mod look;
mod place;
mod recover;
mod segment;

use std::collections::VecDeque;
use std::fs::File;
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sluicebox_contract::{Appended, Record};

use crate::StoreError;
use crate::directory::Directory;
use frame::OVERHEAD;
use place::Place;
use segment::{Reading, Segment, failed};

pub use look::{LookedAt, Looks};
pub use recover::Recovered;

/// What is gathered before it is written, at most, in bytes.
const GATHERED: usize = 64 << 10;
/// Time between two times that it is written down where the queue is: what is done twice after a crash, against wear.
const PLACING: Duration = Duration::from_secs(1);
/// The smallest and the largest file.
const SMALLEST_FILE: u64 = 64 << 10;
const LARGEST_FILE: u64 = 4 << 20;

/// What a queue may hold, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct QueueSettings {
    /// Bytes of all files together, from 1 MiB.
    pub bytes: u64,
    /// What happens when an entry does not fit.
    pub when_full: WhenFull,
    /// What a power cut may cost. The end of the program costs nothing that was flushed, whatever this is.
    pub sync: Sync,
}

/// What happens when an entry does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is not taken: whoever has it waits.
    Block,
    /// The oldest file goes, with all entries that are in it.
    DropOldest,
    /// It goes itself.
    DropNewest,
}

/// When what was written is forced onto the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// At each flush.
    Always,
    /// At the first flush after so long: a power cut costs what came since.
    Every(Duration),
    /// Never: the system decides, most often after half a minute.
    Never,
}

/// The queue of one sink. Its calls block.
pub struct Queue {
    directory: Directory,
    settings: QueueSettings,
    /// The files, the oldest first; the last one is written to.
    files: VecDeque<Segment>,
    /// The last of them. None while it has not been made, as the disk was full at the start.
    tail: Option<File>,
    /// Whole frames that are not written yet.
    gathered: Vec<u8>,
    gathered_entries: u64,
    reading: Option<Reading>,
    /// The number of the entry that is read next.
    next_read: u64,
    /// The number of the first entry that is not done.
    first_open: u64,
    unsynced_since: Option<Instant>,
    /// Everything before this number was forced onto the disk, and whether the disk has refused that for what came after it.
    synced: (u64, bool),
    /// When it was last written down where the queue is, and what was.
    placed: (Instant, Place),
    dropped: u64,
    damaged: u64,
    _lock: File,
}

impl Queue {
    /// Opens the queue in this directory, or makes it. What a crash has left unfinished is cut off, and what cannot be read is left out and
    /// counted. Fails where another program works on it, a later version has written it, or the disk cannot be read.
    pub fn open(path: &Path, settings: QueueSettings) -> Result<(Self, Recovered), StoreError> {
        recover::open(Directory::open(path)?, settings)
    }

    /// The largest record that is taken, in bytes.
    pub fn largest(&self) -> u64 {
        largest(&self.settings)
    }

    /// Takes so many entries, which stand together from here on. Where that is an error, they were not taken: they are too large for the queue,
    /// or the disk refuses what came before.
    pub fn append(&mut self, entries: NonZeroU32, payload: &[u8]) -> Result<Appended, StoreError> {
        let (length, most) = (payload.len() as u64, self.largest());
        if length > most {
            return Err(StoreError::TooLarge { what: "a record for a queue on the disk".to_owned(), bytes: length, most });
        }
        let weight = OVERHEAD + length;
        if self.written_and_gathered() + weight > file_size(&self.settings) && self.last().entries + self.gathered_entries > 0 {
            self.roll()?;
        }
        while self.bytes() + weight > self.settings.bytes {
            match self.settings.when_full {
                WhenFull::Block => return Ok(Appended::Full),
                WhenFull::DropNewest => {
                    self.dropped += u64::from(entries.get());
                    return Ok(Appended::Dropped);
                }
                WhenFull::DropOldest => self.drop_oldest()?,
            }
        }
        if self.gathered.len() >= GATHERED {
            self.flush()?;
        }
        let number = self.next();
        frame::put(&mut self.gathered, entries, payload);
        self.gathered_entries += u64::from(entries.get());
        Ok(Appended::Kept(number))
    }

    /// Writes what was gathered: it survives the end of the program from then on, and a power cut as the settings say. When it fails, nothing
    /// is lost and the next flush tries again.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if !self.gathered.is_empty() {
            let last = self.last();
            let tail = match &mut self.tail {
                Some(tail) => tail,
                none => none.insert(segment::create(&self.directory, last.first)?.0),
            };
            if let Err(error) = tail.write_all_at(&self.gathered, last.bytes) {
                // What was written of it is no entry; the next flush writes over it even if this fails.
                let _as_before = tail.set_len(last.bytes);
                return Err(failed(&self.directory, "write", last, &error));
            }
            if let Some(last) = self.files.back_mut() {
                last.bytes += self.gathered.len() as u64;
                last.entries += self.gathered_entries;
            }
            self.gathered.clear();
            self.gathered.shrink_to(GATHERED);
            self.gathered_entries = 0;
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        if self.placed.0.elapsed() >= PLACING {
            // It says only what is known anyway unless something goes wrong.
            let _on_a_full_disk = self.keep_place();
        }
        let is_due = match self.settings.sync {
            Sync::Always => true,
            Sync::Every(span) => self.unsynced_since.is_some_and(|since| since.elapsed() >= span),
            Sync::Never => false,
        };
        if is_due { self.sync() } else { Ok(()) }
    }

    /// The next records in their order: as many as there are, at most so many and about so many bytes. Of the first one, some entries may be done.
    pub fn read(&mut self, records: usize, bytes: usize) -> Result<Vec<Record>, StoreError> {
        let (mut found, mut weight) = (Vec::new(), 0);
        while found.len() < records && weight < bytes && self.next_read < self.next() {
            let record = match self.files.iter().copied().find(|file| self.next_read < file.next()) {
                Some(file) => self.read_file(file)?,
                None => self.read_gathered(),
            };
            if let Some(record) = record {
                weight += record.payload.len();
                self.next_read = record.next();
                found.push(record);
            }
        }
        Ok(found)
    }

    /// Whoever has handed over everything before this number has it still, and need not read it.
    pub fn skip_to(&mut self, number: u64) {
        self.next_read = self.next_read.max(number.min(self.next()));
    }

    /// Everything from the first entry on that is not done is read again.
    pub fn rewind(&mut self) {
        self.next_read = self.first_open;
    }

    /// All entries before this number are done. Files of which that is so for all of them go at once.
    pub fn done_before(&mut self, number: u64) -> Result<(), StoreError> {
        self.first_open = self.first_open.max(number.min(self.next_read));
        while let Some(oldest) = self.files.front().copied().filter(|oldest| oldest.next() <= self.first_open) {
            if self.files.len() == 1 {
                // The last one goes once it is worth it.
                if self.written_and_gathered() <= file_size(&self.settings) / 2 || self.gathered_entries > 0 {
                    break;
                }
                self.roll()?;
            }
            self.remove_oldest(oldest)?;
        }
        Ok(())
    }

    /// Writes down up to where the entries are done, so that fewer are written again after a crash, and how many there are.
    pub fn keep_place(&mut self) -> Result<(), StoreError> {
        let (first_open, next) = (self.first_open, self.last().next().max(self.first_open));
        let gaps = self.files.iter().zip(self.files.iter().skip(1));
        let lost = gaps.map(|(one, two)| two.first.max(first_open).saturating_sub(one.next().max(first_open))).sum();
        let place = Place { first_open, next, lost };
        if self.placed.1 != place {
            place::keep(&self.directory, place)?;
            self.placed = (Instant::now(), place);
        }
        Ok(())
    }

    /// Writes down everything, so that the next start finds it as it is.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.settle()
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        self.sync()?;
        self.keep_place()
    }

    /// Entries that are neither done nor were read.
    pub fn unread(&self) -> u64 {
        self.from(self.next_read)
    }

    /// The first entry that is not done.
    pub fn first_open(&self) -> u64 {
        self.first_open
    }

    /// Entries that are not done.
    pub fn len(&self) -> u64 {
        self.from(self.first_open)
    }

    /// Whether all entries are done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes, on the disk and on the way there.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum::<u64>() + self.gathered.len() as u64
    }

    /// Entries dropped for lack of room so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Entries that could not be read so far.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The number of the entry that comes next.
    fn next(&self) -> u64 {
        self.last().next() + self.gathered_entries
    }

    /// Entries from this number on. What is missing between two files is none of them: it was counted when it was found.
    fn from(&self, number: u64) -> u64 {
        let written = self.files.iter().map(|file| file.next().saturating_sub(file.first.max(number))).sum::<u64>();
        written + self.next().saturating_sub(self.last().next().max(number))
    }

    fn last(&self) -> Segment {
        // There always is one.
        self.files.back().copied().unwrap_or(Segment { first: 0, entries: 0, bytes: 0 })
    }

    fn written_and_gathered(&self) -> u64 {
        self.last().bytes + self.gathered.len() as u64
    }

    /// Goes on in a new file.
    fn roll(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        if self.settings.sync != Sync::Never {
            self.sync()?;
        }
        let (tail, segment) = segment::create(&self.directory, self.last().next())?;
        if self.settings.sync != Sync::Never {
            self.directory.sync()?;
        }
        // One without entries has the name of the new one and was written anew.
        if self.last().first == segment.first {
            self.files.pop_back();
        }
        self.files.push_back(segment);
        self.tail = Some(tail);
        Ok(())
    }

    fn drop_oldest(&mut self) -> Result<(), StoreError> {
        if self.files.len() == 1 {
            self.roll()?;
        }
        let Some(oldest) = self.files.front().copied() else { return Ok(()) };
        // What was read is on its way, and dropped only if the program ends before it has arrived.
        self.dropped += oldest.next().saturating_sub(self.next_read.max(oldest.first));
        self.remove_oldest(oldest)
    }

    fn remove_oldest(&mut self, oldest: Segment) -> Result<(), StoreError> {
        self.directory.remove(oldest.name())?;
        self.files.pop_front();
        self.first_open = self.first_open.max(oldest.next());
        self.next_read = self.next_read.max(oldest.next());
        Ok(())
    }

    /// The next record, which is in this file; none where what is left of it was damaged since the start and is left out.
    fn read_file(&mut self, file: Segment) -> Result<Option<Record>, StoreError> {
        self.next_read = self.next_read.max(file.first);
        let record = self.read_from(file)?;
        if record.is_none() {
            self.damaged += file.next() - self.next_read;
            self.next_read = file.next();
            if self.last() == file {
                self.roll()?;
            }
        }
        Ok(record)
    }

    fn read_from(&mut self, file: Segment) -> Result<Option<Record>, StoreError> {
        let is_there = |reading: &Reading| reading.segment == file.first && reading.next() <= self.next_read;
        let reading = match self.reading.take().filter(is_there) {
            Some(reading) => Some(reading),
            None => Reading::open(&self.directory, file.first)?,
        };
        let Some(mut reading) = reading else { return Ok(None) };
        loop {
            let Some(record) = reading.read(&self.directory)? else { return Ok(None) };
            if self.next_read < record.next() {
                self.reading = Some(reading);
                return Ok(Some(record));
            }
        }
    }

    /// The next record, which is not written yet: a disk that is full holds up no sink.
    fn read_gathered(&mut self) -> Option<Record> {
        let (mut rest, mut first) = (self.gathered.as_slice(), self.last().next());
        while let Ok(frame::Frame::Whole(entries, payload)) = frame::next(&mut rest, u64::MAX) {
            let record = Record { first, entries, payload };
            first = record.next();
            if self.next_read < first {
                return Some(record);
            }
        }
        // Memory does not change.
        self.next_read = self.next();
        None
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced_since.is_some() {
            let synced = self.tail.as_ref().map_or(Ok(()), File::sync_data);
            self.synced.1 = synced.is_err();
            synced.map_err(|error| failed(&self.directory, "sync", self.last(), &error))?;
            self.synced.0 = self.last().next();
            self.unsynced_since = None;
        }
        Ok(())
    }

    /// Every entry before this number outlives the program.
    fn flushed(&self) -> u64 {
        let (synced, is_refused) = self.synced;
        if is_refused { synced } else { self.last().next() }
    }
}

/// The largest payload: a quarter of the queue, so that one record cannot push out all others.
fn largest(settings: &QueueSettings) -> u64 {
    settings.bytes / 4
}

fn file_size(settings: &QueueSettings) -> u64 {
    (settings.bytes / 8).clamp(SMALLEST_FILE, LARGEST_FILE)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
