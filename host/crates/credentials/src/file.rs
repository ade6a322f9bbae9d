//! Files that the settings name. Nobody says how long they are: each has a bound.

use std::fs::File;
use std::io::{Read, Result};
use std::path::Path;

use sluicebox_contract::ByteSize;

/// Everything that stands in the file, which must not be larger. Blocks.
pub fn read(path: &Path, largest: ByteSize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let count = File::open(path)?.take(largest.0.saturating_add(1)).read_to_end(&mut bytes)?;
    if count as u64 > largest.0 {
        return Err(std::io::Error::other(format!("it is larger than {largest}")));
    }
    Ok(bytes)
}
