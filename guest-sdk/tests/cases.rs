//! The case format: what is filled in, what is written out, and what a case that does not hold tells.

use serde::Deserialize;
use sluicebox_sdk::cases::{Event, Step, read, run};
use sluicebox_sdk::{
    Change, Context, Document, Entries, Entry, Forget, Message, Module, ObjectEvent, Objects, PodEvent, Pods, Subject, SubjectId,
    Subjects,
};

/// Greets pods, keeps objects, and remembers who is there.
struct Greeter {
    greeting: String,
    known: Vec<SubjectId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    greeting: String,
}

impl Module for Greeter {
    type Settings = Settings;

    fn start(settings: Settings, context: &Context) -> Result<Self, String> {
        if context.sources.is_empty() {
            return Err("nobody to greet: add `pods: {}` to the `sources`".to_owned());
        }
        Ok(Self { greeting: settings.greeting, known: Vec::new() })
    }
}

impl Subjects for Greeter {
    fn define(&mut self, subjects: Vec<Subject>) {
        self.known.extend(subjects.iter().map(|subject| subject.id));
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        self.known.retain(|known| !subjects.contains(known));
    }
}

impl Pods for Greeter {
    fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String> {
        if let Some(event) = events.iter().find(|event| !self.known.contains(&event.subject)) {
            return Err(format!("{} was never introduced", event.pod.name));
        }
        let new = events.iter().filter(|event| event.previous.is_none());
        let greeting = |event: &PodEvent| format!(r#"{} {{"pod":"{}"}}"#, self.greeting, event.pod.name);
        Ok(new.map(|event| Message::new(greeting(event)).on("greetings")).collect())
    }
}

impl Objects for Greeter {
    fn objects(&mut self, events: Vec<ObjectEvent>) -> Result<Entries, String> {
        let entry = |event: ObjectEvent| match (event.change, event.json) {
            (Change::Deleted, _) | (_, None) => Entry::from(Forget::new(event.name)),
            (_, Some(json)) => Document::new(event.name, json.into_bytes()).within(event.namespace).into(),
        };
        Ok(events.into_iter().map(entry).collect())
    }
}

sluicebox_sdk::export!(Greeter: pods, objects, subjects);

fn outcome(case: &str) -> Result<(), String> {
    run::<Greeter>(&read("case", case)?)
}

#[track_caller]
fn check(rest: &str) {
    assert_eq!(outcome(&format!(r#"{{"about":"","settings":{{"greeting":"hi"}},{rest}}}"#)), Ok(()));
}

#[track_caller]
fn check_err(rest: &str, expected: &str) {
    let case = format!(r#"{{"about":"","settings":{{"greeting":"hi"}},{rest}}}"#);
    assert_eq!(outcome(&case), Err(expected.to_owned()));
}

#[test]
fn the_example_of_the_documentation_holds() {
    assert_eq!(outcome(include_str!("../src/cases/example.json")), Ok(()));
}

#[test]
fn what_an_event_leaves_out_is_filled_in() {
    let case = r#"{"about":"","steps":[
        {"events":[{"pod":{"change":"added","observed-at-unix-nanos":5,"pod":{"uid":"u"}}}]},
        {"events":[{"object":{"change":"deleted","json":{"kind":"Node","metadata":{"uid":"n","name":"n1"}}}}]}]}"#;
    let case = read("case", case).unwrap();
    let mut filled = Vec::new();
    for step in case.steps {
        let Step::Batch { define, events, .. } = step else { unreachable!("only batches") };
        filled.extend(define.iter().map(ToString::to_string));
        filled.extend(events.iter().map(|event| match event {
            Event::Pod(event) | Event::Object(event) | Event::Tick(event) => event.to_string(),
            other => format!("{other:?}"),
        }));
    }
    let expected = [
        r#"{"kind":"pod","uid":"u","namespace":"","name":"","id":1}"#,
        r#"{"change":"added","observed-at-unix-nanos":5,"pod":{"uid":"u"},"subject":1,"previous":null}"#,
        r#"{"kind":"node","uid":"n","namespace":"","name":"n1","id":2}"#,
        concat!(
            r#"{"change":"deleted","json":"{\"kind\":\"Node\",\"metadata\":{\"uid\":\"n\",\"name\":\"n1\"}}","#,
            r#""kind":"node","uid":"n","namespace":"","name":"n1","observed-at-unix-nanos":1000000005,"subject":2}"#,
        ),
    ];
    assert_eq!(filled, expected);
}

#[test]
fn the_state_before_is_what_the_case_had_last() {
    check(
        r#""steps":[
        {"events":[{"pod":{"change":"added","pod":{"uid":"u","name":"a"}}}], "expect":[{"message":{"channel":"greetings","body":"hi {\"pod\":\"a\"}"}}]},
        {"events":[{"pod":{"change":"modified","pod":{"uid":"u","name":"a"}}}]},
        {"events":[{"pod":{"change":"deleted","pod":{"uid":"u","name":"a"}}}]},
        {"events":[{"pod":{"change":"added","pod":{"uid":"u","name":"a"}}}], "expect":[{"message":{"channel":"greetings","body":"hi {\"pod\":\"a\"}"}}]},
        {"events":[{"pod":{"change":"modified","pod":{"uid":"u","name":"a"},"previous":null}}], "expect":[{"message":{"channel":"greetings","body":"hi {\"pod\":\"a\"}"}}]}]"#,
    );
}

#[test]
fn subjects_are_defined_again_for_a_fresh_instance_but_not_when_forgotten() {
    check(
        r#""steps":[
        {"events":[{"pod":{"change":"listed","pod":{"uid":"u"},"previous":{}}}]},
        {"restart":true},
        {"events":[{"pod":{"change":"modified","pod":{"uid":"u"}}}]},
        {"forget":[1]},
        {"events":[{"pod":{"change":"modified","subject":1,"pod":{"uid":"u","name":"a"}}}], "expect-error":"a was never introduced"}]"#,
    );
}

#[test]
fn like_merges_objects_and_replaces_the_rest() {
    check(
        r#""given":{"labels":{"a":"1","b":"2"},"base":{"metadata":{"uid":"u","name":"x","labels":{"$like":"labels"}},"list":[1,2]},"text":"t"},
        "steps":[{"events":[{"object":{"change":"added","json":{"$like":"base","metadata":{"labels":{"b":null,"c":{"$like":"text"}}},"list":[3]}}}],
        "expect":[{"document":{"collection":"","name":"x","body":"{\"metadata\":{\"uid\":\"u\",\"name\":\"x\",\"labels\":{\"a\":\"1\",\"c\":\"t\"}},\"list\":[3]}"}}]}]"#,
    );
}

#[test]
fn parts_of_a_body_are_joined_and_a_forgetting_is_at_once() {
    check(
        r#""steps":[{"events":[{"object":{"change":"added","json":"[1, 2]\n","name":"x"}},{"object":{"change":"deleted","name":"y","json":null}}],
        "expect":[{"document":{"collection":"","name":"x","body":["[1, 2", "]\n"]}},{"forget":{"name":"y"}}]}]"#,
    );
}

#[test]
fn a_difference_shows_where_it_begins() {
    check_err(
        r#""steps":[{"events":[{"pod":{"change":"added","pod":{"uid":"u","name":"a"}}}], "expect":[{"message":{"channel":"greetings","body":"hi {\"pod\":\"b\"}"}}]}]"#,
        concat!(
            "step 1: 1 entry expected, 1 made\n",
            "  1 expected: {\"message\":{\"channel\":\"greetings\",\"body\":\"hi {\\\"pod\\\":\\\"b\\\"}\"}}\n",
            "  1     made: {\"message\":{\"channel\":\"greetings\",\"body\":\"hi {\\\"pod\\\":\\\"a\\\"}\"}}\n",
            "                                                                      ^ differs from here",
        ),
    );
}

#[test]
fn a_refusal_to_start_is_expected_by_its_text() {
    check(r#""context":{"lane":"greeter"},"start-error":"nobody to greet""#);
    check_err(r#""start-error":"nobody to greet""#, "started, and should have refused with `nobody to greet`");
    assert_eq!(outcome(r#"{"about":""}"#).unwrap_err(), "did not start: settings: missing field `greeting`: add it");
}

#[test]
fn a_refused_batch_is_expected_by_its_text() {
    let event = r#""steps":[{"events":[{"pod":{"change":"added","subject":9,"pod":{"uid":"u","name":"a"}}}]"#;
    check(&format!(r#"{event},"expect-error":"introduced"}}]"#));
    check_err(&format!("{event}}}]"), "step 1: refused: a was never introduced");
}

#[test]
fn mistakes_in_a_case_are_named() {
    let like = r#""steps":[{"events":[{"pod":{"$like":"nobody"}}]}]"#;
    check_err(like, "step 1: nothing is given as `nobody`");
    check_err(r#""given":{"a":{"$like":"a"}},"steps":[{"events":[{"$like":"a"}]}]"#, "step 1: `$like` leads back to itself");
    check_err(
        r#""steps":[{"events":[]}]"#,
        "step 1: a batch is never empty, and its events are all of one kind: make steps of them",
    );
    check_err(
        r#""steps":[{"expect":[]}]"#,
        "step 1: a step is one of `events`, `tick`, `report`, `inventory` and `series` (with `expect` or `expect-error`), `define`, `forget`, `restart` and `swap`",
    );
    let typo = r#""steps":[{"events":[{"pod":{"change":"added","pod":{"uid":"u","labls":[]}}}]}]"#;
    let error = outcome(&format!(r#"{{"about":"","settings":{{"greeting":"hi"}},{typo}}}"#)).unwrap_err();
    assert!(error.starts_with("step 1: unknown field `labls`, expected one of `uid`, `namespace`"), "{error}");
}
