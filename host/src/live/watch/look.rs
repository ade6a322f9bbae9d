//! What is at a path right now, and which directories would tell when that changes. Blocks: not for the executor's thread.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::folder;

/// Links on the way to a file, at most: as many as Linux follows itself.
const MOST_LINKS: usize = 40;
/// Files in a directory whose way is listened to, at most: where there are more, nothing is loaded, and changes are found by looking.
const MOST_FILES: usize = 16;

/// What tells two states of a file apart without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// Something is there.
    Present(Marks),
    /// A directory is there: in it lie what may be a module's component, and signatures.
    Directory(Marks, Vec<(OsString, Fingerprint)>),
    /// Nothing is there, or a link leads nowhere.
    Absent,
    /// It cannot be told, with the reason.
    Unreadable(String),
}

/// What is known of a file that is there, all links followed.
///
/// The owner and the mode belong to what is compared because a file that could not be read may be readable after they have changed. The
/// time of the last change of status does not: there are volumes whose owner is set to what it is every other minute.
#[derive(Clone, Debug)]
pub struct Marks {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_seconds: i64,
    modified_nanoseconds: i64,
    mode: u32,
    user: u32,
    group: u32,
    /// Seconds and nanoseconds. Not compared.
    status_changed: (i64, i64),
}

impl PartialEq for Marks {
    fn eq(&self, other: &Self) -> bool {
        let file = |marks: &Self| (marks.device, marks.inode, marks.bytes, marks.modified_seconds, marks.modified_nanoseconds);
        let access = |marks: &Self| (marks.mode, marks.user, marks.group);
        file(self) == file(other) && access(self) == access(other)
    }
}

impl Eq for Marks {}

impl From<&Metadata> for Marks {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified_seconds: metadata.mtime(),
            modified_nanoseconds: metadata.mtime_nsec(),
            mode: metadata.mode(),
            user: metadata.uid(),
            group: metadata.gid(),
            status_changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Marks {
    /// Of a directory: what of it comes and goes is told by what lies in it.
    fn of_directory(metadata: &Metadata) -> Self {
        let time = (0, 0);
        Self { bytes: 0, modified_seconds: 0, modified_nanoseconds: 0, status_changed: time, ..Self::from(metadata) }
    }
}

impl Fingerprint {
    /// Whether anything at all may have been done to the file in between, even if nothing of it is to be seen in what is compared.
    pub(super) fn may_be_older_than(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Present(earlier), Self::Present(later)) => earlier != later || earlier.status_changed != later.status_changed,
            (Self::Directory(_, before), Self::Directory(_, after)) if self == later => {
                before.iter().zip(after).any(|((_, earlier), (_, later))| earlier.may_be_older_than(later))
            }
            (earlier, later) => earlier != later,
        }
    }
}

/// The state of what is at `path`, without opening it; of a directory, of the files in it that may be a module's.
///
/// To miss no change, take it before the file is read and hand it to [`Watch::follow`](super::Watch::follow) after. It blocks, and for as
/// long as the file system likes.
pub fn fingerprint(path: &Path) -> Fingerprint {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => of_directory(path, &metadata),
        Ok(metadata) => Fingerprint::Present(Marks::from(&metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Fingerprint::Absent,
        Err(error) => Fingerprint::Unreadable(error.to_string()),
    }
}

fn of_directory(path: &Path, metadata: &Metadata) -> Fingerprint {
    match folder::names(path) {
        Ok(Some(names)) => {
            let files = names.into_iter().filter(|name| folder::matters(name));
            // A directory in it counts as what it is not: a file.
            let state = |name: OsString| match fs::metadata(path.join(&name)) {
                Ok(metadata) => (name, Fingerprint::Present(Marks::from(&metadata))),
                Err(error) if error.kind() == ErrorKind::NotFound => (name, Fingerprint::Absent),
                Err(error) => (name, Fingerprint::Unreadable(error.to_string())),
            };
            Fingerprint::Directory(Marks::of_directory(metadata), files.map(state).collect())
        }
        Ok(None) => Fingerprint::Unreadable(format!("it has more than {} entries", folder::MOST_ENTRIES)),
        Err(error) => Fingerprint::Unreadable(error.to_string()),
    }
}

/// What a look at a path has found.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) fingerprint: Fingerprint,
    /// Where a change would show.
    pub(super) places: Vec<Place>,
}

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) identity: Identity,
    /// Empty where any name will do that a component or a signature may have.
    pub(super) name: OsString,
}

/// What tells a directory from another that takes its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl Identity {
    fn of(directory: &Path) -> Option<Self> {
        // If it has just gone, the next look finds out where to.
        let metadata = fs::metadata(directory).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Looks. Whether a change is told from now on is not its matter: what is not yet watched is looked at again when it is.
pub(super) fn look(path: &Path) -> Look {
    let place = |(directory, name): (PathBuf, OsString)| Some(Place { identity: Identity::of(&directory)?, directory, name });
    let fingerprint = fingerprint(path);
    let mut turns = turns(path);
    if let Fingerprint::Directory(_, files) = &fingerprint {
        turns.extend(fs::canonicalize(path).map(|directory| (directory, OsString::new())));
        turns.extend(files.iter().take(MOST_FILES).flat_map(|(name, _)| self::turns(&path.join(name))));
    }
    let places = turns.into_iter().filter_map(place).collect();
    Look { fingerprint, places }
}

/// Each directory on the way to `path` with the name in it at which the way could turn: every link, and the file itself or the first
/// part that is missing.
fn turns(path: &Path) -> Vec<(PathBuf, OsString)> {
    let mut turns = Vec::new();
    let Ok(path) = std::path::absolute(path) else {
        return turns;
    };
    let mut here = PathBuf::from("/");
    let mut ahead: Vec<OsString> = Vec::new();
    let put_ahead = |ahead: &mut Vec<OsString>, path: &Path| {
        ahead.extend(path.iter().rev().map(OsStr::to_owned));
    };
    put_ahead(&mut ahead, &path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        match name.as_encoded_bytes() {
            b"/" => here = PathBuf::from("/"),
            b"." => {}
            b".." => {
                here.pop();
            }
            _ => {
                let next = here.join(&name);
                let metadata = fs::symlink_metadata(&next);
                let is = |kind: fn(&Metadata) -> bool| metadata.as_ref().is_ok_and(kind);
                if is(Metadata::is_symlink) && links < MOST_LINKS {
                    links += 1;
                    turns.push((here.clone(), name));
                    let Ok(target) = fs::read_link(&next) else {
                        break;
                    };
                    put_ahead(&mut ahead, &target);
                } else if is(Metadata::is_dir) && !ahead.is_empty() {
                    here = next;
                } else {
                    turns.push((here, name));
                    break;
                }
            }
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(path: &Path) -> Vec<String> {
        turns(path).into_iter().map(|(directory, name)| directory.join(name).display().to_string()).collect()
    }

    #[test]
    fn a_way_turns_at_every_link_and_at_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("..1")).unwrap();
        fs::write(root.join("..1/a.wasm"), "").unwrap();
        symlink("..1", root.join("..data")).unwrap();
        symlink("..data/a.wasm", root.join("a.wasm")).unwrap();
        let root = root.display();
        assert_eq!(
            names(Path::new(&format!("{root}/a.wasm"))),
            [format!("{root}/a.wasm"), format!("{root}/..data"), format!("{root}/..1/a.wasm")]
        );
        assert_eq!(names(Path::new(&format!("{root}/..1/../..1/./a.wasm"))), [format!("{root}/..1/a.wasm")]);
    }

    #[test]
    fn a_way_that_ends_early_turns_at_the_first_part_that_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        assert_eq!(names(&root.join("a/b/c")), [root.join("a").display().to_string()]);
        fs::write(root.join("a"), "").unwrap();
        assert_eq!(names(&root.join("a/b/c")), [root.join("a").display().to_string()]);
    }

    #[test]
    fn links_in_a_circle_have_an_end() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert_eq!(names(&folder.path().join("a")).len(), MOST_LINKS + 1);
        assert!(matches!(fingerprint(&folder.path().join("a")), Fingerprint::Unreadable(_)));
    }
}
