//! Which names of the directory are appended to, in this run or an earlier one, and which are documents: no name is both.

use sluicebox_contract::text::in_few_words;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::names;
use crate::files::directory::{Directory, Manner};
use crate::files::name::APPENDED;

/// More than this is not read: it cannot be ours.
const LARGEST: u64 = 16 << 20;

/// More names than this are not kept: those that were begun first are no longer known to be ours.
const MOST: usize = 10_000;

const VERSION: u32 = 1;

/// The names.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// When the file was begun; none of one that is still to be.
    began: BTreeMap<String, Option<SystemTime>>,
    documents: HashSet<String>,
    pub(super) unsaved: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct State {
    version: u32,
    appended: Vec<Named>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Named {
    name: String,
    began_unix_milliseconds: u64,
}

impl Known {
    /// This name will be appended to.
    pub(super) fn reserve(&mut self, name: &str) {
        self.began.entry(name.to_owned()).or_default();
    }

    /// This file has been begun.
    pub(super) fn begin(&mut self, name: &str, at: SystemTime) {
        self.unsaved |= self.began.insert(name.to_owned(), Some(at)) != Some(Some(at));
    }

    pub(super) fn began(&self, name: &str) -> Option<SystemTime> {
        self.began.get(name).copied().flatten()
    }

    /// The file that this is, or was rotated from.
    pub(super) fn owner<'a>(&self, name: &'a str) -> Option<&'a str> {
        [Some(name), names::base(name)].into_iter().flatten().find(|name| self.began.contains_key(*name))
    }

    /// Why no new file of this name can be appended to, if so.
    pub(super) fn refusal(&self, name: &str) -> Option<String> {
        if self.documents.contains(name) {
            return Some("a document has this name".to_owned());
        }
        if names::base(name).is_some_and(|base| self.began.contains_key(base)) {
            return Some("files that another one is rotated to have this name".to_owned());
        }
        let in_the_way = self.began.keys().any(|other| names::base(other) == Some(name));
        in_the_way.then(|| "another file has the name that this one would be rotated to".to_owned())
    }

    pub(super) fn put_document(&mut self, name: &str) {
        self.documents.insert(name.to_owned());
    }

    pub(super) fn remove_document(&mut self, name: &str) {
        self.documents.remove(name);
    }

    /// This name is appended to no longer.
    pub(super) fn release(&mut self, name: &str) {
        self.unsaved |= self.began.remove(name).flatten().is_some();
    }

    /// Takes up what an earlier run has kept in the directory; files that are gone are forgotten.
    pub(super) fn recall(&mut self, directory: &Directory) -> Result<(), String> {
        let Some(bytes) = directory.read(APPENDED, LARGEST).map_err(|errno| errno.to_string())? else {
            return Ok(());
        };
        for (name, at) in parse(&bytes)? {
            let is_gone = || statat(directory.root(), &name, AtFlags::SYMLINK_NOFOLLOW).is_err_and(|errno| errno == Errno::NOENT);
            if names::check(&name).is_ok() && !is_gone() {
                self.began.insert(name, Some(at));
            }
        }
        Ok(())
    }

    /// Keeps the names in the directory, if they have changed.
    pub(super) fn save(&mut self, directory: &Directory, manner: Manner) -> Result<(), Errno> {
        if self.unsaved {
            let text = self.render();
            match text {
                Some(text) => directory.put_own(APPENDED, &text, manner)?,
                None => directory.remove_own(APPENDED)?,
            }
            self.unsaved = false;
        }
        Ok(())
    }

    fn render(&self) -> Option<Vec<u8>> {
        let mut begun: Vec<_> = self.began.iter().filter_map(|(name, at)| Some((name, (*at)?))).collect();
        if begun.is_empty() {
            return None;
        }
        begun.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        let appended = begun.into_iter().take(MOST).map(|(name, at)| {
            let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            Named { name: name.clone(), began_unix_milliseconds: u64::try_from(at).unwrap_or(u64::MAX) }
        });
        // Strings and numbers always have a JSON form.
        Some(serde_json::to_vec(&State { version: VERSION, appended: appended.collect() }).unwrap_or_default())
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Vec<(String, SystemTime)>, String> {
    let state: State = serde_json::from_slice(bytes).map_err(in_few_words)?;
    if state.version != VERSION {
        return Err(format!("version {} is not known", state.version));
    }
    let named = state.appended.into_iter().take(MOST);
    let time = |milliseconds| UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds));
    Ok(named.filter_map(|named| Some((named.name, time(named.began_unix_milliseconds)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_two_things() {
        let mut known = Known::default();
        known.reserve("a.csv");
        known.put_document("b");
        assert_eq!(known.refusal("c"), None);
        assert_eq!(known.refusal("a.csv"), None);
        assert!(known.refusal("b").is_some() && known.refusal("a.csv.1").is_some());
        known.reserve("d.2");
        assert!(known.refusal("d").is_some());
        for (name, owner) in [("a.csv", Some("a.csv")), ("a.csv.7", Some("a.csv")), ("a", None), ("b", None), ("a.csv.x", None)] {
            assert_eq!(known.owner(name), owner);
        }
        known.remove_document("b");
        assert_eq!(known.refusal("b"), None);
    }

    #[test]
    fn what_was_kept_is_read_again_and_what_is_still_to_be_is_not_kept() {
        let mut known = Known::default();
        known.reserve("later");
        assert_eq!(known.render(), None);
        let at = UNIX_EPOCH + Duration::from_secs(7);
        known.begin("a", at);
        assert!(known.unsaved);
        assert_eq!(parse(&known.render().expect("a name")), Ok(vec![("a".to_owned(), at)]));
        known.unsaved = false;
        known.begin("a", at);
        assert!(!known.unsaved, "nothing has changed");
    }

    #[test]
    fn garbage_is_an_error() {
        for garbage in ["", "{", "[]", r#"{"version":2,"appended":[]}"#, r#"{"version":1,"appended":[{}]}"#, "\0\u{fffd}"] {
            assert!(parse(garbage.as_bytes()).is_err(), "{garbage:?}");
        }
    }
}
