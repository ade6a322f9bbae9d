//! Dead letters as files: bounded in number and bytes, the oldest go first.

use sluicebox_contract::text::in_few_words;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sluicebox_contract::{DeadLetter, DeadLetters, Fault, UnixNanos};

use crate::directory::{Directory, Endures, MOST_NAMES};
use crate::{Id, Listed, StoreError, json};

/// A letter larger than this in bytes is neither kept nor read, whatever the bounds are.
pub(crate) const LARGEST: u64 = 64 << 20;

/// What has to go when the bounds are reached, goes with this part of the bounds at least: the directory is looked through each time.
const PART: u8 = 16;
/// A letter that died again is spared for so long, so that whoever has asked for it finds it.
const SPARED: Duration = Duration::from_mins(1);
/// Never more letters than this are spared.
const MOST_SPARED: usize = 64;

/// How much may be kept. When it is reached the oldest go, a sixteenth of it at once.
#[derive(Clone, Copy, Debug)]
pub struct LetterBounds {
    /// Number of letters; never more than 100 000.
    pub letters: usize,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Default for LetterBounds {
    /// 1000 letters with 16 MiB.
    fn default() -> Self {
        Self { letters: 1000, bytes: 16 << 20 }
    }
}

/// The dead letters of one collector. Clones share everything; figures can be asked for from any thread without waiting for the disk.
///
/// A letter survives the end of the program, even by SIGKILL. It is not forced onto the disk, because a flood of letters would stall
/// whatever else uses it: after a power cut the letters of the last seconds may be missing or unreadable.
#[derive(Clone, Debug)]
pub struct Letters {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) kept: Directory,
    /// Those that are to be tried again; not within the bounds, because only people put letters there.
    pub(crate) asked: Directory,
    bounds: LetterBounds,
    known: Mutex<Known>,
    letters: AtomicU64,
    bytes: AtomicU64,
    evicted: AtomicU64,
}

/// What lies in the directory as far as we know. The command line program removes, takes and gives back letters beside us, so this is
/// looked up anew before anything is evicted.
#[derive(Debug, Default)]
struct Known {
    sizes: BTreeMap<Id, u64>,
    bytes: u64,
    last: Option<Id>,
    /// Those that died again a moment ago.
    spared: VecDeque<(Id, Instant)>,
    /// When the directory had changed last, before it was looked through.
    seen: Option<(i64, i64)>,
}

impl Letters {
    /// Opens the dead letters in a state directory, or makes them. Removes nothing, even when there are more than the bounds allow.
    pub fn open(state_directory: &Path, bounds: LetterBounds) -> Result<Self, StoreError> {
        let kept = Directory::open(state_directory)?.below("dead-letters")?;
        let asked = kept.below("replay")?;
        let bounds = LetterBounds { letters: bounds.letters.min(MOST_NAMES), ..bounds };
        let last = ids(&asked)?.into_iter().max();
        let known = Mutex::new(Known { last, ..Known::default() });
        let zero = || AtomicU64::new(0);
        let inner = Inner { kept, asked, bounds, known, letters: zero(), bytes: zero(), evicted: zero() };
        inner.recount(&mut inner.known())?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How many letters there are, and how many bytes they take. Those that wait for being tried again are not counted.
    pub fn held(&self) -> (u64, u64) {
        (self.inner.letters.load(Ordering::Relaxed), self.inner.bytes.load(Ordering::Relaxed))
    }

    /// How many letters had to go for newer ones since this program has opened them.
    pub fn evicted(&self) -> u64 {
        self.inner.evicted.load(Ordering::Relaxed)
    }

    /// Everything that lies there, the oldest first; what cannot be read says why.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let mut all = listed(&self.inner.kept, false)?;
        all.extend(listed(&self.inner.asked, true)?);
        // What has no id has no age, and comes last.
        all.sort_by(|one, other| (one.id.is_none(), one.id, &one.file).cmp(&(other.id.is_none(), other.id, &other.file)));
        Ok(all)
    }

    /// The one letter whose id begins so.
    pub fn find(&self, beginning: &str) -> Result<Id, StoreError> {
        let mut all = ids(&self.inner.kept)?;
        all.extend(ids(&self.inner.asked)?);
        all.sort_unstable();
        all.dedup();
        let fitting: Vec<Id> = all.into_iter().filter(|id| id.to_string().starts_with(beginning)).collect();
        match (fitting.as_slice(), beginning) {
            ([id], beginning) if !beginning.is_empty() => Ok(*id),
            ([], beginning) => beginning.parse().and_then(|id| Err(missing(id))),
            (several, beginning) => Err(StoreError::Unknown(format!(
                "the ids of {} dead letters begin with `{}` (hint: give more of it)",
                several.len(),
                beginning.escape_debug()
            ))),
        }
    }

    /// A letter, whether it waits for being tried again or not.
    pub fn read(&self, id: Id) -> Result<DeadLetter, StoreError> {
        match read(&self.inner.kept, id) {
            Err(StoreError::Unknown(_)) => read(&self.inner.asked, id),
            other => other,
        }
    }

    /// Removes a letter, whether it waits for being tried again or not.
    pub fn remove(&self, id: Id) -> Result<(), StoreError> {
        let kept = self.inner.kept.remove(id.file_name())?;
        let asked = self.inner.asked.remove(id.file_name())?;
        self.inner.forget(id);
        if kept || asked { Ok(()) } else { Err(missing(id)) }
    }
}

impl DeadLetters for Letters {
    fn keep(&mut self, letter: &DeadLetter) -> Result<(), Fault> {
        self.inner.store(None, letter).map_err(|error| error.fault())
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        // What is known can be looked up anew, so it is never wrong for long.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a letter under its id, or under a new one.
    pub(crate) fn store(&self, id: Option<Id>, letter: &DeadLetter) -> Result<(), StoreError> {
        let damaged = |reason: String| StoreError::Damaged { path: self.kept.path(""), reason };
        let text = json::write_pretty(letter).map_err(|error| damaged(format!("a letter is no JSON: {error}")))?;
        let bytes = text.len() as u64;
        let most = if self.bounds.letters == 0 { 0 } else { self.bounds.bytes.min(LARGEST) };
        if bytes > most {
            return Err(StoreError::TooLarge { what: format!("a dead letter of lane `{}`", letter.lane), bytes, most });
        }
        let mut known = self.known();
        if let Some(id) = id {
            known.spare(id);
        }
        let next = id.or_else(|| known.next());
        let id = next.ok_or_else(|| damaged("the newest letter has the largest id that there can be: drop it".to_owned()))?;
        let stored = self.make_room(&mut known, id, bytes).and_then(|()| {
            self.kept.write(&id.file_name(), &text, Endures::Program)?;
            known.put(id, bytes);
            Ok(())
        });
        self.publish(&known);
        stored
    }

    fn make_room(&self, known: &mut Known, id: Id, bytes: u64) -> Result<(), StoreError> {
        let LetterBounds { letters: most, bytes: most_bytes } = self.bounds;
        let exceeds = |known: &Known, most: usize, most_bytes: u64| {
            known.sizes.len() >= most || known.bytes.saturating_add(bytes) > most_bytes
        };
        known.take(id);
        if exceeds(known, most, most_bytes) {
            self.recount(known)?;
            known.take(id);
        }
        if !exceeds(known, most, most_bytes) {
            return Ok(());
        }
        let (few, few_bytes) = (most - most / usize::from(PART), most_bytes - most_bytes / u64::from(PART));
        while exceeds(known, few, few_bytes) {
            let Some(oldest) = known.first_to_go() else {
                break;
            };
            if self.kept.remove(oldest.file_name())? {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
            known.take(oldest);
        }
        Ok(())
    }

    /// Looks again when something has come or gone.
    pub(crate) fn recount_if_changed(&self) -> Result<(), StoreError> {
        let mut known = self.known();
        if known.seen.is_none() || known.seen != self.kept.changed() {
            self.recount(&mut known)?;
        }
        Ok(())
    }

    /// Sizes that are known are not asked for again: letters are replaced by ourselves only.
    fn recount(&self, known: &mut Known) -> Result<(), StoreError> {
        let seen = self.kept.changed();
        let mut sizes = BTreeMap::new();
        for id in ids(&self.kept)? {
            if let Some(size) = known.sizes.get(&id).copied().or_else(|| self.kept.size(id.file_name())) {
                sizes.insert(id, size);
            }
        }
        known.bytes = sizes.values().fold(0, |sum, size| sum.saturating_add(*size));
        known.last = known.last.max(sizes.keys().next_back().copied());
        known.sizes = sizes;
        known.seen = seen;
        self.publish(known);
        Ok(())
    }

    pub(crate) fn forget(&self, id: Id) {
        let mut known = self.known();
        known.take(id);
        self.publish(&known);
    }

    fn publish(&self, known: &Known) {
        self.letters.store(known.sizes.len() as u64, Ordering::Relaxed);
        self.bytes.store(known.bytes, Ordering::Relaxed);
    }
}

impl Known {
    /// Later than every other, even when the clock has stepped back: the newest must not be taken for the oldest.
    fn next(&mut self) -> Option<Id> {
        let process = std::process::id().to_be_bytes();
        let [_, _, high, low] = process;
        let now = Id::new(UnixNanos::now().0, u16::from_be_bytes([high, low]));
        let next = match self.last {
            Some(last) if now <= last => last.successor()?,
            _ => now,
        };
        self.last = Some(next);
        Some(next)
    }

    fn spare(&mut self, id: Id) {
        self.spared.retain(|(spared, _)| *spared != id);
        self.spared.push_back((id, Instant::now()));
        if self.spared.len() > MOST_SPARED {
            self.spared.pop_front();
        }
    }

    /// The oldest; one that is spared only when there is no other.
    fn first_to_go(&mut self) -> Option<Id> {
        self.spared.retain(|(_, since)| since.elapsed() < SPARED);
        let is_spared = |id: &Id| self.spared.iter().any(|(spared, _)| spared == id);
        let first = self.sizes.keys().find(|id| !is_spared(id));
        first.or_else(|| self.sizes.keys().next()).copied()
    }

    fn put(&mut self, id: Id, bytes: u64) {
        self.take(id);
        self.sizes.insert(id, bytes);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn take(&mut self, id: Id) {
        if let Some(bytes) = self.sizes.remove(&id) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

/// The ids of the files that have come from us, in no order.
pub(crate) fn ids(directory: &Directory) -> Result<Vec<Id>, StoreError> {
    Ok(directory.names()?.iter().filter_map(|name| Id::of_file(name.to_str()?)).collect())
}

pub(crate) fn read(directory: &Directory, id: Id) -> Result<DeadLetter, StoreError> {
    let name = id.file_name();
    let text = directory.read(&name, LARGEST)?.ok_or_else(|| missing(id))?;
    serde_json::from_slice(&text).map_err(|error| StoreError::Damaged {
        path: directory.path(&name),
        reason: format!("it is no dead letter: {}", in_few_words(error)),
    })
}

pub(crate) fn missing(id: Id) -> StoreError {
    StoreError::Unknown(format!("there is no dead letter {id} (hint: `list` shows those that there are)"))
}

fn listed(directory: &Directory, asked_for: bool) -> Result<Vec<Listed>, StoreError> {
    let mut all = Vec::new();
    for name in directory.names()? {
        let id = name.to_str().and_then(Id::of_file);
        let letter = match id {
            None if !asked_for && name == "replay" => continue,
            None => Err(StoreError::Damaged {
                path: directory.path(&name),
                reason: "it has not come from the collector (hint: take it away)".to_owned(),
            }),
            Some(id) => match read(directory, id) {
                // Gone since it was listed.
                Err(StoreError::Unknown(_)) => continue,
                letter => letter.map(Into::into),
            },
        };
        let bytes = directory.size(&name).unwrap_or(0);
        all.push(Listed { id, file: name.to_string_lossy().into_owned(), bytes, asked_for, letter });
    }
    Ok(all)
}
