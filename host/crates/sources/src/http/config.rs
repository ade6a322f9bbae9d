//! What the user writes about reaching a server over HTTP.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::quantity::TimeSpan;

use crate::Problem;

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a server is reached, how it is verified, and what it is shown. Files are read again for each cycle: what was renewed is taken up
/// without a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "Http")]
pub struct Config {
    /// A file with a token, sent as `Authorization: Bearer`. In a pod, the kubelet takes that of the service account:
    /// `/var/run/secrets/kubernetes.io/serviceaccount/token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
    /// A user and a password, sent as `Authorization: Basic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Headers that are sent besides, such as `X-Scope-OrgID: edge`.
    pub headers: BTreeMap<String, String>,
    /// A proxy that takes the requests, such as `http://proxy:3128`. Without it none is used, whatever the environment says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Certificates of the authorities that may have signed the server's, as PEM, in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The certificate that the server is shown, as PEM, with those between it and its authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_file: Option<PathBuf>,
    /// The private key of that certificate, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_file: Option<PathBuf>,
    /// Whether the server's certificate is verified.
    pub tls_verify: TlsVerify,
    /// Whether a token or password, also one in a header such as `X-Api-Key` or `Cookie`, may be sent to another machine without TLS, where anybody between here and there can read it; for
    /// networks that encrypt below HTTP.
    pub secrets_in_clear_text: bool,
    /// How long connecting may take, with TLS.
    pub connect_timeout: TimeSpan,
}

/// A user and where his password stands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// A file with the password; a line break at its end does not count.
    pub password_file: PathBuf,
}

impl std::fmt::Debug for BasicAuth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BasicAuth").field("password_file", &self.password_file).finish_non_exhaustive()
    }
}

/// Whether the server's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "HttpTlsVerify")]
pub enum TlsVerify {
    /// It is.
    #[default]
    Always,
    /// It is not: whoever answers at the address is believed, and is sent the token or password.
    NeverAndIAcceptTheRisk,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bearer_token_file: None,
            basic_auth: None,
            headers: BTreeMap::new(),
            proxy: None,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            tls_verify: TlsVerify::Always,
            secrets_in_clear_text: false,
            connect_timeout: TimeSpan(DEFAULT_CONNECT_TIMEOUT),
        }
    }
}

/// What is wrong with an address, said of this field.
pub(crate) fn check_url(field: &str, text: &str) -> Result<Url, Problem> {
    let cure = "write it like `http://prometheus.monitoring:9090`";
    let problem = |cause: String| Problem::new(field, cause, cure);
    let url = Url::parse(text).map_err(|error| problem(format!("`{text}` is no address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(problem(format!("`{text}` does not begin with http:// or https:// and a host")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Problem::new(field, "holds a user or a password, which logs would show", "use `http.basic-auth`"));
    }
    if url.fragment().is_some() {
        return Err(problem(format!("`{text}` has a part behind `#`, which no server is sent")));
    }
    Ok(url)
}

/// Headers that say who somebody is, and whose name does not tell it as those with `token`, `secret` and the like do.
const SECRET_HEADERS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-auth", "x-authorization"];

/// Whether a header of this name holds what others must not know.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let words = ["token", "secret", "password", "credential", "api-key", "apikey", "auth-key", "access-key", "session"];
    SECRET_HEADERS.contains(&name.as_str()) || words.iter().any(|word| name.contains(word))
}

/// Whether what is sent there stays on this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl Config {
    /// Every mistake that can be seen without trying. `url` is where it leads.
    pub(crate) fn problems(&self, url: &Url) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.bearer_token_file.is_some() && self.basic_auth.is_some() {
            problems.push(Problem::new("basic-auth", "is given besides `bearer-token-file`", "keep one of them"));
        }
        let shows_secret =
            self.bearer_token_file.is_some() || self.basic_auth.is_some() || self.headers.keys().any(|name| is_secret(name));
        if shows_secret && url.scheme() == "http" && !is_loopback(url) && !self.secrets_in_clear_text {
            problems.push(Problem::new(
                "secrets-in-clear-text",
                "a token or password would cross the network in clear text",
                "write an https address, or `secrets-in-clear-text: true` where the network encrypts",
            ));
        }
        if self.client_certificate_file.is_some() != self.client_key_file.is_some() {
            let (missing, given) = if self.client_key_file.is_some() {
                ("client-certificate-file", "client-key-file")
            } else {
                ("client-key-file", "client-certificate-file")
            };
            problems.push(Problem::new(missing, format!("is missing beside `{given}`"), "a certificate goes with its key"));
        }
        if self.connect_timeout.0.is_zero() {
            problems.push(Problem::new("connect-timeout", "is zero, so nothing could ever succeed", "write a time such as 5s"));
        }
        if let Some(proxy) = &self.proxy
            && reqwest::Proxy::all(proxy).is_err()
        {
            problems.push(Problem::new("proxy", "is no address", "write it like `http://proxy:3128`"));
        }
        self.check_headers(&mut problems);
        problems
    }

    fn check_headers(&self, problems: &mut Vec<Problem>) {
        for (name, value) in &self.headers {
            let field = format!("headers.{name}");
            let Ok(parsed) = name.parse::<HeaderName>() else {
                problems.push(Problem::new(field, "is no name of a header", "use letters, digits and `-`"));
                continue;
            };
            if HeaderValue::from_str(value).is_err() {
                problems.push(Problem::new(&field, "has a value that no header can have", "use printable ASCII on one line"));
            }
            if [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(&parsed) {
                problems.push(Problem::new(field, "is the client's own", "leave it out"));
            } else if parsed == header::AUTHORIZATION {
                problems.push(Problem::new(field, "would show in logs", "use `bearer-token-file` or `basic-auth`"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(url: &str, json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect("the test's configuration parses");
        let found = config.problems(&check_url("url", url).expect("the test's address parses"));
        found.into_iter().map(|problem| format!("{}: {}", problem.field, problem.cause)).collect()
    }

    #[test]
    fn the_default_has_no_problems() {
        assert_eq!(problems("http://prometheus:9090/prefix", "{}"), Vec::<String>::new());
    }

    #[test]
    fn a_token_does_not_cross_the_network_in_clear_text() {
        let token = r#"{"bearer-token-file": "/token"}"#;
        assert_eq!(problems("https://10.0.0.1:9090", token), Vec::<String>::new());
        assert_eq!(problems("http://127.0.0.1:9090", token), Vec::<String>::new());
        assert_eq!(problems("http://[::1]:9090", token), Vec::<String>::new());
        let clear = "secrets-in-clear-text: a token or password would cross the network in clear text";
        assert_eq!(problems("http://10.0.0.1:9090", token), [clear]);
        assert_eq!(problems("http://localhost.example.org", token), [clear]);
        let accepted = r#"{"bearer-token-file": "/token", "secrets-in-clear-text": true}"#;
        assert_eq!(problems("http://10.0.0.1:9090", accepted), Vec::<String>::new());
    }

    #[test]
    fn a_header_with_a_secret_does_not_cross_the_network_in_clear_text() {
        let clear = "secrets-in-clear-text: a token or password would cross the network in clear text";
        for name in ["X-Api-Key", "cookie", "Proxy-Authorization", "X-Auth-Token", "PRIVATE-TOKEN", "x_api_key"] {
            let json = format!(r#"{{"headers": {{"{name}": "x"}}}}"#);
            assert_eq!(problems("http://10.0.0.1:9090", &json), [clear], "{name}");
            assert_eq!(problems("https://10.0.0.1:9090", &json), Vec::<String>::new());
            assert_eq!(problems("http://localhost:9090", &json), Vec::<String>::new());
            let accepted = format!(r#"{{"headers": {{"{name}": "x"}}, "secrets-in-clear-text": true}}"#);
            assert_eq!(problems("http://10.0.0.1:9090", &accepted), Vec::<String>::new());
        }
        assert_eq!(problems("http://10.0.0.1:9090", r#"{"headers": {"X-Scope-OrgID": "edge"}}"#), Vec::<String>::new());
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let json = r#"{"bearer-token-file": "/t", "basic-auth": {"username": "u", "password-file": "/p"}, "client-key-file": "/k",
            "connect-timeout": "0s", "proxy": "::", "headers": {"a b": "x", "Host": "y", "authorization": "z", "X-A": "a\nb"}}"#;
        assert_eq!(
            problems("https://p", json),
            [
                "basic-auth: is given besides `bearer-token-file`",
                "client-certificate-file: is missing beside `client-key-file`",
                "connect-timeout: is zero, so nothing could ever succeed",
                "proxy: is no address",
                "headers.Host: is the client's own",
                "headers.X-A: has a value that no header can have",
                "headers.a b: is no name of a header",
                "headers.authorization: would show in logs",
            ]
        );
    }

    #[test]
    fn an_address_is_one_of_http_and_holds_no_password() {
        for bad in ["prometheus:9090", "ftp://x", "http://", "http://u:p@x/", "http://x/#y", "", "/metrics"] {
            assert!(check_url("url", bad).is_err(), "{bad}");
        }
    }
}
