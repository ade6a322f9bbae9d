//! What the user writes about the source `scrape`.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::quantity::{ByteSize, TimeSpan};

use super::filter::Wanted;
use crate::Problem;
use crate::http::{self, check_url};
use crate::scope::Scope;

const SHORTEST_PERIOD: Duration = Duration::from_millis(100);
const LONGEST_PERIOD: Duration = Duration::from_hours(24);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_PARALLEL: usize = 64;
const MOST_TARGETS: usize = 1_000;
const MOST_SERIES: usize = 1_000_000;

/// Which pages of metrics are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "ScrapeSource")]
pub struct Config {
    /// What is read, by name. The name is that of the cycle, and the label `job` of its series.
    pub targets: BTreeMap<String, Target>,
    /// Whether each collector reads the targets for itself, such as those of its node, or one replica does so for the whole cluster, chosen by
    /// a Lease.
    pub scope: Scope,
    /// How many targets are read at the same time. Up to 64. One that hangs costs its place for as long as its `timeout`.
    pub parallel: usize,
    /// How many bytes a page has at most, when it is unpacked. A longer one is not used. So many bytes may be held for each of `parallel`.
    pub max_answer_bytes: ByteSize,
    /// How many series are told of at most, all targets together, and how many a page may have that are wanted. Each target always has room for as
    /// many as this divided by the number of targets, and for more while the others leave it: what it has beyond that goes first when one of
    /// them needs room for its own part. Series that are no longer on their target's page make room for new ones, in each minute for as many as this or 20000, divided by the number of targets: labels that change at every reading are no
    /// series. What has no room is counted and left out. Each takes some
    /// hundred bytes. `up` of each target comes on top.
    pub max_series: usize,
    /// How many bytes the labels of all of them take at most, roughly. Shared likewise.
    pub max_series_bytes: ByteSize,
}

/// A page of metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "ScrapeTarget")]
pub struct Target {
    /// Where it is, with its path, such as `http://127.0.0.1:9100/metrics`, or `https://${NODE_IP}:10250/metrics/cadvisor` for the
    /// kubelet, which wants a token with the right to `get` `nodes/metrics`.
    pub url: String,
    /// How often it is read, at multiples of it since 1970 UTC: from 100ms to 1d.
    pub period: TimeSpan,
    /// How long a page may take. Whatever it is, nothing may take longer than 19 parts of 20 of the period: a cycle never overlaps the next.
    pub timeout: TimeSpan,
    /// Which metrics are told, by the names of their samples, such as `http_requests_total` or `http_request_seconds_bucket`, or by beginnings
    /// of names with a `*` behind them; the name counts before the longest beginning. Without any, all are. What is not wanted costs least.
    pub metrics: BTreeMap<String, Wanted>,
    /// How samples are told that only ever grow: counters, and of histograms and summaries the buckets, sums and counts.
    pub counters: Counters,
    /// Whether the times count that stand on the page: those of cAdvisor are some seconds old, and a sample whose time is that of the
    /// page before is not told again. `false` tells all samples at the time at which the page was asked for.
    pub honor_timestamps: bool,
    /// Whether a label of the page stays as it is where the target has one of the same name. `false` calls that of the page `exported_…`, as
    /// Prometheus does.
    pub honor_labels: bool,
    /// Labels that are added to each series, such as `node: ${NODE_NAME}`. Besides, as with Prometheus, `job` is the target's name, and
    /// `instance` host and port of `url`; here they can be given other values, or none, as in `job: ""`.
    pub labels: BTreeMap<String, String>,
    /// How the target is reached, verified, and what it is shown.
    pub http: http::Config,
}

/// How samples are told that only ever grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ScrapeCounters")]
pub enum Counters {
    /// As they stand on the page.
    #[default]
    Total,
    /// As their growth per second since the page before.
    Rate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            targets: BTreeMap::new(),
            scope: Scope::Node,
            parallel: 8,
            max_answer_bytes: ByteSize(16 << 20),
            max_series: 20_000,
            max_series_bytes: ByteSize(32 << 20),
        }
    }
}

impl Default for Target {
    fn default() -> Self {
        Self {
            url: String::new(),
            period: TimeSpan(Duration::from_secs(15)),
            timeout: TimeSpan(DEFAULT_TIMEOUT),
            metrics: BTreeMap::new(),
            counters: Counters::default(),
            honor_timestamps: true,
            honor_labels: false,
            labels: BTreeMap::new(),
            http: http::Config::default(),
        }
    }
}

impl Config {
    /// Every mistake that can be seen without trying.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.targets.is_empty() || self.targets.len() > MOST_TARGETS {
            let text = format!("{} targets are none, or too many", self.targets.len());
            problems.push(Problem::new("targets", text, format!("name 1 to {MOST_TARGETS}, each with its `url`")));
        }
        if !(1..=MOST_PARALLEL).contains(&self.parallel) {
            let text = format!("{} is not between 1 and {MOST_PARALLEL}", self.parallel);
            problems.push(Problem::new("parallel", text, "leave it out for 8"));
        }
        if !(1..=MOST_SERIES).contains(&self.max_series) {
            let text = format!("{} is not between 1 and {MOST_SERIES}", self.max_series);
            problems.push(Problem::new("max-series", text, "leave it out for 20000"));
        }
        if self.max_series_bytes.0 < 1024 {
            let text = format!("{} has no room for the labels of a series", self.max_series_bytes);
            problems.push(Problem::new("max-series-bytes", text, "leave it out for 32MiB"));
        }
        if self.max_answer_bytes.0 < 1024 || self.max_answer_bytes.0 > 1 << 30 {
            let text = format!("{} is not between 1KiB and 1GiB", self.max_answer_bytes);
            problems.push(Problem::new("max-answer-bytes", text, "leave it out for 16MiB"));
        }
        for (name, target) in &self.targets {
            let path = format!("targets.{name}");
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                let text = format!("`{}` is no name of a target", name.escape_debug());
                problems.push(Problem::new("targets", text, "use letters, digits, `-` and `_`"));
            }
            problems.extend(target.problems().into_iter().map(|problem| problem.within(&path)));
        }
        problems
    }
}

impl Target {
    /// How long a page may take.
    pub(super) fn patience(&self) -> Duration {
        self.timeout.0.min(self.period.0 * 19 / 20)
    }

    /// What is added to the labels of each series.
    pub(super) fn own_labels(&self, name: &str, url: &Url) -> Vec<(String, String)> {
        let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
        let instance = format!("{}{port}", url.host_str().unwrap_or_default());
        let mut labels = BTreeMap::from([("job".to_owned(), name.to_owned()), ("instance".to_owned(), instance)]);
        labels.extend(self.labels.clone());
        labels.into_iter().collect()
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match check_url("url", &self.url) {
            Err(_) if self.url.is_empty() => {
                problems.push(Problem::new("url", "is missing", "write it like `http://127.0.0.1:9100/metrics`"));
            }
            Err(problem) => problems.push(problem),
            Ok(url) => problems.extend(self.http.problems(&url).into_iter().map(|problem| problem.within("http"))),
        }
        let mut check = |field: &str, span: TimeSpan, least: Duration| {
            if span.0 < least || span.0 > LONGEST_PERIOD {
                let cure = format!("write {} to {}", TimeSpan(least), TimeSpan(LONGEST_PERIOD));
                problems.push(Problem::new(field, format!("{span} is too short or too long"), cure));
            }
        };
        check("period", self.period, SHORTEST_PERIOD);
        check("timeout", self.timeout, SHORTEST_TIMEOUT);
        for (label, value) in &self.labels {
            if label.is_empty() || label == "__name__" || label.contains('\0') || value.contains('\0') {
                let text = format!("`{}` is no label of one's own", label.escape_debug());
                problems.push(Problem::new("labels", text, "write a name and a value, such as `node: ${NODE_NAME}`"));
            }
        }
        for (name, wanted) in &self.metrics {
            problems.extend(metric_problems(name, wanted).into_iter().map(|problem| problem.within("metrics")));
        }
        problems
    }
}

fn metric_problems(name: &str, wanted: &Wanted) -> Vec<Problem> {
    let mut problems = Vec::new();
    let shown = name.escape_debug().to_string();
    if name.is_empty() || name.strip_suffix('*').unwrap_or(name).contains('*') {
        let text = format!("`{shown}` is no name of a metric and no beginning of one");
        problems.push(Problem::new(&shown, text, "write a name, or a beginning with one `*` behind it"));
    }
    for (field, values) in [("keep", &wanted.keep), ("drop", &wanted.drop)] {
        for (label, _) in values.iter().filter(|(_, values)| values.is_empty()) {
            let text = "has no value, so it means nothing";
            problems.push(Problem::new(format!("{shown}.{field}.{label}"), text, "name values, or `\"\"` for a missing label"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).expect("the test's configuration parses")
    }

    #[track_caller]
    fn check(json: &str, fields: &[&str]) {
        let problems = config(json).problems();
        assert_eq!(problems.iter().map(|problem| problem.field.as_str()).collect::<Vec<_>>(), fields, "{problems:?}");
    }

    #[track_caller]
    fn check_target(json: &str, fields: &[&str]) {
        let fields: Vec<String> = fields.iter().map(|field| format!("targets.a.{field}")).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        check(&format!(r#"{{"targets": {{"a": {json}}}}}"#), &fields);
    }

    #[test]
    fn a_url_is_enough() {
        check_target(r#"{"url": "http://127.0.0.1:9100/metrics"}"#, &[]);
    }

    #[test]
    fn mistakes_are_named() {
        check("{}", &["targets"]);
        check(
            r#"{"targets": {"a b": {"url": "http://x/"}}, "parallel": 0, "max-series": 0, "max-answer-bytes": "5B"}"#,
            &["parallel", "max-series", "max-answer-bytes", "targets"],
        );
        check_target("{}", &["url"]);
        check_target(r#"{"url": "127.0.0.1:9100"}"#, &["url"]);
        check_target(r#"{"url": "http://10.0.0.1/", "http": {"bearer-token-file": "/t"}}"#, &["http.secrets-in-clear-text"]);
        check_target(r#"{"url": "http://x/", "period": "10ms", "timeout": "0s"}"#, &["period", "timeout"]);
        check_target(r#"{"url": "http://x/", "labels": {"__name__": "a"}}"#, &["labels"]);
        check_target(
            r#"{"url": "http://x/", "metrics": {"a**": {}, "b": {"keep": {"c": []}}, "*": {"drop": {"d": []}}}}"#,
            &["metrics.*.drop.d", "metrics.a**", "metrics.b.keep.c"],
        );
    }

    #[test]
    fn a_page_never_takes_longer_than_its_period() {
        let patience = |json: &str| serde_json::from_str::<Target>(json).expect("the test's target parses").patience();
        assert_eq!(patience("{}"), Duration::from_secs(10));
        assert_eq!(patience(r#"{"period": "1s"}"#), Duration::from_millis(950));
        assert_eq!(patience(r#"{"timeout": "2s"}"#), Duration::from_secs(2));
    }

    #[test]
    fn job_and_instance_are_those_of_prometheus_unless_given() {
        let own = |json: &str, url: &str| {
            let target: Target = serde_json::from_str(json).expect("the test's target parses");
            let labels = target.own_labels("node", &url.parse().expect("the test's address parses"));
            labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        };
        assert_eq!(own("{}", "http://h:9100/metrics"), "instance=h:9100,job=node");
        assert_eq!(own("{}", "https://[::1]/metrics"), "instance=[::1]:443,job=node");
        assert_eq!(own(r#"{"labels": {"job": "", "zone": "z"}}"#, "http://h/"), "instance=h:80,job=,zone=z");
    }
}
