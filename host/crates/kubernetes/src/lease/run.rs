//! Does what was decided: asks, waits, and says how things stand, until it is dropped.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use sluicebox_contract::meter::LeaseMeter;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::ask::Place;
use super::config::Terms;
use super::core::{Action, Answer, Core};
use super::place::{NAMESPACE_FILE, namespace, random};
use super::standing::{Leadership, Shared, Standing};
use super::tale::Tale;
use super::{Config, record};
use crate::Api;

/// Time to give the lease back, however slow the server is.
const RELEASE: Duration = Duration::from_secs(3);
/// How often it is tried when somebody writes to it at the same moment, or it fails.
const RELEASES: usize = 4;
/// Time until it is tried again after it has failed.
const RELEASE_AGAIN: Duration = Duration::from_millis(400);
/// A file with a namespace is not longer.
const LONGEST_FILE: usize = 1024;

/// One candidate for a lease; one for each process. It does nothing until it is run, and asks for nothing until somebody stands for it.
pub struct Election {
    place: Place,
    terms: Terms,
    core: Core,
    tale: Tale,
    shared: Arc<Shared>,
}

impl Election {
    /// Settles which Lease it is about; `identity` must be no other process's. A holder that is told to stop gives the lease back after `grace` at
    /// the latest. Nothing is sent yet. Must be called within a runtime.
    pub async fn new(api: Api, config: &Config, identity: String, grace: Duration) -> Self {
        let file = tokio::fs::read(NAMESPACE_FILE).await.ok().filter(|bytes| bytes.len() <= LONGEST_FILE);
        let file = file.and_then(|bytes| String::from_utf8(bytes).ok());
        let environment = |variable: &str| std::env::var(variable).ok();
        let namespace = namespace(config.namespace.as_deref(), environment, file.as_deref(), api.namespace());
        let terms = config.terms();
        let shared = Shared {
            namespace: namespace.clone(),
            name: config.name.clone(),
            identity: identity.clone(),
            standing: watch::Sender::new(Standing::default()),
            candidacies: watch::Sender::new(0),
            meter: Arc::<LeaseMeter>::default(),
            longest_silence: terms.duration + 2 * terms.retry_period + grace,
            is_closing: AtomicBool::new(false),
            standby: config.standby,
        };
        Self {
            place: Place { api, namespace, name: config.name.clone() },
            terms,
            core: Core::new(terms, identity, random(), Instant::now()),
            tale: Tale::default(),
            shared: Arc::new(shared),
        }
    }

    /// The namespace and the name of the Lease that it is about.
    pub fn lease(&self) -> (&str, &str) {
        (&self.place.namespace, &self.place.name)
    }

    /// What is asked by those who work only while the lease is held.
    pub fn leadership(&self) -> Leadership {
        Leadership::new(Arc::clone(&self.shared))
    }

    /// Runs for the lease until dropped; while nobody stands for it, or the last term is over, it is given back and left alone. To drop this
    /// gives nothing back: see [`Election::release`].
    pub async fn run(&mut self) -> Infallible {
        let mut candidacies = self.shared.candidacies.subscribe();
        let shared = Arc::clone(&self.shared);
        loop {
            // The sender is ours, so this does not fail.
            drop(candidacies.wait_for(|candidacies| *candidacies > 0).await);
            self.shared.meter.wanted.set(1);
            tokio::select! {
                never = self.campaign() => match never {},
                _nobody = candidacies.wait_for(|candidacies| *candidacies == 0) => {}
                () = shared.until_last_term_is_over() => {}
            }
            self.release().await;
            self.shared.meter.wanted.set(0);
            if shared.is_over() {
                return pending().await;
            }
        }
    }

    /// Gives the lease back if this process holds it, so that another one takes it at once; at most three seconds. What works under it must
    /// have ended before.
    pub async fn release(&mut self) {
        let was_named = self.core.is_named() || self.core.term().is_some();
        self.core.resign();
        self.publish();
        if !was_named {
            return;
        }
        let deadline = Instant::now() + RELEASE;
        for tried in 1..=RELEASES {
            let (read, trouble) = self.place.read(deadline).await;
            let written = match (&read, trouble) {
                (Answer::Found(record), _) if record.holder.as_ref() == Some(&self.shared.identity) => {
                    self.place.replace(&record.released(&wall_time()), deadline).await
                }
                (_, None) => return,
                (_, trouble) => (read, trouble),
            };
            match written {
                (Answer::Written(_), _) => {
                    return info!(namespace = %self.place.namespace, lease = %self.place.name, "lease given back");
                }
                (Answer::Conflict, _) => {}
                // One that is not answered takes all of the time; one that is refused none.
                (_, Some(_)) if tried < RELEASES && Instant::now() < deadline => sleep(RELEASE_AGAIN).await,
                (_, trouble) => {
                    let cause = trouble.map(|trouble| trouble.to_string());
                    return warn!(lease = %self.place.name, cause, "the lease could not be given back: others wait until its time is over");
                }
            }
        }
    }

    async fn campaign(&mut self) -> Infallible {
        loop {
            let now = Instant::now();
            let action = self.core.act(now);
            self.tale.tell(&mut self.core, &self.shared);
            self.publish();
            if let Action::Wait(until) = action {
                sleep_until(until).await;
                continue;
            }
            let deadline = self.core.deadline(now).min(now + self.place.api.request_timeout());
            let (answer, trouble) = self.ask(action, deadline).await;
            self.core.take(answer, now, Instant::now());
            let is_write = matches!(action, Action::Create | Action::Renew | Action::Take);
            self.tale.asked(trouble.as_ref(), is_write, &self.shared);
        }
    }

    async fn ask(&self, action: Action, deadline: Instant) -> (Answer, Option<crate::Trouble>) {
        let Self { place, terms, core, shared, .. } = self;
        let (identity, wall) = (&shared.identity, wall_time());
        match (action, core.record()) {
            (Action::Create, _) => {
                place.create(&record::new(&place.namespace, &place.name, identity, terms, &wall), deadline).await
            }
            (Action::Renew, Some(record)) => place.replace(&record.renewed(terms, &wall), deadline).await,
            (Action::Take, Some(record)) => place.replace(&record.taken(identity, terms, &wall), deadline).await,
            (Action::Read | Action::Wait(_) | Action::Renew | Action::Take, _) => place.read(deadline).await,
        }
    }

    fn publish(&self) {
        let holder = self.core.record().and_then(record::Record::shown_holder);
        self.shared.publish(self.core.term(), holder, Instant::now());
    }
}

/// The time of day as the API writes it, with microseconds. For people only; a clock outside of all calendars counts as 1970.
fn wall_time() -> String {
    format!("{:.6}", Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH))
}
