//! How readers of the old documents read what the cases expect: the name is an address, and the value is JSON with three objects of texts,
//! which may have more in them. And what a `ConfigMap` takes as a key.
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a failed test")]

use std::collections::HashMap;
use std::net::IpAddr;

use serde::Deserialize;
use sluicebox_sdk::cases::{Expect, Step, load};

#[derive(Deserialize)]
struct Document {
    kubernetes: Kubernetes,
    service: HashMap<String, String>,
    node: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Kubernetes {
    name: String,
    uid: String,
}

#[test]
fn every_document_is_about_one_thing_at_an_address() {
    let mut read = 0;
    for case in load(concat!(env!("CARGO_MANIFEST_DIR"), "/cases").as_ref()).unwrap() {
        for step in case.steps {
            let Step::Batch { expect: Expect::Entries(entries), .. } = step else { continue };
            for document in entries.iter().filter_map(|entry| entry.get("document")) {
                check(&case.name, document["name"].as_str().unwrap(), document["body"].as_str().unwrap());
                read += 1;
            }
        }
    }
    assert!(read > 40, "only {read} documents were found");
}

#[track_caller]
fn check(case: &str, name: &str, body: &str) {
    assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)), "{case}: `{name}` is no key");
    assert!(name.replace('_', ":").parse::<IpAddr>().is_ok(), "{case}: `{name}` is no address");
    let Document { kubernetes, service, node } = serde_json::from_str(body).unwrap();
    let about = [!kubernetes.name.is_empty(), !service.is_empty(), !node.is_empty()];
    assert_eq!(about.iter().filter(|about| **about).count(), 1, "{case}: {body}");
    assert_eq!(kubernetes.name.is_empty(), kubernetes.uid.is_empty(), "{case}: {body}");
}
