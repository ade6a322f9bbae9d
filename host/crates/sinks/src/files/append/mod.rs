//! Appending: messages are lines of files, which are rotated when they are large or old.

mod ahead;
mod config;
mod file;
#[cfg(test)]
mod fuzz;
mod known;
mod line;
mod names;
mod rotate;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustix::io::Errno;
use sluicebox_contract::{Message, Refusal};

pub use config::{Append, Durability};

use super::directory::{Directory, Manner};
use super::name::Place;
use super::state::Moment;
use known::Known;
use line::Line;
use target::{Site, Target};

/// The files that are appended to.
#[derive(Debug)]
pub(super) struct Appender {
    /// Of the sink, for the log.
    sink: Arc<str>,
    config: Option<Append>,
    known: Known,
    targets: BTreeMap<String, Target>,
    refused: Vec<Refusal>,
    /// The batch at hand or, between batches, the one before; and up to where its entries need not come again.
    call: u64,
    stopped: usize,
}

/// Which batch this is, and up to which one somebody has learnt the outcome. A caller that gives up waiting sends a batch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) heard: u64,
}

impl Appender {
    pub(super) fn new(sink: Arc<str>, config: Option<Append>) -> Self {
        let mut known = Known::default();
        if let Some(config) = &config {
            known.reserve(&config.file);
        }
        Self { sink, config, known, targets: BTreeMap::new(), refused: Vec::new(), call: 0, stopped: usize::MAX }
    }

    /// Takes up what an earlier run has left.
    pub(super) fn recall(&mut self, directory: &Directory) -> Result<(), String> {
        self.known.recall(directory)
    }

    /// A batch begins.
    pub(super) fn begin(&mut self, call: Call) {
        let known = if self.call == call.heard { self.stopped } else { 0 };
        for target in self.targets.values_mut() {
            target.ahead.begin(known);
            target.pending.clear();
        }
        self.refused.clear();
        (self.call, self.stopped) = (call.number, 0);
    }

    /// Takes up a message of the batch. `is_leaving`: whether a document of some name is there and waits to be forgotten.
    pub(super) fn take(&mut self, index: usize, message: Message, is_leaving: impl Fn(&Place) -> bool) -> Result<(), String> {
        let Some(config) = &self.config else {
            return Err("files keeps documents; a message has no name to be kept under: \
                        set `append` to have messages appended to files"
                .to_owned());
        };
        let name = message.channel.clone().unwrap_or_else(|| config.file.clone());
        let Some(line) = Line::new(index, message)? else {
            return Ok(());
        };
        if !self.targets.contains_key(&name) {
            names::check(&name)?;
            let place = Place { collection: None, name: name.clone() };
            if is_leaving(&place) {
                return Err("a document of this name waits to be forgotten".to_owned());
            }
            if let Some(reason) = self.known.refusal(&name) {
                return Err(reason);
            }
            if self.targets.len() >= config.max_files as usize {
                return Err(format!("`max-files` is {}, and so many others are appended to", config.max_files));
            }
        }
        self.known.reserve(&name);
        let target = self.targets.entry(name).or_default();
        if !target.ahead.has(index, line.print) {
            target.pending.push_back(line);
        }
        Ok(())
    }

    /// Whether this is the file of the settings, which messages need not name.
    pub(super) fn is_default(&self, name: &str) -> bool {
        self.config.as_ref().is_some_and(|config| config.file == name)
    }

    /// The file whose lines come first of those that are not written.
    pub(super) fn next(&self) -> Option<&str> {
        let first = |target: &Target| target.pending.front().map(|line| line.index);
        let firsts = self.targets.iter().filter_map(|(name, target)| Some((first(target)?, name.as_str())));
        firsts.min().map(|(_, name)| name)
    }

    /// The first entry of the batch that is not written.
    pub(super) fn first_pending(&self) -> Option<usize> {
        self.targets.values().filter_map(|target| target.pending.front()).map(|line| line.index).min()
    }

    /// Writes the lines of a file.
    pub(super) fn write(&mut self, name: &str, directory: &Directory, manner: Manner, now: Moment) -> Result<(), Errno> {
        let (Some(config), Some(target)) = (&self.config, self.targets.get_mut(name)) else {
            return Ok(());
        };
        target.write(Site { sink: &self.sink, directory, name, config, manner, now }, &mut self.known, &mut self.refused)
    }

    /// The lines of a file cannot be written, ever.
    pub(super) fn refuse(&mut self, name: &str, reason: &str) {
        if let Some(target) = self.targets.get_mut(name) {
            while target.refuse_first(reason, &mut self.refused) {}
        }
    }

    /// The batch ends, before this entry where it was stopped; gives the messages that were refused after they had been taken.
    pub(super) fn end(&mut self, stopped: Option<usize>) -> Vec<Refusal> {
        self.stopped = stopped.unwrap_or(usize::MAX);
        // A name whose file cannot be opened takes the place of no other.
        let (known, file) = (&mut self.known, self.config.as_ref().map(|config| &config.file));
        self.targets.retain(|name, target| {
            if !target.is_ours && file != Some(name) && known.began(name).is_none() {
                known.release(name);
            }
            target.is_ours
        });
        std::mem::take(&mut self.refused)
    }

    /// Why no document may be at this place, if so.
    pub(super) fn refusal(&self, place: &Place) -> Option<String> {
        let owner = self.known.owner(component(place)).filter(|_| self.config.is_some())?;
        Some(format!("messages are appended to `{}`, which no document can be", crate::shown::shown(owner, crate::shown::NAME)))
    }

    /// Whether a file of the directory is one that messages are or were appended to.
    pub(super) fn owns(&self, name: &str) -> bool {
        self.known.owner(name).is_some()
    }

    /// A document has been put.
    pub(super) fn document_put(&mut self, place: &Place) {
        // Without appending nobody asks; but what was appended to before is a document now.
        self.known.release(component(place));
        if self.config.is_some() && place.collection.is_none() {
            self.known.put_document(&place.name);
        }
    }

    /// A document has been removed.
    pub(super) fn document_removed(&mut self, place: &Place) {
        if place.collection.is_none() {
            self.known.remove_document(&place.name);
        }
    }

    /// The directory has been removed, and what was kept there with it.
    pub(super) fn directory_lost(&mut self) {
        self.known.unsaved = true;
    }

    /// Lets all files go, so that what they lie on can be taken away and mended.
    pub(super) fn close(&mut self) {
        self.targets.values_mut().for_each(Target::close);
    }

    /// Keeps in the directory what the next run must know.
    pub(super) fn save(&mut self, directory: &Directory, manner: Manner) -> Result<(), Errno> {
        self.known.save(directory, manner)
    }

    pub(super) fn is_unsaved(&self) -> bool {
        self.known.unsaved
    }
}

/// What stands in the directory itself.
fn component(place: &Place) -> &String {
    place.collection.as_ref().unwrap_or(&place.name)
}
