//! Whatever the API server tells of a `ConfigMap`, and whatever a module names.

use std::time::Duration;

use http::StatusCode;
use sluicebox_contract::{Document, Entry, Forget};
use sluicebox_kubernetes::{Trouble, is_object_name};
use sluicebox_testkit::fuzz::Fuzz;

use super::config::Config;
use super::observed::{Value, read, receipt};
use super::place::{self, Order};
use super::reaction::{Reaction, to_trouble};

const OBJECT: &str = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"m","resourceVersion":"229","managedFields":[
    {"manager":"sluicebox/a/s","operation":"Apply","time":"2024-01-02T03:04:05Z","fieldsV1":{"f:data":{"f:one":{},"f:two":{}}}},
    {"manager":"sluicebox/b/s","operation":"Apply","time":"2024-01-02T03:04:06Z","fieldsV1":{"f:data":{"f:two":{},"f:three":{}}}},
    {"manager":"kubectl","operation":"Update","time":"2024-01-02T03:04:07Z","fieldsV1":{"f:binaryData":{".":{},"f:four":{}},"f:data":{".":{}}}}]},
    "data":{"one":"1","two":"22","three":"\u00fc","five":"5"},"binaryData":{"four":"AAEC"}}"#;
const EMPTY: &str = r#"{"metadata":{"resourceVersion":"1"},"immutable":true}"#;

#[test]
fn what_is_observed_of_an_object_is_what_it_says_or_is_refused_with_words() {
    Fuzz::of([OBJECT, EMPTY]).words(["\"f:data\":{", "\"data\":{", "\"managedFields\":[", "\"f:\""]).run(|input, _| {
        match read(input, "sluicebox/a/s") {
            Ok(observed) => {
                let texts: usize =
                    observed.keys.iter().map(|key| if let Value::Text(text) = &key.value { text.len() } else { 0 }).sum();
                assert!(texts <= input.len());
                // What is said of us is the same in short.
                let receipt = receipt(input, "sluicebox/a/s").expect("it has a version");
                assert_eq!(receipt.version, observed.version);
                assert!(observed.neighbours.iter().all(|other| other.manager != "sluicebox/a/s"));
            }
            Err(words) => assert!((1..1000).contains(&words.len()), "{words}"),
        }
    });
}

#[test]
fn whatever_a_refusal_says_something_is_done_about_it() {
    let causes = [
        "the API answers 422: ConfigMap \"m\" is invalid: data[a b]: Invalid value: \"a b\": a valid config key must",
        "binaryData[x]: Too long",
        "the object has been modified; already exists",
        "exceeded quota: q, being terminated",
        "etcdserver: request is too large",
    ];
    let statuses = [400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503, 999];
    Fuzz::of(causes).run(|input, dice| {
        let cause = String::from_utf8_lossy(input).into_owned();
        let status = dice.pick(&statuses).and_then(|status| StatusCode::from_u16(*status).ok()).filter(|_| !dice.one_in(8));
        let trouble = Trouble { tried: "cannot write".to_owned(), cause: cause.clone(), hint: None, status, retry_after: None };
        match to_trouble(trouble, ["get", "create", "patch"][dice.below(3)], "ns") {
            Reaction::LookAgain => assert!(matches!(status.map(|status| status.as_u16()), Some(404 | 409))),
            Reaction::LeaveOut(key, reason) => {
                assert_eq!(status.map(|status| status.as_u16()), Some(422));
                assert!(cause.contains(&format!("[{key}]")) && !key.contains(']') && !reason.is_empty());
            }
            Reaction::TryLater(fault) => assert_eq!(fault.cause, cause),
        }
    });
}

#[test]
fn whatever_a_module_names_is_a_key_that_the_server_takes_or_is_refused_with_words() {
    let config: Config = serde_json::from_str(r#"{"shards": 3}"#).unwrap();
    Fuzz::of(["galileo.shop", "a_b-c.json", "..", ".", "x"]).longest(600).run(|input, dice| {
        let name = String::from_utf8_lossy(input).into_owned();
        let collection = dice.one_in(2).then(|| name.chars().take(dice.below(300)).collect::<String>());
        let after = Duration::from_nanos(dice.any() >> dice.below(64));
        let entry = match dice.below(3) {
            0 => Entry::Forget(Forget { collection, name, after }),
            _ => Entry::Document(Document { collection, name, body: dice.bytes(4) }),
        };
        match place::read(&entry, &config) {
            Ok((place, order)) => {
                assert!(is_object_name(&place.map) && (1..=253).contains(&place.key.len()), "{place:?}");
                assert!(place.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')));
                assert!(!matches!(order, Order::RemoveAfter(after) if after.0.is_zero()));
            }
            Err(words) => assert!((1..1000).contains(&words.len()), "{words}"),
        }
        let manager = place::manager(&String::from_utf8_lossy(input), "sink");
        assert!(manager.len() <= 128 && manager.starts_with("sluicebox/"), "{manager}");
    });
}
