//! What the README shows is what the cases prove: every line of its samples is the message of one of them, and every setting stands in
//! its table.
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a failed test")]

use std::collections::BTreeSet;

use sluicebox_sdk::cases::{Expect, Step, load};

const README: &str = include_str!("../README.md");

#[test]
fn every_sample_of_the_readme_is_made_by_a_case() {
    let mut made = BTreeSet::new();
    for case in load(concat!(env!("CARGO_MANIFEST_DIR"), "/cases").as_ref()).unwrap() {
        for step in case.steps {
            let Step::Batch { expect: Expect::Entries(entries), .. } = step else { continue };
            let messages = entries.iter().filter_map(|entry| entry.get("message")?.get("body")?.as_str());
            made.extend(messages.map(str::to_owned));
        }
    }
    let samples: Vec<&str> =
        README.split("```text\n").skip(1).filter_map(|block| block.split("```").next()).flat_map(str::lines).collect();
    assert!(samples.len() >= 4, "only {} lines were found", samples.len());
    for line in samples {
        assert!(made.contains(line), "no case makes this line:\n{line}");
    }
}

#[test]
fn every_setting_stands_in_the_readme() {
    let error = sluicebox_sdk::settings::<mape_kafka::Settings>(r#"{"?": 1}"#).unwrap_err();
    let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    assert!(known.len() >= 11, "{error}");
    for setting in known {
        assert!(README.contains(&format!("`{setting}`")), "the README does not tell of `{setting}`");
    }
}

#[test]
fn every_metric_stands_in_the_readme_with_its_type_and_unit() {
    let rows =
        include_str!("../src/table.rs").lines().filter_map(|line| line.trim().strip_prefix("row(\"")?.strip_suffix("\"),"));
    let mut found = 0;
    for row in rows {
        let parts: Vec<&str> = row.split("\", \"").collect();
        let [name, kind, unit] = <[&str; 3]>::try_from(parts).unwrap();
        let unit = if unit.is_empty() { String::new() } else { format!("`{unit}` ") };
        let line = format!("| `{name}` | `{kind}` | {unit}|");
        assert!(README.contains(&line), "the README has no line:\n{line}");
        found += 1;
    }
    assert_eq!(found, 26);
}
