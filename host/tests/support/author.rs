//! `sluicebox module …` as its author types it.

use std::path::Path;
use std::process::Command;

use super::binary;

/// What the program said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub error: String,
}

/// Runs it, with a cache of compiled modules that all tests share.
pub fn run(arguments: &[&str]) -> Said {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author-cache");
    let output = Command::new(binary()).arg("module").args(arguments).env("XDG_CACHE_HOME", cache).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
}
