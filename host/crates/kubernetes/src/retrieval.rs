//! The strategies for getting a bearer token, as the user writes them: a word, or a word with its details.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sluicebox_contract::quantity::TimeSpan;

/// Where a pod finds the token of its service account.
const USUAL_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Where the bearer token comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenRetrieval {
    /// What suits the way: with a kubeconfig its user; with a plain http address none, as the proxy there authenticates by itself;
    /// otherwise the usual file if there is one, else kubectl.
    #[default]
    Auto,
    /// No token is sent.
    None,
    /// A file, read again while it is used.
    File(PathBuf),
    /// `kubectl create token`, run again before the token ends.
    Kubectl(Kubectl),
}

/// Whom `kubectl create token` is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Kubectl {
    /// The service account.
    pub service_account: String,
    /// Its namespace.
    pub namespace: String,
    /// The program: a path, or a name that is looked for in `PATH`.
    pub program: PathBuf,
    /// How long it may take.
    pub timeout: TimeSpan,
}

impl Default for Kubectl {
    fn default() -> Self {
        Self {
            service_account: "sluicebox".to_owned(),
            namespace: "sluicebox".to_owned(),
            program: PathBuf::from("kubectl"),
            timeout: TimeSpan(Duration::from_secs(30)),
        }
    }
}

impl TokenRetrieval {
    /// The file where a pod finds the token of its service account.
    pub fn usual_file() -> &'static Path {
        Path::new(USUAL_FILE)
    }
}

impl<'de> Deserialize<'de> for TokenRetrieval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// Reads a word or a map with one key.
struct Written;

const WORDS: [&str; 4] = ["auto", "file", "kubectl", "none"];
const KEYS: [&str; 2] = ["file", "kubectl"];

impl<'de> Visitor<'de> for Written {
    type Value = TokenRetrieval;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .write_str("`auto`, `file`, `kubectl`, `none`, `{file: <path>}` or `{kubectl: {service-account: …, namespace: …}}`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
        match word {
            "auto" => Ok(TokenRetrieval::Auto),
            "none" => Ok(TokenRetrieval::None),
            "file" => Ok(TokenRetrieval::File(PathBuf::from(USUAL_FILE))),
            "kubectl" => Ok(TokenRetrieval::Kubectl(Kubectl::default())),
            other => Err(E::unknown_variant(other, &WORDS)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let retrieval = match map.next_key::<String>()?.as_deref() {
            Some("file") => TokenRetrieval::File(map.next_value()?),
            Some("kubectl") => TokenRetrieval::Kubectl(map.next_value()?),
            Some(other) => return Err(A::Error::unknown_field(other, &KEYS)),
            None => {
                return Err(A::Error::custom("nothing is given: write `file` or `kubectl`"));
            }
        };
        match map.next_key::<String>()? {
            None => Ok(retrieval),
            Some(second) => Err(A::Error::custom(format!("`{second}` is one too many: there is one way to a token"))),
        }
    }
}

impl Serialize for TokenRetrieval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::None => serializer.serialize_str("none"),
            Self::File(path) if path == Self::usual_file() => serializer.serialize_str("file"),
            Self::File(path) => one(serializer, "file", path),
            Self::Kubectl(kubectl) if *kubectl == Kubectl::default() => serializer.serialize_str("kubectl"),
            Self::Kubectl(kubectl) => one(serializer, "kubectl", kubectl),
        }
    }
}

fn one<S: Serializer>(serializer: S, key: &str, value: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

impl JsonSchema for TokenRetrieval {
    fn schema_name() -> Cow<'static, str> {
        "TokenRetrieval".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Form::json_schema(generator)
    }
}

/// Where the bearer token comes from: a word, or one with its details.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used: it is the form that `Written` reads")]
enum Form {
    /// A strategy with its defaults.
    Word(Word),
    /// A file of one's own.
    File {
        /// The path. White space around the token is taken away; the file is read again while it is used.
        file: PathBuf,
    },
    /// A service account of one's own.
    Kubectl {
        /// Whom `kubectl create token` is asked for.
        kubectl: Kubectl,
    },
}

/// A strategy with its defaults.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "only its schema is used")]
enum Word {
    /// With a kubeconfig its user; with a plain http address none, as the proxy there authenticates by itself; otherwise the usual
    /// file if there is one, else kubectl.
    Auto,
    /// The file `/var/run/secrets/kubernetes.io/serviceaccount/token`.
    File,
    /// `kubectl create token sluicebox --namespace sluicebox`, run again before the token ends.
    Kubectl,
    /// No token is sent.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<TokenRetrieval, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn words_stand_for_the_usual_details() {
        assert_eq!(parse("\"auto\""), Ok(TokenRetrieval::Auto));
        assert_eq!(parse("\"none\""), Ok(TokenRetrieval::None));
        assert_eq!(parse("\"file\""), Ok(TokenRetrieval::File(PathBuf::from(USUAL_FILE))));
        assert_eq!(parse("\"kubectl\""), Ok(TokenRetrieval::Kubectl(Kubectl::default())));
    }

    #[test]
    fn details_can_be_given() {
        assert_eq!(parse(r#"{"file": "/token"}"#), Ok(TokenRetrieval::File(PathBuf::from("/token"))));
        let expected = Kubectl { service_account: "reader".to_owned(), namespace: "watch".to_owned(), ..Kubectl::default() };
        assert_eq!(
            parse(r#"{"kubectl": {"service-account": "reader", "namespace": "watch"}}"#),
            Ok(TokenRetrieval::Kubectl(expected))
        );
    }

    #[test]
    fn mistakes_name_what_is_accepted() {
        for (json, expected) in [
            ("\"files\"", "unknown variant `files`, expected one of `auto`, `file`, `kubectl`, `none`"),
            (r#"{"path": "/token"}"#, "unknown field `path`, expected `file` or `kubectl`"),
            (r#"{"file": "/a", "kubectl": {}}"#, "`kubectl` is one too many"),
            (r#"{"kubectl": {"account": "x"}}"#, "unknown field `account`"),
            ("3", "expected `auto`, `file`, `kubectl`, `none`"),
        ] {
            let error = parse(json).expect_err(json);
            assert!(error.contains(expected), "{json}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for json in ["\"auto\"", "\"none\"", "\"file\"", "\"kubectl\"", r#"{"file":"/token"}"#] {
            let retrieval = parse(json).expect("it parses");
            assert_eq!(serde_json::to_string(&retrieval).expect("it is written"), json);
        }
    }
}
