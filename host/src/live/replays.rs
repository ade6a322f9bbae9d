//! Dead letters that somebody wants to be tried again: an event goes to today's module of its lane, an entry to its sink.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::FutureExt as _;
use sluicebox_contract::{DeadLetter, Held, ModuleIdentity, UnixNanos};
use sluicebox_pipeline::{Changes, EntryAgain, EventAgain, LaneControl, Reshaped, Writing};
use sluicebox_store::{Asked, Id, Letters};
use sluicebox_wasm::WasmShaper;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::wire::Parts;

/// Time until a lane comes to a letter.
const LETTER: Duration = Duration::from_mins(1);
/// Time until the next letter is tried although the sink has not written this one.
const SINK: Duration = Duration::from_secs(2);

/// The lanes that letters can go to, with the modules in them.
pub(super) type Lanes = Vec<(String, LaneControl<WasmShaper>, ModuleIdentity)>;

/// What is known of letters that somebody wants to be tried again.
#[derive(Default)]
pub(super) struct Replays {
    /// Those that were dealt with in this run and could not be taken away: they are not tried once more.
    stuck: BTreeSet<Id>,
    /// Those whose entries wait for a sink.
    writing: BTreeMap<Id, (DeadLetter, Writing)>,
}

/// So many of either are remembered.
const REMEMBERED: usize = 256;

impl Replays {
    /// Tries every letter again that is asked for, one after the other. A letter stays on disk until every sink has written what was made of
    /// it: when the program ends before that, the next one begins with it.
    pub(super) async fn replay_all(&mut self, parts: &Parts, changes: &Changes, letters: &Letters, lanes: &Lanes) {
        for (id, (letter, mut writing)) in std::mem::take(&mut self.writing) {
            match writing.done().now_or_never() {
                Some(written) => self.put_away(letters, id, letter, written).await,
                None => drop(self.writing.insert(id, (letter, writing))),
            }
        }
        let all = letters.clone();
        let asked = blocking(move || all.asked()).await;
        for Asked { id, letter } in asked.unwrap_or_default() {
            if self.stuck.contains(&id) || self.writing.contains_key(&id) {
                continue;
            }
            match letter {
                Ok(letter) => self.replay(parts, changes, letters, lanes, id, letter).await,
                Err(error) => {
                    warn!(%id, %error, "dead letter cannot be read and is not replayed");
                    self.withdraw(letters, id).await;
                }
            }
        }
    }

    async fn replay(&mut self, parts: &Parts, changes: &Changes, letters: &Letters, lanes: &Lanes, id: Id, letter: DeadLetter) {
        let tried = timeout(LETTER, try_again(parts, changes, lanes, &letter)).await;
        match tried.unwrap_or_else(|_| Answer::NotTried(format!("the lane did not come to it within {LETTER:?}"))) {
            Answer::Stopping => {}
            Answer::NotTried(reason) => {
                warn!(%id, lane = %letter.lane, %reason, "dead letter not replayed; it is as it was");
                self.withdraw(letters, id).await;
            }
            Answer::Refused(reason, module) => {
                self.put_away(letters, id, DeadLetter { module, ..letter }, Err(reason)).await;
            }
            Answer::Writing(mut writing) => match timeout(SINK, writing.done()).await {
                Ok(written) => self.put_away(letters, id, letter, written).await,
                Err(_) if self.writing.len() < REMEMBERED => {
                    info!(%id, lane = %letter.lane, "dead letter shaped; it waits for its sink");
                    self.writing.insert(id, (letter, writing));
                }
                Err(_) => self.remember(id),
            },
        }
    }

    /// A letter that went well goes; one that did not is kept with what is known now.
    async fn put_away(&mut self, letters: &Letters, id: Id, letter: DeadLetter, written: Result<(), String>) {
        let (lane, letters) = (letter.lane.clone(), letters.clone());
        let done = match written {
            Ok(()) => {
                info!(%id, %lane, "dead letter replayed");
                blocking(move || letters.replayed(id)).await
            }
            Err(reason) => {
                warn!(%id, %lane, %reason, "dead letter replayed in vain");
                let letter = DeadLetter { at: UnixNanos::now(), reason, replays: letter.replays.saturating_add(1), ..letter };
                blocking(move || letters.returned(id, &letter)).await
            }
        };
        if done.is_none() {
            self.remember(id);
        }
    }

    async fn withdraw(&mut self, letters: &Letters, id: Id) {
        let letters = letters.clone();
        if blocking(move || letters.withdraw(id)).await.is_none() {
            self.remember(id);
        }
    }

    fn remember(&mut self, id: Id) {
        if self.stuck.len() >= REMEMBERED {
            self.stuck.pop_first();
        }
        self.stuck.insert(id);
    }
}

/// What became of a letter.
enum Answer {
    /// Its entries are on their way.
    Writing(Writing),
    /// Why, and by which module.
    Refused(String, ModuleIdentity),
    NotTried(String),
    /// The lane or the program is about to end.
    Stopping,
}

async fn try_again(parts: &Parts, changes: &Changes, lanes: &Lanes, letter: &DeadLetter) -> Answer {
    match &letter.held {
        Held::Event { subject, event } => {
            let Some((_, control, module)) = lanes.iter().find(|(name, ..)| *name == letter.lane) else {
                return Answer::NotTried(format!("no lane `{}` runs", letter.lane));
            };
            let Some(spare) = parts.ids.next() else {
                return Answer::NotTried("all numbers of subjects have been used".to_owned());
            };
            match control.replay(EventAgain { event: event.clone(), subject: subject.clone(), spare }).await {
                Ok(Reshaped::Shaped(writing)) => Answer::Writing(writing),
                Ok(Reshaped::Refused(reason)) => Answer::Refused(reason, module.clone()),
                Ok(Reshaped::NotTried(reason)) => Answer::NotTried(reason),
                Err(_) => Answer::Stopping,
            }
        }
        Held::Entry { sink, observed_at, entry } => {
            let Some(outlet) = parts.outlet(sink) else {
                return Answer::NotTried(format!("there is no sink `{sink}`"));
            };
            let again = EntryAgain {
                lane: letter.lane.clone(),
                module: letter.module.clone(),
                entry: entry.clone(),
                observed_at: *observed_at,
            };
            match changes.make(move |pipeline| pipeline.replay(outlet, again)).await {
                Ok(Some(writing)) => Answer::Writing(writing),
                _ => Answer::Stopping,
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
