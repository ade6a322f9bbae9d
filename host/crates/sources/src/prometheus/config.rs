//! What the user writes about the source `prometheus`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::quantity::{ByteSize, TimeSpan};

use crate::http;
use crate::scope::Scope;

/// Which Prometheus is asked, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "PrometheusSource")]
pub struct Config {
    /// Where it is: a Prometheus, or whatever serves its query API (Thanos, Mimir, `VictoriaMetrics`), with a path in front of `/api/v1` where there
    /// is one, such as `http://prometheus.monitoring:9090`.
    pub url: String,
    /// Whether one replica asks for the whole cluster, chosen by a Lease, or each collector asks for itself, as with queries that name
    /// `{{node}}`.
    pub scope: Scope,
    /// How often the queries are asked, at multiples of it since 1970 UTC: from 1s to 1d.
    pub period: TimeSpan,
    /// Of range queries: the time from one moment to the next. Without it, the period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<TimeSpan>,
    /// Of range queries: how far back they reach from their last moment; the first is one step after that, so that ranges that follow each
    /// other tell no moment twice. Without it, the period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<TimeSpan>,
    /// How long before the turn the last moment lies, for servers that get their samples late.
    pub offset: TimeSpan,
    /// How long one query may take. Whatever it is, nothing may take longer than 19 parts of 20 of the period: a cycle never overlaps the next.
    pub timeout: TimeSpan,
    /// How many queries are under way at the same time. Up to 64.
    pub parallel: usize,
    /// Of range queries: after an outage, moments that were missed are asked for as far back as this, up to 1d; `0s` does not. They come in
    /// order, up to 32 ranges at once, and fewer where more is too much for the server or for `max-answer-bytes`. Under a lease, whoever begins
    /// to work asks for so much as well, as it cannot know what the others have told: some of it is told twice. It never asks for less than the
    /// others may have been silent.
    pub catch_up: TimeSpan,
    /// How the queries are sent.
    pub method: Method,
    /// Sent with each query besides, such as `partial_response: "true"` for Thanos.
    pub parameters: BTreeMap<String, String>,
    /// Queries with places to fill in, by name: `{{metric}}`, `{{function}}`, `{{window}}`, `{{step}}`, `{{range}}`, `{{period}}`, `{{node}}`, and what `variables` names;
    /// `{{containers}}` is what leaves out the series of a pod as a whole and of its sandbox, and nothing for metrics of the network, which are the pod's.
    /// `mape-kafka` and `mape-kafka-pod-name` are there without being written.
    pub templates: BTreeMap<String, String>,
    /// What is filled in. `window: 1m` and `namespace: default` unless given here.
    pub variables: BTreeMap<String, String>,
    /// What is asked, by name.
    pub queries: BTreeMap<String, Query>,
    /// How the server is reached, verified, and what it is shown.
    pub http: http::Config,
    /// How many bytes an answer has at most, when it is unpacked. A longer one is not used. So many bytes may be held for each of `parallel`.
    pub max_answer_bytes: ByteSize,
    /// How many series are told of at most, all queries together. Series that their query no longer finds make room for new
    /// ones. What is beyond is counted and left out.
    pub max_series: usize,
    /// How many bytes the labels of all of them take at most, roughly.
    pub max_series_bytes: ByteSize,
    /// How many samples an answer has at most. One with more is not used.
    pub max_samples: usize,
}

/// One query, or one for each of several metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "PrometheusQuery")]
pub struct Query {
    /// The query in PromQL; places are filled in as in a template. This or `template`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The name of a template, or its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The metrics that a query is made for each, named after the metric: `mape-kafka` for the table that ships, or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// The metric that a single query is about. Without it, the query's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The type of the metric, such as `gauge` or `counter`. Without it, the server's metadata are asked.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
    /// The unit of the metric, such as `bytes`; may be empty. Without it, the server's metadata are asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What stands for `{{function}}`. Without it, `rate` for counters, else `avg_over_time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Whether one moment is asked for, or several.
    pub kind: Kind,
    /// As above, for this query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<TimeSpan>,
    /// As above, for this query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<TimeSpan>,
    /// As above, for this query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<TimeSpan>,
    /// As above, for this query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<TimeSpan>,
    /// As above, for this query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
    /// What is filled in, in place of what stands above.
    pub variables: BTreeMap<String, String>,
}

/// Several metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "PrometheusMetrics")]
pub enum Metrics {
    /// Those of a table that ships.
    Table(String),
    /// These.
    These(Vec<Metric>),
}

/// A metric that a query is made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "PrometheusMetric")]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its type. Without it, that of the query.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
    /// Its unit. Without it, that of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What stands for `{{function}}`. Without it, that of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// What is filled in, in place of what stands above.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

/// Whether one moment is asked for, or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "PrometheusKind")]
pub enum Kind {
    /// One, by `/api/v1/query`.
    #[default]
    Instant,
    /// Several, by `/api/v1/query_range`.
    Range,
}

/// How queries are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "PrometheusMethod")]
pub enum Method {
    /// In the address.
    #[default]
    Get,
    /// In the body, for queries that are too long for an address.
    Post,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            scope: Scope::Cluster,
            period: TimeSpan(Duration::from_secs(20)),
            step: None,
            range: None,
            offset: TimeSpan(Duration::ZERO),
            timeout: TimeSpan(Duration::from_secs(10)),
            parallel: 4,
            catch_up: TimeSpan(Duration::from_mins(5)),
            method: Method::Get,
            parameters: BTreeMap::new(),
            templates: BTreeMap::new(),
            variables: BTreeMap::new(),
            queries: BTreeMap::new(),
            http: http::Config::default(),
            max_answer_bytes: ByteSize(8 << 20),
            max_series: 20_000,
            max_series_bytes: ByteSize(32 << 20),
            max_samples: 200_000,
        }
    }
}
