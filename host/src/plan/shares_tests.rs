//! What each queue gets, and what is refused.

use super::*;
use crate::config::load::{Checked, check};

const MIB: usize = 1 << 20;

/// A configuration with lanes and sinks, each with what stands in its braces besides.
fn checked(memory: &str, lanes: &[&str], sinks: &[&str]) -> Checked {
    let lane = |(index, more): (usize, &&str)| format!("  m{index}: {{use: json-lines, to: [s0]{more}}}\n");
    let sink = |(index, more): (usize, &&str)| format!("  s{index}: {{{more}}}\n");
    let lanes = lanes.iter().enumerate().map(lane).collect::<Vec<_>>().concat();
    let sinks = sinks.iter().enumerate().map(sink).collect::<Vec<_>>().concat();
    check(&format!("sources: {{pods: {{}}}}\n{memory}modules:\n{lanes}sinks:\n{sinks}"), &|_| None)
}

/// The bytes of the queues, lanes first.
fn shares(memory: &str, lanes: &[&str], sinks: &[&str]) -> Vec<usize> {
    let Checked { plan, problems, .. } = checked(memory, lanes, sinks);
    assert!(problems.is_empty(), "{problems:?}");
    let plan = plan.expect("a plan");
    let lanes = plan.lanes.iter().map(|lane| lane.bounds.bytes);
    lanes.chain(plan.sinks.iter().map(|sink| sink.bounds.bytes)).collect()
}

const KAFKA: &str = "kafka: {brokers: ['k:9092'], topic: t}";

#[test]
fn where_there_is_enough_every_queue_has_what_is_usual() {
    assert_eq!(shares("", &["", ""], &["stdout: {}", KAFKA]), [4 * MIB, 4 * MIB, 8 * MIB, 8 * MIB]);
}

#[test]
fn queues_with_bytes_of_their_own_keep_them_and_the_others_share_what_is_left() {
    let found = shares("memory: {queues: 16MiB}\n", &[", queue: {bytes: 6MiB}", ""], &["stdout: {}"]);
    assert_eq!(found.first(), Some(&(6 * MIB)));
    let sum: usize = found.iter().sum();
    assert!((14 * MIB - 8..=14 * MIB).contains(&sum), "{found:?}");
    assert!(found.get(1) < found.get(2));
}

#[test]
fn the_sum_never_exceeds_what_all_may_have_and_nobody_has_less_than_the_least() {
    for mebibytes in 3..130 {
        let memory = format!("memory: {{queues: {mebibytes}MiB}}\n");
        let Checked { plan, .. } = checked(&memory, &["", "", ""], &["stdout: {}", KAFKA]);
        let plan = plan.expect("a plan");
        let lanes: usize = plan.lanes.iter().map(|lane| lane.bounds.bytes).sum();
        let sinks: usize = plan.sinks.iter().map(|sink| Cost::of(sink).take(sink.bounds.bytes)).sum();
        assert!(lanes + sinks + letters(plan.queues) <= mebibytes * MIB, "{mebibytes}");
        let least = plan.lanes.iter().map(|lane| lane.bounds.bytes).chain(plan.sinks.iter().map(|sink| sink.bounds.bytes)).min();
        assert!(least >= Some(LEAST - 8), "{mebibytes}: {least:?}");
    }
}

#[test]
fn more_than_all_may_have_is_refused_with_what_is_needed() {
    let said = |memory: &str, lanes: &[&str], sinks: &[&str]| {
        let problems = checked(memory, lanes, sinks).problems;
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        said("memory: {queues: 8MiB}\n", &[", queue: {bytes: 6MiB}", ", queue: {bytes: 2MiB}", ""], &["stdout: {}"]),
        "line 2: `memory.queues`: 8MiB for all queues are too few: those with `queue.bytes` take 8MiB, the 2 others need 256KiB each, an eighth is for dead letters\n  \
         hint: give `memory.queues` at least `10MiB`, or less as `modules.m0.queue.bytes`"
    );
    assert_eq!(
        said("", &["", ""], &["stdout: {}, queue: {bytes: 1GiB}"]),
        "line 6: `sinks.s0.queue.bytes`: 128MiB for all queues are too few: those with `queue.bytes` take 1GiB, the 2 others need 256KiB each, an eighth is for dead letters\n  \
         hint: give `memory.queues` at least `1041MiB`, or less as `sinks.s0.queue.bytes`"
    );
    assert_eq!(
        said("memory: {queues: 1MiB}\n", &["", "", "", ""], &["stdout: {}"]),
        "line 2: `memory.queues`: 1MiB for all queues are too few: the 5 queues need 256KiB each, an eighth is for dead letters\n  \
         hint: give `memory.queues` at least `2MiB`"
    );
    assert_eq!(said("memory: {queues: 2MiB}\n", &["", "", "", ""], &["stdout: {}"]), "");
}

#[test]
fn what_a_queue_takes_is_never_more_than_what_it_was_given_for() {
    for client in [0, 10, 1000, MIB] {
        let cost = Cost { client };
        for free in (0..5000).chain([3 * MIB - 1, 3 * MIB, 3 * MIB + 1]) {
            let bytes = cost.give(free);
            assert!(cost.take(bytes) <= free, "{client} {free}");
            assert!(cost.take(bytes + 3) > free, "{client} {free}: {bytes} are too few");
        }
    }
}
