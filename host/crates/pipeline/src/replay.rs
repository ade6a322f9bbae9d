//! Dead letters on their way once more: an event to today's module and on to its sinks, an entry to its sink. Whoever asked learns whether
//! everything was written.

use std::sync::Arc;

use futures::future::BoxFuture;
use sluicebox_contract::{Class, Entry, Event, Fault, ModuleIdentity, Shaper, Subject, SubjectId, UnixNanos};
use tokio::sync::mpsc;
use tracing::warn;

use crate::lane::{GivenUp, Lane};
use crate::outlet::{Inlet, Origin, Parcel};

/// An event that is to be shaped again.
pub struct EventAgain {
    /// The event.
    pub event: Event,
    /// What it is about, where that is known.
    pub subject: Option<Subject>,
    /// A number for the subject if the lane does not know it.
    pub spare: SubjectId,
}

/// An entry that is to be written again.
#[derive(Debug)]
pub struct EntryAgain {
    /// The lane that made it.
    pub lane: String,
    /// The module that made it.
    pub module: ModuleIdentity,
    /// The entry.
    pub entry: Entry,
    /// When the event was observed that it was made from.
    pub observed_at: UnixNanos,
}

/// What became of an event that was to be shaped again.
pub enum Reshaped {
    /// Its entries are on their way.
    Shaped(Writing),
    /// The module does not take it, for this reason.
    Refused(String),
    /// The module was not asked, for this reason.
    NotTried(String),
}

/// Entries on their way to their sinks.
pub struct Writing {
    sending: Option<BoxFuture<'static, ()>>,
    answers: mpsc::Receiver<Option<String>>,
    /// Sinks that have not answered.
    missing: usize,
    refused: Option<String>,
}

/// What a sink can answer before anybody listens: refusals beyond that say nothing new.
const ANSWERS: usize = 4;

impl Writing {
    /// Entries for so many sinks, with what they answer to.
    fn new(sinks: usize) -> (Self, mpsc::Sender<Option<String>>) {
        let (sender, answers) = mpsc::channel(ANSWERS * sinks.max(1));
        (Self { sending: None, answers, missing: sinks, refused: None }, sender)
    }

    /// An entry for one sink.
    pub(crate) fn of(again: EntryAgain, outlet: Inlet) -> Self {
        let EntryAgain { lane, module, entry, observed_at } = again;
        let (writing, answer) = Self::new(1);
        let origin = Arc::new(Origin { lane: lane.into(), module, again: true, replay: Some(answer) });
        let parcel = Parcel::Entries { origin, entries: vec![entry], observed_at, receipt: None };
        let sending = async move {
            // A sink that has ended does not answer.
            let _ended = outlet.send(parcel).await;
        };
        Self { sending: Some(Box::pin(sending)), ..writing }
    }

    /// Waits until every sink has written its part; the error is what the first one says that refused. Can be dropped and asked again.
    pub async fn done(&mut self) -> Result<(), String> {
        if let Some(sending) = &mut self.sending {
            sending.await;
            self.sending = None;
        }
        while self.missing > 0 {
            match self.answers.recv().await {
                Some(Some(reason)) => drop(self.refused.get_or_insert(reason)),
                Some(None) => self.missing -= 1,
                // Without an answer it is not known to be written.
                None => return Err(self.refused.take().unwrap_or_else(|| "a sink has ended".to_owned())),
            }
        }
        self.refused.take().map_or(Ok(()), Err)
    }
}

impl<S: Shaper> Lane<S> {
    /// Shapes a dead letter's event. A module that dies of it has died of something old: that does not count as its trouble.
    pub(crate) fn reshape(&mut self, again: EventAgain) -> (Reshaped, Result<(), GivenUp>) {
        let EventAgain { event, subject, spare } = again;
        let known = |wanted: &Subject| {
            // What has no uid is known by its name.
            let name = |subject: &Subject| !subject.uid.is_empty() || subject.name == wanted.name;
            let same = |subject: &&Arc<Subject>| subject.kind == wanted.kind && subject.uid == wanted.uid && name(subject);
            self.subjects.values().chain(self.shunned.values()).find(same).map(|subject| subject.id)
        };
        let known = subject.as_ref().and_then(known);
        if known.is_some_and(|id| self.shunned.contains_key(&id)) {
            return (Reshaped::NotTried("its subject stops the module when it is defined".to_owned()), Ok(()));
        }
        let event = event.about(known.unwrap_or(spare));
        let stranger = subject.filter(|_| known.is_none()).map(|subject| Arc::new(Subject { id: spare, ..subject }));
        let shaped = match &stranger {
            Some(stranger) => self.shaper.define(std::slice::from_ref(stranger)),
            None => Ok(()),
        }
        .and_then(|()| self.shaper.shape(std::slice::from_ref(&event)));
        let (answer, mut fault) = match shaped {
            Ok(entries) => (Reshaped::Shaped(self.write_again(entries, &event)), None),
            Err(fault) => (Reshaped::Refused(fault.to_string()), Some(fault).filter(|fault| fault.class != Class::Skip)),
        };
        if fault.is_none() && stranger.is_some() {
            fault = self.shaper.forget(&[spare]).err();
        }
        (answer, fault.map_or(Ok(()), |fault| self.revive_after(&fault)))
    }

    fn write_again(&self, entries: Vec<Entry>, event: &Event) -> Writing {
        let sinks = if entries.is_empty() { 0 } else { self.outlets.len() };
        let (writing, answer) = Writing::new(sinks);
        let origin = Arc::new(Origin { again: true, replay: Some(answer), ..Origin::clone(&self.origin) });
        self.emit(&origin, entries, event.observed_at());
        writing
    }

    fn revive_after(&mut self, fault: &Fault) -> Result<(), GivenUp> {
        let (lane, module) = (&self.origin.lane, &self.origin.module);
        warn!(%lane, %module, %fault, "module stopped by a dead letter; a fresh instance takes its place");
        self.bury_instance(fault);
        self.revive()
    }
}
