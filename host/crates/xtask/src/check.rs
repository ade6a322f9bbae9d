//! What must hold besides the tests: format, lints, walls, versions, licences.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{self, say};
use crate::lab::Cache;
use crate::modules::{self, Compiler};
use crate::{sbom, versions, walls, workspace};

/// Check format, lints, walls between crates, versions, licences and unused dependencies
///
/// The walls, licences and unused dependencies are checked by xtask itself. cargo-deny and cargo-machete have a second look where they
/// are installed; with CI=true they are compiled into the lab's cache first.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    let steps: [(&str, Step); 7] = [
        ("format", format),
        ("lints", lints),
        ("walls", walls),
        ("versions", versions),
        ("licences", sbom::check_licences),
        ("cargo-deny", deny),
        ("cargo-machete", machete),
    ];
    let mut failed = Vec::new();
    for (name, step) in steps {
        if let Err(error) = step() {
            say(format!("check: {name}: {error:#}"));
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("check failed: {}", failed.join(", "));
    }
    say("check: all fine");
    Ok(())
}

type Step = fn() -> Result<()>;

fn format() -> Result<()> {
    command::must(workspace::cargo().args(["fmt", "--all", "--check"]))
}

/// The product by all lints, then everything: whole files of tests, of which clippy does not know that they are tests, and the evil module
/// are freed from the lints that guard against input from outside.
fn lints() -> Result<()> {
    // The program embeds the modules: without them it is not even looked at.
    modules::compile(false, Compiler::default())?;
    let product = ["--lib", "--bins", "--exclude", "hostile"].as_slice();
    let everything = ["--all-targets"].as_slice();
    for (targets, freed) in [(product, [].as_slice()), (everything, FREE_IN_TESTS.as_slice())] {
        let mut clippy = workspace::cargo();
        clippy.args(["clippy", "--keep-going", "--workspace"]).args(targets).args(["--", "-D", "warnings"]);
        clippy.args(freed.iter().map(|lint| format!("-Aclippy::{lint}")));
        command::must(&mut clippy)?;
    }
    Ok(())
}

const FREE_IN_TESTS: [&str; 7] =
    ["unwrap_used", "expect_used", "panic", "indexing_slicing", "print_stdout", "print_stderr", "missing_panics_doc"];

fn walls() -> Result<()> {
    let workspace = walls::Workspace::read()?;
    let mut breaches = workspace.breaches();
    breaches.extend(workspace.strangers());
    breaches.extend(workspace.unused()?);
    if !breaches.is_empty() {
        bail!("{} breaches:\n  {}", breaches.len(), breaches.join("\n  "));
    }
    Ok(())
}

fn versions() -> Result<()> {
    let disagreements = versions::disagreements()?;
    if !disagreements.is_empty() {
        bail!("{} places:\n  {}", disagreements.len(), disagreements.join("\n  "));
    }
    Ok(())
}

/// Advisories need the network beyond the registries and are left out.
fn deny() -> Result<()> {
    let Some(path) = tool("cargo-deny", "0.20.2") else {
        return Ok(());
    };
    let mut deny = workspace::cargo();
    deny.env("PATH", path).args(["deny", "check", "bans", "licenses", "sources"]);
    command::must(&mut deny)
}

fn machete() -> Result<()> {
    let Some(path) = tool("cargo-machete", "0.9.2") else {
        return Ok(());
    };
    let mut machete = workspace::cargo();
    // Set by the `cargo run` that we are, it makes machete misread its arguments.
    machete.env_remove("CARGO_PKG_NAME").env("PATH", path).arg("machete");
    command::must(&mut machete)
}

/// A search path on which the tool is. CI compiles it once, into the lab's cache; a developer has it or does without.
fn tool(name: &str, version: &str) -> Option<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if command::find(name).is_some() {
        return Some(path);
    }
    let instead = "xtask's own look at walls, licences and dependencies must do";
    if !is_ci() {
        say(format!("check: {name} is not installed; {instead}"));
        return None;
    }
    match install(name, version) {
        Ok(programs) => std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path))).ok(),
        Err(error) => {
            say(format!("check: {name} cannot be had; {instead}: {error:#}"));
            None
        }
    }
}

fn install(name: &str, version: &str) -> Result<PathBuf> {
    let cache = Cache::open()?;
    let root = cache.whole(&format!("{name}-{version}"), |folder| {
        let target = cache.path("tools-target");
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--locked", "--version", version, "--root"]).arg(folder);
        cargo.arg("--target-dir").arg(&target).arg(name);
        let what = format!("check: compiling {name} {version} (1 to 4 minutes, once)");
        command::long(&what, &cache.log(name)?, &mut cargo)?;
        std::fs::remove_dir_all(&target).context("cannot remove what compiling left")
    })?;
    Ok(root.join("bin"))
}

/// Whether somebody depends on the answer: then nothing may be left out.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}
