//! Makes room for a new file under a name: the one that has it gets the number 1, the one before the number 2, and so on.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::names::rotated;

/// Renames from the oldest on, so that a crash or a failure in between loses nothing: it leaves a gap, which the next try fills.
pub(super) fn rotate(root: BorrowedFd<'_>, name: &str, keep: u32) -> Result<(), Errno> {
    if keep == 0 {
        return gone_is_fine(unlinkat(root, name, AtFlags::empty()));
    }
    let free = first_free(root, name, keep)?;
    for number in (1..free).rev() {
        gone_is_fine(renameat(root, rotated(name, number), root, rotated(name, number + 1)))?;
    }
    gone_is_fine(renameat(root, name, root, rotated(name, 1)))
}

/// The first number that no file has; the last one when all have one: its file is the oldest and is replaced.
fn first_free(root: BorrowedFd<'_>, name: &str, keep: u32) -> Result<u32, Errno> {
    for number in 1..=keep {
        match statat(root, rotated(name, number), AtFlags::SYMLINK_NOFOLLOW) {
            // A directory would be renamed with all that is in it.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => return Err(Errno::ISDIR),
            Ok(_) => {}
            Err(Errno::NOENT) => return Ok(number),
            Err(errno) => return Err(errno),
        }
    }
    Ok(keep)
}

/// Whoever took the file away has made the room.
fn gone_is_fine(done: Result<(), Errno>) -> Result<(), Errno> {
    match done {
        Err(Errno::NOENT) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use tempfile::{TempDir, tempdir};

    use super::*;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        folder
    }

    fn run(folder: &TempDir, keep: u32) -> Result<(), Errno> {
        rotate(File::open(folder.path()).expect("a directory").as_fd(), "a", keep)
    }

    fn contents(folder: &TempDir) -> Vec<(String, String)> {
        let mut contents: Vec<_> = fs::read_dir(folder.path())
            .expect("a directory")
            .map(|item| item.expect("an item").path())
            .map(|path| {
                (path.file_name().expect("a name").to_string_lossy().into_owned(), fs::read_to_string(path).expect("text"))
            })
            .collect();
        contents.sort();
        contents
    }

    #[test]
    fn every_file_moves_up_by_one_and_the_oldest_goes() {
        for (keep, before, after) in [
            (2, &[("a", "3")][..], &[("a.1", "3")][..]),
            (2, &[("a", "3"), ("a.1", "2"), ("a.2", "1")], &[("a.1", "3"), ("a.2", "2")]),
            (1, &[("a", "3"), ("a.1", "2"), ("a.2", "1")], &[("a.1", "3"), ("a.2", "1")]),
            (3, &[("a", "3"), ("a.1", "2"), ("a.3", "0")], &[("a.1", "3"), ("a.2", "2"), ("a.3", "0")]),
            (0, &[("a", "3"), ("a.1", "2")], &[("a.1", "2")]),
            (2, &[("a.2", "1")], &[("a.2", "1")]),
        ] {
            let folder = folder(before);
            assert_eq!(run(&folder, keep), Ok(()));
            let after: Vec<_> = after.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            assert_eq!(contents(&folder), after, "{before:?}");
        }
    }

    #[test]
    fn a_directory_in_the_way_is_not_moved() {
        let folder = folder(&[("a", "1")]);
        fs::create_dir(folder.path().join("a.1")).expect("a directory");
        assert_eq!(run(&folder, 2), Err(Errno::ISDIR));
        assert!(folder.path().join("a").is_file() && folder.path().join("a.1").is_dir());
    }
}
