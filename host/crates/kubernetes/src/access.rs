//! Whether the API server would let us: asked of it, without doing it.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use crate::{Api, Trouble};

const PATH: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// The answer repeats what was sent; more of one is not read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Something that one may have the right to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deed {
    /// The API group; empty for pods and what else is of the core.
    pub group: &'static str,
    /// The resource, with its subresource where one is meant: `pods`, `nodes/metrics`.
    pub resource: &'static str,
    /// In this namespace; none is everywhere, or a resource that is in none.
    pub namespace: Option<String>,
    /// Only this object; none is any.
    pub name: Option<String>,
    /// What is done, such as `list`.
    pub verb: &'static str,
}

#[derive(Deserialize)]
struct Review {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    allowed: bool,
}

/// Whether a `ConfigMap` of this name is there, as far as this program's user may see. Only what is about it is asked for, not what is in it.
pub async fn is_there(api: &Api, namespace: &str, name: &str) -> bool {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
    let form = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let Ok(request) = Request::get(path).header(ACCEPT, form).body(Vec::new()) else { return false };
    timeout(api.request_timeout(), api.send(request, "cannot look for a ConfigMap")).await.is_ok_and(|answer| answer.is_ok())
}

/// Whether this program's user may do it, by a `SelfSubjectAccessReview`. Everybody who is known to the server may ask.
pub async fn may(api: &Api, deed: &Deed) -> Result<bool, Trouble> {
    let Deed { group, resource, namespace, name, verb } = deed;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = json!({
        "verb": verb, "group": group, "resource": resource, "subresource": subresource,
        "namespace": namespace.as_deref().unwrap_or_default(), "name": name.as_deref().unwrap_or_default(),
    });
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes},
    });
    let tried = format!("cannot ask for the right to {verb} {resource}");
    let request = Request::builder().method(Method::POST).uri(PATH).header(CONTENT_TYPE, "application/json");
    let request = request.body(review.to_string().into_bytes()).map_err(|error| Trouble::new(&tried, error))?;
    let exchange = async {
        let response = api.send(request, &tried).await?;
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| Trouble::new(&tried, error))?.to_bytes();
        let review: Review = serde_json::from_slice(&body).map_err(|error| Trouble::new(&tried, error))?;
        Ok(review.status.allowed)
    };
    timeout(api.request_timeout(), exchange).await.unwrap_or_else(|_| Err(Trouble::new(&tried, "no answer in time")))
}
