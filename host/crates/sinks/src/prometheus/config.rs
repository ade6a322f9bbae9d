//! The settings of the prometheus sink.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::{ByteSize, Problem, TimeSpan};

/// Serves documents as one page of metrics over HTTP, for Prometheus to scrape.
///
/// Each document is a piece of the page in Prometheus' text format 0.0.4: `# HELP` and `# TYPE` lines, and samples. Its name, with its
/// collection where it has one, names this group of series: a document put again takes the place of what the group had before, a name
/// that is forgotten takes its series along. On the page each metric stands once, with the series of all groups, in an order that
/// does not change.
///
/// A document is refused as a whole, with the line and the cause, when it is not valid; when another group has one of its series, or
/// another type for one of its metrics; and when it would exceed `max-series` or `max-bytes`. What the group had before stays then,
/// until its time is over. Where groups say different `HELP` texts of a metric, the text of the first group by name is shown. Labels
/// without a value are left out, as Prometheus does. A type that says nothing is no other type, except beside a histogram or a summary.
///
/// Messages are refused: they have no name to be kept under. What is held is in memory only and is gone after a restart; modules put
/// it again.
///
/// Eight scrapes are answered at a time, each within 10 seconds; one more ends the oldest. While scrapes are slow, each may hold a
/// page of up to `max-bytes` of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "PrometheusSink")]
pub struct Config {
    /// Address and port to listen on. Taken by somebody else, entries wait and it is tried again.
    pub listen: SocketAddr,
    /// Where the page is; every other path is answered with 404.
    pub path: String,
    /// How many series there may be in all groups together; a document that would bring more is refused.
    pub max_series: usize,
    /// How long the page may become, with its numbers taken at their longest; a document that would make it longer is refused.
    pub max_bytes: ByteSize,
    /// How long a group stays that is not put again; `null` is for ever.
    pub expire_after: Option<TimeSpan>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9091)),
            path: "/metrics".to_owned(),
            max_series: 100_000,
            max_bytes: ByteSize(32 << 20),
            expire_after: Some(TimeSpan(Duration::from_mins(5))),
        }
    }
}

impl Config {
    /// What is wrong with the settings.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |field: &str, cause: &str, cure: &str| problems.push(Problem::new(field, cause, cure));
        if self.listen.port() == 0 {
            add("listen", "nobody would know which port to scrape", "name a port, such as `0.0.0.0:9091`");
        }
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#%".contains(&byte);
        if !self.path.starts_with('/') || !self.path.bytes().all(plain) {
            add("path", "this is no path of a page", "begin it with `/`, without blanks, `?`, `#` and `%`, such as `/metrics`");
        }
        if self.max_series == 0 {
            add("max-series", "nothing can be served", "leave it out for 100000");
        }
        if self.max_bytes.0 == 0 {
            add("max-bytes", "nothing fits in 0 bytes", "leave it out for 32MiB");
        }
        if self.expire_after.is_some_and(|after| after.0.is_zero()) {
            add("expire-after", "every group would be gone at once", "leave it out for 5m, or say `null` for ever");
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Config {
        serde_json::from_str(json).expect("readable")
    }

    #[test]
    fn nothing_must_be_said() {
        assert_eq!(read("{}"), Config::default());
        assert_eq!(Config::default().problems(), []);
        let text = serde_json::to_string(&Config::default()).expect("a config");
        assert_eq!(
            text,
            r#"{"listen":"0.0.0.0:9091","path":"/metrics","max-series":100000,"max-bytes":"32MiB","expire-after":"5m"}"#
        );
        assert_eq!(read(r#"{"expire-after":null}"#).expire_after, None);
        assert!(serde_json::from_str::<Config>(r#"{"listen":"prometheus"}"#).is_err());
    }

    #[test]
    fn every_mistake_is_named() {
        let config = read(r#"{"listen":"[::]:0","path":"metrics","max-series":0,"max-bytes":"0B","expire-after":"0s"}"#);
        let fields: Vec<_> = config.problems().into_iter().map(|problem| problem.field).collect();
        assert_eq!(fields, ["listen", "path", "max-series", "max-bytes", "expire-after"]);
        for path in ["", "/a b", "/a?b", "/ü", "/%6d", "/a#"] {
            assert_eq!(Config { path: path.to_owned(), ..Config::default() }.problems().len(), 1, "{path}");
        }
    }
}
