//! Copies of modules that were pulled from registries: with them a start goes on while a registry is away. Beside what was pulled last the
//! version is kept that somebody has run: what was pulled may yet be refused.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sluicebox_contract::UnixNanos;
use sluicebox_contract::text::in_few_words;

use crate::directory::{Directory, Endures};
use crate::{StoreError, json};

/// What is known of a copy is never larger than this in bytes: a manifest, escaped, and a reference.
const LARGEST_LABEL: u64 = 2 << 20;
const LABEL: &str = ".json";
/// Of what nobody has run yet.
const NEW_LABEL: &str = ".new.json";
const COMPONENT: &str = ".wasm";

/// A module that was pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Copy {
    /// What it is called in the configuration.
    pub reference: String,
    /// Its manifest, as the registry sent it.
    pub manifest: String,
    /// SHA-256 of its component, 64 hexadecimal digits.
    pub component: String,
    /// When it was pulled.
    #[serde(rename = "pulled-at-unix-nanos")]
    pub pulled_at: UnixNanos,
}

/// The copies in a state directory. Whoever uses them holds each against its digest: [`Copies::component`] does that.
#[derive(Debug)]
pub struct Copies {
    directory: Directory,
    most_bytes: u64,
}

impl Copies {
    /// Opens what is kept in a state directory, or makes the place for it; components take so many bytes at most.
    pub fn open(state_directory: &Path, most_bytes: u64) -> Result<Self, StoreError> {
        let state = Directory::open(state_directory)?;
        let directory = state.below("pulled")?;
        state.sync()?;
        Ok(Self { directory, most_bytes })
    }

    /// What is kept in a state directory, if anything is; nothing is made.
    pub fn existing(state_directory: &Path, most_bytes: u64) -> Option<Self> {
        let there = state_directory.join("pulled").is_dir();
        there.then(|| Self::open(state_directory, most_bytes).ok()).flatten()
    }

    /// What was pulled last under this name; none when nothing was. What is no description of a copy is taken away.
    pub fn find(&self, reference: &str) -> Result<Option<Copy>, StoreError> {
        match self.read(reference, &new_label_name(reference))? {
            Some(copy) => Ok(Some(copy)),
            None => self.accepted(reference),
        }
    }

    /// What was accepted last under this name; none when nothing was.
    pub fn accepted(&self, reference: &str) -> Result<Option<Copy>, StoreError> {
        self.read(reference, &label_name(reference))
    }

    fn read(&self, reference: &str, name: &str) -> Result<Option<Copy>, StoreError> {
        let Some(text) = self.directory.read(name, LARGEST_LABEL)? else {
            return Ok(None);
        };
        match label(&text).filter(|copy| copy.reference == reference) {
            Some(copy) => Ok(Some(copy)),
            None => Err(self.damaged(name, "it is no description of a copy")),
        }
    }

    /// What was pulled last under this name takes the place of what was accepted before, if it is this one: somebody runs it.
    pub fn accept(&self, reference: &str, is_it: impl FnOnce(&Copy) -> bool) -> Result<(), StoreError> {
        let name = new_label_name(reference);
        if self.read(reference, &name)?.as_ref().is_some_and(is_it) {
            self.directory.put_in_place(&name, &label_name(reference))?;
            self.directory.sync()?;
        }
        Ok(())
    }

    /// The component with this digest; none when it is not there. One that does not have it is taken away, and is an error.
    pub fn component(&self, digest: &str, most_bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        if !is_digest(digest) {
            return Err(StoreError::Unknown(format!("`{}` is no digest", in_few_words(digest))));
        }
        let name = format!("{digest}{COMPONENT}");
        let component = self.directory.read(&name, most_bytes)?;
        match component {
            Some(component) if hex(&component) != digest => {
                Err(self.damaged(&name, "its content does not have the digest that it is named by"))
            }
            component => Ok(component),
        }
    }

    /// Keeps a copy beside the one of this name that was accepted, and in place of any other. Survives a power cut from the moment that this
    /// returns. For room whatever is not in use goes: what `used` does not name, the oldest first.
    pub fn keep(&self, copy: &Copy, component: &[u8], used: &BTreeSet<String>) -> Result<(), StoreError> {
        if hex(component) != copy.component {
            let reason = "the component does not have the digest of its copy".to_owned();
            return Err(StoreError::Damaged { path: self.directory.path(label_name(&copy.reference)), reason });
        }
        let new_label = new_label_name(&copy.reference);
        // What was pulled before and not accepted is of no use any more, and makes room.
        self.directory.remove(&new_label)?;
        let name = format!("{}{COMPONENT}", copy.component);
        let there = self.component(&copy.component, component.len() as u64);
        if !matches!(there, Ok(Some(_))) {
            self.make_room(component.len() as u64, &copy.reference, used)?;
            self.directory.write(&name, component, Endures::Power)?;
            // The component lies there for good before anything speaks of it.
            self.directory.sync()?;
        }
        let accepted = self.accepted(&copy.reference).ok().flatten();
        if accepted.is_none_or(|accepted| accepted.manifest != copy.manifest) {
            let text = json::write_pretty(copy).map_err(|error| StoreError::Damaged {
                path: self.directory.path(&new_label),
                reason: format!("it would be no JSON: {error}"),
            })?;
            self.directory.write(&new_label, &text, Endures::Power)?;
        }
        self.directory.sync()
    }

    fn make_room(&self, wanted: u64, reference: &str, used: &BTreeSet<String>) -> Result<(), StoreError> {
        let too_large =
            |bytes| StoreError::TooLarge { what: "the copies of pulled modules".to_owned(), bytes, most: self.most_bytes };
        if wanted > self.most_bytes {
            return Err(too_large(wanted));
        }
        let mut labels = self.labels()?;
        labels.sort_by_key(|(_, copy)| (used.contains(&copy.reference) || copy.reference == reference, copy.pulled_at));
        let (mut kept, mut gone) = (labels.as_slice(), 0);
        loop {
            let named: BTreeSet<&str> = kept.iter().map(|(_, copy)| copy.component.as_str()).collect();
            let taken = self.sweep(&named, gone > 0 || self.taken()? + wanted > self.most_bytes)?;
            if taken + wanted <= self.most_bytes {
                return Ok(());
            }
            // What is in use stays, whatever the bound says: the new one does without a copy.
            let is_free = |copy: &Copy| !used.contains(&copy.reference) && copy.reference != reference;
            let Some(((name, _), rest)) = kept.split_first().filter(|((_, copy), _)| is_free(copy)) else {
                return Err(too_large(taken + wanted));
            };
            self.directory.remove(name)?;
            (kept, gone) = (rest, gone + 1);
        }
    }

    /// Every description with the name of its file.
    fn labels(&self) -> Result<Vec<(String, Copy)>, StoreError> {
        let mut labels = Vec::new();
        for name in self.directory.names()? {
            let Some(name) = name.to_str().filter(|name| name.ends_with(LABEL)) else { continue };
            let text = self.directory.read(name, LARGEST_LABEL).ok().flatten();
            let is_named =
                |copy: &Copy| [label_name(&copy.reference), new_label_name(&copy.reference)].iter().any(|is| is == name);
            match text.as_deref().and_then(label).filter(is_named) {
                Some(copy) => labels.push((name.to_owned(), copy)),
                None => {
                    self.directory.remove(name)?;
                }
            }
        }
        Ok(labels)
    }

    fn taken(&self) -> Result<u64, StoreError> {
        Ok(self.directory.names()?.into_iter().filter_map(|name| self.directory.size(name)).sum())
    }

    /// Removes the components that nobody names, if that is wanted; gives the bytes that are taken then.
    fn sweep(&self, named: &BTreeSet<&str>, wanted: bool) -> Result<u64, StoreError> {
        if wanted {
            for name in self.directory.names()? {
                let digest = name.to_str().and_then(|name| name.strip_suffix(COMPONENT));
                if digest.is_some_and(|digest| !named.contains(digest)) {
                    self.directory.remove(&name)?;
                }
            }
        }
        self.taken()
    }

    fn damaged(&self, name: &str, reason: &str) -> StoreError {
        // When it cannot be removed it is found damaged again.
        let _gone = self.directory.remove(name);
        StoreError::Damaged { path: self.directory.path(name), reason: reason.to_owned() }
    }
}

fn label(text: &[u8]) -> Option<Copy> {
    serde_json::from_slice::<Copy>(text).ok().filter(|copy| is_digest(&copy.component))
}

/// References are longer than file names may be, and have other characters.
fn label_name(reference: &str) -> String {
    format!("{}{LABEL}", hex(reference.as_bytes()))
}

fn new_label_name(reference: &str) -> String {
    format!("{}{NEW_LABEL}", hex(reference.as_bytes()))
}

/// A digest is part of a file name.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
