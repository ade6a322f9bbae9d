//! What can go wrong with what is kept. The collector goes on without; only the operator can cure it.

use std::path::PathBuf;

use rustix::io::Errno;
use sluicebox_contract::Fault;

/// Why something could not be kept, found or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory could be written by somebody else, or is none.
    #[error(
        "cannot keep anything in {}: {reason} (hint: give a directory of the collector's own, or one that does not exist yet, and work on it as the collector's user)",
        path.display()
    )]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not what was stored.
    #[error("cannot use {}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Something is larger than it may be.
    #[error("{what} has {bytes} bytes, and {most} are allowed")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size in bytes.
        bytes: u64,
        /// The largest size in bytes.
        most: u64,
    },
    /// A later version of the program has written it.
    #[error(
        "cannot use {}: a later version of sluicebox has written it (format {version}) (hint: run that version again, or move the file away: {without})",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its form.
        version: u32,
        /// What comes of doing without it.
        without: &'static str,
    },
    /// Another program works on it.
    #[error("another program works on {} (hint: is a collector running? each needs a state directory of its own)", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It is not as it must be for what was asked of it.
    #[error("{0}")]
    Unfit(String),
    /// No such thing is kept, or several are.
    #[error("{0}")]
    Unknown(String),
    /// The system refused something.
    #[error("cannot {tried} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        tried: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's answer.
        cause: Errno,
    },
}

impl StoreError {
    /// As the contract's fault, of a dead letter: what the system refused may go well later, the rest will not.
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooLarge { .. } => {
                Fault::skip("cannot keep the dead letter", self).hint("raise `dead-letters.bytes`, up to 64MiB for one letter")
            }
            _ => self.fault_of("cannot keep the dead letter"),
        }
    }

    /// As the contract's fault, of what was tried.
    pub(crate) fn fault_of(&self, tried: &'static str) -> Fault {
        match self {
            Self::Io { cause: Errno::NOSPC | Errno::DQUOT, .. } => {
                Fault::retry(tried, self).hint("make room on the disk of `state-directory`")
            }
            Self::Io { cause: Errno::NOENT, .. } => {
                Fault::retry(tried, self).hint("the directory was taken away: restart the collector, which makes it again")
            }
            Self::Io { .. } => Fault::retry(tried, self).hint("see to it that the collector can write `state-directory`"),
            Self::TooLarge { .. }
            | Self::Unsafe { .. }
            | Self::Damaged { .. }
            | Self::Newer { .. }
            | Self::Unfit(_)
            | Self::Unknown(_)
            | Self::InUse { .. } => Fault::skip(tried, self),
        }
    }
}
