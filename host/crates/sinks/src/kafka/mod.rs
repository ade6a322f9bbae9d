//! Kafka: messages are records, documents are records under their name, to forget one is a record without a value.
//!
//! All entries of a batch are handed to the client, which packs and sends them, and the cluster's acknowledgements are awaited. The client
//! never gives a record up, and keeps the order within each partition; so neither does the sink send one twice: when a write is dropped or
//! gives up waiting, what is with the client stays there, and the next write goes on waiting for it (`flight`). Only when the client itself
//! cannot go on, or the brokers have refused credentials that have been replaced since, another takes its place and is handed all that was
//! not acknowledged.

mod check;
mod client;
mod config;
mod context;
mod credentials;
mod doubts;
mod flight;
mod forget;
#[cfg(test)]
mod fuzz;
mod properties;
mod reaction;
mod record;
mod reports;
mod statistics;
mod tombstones;

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use sluicebox_contract::meter::KafkaMeter;
use sluicebox_contract::{Entry, Fault, Outcome, Sink};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, warn};

pub use config::{Acks, Compression, Config, Partitioner, SaslMechanism, TlsVerify};
pub use record::check_topic;

use client::{Makings, Seat};
use credentials::Credentials;
use doubts::Doubts;
use flight::{Flight, State};
use reaction::{Reaction, Sent};
use record::{Record, fingerprint};
use reports::Trouble;
use tombstones::Tombstones;

/// How long the client, when it is in trouble, may take to get out of it by itself before the outlet is told.
const GRACE: Duration = Duration::from_secs(2);

/// How soon a client that had no room is asked again: it gives room back only after it has reported.
const ROOM: Duration = Duration::from_millis(10);

/// How often each record of a batch may come back for the sake of others, all together, before that counts as a fault of the cluster.
const SPARED: usize = 4;

/// Entries that a write is given at most: the cluster's answer is waited for at the end of each, and the client has room for more.
const MOST_ENTRIES: usize = properties::QUEUE_RECORDS / 2;

/// The sink.
pub struct Kafka {
    makings: Makings,
    address: String,
    seat: Seat,
    flight: Flight,
    tombstones: Tombstones,
    doubts: Doubts,
    /// The first reason, in this call, why a record that came back is to be sent again.
    setback: Option<Fault>,
    /// The same of a tombstone: entries do not wait for those.
    tombstone_setback: Option<Fault>,
    /// How often, in this call, records may be sent again for the sake of others without anybody hearing of it.
    spare: usize,
    /// The client had no room for the last record that it was to take.
    full: bool,
    /// The brokers have refused the client's credentials: others may be in the files by now.
    denied: bool,
}

/// Shows no password.
impl fmt::Debug for Kafka {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kafka").field("address", &self.address).field("seat", &self.seat).finish_non_exhaustive()
    }
}

/// What a ticket of the client stands for.
enum Ticket {
    Entry(usize),
    Tombstone(usize),
}

/// Since when nothing was heard.
struct Patience {
    quiet_since: Instant,
}

impl Kafka {
    /// Touches nothing: the first write makes the client.
    pub fn new(name: Arc<str>, config: &Config) -> Self {
        if config.sasl_mechanism == Some(SaslMechanism::Plain) && !config.tls {
            warn!(sink = %name, "the password is sent as it is: add `tls: true`, or everybody on the way to the brokers can read it");
        }
        let makings = Makings { sink: name, config: Arc::new(config.clone()), meter: Arc::default() };
        Self {
            makings,
            address: config.address(),
            seat: Seat::Empty,
            flight: Flight::default(),
            tombstones: Tombstones::new(),
            doubts: Doubts::default(),
            setback: None,
            tombstone_setback: None,
            spare: 0,
            full: false,
            denied: false,
        }
    }

    /// What the client tells of itself.
    pub fn meter(&self) -> Arc<KafkaMeter> {
        Arc::clone(&self.makings.meter)
    }

    async fn deliver(&mut self, batch: &[Entry]) -> Result<(), Fault> {
        // What is remembered has a bound also while the cluster is away.
        if self.tombstones.is_full() && !self.flight.is_behind() {
            self.forget_due().await?;
        }
        self.prepare().await?;
        self.spare = batch.len().saturating_mul(SPARED);
        let mut patience = Patience::new();
        loop {
            self.hand_over(batch);
            if self.flight.is_over(batch.len()) {
                return Ok(());
            }
            if self.flight.sent() == 0
                && let Some(fault) = self.setback.take()
            {
                // When the client cannot go on, that says more than what it did to each record.
                let fatal = self.seat.client().and_then(|client| client.fatal());
                return Err(fatal.map_or(fault, |trouble| reaction::to_fault(&trouble, &self.address)));
            }
            self.hear(&mut patience).await?;
        }
    }

    /// Sees that a client is there, and that it is one that can be worked with.
    async fn prepare(&mut self) -> Result<(), Fault> {
        self.settle();
        if self.denied {
            let credentials = Credentials::read(&self.makings.config).await?;
            if self.seat.client().is_some_and(|client| *client.credentials() != credentials) {
                self.leave();
            }
            self.denied = false;
        }
        let is_idle = self.flight.sent() == 0 && self.tombstones.sent() == 0;
        let is_spent = self.seat.client().is_some_and(|client| client.is_spent());
        let is_broken = self.seat.client().is_some_and(|client| client.fatal().is_some());
        if is_broken || (is_spent && is_idle) {
            self.leave();
        }
        self.setback = None;
        self.seat.take(&self.makings).await
    }

    /// Hands over what is not with the client yet, in order; stops where the client takes no more for now, and does not begin when
    /// something has come back that is to go first.
    fn hand_over(&mut self, batch: &[Entry]) {
        for (index, entry) in batch.iter().enumerate() {
            if let Some(State::Failed { code, alone }) = self.flight.state(index).cloned() {
                let again = if alone { State::Alone } else { State::Again };
                self.react(index, entry, (code, alone), again);
            }
        }
        if self.tombstones.one_is_alone() {
            // Nothing is sent together with that.
            return;
        }
        for (index, entry) in batch.iter().enumerate() {
            if self.setback.is_some() {
                return;
            }
            let state = self.flight.state(index);
            if matches!(state, Some(State::Unsent | State::Again)) && !self.hand_over_one(index, entry) {
                return;
            }
        }
        if self.flight.sent() == 0
            && self.tombstones.sent() == 0
            && let Some(index) = self.flight.first_alone()
            && let Some(entry) = batch.get(index)
        {
            self.hand_over_one(index, entry);
        }
    }

    /// Says whether the client may take another.
    fn hand_over_one(&mut self, index: usize, entry: &Entry) -> bool {
        let state = self.flight.state(index).cloned().unwrap_or(State::Unsent);
        let config = Arc::clone(&self.makings.config);
        let record = match Record::new(entry, &config) {
            Ok(record) => record,
            Err(reason) => {
                self.flight.set(index, State::Refused(reason));
                return true;
            }
        };
        if let Some(name) = record.name() {
            if !record.after.is_zero() {
                // Longer than the clock can count is for ever.
                if let Some(at) = Instant::now().checked_add(record.after) {
                    self.tombstones.forget_at(name, at);
                }
                self.flight.set(index, State::Done);
                return true;
            }
            // One that is sent again says nothing new: what is behind it in the batch may have said more.
            if state == State::Unsent {
                self.tombstones.keep(&name);
            }
        }
        let ticket = Ticket::Entry(self.flight.number(index)).packed();
        let Some(client) = self.seat.client() else {
            return false;
        };
        let sent = client.send(&record, ticket);
        self.full = sent == Err(RDKafkaErrorCode::QueueFull);
        match sent {
            Ok(()) => {
                self.doubts.try_again(ticket, record.topic);
                self.flight.set(index, State::Sent { alone: state == State::Alone });
            }
            Err(RDKafkaErrorCode::QueueFull) => return false,
            // Here the client speaks of this one only.
            Err(code) => self.react(index, entry, (code, true), state),
        }
        true
    }

    /// What is to become of an entry that the client or the cluster did not take, whether or not for itself alone.
    fn react(&mut self, index: usize, entry: &Entry, (code, alone): (RDKafkaErrorCode, bool), again: State) {
        let config = Arc::clone(&self.makings.config);
        let state = match Record::new(entry, &config) {
            Err(reason) => State::Refused(reason),
            Ok(record) => match self.reaction(&record, code, alone) {
                Reaction::Refuse(reason) => State::Refused(reason),
                Reaction::Alone => State::Alone,
                Reaction::Again if self.spare > 0 => {
                    self.spare -= 1;
                    again
                }
                Reaction::Again => {
                    self.setback.get_or_insert(reaction::to_topic(record.topic, code, &self.address));
                    again
                }
                Reaction::Wait(fault) => {
                    self.setback.get_or_insert(fault);
                    again
                }
            },
        };
        self.flight.set(index, state);
    }

    /// What an error means for a record, as things stand.
    fn reaction(&mut self, record: &Record<'_>, code: RDKafkaErrorCode, alone: bool) -> Reaction {
        let (topic, timeout) = (record.topic, self.makings.config.topic_timeout.0);
        let is_hopeless = record.names_topic
            && reaction::lies_in_topic(code)
            && (code == RDKafkaErrorCode::InvalidTopic || self.doubts.is_over(topic, timeout, Instant::now()));
        reaction::to_error(code, Sent { topic, is_hopeless, alone }, &self.address)
    }

    /// Waits until the client reports something, and takes it to heart, or until it may have room again. Gives up when it is in trouble, or
    /// silent for too long.
    async fn hear(&mut self, patience: &mut Patience) -> Result<(), Fault> {
        let limit = self.makings.config.message_timeout;
        while !self.settle() {
            let Some(client) = self.seat.client() else {
                return Err(reaction::silence(&self.makings.config));
            };
            let reports = Arc::clone(client.reports());
            let trouble = reports.trouble();
            let patient_until = patience.quiet_since + if trouble.is_some() { GRACE.min(limit.0) } else { limit.0 };
            let is_fatal = trouble.as_ref().is_some_and(|trouble| trouble.code == RDKafkaErrorCode::Fatal);
            if is_fatal || Instant::now() >= patient_until {
                return Err(self.give_up(trouble));
            }
            let until = if self.full { patient_until.min(Instant::now() + ROOM) } else { patient_until };
            // Time that is up is noticed above.
            let is_over = timeout_at(until, reports.changed()).await.is_err();
            if is_over && std::mem::take(&mut self.full) {
                return Ok(());
            }
        }
        patience.quiet_since = Instant::now();
        Ok(())
    }

    fn give_up(&mut self, trouble: Option<Trouble>) -> Fault {
        use RDKafkaErrorCode::{Authentication, SSL, SaslAuthenticationFailed};
        let fatal = self.seat.client().and_then(|client| client.fatal());
        let Some(trouble) = fatal.or(trouble) else {
            return self.setback.take().unwrap_or_else(|| reaction::silence(&self.makings.config));
        };
        self.denied = matches!(trouble.code, Authentication | SSL | SaslAuthenticationFailed);
        reaction::to_fault(&trouble, &self.address)
    }

    /// Takes what was reported to heart; says whether there was anything.
    fn settle(&mut self) -> bool {
        let reports = self.seat.client().map(|client| client.reports().take()).unwrap_or_default();
        for (ticket, result) in &reports {
            self.doubts.settle(*ticket, result.is_ok());
            match Ticket::unpacked(*ticket) {
                Ticket::Entry(number) => self.flight.settle(number, *result),
                Ticket::Tombstone(number) => self.settle_tombstone(number, *result),
            }
        }
        !reports.is_empty()
    }

    /// Lets the client go, with all that is with it.
    fn leave(&mut self) {
        self.settle();
        self.seat.leave();
        self.flight.lose();
        self.tombstones.lose();
        self.doubts.lose();
    }
}

impl Sink for Kafka {
    fn most_entries(&self) -> usize {
        MOST_ENTRIES
    }

    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        self.flight.take_up(batch.iter().map(fingerprint));
        let fault = self.deliver(batch).await.err();
        let outcome = self.flight.conclude(batch.len(), fault);
        if outcome.stopped.is_none()
            && let Err(fault) = self.hand_over_tombstones()
        {
            // It stays due: the upkeep that follows meets the same and reports it.
            debug!(sink = %self.makings.sink, %fault, "a document could not be forgotten yet");
        }
        outcome
    }

    async fn upkeep(&mut self) -> Result<(), Fault> {
        match self.tombstones.next(Instant::now()) {
            // Documents that are to be sent again go first: nothing is forgotten before it is there.
            Some(at) if !self.flight.is_behind() => sleep_until(at).await,
            _ => pending().await,
        }
        self.forget_due().await
    }
}

/// What is with the client is given up: the outlet has come to its end, or to its last moment.
impl Drop for Kafka {
    fn drop(&mut self) {
        self.settle();
        let records = self.flight.sent() + self.tombstones.sent();
        if records > 0 {
            warn!(sink = %self.makings.sink, records, "ended before the cluster had acknowledged all records; they may be there or not");
        }
        self.seat.leave();
    }
}

impl Patience {
    fn new() -> Self {
        Self { quiet_since: Instant::now() }
    }
}

impl Ticket {
    fn packed(&self) -> usize {
        match self {
            Self::Entry(number) => number << 1,
            Self::Tombstone(number) => number << 1 | 1,
        }
    }

    fn unpacked(ticket: usize) -> Self {
        if ticket & 1 == 0 { Self::Entry(ticket >> 1) } else { Self::Tombstone(ticket >> 1) }
    }
}
