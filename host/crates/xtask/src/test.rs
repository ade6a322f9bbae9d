//! Runs every test with real servers beside it, and says in the end what was not run and why.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::say;
use crate::modules::Compiler;
use crate::test_failures::Failures;
use crate::{chaos, check, deploy, lab, languages, modules, newcomer, reproducible, workspace};

/// Run all tests, those against real servers too
///
/// Gets the servers first (see `cargo xtask lab --help`). What cannot be had on this machine is listed in the end as not run; with CI=true
/// that is a failure, and `cargo xtask check` runs before the tests.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Leave the heavy servers out: etcd and kube-apiserver
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    compiler: Compiler,
    /// What else `cargo test` should know, for example `-- -p sluicebox-sinks redis`
    #[arg(last = true)]
    more: Vec<String>,
}

/// Says itself what went wrong: the sum is the last line of all, for machines to read.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let ci = check::is_ci();
    let mut troubles = Vec::new();
    if ci && let Err(error) = check::run(&check::Arguments::default()) {
        troubles.push(format!("{error:#}"));
    }
    let mut sum = Sum::default();
    if let Err(error) = test(arguments, ci, &mut sum) {
        troubles.push(format!("{error:#}"));
    }
    print!("{}", sum.failures);
    for trouble in &troubles {
        println!("\nTROUBLE: {trouble}");
    }
    if !troubles.is_empty() && sum.failed == 0 {
        // Something did not compile, or failed besides the tests.
        sum.failed = 1;
    }
    println!("\n{} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.skipped);
    if troubles.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn test(arguments: &Arguments, ci: bool, sum: &mut Sum) -> Result<()> {
    modules::compile(true, arguments.compiler)?;
    let lab = lab::provide(arguments.quick)?;
    let is_whole = !arguments.quick && arguments.more.is_empty();
    let missing_languages = if is_whole { languages::make(None, arguments.compiler)? } else { Vec::new() };
    let list = workspace::target().join("not-run.txt");
    fs::write(&list, "").with_context(|| format!("cannot write {}", list.display()))?;

    let mut cargo = cargo_test(&arguments.more);
    let word = |yes: bool| if yes { "true" } else { "false" };
    cargo.env("SLUICEBOX_NOT_RUN", &list).env("SLUICEBOX_LANGUAGES", languages::place());
    cargo.env("CI", word(ci)).env("SLUICEBOX_QUICK", word(arguments.quick));
    for piece in &lab.pieces {
        match &piece.found {
            Ok(path) => cargo.env(piece.variable, path),
            Err(_) => cargo.env_remove(piece.variable),
        };
    }
    let status = follow(&mut cargo, sum)?;

    let not_run = not_run(&list)?;
    sum.passed = sum.passed.saturating_sub(not_run.tests);
    sum.skipped += not_run.tests;
    if !not_run.lines.is_empty() {
        println!("\nNOT RUN, {} tests:", not_run.tests);
    }
    for line in &not_run.lines {
        println!("  {line}");
    }
    if !status.success() {
        bail!("cargo test failed ({status})");
    }
    if is_whole {
        guide(&missing_languages, sum)?;
        first_event(&lab, sum)?;
        reproducible::check(arguments.compiler).inspect_err(|_| sum.failed += 1)?;
        sum.passed += 1;
    }
    if arguments.more.is_empty() {
        faults(&lab, sum)?;
    }
    if is_whole {
        deployment(&lab, sum)?;
    }
    let missing = lab.pieces.iter().filter(|piece| piece.found.is_err());
    let missing = missing.map(|piece| piece.name).chain(missing_languages.iter().map(String::as_str));
    let missing: Vec<&str> = missing.collect();
    if ci && !missing.is_empty() {
        bail!("not to be had here, for the reason that stands above: {}", missing.join(", "));
    }
    Ok(())
}

/// What the author's guide says, typed through; a language whose tools could not be had is one test that was not run.
fn guide(missing: &[String], sum: &mut Sum) -> Result<()> {
    for language in missing {
        println!("\nNOT RUN: what the author's guide says of {language}, for the reason that stands above");
    }
    sum.skipped += missing.len();
    sum.passed += languages::as_test(missing).inspect_err(|_| sum.failed += 1)?;
    Ok(())
}

/// What the README says to somebody who has just got the sources.
fn first_event(lab: &lab::Lab, sum: &mut Sum) -> Result<()> {
    let needed = lab.pieces.iter().filter(|piece| ["etcd", "kube-apiserver", "kubectl"].contains(&piece.name));
    let missing: Vec<&str> = needed.filter(|piece| piece.found.is_err()).map(|piece| piece.name).collect();
    if !missing.is_empty() {
        println!("\nNOT RUN: the README's way to a first event in a cluster, without {}", missing.join(", "));
        sum.skipped += 1;
    }
    sum.passed += newcomer::as_test(missing.is_empty()).inspect_err(|_| sum.failed += 1)?;
    Ok(())
}

/// Last of all, since it takes the program as the tests have built it: what `cargo xtask chaos` does, in short.
fn faults(lab: &lab::Lab, sum: &mut Sum) -> Result<()> {
    let needed = lab.pieces.iter().filter(|piece| ["redis-server", "tansu", "python"].contains(&piece.name));
    let missing: Vec<&str> = needed.filter(|piece| piece.found.is_err()).map(|piece| piece.name).collect();
    if !missing.is_empty() {
        println!("\nNOT RUN: cargo xtask chaos, without {}", missing.join(", "));
        sum.skipped += 1;
        return Ok(());
    }
    let needed = lab.pieces.iter().filter(|piece| ["etcd", "kube-apiserver"].contains(&piece.name));
    let missing: Vec<&str> = needed.filter(|piece| piece.found.is_err()).map(|piece| piece.name).collect();
    if !missing.is_empty() {
        println!("\nNOT RUN: cargo xtask chaos --api-server real, without {}", missing.join(", "));
        sum.skipped += 1;
    }
    chaos::as_test(missing.is_empty()).inspect_err(|_| sum.failed += 1)?;
    sum.passed += 1;
    Ok(())
}

/// What `cargo xtask deploy` does, in short, with the program as the tests have built it: that manifests are accepted counts as one test, that the
/// collectors do their work as another.
fn deployment(lab: &lab::Lab, sum: &mut Sum) -> Result<()> {
    const NEEDED: [&str; 7] = ["redis-server", "kubectl", "busybox", "prometheus", "tansu", "etcd", "kube-apiserver"];
    let needed = lab.pieces.iter().filter(|piece| NEEDED.contains(&piece.name));
    let missing: Vec<&str> = needed.filter(|piece| piece.found.is_err()).map(|piece| piece.name).collect();
    if !missing.is_empty() {
        println!("\nNOT RUN: cargo xtask deploy, without {}", missing.join(", "));
        sum.skipped += 2;
        return Ok(());
    }
    match deploy::as_test().inspect_err(|_| sum.failed += 1)? {
        deploy::Outcome::Shown => sum.passed += 2,
        deploy::Outcome::AcceptedOnly(reason) => {
            println!("\nNOT RUN: cargo xtask deploy beyond --accept-only: {reason}");
            sum.passed += 1;
            sum.skipped += 1;
        }
        deploy::Outcome::NotRun(reason) => {
            println!("\nNOT RUN: cargo xtask deploy: {reason}");
            sum.skipped += 2;
        }
    }
    Ok(())
}

fn cargo_test(more: &[String]) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--no-fail-fast"]);
    if !names_packages(more) {
        cargo.arg("--workspace");
    }
    cargo.args(more);
    cargo
}

fn names_packages(arguments: &[String]) -> bool {
    let for_cargo = arguments.iter().take_while(|argument| *argument != "--");
    let mut names = for_cargo.filter(|argument| argument.starts_with("-p") || argument.starts_with("--package"));
    names.next().is_some()
}

#[derive(Debug, Default)]
struct Sum {
    passed: usize,
    failed: usize,
    skipped: usize,
    failures: Failures,
}

/// Shows cargo's output as it comes and adds up what the test programs report.
fn follow(cargo: &mut Command, sum: &mut Sum) -> Result<ExitStatus> {
    say("running the tests");
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut shown = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what cargo test prints")?;
        shown.write_all(&line)?;
        shown.write_all(b"\n")?;
        shown.flush()?;
        sum.add(&String::from_utf8_lossy(&line));
    }
    child.wait().context("cannot wait for cargo test")
}

impl Sum {
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    fn add(&mut self, line: &str) {
        self.failures.add(line);
        let Some((_, counts)) = line.split_once("test result: ").and_then(|(_, rest)| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let number: usize = number.parse().unwrap_or_default();
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

/// What the tests themselves wrote down: `NOT RUN: <test>: <what> <why>`.
struct NotRun {
    lines: BTreeSet<String>,
    tests: usize,
}

fn not_run(list: &Path) -> Result<NotRun> {
    let text = fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
    let lines: BTreeSet<String> = text.lines().filter_map(|line| line.strip_prefix("NOT RUN: ")).map(str::to_owned).collect();
    let tests: BTreeSet<&str> = lines.iter().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    let tests = tests.len();
    Ok(NotRun { lines, tests })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_many_programs_are_added_up() {
        let mut sum = Sum::default();
        sum.add("running 3 tests");
        sum.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s");
        sum.add("test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s");
        assert_eq!((sum.passed, sum.failed, sum.skipped), (13, 2, 1));
    }

    #[test]
    fn a_test_that_lacks_two_servers_is_one_test() {
        let folder = std::env::temp_dir().join(format!("xtask-not-run-{}", std::process::id()));
        fs::write(&folder, "NOT RUN: a::b: redis-server no\nNOT RUN: a::b: etcd no\nNOT RUN: a::b: etcd no\n").unwrap();
        let not_run = not_run(&folder).unwrap();
        fs::remove_file(&folder).unwrap();
        assert_eq!((not_run.lines.len(), not_run.tests), (2, 1));
    }
}
