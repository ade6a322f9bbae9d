//! What the sink makes of an error of the file system: whether the entry can never be written, or not now. Pure.

use std::path::Path;

use rustix::io::Errno;
use sluicebox_contract::Fault;

use crate::cause::cause;
use crate::obstacle::Obstacle;

/// What an error at one file means. `takes_others`: whether the directory takes another file now; asked only where the error does
/// not say which of both is at fault.
pub(super) fn at_file(errno: Errno, tried: String, directory: &Path, takes_others: impl Fn() -> bool) -> Obstacle {
    let reason = match errno {
        Errno::ACCESS | Errno::PERM | Errno::BUSY | Errno::ROFS | Errno::XDEV if takes_others() => {
            return Obstacle::Refused(format!("others can be written here, but this one may not be touched: {}", cause(errno)));
        }
        Errno::MLINK => "the file system cannot hold another collection in this directory",
        Errno::NAMETOOLONG => "the file system cannot hold a name of this length",
        Errno::INVAL | Errno::ILSEQ => "the file system cannot hold this name",
        Errno::ISDIR | Errno::NOTEMPTY => "a directory of this name is in the way",
        Errno::NOTDIR => "a file is in the way where the collection's directory would be",
        Errno::LOOP => "a symbolic link is in the way where the file or the collection's directory would be",
        Errno::NXIO => "something other than a file is in the way",
        Errno::FBIG => "the file system cannot hold a file of this size",
        errno => return Obstacle::Stopped(at_directory(errno, tried, directory)),
    };
    Obstacle::Refused(reason.to_owned())
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
        for errno in
            [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::ACCESS, Errno::PERM, Errno::MFILE, Errno::NFILE, Errno::WOULDBLOCK]
        {
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
            assert!(matches!(obstacle, Obstacle::Refused(_)), "{obstacle:?}");
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
