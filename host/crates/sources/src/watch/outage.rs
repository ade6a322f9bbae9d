//! What an operator reads when the API goes away and comes back: one line each, not one for each try.

use std::sync::Arc;

use http::StatusCode;
use sluicebox_contract::meter::SourceMeter;
use tokio::time::Instant;

use crate::kubernetes::Trouble;

/// So many kinds of trouble are said in one outage.
const MOST_KINDS: usize = 8;

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
    /// A different kind of trouble is news, once: a server that fails answers now this way and now that.
    told: Vec<Option<StatusCode>>,
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
        let since = self.since.get_or_insert(Since { began: Instant::now(), tries: 0, told: Vec::new() });
        since.tries += 1;
        // There are not many kinds.
        if !since.told.contains(&trouble.status) && since.told.len() < MOST_KINDS {
            since.told.push(trouble.status);
            let hint = trouble.hint.clone().or_else(|| hint(trouble.status, self.source));
            tracing::warn!(source = self.source, hint, "{trouble}: trying again with growing pauses");
        } else {
            tracing::debug!(source = self.source, tries = since.tries, "{trouble}");
        }
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
    let Some(status) = status else {
        return Some("is the API server alive, and reachable from this node?".to_owned());
    };
    match status {
        StatusCode::UNAUTHORIZED => {
            Some("the API does not know this token: `kubernetes.token-retrieval` says where it comes from".to_owned())
        }
        StatusCode::FORBIDDEN => Some(format!(
            "give the service account the rights `list` and `watch` on `{source}` by a ClusterRole and a ClusterRoleBinding"
        )),
        StatusCode::NOT_FOUND => Some("is the address that of a Kubernetes API server?".to_owned()),
        StatusCode::TOO_MANY_REQUESTS => {
            Some("the API server has more to do than it can: it is asked again when it says".to_owned())
        }
        status if status.is_server_error() => Some("the API server or its etcd fails: see the server's log".to_owned()),
        _ => None,
    }
}
