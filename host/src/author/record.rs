//! `sluicebox module record` and `replay`: real events become a case, and cases become entries.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::Access;
use serde_json::Value;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_contract::{Event, Shaper as _, UnixNanos};
use sluicebox_wasm::WasmShaper;

use super::arguments::{RecordArguments, ReplayArguments};
use super::cases::{self, Made, Step};
use super::recording::{Answer, Asked, MOST_TIME, Request};
use super::redact::{occurs, unread};
use super::{layout, load, paths};
use crate::{harmless, say};

/// A collector looks for requests every second.
const COLLECTOR: Duration = Duration::from_secs(10);

/// Asks the collector, waits, and writes the case.
pub(super) fn record(arguments: &RecordArguments) -> ExitCode {
    if arguments.output.exists() {
        return say::wrong(format_args!("{} is there already\nhint: name another file", arguments.output.display()));
    }
    if arguments.time.0 > MOST_TIME {
        let most = TimeSpan(MOST_TIME);
        return say::wrong(format_args!("no recording takes {}\nhint: give `--time` no more than {most}", arguments.time));
    }
    if let Err(error) = is_writable(&arguments.output) {
        return say::wrong(error);
    }
    let Some(state) = arguments.place.find("recordings") else { return ExitCode::from(2) };
    if !state.is_dir() {
        let hint = "hint: `--state-directory` names the right one; the collector logs which it is";
        return say::wrong(format_args!("no collector works with {}\n{hint}", state.display()));
    }
    let request = Request {
        lane: arguments.lane.clone(),
        events: arguments.number,
        seconds: arguments.time.0.as_secs().max(1),
        redact: arguments.redact.clone(),
    };
    let id = format!("{}-{}", UnixNanos::now().0, std::process::id());
    let asked = match Asked::ask(&state, &id, &request) {
        Ok(asked) => asked,
        Err(error) => return say::wrong(format_args!("cannot ask for a recording in {}: {error}", state.display())),
    };
    let began = Instant::now();
    let answer = wait(&asked, &state, request.patience());
    asked.end();
    match answer.and_then(|case| write(&arguments.output, &case).map(|steps| (case, steps))) {
        Ok((case, steps)) => {
            let (path, lane) = (arguments.output.display(), &arguments.lane);
            say::line(format_args!("{path}: {steps} steps of lane `{lane}`, and nothing expected of them yet"));
            say::line(format_args!(
                "hint: `sluicebox module test {path} --module FILE --bless` adds what the module makes of them"
            ));
            let was_in_time = began.elapsed() < request.patience();
            if let Some(warning) = cut(&case, arguments.number).filter(|_| was_in_time) {
                say::complaint(warning);
            }
            for name in &arguments.redact {
                warn(name, &case);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            say::complaint(format_args!("error: not recorded: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What there is to say of a recording with fewer events than were wanted.
fn cut(case: &Value, wanted: usize) -> Option<String> {
    let script = cases::script(&cases::read("recorded", &case.to_string()).ok()?).ok()?;
    let batches = script.steps.iter().filter_map(|step| if let Step::Batch { events, .. } = step { Some(events) } else { None });
    let found: usize = batches.flatten().map(Event::items).sum();
    let warning =
        || format!("warning: {found} of {wanted} events: no recording weighs more than 8MiB, nor goes on when its lane ends");
    (found < wanted).then(warning)
}

/// What whoever gives the file away has to know of this name.
fn warn(name: &str, case: &Value) {
    let shown = harmless::line(name, 200);
    if !occurs(name, case) {
        say::complaint(format_args!(
            "warning: nothing was taken out for `{shown}`: no field, label or attribute of that name has come"
        ));
    }
    let unread = unread(name, case);
    if unread > 0 {
        let (texts, are) = if unread == 1 { ("text", "is") } else { ("texts", "are") };
        say::complaint(format_args!(
            "warning: `{shown}` stands in {unread} {texts} that {are} no JSON, such as YAML or `{shown}=…`, and nothing was taken out for it there\n\
             hint: look at the file before you give it away"
        ));
    }
}

/// Says what is wrong with the place of the file, before anything is recorded that could not be written there.
fn is_writable(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let (path, folder) = (path.display(), folder.display());
        return Err(format!("cannot write {path}: there is no directory {folder}\nhint: make it, or name another file"));
    }
    let access = rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK);
    access.map_err(|error| format!("cannot write {}: {error}\nhint: name another file", path.display()))
}

fn wait(asked: &Asked, state: &Path, patience: Duration) -> Answer {
    let began = Instant::now();
    loop {
        match asked.answer() {
            Some(Ok(answer)) => return answer,
            Some(Err(error)) => return Err(format!("cannot read the collector's answer: {error}")),
            None => {}
        }
        let waited = began.elapsed();
        if waited > COLLECTOR && !asked.is_taken() {
            let hint = "hint: `--state-directory`, or `--config` with its configuration, names another one; a collector logs which it is";
            let state = state.display();
            return Err(format!(
                "no collector has taken the request in {state}: is it running, with this state directory?\n{hint}"
            ));
        }
        if waited > patience + COLLECTOR + COLLECTOR {
            return Err("the collector has not answered in time".to_owned());
        }
        #[expect(clippy::disallowed_methods, reason = "a command line tool has nothing else to do meanwhile")]
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn write(path: &Path, case: &Value) -> Result<usize, String> {
    let text = layout::lay_out(case, 0) + "\n";
    // Only the owner may read it: it holds what the cluster's objects say.
    let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = written.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(case.get("steps").and_then(Value::as_array).map_or(0, Vec::len))
}

/// Hands the events of the cases to the module, whatever they expect, and prints what comes: one JSON object for each entry.
pub(super) fn replay(arguments: &ReplayArguments) -> ExitCode {
    let (module, paths) = match load::with_cases(&arguments.module, &arguments.cases) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let mut code = ExitCode::SUCCESS;
    for path in &paths {
        let read = paths::read(path);
        let script = match read.and_then(|text| cases::read("replayed", &text)).and_then(|case| cases::script(&case)) {
            Ok(script) => script,
            Err(error) => return say::wrong(format_args!("cannot read the case {}: {error}", path.display())),
        };
        let limits = load::limits(arguments.memory);
        let mut shaper = WasmShaper::new(module.clone(), script.settings.clone(), script.context.clone(), limits);
        if let Err(fault) = shaper.renew() {
            say::complaint(format_args!("error: {}: {}", path.display(), harmless::line(&fault.to_string(), 2000)));
            code = ExitCode::FAILURE;
            continue;
        }
        for (index, step) in script.steps.iter().enumerate() {
            match cases::take(step, &mut shaper) {
                Made::Success => {}
                Made::Entries(entries) => entries.iter().for_each(|entry| say::line(harmless::json(&entry.to_string()))),
                Made::Refusal { fault, .. } | Made::Failure(fault) => {
                    let fault = harmless::line(&fault, 2000);
                    say::complaint(format_args!("error: {}: step {}: {fault}", path.display(), index + 1));
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_recording_with_fewer_events_than_were_wanted_says_so() {
        let pod = json!({"pod": {"change": "added", "pod": {"uid": "u1", "name": "web"}}});
        let case = json!({"about": "", "steps": [{"events": [pod, pod]}, {"events": [pod]}]});
        assert_eq!(cut(&case, 3), None);
        let warning = cut(&case, 4).unwrap();
        assert!(warning.starts_with("warning: 3 of 4 events: ") && warning.contains("8MiB"), "{warning}");
    }
}
