//! `sluicebox module bench`: how fast a module is, what it holds and weighs, and whether that is within a budget.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;
use sluicebox_contract::quantity::ByteSize;
use sluicebox_contract::{Class, Event, Fault, Handlers, Shaper as _};
use sluicebox_wasm::{Module, WasmShaper};

use super::arguments::BenchArguments;
use super::cases::{self, Expect, Script, Step};
use super::load::{self, Found};
use super::measure::{Round, Rounds, processor_time};
use super::{events, paths};
use crate::say;

/// One row of the table: a kind of event, or a case file.
struct Row {
    name: String,
    rounds: Rounds,
    /// Linear memory at the end.
    memory: usize,
}

/// Measures, prints the table, and says what is over the budget.
pub(super) fn bench(arguments: &BenchArguments) -> ExitCode {
    let Found { component, file, .. } = match load::component(&arguments.module) {
        Ok(found) => found,
        Err(error) => return load::refused(&error),
    };
    let began = Instant::now();
    // Without the cache: compiling is measured, too.
    let module = match load::module(&arguments.module, &component, None) {
        Ok(module) => module,
        Err(code) => return code,
    };
    let compiled = began.elapsed();
    let scripts = match scripts(arguments) {
        Ok(scripts) => scripts,
        Err(error) => return say::wrong(error),
    };
    let (mut rows, mut unmeasured) = (Vec::new(), Vec::new());
    // Where a module refuses to start there is no event.
    let (refused, scripts): (Vec<_>, Vec<_>) = scripts.into_iter().partition(|(_, script)| script.start_error.is_some());
    if !refused.is_empty() {
        unmeasured.push(format!("cases in which the module refuses to start: {}", refused.len()));
    }
    for (name, script) in scripts {
        let (is_measurable, left_out) = left_out(&script, &module);
        if !left_out.is_empty() {
            unmeasured.push(format!("{name}: {}", left_out.join(", ")));
        }
        if is_measurable {
            match measure(name, &script, &module, arguments) {
                Ok(row) => rows.push(row),
                Err(error) => return say::wrong(error),
            }
        }
    }
    // A handler that the module has not is nothing that its author could have forgotten.
    if !arguments.events.is_empty() {
        for what in &unmeasured {
            say::complaint(format_args!("warning: not measured: {what}"));
        }
    }
    if cfg!(debug_assertions) {
        say::complaint(
            "warning: this program is a debug build, whose border to modules is slow: a release, as it is shipped, is several times as fast",
        );
    }
    if rows.is_empty() {
        return say::wrong("nothing was measured: no case has a batch that this module takes and does not refuse");
    }
    print(&module, file.as_deref(), compiled, &rows);
    judge(&over_budget(arguments, &module, &rows))
}

/// What is to be measured: the cases that are named, or one batch of each kind.
fn scripts(arguments: &BenchArguments) -> Result<Vec<(String, Script)>, String> {
    let mut scripts = Vec::new();
    if arguments.events.is_empty() {
        let settings: Value =
            serde_json::from_str(&arguments.settings).map_err(|error| format!("`--settings` is no JSON: {error}"))?;
        for (kind, case) in events::cases(&settings) {
            scripts.push((kind.to_owned(), cases::script(&cases::read(kind, &case.to_string())?)?));
        }
    } else {
        for path in paths::cases(&arguments.events)? {
            let (name, script) = read(&path).map_err(|error| format!("cannot read the case {}: {error}", path.display()))?;
            scripts.push((name, script));
        }
    }
    Ok(scripts)
}

fn read(path: &Path) -> Result<(String, Script), String> {
    let text = paths::read(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let script = cases::script(&cases::read(&name, &text)?)?;
    Ok((name, script))
}

/// Whether there is something to measure, and what of the script is not, with the reason. A refusal costs something else than what is
/// measured here.
fn left_out(script: &Script, module: &Module) -> (bool, Vec<String>) {
    let (mut any, mut left_out) = (false, Vec::new());
    for (number, step) in (1..).zip(&script.steps) {
        let Step::Batch { events, expect, .. } = step else { continue };
        if !is_taken(events, module.handlers()) {
            left_out.push(format!("step {number} is of a kind that the module does not take"));
        } else if matches!(expect, Expect::Error(_)) {
            left_out.push(format!("step {number} is refused"));
        } else {
            any |= events.iter().any(|event| event.items() > 0);
        }
    }
    if !any && left_out.is_empty() {
        left_out.push("it has no events".to_owned());
    }
    (any, left_out)
}

fn is_taken(events: &[Event], handlers: Handlers) -> bool {
    events.first().is_none_or(|event| cases::is_taken(event, handlers))
}

/// Takes the steps again and again until the time is over. What is timed is the handlers, border included, in time of the processor.
fn measure(name: String, script: &Script, module: &Module, arguments: &BenchArguments) -> Result<Row, String> {
    let failed = |fault: Fault| format!("cannot measure {name}: {fault}");
    let limits = load::limits(arguments.memory);
    let mut shaper = WasmShaper::new(module.clone(), script.settings.clone(), script.context.clone(), limits);
    shaper.renew().map_err(failed)?;
    let mut rounds = Rounds::default();
    let began = Instant::now();
    while rounds.is_empty() || began.elapsed() < arguments.time.0 {
        rounds.push(round(script, &mut shaper).map_err(failed)?);
    }
    let memory = shaper.memory_bytes();
    Ok(Row { name, rounds, memory })
}

fn round(script: &Script, shaper: &mut WasmShaper) -> Result<Round, Fault> {
    let mut round = Round::default();
    for step in &script.steps {
        match step {
            Step::Define(subjects) => shaper.define(subjects)?,
            Step::Forget(subjects) => shaper.forget(subjects)?,
            Step::Restart(subjects) | Step::Swap(subjects) => {
                shaper.renew()?;
                shaper.define(subjects)?;
            }
            Step::Batch { define, events, expect } => {
                shaper.define(define)?;
                if is_taken(events, shaper.handlers()) {
                    batch(events, expect, shaper, &mut round)?;
                }
            }
        }
    }
    Ok(round)
}

/// What is refused is handed over, too, as what comes behind it may build on it; but it does not count.
fn batch(events: &[Event], expect: &Expect, shaper: &mut WasmShaper, round: &mut Round) -> Result<(), Fault> {
    let before = processor_time();
    let made = shaper.shape(events);
    let time = processor_time().saturating_sub(before);
    match (expect, made) {
        (Expect::Error(_), Ok(_)) => {}
        (Expect::Error(_), Err(fault)) if matches!(fault.class, Class::Skip | Class::Retry) => {}
        (_, Err(fault)) => return Err(fault),
        (Expect::Entries(_), Ok(entries)) => {
            round.time += time;
            round.events += events.iter().map(Event::items).sum::<usize>();
            round.entries += entries.len();
        }
    }
    Ok(())
}

/// Where a directory was named, the file in it is.
fn print(module: &Module, file: Option<&Path>, compiled: Duration, rows: &[Row]) {
    let description = module.describe();
    let name = file.map_or_else(|| description.name.clone(), |file| file.display().to_string());
    say::line(format_args!(
        "{name} {}: {} bytes, compiled in {} ms\n",
        module.version(),
        description.bytes,
        compiled.as_millis()
    ));
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max("EVENTS".len());
    say::line(format_args!(
        "{:<width$}  {:>8}  {:>12}  {:>10}  {:>10}  {:>9}  {:>10}",
        "EVENTS", "A ROUND", "EVENTS/S", "NS/EVENT", "SLOWEST", "ENTRIES", "MEMORY KB"
    ));
    for Row { name, rounds, memory } in rows {
        let nanos = rounds.median();
        let each_second = if nanos > 0.0 { 1e9 / nanos } else { 0.0 };
        say::line(format_args!(
            "{name:<width$}  {:>8}  {each_second:>12.0}  {nanos:>10.1}  {:>10.1}  {:>9}  {:>10}",
            rounds.events(),
            rounds.slowest(),
            rounds.entries(),
            memory / 1024
        ));
    }
    say::line(
        "\nof one processor; NS/EVENT is the median of all rounds, ENTRIES come of one round; an event is one object, sample, connection or value",
    );
}

fn over_budget(arguments: &BenchArguments, module: &Module, rows: &[Row]) -> Vec<String> {
    let mut over = Vec::new();
    let bytes = |size: ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
    if let Some(budget) = arguments.budget_size
        && module.describe().bytes > bytes(budget)
    {
        over.push(format!("the component weighs {} bytes, more than {budget}", module.describe().bytes));
    }
    for Row { name, rounds, memory } in rows {
        let nanos = rounds.median();
        if let Some(budget) = arguments.budget_ns_per_event
            && nanos > budget
        {
            over.push(format!("{name} takes {nanos:.1} ns for each event, more than {budget}"));
        }
        if let Some(budget) = arguments.budget_memory
            && *memory > bytes(budget)
        {
            over.push(format!("{name} needs {memory} bytes of memory, more than {budget}"));
        }
    }
    over
}

fn judge(over: &[String]) -> ExitCode {
    for over in over {
        say::complaint(format_args!("error: over the budget: {over}"));
    }
    if over.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
