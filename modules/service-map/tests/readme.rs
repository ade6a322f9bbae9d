//! What the README shows is what the cases prove: every line of its samples is the message of one of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a case that cannot be read is a failed test")]

use std::collections::BTreeSet;

use sluicebox_sdk::cases::{Expect, Step, load};

#[test]
fn every_sample_of_the_readme_is_made_by_a_case() {
    let mut made = BTreeSet::new();
    for case in load(concat!(env!("CARGO_MANIFEST_DIR"), "/cases").as_ref()).unwrap() {
        for step in case.steps {
            let Step::Batch { expect: Expect::Entries(entries), .. } = step else { continue };
            for message in entries.iter().filter_map(|entry| entry.get("message")) {
                assert!(serde_json::from_str::<serde_json::Value>(message["body"].as_str().unwrap()).is_ok(), "{}", case.name);
                made.insert(message["body"].as_str().unwrap().to_owned());
            }
        }
    }
    let readme = include_str!("../README.md");
    let samples: Vec<&str> =
        readme.split("```text\n").skip(1).filter_map(|block| block.split("```").next()).flat_map(str::lines).collect();
    assert!(samples.len() >= 3, "only {} lines were found", samples.len());
    for line in samples {
        assert!(made.contains(line), "no case makes this line:\n{line}");
    }
}
