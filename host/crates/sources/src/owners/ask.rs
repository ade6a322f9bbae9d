//! Asks the API server who controls an owner: which path its kind has, once for each group, then its metadata and nothing else.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::ACCEPT;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use sluicebox_contract::Backoff;
use sluicebox_contract::pod::Owner;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::parse::{self, Kinds, Resource};
use super::recent::Recent;
use crate::kubernetes::{Api, Trouble};

/// So many questions at once: there is no hurry, and thousands of nodes ask.
const AT_ONCE: usize = 4;
/// Objects change hands, and rights are given: after so long they are asked for again.
pub(super) const GOOD_FOR: Duration = Duration::from_mins(10);
/// A kind that a group does not have may come later.
const NO_SUCH_KIND_FOR: Duration = Duration::from_mins(1);
/// How many groups are remembered, each in one version.
const MOST_GROUPS: usize = 32;
/// After the first failure. The next ones wait longer.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// However long a wait the API asks for.
const LONGEST_WAIT_ASKED: Duration = Duration::from_mins(1);
/// Of the metadata of one object, and of the kinds of a group.
const MOST_BYTES: usize = 4 << 20;
/// So many kinds of trouble are warned of, each once.
const MOST_WARNINGS: usize = 64;

const WHOLE: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// What the API server says stands above an owner.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) above: Option<Owner>,
    /// There may be one, which it does not tell.
    pub(super) is_refused: bool,
    pub(super) good_until: Instant,
}

pub(super) struct Asker {
    api: Api,
    good_for: Duration,
    at_once: Semaphore,
    /// By group and version.
    kinds: Mutex<Recent<(Arc<Kinds>, Instant)>>,
    warned: Mutex<HashSet<(String, Option<StatusCode>)>>,
}

/// Something that did not work, and what it was about.
struct Failure {
    /// Such as `deployments`.
    what: String,
    trouble: Trouble,
}

impl Asker {
    pub(super) fn new(api: Api, good_for: Duration) -> Self {
        Self {
            api,
            good_for,
            at_once: Semaphore::new(AT_ONCE),
            kinds: Mutex::new(Recent::new(MOST_GROUPS)),
            warned: Mutex::default(),
        }
    }

    /// Asks until there is an answer, with growing pauses. That nobody may know, and that it is gone, are answers.
    pub(super) async fn until_answered(&self, namespace: &str, owner: &Owner) -> Answer {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            match self.ask(namespace, owner).await {
                Ok(above) => return Answer { above, is_refused: false, good_until: Instant::now() + self.good_for },
                Err(failure) => {
                    self.warn_once(owner, &failure);
                    let trouble = failure.trouble;
                    if trouble.is_final() || trouble.status == Some(StatusCode::FORBIDDEN) {
                        return Answer { above: None, is_refused: true, good_until: Instant::now() + self.good_for };
                    }
                    let wait = backoff.wait();
                    sleep(trouble.retry_after.map_or(wait, |asked| asked.min(LONGEST_WAIT_ASKED).max(wait))).await;
                }
            }
        }
    }

    async fn ask(&self, namespace: &str, owner: &Owner) -> Result<Option<Owner>, Failure> {
        // It is never closed.
        let _turn = self.at_once.acquire().await;
        let Some(resource) = self.resource(owner).await? else { return Ok(None) };
        let Some(path) = parse::object_path(owner, &resource, namespace) else { return Ok(None) };
        let tried = format!("cannot get the metadata of the {} {namespace}/{}", owner.kind, owner.name);
        let found = self.get(&path, METADATA, &tried).await.and_then(|text| {
            text.map(|text| parse::controller(&text, &owner.uid).map_err(|cause| Trouble::new(&tried, cause))).transpose()
        });
        found.map(Option::flatten).map_err(|trouble| Failure { what: resource.plural, trouble })
    }

    /// How objects of the owner's kind are reached, as the API server says; none if it knows no such kind.
    async fn resource(&self, owner: &Owner) -> Result<Option<Resource>, Failure> {
        let group = &owner.api_version;
        if let Some((kinds, since)) = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(group) {
            let found = kinds.get(&owner.kind);
            let age = since.elapsed();
            if age < self.good_for && (found.is_some() || age < NO_SUCH_KIND_FOR) {
                return Ok(found.cloned());
            }
        }
        let Some(path) = parse::kinds_path(group) else { return Ok(None) };
        let tried = format!("cannot get the kinds of {group}");
        let found = self.get(&path, WHOLE, &tried).await.and_then(|text| {
            text.map_or(Ok(Kinds::default()), |text| parse::kinds(&text).map_err(|cause| Trouble::new(&tried, cause)))
        });
        let kinds = found.map_err(|trouble| Failure { what: path, trouble })?;
        let found = kinds.get(&owner.kind).cloned();
        let entry = (Arc::new(kinds), Instant::now());
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).put(group, entry);
        Ok(found)
    }

    /// What stands at a path; none if nothing does.
    async fn get(&self, path: &str, accept: &str, tried: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let limit = self.api.request_timeout();
        let answer = timeout(limit, self.untimed_get(path, accept, tried)).await.unwrap_or_else(|_| {
            let cause = format!("no whole answer within {} seconds", limit.as_secs());
            Err(Trouble::new(format!("{tried} at {}", self.api.server()), cause))
        });
        match answer {
            Ok(text) => Ok(Some(text)),
            Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    async fn untimed_get(&self, path: &str, accept: &str, tried: &str) -> Result<Vec<u8>, Trouble> {
        let refuse = |cause: String| Trouble::new(format!("{tried} at {}", self.api.server()), cause);
        let request = Request::get(path).header(ACCEPT, accept).body(Vec::new()).map_err(|error| refuse(error.to_string()))?;
        let response = self.api.send(request, tried).await?;
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        Ok(body.map_err(|error| refuse(error.to_string()))?.to_bytes().to_vec())
    }

    fn warn_once(&self, owner: &Owner, failure: &Failure) {
        let Failure { what, trouble } = failure;
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() >= MOST_WARNINGS || !warned.insert((what.clone(), trouble.status)) {
            tracing::debug!("{trouble}");
            return;
        }
        let hint = trouble.hint.clone().or_else(|| hint(owner, what, trouble.status));
        tracing::warn!(hint, "{trouble}: who controls pods through it is not told until that is known");
    }
}

fn hint(owner: &Owner, what: &str, status: Option<StatusCode>) -> Option<String> {
    if status != Some(StatusCode::FORBIDDEN) {
        return None;
    }
    if what.starts_with('/') {
        return Some("bind the service account to the ClusterRole `system:discovery`".to_owned());
    }
    let group = owner.api_version.split_once('/').map_or("\"\"", |(group, _)| group);
    Some(format!(
        "add the rule `{{apiGroups: [{group}], resources: [{what}], verbs: [get]}}` to the service account's ClusterRole, or turn owners off"
    ))
}
