//! The work of the sink, which computes and may wait: applies entries to what is held, and sees to it that scrapes are answered.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use sluicebox_contract::{Document, Entry, Fault, Forget, Outcome, Refusal};
use tokio::time::Instant;
use tracing::{info, warn};

use super::config::Config;
use super::document;
use super::registry::{Group, Registry};
use super::server::{Served, Server};
use super::shelf::Shelf;
use crate::cause::cause;

/// What is held, and who shows it.
#[derive(Debug)]
pub(super) struct Keeper {
    sink: Arc<str>,
    config: Config,
    shelf: Arc<Shelf>,
    server: Option<Server>,
}

impl Keeper {
    pub(super) fn new(sink: Arc<str>, config: Config) -> Self {
        let registry = Registry::new(config.max_series, config.max_bytes.0);
        Self { sink, config, shelf: Arc::new(Shelf::new(registry)), server: None }
    }

    pub(super) fn is_listening(&self) -> bool {
        self.server.as_ref().is_some_and(|server| !server.has_ended())
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.shelf.read(Registry::next_due)
    }

    pub(super) fn write(&mut self, batch: Vec<Entry>, now: Instant) -> Outcome {
        if let Err(fault) = self.listen() {
            return Outcome::stopped_at(0, fault);
        }
        let mut outcome = Outcome::default();
        for (index, entry) in batch.into_iter().enumerate() {
            if let Err(reason) = self.apply(entry, now) {
                outcome.refused.push(Refusal { index, reason });
            }
        }
        // After the entries: what they put again is not due any more.
        self.forget_due(now);
        outcome
    }

    pub(super) fn upkeep(&mut self, now: Instant) -> Result<(), Fault> {
        self.forget_due(now);
        self.listen()
    }

    /// Begins to listen, unless that is so already.
    fn listen(&mut self) -> Result<(), Fault> {
        if self.is_listening() {
            return Ok(());
        }
        if self.server.take().is_some() {
            warn!(sink = %self.sink, "what answers scrapes has ended; it is started again");
        }
        let Config { listen, path, .. } = &self.config;
        let served = Served { sink: Arc::clone(&self.sink), path: path.clone(), shelf: Arc::clone(&self.shelf) };
        self.server = Some(Server::start(*listen, served).map_err(|error| self.unheard(error))?);
        info!(sink = %self.sink, address = %listen, path, "metrics can be scraped");
        Ok(())
    }

    /// Never fatal: an address that another has may be free later.
    fn unheard(&self, error: io::Error) -> Fault {
        let listen = self.config.listen;
        let hint = match error.kind() {
            ErrorKind::AddrInUse => {
                format!("another program or sink listens on port {}: end it, or name another port with `listen`", listen.port())
            }
            ErrorKind::AddrNotAvailable => format!("this node has no address {}: see `listen`", listen.ip()),
            ErrorKind::PermissionDenied => "name a port above 1023 with `listen`, or allow the low ones".to_owned(),
            _ => String::new(),
        };
        let fault = Fault::retry(format!("cannot listen on {listen} for scrapes"), cause(error));
        if hint.is_empty() { fault } else { fault.hint(hint) }
    }

    fn apply(&self, entry: Entry, now: Instant) -> Result<(), String> {
        match entry {
            Entry::Document(document) => self.put(document, now),
            Entry::Forget(Forget { collection, name, after }) => {
                self.shelf.change(|registry| registry.forget(&Group { collection, name }, after, now));
                Ok(())
            }
            Entry::Message(_) => Err("prometheus keeps documents; a message has no name to be kept under".to_owned()),
        }
    }

    fn put(&self, document: Document, now: Instant) -> Result<(), String> {
        let Document { collection, name, body } = document;
        let most = self.config.max_bytes;
        if body.len() as u64 > most.0 {
            return Err(format!("it has {} bytes, `max-bytes` is {most}", body.len()));
        }
        // Before anything is locked: scrapes do not wait for it.
        let document = document::parse(&body, self.config.max_series)?;
        // Longer than the clock can count is for ever.
        let expires = self.config.expire_after.and_then(|after| now.checked_add(after.0));
        self.shelf.change(|registry| registry.put(Group { collection, name }, document, expires))
    }

    fn forget_due(&self, now: Instant) {
        if self.next_due().is_some_and(|at| at <= now) {
            self.shelf.change(|registry| registry.forget_due(now));
        }
    }
}
