//! The client: made and ended beside the executor, since both may block.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use sluicebox_contract::Fault;
use sluicebox_contract::meter::KafkaMeter;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

use super::config::Config;
use super::context::Context;
use super::credentials::Credentials;
use super::properties::properties;
use super::record::Record;
use super::reports::{Reports, Trouble};
use crate::shown::{WORDS, shown};

/// A client never forgets a topic; one that knows more than so many gives way to a new one.
const TOPICS: usize = 1_000;

/// What a client is made of.
#[derive(Clone)]
pub(super) struct Makings {
    pub(super) sink: Arc<str>,
    pub(super) config: Arc<Config>,
    pub(super) meter: Arc<KafkaMeter>,
}

/// A client with a thread of its own.
pub(super) struct Client {
    producer: ThreadedProducer<Context>,
    reports: Arc<Reports>,
    credentials: Credentials,
    topics: HashSet<String>,
}

/// The place of the one client.
pub(super) enum Seat {
    Empty,
    Opening(JoinHandle<Result<Client, Fault>>),
    Open(Box<Client>),
    Closing(JoinHandle<()>),
}

impl Client {
    /// Blocks. Connects to nobody yet.
    fn open(makings: &Makings, credentials: Credentials) -> Result<Self, Fault> {
        let reports = Arc::new(Reports::default());
        let context = Context::new(Arc::clone(&makings.sink), Arc::clone(&reports), Arc::clone(&makings.meter));
        let producer = ThreadedProducer::from_config_and_context(&properties(&makings.config, &credentials), context);
        let producer = producer.map_err(|error| {
            Fault::retry(
                format!("cannot make a client for kafka at {}", makings.config.address()),
                shown(&error.to_string(), WORDS),
            )
            .hint("do the certificate and its key fit each other, and what `extra` says the rest?")
        })?;
        Ok(Self { producer, reports, credentials, topics: HashSet::new() })
    }

    /// Hands a record over; what became of it will be reported with the ticket.
    pub(super) fn send(&mut self, record: &Record<'_>, ticket: usize) -> Result<(), RDKafkaErrorCode> {
        if !self.topics.contains(record.topic) {
            self.topics.insert(record.topic.to_owned());
        }
        let mut base = BaseRecord::with_opaque_to(record.topic, ticket);
        base.key = record.key;
        base.payload = record.body;
        if !record.headers.is_empty() {
            let none = OwnedHeaders::new_with_capacity(record.headers.len());
            let add = |headers: OwnedHeaders, (name, value): &(String, String)| {
                headers.insert(Header { key: name, value: Some(value) })
            };
            base.headers = Some(record.headers.iter().fold(none, add));
        }
        self.producer.send(base).map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::InvalidArgument))
    }

    pub(super) fn reports(&self) -> &Arc<Reports> {
        &self.reports
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether it knows too many topics.
    pub(super) fn is_spent(&self) -> bool {
        self.topics.len() >= TOPICS
    }

    /// What it cannot go on after.
    pub(super) fn fatal(&self) -> Option<Trouble> {
        let (code, reason) = self.producer.client().fatal_error()?;
        Some(Trouble { code, reason: shown(&reason, WORDS) })
    }
}

impl Seat {
    /// The client, if it is there.
    pub(super) fn client(&mut self) -> Option<&mut Client> {
        match self {
            Self::Open(client) => Some(client),
            _ => None,
        }
    }

    /// Waits until a client is there; it is made when the one before has ended. May be dropped and called again.
    pub(super) async fn take(&mut self, makings: &Makings) -> Result<(), Fault> {
        loop {
            match self {
                Self::Open(_) => return Ok(()),
                Self::Closing(closing) => {
                    // One that panics has ended as well.
                    let _ended = closing.await;
                    *self = Self::Empty;
                }
                Self::Opening(opening) => {
                    let opened = opening.await;
                    *self = Self::Empty;
                    let failed = |_| Err(Fault::retry("cannot make a client for kafka", "its thread cannot be started"));
                    *self = Self::Open(Box::new(opened.unwrap_or_else(failed)?));
                }
                Self::Empty => {
                    let credentials = Credentials::read(&makings.config).await?;
                    let makings = makings.clone();
                    *self = Self::Opening(spawn_blocking(move || Client::open(&makings, credentials)));
                }
            }
        }
    }

    /// Ends the client: what is with it is not sent any more.
    pub(super) fn leave(&mut self) {
        if let Self::Open(client) = std::mem::replace(self, Self::Empty) {
            // Without an executor nobody is held up.
            if let Ok(executor) = Handle::try_current() {
                *self = Self::Closing(executor.spawn_blocking(move || drop(client)));
            }
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "Empty",
            Self::Opening(_) => "Opening",
            Self::Open(_) => "Open",
            Self::Closing(_) => "Closing",
        })
    }
}
