//! Dead letters that somebody wants to be tried again: an event goes to today's module of its lane, an entry to its sink.

use std::sync::Arc;
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

/// Tries every letter again that is asked for, one after the other.
pub(super) async fn replay_all(parts: Arc<Parts>, changes: Changes, letters: Letters, lanes: Lanes) {
    let asked = {
        let letters = letters.clone();
        blocking(move || letters.asked()).await
    };
    for Asked { id, letter } in asked.unwrap_or_default() {
        match letter {
            Ok(letter) => replay(&parts, &changes, &letters, &lanes, id, letter).await,
            Err(error) => {
                warn!(%id, %error, "dead letter cannot be read and is not replayed");
                let letters = letters.clone();
                blocking(move || letters.withdraw(id)).await;
            }
        }
    }
}

async fn replay(parts: &Parts, changes: &Changes, letters: &Letters, lanes: &Lanes, id: Id, letter: DeadLetter) {
    let lane = letter.lane.clone();
    let letters = letters.clone();
    let result = timeout(LETTER, try_again(parts, changes, lanes, &letter)).await;
    match result.unwrap_or_else(|_| Err((format!("nothing happened within {LETTER:?}"), letter.module.clone()))) {
        Ok(()) => {
            info!(%id, %lane, "dead letter replayed");
            blocking(move || letters.replayed(id)).await;
        }
        Err((reason, module)) => {
            warn!(%id, %lane, %reason, "dead letter replayed in vain");
            let letter = DeadLetter { at: UnixNanos::now(), reason, module, replays: letter.replays.saturating_add(1), ..letter };
            blocking(move || letters.returned(id, &letter)).await;
        }
    }
}

/// The error names the module that did not take it.
async fn try_again(parts: &Parts, changes: &Changes, lanes: &Lanes, letter: &DeadLetter) -> Result<(), (String, ModuleIdentity)> {
    let before = |reason: String| (reason, letter.module.clone());
    match &letter.held {
        Held::Event { subject, event } => {
            let lane = lanes.iter().find(|(name, ..)| *name == letter.lane);
            let (_, control, module) = lane.ok_or_else(|| before(format!("no lane `{}` runs", letter.lane)))?;
            let spare = parts.ids.next().ok_or_else(|| before("all numbers of subjects have been used".to_owned()))?;
            let again = EventAgain { event: event.clone(), subject: subject.clone(), spare };
            match control.replay(again).await {
                Ok(answer) => answer.map_err(|reason| (reason, module.clone())),
                Err(_) => Err(before("the lane has ended".to_owned())),
            }
        }
        Held::Entry { sink, observed_at, entry } => {
            let outlet = parts.outlet(sink).ok_or_else(|| before(format!("there is no sink `{sink}`")))?;
            let again = EntryAgain {
                lane: letter.lane.clone(),
                module: letter.module.clone(),
                entry: entry.clone(),
                observed_at: *observed_at,
            };
            let written = changes.make(move |pipeline| pipeline.replay(outlet, again)).await;
            match written.ok().flatten() {
                Some(refused) => refused.await.map_or(Ok(()), |reason| Err(before(reason))),
                None => Err(before("the program stops".to_owned())),
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
