//! A source that works on one of several collectors only: the one that holds the lease.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Closed, Fault, Feed, Notice, Source, SubjectId};
use tokio::sync::mpsc;

use crate::end::End;
use crate::kubernetes::lease::{Candidacy, Leadership};

/// Runs a source while the lease is held, a fresh one in each term, and nothing in between.
///
/// When a term ends, the source is dropped whatever it waits for, and the lanes are told that everything it has defined is forgotten. What
/// they have been told before is shaped and written as ever. Standing by counts as ready, and everything that was there counts as told only
/// once a source has told it: a sink never takes for stale what the holder of the lease keeps.
pub struct Elected<F> {
    leadership: Leadership,
    make: F,
    meter: Arc<SourceMeter>,
}

impl<S: Source, F: FnMut() -> Result<S, Fault> + Send + 'static> Elected<F> {
    /// `make` makes the source for a term; its fault ends this one. `meter` is the one that the sources made count with.
    pub fn new(leadership: Leadership, meter: Arc<SourceMeter>, make: F) -> Self {
        Self { leadership, make, meter }
    }

    async fn follow(mut self, mut feed: impl Feed) -> End {
        let candidacy = self.leadership.stand();
        let mut told = Told::default();
        loop {
            self.stand_by();
            let term = candidacy.until_held().await;
            if let Err(end) = self.work(term, &candidacy, &mut feed, &mut told).await {
                return end;
            }
            // Until they are forgotten no other term begins: numbers of subjects are never used again.
            while let Some(subject) = told.subjects.pop_first() {
                if let Err(closed) = feed.send(Notice::Forgotten(subject)).await {
                    return closed.into();
                }
            }
        }
    }

    /// Works until the term is over.
    async fn work(&mut self, term: u64, candidacy: &Candidacy, feed: &mut impl Feed, told: &mut Told) -> Result<(), End> {
        let source = (self.make)()?;
        self.meter.listed.set(0);
        // What has been sent is never cut off in the middle, as it may be when it is sent by a source that is dropped: some lanes would have
        // heard it, and others not.
        let (relay, mut notices) = mpsc::channel(1);
        let mut source = pin!(source.run(Relay(relay), std::future::pending()));
        let mut lost = pin!(candidacy.until_lost(term));
        loop {
            let notice = tokio::select! {
                biased;
                () = &mut lost => return Ok(()),
                Some(notice) = notices.recv() => notice,
                ended = &mut source => return Err(ended.map_or_else(End::Fault, |()| End::Closed)),
            };
            // The last moment at which it can be known.
            if candidacy.term() != Some(term) {
                return Ok(());
            }
            if told.is_news(&notice) {
                feed.send(notice).await?;
            }
        }
    }

    fn stand_by(&self) {
        self.meter.listed.set(1);
        self.meter.connected.set(1);
        for gauge in [&self.meter.cached_objects, &self.meter.cached_bytes, &self.meter.subjects] {
            gauge.set(0);
        }
    }
}

impl<S: Source, F: FnMut() -> Result<S, Fault> + Send + 'static> Source for Elected<F> {
    async fn run(self, feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        tokio::select! {
            biased;
            () = stop => Ok(()),
            end = self.follow(feed) => end.result(),
        }
    }
}

/// What the lanes know from the source.
#[derive(Default)]
struct Told {
    subjects: BTreeSet<SubjectId>,
    listed: bool,
}

impl Told {
    /// Takes note of a notice; says whether it is to be told.
    fn is_news(&mut self, notice: &Notice) -> bool {
        match notice {
            Notice::Defined(subject) => {
                self.subjects.insert(subject.id);
                true
            }
            Notice::Forgotten(subject) => {
                self.subjects.remove(subject);
                true
            }
            // Once for each run, however many terms it has.
            Notice::Listed => !std::mem::replace(&mut self.listed, true),
            Notice::Event(_) => true,
        }
    }
}

/// Where the source of a term puts what it observes.
struct Relay(mpsc::Sender<Notice>);

impl Feed for Relay {
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        self.0.send(notice).await.map_err(|_| Closed)
    }
}
