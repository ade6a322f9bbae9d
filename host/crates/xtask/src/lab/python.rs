//! A Python environment with the consumers that real users read our output with.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::Cache;
use crate::command::{self, say};

/// galileo-db does not say that its recorder needs telemc.
const PACKAGES: [&str; 3] = ["galileo-db", "redis", "telemc"];

pub(super) fn environment(cache: &Cache) -> Result<PathBuf> {
    // An environment knows its own path: it is made where it stays, and the mark says that it is whole.
    let folder = cache.path("python");
    let python = folder.join("bin/python");
    let mark = folder.join("whole");
    let whole =
        std::fs::read_to_string(&mark).is_ok_and(|packages| packages == PACKAGES.join("\n"));
    if whole && python.exists() {
        return Ok(python);
    }
    say("lab: making a Python environment with galileo-db and redis (about 10 s)");
    let log = cache.log("python")?;
    command::capture(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )
    .context("no Python environment can be made; on Debian the package python3-venv is needed")?;
    let mut install = Command::new(&python);
    install.args([
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
    ]);
    command::long(
        "lab: installing Python packages",
        &log,
        install.args(PACKAGES),
    )?;
    command::capture(
        Command::new(&python).args(["-c", "import redis, galileodb.recorder.events"]),
    )?;
    std::fs::write(&mark, PACKAGES.join("\n"))?;
    Ok(python)
}
