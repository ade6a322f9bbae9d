//! How the command that read the old `ConfigMap`s reads what the cases expect: a key is a transaction when it parts into four at `-`, its
//! first two parts are the addresses of the ends, and the values are JSON with three totals. And what a `ConfigMap` takes as a key.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a case that cannot be read is a failed test")]

use std::net::IpAddr;

use serde_json::Value;
use sluicebox_sdk::cases::{Expect, Step, load};

#[test]
fn every_document_is_a_transaction() {
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
    assert!(!name.starts_with("..") && name.len() <= 253, "{case}: `{name}` is no key");
    let parts: Vec<&str> = name.split('-').collect();
    let Ok([source, destination, third, port]) = <[&str; 4]>::try_from(parts) else { unreachable!("{case}: not four: {name}") };
    assert!(third.parse::<u32>().is_ok() && port.parse::<u16>().is_ok(), "{case}: {name}");
    let address = |part: &str| part.replace('_', ":").parse::<IpAddr>().unwrap();
    let (source, destination) = (address(source), address(destination));

    let body: Value = serde_json::from_str(body).unwrap();
    let values = body.get("values").unwrap_or(&body);
    let names: Vec<&String> = values.as_object().unwrap().keys().collect();
    assert_eq!(names, ["monotonic_sent_bytes", "monotonic_recv_bytes", "monotonic_retransmits"], "{case}");
    assert!(values.as_object().unwrap().values().all(Value::is_u64), "{case}");
    if body.get("values").is_some() {
        let told = |name: &str| body[name].as_str().unwrap().parse::<IpAddr>().unwrap();
        assert_eq!((told("ipsrc"), told("ipdest")), (source, destination), "{case}");
        for end in ["datadrc", "datadest"] {
            let names: Vec<&String> = body[end].as_object().unwrap().keys().collect();
            assert_eq!(names, ["kubernetes", "service", "node"], "{case}");
        }
    }
}
