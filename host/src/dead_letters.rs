//! `sluicebox dead-letters`: what could not be dealt with, for whoever mends the cause. Works on the collector's state directory.

mod arguments;
#[cfg(test)]
mod fuzz;
mod list;
mod replay;

use std::process::ExitCode;

use sluicebox_contract::UnixNanos;
use sluicebox_store::{Id, LetterBounds, Letters, Listed, StoreError, write_pretty};

pub use arguments::{Action, Chosen, DeadLettersArguments, DropArguments, ListArguments, ReplayArguments, ShowArguments};

use crate::harmless;
use crate::say;
use crate::say::wrong;

/// Lists, shows, replays or drops dead letters.
pub fn dead_letters(arguments: &DeadLettersArguments) -> ExitCode {
    let Some(directory) = arguments.place.find("dead letters") else {
        return ExitCode::from(2);
    };
    // Opening would make it, and a wrong path would look like a collector without dead letters.
    if !directory.join("dead-letters").is_dir() {
        return wrong(format_args!(
            "no collector has kept dead letters in {}: it has no directory `dead-letters`\n\
             hint: `--state-directory` names the right one; the collector logs which it is",
            directory.display()
        ));
    }
    let letters = match Letters::open(&directory, LetterBounds::default()) {
        Ok(letters) => letters,
        Err(error) => return wrong(error),
    };
    let done = match &arguments.action {
        Action::List(list) => listing(&letters, list),
        Action::Show(show) => showing(&letters, &show.ids),
        Action::Replay(replay) => {
            choose(&letters, &replay.chosen, true).and_then(|ids| replay::replay(&letters, &directory, &ids, replay.wait.0))
        }
        Action::Drop(drop) => choose(&letters, &drop.chosen, false).and_then(|ids| dropping(&letters, ids)),
    };
    match done {
        Ok(code) => code,
        Err(error @ StoreError::Io { .. }) => {
            say::complaint(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
        Err(error) => wrong(error),
    }
}

fn listing(letters: &Letters, arguments: &ListArguments) -> Result<ExitCode, StoreError> {
    let mut all = letters.list()?;
    if let Some(lane) = &arguments.lane {
        all.retain(|letter| is_of(letter, lane));
    }
    if arguments.json {
        list::json_lines(&all);
    } else if all.is_empty() {
        say::line("no dead letters");
    } else {
        list::table(&all, UnixNanos::now());
    }
    Ok(ExitCode::SUCCESS)
}

fn showing(letters: &Letters, beginnings: &[String]) -> Result<ExitCode, StoreError> {
    for id in find_each(letters, beginnings)? {
        let letter = letters.read(id)?;
        let text = write_pretty(&letter).unwrap_or_default();
        say::line(harmless::json(&String::from_utf8_lossy(&text)));
    }
    Ok(ExitCode::SUCCESS)
}

fn dropping(letters: &Letters, ids: Vec<Id>) -> Result<ExitCode, StoreError> {
    for id in ids {
        match letters.remove(id) {
            // Somebody else was faster.
            Ok(()) | Err(StoreError::Unknown(_)) => say::line(format_args!("{id} dropped")),
            Err(error) => return Err(error),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The letters that are meant. Each must be there before anything is done with the first.
fn choose(letters: &Letters, chosen: &Chosen, must_be_readable: bool) -> Result<Vec<Id>, StoreError> {
    if !chosen.all {
        return find_each(letters, &chosen.ids);
    }
    let mut ids = Vec::new();
    for letter in letters.list()? {
        let meant = chosen.lane.as_ref().is_none_or(|lane| is_of(&letter, lane));
        match (letter.id, &letter.letter) {
            (Some(id), Err(error)) if meant && must_be_readable => say::complaint(format_args!("{id} passed over: {error}")),
            (Some(id), _) if meant => ids.push(id),
            _ => {}
        }
    }
    ids.dedup();
    if ids.is_empty() {
        say::line("no dead letters");
    }
    Ok(ids)
}

fn find_each(letters: &Letters, beginnings: &[String]) -> Result<Vec<Id>, StoreError> {
    let mut ids = Vec::new();
    for beginning in beginnings {
        let id = letters.find(beginning)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn is_of(letter: &Listed, lane: &str) -> bool {
    letter.letter.as_ref().is_ok_and(|summary| summary.lane == lane)
}
