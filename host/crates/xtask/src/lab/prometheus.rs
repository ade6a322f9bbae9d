//! Prometheus, its promtool and its node exporter: the machine's, else Debian's.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Cache, debian};
use crate::command;

pub(super) fn server(cache: &Cache) -> Result<PathBuf> {
    provide(cache, "prometheus", "prometheus")
}

pub(super) fn tool(cache: &Cache) -> Result<PathBuf> {
    provide(cache, "promtool", "prometheus")
}

pub(super) fn node_exporter(cache: &Cache) -> Result<PathBuf> {
    provide(cache, "prometheus-node-exporter", "prometheus-node-exporter")
}

fn provide(cache: &Cache, program: &str, package: &str) -> Result<PathBuf> {
    if let Some(path) = command::find(program) {
        return Ok(path);
    }
    let root = debian::unpacked(cache, package, &[package])
        .with_context(|| format!("{program} is not on the path and Debian's cannot be had"))?;
    let path = debian::launcher(cache, program, &root)?;
    command::capture(Command::new(&path).arg("--version"))?;
    Ok(path)
}
