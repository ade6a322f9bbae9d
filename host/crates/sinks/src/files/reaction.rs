//! What the sink makes of an error of the file system: whether the entry can never be written, or not now. Pure.

use std::path::Path;

use rustix::io::Errno;
use sluicebox_contract::Fault;

use crate::cause::cause;
use crate::obstacle::Obstacle;

/// What an error at one file means. `takes_others`: whether the directory takes another file now; asked only where the error does
/// not say which of both is at fault.
pub(super) fn at_file(errno: Errno, tried: String, directory: &Path, takes_others: impl Fn() -> bool) -> Obstacle {
    match at_one(errno, takes_others) {
        Some((reason, cure)) => Obstacle::Refused(format!("{reason} ({tried}; hint: {cure})")),
        None => Obstacle::Stopped(at_directory(errno, tried, directory)),
    }
}

/// The same of the file of the settings, which is not one that a message has named: whoever put something in its way can take that away
/// again.
pub(super) fn at_default_file(errno: Errno, tried: String, path: &Path, takes_others: impl Fn() -> bool) -> Fault {
    let Some((reason, _)) = at_one(errno, takes_others) else {
        return at_directory(errno, tried, path.parent().unwrap_or(path));
    };
    let hint = if errno == Errno::FBIG {
        "not even one line fits: raise the limit (ulimit -f, LimitFSIZE)".to_owned()
    } else {
        format!(
            "`{}`, and what it is rotated to, must be files that the user whom sluicebox runs as may write to: remove what is in the way, \
             correct owner and mode, or name another one with `append.file`",
            path.display()
        )
    };
    Fault::retry(tried, reason).hint(hint)
}

/// Whether an error lies in one file: why, and what would cure it.
fn at_one(errno: Errno, takes_others: impl Fn() -> bool) -> Option<(String, &'static str)> {
    const OTHER_NAME: &str = "have the module choose another name";
    const IN_THE_WAY: &str = "remove it, or have the module choose another name";
    let (reason, cure) = match errno {
        Errno::ACCESS | Errno::PERM | Errno::BUSY | Errno::ROFS | Errno::XDEV if takes_others() => {
            let reason = format!("others can be written here, but this one may not be touched: {}", cause(errno));
            return Some((reason, "see its owner, its mode and attributes, and whether something is mounted there"));
        }
        Errno::MLINK => ("the file system cannot hold another collection in this directory", "remove some"),
        Errno::NAMETOOLONG => ("the file system cannot hold a name of this length", OTHER_NAME),
        Errno::INVAL | Errno::ILSEQ => ("the file system cannot hold this name", OTHER_NAME),
        Errno::ISDIR | Errno::NOTEMPTY => ("a directory of this name is in the way", IN_THE_WAY),
        Errno::NOTDIR => ("a file is in the way where the collection's directory would be", IN_THE_WAY),
        Errno::LOOP => ("a symbolic link is in the way where the file or the collection's directory would be", IN_THE_WAY),
        Errno::NXIO => ("something other than a file is in the way", IN_THE_WAY),
        Errno::FBIG => (
            "the file system, or a limit of the process, allows no file of this size",
            "raise the limit (ulimit -f, LimitFSIZE), or have the module write less",
        ),
        _ => return None,
    };
    Some((reason.to_owned(), cure))
}

/// Whether the directory is to be opened anew before the next try: what it lies on may have been replaced meanwhile.
pub(super) fn is_of_file_system(errno: Errno) -> bool {
    matches!(errno, Errno::ROFS | Errno::IO) || is_gone(errno)
}

/// The file system that the directory and all open files were on is not there any more.
pub(super) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::STALE | Errno::NOTCONN | Errno::NODEV)
}

/// What an error at the directory itself means.
pub(super) fn at_directory(errno: Errno, tried: String, directory: &Path) -> Fault {
    let directory = directory.display();
    let hint = match errno {
        Errno::NOTDIR | Errno::LOOP => {
            return Fault::fatal(tried, cause(errno))
                .hint(format!("`{directory}` must be a directory: name another one or remove what is there"));
        }
        Errno::WOULDBLOCK => {
            return Fault::retry(tried, "another sink or another sluicebox writes there")
                .hint("give each sink a directory of its own; several lanes may share one sink");
        }
        Errno::NOSPC => format!("free space or inodes on the file system of `{directory}`"),
        Errno::DQUOT => format!("the quota of the file system of `{directory}` is used up: free space or raise it"),
        Errno::ROFS => format!(
            "the file system of `{directory}` is mounted read-only: mount the volume for writing, or see the kernel's log for why it became so"
        ),
        Errno::ACCESS | Errno::PERM => {
            format!(
                "the user that sluicebox runs as must be allowed to write to `{directory}`: see its owner, its mode and the security policy"
            )
        }
        Errno::IO => format!("the disk or the file system of `{directory}` fails: see the kernel's log"),
        errno if is_gone(errno) => format!("the file system of `{directory}` has gone: mount it again"),
        Errno::MFILE | Errno::NFILE => "too many files are open: raise the limit (ulimit -n, LimitNOFILE)".to_owned(),
        _ => return Fault::retry(tried, cause(errno)),
    };
    Fault::retry(tried, cause(errno)).hint(hint)
}

#[cfg(test)]
mod tests {
    use sluicebox_contract::Class;

    use super::*;

    #[test]
    fn what_an_operator_can_cure_is_tried_again_with_a_hint() {
        for errno in [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::ROFS,
            Errno::ACCESS,
            Errno::PERM,
            Errno::MFILE,
            Errno::NFILE,
            Errno::WOULDBLOCK,
            Errno::IO,
            Errno::STALE,
            Errno::NOTCONN,
            Errno::NODEV,
        ] {
            match at_file(errno, "cannot write a".to_owned(), Path::new("/d"), || false) {
                Obstacle::Stopped(fault) => assert!(fault.class == Class::Retry && fault.hint.is_some(), "{fault}"),
                Obstacle::Refused(reason) => panic!("{errno}: {reason}"),
            }
        }
    }

    #[test]
    fn what_lies_in_the_name_is_refused() {
        for errno in [Errno::NAMETOOLONG, Errno::ISDIR, Errno::NOTDIR, Errno::LOOP, Errno::NXIO, Errno::FBIG, Errno::MLINK] {
            let obstacle = at_file(errno, "cannot write a".to_owned(), Path::new("/d"), || false);
            let Obstacle::Refused(reason) = obstacle else { panic!("{obstacle:?}") };
            assert!(reason.contains(" (cannot write a; hint: ") && !reason.contains("/d"), "{reason}");
            let fault = at_default_file(errno, "cannot append".to_owned(), Path::new("/d/a.csv"), || false);
            assert!(fault.class == Class::Retry && fault.hint.is_some(), "{fault}");
        }
    }

    #[test]
    fn what_lies_in_one_file_or_in_all_is_for_the_directory_to_say() {
        for errno in [Errno::ACCESS, Errno::PERM, Errno::BUSY, Errno::ROFS, Errno::XDEV] {
            let obstacle = |takes_others| at_file(errno, "cannot write a".to_owned(), Path::new("/d"), || takes_others);
            assert!(matches!(obstacle(true), Obstacle::Refused(_)), "{errno}");
            assert!(matches!(obstacle(false), Obstacle::Stopped(_)), "{errno}");
        }
        let full = at_file(Errno::NOSPC, "cannot write a".to_owned(), Path::new("/d"), || true);
        assert!(matches!(full, Obstacle::Stopped(_)), "an empty file fits, this one may not: {full:?}");
    }

    #[test]
    fn a_file_where_the_directory_should_be_is_a_wrong_configuration() {
        let fault = at_directory(Errno::NOTDIR, "cannot open `/d`".to_owned(), Path::new("/d"));
        assert_eq!(fault.class, Class::Fatal);
    }
}
