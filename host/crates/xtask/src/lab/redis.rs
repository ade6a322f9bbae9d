//! redis-server: the machine's, else Debian's.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Cache, debian};
use crate::command;

pub(super) fn server(cache: &Cache) -> Result<PathBuf> {
    if let Some(path) = command::find("redis-server") {
        return Ok(path);
    }
    let root = debian::unpacked(cache, "redis", &["redis-server", "redis-tools"])
        .context("redis-server is not on the path and Debian's cannot be had")?;
    let path = debian::launcher(cache, "redis-server", &root)?;
    command::capture(Command::new(&path).arg("--version"))?;
    Ok(path)
}
