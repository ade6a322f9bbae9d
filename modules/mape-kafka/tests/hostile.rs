//! What no case file can hold: series that were never defined, many thousands of them, and ids that are far too long.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a message that is missing is a failed test")]

use mape_kafka::{MapeKafka, Settings};
use sluicebox_sdk::{
    Context, Entries, Module, PackedMessages, Series, SeriesOrigin, SeriesQuery, SeriesReport, SeriesSample, State, Subject,
    SubjectId, SubjectKind, Subjects, log,
};

const METRICS: [&str; 4] = [
    "container_network_receive_packets_dropped_total",
    "container_network_receive_packets_total",
    "container_network_transmit_packets_dropped_total",
    "container_network_transmit_packets_total",
];

/// What a call may return, unless the lane says otherwise.
const MOST_BYTES: usize = 8 << 20;

fn start(settings: &str) -> MapeKafka {
    let context = Context {
        host_version: String::new(),
        lane: "case".to_owned(),
        node_name: String::new(),
        sources: vec!["prometheus".to_owned()],
    };
    MapeKafka::start(sluicebox_sdk::settings::<Settings>(settings).unwrap(), &context).unwrap()
}

fn define(module: &mut MapeKafka, ids: impl IntoIterator<Item = (SubjectId, String)>) {
    let subject = |(id, container): (SubjectId, String)| Subject {
        id,
        kind: SubjectKind::Series,
        uid: String::new(),
        namespace: String::new(),
        name: String::new(),
        attributes: vec![("label_vim_id".to_owned(), container)],
    };
    module.define(ids.into_iter().map(subject).collect());
}

fn report(metric: &str, time: u64, subjects: impl IntoIterator<Item = SubjectId>, more: bool) -> SeriesReport {
    let query = SeriesQuery {
        cycle: "mape".to_owned(),
        name: metric.to_owned(),
        metric: metric.to_owned(),
        metric_type: String::new(),
        unit: String::new(),
        origin: SeriesOrigin::RangeQuery,
    };
    let sample = |subject| SeriesSample { subject, unix_milliseconds: 1_556_092_594_158, value: 8.5 };
    SeriesReport {
        observed_at_unix_nanos: time,
        query,
        start_unix_milliseconds: 0,
        end_unix_milliseconds: 0,
        step_milliseconds: 0,
        warnings: Vec::new(),
        failure: None,
        samples: subjects.into_iter().map(sample).collect(),
        histograms: Vec::new(),
        more,
    }
}

fn told(module: &mut MapeKafka, report: SeriesReport) -> PackedMessages {
    let Entries::Packed(messages) = module.series(report).unwrap() else { panic!("messages are packed") };
    let bytes = messages.text.len() + messages.ends.len() * messages.channel.as_ref().map_or(0, String::len);
    assert!(bytes < MOST_BYTES, "{bytes} bytes are more than a call may return");
    messages
}

/// The containers of the messages about what was lost, in their order.
fn lost(messages: &PackedMessages) -> Vec<String> {
    let mut begin = 0;
    let mut lost = Vec::new();
    for end in &messages.ends {
        let (key, body) = messages.text[begin..end.body_end as usize].split_at(end.key_end as usize - begin);
        if body.contains("packet_loss_percentage") {
            lost.push(key.to_owned());
        }
        begin = end.body_end as usize;
    }
    lost
}

#[test]
fn what_was_never_defined_is_refused_and_nothing_is_remembered_of_it() {
    let mut module = start("{}");
    define(&mut module, [(1, "a".to_owned())]);
    let before = module.save().unwrap();
    let error = module.series(report(METRICS[0], 7, [1, 2], false)).unwrap_err();
    assert_eq!(error, "cannot tell which container subject 2 is about: it was never defined");
    assert_eq!(module.save().unwrap().as_bytes(), before.as_bytes());
    module.forget(&[1]);
    assert!(module.series(report(METRICS[0], 7, [1], false)).is_err());
}

#[test]
fn the_largest_reports_fit_into_what_a_call_may_return() {
    let mut module = start("{}");
    define(&mut module, (1..=16_384).map(|id| (id, format!("{id:032x}"))));
    let mut all = Vec::new();
    for cycle in 1..=3 {
        for metric in METRICS {
            let messages = told(&mut module, report(metric, cycle, 1..=16_384, metric != METRICS[3]));
            all.extend(lost(&messages));
        }
    }
    // What does not fit waits, and goes first when there is room.
    while let rest = lost(&told(&mut module, report("up", 4, [], false)))
        && !rest.is_empty()
    {
        all.extend(rest);
    }
    let expected = (1..=3).flat_map(|_| (1..=16_384).flat_map(|id| [format!("{id:032x}"), format!("{id:032x}")]));
    let remembered: Vec<String> = expected.collect();
    assert!(all.len() > 2 * 16_384, "at least a cycle is told: {}", all.len());
    assert_eq!(all[..2 * 16_384], remembered[..2 * 16_384], "in the order in which they came, received and transmitted");
}

#[test]
fn what_waits_is_handed_over_and_none_of_it_is_told_twice() {
    let mut module = start("{}");
    define(&mut module, (1..=16_384).map(|id| (id, format!("{id:032x}"))));
    let mut all = Vec::new();
    for metric in METRICS {
        all.extend(lost(&told(&mut module, report(metric, 1, 1..=16_384, metric != METRICS[3]))));
    }
    assert!(all.len() < 2 * 16_384, "some of it waits");
    let mut successor = start("{}");
    successor.restore(MapeKafka::VERSION, module.save().unwrap()).unwrap();
    while let rest = lost(&told(&mut successor, report("up", 2, [], true)))
        && !rest.is_empty()
    {
        all.extend(rest);
    }
    let expected: Vec<String> = (1..=16_384).flat_map(|id| [format!("{id:032x}"), format!("{id:032x}")]).collect();
    assert!(all == expected, "each once, in the order in which they came");
}

#[test]
fn what_cannot_be_remembered_is_said_once() {
    let mut module = start(r#"{"remember": 10}"#);
    define(&mut module, (1..=100).map(|id| (id, id.to_string())));
    for cycle in 1..=3 {
        told(&mut module, report(METRICS[0], cycle, 1..=100, true));
        let messages = told(&mut module, report(METRICS[1], cycle, 1..=100, false));
        assert_eq!((messages.ends.len(), lost(&messages).len()), (110, 10));
    }
    let lines = log::taken();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].1.contains("`remember` allows, 10"), "{lines:?}");
}

#[test]
fn what_is_never_told_takes_no_room_for_long() {
    let mut module = start(r#"{"remember": 10}"#);
    define(&mut module, (1..=10).map(|id| (id, id.to_string())));
    for cycle in 1..=20 {
        told(&mut module, report(METRICS[0], cycle, 1..=10, cycle % 2 == 0));
    }
    told(&mut module, report(METRICS[0], 21, 1..=10, true));
    assert_eq!(lost(&told(&mut module, report(METRICS[1], 21, 1..=10, false))).len(), 10);
    assert_eq!(log::taken(), []);
}

#[test]
fn cycles_that_never_end_are_bounded() {
    let mut module = start("{}");
    define(&mut module, [(1, "a".to_owned())]);
    for cycle in 0..5_000_u64 {
        let mut report = report(METRICS[0], 1, [1], true);
        report.query.cycle = cycle.to_string();
        told(&mut module, report);
    }
    assert!(module.save().unwrap().as_bytes().len() < 256 * 200);
}

#[test]
fn another_form_of_what_was_saved_is_refused() {
    let mut module = start("{}");
    let saved = module.save().unwrap();
    assert!(module.restore(2, saved).unwrap_err().contains("their form 2 is not known here, only 1"));
    assert!(module.restore(1, "[]".into()).unwrap_err().contains("cannot take over the packets of the cycle"));
}

#[test]
fn what_is_lost_is_told_however_large_the_reports_are() {
    let mut module = start("{}");
    define(&mut module, (1..=16_384).map(|id| (id, format!("{id:056x}"))));
    for metric in METRICS {
        told(&mut module, report(metric, 1, 1..=16_384, metric != METRICS[3]));
    }
    for _ in 0..3 {
        let messages = told(&mut module, report(METRICS[0], 2, 1..=16_384, true));
        assert!(messages.text.len() > 6 << 20, "{} bytes", messages.text.len());
        assert!(lost(&messages).len() >= 128, "none waits for ever");
    }
}

#[test]
fn a_long_topic_counts_with_every_message() {
    let mut module = start(&format!(r#"{{"topic": "{:t>249}"}}"#, ""));
    define(&mut module, (1..=16_384).map(|id| (id, format!("{id:032x}"))));
    for metric in METRICS {
        for part in 0..4 {
            let subjects = part * 4_096 + 1..=(part + 1) * 4_096;
            told(&mut module, report(metric, 1, subjects, metric != METRICS[3] || part < 3));
        }
    }
}

#[test]
fn a_successor_that_remembers_less_takes_over_what_fits() {
    let mut module = start("{}");
    define(&mut module, (1..=16_384).map(|id| (id, format!("{id:032x}"))));
    for metric in METRICS {
        told(&mut module, report(metric, 1, 1..=16_384, metric != METRICS[3]));
    }
    told(&mut module, report(METRICS[0], 2, [1, 2], true));
    let mut successor = start(r#"{"remember": 10}"#);
    successor.restore(MapeKafka::VERSION, module.save().unwrap()).unwrap();
    assert_eq!(lost(&told(&mut successor, report("up", 3, [], false))).len(), 20);
}
