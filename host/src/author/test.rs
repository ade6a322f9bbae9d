//! `sluicebox module test`: cases, run through a component as a lane would run it.

use std::path::Path;
use std::process::ExitCode;

use sluicebox_wasm::{Limits, Module, WasmShaper};

use super::arguments::TestArguments;
use super::bless::bless;
use super::cases::{self, Case, Made, Mismatch, Script, Wanted};
use super::difference::difference;
use super::{load, paths};
use crate::{harmless, say};

const MARGIN: &str = "  ";

/// How the cases went.
#[derive(Default)]
struct Tally {
    held: usize,
    blessed: usize,
    differ: usize,
    /// Of those that differ: what `--bless` would write.
    blessable: usize,
    /// Likewise: those that the module does not survive.
    failed: usize,
    unreadable: usize,
}

/// Runs the cases and says what is not as expected.
pub(super) fn test(arguments: &TestArguments) -> ExitCode {
    let (module, paths) = match load::with_cases(&arguments.module, &arguments.cases) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let limits = load::limits(arguments.memory);
    let mut tally = Tally::default();
    for path in &paths {
        one(path, &module, &limits, arguments.bless, &mut tally);
    }
    conclude(&tally, paths.len(), arguments.bless)
}

/// Runs one case, blesses it if asked to, and says how it went.
fn one(path: &Path, module: &Module, limits: &Limits, is_to_bless: bool, tally: &mut Tally) {
    let name = path.display();
    let (text, case, script) = match read(path) {
        Ok(read) => read,
        Err(error) => {
            say::line(format_args!("{name} ... UNREADABLE"));
            say::complaint(format_args!("error: cannot read the case {name}: {error}"));
            tally.unreadable += 1;
            return;
        }
    };
    let mismatches = run(&script, module, limits);
    if mismatches.is_empty() {
        say::line(format_args!("{name} ... ok"));
        tally.held += 1;
        return;
    }
    let refused = if is_to_bless { blessed(path, &text, &mismatches, module, limits).err() } else { None };
    if is_to_bless && refused.is_none() {
        say::line(format_args!("{name} ... blessed"));
        tally.blessed += 1;
    } else {
        say::line(format_args!("{name} ... DIFFERS"));
        tally.differ += 1;
        tally.blessable += usize::from(bless(&text, &mismatches).is_ok());
        tally.failed += usize::from(mismatches.iter().any(|mismatch| matches!(mismatch.made, Made::Failure(_))));
    }
    if !case.about.is_empty() {
        say::line(format_args!("{MARGIN}{}", harmless::line(&case.about, 200)));
    }
    for mismatch in &mismatches {
        say::line(described(mismatch));
    }
    if let Some(refused) = refused {
        say::line(format_args!("{MARGIN}not blessed: {refused}"));
    }
}

fn read(path: &Path) -> Result<(String, Case, Script), String> {
    let text = paths::read(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let case = cases::read(&name, &text)?;
    let script = cases::script(&case)?;
    Ok((text, case, script))
}

/// What is not as the case says.
pub(super) fn run(script: &Script, module: &Module, limits: &Limits) -> Vec<Mismatch> {
    let mut shaper = WasmShaper::new(module.clone(), script.settings.clone(), script.context.clone(), limits.clone());
    cases::run(script, &mut shaper)
}

/// Writes what came, and tries whether the case holds with it.
fn blessed(path: &Path, text: &str, mismatches: &[Mismatch], module: &Module, limits: &Limits) -> Result<(), String> {
    let blessed = bless(text, mismatches)?;
    let script = cases::script(&cases::read("blessed", &blessed)?)?;
    if !run(&script, module, limits).is_empty() {
        return Err("the module does not do the same twice".to_owned());
    }
    std::fs::write(path, blessed).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// What was expected and what came, for a person.
pub(super) fn described(mismatch: &Mismatch) -> String {
    let place = mismatch.step.map_or_else(|| "start".to_owned(), |step| format!("step {}", step + 1));
    let text = |text: &str| harmless::line(text, 2000);
    let made = match &mismatch.made {
        Made::Success => "it succeeded".to_owned(),
        Made::Entries(entries) => format!("{} came", counted(entries.len())),
        Made::Refusal { fault, .. } => format!("it was refused: {}", text(fault)),
        Made::Failure(fault) => format!("it failed: {}", text(fault)),
    };
    match (&mismatch.wanted, &mismatch.made) {
        (Wanted::Entries(wanted), Made::Entries(came)) => {
            let both = if wanted.len() == came.len() {
                format!("{} expected, and others came", counted(wanted.len()))
            } else {
                format!("{} expected, {} came", counted(wanted.len()), came.len())
            };
            format!("{MARGIN}{place}: {both} (- expected, + came)\n{}", difference(wanted, came, "    "))
        }
        (Wanted::Refusal(part), Made::Entries(came)) => {
            let came = difference(&[], came, "    ");
            format!("{MARGIN}{place}: a refusal with `{}` expected, and {made}\n{came}", text(part)).trim_end().to_owned()
        }
        (Wanted::Refusal(part), _) => format!("{MARGIN}{place}: a refusal with `{}` expected, but {made}", text(part)),
        (Wanted::Entries(wanted), _) => format!("{MARGIN}{place}: {} expected, but {made}", counted(wanted.len())),
        (Wanted::Success, _) => format!("{MARGIN}{place}: {made}"),
    }
}

fn counted(entries: usize) -> String {
    match entries {
        0 => "no entry".to_owned(),
        1 => "1 entry".to_owned(),
        entries => format!("{entries} entries"),
    }
}

fn conclude(tally: &Tally, cases: usize, is_to_bless: bool) -> ExitCode {
    let Tally { held, blessed, differ, blessable, failed, unreadable } = *tally;
    let mut parts = vec![format!("{held} as expected")];
    for (count, what) in [(blessed, "blessed"), (differ, "with differences"), (unreadable, "unreadable")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let noun = if cases == 1 { "case" } else { "cases" };
    say::line(format_args!("\n{cases} {noun}: {}", parts.join(", ")));
    if blessable > 0 && !is_to_bless {
        say::line("hint: if what came is right, `--bless` writes it into the case files");
    }
    if failed > 0 {
        say::line(
            "hint: what a module fails of is never blessed: mend the module; `RUST_LOG=debug` shows what it has logged before",
        );
    }
    match (unreadable, differ) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::FAILURE,
        _ => ExitCode::from(2),
    }
}
