use sha2::{Digest as _, Sha256};

use super::super::request::escaped;
use super::*;

fn config(json: &str) -> Config {
    serde_json::from_str(json).expect("the test's configuration parses")
}

fn mape(template: &str) -> Vec<Asked> {
    let json = format!(
        r#"{{"url": "http://p", "queries": {{"mape": {{"metrics": "mape-kafka", "template": "{template}", "kind": "range"}}}}}}"#
    );
    let config = config(&json);
    assert_eq!(config.problems(), []);
    plan(&config, "n").0
}

fn text<'asked>(asked: &'asked [Asked], metric: &str) -> &'asked str {
    &asked.iter().find(|asked| asked.query.name == metric).expect("it is asked for").text
}

#[test]
fn the_table_is_asked_in_its_order_with_types_and_units() {
    let asked = mape("mape-kafka");
    assert_eq!(asked.len(), 26);
    let first = &asked[0].query;
    assert_eq!((first.name.as_str(), first.metric_type.as_str(), first.unit.as_str()), ("container_fs_inodes_free", "gauge", ""));
    let eighth = &asked[7].query;
    assert_eq!((eighth.name.as_str(), eighth.metric_type.as_str()), ("container_cpu_usage_seconds_total", "counter"));
    assert_eq!(asked[25].query.name, "container_network_transmit_packet_loss_percentage");
    assert!(asked.iter().all(|asked| asked.wants_metadata == (false, false)));
    assert!(asked.iter().all(|asked| asked.query.cycle == "20s" && asked.step == Duration::from_secs(20)));
}

#[test]
fn a_query_for_the_labels_before_1_16_is_that_of_the_publisher_byte_for_byte() {
    let asked = mape("mape-kafka-pod-name");
    let text = text(&asked, "container_cpu_usage_seconds_total");
    assert_eq!(text.chars().count(), 400);
    let escaped = escaped(text);
    assert_eq!(escaped.len(), 726);
    let digest = Sha256::digest(escaped.as_bytes());
    assert_eq!(format!("{digest:x}"), "6f941b71de6dbd87b2c8e441909778dd29d9f32433da5173e50b69bc06d1fa99");
}

#[test]
fn counters_are_asked_for_as_rates_and_gauges_as_averages() {
    let asked = mape("mape-kafka-pod-name");
    assert!(text(&asked, "container_cpu_system_seconds_total").contains("(rate(container_cpu_system_seconds_total{"));
    assert!(text(&asked, "container_memory_usage_bytes").contains("(avg_over_time(container_memory_usage_bytes{"));
    assert!(asked.iter().all(|asked| asked.text.contains("(rate(") == (asked.query.metric_type == "counter")));
}

#[test]
fn a_query_for_todays_labels_joins_by_pod_and_counts_nothing_twice() {
    let asked = mape("mape-kafka");
    let cpu = text(&asked, "container_cpu_usage_seconds_total");
    assert!(
        cpu.contains(r#"container_cpu_usage_seconds_total{namespace="default",container!="",container!="POD"}[1m]"#),
        "{cpu}"
    );
    let network = text(&asked, "container_network_receive_bytes_total");
    assert!(network.contains(r#"container_network_receive_bytes_total{namespace="default"}[1m]"#), "{network}");
    assert!(!asked.iter().any(|asked| asked.text.contains("pod_name")));
}

#[test]
fn the_template_for_mape_takes_metrics_of_ones_own() {
    let config = config(
        r#"{"url": "http://p", "queries": {
            "own": {"template": "mape-kafka", "metrics": [{"name": "container_memory_rss", "type": "gauge"}, {"name": "container_network_x", "type": "counter"}]},
            "container_processes": {"template": "mape-kafka", "type": "gauge"}}}"#,
    );
    assert_eq!(config.problems(), []);
    let asked = plan(&config, "n").0;
    let without_pod = r#"{namespace="default",container!="",container!="POD"}[1m]"#;
    assert!(text(&asked, "container_memory_rss").contains(without_pod));
    assert!(text(&asked, "container_processes").contains(without_pod));
    assert!(text(&asked, "container_network_x").contains(r#"rate(container_network_x{namespace="default"}[1m])"#));
}

#[test]
fn templates_variables_and_functions_can_be_set_at_each_level() {
    let config = config(
        r#"{"url": "http://p/prefix", "period": "30s", "variables": {"window": "5m"}, "templates": {"of": "{{function}}({{metric}}{n=\"{{node}}\"}[{{window}}]) / {{x}}"},
            "queries": {
                "all": {"template": "of", "variables": {"x": "1"}, "function": "max_over_time", "metrics": [
                    {"name": "a", "type": "counter"}, {"name": "b", "function": "last_over_time", "variables": {"window": "9m"}}]},
                "own": {"query": "up offset {{period}}", "metric": "up", "unit": "", "period": "1m"},
                "text": {"template": "{{metric}} + {{metric}}"}}}"#,
    );
    assert_eq!(config.problems(), []);
    let asked = plan(&config, "edge-1").0;
    let texts: Vec<_> = asked.iter().map(|asked| (asked.query.name.as_str(), asked.text.as_str())).collect();
    assert_eq!(
        texts,
        [
            ("a", r#"max_over_time(a{n="edge-1"}[5m]) / 1"#),
            ("b", r#"last_over_time(b{n="edge-1"}[9m]) / 1"#),
            ("own", "up offset 60s"),
            ("text", "text + text"),
        ]
    );
    assert_eq!(asked[2].wants_metadata, (true, false));
    assert_eq!((asked[2].query.cycle.as_str(), asked[2].query.metric.as_str()), ("1m", "up"));
    assert_eq!(config.base().map(String::from).as_deref(), Some("http://p/prefix/"));
}

#[test]
fn a_query_never_takes_longer_than_its_cycle() {
    let config = config(r#"{"url": "http://p", "period": "2s", "timeout": "1h", "queries": {"up": {"query": "up"}}}"#);
    assert_eq!(plan(&config, "n").0[0].timeout, Duration::from_millis(1900));
}

#[track_caller]
fn check_problems(json: &str, expected: &[&str]) {
    let found: Vec<_> =
        config(json).problems().into_iter().map(|problem| format!("{}: {}", problem.field, problem.cause)).collect();
    assert_eq!(found, expected);
}

#[test]
fn nothing_to_ask_and_nobody_to_ask_are_mistakes() {
    check_problems("{}", &["url: is missing", "queries: is missing: nothing would be asked"]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    check_problems(
        r#"{"url": "http://p?x=1", "parallel": 0, "catch-up": "2d", "max-series": 0, "parameters": {"query": "x"}, "http": {"connect-timeout": "0s"},
            "queries": {
                "a": {}, "b": {"query": "x", "template": "y"}, "c": {"template": "nowhere"}, "d": {"query": "{{what}}"},
                "e": {"query": "x", "metrics": "other"}, "f": {"query": "x", "period": "1ms"}, "g": {"query": "x", "step": "5s"},
                "h": {"query": "x", "kind": "range", "step": "1ms", "range": "1h"}, "i": {"query": "x", "metrics": []},
                "j": {"query": " "}}}"#,
        &[
            "http.connect-timeout: is zero, so nothing could ever succeed",
            "url: has a part behind `?`",
            "parallel: 0 is not between 1 and 64",
            "catch-up: 2d is too long",
            "max-series: is zero, so nothing could be told",
            "parameters.query: is sent anyway",
            "queries.a: says nothing to ask",
            "queries.b.template: is given besides `query`",
            "queries.c.template: there is no template `nowhere`",
            "queries.d.query: `{{what}}` is no variable here",
            "queries.e.metrics: there is no table `other`",
            "queries.f.period: 1ms is too short or too long",
            "queries.g.step: means nothing to a query of one moment",
            "queries.h.step: of 1ms makes more than 11000 moments of `range` or `catch-up`, and no Prometheus tells more",
            "queries.i.metrics: is an empty list",
            "queries.j.query: is empty",
        ],
    );
}

#[test]
fn two_queries_of_one_name_are_a_mistake() {
    check_problems(
        r#"{"url": "http://p", "queries": {"up": {"query": "up"}, "x": {"query": "x", "metrics": [{"name": "up"}]}}}"#,
        &["queries: two queries are called `up`"],
    );
}

#[test]
fn metrics_that_would_all_be_asked_the_same_are_a_mistake() {
    let queries = |queries: &str| format!(r#"{{"url": "http://p", "templates": {{"t": "sum(up)"}}, "queries": {{{queries}}}}}"#);
    check_problems(
        &queries(
            r#""a": {"template": "t", "metrics": "mape-kafka"}, "b": {"query": "{{function}}(up[1m])", "metrics": [{"name": "x"}, {"name": "y"}]}"#,
        ),
        &[
            "queries.a.template: has no `{{metric}}`, so the 26 `metrics` would all be asked the same",
            "queries.b.query: has no `{{metric}}`, so the 2 `metrics` would all be asked the same",
        ],
    );
    let own = r#""a": {"query": "rate({{what}}[1m])", "metrics": [{"name": "x", "variables": {"what": "p"}}, {"name": "y", "variables": {"what": "q"}}]}"#;
    check_problems(&queries(own), &[]);
    check_problems(&queries(r#""a": {"query": "up", "metrics": [{"name": "x"}]}"#), &[]);
}

#[test]
fn an_address_that_names_the_api_itself_is_a_mistake_and_one_of_a_proxy_is_not() {
    for (path, is_mistake) in [
        ("", false),
        ("/prometheus", false),
        ("/api/v1/namespaces/m/services/prometheus:9090/proxy/", false),
        ("/api/v1", true),
        ("/api/v1/", true),
        ("/prometheus/api/v1/query", true),
        ("/api/v1/query_range", true),
    ] {
        let config = config(&format!(r#"{{"url": "http://p{path}", "queries": {{"up": {{"query": "up"}}}}}}"#));
        assert_eq!(config.problems().iter().any(|problem| problem.field == "url"), is_mistake, "{path}");
    }
}
