//! `sluicebox store`: what waits on the disk for sinks that do not take it. Works on the collector's state directory.

mod arguments;
mod drain;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sluicebox_contract::quantity::ByteSize;
use sluicebox_store::{Looks, Queue, QueueSettings, StoreError, Sync, WhenFull};

pub use arguments::{Action, DrainArguments, InspectArguments, RepairArguments, StoreArguments, VerifyArguments};

use crate::directories::{STORES, store};
use crate::say;
use crate::say::wrong;

/// Inspects, verifies, repairs or drains stores.
pub fn store_command(arguments: &StoreArguments) -> ExitCode {
    let Some(state) = arguments.place.find("stores") else {
        return ExitCode::from(2);
    };
    let done = match &arguments.action {
        Action::Inspect(inspect) => inspecting(&state, inspect),
        Action::Verify(verify) => verifying(&state, &verify.sinks),
        Action::Repair(repair) => of(&state, &repair.sink).and_then(|path| {
            let aside = repair.aside.as_deref().map(|aside| outside(&state, aside)).transpose()?;
            repairing(&path, aside.as_deref())
        }),
        Action::Drain(drain) => of(&state, &drain.sink).and_then(|path| drain::drain(&path, drain.to.as_deref())),
    };
    match done {
        Ok(code) => code,
        Err(error @ StoreError::Unknown(_)) => wrong(error),
        Err(error) => {
            say::complaint(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A directory that is no store, and in none: what is copied into one would be taken for entries.
fn outside(state: &Path, directory: &Path) -> Result<PathBuf, StoreError> {
    let absolute = std::path::absolute(directory).map_err(|error| StoreError::Unknown(format!("no directory: {error}")))?;
    let there = absolute.ancestors().find_map(|above| Some((above, std::fs::canonicalize(above).ok()?)));
    let resolved = there.map_or_else(
        || absolute.clone(),
        |(above, resolved)| resolved.join(absolute.strip_prefix(above).unwrap_or_else(|_| Path::new(""))),
    );
    let stores = std::fs::canonicalize(state.join(STORES)).unwrap_or_else(|_| state.join(STORES));
    if resolved.starts_with(&stores) {
        let text = format!("{} is among the stores\nhint: give a directory outside of {}", directory.display(), stores.display());
        return Err(StoreError::Unknown(text));
    }
    Ok(resolved)
}

/// The names of the sinks that have stores.
fn sinks(state: &Path) -> Result<Vec<String>, StoreError> {
    let directory = state.join(STORES);
    let none = || {
        StoreError::Unknown(format!(
            "no sink has a store in {}: it has no directory `{STORES}`\n\
             hint: `--state-directory` names the right one; a sink has a store when its `store` is configured",
            state.display()
        ))
    };
    let refused = |error: &std::io::Error| {
        StoreError::Unknown(format!(
            "cannot read {}: {error}\nhint: only the collector's own user may read it: run this as that user",
            directory.display()
        ))
    };
    let mut sinks: Vec<String> = std::fs::read_dir(&directory)
        .map_err(|error| if error.kind() == ErrorKind::NotFound { none() } else { refused(&error) })?
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    sinks.sort_unstable();
    Ok(sinks)
}

/// Where the store of this sink is; nothing else than a store is ever touched.
fn of(state: &Path, sink: &str) -> Result<PathBuf, StoreError> {
    let sinks = sinks(state)?;
    if sinks.iter().any(|known| known == sink) {
        return Ok(store(state, sink));
    }
    let text = format!("no sink `{sink}` has a store in {}\nhint: these have one: {}", state.display(), sinks.join(", "));
    Err(StoreError::Unknown(text))
}

fn inspecting(state: &Path, arguments: &InspectArguments) -> Result<ExitCode, StoreError> {
    let Some(sink) = &arguments.sink else {
        table(["SINK", "ENTRIES", "SIZE", "MISSING", "STATE"], sinks(state)?.iter().map(|sink| row(state, sink)));
        return Ok(ExitCode::SUCCESS);
    };
    let looks = Queue::look(&of(state, sink)?)?;
    if let Some(most) = arguments.entries {
        drain::show(&looks, most)?;
        return Ok(ExitCode::SUCCESS);
    }
    say::line(format_args!("{} entries wait, the first has number {}", looks.entries, looks.first_open));
    let file = |file: &sluicebox_store::LookedAt| {
        let state = match (&file.trouble, file.behind) {
            (Some(trouble), _) => trouble.clone(),
            (None, 0) => "whole".to_owned(),
            (None, behind) => format!("{behind} bytes behind the last entry cannot be read"),
        };
        [file.name.clone(), file.first.to_string(), file.entries.to_string(), ByteSize(file.bytes).to_string(), state]
    };
    table(["FILE", "FIRST", "ENTRIES", "SIZE", "STATE"], looks.files.iter().map(file));
    Ok(ExitCode::SUCCESS)
}

fn row(state: &Path, sink: &str) -> [String; 5] {
    match Queue::look(&store(state, sink)) {
        Ok(looks) => {
            let bytes = looks.files.iter().map(|file| file.bytes).sum();
            let is_later = looks.files.iter().any(|file| file.is_later);
            let is_whole = match (is_later, looks.is_whole()) {
                (true, _) => "of a later version",
                (false, true) => "whole",
                (false, false) => "damaged",
            };
            let in_use = if looks.in_use { ", in use" } else { "" };
            let (entries, missing) = (looks.entries.to_string(), looks.missing.to_string());
            [sink.to_owned(), entries, ByteSize(bytes).to_string(), missing, format!("{is_whole}{in_use}")]
        }
        Err(error) => [sink.to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned(), error.to_string()],
    }
}

fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: impl Iterator<Item = [String; COLUMNS]>) {
    let rows: Vec<[String; COLUMNS]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say::line(cells.join("  ").trim_end());
    }
}

fn verifying(state: &Path, named: &[String]) -> Result<ExitCode, StoreError> {
    let sinks = if named.is_empty() { sinks(state)? } else { named.to_vec() };
    let mut all_whole = true;
    for sink in sinks {
        let looks = Queue::look(&of(state, &sink)?)?;
        all_whole &= looks.is_whole();
        if looks.is_whole() {
            say::line(format_args!("{sink}: whole, {} entries wait", looks.entries));
        } else if later(&looks).is_some() {
            say::line(format_args!("{sink}: of a later version, which knows what is in it"));
            damage(&looks);
            say::line("hint: run the version again that has written it; this one does not start with it");
        } else {
            say::line(format_args!("{sink}: damaged, {} entries wait, {} are missing", looks.entries, looks.missing));
            damage(&looks);
            say::line(format_args!(
                "hint: the next start leaves out what cannot be read; `sluicebox store repair {sink}` does so now"
            ));
        }
    }
    Ok(if all_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What to do with a store that a later version has written, if one has.
fn later(looks: &Looks) -> Option<String> {
    looks.files.iter().filter(|file| file.is_later).find_map(|file| file.trouble.clone())
}

fn damage(looks: &Looks) {
    if looks.missing > 0 {
        for gap in &looks.gaps {
            say::line(format_args!("  nothing has entries {} to {}", gap.start, gap.end - 1));
        }
    }
    for file in &looks.files {
        match (&file.trouble, file.behind) {
            (Some(trouble), _) => say::line(format_args!("  {}: {trouble}", file.name)),
            (None, 0) => {}
            (None, behind) => say::line(format_args!(
                "  {}: {behind} bytes behind entry {} cannot be read",
                file.name,
                file.first + file.entries
            )),
        }
    }
}

fn repairing(path: &Path, aside: Option<&Path>) -> Result<ExitCode, StoreError> {
    let looks = Queue::look(path)?;
    if looks.in_use {
        return Err(StoreError::InUse { path: path.to_owned() });
    }
    if let Some(trouble) = later(&looks) {
        return Err(StoreError::Unfit(trouble));
    }
    if looks.is_whole() {
        say::line(format_args!("nothing is damaged, {} entries wait", looks.entries));
        return Ok(ExitCode::SUCCESS);
    }
    damage(&looks);
    let copies = looks.copy_damaged(aside).map_err(|error| {
        StoreError::Unfit(format!(
            "{error}\nhint: nothing was changed; `--aside DIRECTORY` copies what is damaged to where there is room"
        ))
    })?;
    let (queue, found) = open(path)?;
    let entries = queue.len();
    queue.close()?;
    say::line(format_args!(
        "{} bytes cut off, {} entries are known to be missing, {entries} entries wait",
        found.cut, found.missing
    ));
    for copy in copies {
        say::line(format_args!("a damaged file as it was: {}", copy.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens a store that is there, whatever it was configured to hold.
fn open(path: &Path) -> Result<(Queue, sluicebox_store::Recovered), StoreError> {
    Queue::open(path, QueueSettings { bytes: u64::MAX, when_full: WhenFull::Block, sync: Sync::Always })
}

/// As [`open`], and refuses what is damaged: opening it would take away what cannot be read.
fn whole(path: &Path) -> Result<Queue, StoreError> {
    let looks = Queue::look(path)?;
    if looks.in_use {
        return Err(StoreError::InUse { path: path.to_owned() });
    }
    if let Some(trouble) = later(&looks) {
        return Err(StoreError::Unfit(trouble));
    }
    if !looks.is_whole() {
        let sink = named(path);
        let sink = sink.display();
        let text = format!(
            "the store of {sink} is damaged\nhint: `sluicebox store verify {sink}` says what, `sluicebox store repair {sink}` keeps what \
             can be read and a copy of the rest"
        );
        return Err(StoreError::Unfit(text));
    }
    open(path).map(|(queue, _)| queue)
}

/// The name of a sink's store, for people.
fn named(path: &Path) -> PathBuf {
    path.file_name().map(PathBuf::from).unwrap_or_default()
}
