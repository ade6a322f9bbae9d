//! What the user writes about reaching the API server, and the mistakes that can be seen in it without trying.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::Problem;
use sluicebox_contract::quantity::TimeSpan;

use super::route;
use super::{Kubectl, TokenRetrieval};

/// How the Kubernetes API server is reached. One way for all sources and sinks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Which way is taken.
    pub access: Access,
    /// Address of the API server for `access: url`, such as `https://10.0.0.1:6443`, or `http://127.0.0.1:8001` for a `kubectl proxy`.
    /// Given with `access: auto`, it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Kubeconfig file for `access: kubeconfig`. Without it, the files named by `KUBECONFIG` are read, else `~/.kube/config`. Given
    /// with `access: auto`, it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig. Without it, the file's current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Where the bearer token comes from.
    pub token_retrieval: TokenRetrieval,
    /// PEM file with the certificate authorities that the server's certificate is verified against. It is read again when it changes.
    /// Without it: the service account's `ca.crt` in a cluster, what the kubeconfig says, else those of the operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whether the server's certificate is verified.
    pub tls_verify: TlsVerify,
    /// How long connecting may take.
    pub connect_timeout: TimeSpan,
    /// How long an answer may take: a page of a list to its end, a watch to its beginning.
    pub request_timeout: TimeSpan,
    /// After how long the server is asked to end a watch, which is then opened again where it ended. At most 290s.
    pub watch_timeout: TimeSpan,
    /// After how long without a byte a watch counts as dead and is opened again. Servers send a sign of life each minute.
    pub watch_idle_timeout: TimeSpan,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            access: Access::Auto,
            url: None,
            kubeconfig: None,
            context: None,
            token_retrieval: TokenRetrieval::Auto,
            ca_file: None,
            tls_verify: TlsVerify::Always,
            connect_timeout: TimeSpan(Duration::from_secs(10)),
            request_timeout: TimeSpan(Duration::from_secs(30)),
            watch_timeout: TimeSpan(LONGEST_WATCH),
            watch_idle_timeout: TimeSpan(Duration::from_secs(150)),
        }
    }
}

/// kube refuses to ask for longer ones, as many load balancers cut them off at five minutes.
const LONGEST_WATCH: Duration = Duration::from_secs(290);

/// Which way leads to the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// `url` or `kubeconfig` if one of them is given; else in the cluster if the process runs in a pod; else a kubeconfig.
    #[default]
    Auto,
    /// The service account of the pod that the process runs in.
    InCluster,
    /// A kubeconfig file.
    Kubeconfig,
    /// The address under `url`.
    Url,
}

/// Whether the server's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsVerify {
    /// It is. A kubeconfig that says `insecure-skip-tls-verify` is refused.
    #[default]
    Always,
    /// It is not: whoever answers at the address is believed, and is sent the token.
    NeverAndIAcceptTheRisk,
}

impl Config {
    /// Every mistake that can be seen without trying.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_access(&mut problems);
        self.check_token(&mut problems);
        for (field, span) in [
            ("connect-timeout", self.connect_timeout),
            ("request-timeout", self.request_timeout),
            ("watch-idle-timeout", self.watch_idle_timeout),
        ] {
            if span.0.is_zero() {
                problems.push(Problem::new(field, "is zero, so nothing could ever succeed", "write a time such as 30s"));
            }
        }
        if self.watch_timeout.0 < Duration::from_secs(1) || self.watch_timeout.0 > LONGEST_WATCH {
            problems.push(Problem::new(
                "watch-timeout",
                format!("{} is out of range", self.watch_timeout),
                "write a time from 1s to 290s",
            ));
        }
        problems
    }

    fn check_access(&self, problems: &mut Vec<Problem>) {
        match (self.access, &self.url) {
            (Access::Url, None) => problems.push(Problem::new(
                "access",
                "is `url`, but no `url` is given",
                "add `url: https://<host>:<port>`, or leave out `access`",
            )),
            (Access::InCluster | Access::Kubeconfig, Some(_)) => problems.push(Problem::new(
                "url",
                "is given, but `access` leads another way",
                "remove `url`, or write `access: url`",
            )),
            _ => {}
        }
        if let Some(url) = &self.url
            && let Err(cause) = route::parse_url(url)
        {
            problems.push(Problem::new("url", cause, "write it like https://10.0.0.1:6443 or http://127.0.0.1:8001"));
        }
        let by_kubeconfig = self.access == Access::Kubeconfig || self.access == Access::Auto && self.url.is_none();
        for (field, given) in [("kubeconfig", self.kubeconfig.is_some()), ("context", self.context.is_some())] {
            if given && !by_kubeconfig {
                problems.push(Problem::new(
                    field,
                    "is given, but no kubeconfig is used",
                    format!("remove `{field}`, or write `access: kubeconfig` without `url`"),
                ));
            }
        }
    }

    fn check_token(&self, problems: &mut Vec<Problem>) {
        if let TokenRetrieval::Kubectl(Kubectl { service_account, namespace, program, timeout }) = &self.token_retrieval {
            for (field, text) in [("service-account", service_account), ("namespace", namespace)] {
                if !is_object_name(text) {
                    problems.push(Problem::new(
                        format!("token-retrieval.kubectl.{field}"),
                        format!("`{text}` is no Kubernetes name"),
                        "write lower-case letters, digits, `-` and `.`",
                    ));
                }
            }
            if program.as_os_str().is_empty() {
                problems.push(Problem::new("token-retrieval.kubectl.program", "is empty", "write `kubectl` or a path"));
            }
            if timeout.0.is_zero() {
                problems.push(Problem::new("token-retrieval.kubectl.timeout", "is zero", "write a time such as 30s"));
            }
        }
        let clear = self.url.as_deref().and_then(|url| route::parse_url(url).ok()).filter(leaves_the_machine_in_clear);
        let fetches = matches!(self.token_retrieval, TokenRetrieval::File(_) | TokenRetrieval::Kubectl(_));
        if let (Some(url), true) = (clear, fetches) {
            problems.push(Problem::new(
                "url",
                format!("the token would cross the network in clear text to {url}"),
                "write an https address, or `token-retrieval: none`",
            ));
        }
    }
}

/// Plain HTTP to anything but this machine.
fn leaves_the_machine_in_clear(url: &Uri) -> bool {
    url.scheme_str() == Some("http") && !route::is_loopback(url)
}

/// A DNS subdomain, as names of service accounts, namespaces and nodes are.
pub fn is_object_name(text: &str) -> bool {
    let inner = |character: u8| character.is_ascii_lowercase() || character.is_ascii_digit() || matches!(character, b'-' | b'.');
    let edge = |character: Option<&u8>| character.is_some_and(|character| *character != b'-' && *character != b'.');
    let bytes = text.as_bytes();
    bytes.len() <= 253 && bytes.iter().all(|character| inner(*character)) && edge(bytes.first()) && edge(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect("the test's configuration parses");
        config.problems().into_iter().map(|problem| format!("{}: {}", problem.field, problem.cause)).collect()
    }

    #[test]
    fn the_default_has_no_problems() {
        assert_eq!(problems("{}"), Vec::<String>::new());
    }

    #[test]
    fn a_kubectl_proxy_has_no_problems() {
        assert_eq!(problems(r#"{"url": "http://127.0.0.1:8001"}"#), Vec::<String>::new());
        assert_eq!(problems(r#"{"access": "url", "url": "http://[::1]:8001", "token-retrieval": "file"}"#), Vec::<String>::new());
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let json = r#"{"access": "in-cluster", "url": "127.0.0.1:8001", "context": "x", "connect-timeout": "0s", "watch-timeout": "1h"}"#;
        assert_eq!(
            problems(json),
            [
                "url: is given, but `access` leads another way",
                "url: `127.0.0.1:8001` does not begin with http:// or https://",
                "context: is given, but no kubeconfig is used",
                "connect-timeout: is zero, so nothing could ever succeed",
                "watch-timeout: 1h is out of range",
            ]
        );
    }

    #[test]
    fn a_token_does_not_cross_the_network_in_clear_text() {
        assert_eq!(
            problems(r#"{"url": "http://10.0.0.1:8001", "token-retrieval": "file"}"#),
            ["url: the token would cross the network in clear text to http://10.0.0.1:8001/"]
        );
    }

    #[test]
    fn verification_is_switched_off_in_so_many_words_only() {
        for words in ["false", "\"off\"", "\"never\""] {
            assert!(serde_json::from_str::<Config>(&format!(r#"{{"tls-verify": {words}}}"#)).is_err(), "{words}");
        }
        let config: Config = serde_json::from_str(r#"{"tls-verify": "never-and-i-accept-the-risk"}"#).expect("the words");
        assert_eq!(config.tls_verify, TlsVerify::NeverAndIAcceptTheRisk);
    }

    #[test]
    fn unknown_fields_are_refused() {
        let error = serde_json::from_str::<Config>(r#"{"urll": "x"}"#).expect_err("a misspelt field").to_string();
        assert!(error.contains("unknown field `urll`"), "{error}");
    }
}
