//! What each source has announced, as files that only grow at their end, and are written anew when most of what is in them is out of date.
//!
//! ```text
//! <state>/announced/pods.announced   frames as of a queue: what is watched, then objects as they were announced, or that they have gone
//! <state>/announced/lock             held by the program that works on them
//! ```
//!
//! Whatever is missing at the end of a file was announced and is not known to be: it is announced once more. So nothing is forced onto the disk.

mod line;
mod news;
mod read;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use sluicebox_contract::{Announced, Announcement};

use crate::StoreError;
use crate::directory::Directory;
use crate::queue::frame::{self, Form};
use line::Line;
use news::{News, Place, Stands, place};

const FORM: Form = Form { magic: b"sluicea\n", version: 1 };
/// The largest record, in bytes, however much there may be.
const LARGEST: u64 = 8 << 20;
/// A file is not written anew for less than this.
const SLACK: u64 = 64 << 10;

/// The directory of what was announced. Others keep out of it while this one lives.
#[derive(Debug)]
pub struct Announcements {
    directory: Arc<Directory>,
    lock: Arc<File>,
}

/// What was announced by one source. Its calls block.
#[derive(Debug)]
pub struct Book {
    directory: Arc<Directory>,
    name: String,
    watched: String,
    most: u64,
    file: File,
    /// Bytes of the file that are known to be good.
    bytes: u64,
    /// Where each object stands, by uid.
    places: HashMap<Arc<str>, Stands>,
    /// Bytes of those, and of what stands before them.
    live: u64,
    _lock: Arc<File>,
}

/// A file that was written anew.
struct Filled {
    file: File,
    bytes: u64,
    places: HashMap<Arc<str>, Stands>,
}

/// What a book had in it.
#[derive(Debug, Default)]
pub struct Recalled {
    /// The objects as they were announced last, and the mark that came with them.
    pub objects: Vec<(Announcement, u64)>,
    /// How some of them were told after that, by uid.
    pub told: BTreeMap<Arc<str>, Announcement>,
    /// What could not be used of it, for the operator: what stood there is announced once more.
    pub trouble: Option<String>,
}

/// A number for a text, which is another one for another text.
pub fn mark(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |mark, byte| mark << 8 | u64::from(*byte))
}

impl Announcements {
    /// Opens the directory in a state directory, or makes it. Fails where another program works on it.
    pub fn open(state_directory: &Path) -> Result<Self, StoreError> {
        let directory = Directory::open(state_directory)?.below("announced")?;
        let lock = Arc::new(directory.lock()?);
        Ok(Self { directory: Arc::new(directory), lock })
    }

    /// Opens the book of a source, or makes it, with at most so many bytes. `watched` says what the source watches: what was announced while
    /// it watched something else is not known any more. A file that cannot be used is written anew; one that a later version has written is an error.
    pub fn book(&self, source: &str, watched: &str, most: u64) -> Result<(Book, Recalled), StoreError> {
        let name = file_name(source);
        let found = read::read(&self.directory, &name, watched)?;
        let mut recalled = Recalled { trouble: found.trouble, ..Recalled::default() };
        let (file, bytes) = match found.file {
            Some(file) => file,
            None => create(&self.directory, &name, watched)?,
        };
        let stands = |(uid, (place, _, mark)): (&Arc<str>, &(Place, Announcement, u64))| {
            let told = found.told.get(uid).map(|(place, _)| *place);
            (Arc::clone(uid), Stands { place: *place, is_told_only: *mark == NOBODY, told })
        };
        let places: HashMap<Arc<str>, Stands> = found.objects.iter().map(stands).collect();
        let live = before_objects(watched) + places.values().map(Stands::length).sum::<u64>();
        recalled.told = found.told.into_iter().map(|(uid, (_, announcement))| (uid, announcement)).collect();
        recalled.objects = found.objects.into_values().map(|(_, announcement, mark)| (announcement, mark)).collect();
        let (directory, lock) = (Arc::clone(&self.directory), Arc::clone(&self.lock));
        let book = Book { directory, name, watched: watched.to_owned(), most, file, bytes, places, live, _lock: lock };
        Ok((book, recalled))
    }

    /// What a source has announced is not known any more.
    pub fn forget(&self, source: &str) -> Result<(), StoreError> {
        self.directory.remove(file_name(source)).map(drop)
    }
}

/// The mark of what not everybody has heard of.
pub const NOBODY: u64 = 0;

impl Book {
    /// How many objects are remembered.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Writes down what was announced, with a mark. It survives the end of the program, but not always a power cut. Gives how many objects
    /// do not fit, which are known as they were before. When it fails, nothing has changed.
    pub fn write(&mut self, announced: &[Announced], mark: u64) -> Result<usize, StoreError> {
        let (news, left_out) = self.news(announced, mark);
        if news.is_empty() {
            return Ok(left_out);
        }
        let added = news.values().map(|news| news.bytes().count() as u64).sum::<u64>();
        let after = self.bytes + added;
        let is_due = after > self.most || after > 2 * self.live_after(&news) + SLACK;
        // Without room for two files on the disk, the one grows as long as it may.
        let rewritten = if is_due { Some(self.rewrite(&news)) } else { None };
        match rewritten {
            Some(Ok(())) => {}
            Some(Err(error)) if after > self.most => return Err(error),
            Some(Err(_)) | None => self.append(&news)?,
        }
        Ok(left_out)
    }

    /// What is to be written of each object of which there is news, by uid. One that has gone has a frame only where it is known, and no place
    /// after it.
    fn news(&self, announced: &[Announced], mark: u64) -> (BTreeMap<Arc<str>, News>, usize) {
        let (mut all, mut live, mut left_out) = (BTreeMap::<Arc<str>, News>::new(), self.live, 0);
        for announced in announced {
            let uid = announced.uid();
            let known = self.places.get(uid);
            let before = all.remove(uid);
            let length = |news: Option<&News>| match news {
                Some(news) => news.length_after(known),
                None => known.map_or(0, Stands::length),
            };
            let news = match announced {
                Announced::Gone(_) if known.is_none() && before.is_none() => continue,
                Announced::Gone(_) => News::gone(uid),
                Announced::There(announcement) => News::there(announcement, mark),
                Announced::Told(announcement) => News::told(announcement, known, before.as_ref()),
            };
            let after = live - length(before.as_ref()) + length(Some(&news));
            if !matches!(announced, Announced::Gone(_)) && (news.largest() > LARGEST || after > self.most) {
                left_out += 1;
                all.extend(before.map(|before| (Arc::clone(uid), before)));
                continue;
            }
            live = after;
            all.insert(Arc::clone(uid), news);
        }
        (all, left_out)
    }

    fn live_after(&self, news: &BTreeMap<Arc<str>, News>) -> u64 {
        news.iter().fold(self.live, |live, (uid, news)| {
            let known = self.places.get(uid);
            live - known.map_or(0, Stands::length) + news.length_after(known)
        })
    }

    fn append(&mut self, news: &BTreeMap<Arc<str>, News>) -> Result<(), StoreError> {
        let bytes: Vec<u8> = news.values().flat_map(News::bytes).copied().collect();
        if let Err(error) = self.file.write_all_at(&bytes, self.bytes) {
            // What was written of it is no frame; what is written next is written over it even if this fails.
            let _as_before = self.file.set_len(self.bytes);
            return Err(failed(&self.directory, "write", &self.name, &error));
        }
        let live = self.live_after(news);
        self.bytes = place(news, self.bytes, &mut self.places);
        self.live = live;
        Ok(())
    }

    /// Writes a new file with what is not out of date, and puts it in place of the old one.
    fn rewrite(&mut self, news: &BTreeMap<Arc<str>, News>) -> Result<(), StoreError> {
        let new = format!(".{}.new", self.name);
        let written = self.fill(&new, news).and_then(|written| {
            self.directory.put_in_place(&new, &self.name)?;
            Ok(written)
        });
        let Filled { file, bytes, places } = written.inspect_err(|_| drop(self.directory.remove(&new)))?;
        self.live = bytes;
        (self.file, self.bytes, self.places) = (file, bytes, places);
        Ok(())
    }

    fn fill(&self, new: &str, news: &BTreeMap<Arc<str>, News>) -> Result<Filled, StoreError> {
        let file = self.directory.create(new)?;
        let broken = |error: &std::io::Error| failed(&self.directory, "write", new, error);
        let mut writer = BufWriter::new(&file);
        let head = head(&self.watched);
        writer.write_all(&head).map_err(|error| broken(&error))?;
        let mut end = head.len() as u64;
        let kept = self.places.iter().filter_map(|(uid, stands)| Some((uid, stands.without(news.get(uid))?)));
        let mut kept: Vec<(&Arc<str>, Stands)> = kept.collect();
        kept.sort_by_key(|(_, stands)| stands.place.offset);
        let mut places = HashMap::with_capacity(kept.len() + news.len());
        let mut copy = |Place { offset, length }: Place| {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            let read = self.file.read_exact_at(&mut bytes, offset);
            read.map_err(|error| failed(&self.directory, "read", &self.name, &error))?;
            writer.write_all(&bytes).map_err(|error| broken(&error))?;
            end += length;
            Ok(Place { offset: end - length, length })
        };
        for (uid, stands) in kept {
            let place = copy(stands.place)?;
            let told = stands.told.map(&mut copy).transpose()?;
            places.insert(Arc::clone(uid), Stands { place, told, ..stands });
        }
        let staying: BTreeMap<Arc<str>, News> =
            news.iter().filter(|(_, news)| !news.is_gone()).map(|(uid, news)| (Arc::clone(uid), news.clone())).collect();
        for news in staying.values() {
            writer.write_all(&news.bytes().copied().collect::<Vec<u8>>()).map_err(|error| broken(&error))?;
        }
        let end = place(&staying, end, &mut places);
        writer.flush().map_err(|error| broken(&error))?;
        drop(writer);
        // The name must not come before the content, or a power cut would cost all of it.
        file.sync_data().map_err(|error| broken(&error))?;
        Ok(Filled { file, bytes: end, places })
    }
}

fn file_name(source: &str) -> String {
    format!("{source}.announced")
}

/// What stands before the objects.
fn head(watched: &str) -> Vec<u8> {
    let mut bytes = frame::header(FORM);
    bytes.extend(Line::watched(watched).frame());
    bytes
}

fn before_objects(watched: &str) -> u64 {
    head(watched).len() as u64
}

fn create(directory: &Directory, name: &str, watched: &str) -> Result<(File, u64), StoreError> {
    let (file, head) = (directory.create(name)?, head(watched));
    file.write_all_at(&head, 0).map_err(|error| failed(directory, "write", name, &error))?;
    Ok((file, head.len() as u64))
}

fn failed(directory: &Directory, tried: &'static str, name: &str, error: &std::io::Error) -> StoreError {
    let cause = Errno::from_io_error(error).unwrap_or(Errno::IO);
    StoreError::Io { tried, path: directory.path(name), cause }
}

#[cfg(test)]
#[path = "announced_tests.rs"]
mod tests;
