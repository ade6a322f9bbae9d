//! From what the user writes to the single queries of each cycle, with every mistake that can be seen without asking. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_contract::{SeriesOrigin, SeriesQuery};

use super::config::{Config, Kind, Metric, Metrics, Query};
use super::mape;
use super::request::MOST_MOMENTS;
use super::template::{Unfit, fill};
use crate::Problem;
use crate::http::check_url;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(24);
const SHORTEST_STEP: Duration = Duration::from_millis(1);
const MOST_PARALLEL: usize = 64;
/// Metrics of all queries together.
const MOST_QUERIES: usize = 1000;

/// A query that is asked again and again.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// What reports say of it; without a type or a unit where the server is asked for them.
    pub(super) query: Arc<SeriesQuery>,
    /// In PromQL.
    pub(super) text: String,
    pub(super) kind: Kind,
    pub(super) period: Duration,
    pub(super) step: Duration,
    pub(super) range: Duration,
    pub(super) offset: Duration,
    pub(super) timeout: Duration,
    /// Whether type or unit are to be asked for.
    pub(super) wants_metadata: (bool, bool),
}

/// The queries, in the order in which they are asked, and what is wrong.
pub(super) fn plan(config: &Config, node: &str) -> (Vec<Asked>, Vec<Problem>) {
    let mut planning = Planning { config, node, asked: Vec::new(), problems: Vec::new() };
    for (name, query) in &config.queries {
        planning.query(name, query);
    }
    let Planning { asked, mut problems, .. } = planning;
    if config.queries.is_empty() {
        problems.push(Problem::new("queries", "is missing: nothing would be asked", "add one, such as `up: {query: up}`"));
    }
    if asked.len() > MOST_QUERIES {
        problems.push(Problem::new(
            "queries",
            format!("makes {} queries, and {MOST_QUERIES} may be", asked.len()),
            "ask for less",
        ));
    }
    let mut names = BTreeSet::new();
    for asked in &asked {
        if !names.insert(&asked.query.name) {
            let text = format!("two queries are called `{}`", asked.query.name);
            problems.push(Problem::new(
                "queries",
                text,
                "give one of them another name, or take the metric out of one of the lists",
            ));
        }
    }
    (asked, problems)
}

/// What is wrong with all but the queries.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.url.is_empty() {
        let cure = "write where Prometheus is, such as `http://prometheus.monitoring:9090`";
        problems.push(Problem::new("url", "is missing", cure));
    } else {
        match check_url("url", &config.url) {
            Err(problem) => problems.push(problem),
            Ok(url) => {
                problems.extend(config.http.problems(&url).into_iter().map(|problem| problem.within("http")));
                if url.query().is_some() {
                    problems.push(Problem::new("url", "has a part behind `?`", "write it under `parameters`"));
                }
                // The path of a proxy, such as that of Kubernetes, may have it in the middle.
                let path = url.path().trim_end_matches('/');
                if ["/api/v1", "/api/v1/query", "/api/v1/query_range"].iter().any(|end| path.ends_with(end)) {
                    let cure = "write only what stands in front of `/api/v1`";
                    problems.push(Problem::new("url", "names the API itself, which is found below it", cure));
                }
            }
        }
    }
    if !(1..=MOST_PARALLEL).contains(&config.parallel) {
        let text = format!("{} is not between 1 and {MOST_PARALLEL}", config.parallel);
        problems.push(Problem::new("parallel", text, "leave it out for 4"));
    }
    if config.catch_up.0 > LONGEST {
        problems.push(Problem::new("catch-up", format!("{} is too long", config.catch_up), "write up to 1d"));
    }
    for (field, zero) in [
        ("max-answer-bytes", config.max_answer_bytes.0 == 0),
        ("max-series", config.max_series == 0),
        ("max-series-bytes", config.max_series_bytes.0 == 0),
        ("max-samples", config.max_samples == 0),
    ] {
        if zero {
            problems.push(Problem::new(field, "is zero, so nothing could be told", "leave it out for the default"));
        }
    }
    for name in ["query", "start", "end", "step", "time", "timeout"] {
        if config.parameters.contains_key(name) {
            problems.push(Problem::new(format!("parameters.{name}"), "is sent anyway", "take it out"));
        }
    }
    problems
}

struct Planning<'config> {
    config: &'config Config,
    node: &'config str,
    asked: Vec<Asked>,
    problems: Vec<Problem>,
}

impl Planning<'_> {
    fn problem(&mut self, query: &str, field: &str, cause: impl Into<String>, cure: impl Into<String>) {
        let field = if field.is_empty() { format!("queries.{query}") } else { format!("queries.{query}.{field}") };
        self.problems.push(Problem::new(field, cause, cure));
    }

    fn query(&mut self, name: &str, query: &Query) {
        let Some((field, template)) = self.template(name, query) else { return };
        let Some(timing) = self.timing(name, query) else { return };
        let metrics = match &query.metrics {
            None => None,
            Some(Metrics::Table(table)) if table == mape::NAME => Some(mape::table()),
            Some(Metrics::Table(table)) => {
                let text = format!("there is no table `{table}`");
                self.problem(name, "metrics", text, format!("write `{}`, or a list such as `[{{name: up}}]`", mape::NAME));
                return;
            }
            Some(Metrics::These(metrics)) => Some(metrics.clone()),
        };
        let Some(metrics) = metrics else {
            let metric = query.metric.clone().unwrap_or_else(|| name.to_owned());
            let single = Metric { name: metric, metric_type: None, unit: None, function: None, variables: BTreeMap::new() };
            self.ask(name, query, (field, &template), &single, Some(name), &timing);
            return;
        };
        if query.metric.is_some() {
            self.problem(name, "metric", "is given besides `metrics`", "keep one of them");
        }
        if metrics.is_empty() {
            self.problem(name, "metrics", "is an empty list", "name some metrics, or leave it out");
        }
        if metrics.len() > 1 && !tells_apart(&template, &metrics) {
            let text = format!("has no `{{{{metric}}}}`, so the {} `metrics` would all be asked the same", metrics.len());
            self.problem(name, field, text, "write `{{metric}}` where the name of the metric belongs, or take `metrics` out");
            return;
        }
        for metric in &metrics {
            self.ask(name, query, (field, &template), metric, None, &timing);
        }
    }

    /// The text with places to fill in, and the field that it comes from.
    fn template(&mut self, name: &str, query: &Query) -> Option<(&'static str, String)> {
        match (&query.query, &query.template) {
            (Some(text), None) => Some(("query", text.clone())),
            (None, Some(template)) => {
                let given = self.config.templates.get(template).map(String::as_str);
                let ours = match template.as_str() {
                    mape::NAME => Some(mape::TEMPLATE),
                    mape::BEFORE_1_16 => Some(mape::TEMPLATE_BEFORE_1_16),
                    _ => None,
                };
                // A text has something that no name has.
                let is_name = template.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'));
                match given.or(ours) {
                    Some(text) => Some(("template", text.to_owned())),
                    None if !is_name => Some(("template", template.clone())),
                    None => {
                        let known = self.config.templates.keys().map(String::as_str).chain([mape::NAME, mape::BEFORE_1_16]);
                        let known = known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                        let text = format!("there is no template `{template}`");
                        self.problem(name, "template", text, format!("name one of {known}, or write its text"));
                        None
                    }
                }
            }
            (Some(_), Some(_)) => {
                self.problem(name, "template", "is given besides `query`", "keep one of them");
                None
            }
            (None, None) => {
                self.problem(name, "", "says nothing to ask", "add `query: up`, or `template` and `metrics`");
                None
            }
        }
    }

    fn timing(&mut self, name: &str, query: &Query) -> Option<Timing> {
        let config = self.config;
        let period = query.period.unwrap_or(config.period);
        let step = query.step.or(config.step).unwrap_or(period);
        let range = query.range.or(config.range).unwrap_or(period);
        let timeout = query.timeout.unwrap_or(config.timeout);
        let offset = query.offset.unwrap_or(config.offset);
        let before = self.problems.len();
        for (field, span, least, most) in [
            ("period", period, SHORTEST, LONGEST),
            ("step", step, SHORTEST_STEP, LONGEST),
            ("range", range, SHORTEST_STEP, LONGEST),
            ("offset", offset, Duration::ZERO, LONGEST),
            ("timeout", timeout, Duration::from_millis(10), LONGEST),
        ] {
            if span.0 < least || span.0 > most {
                let cure = format!("write {} to {}", TimeSpan(least), TimeSpan(most));
                self.problem(name, field, format!("{span} is too short or too long"), cure);
            }
        }
        let reach = range.0.max(config.catch_up.0).as_millis();
        let moments = reach.checked_div(step.0.as_millis()).unwrap_or(0);
        if query.kind == Kind::Range && moments > u128::from(MOST_MOMENTS.unsigned_abs()) {
            let text = format!(
                "of {step} makes more than {MOST_MOMENTS} moments of `range` or `catch-up`, and no Prometheus tells more"
            );
            self.problem(name, "step", text, "write a longer step");
        }
        if query.kind == Kind::Instant && (query.step.is_some() || query.range.is_some()) {
            let field = if query.step.is_some() { "step" } else { "range" };
            self.problem(name, field, "means nothing to a query of one moment", "write `kind: range`, or take it out");
        }
        let timing = Timing {
            period: period.0,
            step: step.0,
            range: range.0,
            offset: offset.0,
            timeout: timeout.0.min(period.0 * 19 / 20),
        };
        (self.problems.len() == before).then_some(timing)
    }

    fn ask(
        &mut self,
        name: &str,
        query: &Query,
        (field, template): (&str, &str),
        metric: &Metric,
        called: Option<&str>,
        timing: &Timing,
    ) {
        let metric_type = metric.metric_type.as_ref().or(query.metric_type.as_ref());
        let unit = metric.unit.as_ref().or(query.unit.as_ref());
        let usual = if metric_type.is_some_and(|name| name == "counter") { "rate" } else { "avg_over_time" };
        let function = metric.function.as_deref().or(query.function.as_deref()).unwrap_or(usual);
        let spans = [timing.step, timing.range, timing.period].map(promql_span);
        let config = self.config;
        let value = |name: &str| {
            let given = [&metric.variables, &query.variables, &config.variables].into_iter().find_map(|all| all.get(name));
            given.map(String::as_str).or_else(|| match name {
                "metric" => Some(metric.name.as_str()),
                "function" => Some(function),
                "step" => spans.first().map(String::as_str),
                "range" => spans.get(1).map(String::as_str),
                "period" => spans.get(2).map(String::as_str),
                "node" => Some(self.node),
                "window" => Some("1m"),
                "namespace" => Some("default"),
                "containers" => Some(mape::containers(&metric.name)),
                _ => None,
            })
        };
        let text = match fill(template, value) {
            Ok(text) => text,
            Err(mistake) => {
                let cure = match mistake {
                    Unfit::Unknown(_) => {
                        "write it under `variables`, or use `metric`, `function`, `window`, `step`, `range`, `period`, `node`, `namespace` or `containers`"
                    }
                    Unfit::Open => "close it",
                };
                self.problem(name, field, mistake.to_string(), cure);
                return;
            }
        };
        if text.trim().is_empty() {
            self.problem(name, field, "is empty", "write a query in PromQL");
        }
        let named = called.unwrap_or(&metric.name);
        if named.is_empty() || named.len() > 256 {
            self.problem(name, "", "has a name that is empty or longer than 256 bytes", "name it or its metrics otherwise");
        }
        self.asked.push(Asked {
            query: Arc::new(SeriesQuery {
                cycle: TimeSpan(timing.period).to_string(),
                name: named.to_owned(),
                metric: metric.name.clone(),
                metric_type: metric_type.cloned().unwrap_or_default(),
                unit: unit.cloned().unwrap_or_default(),
                origin: match query.kind {
                    Kind::Instant => SeriesOrigin::InstantQuery,
                    Kind::Range => SeriesOrigin::RangeQuery,
                },
            }),
            text,
            kind: query.kind,
            period: timing.period,
            step: timing.step,
            range: timing.range,
            offset: timing.offset,
            timeout: timing.timeout,
            wants_metadata: (metric_type.is_none(), unit.is_none()),
        });
    }
}

/// Whether what a text makes may differ from one of the metrics to the next.
fn tells_apart(template: &str, metrics: &[Metric]) -> bool {
    let mut names = metrics.iter().flat_map(|metric| metric.variables.keys()).map(String::as_str);
    let uses = |name: &str| {
        let places = template.split("{{").skip(1).filter_map(|place| place.split_once("}}"));
        places.into_iter().any(|(inside, _)| inside.trim() == name)
    };
    uses("metric") || names.any(uses)
}

struct Timing {
    period: Duration,
    step: Duration,
    range: Duration,
    offset: Duration,
    timeout: Duration,
}

/// As PromQL writes spans of time.
fn promql_span(span: Duration) -> String {
    let millis = span.as_millis();
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

impl Config {
    /// Every mistake that can be seen without trying.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = check(self);
        // Which node it is changes nothing about them.
        problems.extend(plan(self, "node").1);
        problems
    }

    /// The address, with the path in front of `/api/v1` ending in a slash.
    pub(super) fn base(&self) -> Option<Url> {
        let mut url = Url::parse(&self.url).ok()?;
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Some(url)
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
