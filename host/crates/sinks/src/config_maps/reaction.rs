//! What the sink makes of a refusal by the API server: look again, leave one key out, or try later. Pure.

use http::StatusCode;
use sluicebox_contract::Fault;
use sluicebox_kubernetes::Trouble;

/// What cures a server that asks to be left alone.
pub(super) const OVERLOADED: &str = "the API server has more to do than it can, or lets this service account ask no more often: it is asked \
                                     again when it says; a longer `period` and fewer `shards` ask for less";

/// What may cure that there was no answer.
const UNREACHABLE: &str = "is the API server alive, reachable from this node, and quicker than `kubernetes.request-timeout`?";

/// What is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Somebody was faster: it is not as it was known to be.
    LookAgain,
    /// This key can never be written, for this reason.
    LeaveOut(String, String),
    /// Nothing can be done now.
    TryLater(Fault),
}

/// What a refusal means. `verb` is the right that was needed.
pub(super) fn to_trouble(trouble: Trouble, verb: &str, namespace: &str) -> Reaction {
    let Trouble { tried, cause, hint, status, .. } = trouble;
    if matches!(status, Some(StatusCode::NOT_FOUND | StatusCode::CONFLICT)) && verb == "patch" {
        return Reaction::LookAgain;
    }
    // Whoever makes it first has made it.
    if status == Some(StatusCode::CONFLICT) && verb == "create" && cause.contains("already exists") {
        return Reaction::LookAgain;
    }
    if let (Some(StatusCode::UNPROCESSABLE_ENTITY), Some(key)) = (status, guilty(&cause)) {
        return Reaction::LeaveOut(key.to_owned(), format!("the API server refuses it: {cause}"));
    }
    let hint = hint.or_else(|| match status {
        Some(status) => cure(status, &cause, verb, namespace),
        None => (!cause.starts_with("the answer is no")).then(|| UNREACHABLE.to_owned()),
    });
    let fault = Fault::retry(tried, cause);
    Reaction::TryLater(match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    })
}

/// The key that a refusal names, such as `data[a b]: Invalid value: ...`.
fn guilty(cause: &str) -> Option<&str> {
    let (_, rest) = cause.split_once("data[").or_else(|| cause.split_once("binaryData["))?;
    rest.split_once(']').map(|(key, _)| key)
}

fn cure(status: StatusCode, cause: &str, verb: &str, namespace: &str) -> Option<String> {
    Some(match status {
        StatusCode::UNAUTHORIZED => {
            "the API does not know this token: `kubernetes.token-retrieval` says where it comes from".to_owned()
        }
        StatusCode::FORBIDDEN if cause.contains("being terminated") => {
            format!("the namespace `{namespace}` is being deleted: name another one")
        }
        StatusCode::FORBIDDEN if cause.contains("exceeded quota") => {
            format!("the namespace `{namespace}` may have no more ConfigMaps: see its ResourceQuota")
        }
        StatusCode::FORBIDDEN => {
            // A patch that makes it needs both.
            let verb = if cause.contains("cannot create") { "create" } else { verb };
            format!(
                "the service account needs a role in the namespace `{namespace}` with the verb `{verb}` for the resource `configmaps` \
                 of the core API group; the sink needs `get`, `create` and `patch`"
            )
        }
        StatusCode::NOT_FOUND => format!("is there a namespace `{namespace}`?"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "the API server must know server-side apply: Kubernetes 1.18 and later".to_owned(),
        StatusCode::UNPROCESSABLE_ENTITY if cause.contains("immutable") => immutable(),
        StatusCode::PAYLOAD_TOO_LARGE => "the API server takes less at once: lower `budget`, and raise `shards`".to_owned(),
        StatusCode::UNPROCESSABLE_ENTITY if cause.contains("Too long") => {
            "the ConfigMap would be larger than the API stores, with what others keep in it: lower `budget`, or raise `shards`"
                .to_owned()
        }
        StatusCode::TOO_MANY_REQUESTS => OVERLOADED.to_owned(),
        _ if cause.contains("request is too large") => {
            "the API server stores no object of this size: lower `budget`, and raise `shards`".to_owned()
        }
        status if status.is_server_error() => {
            "the API server, its etcd or a webhook of the cluster fails: see the server's log; it is asked again".to_owned()
        }
        _ => return None,
    })
}

/// What cures a `ConfigMap` that nobody can change.
pub(super) fn immutable() -> String {
    "it says `immutable: true`, which nobody can take back: delete it, or name another one".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaction(status: u16, cause: &str, verb: &str) -> Reaction {
        let mut trouble = Trouble::new("cannot write", cause);
        trouble.status = StatusCode::from_u16(status).ok();
        to_trouble(trouble, verb, "ns")
    }

    fn hint(status: u16, cause: &str, verb: &str) -> Option<String> {
        match reaction(status, cause, verb) {
            Reaction::TryLater(fault) => fault.hint,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn somebody_was_faster() {
        assert_eq!(reaction(409, "the object has been modified", "patch"), Reaction::LookAgain);
        assert_eq!(reaction(404, "configmaps \"m\" not found", "patch"), Reaction::LookAgain);
        assert_eq!(reaction(409, "configmaps \"m\" already exists", "create"), Reaction::LookAgain);
    }

    #[test]
    fn a_key_that_is_named_is_left_out() {
        let cause = "the API answers 422: ConfigMap \"m\" is invalid: data[a b]: Invalid value: \"a b\": a valid config key must";
        assert!(matches!(reaction(422, cause, "patch"), Reaction::LeaveOut(key, _) if key == "a b"));
    }

    #[test]
    fn the_missing_right_is_named() {
        let create = "User \"u\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"ns\"";
        for (cause, verb, named) in [("no", "get", "get"), ("no", "patch", "patch"), (create, "patch", "create")] {
            let hint = hint(403, cause, verb).expect("a hint");
            assert!(hint.contains(&format!("`ns` with the verb `{named}` for the resource `configmaps`")), "{hint}");
        }
    }

    #[test]
    fn what_an_operator_can_cure_has_a_hint_and_the_rest_none() {
        for (status, cause) in [
            (401, "Unauthorized"),
            (404, "namespaces \"ns\" not found"),
            (403, "exceeded quota: q"),
            (403, "because it is being terminated"),
            (422, "data: Forbidden: field is immutable when `immutable` is set"),
            (413, "Request entity too large"),
            (500, "etcdserver: request is too large"),
            (415, "media type"),
            (422, "[]: Too long: must have at most 1048576 bytes"),
            (500, "etcdserver: request timed out"),
            (503, "unavailable"),
            (504, "timeout"),
        ] {
            assert!(hint(status, cause, "create").is_some(), "{status}");
        }
        assert_eq!(hint(429, "too many requests", "patch").as_deref(), Some(OVERLOADED));
        assert_eq!(hint(400, "bad request", "patch"), None);
        let Reaction::TryLater(fault) = to_trouble(Trouble::new("cannot write", "connection refused"), "patch", "ns") else {
            panic!("nobody has refused it")
        };
        assert_eq!(fault.hint.as_deref(), Some(UNREACHABLE));
    }
}
