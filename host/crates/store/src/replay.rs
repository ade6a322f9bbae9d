//! Letters that somebody wants to be tried again: a person moves them into a directory of their own, the collector takes them from there.

use sluicebox_contract::DeadLetter;

use crate::dead_letters::{LARGEST, ids, missing, read};
use crate::{Id, Letters, StoreError};

/// So many letters are read at once.
const AT_ONCE: usize = 64;
/// And no further one when they have so many bytes.
const BYTES_AT_ONCE: u64 = 16 << 20;

/// A letter that is to be tried again.
#[derive(Debug)]
pub struct Asked {
    /// Its name.
    pub id: Id,
    /// The letter, or why it cannot be read.
    pub letter: Result<DeadLetter, StoreError>,
}

/// What a person does.
impl Letters {
    /// Has the collector try a letter again, as soon as one works with this state directory.
    pub fn ask_for_replay(&self, id: Id) -> Result<(), StoreError> {
        let moved = self.inner.kept.hand_over(&id.file_name(), &self.inner.asked)?;
        self.inner.forget(id);
        if moved || self.is_asked_for(id) { Ok(()) } else { Err(missing(id)) }
    }

    /// Whether a letter waits for being tried again.
    pub fn is_asked_for(&self, id: Id) -> bool {
        self.inner.asked.size(id.file_name()).is_some()
    }

    /// Takes back what was asked for; also what the collector does with letters that it cannot read.
    pub fn withdraw(&self, id: Id) -> Result<(), StoreError> {
        let moved = self.inner.asked.hand_over(&id.file_name(), &self.inner.kept)?;
        self.inner.recount_if_changed()?;
        if moved { Ok(()) } else { Err(missing(id)) }
    }
}

/// What the collector does.
impl Letters {
    /// The letters that are to be tried again, the oldest first, at most 64 and about 16 MiB at once. Then each of them must be given to
    /// [`Letters::replayed`], [`Letters::returned`] or, when it could not be read, [`Letters::withdraw`]; else it comes again.
    /// Costs hardly anything when there is none, so it can be called each second; it keeps the figures right on the way.
    pub fn asked(&self) -> Result<Vec<Asked>, StoreError> {
        self.inner.recount_if_changed()?;
        let mut waiting = ids(&self.inner.asked)?;
        waiting.sort_unstable();
        let (mut letters, mut bytes) = (Vec::new(), 0_u64);
        for id in waiting.into_iter().take(AT_ONCE) {
            let size = self.inner.asked.size(id.file_name()).unwrap_or(0).min(LARGEST);
            bytes = bytes.saturating_add(size);
            if bytes > BYTES_AT_ONCE && !letters.is_empty() {
                break;
            }
            match read(&self.inner.asked, id) {
                // Withdrawn or dropped in the meantime.
                Err(StoreError::Unknown(_)) => {}
                letter => letters.push(Asked { id, letter }),
            }
        }
        Ok(letters)
    }

    /// A letter went well: it is removed.
    pub fn replayed(&self, id: Id) -> Result<(), StoreError> {
        self.inner.asked.remove(id.file_name()).map(|_| ())
    }

    /// A letter went badly again: it is kept under its old id, with what is to be known now. It is there twice for a moment, never lost.
    /// On an error it is kept as it was, and not asked for any longer: nothing is tried again and again because the disk is full.
    pub fn returned(&self, id: Id, letter: &DeadLetter) -> Result<(), StoreError> {
        match self.inner.store(Some(id), letter) {
            Ok(()) => self.replayed(id),
            Err(error) => {
                // Renaming needs no room. Should that fail, too, then the first error says more.
                let _unmoved = self.withdraw(id);
                Err(error)
            }
        }
    }
}
