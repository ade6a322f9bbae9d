//! What an operator reads of an election: who holds the lease, that it changes hands, and one line for each outage.

use http::StatusCode;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::core::{Core, Loss};
use super::standing::Shared;
use crate::Trouble;

/// What was told so far.
#[derive(Default)]
pub(super) struct Tale {
    term: Option<u64>,
    /// Whom this process stands by for.
    holder: Option<String>,
    outage: Option<Outage>,
    /// Whose duration was called too long.
    too_long: Option<String>,
}

struct Outage {
    began: Instant,
    tries: u64,
    /// A different kind of trouble is news.
    status: Option<StatusCode>,
    /// It was a write that failed: that something can be read does not end it, until so much time has gone by without a write.
    of_write: bool,
    /// What failed last, and when.
    last: (bool, Instant),
}

impl Tale {
    /// Tells what has become different.
    pub(super) fn tell(&mut self, core: &mut Core, shared: &Shared) {
        let Shared { namespace, name, identity, .. } = shared;
        if let Some(loss) = core.take_loss() {
            let hint = "what works for the whole cluster ends here until the lease is held again";
            match loss {
                Loss::Deadline => {
                    warn!(%namespace, lease = %name, %identity, hint, "lease lost: it could not be renewed in time");
                }
                Loss::Taken(holder) => {
                    let holder = holder.unwrap_or_else(|| "nobody".to_owned());
                    warn!(%namespace, lease = %name, %identity, %holder, hint, "lease lost: somebody else has written to it");
                }
            }
        }
        let term = core.term().map(|term| term.number);
        if term != self.term {
            self.term = term;
            if let Some(term) = term {
                shared.meter.terms.increment();
                info!(%namespace, lease = %name, %identity, term, "lease held: what works for the whole cluster works here");
                self.holder = None;
            }
        }
        let Some(record) = core.record() else { return };
        let holder = record.shown_holder().filter(|_| !core.is_named());
        if let (None, Some(holder)) = (term, holder) {
            if let Some(seconds) = record.too_long().filter(|_| self.too_long.as_ref() != Some(&holder)) {
                warn!(%namespace, lease = %name, %holder, seconds, "the holder asks for more patience than anybody has: 5 minutes it is");
                self.too_long = Some(holder.clone());
            }
            if self.holder.as_ref() != Some(&holder) {
                info!(%namespace, lease = %name, %identity, %holder, "standing by: somebody else holds the lease");
                self.holder = Some(holder);
            }
        }
    }

    /// A request has failed, or none has since.
    pub(super) fn asked(&mut self, trouble: Option<&Trouble>, is_write: bool, shared: &Shared) {
        let Shared { name, meter, .. } = shared;
        let Some(trouble) = trouble else {
            if let Some(Outage { began, tries, .. }) = self.outage.take_if(|outage| is_write || !outage.of_write) {
                info!(lease = %name, tries, seconds = began.elapsed().as_secs(), "the API answers again");
            }
            // Somebody else has taken the lease, and nothing was to be written. What fails then is news.
            self.outage.take_if(|outage| outage.last.1.elapsed() > shared.longest_silence);
            return;
        };
        meter.failures.increment();
        if self.term.is_some() {
            meter.renewal_failures.increment();
        }
        let (now, status) = (Instant::now(), trouble.status);
        let outage =
            self.outage.get_or_insert(Outage { began: now, tries: 0, status: None, of_write: is_write, last: (is_write, now) });
        outage.tries += 1;
        // Each right that is missing is named.
        let is_another_right = status == Some(StatusCode::FORBIDDEN) && outage.last.0 != is_write;
        outage.last = (is_write, now);
        if outage.tries == 1 || outage.status != status || is_another_right {
            warn!(lease = %name, hint = trouble.hint, "{trouble}: trying again");
        } else {
            debug!(lease = %name, tries = outage.tries, "{trouble}");
        }
        (outage.status, outage.of_write) = (status, outage.of_write || is_write);
    }
}
