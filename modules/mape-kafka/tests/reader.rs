//! How the readers of these messages take apart what the cases expect. mape-translation subscribes to `nfvi.*.kubernetes` and needs
//! `container_id` and the first of `data`; mape-data-importer keeps of each sample what Python's `float()` reads as its value, its time
//! with a `Z` at its end, and name, unit and type as texts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a case that cannot be read is a failed test")]

use serde_json::Value;
use sluicebox_sdk::cases::{Case, Expect, Step, load};

#[test]
fn every_message_is_read_in_both_forms() {
    let mut read = [0, 0];
    for case in load(concat!(env!("CARGO_MANIFEST_DIR"), "/cases").as_ref()).unwrap() {
        let form = usize::from(case.settings["form"] == "source");
        for message in messages(&case) {
            let body = message["body"].as_str().unwrap();
            check_envelope(&case, &message, body, form);
            check_samples(&case, &serde_json::from_str(body).unwrap());
            read[form] += 1;
        }
    }
    assert!(read[0] > 40 && read[1] > 90, "only {read:?} messages were found");
}

fn messages(case: &Case) -> Vec<Value> {
    let expected = case.steps.iter().filter_map(|step| match step {
        Step::Batch { expect: Expect::Entries(entries), .. } => Some(entries),
        _ => None,
    });
    expected.flatten().map(|entry| entry["message"].clone()).collect()
}

/// Topic, key, and the keys at the top.
#[track_caller]
fn check_envelope(case: &Case, message: &Value, body: &str, form: usize) {
    let name = &case.name;
    assert!(body.is_ascii(), "{name}: {body}");
    let value: Value = serde_json::from_str(body).unwrap();
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    let expected: &[&[&str]] = &[&["container_id", "metric_type", "type", "data"], &["container_id", "type", "data"]];
    assert_eq!(keys, expected[form], "{name}");
    let container = value["container_id"].as_str().unwrap();
    assert!(!container.is_empty(), "{name}");
    if case.settings.get("key").is_none() {
        assert_eq!(message["key"], container, "{name}");
    }
    if !case.settings.as_object().unwrap().keys().any(|key| ["topic", "channel"].contains(&key.as_str())) {
        let topic = message["channel"].as_str().unwrap();
        assert!(topic.starts_with("nfvi.") && topic.ends_with(".kubernetes"), "{name}: {topic}");
    }
}

/// What becomes a point in the data base.
#[track_caller]
fn check_samples(case: &Case, value: &Value) {
    let name = &case.name;
    let data = value["data"].as_array().unwrap();
    assert!(!data.is_empty(), "{name}: without `data[0]` the message is dropped");
    for datum in data {
        assert_eq!(datum.as_object().unwrap().len(), 5, "{name}");
        for field in ["name", "unit", "type"] {
            assert!(datum[field].is_string(), "{name}: {field}");
        }
        if let Some(metric) = value.get("metric_type") {
            assert_eq!((metric, &value["type"]), (&datum["name"], &datum["type"]), "{name}");
        }
        let time = datum["timestamp"].as_str().unwrap();
        assert!(is_time(time), "{name}: {time}");
        let number = match &datum["value"] {
            Value::String(text) => text.parse::<f64>().unwrap(),
            Value::Number(number) => number.as_f64().unwrap(),
            other => panic!("{name}: `float()` takes no {other}"),
        };
        assert!(number.is_finite() || case.settings["not-finite"] == "text", "{name}: {number}");
    }
}

/// As `%Y-%m-%dT%H:%M:%S.%fZ` reads it.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|character| if character.is_ascii_digit() { '0' } else { character }).collect();
    shape == "0000-00-00T00:00:00.000000Z"
}
