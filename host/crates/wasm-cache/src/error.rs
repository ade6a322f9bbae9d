//! What can go wrong with the cache. Nothing of it is ever more than a reason to compile again.

use std::path::PathBuf;

/// Why the cache, or a file of it, is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory could be written by somebody else. The caller goes on without a cache.
    #[error("cannot keep compiled modules in {}: {reason} (hint: give a directory of the collector's own, or one that does not exist yet)", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not what was stored; it is removed. The caller compiles again.
    #[error("cannot use the compiled module {}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The compiled code alone is more than the cache may hold; it is not stored.
    #[error("compiled it has {bytes} bytes, more than the {most} bytes that the cache may hold")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The bound of the cache.
        most: u64,
    },
    /// The system refused something.
    #[error("cannot {tried} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        tried: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's answer.
        cause: rustix::io::Errno,
    },
}
