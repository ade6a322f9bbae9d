//! How readers of telemd take apart what the cases expect; and what the README shows comes out of one of them.
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a failed test")]

use sluicebox_sdk::cases::{Expect, Step, load};

#[test]
fn every_line_is_a_time_and_a_value_on_a_channel_of_four_parts() {
    let lines = lines();
    assert!(lines.len() > 10, "only {} lines were found", lines.len());
    for (channel, body) in lines {
        let parts: Vec<&str> = channel.split('/').collect();
        assert!(matches!(parts.as_slice(), ["telem", _, metric, id] if metric.starts_with("kubernetes_cgrp_") && id.len() == 64));
        let numbers: Vec<f64> = body.split(' ').map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 2, "{body}");
    }
}

#[test]
fn every_sample_of_the_readme_is_made_by_a_case() {
    let made = lines();
    let readme = include_str!("../README.md");
    let samples: Vec<&str> =
        readme.split("```text\n").skip(1).filter_map(|block| block.split("```").next()).flat_map(str::lines).collect();
    assert_eq!(samples.len(), 4);
    for line in samples {
        let (channel, body) = line.split_once(' ').unwrap();
        let sample = (channel.to_owned(), body.trim_start().to_owned());
        assert!(made.contains(&sample), "no case makes this line:\n{line}");
    }
}

/// Channel and body of all messages that cases expect.
fn lines() -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for case in load(concat!(env!("CARGO_MANIFEST_DIR"), "/cases").as_ref()).unwrap() {
        for step in case.steps {
            let Step::Batch { expect: Expect::Entries(entries), .. } = step else { continue };
            for message in entries.iter().filter_map(|entry| entry.get("message")) {
                let text = |field: &str| message[field].as_str().unwrap().to_owned();
                lines.push((text("channel"), text("body")));
            }
        }
    }
    lines
}
