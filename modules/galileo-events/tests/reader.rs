//! How a recorder reads what the cases expect: parted at the first two spaces, a number, one of five names, and JSON.

use sluicebox_sdk::cases::{Expect, Step, load};

#[test]
fn every_message_parts_at_the_first_two_spaces() {
    let mut read = 0;
    for case in load(concat!(env!("CARGO_MANIFEST_DIR"), "/cases").as_ref()).unwrap() {
        for step in case.steps {
            let Step::Batch { expect: Expect::Entries(entries), .. } = step else {
                continue;
            };
            for message in entries.iter().filter_map(|entry| entry.get("message")) {
                check(&case.name, message["body"].as_str().unwrap());
                read += 1;
            }
        }
    }
    assert!(read > 50, "only {read} messages were found");
}

#[track_caller]
fn check(case: &str, body: &str) {
    let parts: Vec<&str> = body.splitn(3, ' ').collect();
    let Ok([time, event, json]) = <[&str; 3]>::try_from(parts) else { unreachable!("{case}: not three parts: {body}") };
    assert!(time.parse::<f64>().is_ok(), "{case}: `{time}` is no number");
    let events = ["pod/create", "pod/pending", "pod/running", "pod/shutdown", "pod/delete"];
    assert!(events.contains(&event), "{case}: readers do not know `{event}`");
    assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{case}: no JSON: {json}");
}
