//! Decides what a candidate does next, from what it was answered and a clock that nobody sets. Pure: no IO, no task, no wall clock.
//!
//! Two rules keep two from holding the lease at once. The holder counts its deadline from *before* it sent the renewal that succeeded. A
//! candidate counts from *after* it has first seen the record in its present version, for the whole duration that the record names, and the
//! deadline is shorter than the duration. What the record says of the time of day is written for people and read by nobody.

use std::time::Duration;

use tokio::time::Instant;

use super::config::Terms;
use super::record::Record;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing before this moment.
    Wait(Instant),
    /// Read the Lease.
    Read,
    /// Create it, held.
    Create,
    /// Write it anew as the one that holds it already.
    Renew,
    /// Write it anew as the one that takes it.
    Take,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The Lease was read.
    Found(Record),
    /// There is none.
    Missing,
    /// It was created, renewed or taken; as the server keeps it.
    Written(Record),
    /// Somebody else was faster.
    Conflict,
    /// It is not known what became of it.
    Failed {
        /// How long the API asks to wait.
        wait: Option<Duration>,
    },
}

/// What the candidate knows of the Lease.
enum Known {
    Nothing,
    /// There is none. One that was held when it was last seen still counts until its time is over: to delete it is not to release it.
    Missing {
        not_before: Instant,
    },
    Record {
        record: Record,
        /// Since when it is known in this version.
        seen: Instant,
        /// It has been in this version since the first look: those who stand by for longer have seen it before, and what has happened
        /// since. They go first.
        at_first: bool,
    },
}

/// A term of holding the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// The first is 1.
    pub(super) number: u64,
    pub(super) since: Instant,
    /// It is over then unless it is renewed before.
    pub(super) until: Instant,
}

/// Why a term has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It could not be renewed in time.
    Deadline,
    /// Somebody else stands in the record; none when nobody does.
    Taken(Option<String>),
}

/// One candidate.
pub(super) struct Core {
    terms: Terms,
    identity: String,
    known: Known,
    /// What is known may be outdated: read before writing.
    stale: bool,
    term: Option<Term>,
    terms_so_far: u64,
    next: Instant,
    loss: Option<Loss>,
    random: u64,
}

impl Core {
    /// `seed` has two candidates wait differently.
    pub(super) fn new(terms: Terms, identity: String, seed: u64, now: Instant) -> Self {
        Self {
            terms,
            identity,
            known: Known::Nothing,
            stale: true,
            term: None,
            terms_so_far: 0,
            next: now,
            loss: None,
            random: seed | 1,
        }
    }

    /// The term, if the lease is held.
    pub(super) fn term(&self) -> Option<Term> {
        self.term
    }

    /// What is known of the Lease.
    pub(super) fn record(&self) -> Option<&Record> {
        match &self.known {
            Known::Record { record, .. } => Some(record),
            Known::Nothing | Known::Missing { .. } => None,
        }
    }

    /// Whether the record names this candidate, in a term or not.
    pub(super) fn is_named(&self) -> bool {
        self.record().is_some_and(|record| self.is_ours(record))
    }

    /// Why the last term has ended, told once.
    pub(super) fn take_loss(&mut self) -> Option<Loss> {
        self.loss.take()
    }

    /// The term ends of our own will.
    pub(super) fn resign(&mut self) {
        self.term = None;
        self.stale = true;
    }

    /// What is to be done now.
    pub(super) fn act(&mut self, now: Instant) -> Action {
        if self.term.is_some_and(|term| term.until <= now) {
            self.lose(Loss::Deadline);
        }
        if now < self.next {
            return Action::Wait(self.term.map_or(self.next, |term| self.next.min(term.until)));
        }
        match &self.known {
            Known::Nothing => Action::Read,
            _ if self.stale => Action::Read,
            Known::Missing { not_before } if now < *not_before => Action::Read,
            Known::Missing { .. } => Action::Create,
            Known::Record { record, .. } if self.is_ours(record) => Action::Renew,
            Known::Record { record, seen, at_first } if now >= self.free_from(record, *seen, *at_first) => Action::Take,
            Known::Record { .. } => Action::Read,
        }
    }

    /// How long a request may take that is sent now: so that a second one fits into the deadline, and none outlasts it.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        let deadline = now + self.terms.renew_deadline / 2;
        self.term.map_or(deadline, |term| deadline.min(term.until))
    }

    /// Takes the answer to a request that was sent at `sent`.
    pub(super) fn take(&mut self, answer: Answer, sent: Instant, now: Instant) {
        match answer {
            Answer::Found(record) => self.found(record, now),
            Answer::Missing => self.missing(now),
            Answer::Written(record) => self.written(record, sent, now),
            Answer::Conflict => {
                self.stale = true;
                // Soon, as the answer is there already; not at once, so that one who is refused for ever does not ask without pause.
                self.next = now + self.jittered(self.terms.retry_period / 8);
            }
            Answer::Failed { wait } => {
                self.stale = true;
                let pause = self.jittered(self.terms.retry_period);
                self.next = match wait {
                    Some(wait) => now + wait.clamp(pause, self.terms.duration),
                    // A request that nobody answered has been pause enough: what is left of the deadline is for the next one.
                    None => (sent + pause).max(now + pause / 8),
                };
            }
        }
    }

    fn found(&mut self, record: Record, now: Instant) {
        self.stale = false;
        let (seen, at_first) = match &self.known {
            Known::Record { record: known, seen, at_first } if known.version == record.version => (*seen, *at_first),
            Known::Nothing => (now, true),
            Known::Missing { .. } | Known::Record { .. } => (now, false),
        };
        let ours = self.is_ours(&record);
        if self.term.is_some() && !ours {
            self.lose(Loss::Taken(record.shown_holder()));
        }
        let free_from = self.free_from(&record, seen, at_first);
        self.known = Known::Record { record, seen, at_first };
        // What can be written now is; else the record is looked at again, at the latest when its time is over.
        self.next = if ours { now } else { free_from.max(now).min(now + self.jittered(self.terms.retry_period)) };
    }

    fn missing(&mut self, now: Instant) {
        self.stale = false;
        let not_before = match &self.known {
            Known::Record { record, seen, at_first } if !self.is_ours(record) => self.free_from(record, *seen, *at_first),
            Known::Missing { not_before } => *not_before,
            _ => now,
        };
        self.known = Known::Missing { not_before };
        self.next = not_before.max(now).min(now + self.jittered(self.terms.retry_period));
    }

    fn written(&mut self, record: Record, sent: Instant, now: Instant) {
        if !self.is_ours(&record) {
            // Whoever answers so is not the API server.
            self.stale = true;
            self.next = now + self.jittered(self.terms.retry_period);
            return;
        }
        self.stale = false;
        self.known = Known::Record { record, seen: now, at_first: false };
        self.next = now + self.jittered(self.terms.retry_period);
        if self.term.is_some_and(|term| term.until <= now) {
            self.lose(Loss::Deadline);
        }
        let until = sent + self.terms.renew_deadline;
        match &mut self.term {
            // Whoever works in it may have stopped already when its deadline had passed: then it is another term.
            Some(term) => term.until = term.until.max(until),
            None if until > now => {
                self.terms_so_far += 1;
                self.term = Some(Term { number: self.terms_so_far, since: now, until });
            }
            None => self.next = now + self.jittered(self.terms.retry_period / 8),
        }
    }

    fn lose(&mut self, loss: Loss) {
        self.term = None;
        self.loss = Some(loss);
    }

    fn is_ours(&self, record: &Record) -> bool {
        record.holder.as_ref() == Some(&self.identity)
    }

    /// From when on the lease can be taken from whoever holds it.
    fn free_from(&self, record: &Record, seen: Instant, at_first: bool) -> Instant {
        let others_first = if at_first { self.terms.retry_period } else { Duration::ZERO };
        match record.holder {
            Some(_) => seen + record.patience(self.terms.duration) + others_first,
            None => seen,
        }
    }

    /// Between four fifths and the whole of it: never longer, as the others count on it.
    fn jittered(&mut self, pause: Duration) -> Duration {
        // xorshift64, see Marsaglia, "Xorshift RNGs", 2003.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let thousandths = u32::try_from(self.random % 201).unwrap_or(0);
        pause * 4 / 5 + pause * thousandths / 1000
    }
}

#[cfg(test)]
#[path = "core_simulation.rs"]
mod simulation;
#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
