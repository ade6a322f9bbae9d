//! Whatever the API server says of single objects.

use serde_json::Value;
use sluicebox_testkit::fuzz::Fuzz;

use crate::Attributes;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

fn objects(folder: &str) -> Fuzz {
    let names = ["null", "[]", "{}", "\"5\"", "\"podIPs\":", "\"ownerReferences\":", "\"containerPort\":", "\"labels\":{"];
    Fuzz::of_files(format!("{FIXTURES}/{folder}"), ".json").longest(16 << 10).words(names)
}

#[track_caller]
fn check<T>(input: &[u8], read: impl FnOnce(&str) -> Result<T, String>, weight: impl FnOnce(&T) -> usize) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match read(text) {
        // Each part has its own overhead; what was said in two bytes never takes hundreds.
        Ok(object) => {
            let weight = weight(&object);
            assert!(weight <= 2048 + 128 * text.len(), "{weight} out of {}", text.len());
        }
        Err(words) => assert!((1..4000).contains(&words.len()) && words.contains("line"), "{words}"),
    }
}

#[test]
fn pods_are_read_or_refused_with_words() {
    objects("pods").run(|input, _| check(input, crate::pods::convert::pod, sluicebox_contract::Pod::weight));
}

#[test]
fn services_are_read_or_refused_with_words() {
    objects("services").run(|input, _| check(input, crate::services::convert::service, sluicebox_contract::Service::weight));
}

#[test]
fn nodes_are_read_or_refused_with_words() {
    objects("nodes").run(|input, _| check(input, crate::nodes::convert::node, sluicebox_contract::Node::weight));
}

#[test]
fn attributes_of_objects_are_bounded() {
    let attributes: Attributes = serde_json::from_str(
        r#"{"labels": "/metadata/labels", "image": "/spec/containers/0/image", "all": "/", "zone": "/metadata/labels/a~1b~0c"}"#,
    )
    .unwrap();
    assert!(attributes.problems("attributes").is_empty());
    objects("pods").run(|input, _| {
        let Ok(json) = std::str::from_utf8(input) else { return };
        let mut refused = Vec::new();
        let told = attributes.read(json, &mut refused);
        assert!(told.len() + refused.len() <= 4);
        assert!(told.is_sorted() && told.iter().all(|(_, value)| value.len() <= 4 << 10));
        assert!(refused.iter().all(|words| (1..4000).contains(&words.len())));
    });
}

#[test]
fn values_that_are_no_json_are_told_by_nobody() {
    Fuzz::of([r#"{"metadata":{"labels":{"a":1}}}"#]).run(|input, _| {
        let attributes: Attributes = serde_json::from_str(r#"{"a": "/metadata/labels/a"}"#).unwrap();
        let Ok(json) = std::str::from_utf8(input) else { return };
        let is_json = serde_json::from_str::<Value>(json).is_ok();
        assert!(is_json || attributes.read(json, &mut Vec::new()).is_empty());
    });
}
