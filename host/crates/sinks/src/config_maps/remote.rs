//! The requests: to read a `ConfigMap`, to make one, to write what is ours in it.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use sluicebox_contract::TimeSpan;
use sluicebox_kubernetes::{Api, Trouble, chain};
use tokio::time::timeout;

use super::load::is_harmless;
use super::observed::{self, Observed, Receipt};
use super::place;

/// More of an answer is not read. A `ConfigMap` has 1 MiB, whose letters may need six each in JSON, and as much again about owners.
const LONGEST_ANSWER: usize = 8 << 20;
/// An answer without the values, where the server can give one.
const WITHOUT_VALUES: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/// All JSON is YAML.
const APPLY: &str = "application/apply-patch+yaml";

/// The `ConfigMap`s of a namespace, as one field manager writes them.
pub(super) struct Remote {
    pub(super) api: Api,
    pub(super) namespace: String,
    pub(super) manager: String,
    /// Whether each write changes something, as a sign of life.
    pub(super) touches: bool,
}

impl Remote {
    /// A `ConfigMap` as it is now; none if it is not there.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Observed>, Trouble> {
        let request = Request::builder().method(Method::GET).uri(self.path(name)).header(ACCEPT, "application/json");
        match self.ask(request, Vec::new(), "read", name).await {
            Ok(json) => observed::read(&json, &self.manager).map(Some).map_err(|cause| self.trouble("read", name, cause)),
            Err(trouble) if trouble.status == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Makes a `ConfigMap` without keys; says its version.
    pub(super) async fn create(&self, name: &str) -> Result<String, Trouble> {
        let uri = format!("{}?fieldManager={}", self.collection(), self.manager);
        let request = Request::builder().method(Method::POST).uri(uri);
        let request = request.header(ACCEPT, WITHOUT_VALUES).header(CONTENT_TYPE, "application/json");
        let body = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let json = self.ask(request, body.to_string().into_bytes(), "create", name).await?;
        let receipt = observed::receipt(&json, &self.manager).map_err(|cause| self.trouble("create", name, cause))?;
        Ok(receipt.version)
    }

    /// Has the keys and values be all that is ours, whoever had them before, if the `ConfigMap` has this version.
    pub(super) async fn apply(&self, name: &str, version: &str, data: &[(&str, &str)]) -> Result<Receipt, Trouble> {
        let json = self.apply_as(&self.manager, name, Some(version), data).await?;
        observed::receipt(&json, &self.manager).map_err(|cause| self.trouble("write", name, cause))
    }

    /// Has the keys and values be all that is ours, whatever the version, even where there was no such `ConfigMap`; says what is there then.
    /// Where somebody else has another value of one of the keys, it is a conflict.
    pub(super) async fn apply_freely(&self, name: &str, data: &[(&str, &str)]) -> Result<Observed, Trouble> {
        let json = self.apply_as(&self.manager, name, None, data).await?;
        observed::read(&json, &self.manager).map_err(|cause| self.trouble("write", name, cause))
    }

    /// Removes everything that is this manager's and nobody else's, if the `ConfigMap` has this version.
    pub(super) async fn clear(&self, manager: &str, name: &str, version: &str) -> Result<(), Trouble> {
        self.apply_as(manager, name, Some(version), &[]).await.map(|_| ())
    }

    async fn apply_as(
        &self,
        manager: &str,
        name: &str,
        version: Option<&str>,
        data: &[(&str, &str)],
    ) -> Result<Vec<u8>, Trouble> {
        // Without a version, an older value must not take the place of what somebody else has put since.
        let (accept, force) = if version.is_some() { (WITHOUT_VALUES, "true") } else { ("application/json", "false") };
        let uri = format!("{}?fieldManager={manager}&force={force}", self.path(name));
        let request = Request::builder().method(Method::PATCH).uri(uri);
        let request = request.header(ACCEPT, accept).header(CONTENT_TYPE, APPLY);
        let touch = (self.touches && !data.is_empty()).then(|| touch(manager));
        let body = body(name, version, data, touch).map_err(|error| self.trouble("write", name, error))?;
        self.ask(request, body, "write", name).await
    }

    async fn ask(&self, request: http::request::Builder, body: Vec<u8>, verb: &str, name: &str) -> Result<Vec<u8>, Trouble> {
        let request = request.body(body).map_err(|error| self.trouble(verb, name, error))?;
        let tried = self.tried(verb, name);
        let limit = self.api.request_timeout();
        let answer = timeout(limit, async {
            let response = self.api.send(request, &tried).await?;
            let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
            let body = body.map_err(|error| self.trouble(verb, name, chain(error.as_ref())))?;
            Ok(body.to_bytes().to_vec())
        });
        answer.await.unwrap_or_else(|_| {
            let cause = format!("no whole answer within {}", TimeSpan(limit));
            Err(self.trouble(verb, name, cause))
        })
    }

    fn trouble(&self, verb: &str, name: &str, cause: impl std::fmt::Display) -> Trouble {
        Trouble::new(format!("{} at {}", self.tried(verb, name), self.api.server()), cause)
    }

    /// What is tried, for a fault.
    pub(super) fn tried(&self, verb: &str, name: &str) -> String {
        format!("cannot {verb} the ConfigMap `{}/{name}`", self.namespace)
    }

    fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.collection())
    }
}

/// An annotation that shows that somebody lives: its name and its value.
type Touch = (String, String);

/// Each owner has an annotation of his own, as each can be one's only.
fn touch(manager: &str) -> Touch {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    (format!("touched.sluicebox/{:016x}", place::hash(manager)), seconds.to_string())
}

/// What is applied.
fn body(name: &str, version: Option<&str>, data: &[(&str, &str)], touch: Option<Touch>) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Harmless);
    let mut object = serializer.serialize_map(None)?;
    object.serialize_entry("apiVersion", "v1")?;
    object.serialize_entry("kind", "ConfigMap")?;
    let mut metadata = serde_json::Map::from_iter([("name".to_owned(), name.into())]);
    metadata.extend(version.map(|version| ("resourceVersion".to_owned(), version.into())));
    metadata.extend(touch.map(|(name, value)| ("annotations".to_owned(), serde_json::json!({name: value}))));
    object.serialize_entry("metadata", &metadata)?;
    if !data.is_empty() {
        object.serialize_entry("data", &Data(data))?;
    }
    object.end()?;
    Ok(bytes)
}

/// Keys and their values as an object.
struct Data<'a>(&'a [(&'a str, &'a str)]);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// JSON that is read right as YAML, too.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, letter)) = rest.char_indices().find(|(_, letter)| !is_harmless(*letter)) {
            let (before, after) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(letter))?;
            rest = after.get(letter.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_that_is_also_yaml() {
        let text = |value: &str| String::from_utf8(body("m", Some("7"), &[("a", value)], None).expect("a body")).expect("text");
        let head = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","resourceVersion":"7"}"#;
        assert_eq!(text("1 \"x\"\n"), format!(r#"{head},"data":{{"a":"1 \"x\"\n"}}}}"#));
        assert_eq!(
            text("\u{7f}ü\u{85}\u{2028}\u{feff}\u{1f600}\0"),
            format!(r#"{head},"data":{{"a":"\u007fü\u0085\u2028\ufeff😀\u0000"}}}}"#)
        );
        let none = body("m", Some("7"), &[], None).expect("a body");
        assert_eq!(String::from_utf8(none).expect("text"), format!("{head}}}"));
        let free = body("m", None, &[], None).expect("a body");
        assert_eq!(String::from_utf8(free).expect("text"), format!("{}}}", head.replace(r#","resourceVersion":"7""#, "")));
        let touched = body("m", Some("7"), &[], Some(("t/0".to_owned(), "1".to_owned()))).expect("a body");
        let annotated = head.replace("\"7\"}", r#""7","annotations":{"t/0":"1"}}"#);
        assert_eq!(String::from_utf8(touched).expect("text"), format!("{annotated}}}"));
        assert!(touch("sluicebox/n1/edges").0.len() < 80);
    }
}
