//! What the files sink does with entries. Blocks: runs beside the executor.

mod reach;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use sluicebox_contract::{Document, Entry, Fault, Forget, Outcome, Refusal};
use tokio::time::Instant;
use tracing::warn;

use super::append::{Appender, Call};
use super::config::Config;
use super::directory::{Directory, Manner};
use super::name::{APPENDED, Place, STATE};
use super::state::{self, Moment};
use crate::obstacle::Obstacle;
use crate::retention::Retention;
use crate::shown::{NAME, shown};

/// A name that could not be forgotten is tried again after this time.
const FORGET_AGAIN: Duration = Duration::from_secs(5);

/// What has been forgotten is written down after this time, together with all that is forgotten meanwhile.
const WRITTEN_DOWN: Duration = Duration::from_secs(1);

/// The sink's state. All of it can be found again after a crash, except what the run has claimed.
#[derive(Debug)]
pub(super) struct Writer {
    sink: Arc<str>,
    config: Config,
    directory: Option<Directory>,
    retention: Retention<Place>,
    /// The directory must be told of the retention before anything else counts as written.
    unsaved: bool,
    /// What has been forgotten and is kept in the directory nevertheless, and since when. Nothing is lost if that stays: forgetting
    /// what is gone does no harm.
    forgotten: HashSet<Place>,
    forgotten_since: Option<Instant>,
    /// The state of an earlier run has been read.
    recalled: bool,
    /// That something cannot be forgotten has been said, and nothing has been forgotten since.
    has_complained: bool,
    /// What this run has written; none when nobody will ask.
    claimed: Option<HashSet<String>>,
    appender: Appender,
    /// Why the file system has refused something, while it has taken nothing since.
    ailment: Option<Errno>,
}

impl Writer {
    pub(super) fn new(sink: Arc<str>, config: Config) -> Self {
        Self {
            claimed: config.remove_unclaimed.as_ref().map(|_| HashSet::new()),
            appender: Appender::new(Arc::clone(&sink), config.append.clone()),
            config,
            sink,
            directory: None,
            retention: Retention::new(Place::weight),
            unsaved: false,
            forgotten: HashSet::new(),
            forgotten_since: None,
            recalled: false,
            has_complained: false,
            ailment: None,
        }
    }

    /// Whether it is known what an earlier run has left. The directory may have been let go since: it is not opened but for work.
    pub(super) fn has_recalled(&self) -> bool {
        self.recalled
    }

    /// When there is something to do between writes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let written_down = self.forgotten_since.map(|since| since + WRITTEN_DOWN);
        [self.retention.next(Instant::now()), written_down].into_iter().flatten().min()
    }

    /// See [`sluicebox_contract::Sink::write`].
    pub(super) fn write(&mut self, batch: Vec<Entry>, call: Call, now: Moment) -> Outcome {
        let mut outcome = Outcome::default();
        self.appender.begin(call);
        let mut first_unsaved = None;
        for (index, entry) in batch.into_iter().enumerate() {
            match self.apply(index, entry, now) {
                Ok(()) => {}
                Err(Obstacle::Refused(reason)) => outcome.refused.push(Refusal { index, reason }),
                Err(Obstacle::Stopped(fault)) => {
                    outcome.stopped = Some((index, fault));
                    break;
                }
            }
            if self.unsaved {
                first_unsaved.get_or_insert(index);
            }
        }
        self.append(&mut outcome, now);
        // Last, so that a name put again in this batch never goes; and after a failure, too: it may make the room that lacked.
        if let Err(fault) = self.forget_due(now)
            && !std::mem::replace(&mut self.has_complained, true)
        {
            warn!(sink = %self.sink, %fault, "a file could not be forgotten; it is tried again");
        }
        if let Err(fault) = self.save(now) {
            // What waits only in memory does not count as written.
            if let Some(index) = first_unsaved {
                stop(&mut outcome, index, fault);
            }
        }
        let stopped = outcome.stopped.as_ref().map(|(index, _)| *index);
        outcome.refused.extend(self.appender.end(stopped));
        outcome.refused.retain(|refusal| stopped.is_none_or(|index| refusal.index < index));
        outcome.refused.sort_by_key(|refusal| refusal.index);
        outcome
    }

    /// See [`sluicebox_contract::Sink::begins`].
    pub(super) fn begins(&mut self) {
        if let Some(claimed) = &mut self.claimed {
            claimed.clear();
        }
    }

    /// See [`sluicebox_contract::Sink::settled`].
    pub(super) fn settled(&mut self, now: Moment) -> Result<(), Fault> {
        let (Some(unclaimed), Some(claimed)) = (self.config.remove_unclaimed.clone(), &self.claimed) else {
            return Ok(());
        };
        let claimed = claimed.clone();
        let tried = format!("cannot list `{}`", self.config.directory.display());
        let names = self.open(now)?.names(&unclaimed.suffix);
        let names = names.map_err(|errno| self.judge_directory(errno, tried))?;
        let at = now.instant + unclaimed.after.0;
        for name in names {
            let claimed = claimed.contains(&name);
            // A name that is not ours to give is not ours to remove.
            let Ok(place) = Place::new(None, name) else {
                continue;
            };
            if !claimed && !self.retention.contains(&place) && !self.appender.owns(&place.name) {
                self.retention.forget_at(place, at);
                self.unsaved = true;
            }
        }
        self.forget_due(now)?;
        self.save(now)?;
        self.claimed = None;
        Ok(())
    }

    /// Forgets what is due. One that cannot be forgotten for now does not hold up the others.
    pub(super) fn forget_due(&mut self, now: Moment) -> Result<(), Fault> {
        let mut first = Ok(());
        let due: Vec<_> = self.retention.due(now.instant).cloned().collect();
        for place in due {
            match self.remove(&place, now) {
                Ok(()) => {
                    self.has_complained = false;
                    self.forgotten(place, now);
                }
                Err(Obstacle::Refused(reason)) => {
                    warn!(sink = %self.sink, name = %place, reason, "a file cannot be forgotten");
                    self.forgotten(place, now);
                }
                Err(Obstacle::Stopped(fault)) => {
                    self.retention.forget_at(place, now.instant + FORGET_AGAIN);
                    first = first.and(Err(fault));
                }
            }
        }
        first
    }

    fn forgotten(&mut self, place: Place, now: Moment) {
        self.retention.keep(&place);
        self.forgotten.insert(place);
        self.forgotten_since.get_or_insert(now.instant);
    }

    /// [`Self::forget_due`] as the work between writes.
    pub(super) fn upkeep(&mut self, now: Moment) -> Result<(), Fault> {
        if !self.recalled {
            self.open(now)?;
        }
        let forgotten = self.forget_due(now);
        let saved = self.save(now);
        forgotten.and(saved)
    }

    fn apply(&mut self, index: usize, entry: Entry, now: Moment) -> Result<(), Obstacle> {
        match entry {
            Entry::Document(document) => self.put(document, now),
            Entry::Forget(forget) => self.forget(forget, now),
            Entry::Message(message) => {
                // What an earlier run has left must be known first.
                self.open(now).map_err(Obstacle::Stopped)?;
                let taken = self.appender.take(index, message, |place| self.retention.contains(place));
                taken.map_err(Obstacle::Refused)
            }
        }
    }

    /// Writes the messages of the batch, all of one file at once. A file that fails stops it before the first message that is not
    /// written; what is written of those behind, the appender remembers.
    fn append(&mut self, outcome: &mut Outcome, now: Moment) {
        let manner = self.manner();
        while let Some(name) = self.appender.next().map(ToOwned::to_owned) {
            let path = self.config.directory.join(&name);
            let tried = format!("cannot append to `{}/{}`", self.config.directory.display(), shown(&name, NAME));
            let done = self.with_directory(now, |directory, appender| appender.write(&name, directory, manner, now));
            let fault = match done {
                Ok(Ok(())) => {
                    self.ailment = None;
                    continue;
                }
                Ok(Err(errno)) if self.appender.is_default(&name) => self.judge_default(errno, tried, &path),
                Ok(Err(errno)) => match self.judge(errno, tried) {
                    Obstacle::Refused(reason) => {
                        self.appender.refuse(&name, &reason);
                        continue;
                    }
                    Obstacle::Stopped(fault) => fault,
                },
                Err(fault) => fault,
            };
            stop(outcome, self.appender.first_pending().unwrap_or_default(), fault);
            return;
        }
    }

    fn put(&mut self, document: Document, now: Moment) -> Result<(), Obstacle> {
        let place = Place::new(document.collection, document.name).map_err(Obstacle::Refused)?;
        let largest = self.config.max_bytes_per_file;
        if document.body.len() as u64 > largest.0 {
            let reason = format!("it has {} bytes, `max-bytes-per-file` is {largest}", document.body.len());
            return Err(Obstacle::Refused(reason));
        }
        self.check_document(&place, now)?;
        let manner = self.manner();
        let tried = format!("cannot write `{}/{place}`", self.config.directory.display());
        let done = self.with_directory(now, |directory, _| directory.put(&place, &document.body, manner));
        done.map_err(Obstacle::Stopped)?.map_err(|errno| self.judge(errno, tried))?;
        self.ailment = None;
        self.appender.document_put(&place);
        self.unsaved |= self.retention.keep(&place) || self.forgotten.contains(&place);
        if place.collection.is_none()
            && let Some(claimed) = &mut self.claimed
        {
            claimed.insert(place.name);
        }
        Ok(())
    }

    fn forget(&mut self, forget: Forget, now: Moment) -> Result<(), Obstacle> {
        let place = Place::new(forget.collection, forget.name).map_err(Obstacle::Refused)?;
        self.check_document(&place, now)?;
        if forget.after.is_zero() {
            self.remove(&place, now)?;
            self.unsaved |= self.retention.keep(&place);
            return Ok(());
        }
        // Longer than the clock can count is for ever.
        if let Some(at) = now.instant.checked_add(forget.after) {
            self.retention.forget_at(place, at);
            self.unsaved = true;
        }
        Ok(())
    }

    /// No document is what messages are appended to.
    fn check_document(&mut self, place: &Place, now: Moment) -> Result<(), Obstacle> {
        self.open(now).map_err(Obstacle::Stopped)?;
        self.appender.refusal(place).map_or(Ok(()), |reason| Err(Obstacle::Refused(reason)))
    }

    fn remove(&mut self, place: &Place, now: Moment) -> Result<(), Obstacle> {
        self.check_document(place, now)?;
        let tried = format!("cannot remove `{}/{place}`", self.config.directory.display());
        let done = self.with_directory(now, |directory, _| directory.remove(place));
        done.map_err(Obstacle::Stopped)?.map_err(|errno| self.judge(errno, tried))?;
        self.appender.document_removed(place);
        Ok(())
    }

    /// Takes up what an earlier run has left to be forgotten. Garbage costs the retention, never the service.
    fn recall(&mut self, directory: &Directory, now: Moment) {
        if let Err(cause) = self.appender.recall(directory) {
            warn!(sink = %self.sink, file = APPENDED, cause, "the list of files that were appended to is not readable; a new one is begun");
        }
        let read = directory.read(STATE, state::LARGEST).map_err(|errno| errno.to_string());
        match read.and_then(|bytes| bytes.map(|bytes| state::parse(&bytes, now)).transpose()) {
            Ok(None) => {}
            Ok(Some((forget, left_out))) => {
                for (place, at) in forget {
                    self.retention.forget_at(place, at);
                }
                if left_out > 0 {
                    warn!(sink = %self.sink, file = STATE, left_out, "names that no file can have stand in the retention file; left out");
                }
            }
            Err(cause) => {
                let sink = &self.sink;
                warn!(%sink, file = STATE, cause, "the retention file is not readable; what was to be forgotten is not known");
            }
        }
    }

    fn save(&mut self, now: Moment) -> Result<(), Fault> {
        self.save_retention(now)?;
        if !self.appender.is_unsaved() {
            return Ok(());
        }
        let manner = self.manner();
        let tried = format!("cannot write `{}`", self.config.directory.join(APPENDED).display());
        let done = self.work(now, |directory, appender| appender.save(directory, manner))?;
        done.map_err(|errno| self.judge_directory(errno, tried))
    }

    fn save_retention(&mut self, now: Moment) -> Result<(), Fault> {
        let is_time = self.forgotten_since.is_some_and(|since| since + WRITTEN_DOWN <= now.instant);
        if !self.unsaved && !is_time {
            return Ok(());
        }
        let manner = self.manner();
        let text = state::render(self.retention.iter(), now);
        let is_empty = self.retention.is_empty();
        let tried = format!("cannot write `{}`", self.config.directory.join(STATE).display());
        let directory = self.open(now)?;
        let done = if is_empty { directory.remove_own(STATE) } else { directory.put_own(STATE, &text, manner) };
        done.map_err(|errno| self.judge_directory(errno, tried))?;
        self.unsaved = false;
        self.forgotten.clear();
        self.forgotten_since = None;
        Ok(())
    }

    fn manner(&self) -> Manner {
        Manner { mode: self.config.mode, sync: self.config.sync }
    }
}

/// Stops the batch before this entry, unless it is stopped before an earlier one.
fn stop(outcome: &mut Outcome, index: usize, fault: Fault) {
    if outcome.stopped.as_ref().is_none_or(|(stopped, _)| index < *stopped) {
        outcome.stopped = Some((index, fault));
    }
}
