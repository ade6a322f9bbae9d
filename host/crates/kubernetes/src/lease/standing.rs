//! How things stand, for those who work only while the lease is held, and for whoever looks on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluicebox_contract::meter::LeaseMeter;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::config::Standby;
use super::core::Term;

/// What an operator is shown of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What this process is called in it.
    pub identity: String,
    /// Whether this process holds it.
    pub held: bool,
    /// Who stands in it, as last seen.
    pub holder: Option<String>,
    /// For how long that is so, as far as this process has seen. None before it has looked.
    pub lasts: Option<Duration>,
}

/// What is so at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) term: Option<Term>,
    pub(super) holder: Option<String>,
    pub(super) since: Option<Instant>,
}

/// What the election and its users share.
pub(super) struct Shared {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) identity: String,
    pub(super) standing: watch::Sender<Standing>,
    /// How many want the lease. Nobody asks for it for nobody.
    pub(super) candidacies: watch::Sender<usize>,
    pub(super) meter: Arc<LeaseMeter>,
    pub(super) longest_silence: Duration,
    /// No term begins any more.
    pub(super) is_closing: AtomicBool,
    pub(super) standby: Standby,
}

impl Shared {
    /// The last term is over, and no other one begins.
    pub(super) fn is_over(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed) && self.standing.borrow().term.is_none()
    }

    /// Ready when that is so. It is never so before there is news: who closes holds the lease.
    pub(super) async fn until_last_term_is_over(&self) {
        let mut standing = self.standing.subscribe();
        while !self.is_over() {
            if standing.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Says what is so now.
    pub(super) fn publish(&self, term: Option<Term>, holder: Option<String>, now: Instant) {
        self.standing.send_if_modified(|standing| {
            let same = standing.holder == holder && standing.term.map(|term| term.number) == term.map(|term| term.number);
            let since = if same { standing.since } else { Some(now) };
            let changed = Standing { term, holder, since };
            let news = *standing != changed;
            *standing = changed;
            news
        });
        self.meter.held.set(i64::from(term.is_some()));
    }
}

/// Whether this process holds the lease. Cheap to clone; all clones see the same.
#[derive(Clone)]
pub struct Leadership {
    shared: Arc<Shared>,
}

impl fmt::Debug for Leadership {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Leadership").field(&self.show()).finish()
    }
}

impl Leadership {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Has this process be a candidate for as long as the answer lives. Without one the lease is not asked for, and given back.
    pub fn stand(&self) -> Candidacy {
        self.shared.candidacies.send_modify(|candidacies| *candidacies += 1);
        Candidacy { leadership: self.clone() }
    }

    /// Holds on to the present term, if there is one, and lets no other begin: what was begun under the lease comes to its end before it is
    /// given back.
    pub fn prolong(&self) -> Option<Candidacy> {
        self.term()?;
        self.shared.is_closing.store(true, Ordering::Relaxed);
        Some(self.stand())
    }

    /// How long it takes at most from the last work of a holder until another one holds the lease, when all of them have the same settings: it
    /// may have been killed, or told to stop and not have got rid of what it had begun.
    pub fn longest_silence(&self) -> Duration {
        self.shared.longest_silence
    }

    /// Whether this process looks on while another one holds the lease.
    pub fn looks_on(&self) -> bool {
        self.shared.standby == Standby::LookOn
    }

    /// The number of the present term, if the lease is held at this moment. The first one is 1.
    pub fn term(&self) -> Option<u64> {
        self.shared.standing.borrow().term.filter(|term| Instant::now() < term.until).map(|term| term.number)
    }

    /// Ready when the term is over: it was taken away, given back, or its deadline has passed. The deadline is looked at here, by this
    /// process's own clock, so that it counts even when whoever should renew it is stuck.
    pub async fn until_lost(&self, number: u64) {
        let mut standing = self.shared.standing.subscribe();
        loop {
            let term = standing.borrow_and_update().term.filter(|term| term.number == number);
            let Some(until) = term.map(|term| term.until).filter(|until| Instant::now() < *until) else { return };
            // Its sender lives as long as this does. One that ends nevertheless takes no promise back: the loop comes here again.
            tokio::select! {
                () = sleep_until(until) => {}
                Ok(()) = standing.changed() => {}
            }
        }
    }

    /// How things stand.
    pub fn show(&self) -> Shown {
        let Shared { namespace, name, identity, standing, .. } = self.shared.as_ref();
        let standing = standing.borrow();
        Shown {
            namespace: namespace.clone(),
            name: name.clone(),
            identity: identity.clone(),
            held: standing.term.is_some_and(|term| Instant::now() < term.until),
            holder: standing.holder.clone(),
            lasts: standing.since.map(|since| since.elapsed()),
        }
    }

    /// What is counted.
    pub fn meter(&self) -> Arc<LeaseMeter> {
        Arc::clone(&self.shared.meter)
    }

    async fn until_held(&self) -> u64 {
        let mut standing = self.shared.standing.subscribe();
        loop {
            let term = standing.borrow_and_update().term;
            if let Some(term) = term.filter(|term| Instant::now() < term.until) {
                return term.number;
            }
            // A term that is over is followed by news, before another one begins. The sender lives as long as this does.
            if standing.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// A wish to hold the lease, for as long as it lives.
pub struct Candidacy {
    leadership: Leadership,
}

impl Candidacy {
    /// Ready with the term's number when the lease is held.
    pub async fn until_held(&self) -> u64 {
        self.leadership.until_held().await
    }

    /// Ready when it is known who holds the lease.
    pub async fn until_seen(&self) {
        let mut standing = self.leadership.shared.standing.subscribe();
        if standing.wait_for(|standing| standing.holder.is_some() || standing.term.is_some()).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Ready when somebody else is known to hold the lease.
    pub async fn until_another_holds(&self) {
        let shared = &self.leadership.shared;
        let mut standing = shared.standing.subscribe();
        let is_another = |standing: &Standing| standing.holder.as_ref().is_some_and(|holder| *holder != shared.identity);
        if standing.wait_for(is_another).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// As [`Leadership::until_lost`].
    pub async fn until_lost(&self, number: u64) {
        self.leadership.until_lost(number).await;
    }

    /// As [`Leadership::term`].
    pub fn term(&self) -> Option<u64> {
        self.leadership.term()
    }
}

impl Drop for Candidacy {
    fn drop(&mut self) {
        self.leadership.shared.candidacies.send_modify(|candidacies| *candidacies = candidacies.saturating_sub(1));
    }
}
