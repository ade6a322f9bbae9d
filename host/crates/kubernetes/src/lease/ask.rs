//! Asks the API server for the Lease: one request at a time, each with a deadline, each answer with a bound.

use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::core::Answer;
use super::record::Record;
use crate::{Api, Trouble};

/// A Lease is short; one with many labels is still read. More of an answer is not.
const LONGEST_ANSWER: usize = 256 * 1024;

/// Where the Lease is.
pub(super) struct Place {
    pub(super) api: Api,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Place {
    /// The Lease as it is. The trouble, if there was any, is told beside what follows from it.
    pub(super) async fn read(&self, deadline: Instant) -> (Answer, Option<Trouble>) {
        match self.send(Method::GET, &self.path(), Vec::new(), "get", deadline).await {
            Ok(record) => (Answer::Found(record), None),
            Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => (Answer::Missing, None),
            Err(trouble) => failed(trouble),
        }
    }

    /// Creates it.
    pub(super) async fn create(&self, object: &Value, deadline: Instant) -> (Answer, Option<Trouble>) {
        let body = object.to_string().into_bytes();
        match self.send(Method::POST, &self.collection(), body, "create", deadline).await {
            Ok(record) => (Answer::Written(record), None),
            Err(trouble) if trouble.status == Some(StatusCode::CONFLICT) => (Answer::Conflict, None),
            Err(trouble) => failed(trouble),
        }
    }

    /// Writes it anew if it still has the version that stands in the object.
    pub(super) async fn replace(&self, object: &Value, deadline: Instant) -> (Answer, Option<Trouble>) {
        let body = object.to_string().into_bytes();
        match self.send(Method::PUT, &self.path(), body, "update", deadline).await {
            Ok(record) => (Answer::Written(record), None),
            // One that was deleted is as much another one as one that was written to.
            Err(trouble) if matches!(trouble.status, Some(StatusCode::CONFLICT | StatusCode::NOT_FOUND)) => {
                (Answer::Conflict, None)
            }
            Err(trouble) => failed(trouble),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        verb: &'static str,
        deadline: Instant,
    ) -> Result<Record, Trouble> {
        let tried = format!("cannot {verb} the lease `{}` in the namespace `{}`", self.name, self.namespace);
        let at = || format!("{tried} at {}", self.api.server());
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|error| Trouble::new(&tried, error))?;
        let exchange = async {
            let response = self.api.send(request, &tried).await?;
            let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
            let body = body.map_err(|error| Trouble::new(at(), error))?;
            Record::read(&body.to_bytes()).map_err(|cause| Trouble::new(at(), format!("the answer is no lease: {cause}")))
        };
        let answer = timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(Trouble::new(at(), "no answer in time")));
        answer.map_err(|trouble| self.with_hint(trouble, verb))
    }

    fn with_hint(&self, trouble: Trouble, verb: &str) -> Trouble {
        let Self { namespace, .. } = self;
        match trouble.status {
            Some(StatusCode::FORBIDDEN) => trouble.hint(format!(
                "`{verb}` is missing: the service account needs a Role in the namespace `{namespace}` with the verbs `get`, `create` and \
                 `update` for the resource `leases` of the API group `coordination.k8s.io`; one collector alone needs none with `lease: \
                 {{enabled: false}}`"
            )),
            Some(StatusCode::UNAUTHORIZED) => {
                trouble.hint("the API does not know this token: `kubernetes.token-retrieval` says where it comes from")
            }
            Some(StatusCode::NOT_FOUND) => trouble.hint(format!("is there a namespace `{namespace}`? `lease.namespace` names another one")),
            _ => trouble,
        }
    }

    fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }
}

fn failed(trouble: Trouble) -> (Answer, Option<Trouble>) {
    (Answer::Failed { wait: trouble.retry_after }, Some(trouble))
}
