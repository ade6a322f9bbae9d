//! A container registry: the machine's, else Debian's.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Cache, debian};
use crate::command;

const PROGRAM: &str = "docker-registry";

pub(super) fn server(cache: &Cache) -> Result<PathBuf> {
    if let Some(path) = command::find(PROGRAM) {
        return Ok(path);
    }
    let root = debian::unpacked(cache, PROGRAM, &[PROGRAM])
        .with_context(|| format!("{PROGRAM} is not on the path and Debian's cannot be had"))?;
    let path = debian::launcher(cache, PROGRAM, &root)?;
    command::capture(Command::new(&path).arg("--version"))?;
    Ok(path)
}
