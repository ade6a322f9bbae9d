//! Compiled modules on disk, so that a restart does not compile again.
//!
//! Compiled code is native code: whoever can change it runs whatever he likes in the host. It is therefore read from a directory
//! only that this user alone can write, from a file whose content still has the digest that was stored with it, and by a handle
//! that stays the same from the first check to the last byte mapped. Where there is no such directory it lies in memory, sealed before it
//! is looked at. To map code is unsafe: `load.rs` is the one file of this crate that does.

mod directory;
mod error;
mod key;
mod load;
mod memory;
mod store;
mod temporary;

pub use directory::{Bounds, Cache};
pub use error::CacheError;
pub use key::Key;
pub use memory::{MemoryFile, write_code};
