//! Proves how the settings of sinks are read, checked and described.

use sluicebox_contract::{Class, Sink};
use sluicebox_sinks::{AnySink, Config, Surroundings};

fn read(json: &str) -> Result<Config, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn a_sink_is_named_by_its_kind() {
    for (json, kind) in [
        (r#"{"redis":{"url":"redis://h"}}"#, "redis"),
        (r#"{"files":{"directory":"/d","remove-unclaimed":{"suffix":".meta"}}}"#, "files"),
        (r#"{"prometheus":{}}"#, "prometheus"),
        (r#"{"kafka":{"brokers":["k:9092"]}}"#, "kafka"),
        (r#"{"stdout":{}}"#, "stdout"),
    ] {
        let config = read(json).expect("readable");
        assert_eq!((config.kind(), config.problems()), (kind, vec![]));
        assert!(AnySink::new("a", &config, &Surroundings::default()).is_ok());
    }
}

#[test]
fn a_sink_that_waits_for_answers_is_given_more_at_once() {
    for (json, most) in [(r#"{"kafka":{"brokers":["k:9092"]}}"#, 5_000), (r#"{"stdout":{}}"#, 256)] {
        let sink = AnySink::new("a", &read(json).expect("readable"), &Surroundings::default()).expect("a sink");
        assert_eq!(sink.most_entries(), most, "{json}");
    }
}

#[test]
fn a_sink_that_writes_to_the_kubernetes_api_needs_the_way_to_it() {
    let config = read(r#"{"config-maps":{"name":"m"}}"#).expect("readable");
    assert_eq!((config.kind(), config.problems(), config.needs_api()), ("config-maps", vec![], true));
    let fault = AnySink::new("a", &config, &Surroundings::default()).expect_err("no way");
    assert_eq!(fault.to_string(), "cannot make sink `a`: it writes to the Kubernetes API, and no way to it was made");
    assert!(!read(r#"{"stdout":{}}"#).expect("readable").needs_api());
}

#[test]
fn what_is_not_known_is_refused_with_what_is() {
    let error = read(r#"{"mqtt":{}}"#).expect_err("no such sink");
    assert!(error.contains("expected one of `redis`, `kafka`, `files`, `config-maps`, `prometheus`, `stdout`"), "{error}");
    let error = read(r#"{"stdout":{"fromat":"json"}}"#).expect_err("no such field");
    assert!(error.contains("unknown field `fromat`, expected `format`"), "{error}");
    let error = read(r#"{"redis":{"url":"rediss://h","tls-verify":"never"}}"#).expect_err("no such word");
    assert!(error.contains("expected `always` or `never-and-i-accept-the-risk`"), "{error}");
    let error = read(r#"{"redis":{"url":"redis://h","connect-timeout":5}}"#).expect_err("no unit");
    assert!(error.contains("`5` is not a length of time"), "{error}");
}

#[test]
fn a_problem_says_where_what_and_how_to_cure_it() {
    let config = read(r#"{"redis":{"url":"http://h"}}"#).expect("readable");
    let problems = config.problems();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].field, "redis.url");
    assert!(problems[0].cure.contains("`redis://host:port`"));
    let fault = AnySink::new("events", &config, &Surroundings::default()).expect_err("a bad url");
    assert_eq!(fault.class, Class::Fatal);
    assert!(fault.tried.starts_with("cannot make sink `events` with this `redis.url`"), "{fault}");
}

#[test]
fn the_schema_describes_every_field() {
    let schema = serde_json::to_value(schemars::schema_for!(Config)).expect("json");
    let mut undescribed = Vec::new();
    collect(&schema, "", &mut undescribed);
    assert_eq!(undescribed, Vec::<String>::new());
    let mode = schema.pointer("/$defs/FilesSink/properties/mode/default");
    assert_eq!(mode, Some(&"0644".into()), "{schema:#}");
}

/// Properties without a description.
fn collect(schema: &serde_json::Value, path: &str, undescribed: &mut Vec<String>) {
    if let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) {
        for (name, property) in properties {
            let is_kind = ["redis", "kafka", "files", "config-maps", "prometheus", "stdout"].contains(&name.as_str());
            if !is_kind && property.get("description").is_none() {
                undescribed.push(format!("{path}/{name}"));
            }
        }
    }
    let below = schema.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value));
    let within = schema.as_array().into_iter().flatten().enumerate().map(|(index, value)| (index.to_string(), value));
    for (name, value) in below.chain(within) {
        collect(value, &format!("{path}/{name}"), undescribed);
    }
}
