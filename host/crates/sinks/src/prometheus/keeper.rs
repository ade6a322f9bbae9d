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
    /// When the registry has something to forget. It has changed nothing by itself since.
    due: Option<Instant>,
    server: Option<Server>,
}

impl Keeper {
    pub(super) fn new(sink: Arc<str>, config: Config) -> Self {
        let registry = Registry::new(config.max_series, config.max_bytes.0);
        Self { sink, config, shelf: Arc::new(Shelf::new(registry)), due: None, server: None }
    }

    pub(super) fn is_listening(&self) -> bool {
        self.server.as_ref().is_some_and(|server| !server.has_ended())
    }

    /// Waits for nobody: the shelf may be locked for as long as a page takes to be made.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// Until scrapes are not answered any more. Does not hold on to the keeper.
    pub(super) fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let end = self.server.as_ref().map(Server::end);
        async move {
            if let Some(end) = end {
                end.await;
            }
        }
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
            Entry::Message(_) => {
                Err("prometheus keeps documents; a message has no name to be kept under: have the module make documents, \
                 such as `pod-metrics` with `form: prometheus`"
                    .to_owned())
            }
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

    fn forget_due(&mut self, now: Instant) {
        self.due = self.shelf.read(Registry::next_due);
        if self.due.is_some_and(|at| at <= now) {
            self.due = self.shelf.change(|registry| {
                registry.forget_due(now);
                registry.next_due()
            });
        }
    }
}

#[cfg(test)]
impl Keeper {
    /// With another one to answer scrapes.
    pub(super) fn answer_with(&mut self, server: Server) {
        self.server = Some(server);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use super::*;

    fn keeper() -> Keeper {
        let config = Config { listen: "127.0.0.1:0".parse().expect("an address"), expire_after: None, ..Config::default() };
        Keeper::new("page".into(), config)
    }

    fn forget(seconds: u64) -> Entry {
        Entry::Forget(Forget { name: "a".to_owned(), after: Duration::from_secs(seconds), ..Forget::default() })
    }

    #[test]
    fn when_something_is_due_is_known_while_a_page_is_being_made() {
        let mut keeper = keeper();
        let now = Instant::now();
        let document = Document { name: "a".to_owned(), body: b"a 1".to_vec(), ..Document::default() };
        assert_eq!(keeper.write(vec![Entry::Document(document), forget(5)], now), Outcome::written());
        let shelf = Arc::clone(&keeper.shelf);
        let (locked, is_locked) = sync_channel(1);
        let (done, is_done) = sync_channel::<()>(1);
        let making = std::thread::spawn(move || {
            shelf.read(|_| {
                locked.send(()).expect("somebody waits");
                is_done.recv_timeout(Duration::from_secs(20))
            })
        });
        is_locked.recv().expect("it is locked");
        assert_eq!(keeper.next_due(), Some(now + Duration::from_secs(5)));
        done.send(()).expect("it is locked until now");
        making.join().expect("no panic").expect("the question did not wait for the page");
        for (seconds, due) in [(4, Some(now + Duration::from_secs(5))), (5, None)] {
            keeper.upkeep(now + Duration::from_secs(seconds)).expect("it listens");
            assert_eq!(keeper.next_due(), due);
        }
    }
}
