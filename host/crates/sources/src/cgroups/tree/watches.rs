//! The kernel's notices about directories. They are only hints of where to look: what is true is read from the directories.

use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

/// Room for about a thousand notices.
const BUFFER_BYTES: usize = 64 << 10;
/// Notices that are read in one go; the kernel's queue holds 16384 of them where nobody has set another number.
const MOST_NOTICES: usize = 100_000;

/// Where something has happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) paths: BTreeSet<String>,
    /// What is no longer watched, whatever is there now.
    pub(super) ended: BTreeSet<String>,
    /// Whether some are missing: everything is to be looked at.
    pub(super) lost: bool,
}

/// Why a directory is not watched.
#[derive(Debug)]
pub(super) enum Unwatched {
    /// It is no longer there.
    Gone,
    /// The kernel gives no more watches, or none at all.
    Refused(Errno),
}

/// What is watched.
pub(super) struct Watches {
    inotify: Result<Arc<OwnedFd>, Errno>,
    paths: HashMap<i32, String>,
    buffer: Vec<MaybeUninit<u8>>,
}

impl Watches {
    /// Where the kernel gives none, every watch is refused.
    pub(super) fn open() -> Self {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map(Arc::new);
        Self { inotify, paths: HashMap::new(), buffer: vec![MaybeUninit::uninit(); BUFFER_BYTES] }
    }

    /// Readable when there are hints.
    pub(super) fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.inotify.as_ref().ok().map(Arc::clone)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// As on a machine on which all have been given away.
    #[cfg(test)]
    pub(super) fn refused() -> Self {
        Self { inotify: Err(Errno::MFILE), ..Self::open() }
    }

    /// Watches a directory for others that come and go in it. When it was watched under another path, that path is given back: it has
    /// been moved, and its watch with it.
    pub(super) fn add(&mut self, directory: &Path, path: &str) -> Result<(i32, Option<String>), Unwatched> {
        let inotify = self.inotify.as_ref().map_err(|error| Unwatched::Refused(*error))?;
        let wanted = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
        let watch = match add_watch(inotify.as_fd(), directory, wanted | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW) {
            Ok(watch) => watch,
            Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) => return Err(Unwatched::Gone),
            Err(error) => return Err(Unwatched::Refused(error)),
        };
        let before = self.paths.insert(watch, path.to_owned()).filter(|before| before != path);
        Ok((watch, before))
    }

    /// The watch of a directory of the kernel outlives it: without this, watches would grow in number until there are no more.
    pub(super) fn remove(&mut self, watch: i32, path: &str) {
        if self.paths.get(&watch).is_none_or(|watched| watched != path) {
            return;
        }
        self.paths.remove(&watch);
        if let Ok(inotify) = &self.inotify {
            // It is an error where the kernel has removed it already.
            let _ = remove_watch(inotify.as_fd(), watch);
        }
    }

    /// What there is to read now. Of more than `most` places it gives none, but says that some are missing.
    pub(super) fn hints(&mut self, most: usize) -> Hints {
        let Self { inotify, paths, buffer } = self;
        let mut hints = Hints::default();
        let Ok(inotify) = inotify else { return hints };
        let mut reader = Reader::new(inotify.as_fd(), buffer);
        let mut read = 0;
        while read < MOST_NOTICES || !reader.is_buffer_empty() {
            read += 1;
            match reader.next() {
                Ok(notice) => hints.add(paths, notice.wd(), notice.events(), notice.file_name().map(std::ffi::CStr::to_bytes)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    hints.lost = true;
                    break;
                }
            }
            if hints.paths.len() > most {
                hints.lost = true;
                hints.paths.clear();
            }
        }
        hints
    }
}

impl Hints {
    fn add(&mut self, paths: &mut HashMap<i32, String>, watch: i32, events: ReadFlags, name: Option<&[u8]>) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.lost = true;
        }
        if events.contains(ReadFlags::IGNORED) {
            // The directory has gone, or its file system has.
            let Some(path) = paths.remove(&watch) else { return };
            self.lost |= path == "/";
            self.ended.insert(path);
        } else if events.contains(ReadFlags::ISDIR) {
            // A watch that was removed may have notices left.
            let Some(parent) = paths.get(&watch) else { return };
            let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else { return };
            self.paths.insert(super::inside(parent, name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(events: ReadFlags, watch: i32, name: &[u8]) -> (Hints, usize) {
        let mut paths = HashMap::from([(1, "/".to_owned()), (2, "/a".to_owned())]);
        let mut hints = Hints::default();
        hints.add(&mut paths, watch, events, (!name.is_empty()).then_some(name));
        (hints, paths.len())
    }

    #[test]
    fn a_notice_says_where_to_look() {
        let directory = ReadFlags::ISDIR;
        let cases: [(ReadFlags, i32, &[u8], &str, bool); 8] = [
            (ReadFlags::CREATE | directory, 1, b"x", "/x", false),
            (ReadFlags::DELETE | directory, 2, b"x", "/a/x", false),
            (ReadFlags::CREATE, 2, b"file", "", false),
            (ReadFlags::CREATE | directory, 9, b"x", "", false),
            (ReadFlags::CREATE | directory, 2, b"\xff", "", false),
            (ReadFlags::QUEUE_OVERFLOW, -1, b"", "", true),
            (ReadFlags::IGNORED, 2, b"", "ended /a", false),
            (ReadFlags::IGNORED, 1, b"", "ended /", true),
        ];
        for (events, watch, name, expected, lost) in cases {
            let (hints, known) = added(events, watch, name);
            let ended = hints.ended.iter().map(|path| format!("ended {path}"));
            let told: Vec<String> = hints.paths.iter().cloned().chain(ended).collect();
            assert_eq!(told.join(" "), expected, "{events:?}");
            assert_eq!((hints.lost, known), (lost, 2 - hints.ended.len()), "{events:?}");
        }
    }

    #[test]
    fn too_many_places_are_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut watches = Watches::open();
        watches.add(folder.path(), "/").unwrap();
        for name in 0..10 {
            std::fs::create_dir(folder.path().join(name.to_string())).unwrap();
        }
        let hints = watches.hints(5);
        assert!(hints.lost && hints.paths.len() <= 5, "{hints:?}");
        assert_eq!(watches.hints(5), Hints::default());
    }

    #[test]
    fn a_directory_that_is_moved_takes_its_watch_along() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
        std::fs::create_dir(&old).unwrap();
        let mut watches = Watches::open();
        let (watch, _) = watches.add(&old, "/old").unwrap();
        std::fs::rename(&old, &new).unwrap();
        assert!(matches!(watches.add(&old, "/old"), Err(Unwatched::Gone)));
        assert_eq!(watches.add(&new, "/new").unwrap(), (watch, Some("/old".to_owned())));
        watches.remove(watch, "/old");
        assert_eq!(watches.len(), 1, "it is the new path's by now");
        watches.remove(watch, "/new");
        assert_eq!(watches.len(), 0);
    }
}
