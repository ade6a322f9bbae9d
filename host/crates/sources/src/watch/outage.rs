//! What an operator reads when the API goes away and comes back: one line each, not one for each try.

use std::sync::Arc;

use http::StatusCode;
use sluicebox_contract::meter::SourceMeter;
use tokio::time::Instant;

use crate::kubernetes::Trouble;

/// Whether the API answers, as far as one source can tell.
pub(super) struct Outage {
    source: &'static str,
    server: String,
    meter: Arc<SourceMeter>,
    since: Option<Since>,
}

struct Since {
    began: Instant,
    tries: u64,
    /// A different kind of trouble is news.
    status: Option<StatusCode>,
}

impl Outage {
    pub(super) fn new(source: &'static str, server: &str, meter: Arc<SourceMeter>) -> Self {
        Self { source, server: server.to_owned(), meter, since: None }
    }

    pub(super) fn failed(&mut self, trouble: &Trouble) {
        self.meter.retries.increment();
        // What is too old is listed anew; nobody has to do anything.
        if trouble.is_gone() {
            tracing::debug!(source = self.source, "{trouble}: listing again");
            return;
        }
        self.meter.connected.set(0);
        let since = self.since.get_or_insert(Since { began: Instant::now(), tries: 0, status: None });
        since.tries += 1;
        if since.tries == 1 || since.status != trouble.status {
            let hint = trouble.hint.clone().or_else(|| hint(trouble.status, self.source));
            tracing::warn!(source = self.source, hint, "{trouble}: trying again with growing pauses");
        } else {
            tracing::debug!(source = self.source, tries = since.tries, "{trouble}");
        }
        since.status = trouble.status;
    }

    pub(super) fn succeeded(&mut self) {
        self.meter.connected.set(1);
        if let Some(since) = self.since.take() {
            let seconds = since.began.elapsed().as_secs();
            tracing::info!(source = self.source, server = self.server, tries = since.tries, seconds, "the API answers again");
        }
    }
}

fn hint(status: Option<StatusCode>, source: &str) -> Option<String> {
    match status? {
        StatusCode::UNAUTHORIZED => {
            Some("the API does not know this token: `kubernetes.token-retrieval` says where it comes from".to_owned())
        }
        StatusCode::FORBIDDEN => Some(format!(
            "give the service account the rights `list` and `watch` on `{source}` by a ClusterRole and a ClusterRoleBinding"
        )),
        StatusCode::NOT_FOUND => Some("is the address that of a Kubernetes API server?".to_owned()),
        _ => None,
    }
}
