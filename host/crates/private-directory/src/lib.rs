//! Directories that nobody else can write: opened once, and checked by the handle that everything after is done with.
//!
//! A crate of its own because the store and the cache of compiled modules both need it, and neither may know the other.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// How a directory is opened whose name is looked up in one that was checked: a link is refused.
pub const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why a directory is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Somebody else could write there; in words.
    Unsafe(String),
    /// The system refused something.
    Io {
        /// What was tried.
        tried: &'static str,
        /// The system's answer.
        cause: Errno,
    },
}

/// Opens a directory, or makes it (and what is missing above it), readable and writable by this user only.
///
/// It may be a link of this user or of root: systemd hands such a link to services with a user of the moment.
pub fn open(path: &Path) -> Result<OwnedFd, Obstacle> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            let cause = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            return Err(Obstacle::Io { tried: "make the directory", cause });
        }
        Ok(()) | Err(_) => {}
    }
    let opened = match rustix::fs::open(path, OPEN, Mode::empty()) {
        Err(Errno::LOOP | Errno::NOTDIR) if is_trusted_link(path) => {
            rustix::fs::open(path, OPEN.difference(OFlags::NOFOLLOW), Mode::empty())
        }
        opened => opened,
    };
    checked(opened)
}

/// The directory that was opened with [`OPEN`], if nobody else can write it.
pub fn checked(opened: Result<OwnedFd, Errno>) -> Result<OwnedFd, Obstacle> {
    let directory = opened.map_err(|cause| match cause {
        Errno::LOOP | Errno::NOTDIR => Obstacle::Unsafe("it is a link, or no directory".to_owned()),
        cause => Obstacle::Io { tried: "open the directory", cause },
    })?;
    let status = rustix::fs::fstat(&directory).map_err(|cause| Obstacle::Io { tried: "look at the directory", cause })?;
    match writable_by_others(&status) {
        Some(reason) => Err(Obstacle::Unsafe(reason)),
        None => Ok(directory),
    }
}

/// Why somebody else than this user could write what has this status, if so.
pub fn writable_by_others(status: &Stat) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    if status.st_uid != us {
        return Some(format!("it belongs to user {}, and this program runs as user {us}", status.st_uid));
    }
    let mode = status.st_mode & 0o7777;
    (mode & 0o022 != 0).then(|| format!("its mode {mode:04o} lets others write"))
}

fn is_trusted_link(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok_and(|status| {
        let is_link = FileType::from_raw_mode(status.st_mode) == FileType::Symlink;
        is_link && (status.st_uid == 0 || status.st_uid == rustix::process::geteuid().as_raw())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};
    use std::path::PathBuf;

    use super::*;

    struct Linked {
        _folder: tempfile::TempDir,
        real: PathBuf,
        link: PathBuf,
    }

    fn linked() -> Linked {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        DirBuilder::new().mode(0o700).create(&real).unwrap();
        symlink(&real, &link).unwrap();
        Linked { _folder: folder, real, link }
    }

    #[track_caller]
    fn assert_unsafe(path: &Path, word: &str) {
        match open(path) {
            Err(Obstacle::Unsafe(reason)) => assert!(reason.contains(word), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_missing_is_made_for_this_user_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        open(&path).unwrap();
        for made in ["a", "a/b"] {
            assert_eq!(std::fs::metadata(folder.path().join(made)).unwrap().permissions().mode() & 0o7777, 0o700);
        }
    }

    #[test]
    fn a_link_of_this_user_leads_to_the_directory() {
        open(&linked().link).unwrap();
    }

    #[test]
    fn a_link_leads_to_no_directory_that_others_can_write() {
        let linked = linked();
        std::fs::set_permissions(&linked.real, PermissionsExt::from_mode(0o1777)).unwrap();
        assert_unsafe(&linked.link, "lets others write");
    }

    #[test]
    fn a_link_of_somebody_else_is_refused() {
        let linked = linked();
        // Only root can give it away.
        if lchown(&linked.link, Some(65_534), None).is_ok() {
            assert_unsafe(&linked.link, "it is a link");
        }
    }
}
