//! The programs of btrfs, a file system that knows quotas wherever it is known: the machine's, else Debian's.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Cache, debian};
use crate::command;

pub(super) fn mkfs(cache: &Cache) -> Result<PathBuf> {
    provide(cache, "mkfs.btrfs")
}

pub(super) fn control(cache: &Cache) -> Result<PathBuf> {
    provide(cache, "btrfs")
}

fn provide(cache: &Cache, program: &str) -> Result<PathBuf> {
    if let Some(path) = command::find(program) {
        return Ok(path);
    }
    let root = debian::unpacked(cache, "btrfs", &["btrfs-progs", "liblzo2-2"])
        .with_context(|| format!("{program} is not on the path and Debian's cannot be had"))?;
    let path = debian::launcher(cache, program, &root)?;
    command::capture(Command::new(&path).arg("--version"))?;
    Ok(path)
}
