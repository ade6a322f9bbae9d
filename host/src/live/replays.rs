//! Dead letters that somebody wants to be tried again: an event goes to today's module of its lane, an entry to its sink.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluicebox_contract::{DeadLetter, Held, ModuleIdentity, UnixNanos};
use sluicebox_pipeline::{Changes, EntryAgain, EventAgain, LaneControl};
use sluicebox_store::{Asked, Id, Letters};
use sluicebox_wasm::WasmShaper;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::wire::Parts;

/// Time for one letter.
const LETTER: Duration = Duration::from_mins(1);

/// The lanes that letters can go to, with the modules in them.
pub(super) type Lanes = Vec<(String, LaneControl<WasmShaper>, ModuleIdentity)>;

/// Letters that were dealt with in this run and could not be taken away: they are not tried once more.
#[derive(Default)]
pub(super) struct Replays(Mutex<BTreeSet<Id>>);

/// So many of them are remembered.
const REMEMBERED: usize = 1024;

impl Replays {
    fn stuck(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries every letter again that is asked for, one after the other.
    pub(super) async fn replay_all(&self, parts: &Parts, changes: &Changes, letters: Letters, lanes: Lanes) {
        let asked = {
            let letters = letters.clone();
            blocking(move || letters.asked()).await
        };
        for Asked { id, letter } in asked.unwrap_or_default() {
            if self.stuck().contains(&id) {
                continue;
            }
            let letters = letters.clone();
            let done = match letter {
                Ok(letter) => replay(parts, changes, letters, &lanes, id, letter).await,
                Err(error) => {
                    warn!(%id, %error, "dead letter cannot be read and is not replayed");
                    blocking(move || letters.withdraw(id)).await
                }
            };
            if done.is_none() {
                let mut stuck = self.stuck();
                if stuck.len() >= REMEMBERED {
                    stuck.pop_first();
                }
                stuck.insert(id);
            }
        }
    }
}

/// None when the letter could not be put where it belongs now.
async fn replay(parts: &Parts, changes: &Changes, letters: Letters, lanes: &Lanes, id: Id, letter: DeadLetter) -> Option<()> {
    let lane = letter.lane.clone();
    let result = timeout(LETTER, try_again(parts, changes, lanes, &letter)).await;
    match result.unwrap_or_else(|_| Answer::Refused(format!("nothing happened within {LETTER:?}"), letter.module.clone())) {
        // It stays asked for.
        Answer::Stopping => Some(()),
        Answer::Taken => {
            info!(%id, %lane, "dead letter replayed");
            blocking(move || letters.replayed(id)).await
        }
        Answer::Refused(reason, module) => {
            warn!(%id, %lane, %reason, "dead letter replayed in vain");
            let letter = DeadLetter { at: UnixNanos::now(), reason, module, replays: letter.replays.saturating_add(1), ..letter };
            blocking(move || letters.returned(id, &letter)).await
        }
    }
}

/// What became of a letter.
enum Answer {
    Taken,
    /// Why, and by which module.
    Refused(String, ModuleIdentity),
    /// The lane or the program is about to end.
    Stopping,
}

async fn try_again(parts: &Parts, changes: &Changes, lanes: &Lanes, letter: &DeadLetter) -> Answer {
    let refused = |reason: String| Answer::Refused(reason, letter.module.clone());
    match &letter.held {
        Held::Event { subject, event } => {
            let Some((_, control, module)) = lanes.iter().find(|(name, ..)| *name == letter.lane) else {
                return refused(format!("no lane `{}` runs", letter.lane));
            };
            let Some(spare) = parts.ids.next() else {
                return refused("all numbers of subjects have been used".to_owned());
            };
            let again = EventAgain { event: event.clone(), subject: subject.clone(), spare };
            match control.replay(again).await {
                Ok(Ok(())) => Answer::Taken,
                Ok(Err(reason)) => Answer::Refused(reason, module.clone()),
                Err(_) => Answer::Stopping,
            }
        }
        Held::Entry { sink, observed_at, entry } => {
            let Some(outlet) = parts.outlet(sink) else {
                return refused(format!("there is no sink `{sink}`"));
            };
            let again = EntryAgain {
                lane: letter.lane.clone(),
                module: letter.module.clone(),
                entry: entry.clone(),
                observed_at: *observed_at,
            };
            let written = changes.make(move |pipeline| pipeline.replay(outlet, again)).await;
            match written.ok().flatten() {
                Some(answer) => answer.await.map_or(Answer::Taken, refused),
                None => Answer::Stopping,
            }
        }
    }
}

/// Work with files, beside the executor; what fails is logged.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, sluicebox_store::StoreError> + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            warn!(%error, "dead letters cannot be replayed as asked");
            None
        }
        Err(error) => {
            warn!(%error, "dead letters cannot be replayed as asked");
            None
        }
    }
}
