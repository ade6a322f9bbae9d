//! What must survive a restart: the dead letters, the last good module of each lane, copies of modules from registries, what was announced, and entries that wait for their sink.
//!
//! Everything lies in one directory of the collector's own, the state directory:
//!
//! ```text
//! <state>/dead-letters/<id>.json            a letter, for people to read
//! <state>/dead-letters/replay/<id>.json     a letter that somebody wants to be tried again
//! <state>/last-good/lane-<name>/good.json   which module, with which settings
//! <state>/last-good/lane-<name>/<sha256>.wasm
//! <state>/pulled/<sha256>.json             what was pulled under which name, with its manifest
//! <state>/pulled/<sha256>.wasm
//! <state>/announced/<source>.announced      the objects that a source has announced, as they were told last
//! ```
//!
//! A file comes into being under another name and is then renamed, so whoever reads finds it whole or not at all. The command line
//! program works on the same files while the collector runs: nothing is locked, because renaming and removing need no lock.

mod announced;
mod copies;
mod dead_letters;
mod directory;
mod error;
mod id;
mod json;
mod last_good;
mod listed;
mod queue;
mod replay;

pub use announced::{Announcements, Book, NOBODY, Recalled, mark};
pub use copies::{Copies, Copy};
pub use dead_letters::{LetterBounds, Letters};
pub use error::StoreError;
pub use id::Id;
pub use json::write_pretty;
pub use last_good::{Good, LastGood};
pub use listed::{About, Listed, Summary};
pub use queue::{LookedAt, Looks, Queue, QueueSettings, Recovered, Sync, WhenFull};
pub use replay::Asked;
