//! What the user writes about registries, and about what is pulled from them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::Problem;
use sluicebox_contract::quantity::{ByteSize, TimeSpan};

/// How a registry is asked. Files are read again for each pull: what was renewed is taken up without a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "Registry")]
pub struct Config {
    /// Whether it is asked over HTTP without TLS. Without it, only a registry on this machine is (`localhost`, `127.0.0.1`, `[::1]`).
    pub plain_http: Option<bool>,
    /// The user that it is told; goes with `password-file`. Without it nobody is named, which is enough for modules that everybody may have.
    pub username: Option<String>,
    /// A file with the password or the token; a line break at its end does not count.
    pub password_file: Option<PathBuf>,
    /// A file with users and passwords as `docker login` writes it, also one that a secret of the type `kubernetes.io/dockerconfigjson` has
    /// become: what it says of this registry is taken. Programs that it names (`credHelpers`) are not started.
    pub credentials_file: Option<PathBuf>,
    /// Certificates of the authorities that may have signed the registry's, as PEM, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A proxy that takes the requests, such as `http://proxy:3128`. Without it none is used, whatever the environment says.
    pub proxy: Option<String>,
    /// Whether a password may be sent to another machine without TLS, where anybody between here and there can read it. A registry says itself
    /// who checks it; without this, nobody on another machine is told one by plain HTTP, whomever the registry names. Where no user is given
    /// there is nothing to hide, and whomever the registry names is asked.
    pub secrets_in_clear_text: bool,
}

/// How modules are pulled from registries, and what is kept of them. A pull works in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "Pull")]
pub struct PullConfig {
    /// Time between two looks at a tag, a tenth more or less so that collectors do not ask at the same moment. A module that is named by its
    /// digest is pulled once. While a registry is away it is asked more often at first, ever more rarely then, up to this.
    pub every: TimeSpan,
    /// Time for one pull.
    pub deadline: TimeSpan,
    /// How long connecting may take, with TLS.
    pub connect_timeout: TimeSpan,
    /// Memory that the process may have of its own, beside that of the collector, but within the memory limit of its container.
    pub memory: ByteSize,
    /// Bytes on disk for copies, in the state directory, with which a start goes on while the registry is away. What no lane names any more
    /// goes first, the oldest before.
    pub copies: ByteSize,
}

impl Default for PullConfig {
    fn default() -> Self {
        Self {
            every: TimeSpan(Duration::from_mins(5)),
            deadline: TimeSpan(Duration::from_mins(1)),
            connect_timeout: TimeSpan(Duration::from_secs(5)),
            memory: ByteSize(96 << 20),
            copies: ByteSize(256 << 20),
        }
    }
}

impl Config {
    /// Whether the registry of this host is asked without TLS.
    pub fn is_plain(&self, host: &str) -> bool {
        self.plain_http.unwrap_or_else(|| is_this_machine(host))
    }

    /// As a person asks this host who has logged in with a tool for containers (`docker login`, `oras login`, `podman login`): by the first file of
    /// `$REGISTRY_AUTH_FILE`, `$DOCKER_CONFIG/config.json` and `$HOME/.docker/config.json` that says something of it, else as nobody. Blocks.
    pub fn of_person(host: &str, plain_http: Option<bool>) -> Self {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let files = [
            variable("REGISTRY_AUTH_FILE"),
            variable("DOCKER_CONFIG").map(|folder| folder.join("config.json")),
            variable("HOME").map(|folder| folder.join(".docker/config.json")),
        ];
        let with = |path: PathBuf| Self { plain_http, credentials_file: Some(path), ..Self::default() };
        let known = files.into_iter().flatten().map(with).find(|config| crate::secret::read(config, host).is_ok());
        known.unwrap_or_else(|| Self { plain_http, ..Self::default() })
    }

    /// Whether a password that goes to the registry of this host can be read on its way, and nobody has said that it may.
    pub fn shows_secret(&self, host: &str) -> bool {
        let is_secret = self.username.is_some() || self.credentials_file.is_some();
        is_secret && self.is_plain(host) && !is_this_machine(host) && !self.secrets_in_clear_text
    }

    /// What is wrong with what is said of this host.
    pub fn problems(&self, host: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.username.is_some() != self.password_file.is_some() {
            let (there, missing) =
                if self.username.is_some() { ("username", "password-file") } else { ("password-file", "username") };
            problems.push(Problem::new(there, format!("goes with `{missing}`"), format!("add `{missing}`, or leave both out")));
        }
        if self.username.is_some() && self.credentials_file.is_some() {
            let cure = "keep either `credentials-file` or `username` and `password-file`";
            problems.push(Problem::new("credentials-file", "two users are told", cure));
        }
        if self.shows_secret(host) {
            let cure = "use TLS, or say `secrets-in-clear-text: true` where the network encrypts";
            problems.push(Problem::new("plain-http", "the password could be read on its way", cure));
        }
        if let Some(proxy) = self.proxy.as_ref().filter(|proxy| !proxy.starts_with("http://") && !proxy.starts_with("https://")) {
            problems.push(Problem::new("proxy", format!("`{proxy}` is no address"), "write it like `http://proxy:3128`"));
        }
        problems
    }
}

impl PullConfig {
    /// What is wrong with it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let spans = [
            ("every", self.every, Duration::from_secs(1), Duration::from_hours(24)),
            ("deadline", self.deadline, Duration::from_secs(1), Duration::from_mins(30)),
            ("connect-timeout", self.connect_timeout, Duration::from_millis(100), Duration::from_mins(1)),
        ];
        for (field, span, least, most) in spans {
            if span.0 < least || span.0 > most {
                let cure = format!("give {} to {}, or leave it out", TimeSpan(least), TimeSpan(most));
                problems.push(Problem::new(field, format!("{span} is of no use"), cure));
            }
        }
        if self.memory.0 < 32 << 20 {
            let cure = "give at least `32MiB`, or leave it out";
            problems.push(Problem::new("memory", format!("{} is too little for any pull", self.memory), cure));
        }
        problems
    }
}

/// Whether what is sent there stays on this machine.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls_unless_it_is_said() {
        let plain = |host: &str| Config::default().is_plain(host);
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.3.2.1", "[::1]:5000", "registry.localhost:5000"] {
            assert!(plain(host), "{host}");
        }
        for host in ["ghcr.io", "10.0.0.1:5000", "localhost.example.org", "[::2]:5000", "127.0.0.1.example.org"] {
            assert!(!plain(host), "{host}");
        }
        assert!(Config { plain_http: Some(true), ..Config::default() }.is_plain("ghcr.io"));
        assert!(!Config { plain_http: Some(false), ..Config::default() }.is_plain("localhost:5000"));
    }

    #[track_caller]
    fn check(config: &Config, host: &str, field: &str, word: &str) {
        let problems = config.problems(host);
        let found = problems.iter().find(|problem| problem.field == field && problem.cause.contains(word));
        assert!(found.is_some(), "{problems:?}");
    }

    #[test]
    fn a_user_goes_with_his_password() {
        check(&Config { username: Some("me".into()), ..Config::default() }, "ghcr.io", "username", "password-file");
        check(&Config { password_file: Some("p".into()), ..Config::default() }, "ghcr.io", "password-file", "username");
        let both = Config {
            username: Some("me".into()),
            password_file: Some("p".into()),
            credentials_file: Some("c".into()),
            ..Config::default()
        };
        check(&both, "ghcr.io", "credentials-file", "two users");
    }

    #[test]
    fn a_password_goes_over_no_wire_that_anybody_can_read() {
        let plain = Config { plain_http: Some(true), credentials_file: Some("c".into()), ..Config::default() };
        check(&plain, "registry:5000", "plain-http", "read on its way");
        assert_eq!(plain.problems("localhost:5000"), []);
        let accepted = Config { secrets_in_clear_text: true, ..plain };
        assert_eq!(accepted.problems("registry:5000"), []);
    }
}
