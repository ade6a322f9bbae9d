//! What must hold besides the tests: format, lints, walls, licences.

use anyhow::{Result, bail};

use crate::command::{self, say};
use crate::{walls, workspace};

/// Check format, lints, walls between crates, licences and unused dependencies
///
/// The walls, licences and unused dependencies are checked by xtask itself. cargo-deny and cargo-machete have a second look where they
/// are installed.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    let steps: [(&str, Step); 5] = [
        ("format", format),
        ("lints", lints),
        ("walls", wall),
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

/// The product by all lints, then everything: whole files of tests, of which clippy does not know that they are tests, are freed from the
/// lints that guard against input from outside.
fn lints() -> Result<()> {
    let product = ["--lib", "--bins"].as_slice();
    let everything = ["--all-targets"].as_slice();
    for (targets, freed) in [
        (product, [].as_slice()),
        (everything, FREE_IN_TESTS.as_slice()),
    ] {
        let mut clippy = workspace::cargo();
        clippy
            .args(["clippy", "--workspace"])
            .args(targets)
            .args(["--", "-D", "warnings"]);
        clippy.args(freed.iter().map(|lint| format!("-Aclippy::{lint}")));
        command::must(&mut clippy)?;
    }
    Ok(())
}

const FREE_IN_TESTS: [&str; 7] = [
    "unwrap_used",
    "expect_used",
    "panic",
    "indexing_slicing",
    "print_stdout",
    "print_stderr",
    "missing_panics_doc",
];

fn wall() -> Result<()> {
    let breaches = walls::breaches()?;
    if !breaches.is_empty() {
        bail!("{} breaches:\n  {}", breaches.len(), breaches.join("\n  "));
    }
    Ok(())
}

/// Advisories need the network beyond the registries and are left out.
fn deny() -> Result<()> {
    if command::find("cargo-deny").is_none() {
        say(
            "check: cargo-deny is not installed; xtask's own look at walls, licences and sources must do",
        );
        return Ok(());
    }
    command::must(workspace::cargo().args(["deny", "check", "bans", "licenses", "sources"]))
}

fn machete() -> Result<()> {
    if command::find("cargo-machete").is_none() {
        say(
            "check: cargo-machete is not installed; xtask's own look at unused dependencies must do",
        );
        return Ok(());
    }
    command::must(workspace::cargo().arg("machete"))
}
