//! Tells the cluster's people what happened here, as Kubernetes Events: `kubectl describe` and `kubectl get events` show them.
//!
//! `pace.rs` decides what is sent and what is left out, `document.rs` is what stands in an event; both are pure.

mod document;
mod pace;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core;
use sluicebox_contract::Fault;
use tokio::time::{Instant, timeout_at};

use super::{Api, Trouble, is_object_name};
use pace::{Pace, Step};

/// However slow the server is.
const DEADLINE: Duration = Duration::from_secs(5);
/// The answer repeats what was sent; more of one is not read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// The object that events are shown at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The pod that the process runs in. Its events live in its namespace.
    Pod {
        /// The node that it runs on.
        node: String,
        /// `metadata.namespace`.
        namespace: String,
        /// `metadata.name`.
        name: String,
        /// `metadata.uid`. Without it `kubectl get events` shows the events and `kubectl describe pod` does not.
        uid: Option<String>,
    },
    /// The node, where the process runs in no pod. Its events live in the namespace `default`, as those of the kubelet do.
    Node {
        /// `metadata.name`.
        name: String,
    },
}

/// What events are to be about: the pod that the environment variables `POD_NAMESPACE`, `POD_NAME` and `POD_UID` name, as a manifest sets
/// them from the downward API; else the node. What cannot be a name counts as absent.
pub fn about(node: &str, environment: impl Fn(&str) -> Option<String>) -> About {
    let given = |variable: &str| {
        let text = environment(variable)?;
        let text = text.trim();
        is_object_name(text).then(|| text.to_owned())
    };
    match (given("POD_NAMESPACE"), given("POD_NAME")) {
        (Some(namespace), Some(name)) => About::Pod { node: node.to_owned(), namespace, name, uid: given("POD_UID") },
        _ => About::Node { name: node.to_owned() },
    }
}

impl About {
    /// Where the events live.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Pod { namespace, .. } => namespace,
            Self::Node { .. } => "default",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What happened, for machines: in CamelCase, such as `ModuleReloadFailed`.
    pub reason: &'static str,
    /// What happened, for people. It is shown on one line, and cut after 1024 bytes. Two reports are the same if their words are: a time
    /// or a counter in them makes an event of each.
    pub message: String,
    /// Whether somebody should act.
    pub warning: bool,
}

/// Posts events. A report that comes again counts up the event that is there. At most ten are sent at once, and one each ten seconds
/// after that; what is above is left out.
pub struct Events {
    api: Api,
    about: About,
    pace: Mutex<Pace>,
}

impl Events {
    /// Nothing is sent yet.
    pub fn new(api: Api, about: About) -> Self {
        Self { api, about, pace: Mutex::new(Pace::new(Instant::now())) }
    }

    /// Posts an event, or counts up the one that says the same, within five seconds. What is above the pace is left out, which is no
    /// fault. A fault is of class skip if the same would be refused again, else retry; nothing is tried again by itself.
    pub async fn post(&self, event: &Report) -> Result<(), Fault> {
        let event = Report { message: document::message(&event.message), ..event.clone() };
        let step = self.pace().next(&event, Instant::now());
        let name = match step {
            Step::LeaveOut => return Ok(()),
            Step::Create => None,
            Step::Count { name, count } => Some((name, count)),
        };
        let deadline = Instant::now() + DEADLINE;
        if let Some((name, count)) = name {
            match self.count_up(&name, count, deadline).await {
                Ok(()) => {
                    self.pace().counted(&name, Instant::now());
                    return Ok(());
                }
                // Events do not live long, and may be deleted by anybody.
                Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => self.pace().forget(&name),
                Err(trouble) => return Err(self.fault(trouble)),
            }
        }
        self.create(&event, deadline).await.map_err(|trouble| self.fault(trouble))
    }

    /// How many reports were left out, as there were too many at once.
    pub fn left_out(&self) -> u64 {
        self.pace().left_out()
    }

    async fn create(&self, event: &Report, deadline: Instant) -> Result<(), Trouble> {
        let now = Timestamp::now();
        let name = document::name(&self.about, self.pace().number(now.as_nanosecond()));
        let body = document::event(&self.about, event, &name, &time(now)).to_string();
        let request = self.collection().create(&PostParams::default(), body.into_bytes());
        self.send(request, "create", deadline).await?;
        self.pace().created(event, name, Instant::now());
        Ok(())
    }

    async fn count_up(&self, name: &str, count: i32, deadline: Instant) -> Result<(), Trouble> {
        let patch = Patch::Merge(document::repetition(count, &time(Timestamp::now())));
        let request = self.collection().patch(name, &PatchParams::default(), &patch);
        self.send(request, "patch", deadline).await
    }

    async fn send(
        &self,
        request: Result<Request<Vec<u8>>, core::request::Error>,
        verb: &str,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        let tried = format!("cannot {verb} events in the namespace `{}`", self.about.namespace());
        let request = request.map_err(|error| Trouble::new(&tried, error))?;
        let response = timeout_at(deadline, self.api.send(request, &tried)).await.unwrap_or_else(|_| {
            let cause = format!("no answer within {} seconds", DEADLINE.as_secs());
            Err(Trouble::new(format!("{tried} at {}", self.api.server()), cause))
        })?;
        // It says nothing new, but a connection whose answer was not read is of no further use.
        let _read = timeout_at(deadline, Limited::new(response.into_body(), LONGEST_ANSWER).collect()).await;
        Ok(())
    }

    fn collection(&self) -> core::Request {
        core::Request::new(format!("/api/v1/namespaces/{}/events", self.about.namespace()))
    }

    fn fault(&self, trouble: Trouble) -> Fault {
        let class = if trouble.is_final() { Fault::skip } else { Fault::retry };
        let fault = class(trouble.tried, trouble.cause);
        if trouble.status == Some(StatusCode::FORBIDDEN) {
            let namespace = self.about.namespace();
            return fault.hint(format!(
                "the service account needs a role in the namespace `{namespace}` with the verbs `create` and `patch` for the \
                 resource `events` of the core API group"
            ));
        }
        match trouble.hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 3339 in whole seconds, as events have it.
fn time(now: Timestamp) -> String {
    format!("{now:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about_with(variables: &[(&str, &str)]) -> About {
        about("n1", |wanted| variables.iter().find(|(name, _)| *name == wanted).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn a_pod_is_known_by_its_namespace_and_name() {
        let pod = |uid: Option<&str>| About::Pod {
            node: "n1".to_owned(),
            namespace: "shop".to_owned(),
            name: "sluicebox-x7".to_owned(),
            uid: uid.map(ToOwned::to_owned),
        };
        let names = [("POD_NAMESPACE", "shop"), ("POD_NAME", "sluicebox-x7\n")];
        assert_eq!(about_with(&names), pod(None));
        assert_eq!(about_with(&[names[0], names[1], ("POD_UID", "0b5e-11")]), pod(Some("0b5e-11")));
        assert_eq!(about_with(&[names[0], names[1], ("POD_UID", "")]), pod(None));
    }

    #[test]
    fn without_a_pod_it_is_the_node() {
        let node = About::Node { name: "n1".to_owned() };
        for variables in [
            &[][..],
            &[("POD_NAME", "a")],
            &[("POD_NAMESPACE", "shop"), ("POD_NAME", "")],
            &[("POD_NAMESPACE", "shop/../kube-system"), ("POD_NAME", "a")],
        ] {
            assert_eq!(about_with(variables), node, "{variables:?}");
        }
    }

    #[test]
    fn times_are_whole_seconds() {
        let nanos = 1_629_224_998_999_999_999;
        assert_eq!(time(Timestamp::from_nanosecond(nanos).expect("a time")), "2021-08-17T18:29:58Z");
    }
}
