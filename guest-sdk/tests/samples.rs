//! Ticks in cases: what is written short, what a module is told, and what a mistake tells.

use std::collections::BTreeMap;

use sluicebox_sdk::cases::{Event, Step, metrics, read, run};
use sluicebox_sdk::{
    ByMetric, Context, Entries, Metric, Module, NoSettings, Packed, Reading, Samples, Subject, SubjectId, Subjects, Tick,
};

/// Says of each sample what it is.
#[derive(Default)]
struct Reader {
    names: ByMetric<String>,
    qos: BTreeMap<SubjectId, String>,
}

impl Module for Reader {
    type Settings = NoSettings;

    fn start(_: NoSettings, _: &Context) -> Result<Self, String> {
        Ok(Self::default())
    }
}

impl Subjects for Reader {
    fn define(&mut self, subjects: Vec<Subject>) {
        assert!(self.names.get(0).is_some(), "the metrics come first");
        self.qos.extend(subjects.iter().map(|subject| (subject.id, subject.attribute("qos-class").unwrap_or("?").to_owned())));
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        self.qos.retain(|subject, _| !subjects.contains(subject));
    }
}

impl Samples for Reader {
    fn metrics(&mut self, metrics: Vec<Metric>) {
        self.names = ByMetric::new(&metrics, |metric| (metric.name != "memory-file").then(|| metric.name.clone()));
    }

    fn samples(&mut self, tick: Tick) -> Result<Entries, String> {
        let mut packed = Packed::on("all").with_header("at", tick.observed_at_unix_nanos.to_string());
        for (subject, samples) in tick.by_subject() {
            let qos = self.qos.get(&subject).ok_or_else(|| format!("subject {subject} was never introduced"))?;
            for sample in samples {
                let Some(name) = self.names.get(sample.metric) else { continue };
                let said = match &sample.reading {
                    Reading::Counter(counter) => format!("{} {:?}", counter.total, sample.per_second()),
                    Reading::Value(value) => value.to_string(),
                    Reading::Unlimited => "none".to_owned(),
                };
                let channel = if sample.is_unlimited() { "unlimited" } else { "" };
                let said = format!("{name} {said} of {}", tick.online_cpus);
                packed.push_on(channel, qos, |body| body.push_str(&said));
            }
        }
        Ok(packed.into())
    }
}

sluicebox_sdk::export!(Reader: samples, subjects);

const DEFINE: &str = r#"{"define":[
    {"id":1,"kind":"container","uid":"c","namespace":"default","name":"app","attributes":{"qos-class":"Burstable"}},
    {"id":2,"kind":"cgroup","uid":"","namespace":"","name":"/init.scope","attributes":[["cgroup","/init.scope"]]}]}"#;

fn outcome(steps: &str) -> Result<(), String> {
    run::<Reader>(&read("case", &format!(r#"{{"about":"","given":{{"usage":{{"memory-usage":7}}}},"steps":[{steps}]}}"#))?)
}

#[track_caller]
fn check_err(samples: &str, expected: &str) {
    assert_eq!(outcome(&format!(r#"{{"tick":{{"samples":[{samples}]}}}}"#)), Err(format!("step 1: {expected}")));
}

#[test]
fn every_form_of_a_reading_reaches_the_module_in_the_order_of_the_metrics() {
    let tick = r#"{"tick":{"observed-at-unix-nanos":5,"online-cpus":4,"samples":[
        {"subject":1,"memory-limit":"unlimited","$like":"usage","cpu-user":3,"memory-file":1,
         "cpu-usage":{"total":9,"increase":{"amount":500,"over-nanoseconds":2000000000}},"io-reads":{"total":2,"increase":null}},
        {"subject":2,"pids-limit":100,"cpu-usage":{"total":9,"increase":{"amount":500}}}]},
        "expect":["#;
    let message = |channel: &str, key: &str, body: &str| {
        format!(r#"{{"message":{{"channel":"{channel}","key":"{key}","headers":[["at","5"]],"body":"{body} of 4"}}}}"#)
    };
    let expected = [
        message("all", "Burstable", "cpu-usage 9 Some(250.0)"),
        message("all", "Burstable", "cpu-user 3 None"),
        message("all", "Burstable", "memory-usage 7"),
        message("unlimited", "Burstable", "memory-limit none"),
        message("all", "Burstable", "io-reads 2 None"),
        message("all", "?", "cpu-usage 9 Some(500.0)"),
        message("all", "?", "pids-limit 100"),
    ];
    assert_eq!(outcome(&format!("{DEFINE},{tick}{}]}}", expected.join(","))), Ok(()));
}

#[test]
fn a_fresh_instance_is_told_the_metrics_again() {
    let tick = r#"{"tick":{"samples":[{"subject":1,"memory-usage":7}]},
        "expect":[{"message":{"channel":"all","key":"Burstable","headers":[["at","TIME"]],"body":"memory-usage 7 of 1"}}]}"#;
    let at = |second: u64| tick.replace("TIME", &(1_700_000_000_000_000_000 + second * 1_000_000_000).to_string());
    let steps = [DEFINE.to_owned(), at(0), r#"{"restart":true}"#.to_owned(), at(1), r#"{"swap":true}"#.to_owned(), at(2)];
    assert_eq!(outcome(&steps.join(",")), Ok(()));
}

#[test]
fn a_tick_may_be_empty_and_may_be_refused() {
    assert_eq!(outcome(r#"{"tick":{}}"#), Ok(()));
    let refused = r#"{"tick":{"samples":[{"subject":9,"memory-usage":7}]},"expect-error":"subject 9 was never introduced"}"#;
    assert_eq!(outcome(refused), Ok(()));
}

#[test]
fn what_a_tick_leaves_out_is_filled_in() {
    let case = r#"{"about":"","steps":[{"tick":{"samples":[{"subject":1,"io-reads":2,"cpu-usage":{"total":5,"increase":{"amount":2}}}]}}]}"#;
    let case = read("case", case).unwrap();
    let [Step::Batch { define, events, .. }] = case.steps.as_slice() else { unreachable!("one batch") };
    let [Event::Tick(tick)] = events.as_slice() else { unreachable!("one tick") };
    let expected = concat!(
        r#"{"samples":[{"subject":1,"metric":"cpu-usage","reading":{"counter":{"total":5,"#,
        r#""increase":{"amount":2,"over-nanoseconds":1000000000}}}},"#,
        r#"{"subject":1,"metric":"io-reads","reading":{"counter":{"total":2,"increase":null}}}],"#,
        r#""online-cpus":1,"observed-at-unix-nanos":1700000000000000000}"#,
    );
    assert_eq!((define.len(), tick.to_string().as_str()), (0, expected));
}

#[test]
fn mistakes_in_a_tick_are_named() {
    check_err(r#"{"subject":1,"cpu":5}"#, "`cpu` of subject 1: no metric is called so");
    check_err(r#"{"cpu-usage":5}"#, "samples without a number as `subject`");
    check_err("7", r#"`samples` are objects: `{"subject": 1, "memory-usage": 7}`"#);
    check_err(
        r#"{"subject":1},{"subject":2},{"subject":1}"#,
        "the samples of subject 1 stand together: put them into one object",
    );
    let limit = "`memory-limit` of subject 1: a limit is a whole number or `\"unlimited\"`, not ";
    check_err(r#"{"subject":1,"memory-limit":"max"}"#, &format!("{limit}\"max\""));
    check_err(r#"{"subject":1,"memory-limit":-1}"#, &format!("{limit}-1"));
    check_err(
        r#"{"subject":1,"memory-usage":"unlimited"}"#,
        r#"`memory-usage` of subject 1: a gauge is a whole number, not "unlimited""#,
    );
    for counter in [
        r#""5""#,
        r#"{"total":5,"increase":{}}"#,
        r#"{"total":5,"increase":3}"#,
        r#"{"total":5,"rate":{"amount":1}}"#,
        r#"{"total":5,"increase":{"amount":1,"over":3}}"#,
        r#"{"increase":{"amount":1}}"#,
    ] {
        check_err(
            &format!(r#"{{"subject":1,"cpu-usage":{counter}}}"#),
            &format!(
                r#"`cpu-usage` of subject 1: a counter is a total, or `{{"total": 5, "increase": {{"amount": 2}}}}`, not {counter}"#
            ),
        );
    }
    assert_eq!(outcome(r#"{"tick":{"samples":7}}"#), Err("step 1: the `samples` of a tick are a list".to_owned()));
    let both = outcome(r#"{"tick":{},"events":[]}"#);
    assert_eq!(
        both,
        Err("step 1: `tick`, `report`, `inventory` and `series` are a batch of their own each: make the others another step"
            .to_owned())
    );
    let typo = outcome(r#"{"tick":{"online":3}}"#).unwrap_err();
    assert!(typo.starts_with("step 1: unknown field `online`, expected one of `observed-at-unix-nanos`"), "{typo}");
}

#[test]
fn ids_are_places_in_the_table() {
    for (place, metric) in metrics().iter().enumerate() {
        assert_eq!(usize::from(metric.id), place, "{}", metric.name);
    }
}
