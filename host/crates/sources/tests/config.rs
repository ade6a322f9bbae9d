//! What users write about sources: everything is documented, defaults stand in the schema, mistakes are told at once.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

use schemars::schema_for;
use serde_json::Value;
use sluicebox_sources::{kubernetes, namespaces, nodes, pods};

/// A reference page can be made from the schemas alone.
#[test]
fn every_field_is_documented_and_has_its_default() {
    for schema in
        [schema_for!(kubernetes::Config), schema_for!(pods::Config), schema_for!(namespaces::Config), schema_for!(nodes::Config)]
    {
        let schema = schema.to_value();
        assert_eq!(schema["additionalProperties"], false, "unknown fields are refused");
        for (name, field) in schema["properties"].as_object().expect("fields") {
            assert!(field["description"].is_string(), "{name}: {field}");
            let optional = field["type"].as_array().is_some_and(|types| types.contains(&Value::from("null")));
            assert!(optional || field.get("default").is_some(), "{name}: {field}");
        }
    }
}

#[test]
fn the_defaults_have_no_problems() {
    assert_eq!(pods::Config::default().problems(), []);
    assert_eq!(namespaces::Config::default().problems(), []);
    assert_eq!(nodes::Config::default().problems(), []);
}

#[test]
fn mistakes_are_told_with_their_cure() {
    let config: pods::Config =
        serde_json::from_str(r#"{"scope": "node", "node": "a,b", "page-size": 0, "max-page-bytes": "1KiB"}"#).expect("it parses");
    let told: Vec<_> =
        config.problems().into_iter().map(|problem| format!("{} {}; {}", problem.field, problem.cause, problem.cure)).collect();
    assert_eq!(
        told,
        [
            "node `a,b` is no name of a node; write the name as `kubectl get nodes` shows it",
            "page-size is zero, so no list would ever end; write a number such as 250",
            "max-page-bytes 1KiB is less than an object may need; write at least 64KiB",
        ]
    );
    let config: pods::Config =
        serde_json::from_str(r#"{"max-page-bytes": "1MiB", "max-object-bytes": "2MiB"}"#).expect("it parses");
    let told: Vec<_> =
        config.problems().into_iter().map(|problem| format!("{} {}; {}", problem.field, problem.cause, problem.cure)).collect();
    assert_eq!(
        told,
        ["max-page-bytes 1MiB is less than the 2MiB of `max-object-bytes`, so some objects could be watched but never listed; \
          write at least 2MiB, or a smaller `max-object-bytes`"]
    );
    let config: nodes::Config =
        serde_json::from_str(r#"{"scope": "cluster", "node": "a", "refresh": "10ms"}"#).expect("it parses");
    assert_eq!(config.problems().len(), 2);
}
