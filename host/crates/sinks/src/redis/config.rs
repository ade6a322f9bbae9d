//! The settings of the redis sink.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::{Problem, TimeSpan};
use sluicebox_credentials::TlsFiles;

/// Messages are published to channels, documents are kept as fields of hashes; a message's key and headers are not sent, since
/// `PUBLISH` has no place for them.
///
/// Order is kept across a lost connection: the sink connects again and goes on with the first entry that was not acknowledged, so
/// that a subscriber may see an entry twice but never one before its predecessor. There is one exception: messages go out in groups,
/// and when the server refuses one of them for now, as when the right to `PUBLISH` is taken away and given back meanwhile, those
/// behind it in its group may be published before it; they are published once more after it.
///
/// Consecutive documents are written in one transaction: a reader sees all of them or none. A document to be forgotten later is
/// remembered in memory only: after a restart it stays until it is forgotten again. Redis 6 and later; a cluster is not spoken to as
/// such.
///
/// Rights needed: `+publish` and the channels (`&...`) for messages; `+hset +hdel +multi +exec` and the keys (`~...`) for documents.
/// With `expire-after` also `+zadd +zrem +zrangebyscore +time +eval`, and the keys `<hash>:ages`.
/// Without the right to a command the entries wait for it; an entry for a channel or a key that the user may not reach is refused.
///
/// **Refusals.** What lies in one entry alone refuses just that one: a key that holds something else than a hash, a place that the user may
/// not reach, more bytes than the server takes at once. Everything else waits, with all entries behind it, until it is cured: a server without
/// memory may have room for a smaller document, but none is left out for that. After a refusal that another server would not make, as by a
/// replica, the sink connects anew, and so follows a name that leads to another server after a fail-over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "RedisSink")]
pub struct Config {
    /// Where redis listens: `redis://host:port`, `rediss://host:port` with TLS, or `unix:///path/to/socket`. May hold user,
    /// password and database as well (`redis://user:password@host:port/1`); better said with the fields below.
    pub url: String,
    /// The user; none is the default user.
    #[serde(default)]
    pub username: Option<String>,
    /// The password. Better given by `password-file`, or from the environment with `${NAME}`.
    #[serde(default)]
    pub password: Option<String>,
    /// A file that holds the password, read at every connect: a password that has been replaced is taken up without a restart.
    /// One line break at its end does not count.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The number of the database for documents; none is the one in the url, else 0. Channels are the same in all of them.
    #[serde(default)]
    pub database: Option<u32>,
    /// The channel of messages that name none; without it they are refused.
    #[serde(default)]
    pub channel: Option<String>,
    /// The hash of documents that name no collection; without it they are refused.
    #[serde(default)]
    pub hash: Option<String>,
    /// A document that has not been put again for so long is removed, by whichever collector with this setting comes to it first, also when the
    /// one that has put it is dead. When documents were put stands in a sorted set beside each hash, `<hash>:ages`, in milliseconds
    /// of the server's clock; what was put without this setting has no age and stays. Looked after are `hash` and the collections that
    /// documents have named since the start. Without it, nothing is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<TimeSpan>,
    /// Certificates of the authorities that may have signed the server's, as PEM, in place of the system's. Read at every connect.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The certificate that the sink shows to the server, as PEM, with those between it and its authority. Read at every connect.
    #[serde(default)]
    pub client_certificate_file: Option<PathBuf>,
    /// The private key of that certificate, as PEM. Read at every connect.
    #[serde(default)]
    pub client_key_file: Option<PathBuf>,
    /// Whether the server's certificate is verified. Without it anybody between here and there can read and change everything,
    /// the password included.
    #[serde(default)]
    pub tls_verify: TlsVerify,
    /// How long connecting may take, with TLS and logging in.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: TimeSpan,
    /// How long the server may take for a group of commands that were sent together; a connection that takes longer is given up.
    #[serde(default = "write_timeout")]
    pub write_timeout: TimeSpan,
}

/// Whether the server's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "RedisTlsVerify")]
pub enum TlsVerify {
    /// It is.
    #[default]
    Always,
    /// It is not: whoever answers at the address is believed, and is sent the password.
    NeverAndIAcceptTheRisk,
}

/// The settings, understood.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: Address,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => {
                write!(formatter, "[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => write!(formatter, "{host}:{port}"),
            Self::Unix(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// Shows no password, wherever it stands.
impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.target().map_or_else(|_| "?".to_owned(), |target| target.address.to_string());
        formatter.debug_struct("Config").field("address", &address).finish_non_exhaustive()
    }
}

impl Config {
    /// What TLS towards the server is made of.
    pub(super) fn tls_files(&self) -> TlsFiles<'_> {
        TlsFiles {
            ca_file: self.ca_file.as_deref(),
            client_certificate_file: self.client_certificate_file.as_deref(),
            client_key_file: self.client_key_file.as_deref(),
            verify: self.tls_verify == TlsVerify::Always,
        }
    }

    /// The settings for a server, all others as by default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            username: None,
            password: None,
            password_file: None,
            database: None,
            channel: None,
            hash: None,
            expire_after: None,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            tls_verify: TlsVerify::Always,
            connect_timeout: connect_timeout(),
            write_timeout: write_timeout(),
        }
    }

    /// What is wrong with the settings.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match self.target() {
            Ok(target) => problems.extend(self.contradictions(&target)),
            Err(problem) => problems.push(problem),
        }
        for (field, span) in [("connect-timeout", self.connect_timeout), ("write-timeout", self.write_timeout)] {
            if span.0.is_zero() {
                problems.push(Problem::new(field, "nothing can be done in no time", "leave it out for the default"));
            }
        }
        if let Some(after) = self.expire_after.filter(|after| after.0 < Duration::from_secs(1)) {
            let cause = format!("{after} is shorter than 1s");
            problems.push(Problem::new("expire-after", cause, "give at least `1s`, or leave it out for never"));
        }
        if let Some((present, missing)) = match (&self.client_certificate_file, &self.client_key_file) {
            (Some(_), None) => Some(("client-certificate-file", "client-key-file")),
            (None, Some(_)) => Some(("client-key-file", "client-certificate-file")),
            _ => None,
        } {
            problems.push(Problem::new(present, format!("`{missing}` is missing"), "a certificate and its key go together"));
        }
        problems
    }

    /// What the fields say against each other.
    fn contradictions(&self, target: &Target) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |field: &str, cause: &str, cure: &str| problems.push(Problem::new(field, cause, cure));
        let secrets = [self.password.is_some(), self.password_file.is_some(), self.password_in_url()];
        if secrets.into_iter().filter(|said| *said).count() > 1 {
            let field = if self.password_file.is_some() { "password-file" } else { "password" };
            add(field, "the password is said twice", "leave one of `password`, `password-file` and the password in `url`");
        }
        if target.username.is_some() && !secrets.contains(&true) {
            add("username", "there is no password for this user", "give `password-file`");
        }
        let tls = matches!(target.address, Address::Tcp { tls: true, .. });
        let files = [
            ("ca-file", self.ca_file.is_some()),
            ("client-certificate-file", self.client_certificate_file.is_some()),
            ("tls-verify", self.tls_verify != TlsVerify::Always),
        ];
        for (field, said) in files {
            if said && !tls {
                add(field, "this has no effect without TLS", "begin the url with `rediss://`");
            }
        }
        if self.ca_file.is_some() && self.tls_verify != TlsVerify::Always {
            add("ca-file", "authorities are named, but nothing is verified", "leave out `tls-verify`");
        }
        problems
    }

    pub(super) fn target(&self) -> Result<Target, Problem> {
        // The url itself is not repeated in the message: it may hold a password.
        let problem = |message: String| {
            Problem::new("url", message, "write `redis://host:port`, `rediss://host:port` for TLS, or `unix:///path/to/socket`")
        };
        let info = self.info().map_err(|error| problem(format!("this is no address of a redis: {error}")))?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Address::Tcp { host: host.clone(), port: *port, tls: false },
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return Err(Problem::new(
                    "url",
                    "`#insecure` is not taken",
                    "say `tls-verify: never-and-i-accept-the-risk` if you mean it",
                ));
            }
            ConnectionAddr::TcpTls { host, port, .. } => Address::Tcp { host: host.clone(), port: *port, tls: true },
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            _ => return Err(problem("this kind of address is not known".to_owned())),
        };
        let settings = info.redis_settings();
        Ok(Target {
            address,
            username: self.username.clone().or_else(|| settings.username().map(str::to_owned)),
            password: self.password.clone().or_else(|| settings.password().map(str::to_owned)),
            database: self.database.map_or_else(|| settings.db(), i64::from),
        })
    }

    fn info(&self) -> Result<ConnectionInfo, redis::RedisError> {
        self.url.as_str().into_connection_info()
    }

    fn password_in_url(&self) -> bool {
        self.info().is_ok_and(|info| info.redis_settings().password().is_some())
    }
}

fn connect_timeout() -> TimeSpan {
    TimeSpan(Duration::from_secs(5))
}

fn write_timeout() -> TimeSpan {
    TimeSpan(Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect("readable");
        config.problems().into_iter().map(|problem| format!("{}: {}", problem.field, problem.cause)).collect()
    }

    #[test]
    fn only_the_url_must_be_said() {
        let config: Config = serde_json::from_str(r#"{"url":"redis://redis:6379"}"#).expect("enough");
        assert!(config == Config::new("redis://redis:6379") && config.problems().is_empty());
        assert!(serde_json::from_str::<Config>(r#"{"url":"redis://r","chanel":"a"}"#).is_err());
    }

    #[test]
    fn an_address_is_shown_without_the_password() {
        let config = Config::new("rediss://me:secret@[::1]:7000/3");
        let target = config.target().expect("a url");
        assert_eq!((target.address.to_string().as_str(), target.database), ("[::1]:7000", 3));
        assert_eq!((target.username.as_deref(), target.password.as_deref()), (Some("me"), Some("secret")));
        assert!(!format!("{config:?}").contains("secret"));
        let socket = Config::new("unix:///run/redis.sock").target().expect("a url");
        assert_eq!(socket.address, Address::Unix("/run/redis.sock".into()));
    }

    #[test]
    fn a_bad_url_is_named_without_repeating_it() {
        for url in ["", "redis", "http://:secret@redis", "redis://", "redis://:secret@0.0.0.0", "redis://h/x", "redis://h:99999"]
        {
            let problems = Config::new(url).problems();
            assert_eq!(problems.len(), 1, "{url}");
            assert!(problems[0].field == "url" && !problems[0].cause.contains("secret"), "{problems:?}");
        }
    }

    #[test]
    fn every_contradiction_is_named() {
        assert_eq!(
            said(
                r#"{"url":"redis://:a@h","password":"b","password-file":"/c","ca-file":"/d","connect-timeout":"0s","client-key-file":"/k","expire-after":"1ms"}"#
            ),
            [
                "password-file: the password is said twice",
                "ca-file: this has no effect without TLS",
                "connect-timeout: nothing can be done in no time",
                "expire-after: 1ms is shorter than 1s",
                "client-key-file: `client-certificate-file` is missing",
            ]
        );
        let unverified = r#""tls-verify":"never-and-i-accept-the-risk""#;
        assert_eq!(said(&format!(r#"{{"url":"rediss://h",{unverified}}}"#)), Vec::<String>::new());
        assert_eq!(said(&format!(r#"{{"url":"redis://h",{unverified}}}"#)), ["tls-verify: this has no effect without TLS"]);
        assert_eq!(
            said(&format!(r#"{{"url":"rediss://h","ca-file":"/d",{unverified}}}"#)),
            ["ca-file: authorities are named, but nothing is verified"]
        );
        assert_eq!(said(r#"{"url":"rediss://h#insecure"}"#), ["url: `#insecure` is not taken"]);
        assert_eq!(said(r#"{"url":"redis://h","username":"u"}"#), ["username: there is no password for this user"]);
    }
}
