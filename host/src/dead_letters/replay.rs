//! `sluicebox dead-letters replay`: asks the running collector through the state directory, and watches what becomes of the letters.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sluicebox_contract::TimeSpan;
use sluicebox_store::{Id, Letters, StoreError};

use crate::harmless;
use crate::say;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// A reason on one line is no longer.
const REASON_CHARACTERS: usize = 400;

/// A letter, and how often it had been replayed before.
type Asked = (Id, Option<u32>);

pub(super) fn replay(letters: &Letters, directory: &Path, ids: &[Id], wait: Duration) -> Result<ExitCode, StoreError> {
    let mut asked: Vec<Asked> = Vec::new();
    for id in ids {
        let before = letters.read(*id).ok().map(|letter| letter.replays);
        letters.ask_for_replay(*id)?;
        asked.push((*id, before));
    }
    if wait.is_zero() {
        for id in ids {
            say::line(format_args!("asked for {id}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (waiting, all_well) = watch(letters, asked, wait);
    if waiting.is_empty() {
        return Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    for (id, _) in &waiting {
        say::line(format_args!("{id} not taken yet"));
    }
    say::complaint(format_args!(
        "error: no collector seems to run with the state directory {}, or a sink is away: nothing has become of a letter for {}\n\
         hint: {} of them stay asked for until a collector takes them; `drop` removes them for good",
        directory.display(),
        TimeSpan(wait),
        waiting.len(),
    ));
    Ok(ExitCode::FAILURE)
}

/// Says what becomes of each, until nothing has happened for the time given; which are left, and whether the others went well.
fn watch(letters: &Letters, mut waiting: Vec<Asked>, wait: Duration) -> (Vec<Asked>, bool) {
    let mut all_well = true;
    let mut last_sign = Instant::now();
    while !waiting.is_empty() && last_sign.elapsed() < wait {
        let before = waiting.len();
        waiting.retain(|(id, before)| {
            let waits = letters.is_asked_for(*id);
            if !waits {
                all_well &= went_well(letters, *id, *before);
            }
            waits
        });
        if waiting.len() < before {
            last_sign = Instant::now();
        } else {
            #[allow(clippy::disallowed_methods, reason = "a command of one thread that has nothing else to do")]
            std::thread::sleep(PAUSE);
        }
    }
    (waiting, all_well)
}

fn went_well(letters: &Letters, id: Id, before: Option<u32>) -> bool {
    let reason = match letters.read(id) {
        Err(StoreError::Unknown(_)) => {
            say::line(format_args!("{id} replayed"));
            return true;
        }
        // It has come back as it was.
        Ok(letter) if before == Some(letter.replays) => {
            say::line(format_args!("{id} not tried: the collector's log says why"));
            return false;
        }
        Ok(letter) => letter.reason,
        Err(error) => error.to_string(),
    };
    say::line(format_args!("{id} dead again: {}", harmless::line(&reason, REASON_CHARACTERS)));
    false
}
