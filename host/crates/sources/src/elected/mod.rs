//! A source that works on one of several collectors only: the one that holds the lease.

mod relay;
mod witness;

use std::collections::BTreeSet;
use std::sync::Arc;

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Closed, Fault, Feed, Notice, Source, SubjectId};

use crate::end::End;
use crate::kubernetes::lease::{Candidacy, Leadership};
use relay::{Relayed, Said};
use witness::Witness;

/// Runs a source while the lease is held, a fresh one in each term.
///
/// When a term ends, the source is dropped whatever it waits for, and the lanes are told that everything it has defined is forgotten. What
/// they have been told before is shaped and written as ever. Standing by counts as ready once it is known who holds the lease, and everything that was there counts as told only
/// once a source has told it: a sink never takes for stale what the holder of the lease keeps.
///
/// A term begins with a list of what is there, as every run does. What was there when the holder before was killed, and is not there any
/// more, no list tells: for that a source can look on while somebody else holds the lease.
pub struct Elected<F> {
    leadership: Leadership,
    make: F,
    meter: Arc<SourceMeter>,
    looks_on: bool,
}

impl<S: Source, F: FnMut(Arc<SourceMeter>) -> Result<S, Fault> + Send + 'static> Elected<F> {
    /// `make` makes a source that counts with the meter it is given; its fault ends this one. Nothing runs while the lease is not held.
    pub fn new(leadership: Leadership, meter: Arc<SourceMeter>, make: F) -> Self {
        Self { leadership, make, meter, looks_on: false }
    }

    /// As [`Elected::new`], but while somebody else holds the lease a source runs as well, and a term begins with what it has seen happen since
    /// the holder before was last known to live and no list shows. For sources that tell of objects and what happens to them; which of
    /// the collectors do so the configuration says (`lease.standby`).
    pub fn looking_on(leadership: Leadership, meter: Arc<SourceMeter>, make: F) -> Self {
        let looks_on = leadership.looks_on();
        Self { leadership, make, meter, looks_on }
    }

    async fn follow(mut self, mut feed: impl Feed) -> End {
        let candidacy = self.leadership.stand();
        let mut told = Told::default();
        // Nobody is ready who knows nothing of the lease.
        candidacy.until_seen().await;
        loop {
            self.stand_by();
            let ended = match self.until_held(&candidacy).await {
                Ok((term, witness)) => self.work(term, witness, &candidacy, &mut feed, &mut told).await,
                Err(end) => Err(end),
            };
            if let Err(end) = ended {
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

    /// Waits for a term; gives its number, and who has looked on meanwhile.
    async fn until_held(&mut self, candidacy: &Candidacy) -> Result<(u64, Option<Witness>), End> {
        if !self.looks_on {
            return Ok((candidacy.until_held().await, None));
        }
        // Whoever is alone need not look on first.
        tokio::select! {
            biased;
            term = candidacy.until_held() => return Ok((term, None)),
            () = candidacy.until_another_holds() => {}
        }
        let mut witness = Witness::new(Relayed::start((self.make)(Arc::default())?), self.leadership.longest_silence());
        let term = tokio::select! {
            biased;
            term = candidacy.until_held() => term,
            end = witness.look_on() => return Err(end),
        };
        Ok((term, Some(witness)))
    }

    /// Works until the term is over.
    async fn work(
        &mut self,
        term: u64,
        mut witness: Option<Witness>,
        candidacy: &Candidacy,
        feed: &mut impl Feed,
        told: &mut Told,
    ) -> Result<(), End> {
        self.meter.listed.set(0);
        // The last moment at which it can be known.
        let holds = || candidacy.term() == Some(term);
        for notice in witness.as_mut().map(Witness::testify).unwrap_or_default() {
            if !holds() {
                return Ok(());
            }
            told.tell(notice, feed).await?;
        }
        let mut source = Relayed::start((self.make)(Arc::clone(&self.meter))?);
        let mut listed = BTreeSet::new();
        loop {
            let said = tokio::select! {
                biased;
                () = candidacy.until_lost(term) => return Ok(()),
                end = look_on(&mut witness) => return Err(end),
                said = source.next() => said,
            };
            let notice = match said {
                Said::Notice(notice) => notice,
                Said::End(end) => return Err(end),
            };
            let mut notices = Vec::new();
            match (&notice, &mut witness) {
                (Notice::Defined(subject), Some(_)) => drop(listed.insert(subject.uid.clone())),
                (Notice::Listed, Some(seen)) => {
                    notices = seen.gone_since(&listed);
                    witness = None;
                    listed.clear();
                }
                _ => {}
            }
            notices.push(notice);
            for notice in notices {
                if !holds() {
                    return Ok(());
                }
                told.tell(notice, feed).await?;
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

impl<S: Source, F: FnMut(Arc<SourceMeter>) -> Result<S, Fault> + Send + 'static> Source for Elected<F> {
    async fn run(self, feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        tokio::select! {
            biased;
            () = stop => Ok(()),
            end = self.follow(feed) => end.result(),
        }
    }
}

async fn look_on(witness: &mut Option<Witness>) -> End {
    match witness {
        Some(witness) => witness.look_on().await,
        None => std::future::pending().await,
    }
}

/// What the lanes know from the source.
#[derive(Default)]
struct Told {
    subjects: BTreeSet<SubjectId>,
    listed: bool,
}

impl Told {
    /// Tells the lanes, once for each run that all is listed, however many terms it has.
    async fn tell(&mut self, notice: Notice, feed: &mut impl Feed) -> Result<(), Closed> {
        match &notice {
            Notice::Defined(subject) => drop(self.subjects.insert(subject.id)),
            Notice::Forgotten(subject) => drop(self.subjects.remove(subject)),
            Notice::Listed if std::mem::replace(&mut self.listed, true) => return Ok(()),
            Notice::Listed | Notice::Event(_) | Notice::Tracked(..) => {}
        }
        feed.send(notice).await
    }
}
