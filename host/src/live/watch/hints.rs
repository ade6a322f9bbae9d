//! The kernel's word that something may have changed: only a hint, which makes the next look come sooner.
//!
//! The looks say which directories matter ([`Hints::keep`]); what is missing is asked of the kernel beside them ([`kernel`]), so that
//! no look ever waits for that; and of what the kernel tells, most is nothing ([`listener`]).

pub(super) mod kernel;
pub(super) mod listener;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::look::{Identity, Place};
use kernel::{Arranged, Arranger, Open};
use listener::{Directories, Listener};

/// Time between two times that we are woken: a file that is written all the time wakes us this seldom.
const PACE: Duration = Duration::from_millis(50);

/// The directories that the kernel watches for us.
#[derive(Debug)]
pub(super) struct Hints {
    pub(super) listener: Arc<Listener>,
    /// `None` while it is at work, and for good once there are no more hints.
    arranger: Option<Arranger>,
    /// One at most.
    arranging: JoinSet<Arranged>,
    wanted: Directories,
    /// Not before then are we woken again.
    earliest: Instant,
    pub(super) has_complained: bool,
}

impl Hints {
    /// Hints as far as the kernel gives them.
    pub(super) fn new() -> Self {
        Self::with(Arc::new(kernel::inotify))
    }

    pub(super) fn with(open: Open) -> Self {
        let mut hints = Self::none();
        hints.arranger = Some(Arranger::new(open, Arc::clone(&hints.listener)));
        hints
    }

    /// No hints, ever.
    pub(super) fn none() -> Self {
        Self {
            listener: Arc::default(),
            arranger: None,
            arranging: JoinSet::new(),
            wanted: Directories::new(),
            earliest: Instant::now(),
            has_complained: false,
        }
    }

    /// Ready when something has happened to a name that matters, or when names are listened for that were not before, so that a look
    /// is needed. Dropping the future loses nothing.
    pub(super) async fn heard(&mut self) {
        loop {
            if self.has_ended() {
                return pending().await;
            }
            sleep_until(self.earliest).await;
            if self.listener.is_told() {
                self.earliest = Instant::now() + PACE;
                self.listener.take();
                return;
            }
            tokio::select! {
                () = self.listener.told.notified() => {}
                Some(arranged) = self.arranging.join_next() => self.collect(arranged),
            }
        }
    }

    /// Whether something has happened to a name that matters since it was asked last. To be followed by looks.
    pub(super) fn drain(&mut self) -> bool {
        self.listener.take()
    }

    /// The names under which something was written or put since it was asked last, so that the content may be another one whatever a
    /// look says. To be followed by looks.
    pub(super) fn drain_touched(&mut self) -> BTreeSet<(Identity, OsString)> {
        let identified = |(directory, name): (PathBuf, OsString)| Some((self.wanted.get(&directory)?.0, name));
        self.listener.take_touched().into_iter().filter_map(identified).collect()
    }

    /// From now on `places` and no others are listened for, as soon as the kernel gives it. Never waits.
    pub(super) fn keep<'a>(&mut self, places: impl Iterator<Item = &'a Place>) {
        while let Some(arranged) = self.arranging.try_join_next() {
            self.collect(arranged);
        }
        if self.has_ended() {
            return;
        }
        self.wanted = directories(places);
        self.listener.listen(&self.wanted);
        self.arrange();
    }

    /// Has the kernel asked, unless it is being asked: then what is wanted now is asked when that is over.
    fn arrange(&mut self) {
        let Some(arranger) = self.arranger.take() else {
            return;
        };
        if arranger.is_gone() {
            self.complain("the thread that reads from inotify has ended");
        } else if self.listener.is_arranged(&self.wanted) {
            self.arranger = Some(arranger);
        } else {
            let wanted = self.wanted.clone();
            self.arranging.spawn_blocking(move || arranger.arrange(wanted));
        }
    }

    fn collect(&mut self, arranged: Result<Arranged, JoinError>) {
        let Arranged { arranger, wanted, trouble } = match arranged {
            Ok(arranged) => arranged,
            Err(error) => return self.complain(&error.to_string()),
        };
        self.arranger = Some(arranger);
        if let Some(trouble) = trouble {
            self.complain(&trouble);
        }
        // What has failed is asked again after the next looks, not at once.
        if wanted != self.wanted {
            self.arrange();
        }
    }

    fn has_ended(&self) -> bool {
        self.arranger.is_none() && self.arranging.is_empty()
    }

    /// Says once that not everything is hinted at.
    fn complain(&mut self, cause: &str) {
        if !std::mem::replace(&mut self.has_complained, true) {
            warn!(
                cause,
                "the kernel does not tell of every change of a file: some are noticed a little later, when it is looked at"
            );
        }
    }

    /// Whether nothing is under way that would lead to a look.
    #[cfg(test)]
    pub(super) fn is_settled(&self) -> bool {
        self.arranging.is_empty() && !self.listener.is_told()
    }

    /// Goes on without hints.
    #[cfg(test)]
    pub(super) fn give_up(&mut self) {
        *self = Self::none();
    }
}

/// Each directory once, under one path: the kernel knows a directory that is mounted in two places as one, and notify as the path that
/// came last.
fn directories<'a>(places: impl Iterator<Item = &'a Place>) -> Directories {
    let mut paths: BTreeMap<Identity, &PathBuf> = BTreeMap::new();
    let mut directories = Directories::new();
    for place in places {
        let path = *paths.entry(place.identity).or_insert(&place.directory);
        let (_, names) = directories.entry(path.clone()).or_insert_with(|| (place.identity, Vec::new()));
        if !names.contains(&place.name) {
            names.push(place.name.clone());
        }
    }
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_two_paths_is_asked_for_once() {
        let place = |directory: &str, inode, name: &str| Place {
            directory: directory.into(),
            identity: Identity { device: 1, inode },
            name: name.into(),
        };
        let places = [place("/a", 1, "x"), place("/b", 1, "y"), place("/b", 1, "y"), place("/c", 2, "z")];
        let asked: Vec<_> = directories(places.iter()).into_iter().map(|(path, (_, names))| (path, names)).collect();
        assert_eq!(asked, [("/a".into(), vec!["x".into(), "y".into()]), ("/c".into(), vec!["z".into()])]);
    }
}
