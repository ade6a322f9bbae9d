//! Evil modules: the host lives, the operator reads why, and the next good batch is shaped by a fresh instance.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use sluicebox_contract::{Class, Document, Entry, Event, Fault, Metric, Shaper as _, SubjectId};
use sluicebox_wasm::{Limits, WasmShaper};
use support::{
    answer, answer_about, assert_died, assert_recovers, assert_says, connection, connections, gauge, hostile, logged, named,
    patient, started, subject, suffer, tick,
};

const MIB: usize = 1 << 20;

/// Limits with a deadline that tests can wait for.
fn short() -> Limits {
    let deadline = Duration::from_millis(500);
    Limits { call_deadline: deadline, start_deadline: deadline, ..Limits::default() }
}

#[test]
fn loop_in_start() {
    let mut shaper = hostile(r#"{"evil": "loop-in-start"}"#, short());
    let begun = Instant::now();
    let fault = shaper.renew().unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(500), "the deadline struck early");
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["lifecycle.start of module `hostile` (version ", "did not return within the deadline of 500ms"]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap_err().class, Class::Replace);
}

#[test]
fn panic_in_start() {
    let mut shaper = hostile(r#"{"evil": "panic-in-start"}"#, short());
    let fault = shaper.renew().unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["lifecycle.start", "stopped itself: panicked at", "I cannot start"]);
}

#[test]
fn memory_bomb_in_start() {
    let mut shaper =
        hostile(r#"{"evil": "memory-bomb-in-start"}"#, Limits { start_deadline: Duration::from_mins(1), ..Limits::default() });
    let fault = shaper.renew().unwrap_err();
    assert_says(&fault, &["lifecycle.start", "memory limit of 64 MiB was reached"]);
}

#[test]
fn refuse_to_start() {
    let mut shaper = hostile(r#"{"evil": "refuse-to-start"}"#, short());
    let fault = shaper.renew().unwrap_err();
    assert_eq!(fault.class, Class::Retry);
    assert_says(&fault, &["lifecycle.start", r"setting `colour`: unknown\n\u{1b}[31mtry `shape`"]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap_err().class, Class::Replace, "what did not start is not called");
}

#[test]
fn refuse_to_start_at_length() {
    let mut shaper = hostile(r#"{"evil": "refuse-to-start-at-length"}"#, patient());
    let fault = shaper.renew().unwrap_err();
    assert_eq!(fault.class, Class::Retry);
    assert!(fault.cause.len() < 5_000, "{} bytes", fault.cause.len());
}

#[test]
fn loop_in_a_handler() {
    let (fault, mut shaper) = suffer("loop", 0, short());
    assert_died(&fault, &["did not return within the deadline of 500ms", "raise the deadline"]);
    assert_recovers(&mut shaper);
}

#[test]
fn loop_in_define() {
    let mut shaper = started(r#"{"evil": "loop-in-define"}"#, short());
    let fault = shaper.define(&[subject(1, "a"), subject(2, "b")]).unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["subjects.define of module `hostile`", "with 2 items", "deadline of 500ms"]);
    assert_recovers(&mut shaper);
}

#[test]
fn panic_in_forget() {
    let mut shaper = started(r#"{"evil": "panic-in-forget"}"#, short());
    let fault = shaper.forget(&[SubjectId(1)]).unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["subjects.forget", "I never forget"]);
    assert_recovers(&mut shaper);
}

#[test]
fn memory_refused_lives_on() {
    let mut shaper = started(r#"{"evil": "memory-refused"}"#, patient());
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
    assert_eq!(shaper.shape(&[named("b")]).unwrap(), [answer(2, "b")]);
}

#[test]
fn stack_overflow() {
    let (fault, mut shaper) = suffer("stack-overflow", 0, patient());
    assert_died(&fault, &["stack of 512 KiB overflowed"]);
    assert_recovers(&mut shaper);
}

#[test]
fn panic() {
    let (fault, mut shaper) = suffer("panic", 0, patient());
    assert_died(&fault, &["stopped itself: panicked at", "I give up"]);
    assert_recovers(&mut shaper);
}

#[test]
fn unreachable() {
    let (fault, mut shaper) = suffer("unreachable", 0, patient());
    assert_died(&fault, &["stopped itself (`unreachable`) without a word"]);
    assert_recovers(&mut shaper);
}

#[test]
fn refuse() {
    let (fault, mut shaper) = suffer("refuse", 0, patient());
    assert_eq!(fault.class, Class::Skip);
    assert_says(&fault, &["pod-handler.handle", "I do not like this"]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(2, "a")], "the instance lives");
}

#[test]
fn refuse_at_length() {
    let (fault, _) = suffer("refuse-at-length", 0, patient());
    assert_eq!(fault.class, Class::Skip);
    assert!(fault.cause.len() < 5_000, "{} bytes", fault.cause.len());
}

#[test]
fn more_entries_than_allowed() {
    let (fault, mut shaper) = suffer("many-entries", 1_001, Limits { entries_per_call: 1_000, ..patient() });
    assert_died(&fault, &["returned 1001 entries, more than the 1000 that one call may return"]);
    assert_recovers(&mut shaper);
}

#[test]
fn more_packed_messages_than_allowed() {
    let (fault, mut shaper) = suffer("many-packed", 65_537, patient());
    assert_died(&fault, &["returned 65537 entries, more than the 65536"]);
    assert_recovers(&mut shaper);
}

#[test]
fn entry_that_claims_a_gigabyte() {
    let (fault, mut shaper) = suffer("claimed-entry", 1 << 30, patient());
    assert_died(&fault, &["out of bounds"]);
    assert_recovers(&mut shaper);
}

#[test]
fn text_that_is_not_utf8() {
    let (fault, mut shaper) = suffer("broken-text", 0, patient());
    assert_died(&fault, &["utf-8"]);
    assert_recovers(&mut shaper);
}

#[test]
fn packed_messages_with_bad_ends() {
    for (evil, word) in [("ends-beyond", "a body"), ("ends-falling", "a body"), ("ends-within-character", "a body")] {
        let (fault, mut shaper) = suffer(evil, 0, patient());
        assert_died(&fault, &["packed messages of which number 0", word, "ends outside of the text"]);
        assert_recovers(&mut shaper);
    }
}

#[test]
fn packed_messages_with_bad_ends_of_channels() {
    for (evil, words) in [
        ("channel-ends-beyond", "number 0 has a channel"),
        ("channel-ends-behind-key", "number 0 has a key"),
        ("channel-ends-before-body", "number 1 has a channel"),
        ("channel-ends-within-character", "number 0 has a channel"),
    ] {
        let (fault, mut shaper) = suffer(evil, 0, patient());
        assert_died(&fault, &["packed messages of which", words, "ends outside of the text"]);
        assert_recovers(&mut shaper);
    }
}

#[test]
fn name_that_leaves_the_directory() {
    // The border hands it on as it is: whether it is a name is the sink's to say.
    let mut shaper = started(r#"{"evil": "escaping-name"}"#, patient());
    let entries = shaper.shape(&[named("a")]).unwrap();
    assert_eq!(entries, [Entry::Document(Document { collection: None, name: "../../x".to_owned(), body: b"evil".to_vec() })]);
}

#[test]
fn log_flood() {
    let lines = logged(|| {
        let mut shaper = started(r#"{"evil": "log-flood", "size": 20000}"#, patient());
        assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
        std::thread::park_timeout(Duration::from_millis(1100));
        shaper.shape(&[named("a")]).unwrap();
    });
    let said = lines.iter().filter(|line| line.contains(": line ")).count();
    assert!((20..200).contains(&said), "{said} of 40 000 lines were written");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("WARN module:") && line.contains("more lines in a second") && line.contains("dropped="))
    );
}

#[test]
fn log_line_of_a_hundred_mebibytes() {
    let (fault, mut shaper) = suffer("long-line", 100 * MIB, Limits { memory_bytes: 256 * MIB, ..patient() });
    assert_died(&fault, &["handed over more than 8 MiB in one call"]);
    assert_recovers(&mut shaper);
}

#[test]
fn long_log_line_is_cut() {
    let lines = logged(|| {
        let mut shaper = started(r#"{"evil": "long-line", "size": 4000000}"#, patient());
        assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
    });
    let line = lines.iter().find(|line| line.contains("xxx")).unwrap();
    assert!(line.len() < 4_500 && line.contains("… (3995904 bytes more)"), "{} bytes", line.len());
}

#[test]
fn one_event_of_a_batch_traps() {
    let (_, mut shaper) = suffer("panic", 0, patient());
    shaper.renew().unwrap();
    let fault = shaper.shape(&[named("a"), named("bad"), named("c")]).unwrap_err();
    assert_says(&fault, &["with 3 items", "I give up"]);
    shaper.renew().unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
    assert_eq!(shaper.shape(&[named("c")]).unwrap(), [answer(2, "c")]);
}

#[test]
fn another_lane_runs_on_while_one_spins() {
    let engine = sluicebox_wasm::Engine::new().unwrap();
    let module = support::load(&engine, "hostile");
    let shaper = |settings: &str| WasmShaper::new(module.clone(), settings.to_owned(), support::context(), short());
    let mut spinning = shaper(r#"{"evil": "loop"}"#);
    let mut good = shaper("{}");
    good.renew().unwrap();
    spinning.renew().unwrap();
    let other = std::thread::spawn(move || spinning.shape(&[named("a")]).unwrap_err());
    let mut calls = 0;
    while !other.is_finished() {
        calls += 1;
        assert_eq!(good.shape(&[named("a")]).unwrap(), [answer(calls, "a")]);
    }
    assert!(calls > 10, "{calls} calls");
    assert_says(&other.join().unwrap(), &["deadline of 500ms"]);
}

/// A sample of each of two subjects; the module knows the second one as `bad`.
fn two_subjects() -> Event {
    tick(vec![gauge(1, Metric::MemoryUsage, 1), gauge(2, Metric::MemoryUsage, 1)])
}

/// Does this evil to a tick with a sample of the subject `bad`.
#[track_caller]
fn suffer_in_a_tick(evil: &str, size: usize, limits: Limits) -> (Fault, WasmShaper) {
    let mut shaper = started(&format!(r#"{{"evil": "{evil}", "size": {size}, "only": "bad"}}"#), limits);
    shaper.define(&[subject(1, "good"), subject(2, "bad")]).unwrap();
    let fault = shaper.shape(&[two_subjects()]).unwrap_err();
    assert_eq!(fault.class, Class::Replace, "{fault}");
    assert_says(&fault, &["cannot call sample-handler.handle of module `hostile` (version ", "with 2 items"]);
    (fault, shaper)
}

#[test]
fn one_subject_of_a_tick_traps() {
    let (fault, mut shaper) = suffer_in_a_tick("panic", 0, patient());
    assert_says(&fault, &["I give up"]);
    shaper.renew().unwrap();
    shaper.define(&[subject(1, "good"), subject(2, "bad")]).unwrap();
    let Event::Tick(whole) = two_subjects() else { unreachable!("a tick") };
    let (good, bad) = whole.halves().unwrap();
    let said = answer_about(Some("good"), 1, "at 5 of 4: memory-usage=1");
    assert_eq!(shaper.shape(&[Event::Tick(good.into())]).unwrap(), [said]);
    assert_says(&shaper.shape(&[Event::Tick(bad.into())]).unwrap_err(), &["with 1 item", "I give up"]);
    assert_recovers(&mut shaper);
}

#[test]
fn loop_in_a_tick() {
    let (fault, mut shaper) = suffer_in_a_tick("loop", 0, short());
    assert_says(&fault, &["did not return within the deadline of 500ms"]);
    assert_recovers(&mut shaper);
}

#[test]
fn memory_bomb_in_a_tick() {
    let (fault, mut shaper) = suffer_in_a_tick("memory-bomb", 0, patient());
    assert_says(&fault, &["memory limit of 64 MiB was reached"]);
    assert_recovers(&mut shaper);
}

#[test]
fn refuse_a_tick() {
    let mut shaper = started(r#"{"evil": "refuse", "only": "bad"}"#, patient());
    shaper.define(&[subject(2, "bad")]).unwrap();
    let fault = shaper.shape(&[two_subjects()]).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert_says(&fault, &["sample-handler.handle", "I do not like this"]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(2, "a")], "the instance lives");
}

#[test]
fn bad_ends_in_a_tick() {
    for evil in ["ends-beyond", "ends-falling", "channel-ends-beyond", "channel-ends-behind-key"] {
        let (fault, mut shaper) = suffer_in_a_tick(evil, 0, patient());
        assert_says(&fault, &["packed messages of which number 0 has a", "ends outside of the text"]);
        assert_recovers(&mut shaper);
    }
}

#[test]
fn headers_that_explode_in_a_tick() {
    let (fault, mut shaper) = suffer_in_a_tick("packed-headers", 10_000, patient());
    assert_says(&fault, &["packed messages of 30000 MiB when unpacked, more than the 8 MiB", "raise the limit of bytes"]);
    assert_recovers(&mut shaper);
}

/// Two connections; the module knows the source of the second one as `bad`.
fn two_connections() -> Event {
    connections(vec![connection(1, None), connection(2, Some(1))])
}

/// Does this evil to a report with a connection of the subject `bad`.
#[track_caller]
fn suffer_in_a_report(evil: &str, size: usize, limits: Limits) -> (Fault, WasmShaper) {
    let mut shaper = started(&format!(r#"{{"evil": "{evil}", "size": {size}, "only": "bad"}}"#), limits);
    shaper.define(&[subject(1, "good"), subject(2, "bad")]).unwrap();
    let fault = shaper.shape(&[two_connections()]).unwrap_err();
    assert_eq!(fault.class, Class::Replace, "{fault}");
    assert_says(&fault, &["cannot call connection-handler.handle of module `hostile` (version ", "with 2 items"]);
    (fault, shaper)
}

#[test]
fn one_connection_of_a_report_traps() {
    let (fault, mut shaper) = suffer_in_a_report("panic", 0, patient());
    assert_says(&fault, &["I give up"]);
    shaper.renew().unwrap();
    shaper.define(&[subject(1, "good"), subject(2, "bad")]).unwrap();
    let (good, bad) = two_connections().halves().unwrap();
    assert_eq!(shaper.shape(&[good]).unwrap().len(), 1);
    assert_says(&shaper.shape(&[bad]).unwrap_err(), &["with 1 item", "I give up"]);
    assert_recovers(&mut shaper);
}

#[test]
fn loop_in_a_report() {
    let (fault, mut shaper) = suffer_in_a_report("loop", 0, short());
    assert_says(&fault, &["did not return within the deadline of 500ms"]);
    assert_recovers(&mut shaper);
}

#[test]
fn memory_bomb_in_a_report() {
    let (fault, mut shaper) = suffer_in_a_report("memory-bomb", 0, patient());
    assert_says(&fault, &["memory limit of 64 MiB was reached"]);
    assert_recovers(&mut shaper);
}

#[test]
fn bad_ends_and_too_much_in_a_report() {
    for evil in ["ends-beyond", "ends-falling", "channel-ends-beyond", "channel-ends-behind-key"] {
        let (fault, mut shaper) = suffer_in_a_report(evil, 0, patient());
        assert_says(&fault, &["packed messages of which number 0 has a", "ends outside of the text"]);
        assert_recovers(&mut shaper);
    }
    let (fault, mut shaper) = suffer_in_a_report("packed-headers", 10_000, patient());
    assert_says(&fault, &["packed messages of 30000 MiB when unpacked, more than the 8 MiB"]);
    assert_recovers(&mut shaper);
}

#[test]
fn a_full_part_of_a_report_is_no_burden_to_a_module() {
    let mut shaper = started("{}", patient());
    let many = (0..4096).map(|number| connection(0, Some(number))).collect();
    let fault = shaper.shape(&[connections(many)]);
    assert_eq!(fault.unwrap().len(), 4096);
}

/// Does this evil to a batch of each rare kind.
#[test]
fn loop_and_panic_in_services_nodes_inventories_and_series() {
    for (event, export) in [
        (support::service_event(), "service-handler.handle"),
        (support::node_event(), "node-handler.handle"),
        (support::inventory(), "inventory-handler.handle"),
        (support::series(), "series-handler.handle"),
    ] {
        for (evil, words) in [("loop", "deadline of 500ms"), ("panic", "I give up"), ("memory-bomb", "memory limit of 64 MiB")] {
            let mut shaper = started(&format!(r#"{{"evil": "{evil}"}}"#), if evil == "loop" { short() } else { patient() });
            let fault = shaper.shape(std::slice::from_ref(&event)).unwrap_err();
            assert_eq!(fault.class, Class::Replace, "{fault}");
            assert_says(&fault, &[export, words]);
        }
    }
}

#[test]
fn one_series_of_a_report_traps() {
    let start = || started(r#"{"evil": "panic", "only": "bad"}"#, patient());
    let mut shaper = start();
    let subjects = [subject(1, "good"), subject(2, "bad")];
    shaper.define(&subjects).unwrap();
    assert_says(&shaper.shape(&[support::series()]).unwrap_err(), &["series-handler.handle", "with 3 items", "I give up"]);
    let Event::Series(report) = support::series() else { panic!("no series") };
    let (good, bad) = report.halves().unwrap();
    shaper.renew().unwrap();
    shaper.define(&subjects).unwrap();
    // One entry is about the query.
    assert_eq!(shaper.shape(&[Event::Series(good.into())]).unwrap().len(), 2);
    assert_says(&shaper.shape(&[Event::Series(bad.into())]).unwrap_err(), &["with 2 items", "I give up"]);
    assert_recovers(&mut shaper);
}

#[test]
fn loop_in_metrics() {
    let mut shaper = hostile(r#"{"evil": "loop-in-metrics"}"#, short());
    let fault = shaper.renew().unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["sample-handler.metrics of module `hostile`", "with 39 items", "deadline of 500ms"]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap_err().class, Class::Replace);
}

#[test]
fn panic_in_metrics() {
    let fault = hostile(r#"{"evil": "panic-in-metrics"}"#, patient()).renew().unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["sample-handler.metrics", "I never count"]);
}
