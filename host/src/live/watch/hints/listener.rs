//! What is made of the kernel's events, on notify's thread: most are nothing, the others set a flag and wake the executor.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind};
use tokio::sync::Notify;

use super::super::look::Identity;
use crate::folder;

/// Directories, each as it was when it was looked at, with the names in it that matter: an empty one stands for all that a component may have.
pub(in super::super) type Directories = BTreeMap<PathBuf, (Identity, Vec<OsString>)>;

/// What is known on both sides: on notify's thread, and where the looks are.
#[derive(Debug, Default)]
pub(in super::super) struct Listener {
    state: Mutex<State>,
    /// Rung when there is something new to be taken.
    pub(super) told: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The names that matter, by directory.
    names: BTreeMap<PathBuf, Vec<OsString>>,
    /// What notify was asked to watch, as it was before it was asked; `None` when it may no longer be watched.
    watched: BTreeMap<PathBuf, Option<Identity>>,
    /// Something has happened to a name that matters.
    has_changed: bool,
    /// The names that matter that may lead to another content since they were taken, with their directories.
    touched: BTreeSet<(PathBuf, OsString)>,
    /// What happened before names were listened for was told by nobody: they must be looked at.
    is_unseen: bool,
}

impl Listener {
    /// Listens for these names and no others.
    pub(super) fn listen(&self, wanted: &Directories) {
        let mut state = self.state();
        let is_known = |(directory, (_, names)): (&PathBuf, &(Identity, Vec<OsString>))| {
            state.names.get(directory).is_some_and(|known| names.iter().all(|name| known.contains(name)))
        };
        let is_unseen = !wanted.iter().all(is_known);
        state.names = wanted.iter().map(|(directory, (_, names))| (directory.clone(), names.clone())).collect();
        let State { names, touched, .. } = &mut *state;
        touched.retain(|(directory, name)| names.get(directory).is_some_and(|known| known.contains(name)));
        if is_unseen {
            self.call_for_looks(&mut state);
        }
    }

    /// Whether the directories that are watched are those that are wanted.
    pub(super) fn is_arranged(&self, wanted: &Directories) -> bool {
        self.superfluous(wanted).is_empty() && self.missing(wanted).is_empty()
    }

    /// What is watched and should not be: because it is not wanted, is another directory by now, or may have been lost.
    pub(super) fn superfluous(&self, wanted: &Directories) -> Vec<PathBuf> {
        let is_right =
            |path, known: Option<Identity>| known.is_some() && known == wanted.get(path).map(|(identity, _)| *identity);
        let state = self.state();
        state.watched.iter().filter(|(path, known)| !is_right(*path, **known)).map(|(path, _)| path.clone()).collect()
    }

    /// What is not watched and should be.
    pub(super) fn missing(&self, wanted: &Directories) -> Vec<(PathBuf, Identity)> {
        let state = self.state();
        let missing = wanted.iter().filter(|(path, _)| !state.watched.contains_key(*path));
        missing.map(|(path, (identity, _))| (path.clone(), *identity)).collect()
    }

    /// To be said before notify is asked: it may tell that the directory is gone before it has answered.
    pub(super) fn begin(&self, directory: &Path, identity: Identity) {
        self.state().watched.insert(directory.to_path_buf(), Some(identity));
    }

    /// To be said when the kernel has begun to watch a directory.
    pub(super) fn has_begun(&self) {
        self.call_for_looks(&mut self.state());
    }

    /// The directory is no longer watched.
    pub(super) fn end(&self, directory: &Path) {
        self.state().watched.remove(directory);
    }

    /// Whether looks are called for.
    pub(super) fn is_told(&self) -> bool {
        let state = self.state();
        state.has_changed || state.is_unseen
    }

    /// Whether something has happened to a name that matters since it was asked last. To be followed by looks.
    pub(super) fn take(&self) -> bool {
        let mut state = self.state();
        state.is_unseen = false;
        std::mem::take(&mut state.has_changed)
    }

    /// Takes the names that may lead to another content, with their directories. To be followed by looks.
    pub(super) fn take_touched(&self) -> BTreeSet<(PathBuf, OsString)> {
        std::mem::take(&mut self.state().touched)
    }

    /// Takes an event on notify's thread, which waits meanwhile.
    pub(super) fn hear(&self, event: notify::Result<Event>) {
        let Ok(event) = event else {
            // notify reads again at once, and for ever when reading fails for ever. This is the way out: its thread ends, quietly, which
            // is found after the next looks.
            resume_unwind(Box::new("cannot read from inotify"));
        };
        // notify asks the kernel for every opening of every file as well. Only the end of writing is news: what is written through
        // mapped memory is told by nothing else.
        if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) {
            return;
        }
        let mut state = self.state();
        let mut matters = event.need_rescan();
        if matters {
            // Events were lost, and among them may be the end of a directory.
            state.watched.values_mut().for_each(|known| *known = None);
            state.touch_all();
        }
        let goes = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        let writes = !matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)) | EventKind::Remove(_));
        for path in &event.paths {
            if writes {
                state.touch(path);
            }
            matters |= state.matters(path);
            matters |= goes && state.doubt(path);
        }
        if matters && !std::mem::replace(&mut state.has_changed, true) {
            self.told.notify_one();
        }
    }

    fn call_for_looks(&self, state: &mut State) {
        state.is_unseen = true;
        self.told.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn matters(&self, path: &Path) -> bool {
        self.names.contains_key(path) || self.name(path).is_some() || self.joins(path)
    }

    /// Whether it may be another component in a directory where any will do.
    fn joins(&self, path: &Path) -> bool {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return false };
        folder::matters(name) && self.names.get(directory).is_some_and(|names| names.iter().any(|known| known.is_empty()))
    }

    /// The directory and the name, if that matters.
    fn name(&self, path: &Path) -> Option<(PathBuf, OsString)> {
        let (directory, name) = (path.parent()?, path.file_name()?);
        let is_known = self.names.get(directory)?.iter().any(|known| known == name);
        is_known.then(|| (directory.to_path_buf(), name.to_owned()))
    }

    fn touch(&mut self, path: &Path) {
        self.touched.extend(self.name(path));
    }

    fn touch_all(&mut self) {
        let all = self.names.iter().flat_map(|(directory, names)| names.iter().map(|name| (directory.clone(), name.clone())));
        self.touched.extend(all);
    }

    /// When a name goes, notify silently ends what it watched under it, even if that is another directory by now. Whether anything was.
    fn doubt(&mut self, path: &Path) -> bool {
        let mut is_any = false;
        for (_, known) in self.watched.iter_mut().filter(|(directory, _)| directory.starts_with(path)) {
            *known = None;
            is_any = true;
        }
        is_any
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind, RenameMode};

    use super::*;

    const IDENTITY: Identity = Identity { device: 1, inode: 2 };

    /// Listens for `/x/a` and `/x/y/b`, both directories watched.
    fn listener() -> (Listener, Directories) {
        let listener = Listener::default();
        let wanted: Directories = [("/x", "a"), ("/x/y", "b")]
            .map(|(directory, name)| (PathBuf::from(directory), (IDENTITY, vec![OsString::from(name)])))
            .into();
        listener.listen(&wanted);
        for directory in wanted.keys() {
            listener.begin(directory, IDENTITY);
        }
        assert!(listener.is_arranged(&wanted) && listener.is_told());
        assert!(!listener.take(), "nothing has happened yet");
        assert!(!listener.is_told());
        (listener, wanted)
    }

    fn matters(listener: &Listener, kind: EventKind, path: &str) -> bool {
        listener.hear(Ok(Event::new(kind).add_path(path.into())));
        let is_told = listener.is_told();
        assert_eq!(listener.take(), is_told);
        is_told
    }

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));

    #[test]
    fn only_the_names_that_matter_are_news() {
        let (listener, _) = listener();
        for path in ["/x/a", "/x/y/b", "/x", "/x/y"] {
            assert!(matters(&listener, WRITTEN, path), "{path}");
        }
        for path in ["/x/b", "/x/y/a", "/x/ab", "/x/a/c", "/", "", "/z/a"] {
            assert!(!matters(&listener, WRITTEN, path), "{path}");
        }
    }

    #[test]
    fn whatever_changes_a_name_is_news_and_opening_and_reading_are_not() {
        let (listener, _) = listener();
        let news = [
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            EventKind::Remove(RemoveKind::File),
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Other,
            EventKind::Any,
        ];
        for kind in news {
            assert!(matters(&listener, kind, "/x/a"), "{kind:?}");
        }
        for kind in [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read), AccessKind::Read, AccessKind::Any] {
            assert!(!matters(&listener, EventKind::Access(kind), "/x/a"), "{kind:?}");
        }
    }

    #[test]
    fn a_name_is_touched_by_what_may_change_the_content_behind_it() {
        let (listener, _) = listener();
        let is_touched = |kind, path: &str| {
            listener.hear(Ok(Event::new(kind).add_path(path.into())));
            !listener.take_touched().is_empty()
        };
        for kind in [WRITTEN, EventKind::Create(CreateKind::File), EventKind::Access(AccessKind::Close(AccessMode::Write))] {
            assert!(is_touched(kind, "/x/a"), "{kind:?}");
            assert!(!is_touched(kind, "/x/b") && !is_touched(kind, "/x"), "{kind:?}");
        }
        for kind in [EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), EventKind::Access(AccessKind::Read)] {
            assert!(!is_touched(kind, "/x/a"), "{kind:?}");
        }
        listener.hear(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert_eq!(listener.take_touched().len(), 2, "what was lost may have been anything");
    }

    #[test]
    fn a_directory_that_goes_is_asked_for_again_with_all_that_was_in_it() {
        for (path, lost) in [("/x", &["/x", "/x/y"][..]), ("/x/y", &["/x/y"])] {
            for kind in [EventKind::Remove(RemoveKind::Folder), EventKind::Modify(ModifyKind::Name(RenameMode::From))] {
                let (listener, wanted) = listener();
                assert!(matters(&listener, kind, path));
                let superfluous = listener.superfluous(&wanted);
                assert_eq!(superfluous, lost.iter().map(PathBuf::from).collect::<Vec<_>>());
                for path in superfluous {
                    listener.end(&path);
                }
                assert_eq!(listener.missing(&wanted).len(), lost.len());
            }
        }
    }

    #[test]
    fn a_directory_that_is_another_by_now_is_asked_for_again() {
        let (listener, mut wanted) = listener();
        wanted.get_mut(Path::new("/x")).unwrap().0.inode += 1;
        assert_eq!(listener.superfluous(&wanted), [PathBuf::from("/x")]);
    }

    #[test]
    fn when_events_were_lost_everything_is_asked_for_again() {
        let (listener, wanted) = listener();
        listener.hear(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert!(listener.take());
        assert_eq!(listener.superfluous(&wanted).len(), 2);
    }

    #[test]
    fn names_that_were_not_listened_for_must_be_looked_at() {
        let (listener, mut wanted) = listener();
        listener.listen(&wanted);
        assert!(!listener.is_told(), "nothing is new");
        wanted.get_mut(Path::new("/x")).unwrap().1.push("c".into());
        listener.listen(&wanted);
        assert!(listener.is_told());
    }

    #[test]
    fn a_reading_that_fails_ends_the_thread_that_would_read_for_ever() {
        let (listener, _) = listener();
        let failure = notify::Error::io(std::io::Error::other("on purpose"));
        catch_unwind(AssertUnwindSafe(|| listener.hear(Err(failure)))).unwrap_err();
        assert!(matters(&listener, WRITTEN, "/x/a"), "it goes on for those who ask");
    }
}
