//! Modules that were built against a released version of the package run in today's host, as they ran in that of their day.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use sluicebox_contract::{
    Change, Class, Document, Entry, Event, Forget, Handlers, Message, Metric, ObjectEvent, ObjectKind, PodEvent, Saved,
    Shaper as _, SubjectId,
};
use sluicebox_wasm::{Context, Engine, Limits, LoadError, LoadOptions, Module, Refusal, WasmShaper};
use support::{
    answer, answer_about, assert_recovers, assert_says, container, gauge, logged, named, object, patient, pod_event, rich_pod,
    subject, tick,
};

/// The versions of the package that modules were released with, and that this host has to run.
const RELEASED: [&str; 1] = ["0.1.0"];

const MODULES: [&str; 4] = ["fluent-bit-meta", "galileo-events", "hostile", "json-lines"];

fn fixture(version: &str, file: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(version);
    std::fs::read(folder.join(file)).unwrap()
}

fn load(name: &str, bytes: &[u8]) -> Result<Module, LoadError> {
    Module::load(&Engine::new().unwrap(), name, bytes, &LoadOptions::default())
}

fn started(version: &str, name: &str, settings: &str, limits: Limits) -> WasmShaper {
    let module = load(name, &fixture(version, &format!("{name}.wasm"))).unwrap();
    let sources = ["pods", "namespaces", "nodes"].map(str::to_owned).to_vec();
    let context = Context { sources, ..support::context() };
    let mut shaper = WasmShaper::new(module, settings.to_owned(), context, limits);
    shaper.renew().unwrap();
    shaper
}

fn hostile(settings: &str, limits: Limits) -> WasmShaper {
    started("0.1.0", "hostile", settings, limits)
}

/// A pod that is there, changes and goes, as the lane's module wants it.
fn life(handlers: Handlers) -> Vec<Event> {
    let changes = [Change::Listed, Change::Modified, Change::Deleted];
    let event = |change| match (handlers.pods, pod_event(rich_pod()), object("web-0", Some(POD))) {
        (true, Event::Pod(event), _) => Event::Pod(PodEvent { change, previous: Some(event.pod.clone()), ..event }),
        (_, _, Event::Object(event)) => {
            Event::Object(ObjectEvent { change, kind: ObjectKind::Pod, subject: SubjectId(7), ..event })
        }
        _ => unreachable!("each makes its own kind"),
    };
    changes.into_iter().map(event).collect()
}

const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-0","namespace":"default","uid":"u"},"status":{"phase":"Running"}}"#;

/// An entry on a line.
fn line(entry: &Entry) -> String {
    match entry {
        Entry::Message(Message { body, .. }) => format!("message: {}\n", String::from_utf8_lossy(body)),
        Entry::Document(Document { name, body, .. }) => {
            format!("document {name}: {}\n", String::from_utf8_lossy(body).trim_end())
        }
        Entry::Forget(Forget { name, after, .. }) => format!("forget {name} after {after:?}\n"),
    }
}

#[test]
fn every_released_module_starts_is_told_of_subjects_and_says_of_a_life_what_it_said_in_its_day() {
    for version in RELEASED {
        for name in MODULES {
            let module = load(name, &fixture(version, &format!("{name}.wasm"))).unwrap();
            assert_eq!(module.describe().package_version, version, "{name}");
            let mut shaper = started(version, name, "{}", Limits::default());
            shaper.define(&[subject(7, "web-0"), subject(9, "web-1")]).unwrap();
            shaper.forget(&[SubjectId(9)]).unwrap();
            let entries = shaper.shape(&life(shaper.handlers())).unwrap();
            let expected = String::from_utf8(fixture(version, &format!("{name}.txt"))).unwrap();
            assert_eq!(entries.iter().map(line).collect::<String>(), expected, "{version} {name}");
        }
    }
}

#[test]
fn what_a_released_module_is_told_and_gives_is_what_it_always_was() {
    let mut shaper = hostile("{}", Limits::default());
    assert_eq!(shaper.handlers(), Handlers { subjects: true, pods: true, objects: true, ..Handlers::default() });
    shaper.define(&[subject(7, "pod seven")]).unwrap();
    let entries = shaper.shape(&[named("a"), pod_event(rich_pod())]).unwrap();
    assert_eq!(entries, [answer_about(Some("pod seven"), 1, "a"), answer_about(Some("pod seven"), 1, "web-0")]);
    shaper.forget(&[SubjectId(7)]).unwrap();
    assert_eq!(shaper.shape(&[object("b", Some("{}"))]).unwrap(), [answer(2, "{}")]);
    assert!(shaper.memory_bytes() > 0);

    let lines = logged(|| drop(hostile("{}", Limits::default())));
    let said = "lane test on node-1 fed by pods,namespaces,nodes";
    assert!(lines.iter().any(|line| line.contains(said) && line.contains("lane=test")), "{lines:?}");
}

#[test]
fn every_field_of_a_pod_reaches_a_released_module() {
    let mut shaper = hostile(r#"{"evil": "work-plain"}"#, Limits::default());
    let entries = shaper.shape(&[pod_event(rich_pod())]).unwrap();
    let Entry::Message(message) = &entries[0] else { panic!("{entries:?}") };
    let line = str::from_utf8(&message.body).unwrap();
    for part in ["Running", "Burstable", "10.0.0.1", "10.1.0.7", "2026-01-01T00:00:01Z", "nginx:1.29", r#""version":"ü""#] {
        assert!(line.contains(part), "`{part}` is missing in {line}");
    }
    let mut packed = hostile(r#"{"evil": "work-packed"}"#, Limits::default());
    assert_eq!(packed.shape(&[pod_event(rich_pod())]).unwrap(), entries);
}

#[test]
fn a_released_module_is_told_of_no_subject_and_given_no_event_that_it_cannot_know() {
    let mut shaper = hostile("{}", Limits::default());
    shaper.define(&[subject(7, "pod seven"), container(8, "app")]).unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer_about(Some("pod seven"), 1, "a")]);
    assert_eq!(shaper.shape(&[object("b", None)]).unwrap(), [answer(2, "b")], "what is about 8 has no name");
    shaper.forget(&[SubjectId(8)]).unwrap();

    // A kind of object that there was not: alone it makes nothing, and among others these are told.
    let service = |name| match object(name, None) {
        Event::Object(event) => Event::Object(ObjectEvent { kind: ObjectKind::Service, ..event }),
        other => other,
    };
    assert_eq!(shaper.shape(&[service("s")]).unwrap(), []);
    assert_eq!(shaper.shape(&[service("s"), object("c", None)]).unwrap(), [answer(3, "c")]);

    let fault = shaper.shape(&[tick(vec![gauge(8, Metric::MemoryUsage, 1)])]).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert_says(&fault, &["sample-handler.handle", "does not export this handler"]);

    let limits = Limits { call_deadline: Duration::from_millis(300), ..Limits::default() };
    let mut shaper = hostile(r#"{"evil": "loop-in-define"}"#, limits);
    shaper.define(&[container(8, "app")]).expect("a list that would be empty is not handed over");
    assert_says(&shaper.define(&[subject(7, "pod seven")]).unwrap_err(), &["subjects.define", "deadline of 300ms"]);
}

#[test]
fn packed_messages_of_a_released_module_are_cut_and_judged_as_in_its_day() {
    let mut shaper = hostile(r#"{"evil": "work-packed"}"#, Limits::default());
    let events = [pod_event(rich_pod()), pod_event(rich_pod())];
    let packed = shaper.shape(&events).unwrap();
    assert_eq!(packed, hostile(r#"{"evil": "work-plain"}"#, Limits::default()).shape(&events).unwrap());
    let Entry::Message(message) = &packed[1] else { panic!("{packed:?}") };
    assert_eq!((message.channel.as_deref(), message.headers.len()), (None, 0));
    assert_eq!(message.key.as_deref(), Some("11111111-2222-3333-4444-555555555555"));
    for evil in ["ends-beyond", "ends-falling", "ends-within-character"] {
        let mut shaper = hostile(&format!(r#"{{"evil": "{evil}"}}"#), Limits::default());
        let fault = shaper.shape(&[named("a")]).unwrap_err();
        assert_says(&fault, &["packed messages of which number 0 has a body that ends outside of the text"]);
    }
}

#[test]
fn a_released_module_has_no_state() {
    let mut shaper = hostile("{}", Limits::default());
    assert!(!shaper.takes_state());
    assert_eq!(shaper.save(), Ok(None));
    assert_eq!(shaper.restore(&Saved::default()), Ok(()));
}

#[test]
fn a_released_module_that_refuses_is_heard() {
    let settings = r#"{"evil": "refuse", "only": "bad"}"#;
    let mut shaper = hostile(settings, Limits::default());
    let fault = shaper.shape(&[named("bad")]).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert_says(&fault, &["pod-handler.handle", "I do not like this"]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(2, "a")], "the instance lives");

    let module = load("json-lines", &fixture("0.1.0", "json-lines.wasm")).unwrap();
    let fault =
        WasmShaper::new(module, r#"{"colour": 1}"#.to_owned(), support::context(), Limits::default()).renew().unwrap_err();
    assert_eq!(fault.class, Class::Retry);
    assert_says(&fault, &["lifecycle.start", "unknown field `colour`"]);
}

#[test]
fn a_released_module_that_panics_is_replaced() {
    for (evil, text) in [("panic", "I give up"), ("stack-overflow", "stack of 512 KiB overflowed")] {
        let mut shaper = hostile(&format!(r#"{{"evil": "{evil}", "only": "bad"}}"#), patient());
        for event in [named("bad"), object("bad", None)] {
            let fault = shaper.shape(&[event]).unwrap_err();
            assert_eq!(fault.class, Class::Replace);
            assert_says(&fault, &["-handler.handle of module `hostile` (version ", text]);
            assert_recovers(&mut shaper);
        }
    }
    let mut shaper = hostile(r#"{"evil": "panic-in-forget"}"#, patient());
    let fault = shaper.forget(&[SubjectId(1)]).unwrap_err();
    assert_says(&fault, &["subjects.forget", "I never forget"]);
    assert_recovers(&mut shaper);
}

#[test]
fn a_released_module_that_loops_meets_its_deadline() {
    let deadline = Duration::from_millis(300);
    let limits = Limits { call_deadline: deadline, start_deadline: deadline, ..Limits::default() };
    let mut shaper = hostile(r#"{"evil": "loop", "only": "bad"}"#, limits.clone());
    let fault = shaper.shape(&[named("bad")]).unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["pod-handler.handle", "deadline of 300ms"]);
    assert_recovers(&mut shaper);

    let module = load("hostile", &fixture("0.1.0", "hostile.wasm")).unwrap();
    let settings = r#"{"evil": "loop-in-start"}"#.to_owned();
    let fault = WasmShaper::new(module, settings, support::context(), limits).renew().unwrap_err();
    assert_says(&fault, &["lifecycle.start", "deadline of 300ms"]);
}

#[test]
fn a_released_module_that_grows_meets_its_limits() {
    let mut shaper = hostile(r#"{"evil": "memory-bomb", "only": "bad"}"#, patient());
    assert_says(&shaper.shape(&[named("bad")]).unwrap_err(), &["memory limit of 64 MiB was reached"]);
    assert_recovers(&mut shaper);
    let mut shaper = hostile(&format!(r#"{{"evil": "large-entry", "size": {}, "only": "bad"}}"#, 9 << 20), patient());
    assert_says(&shaper.shape(&[named("bad")]).unwrap_err(), &["handed over more than 8 MiB in one call"]);
    assert_recovers(&mut shaper);
}

#[test]
fn a_flood_of_lines_from_a_released_module_is_dropped() {
    let lines = logged(|| {
        let mut shaper = hostile(r#"{"evil": "log-flood", "size": 20000}"#, patient());
        assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
    });
    let said = lines.iter().filter(|line| line.contains(": line ")).count();
    assert!((10..200).contains(&said), "{said} of 20 000 lines were written");
}

#[test]
fn any_patch_of_a_released_version_runs() {
    let bytes = support::renamed(&fixture("0.1.0", "hostile.wasm"), "0.1.0", "0.1.7");
    let module = load("hostile", &bytes).unwrap();
    assert_eq!(module.describe().package_version, "0.1.7");
    let mut shaper = WasmShaper::new(module, "{}".to_owned(), support::context(), Limits::default());
    shaper.renew().unwrap();
    shaper.define(&[subject(7, "pod seven")]).unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer_about(Some("pod seven"), 1, "a")]);
    assert_recovers(&mut shaper);

    let bytes = support::renamed(&support::component("hostile"), "0.2.0", "0.2.7");
    let mut shaper = WasmShaper::new(load("hostile", &bytes).unwrap(), "{}".to_owned(), support::context(), Limits::default());
    assert_recovers(&mut shaper);
    assert_eq!(shaper.save().unwrap().map(|saved| saved.data), Some(b"1".to_vec()));
}

#[test]
fn a_module_of_a_version_that_is_not_accepted_is_refused_with_the_range() {
    for version in ["0.3.0", "0.0.9"] {
        let error = load("hostile", &support::renamed(&fixture("0.1.0", "hostile.wasm"), "0.1.0", version)).unwrap_err();
        assert!(matches!(&error.refusal, Refusal::OtherVersion { found } if found == version), "{error}");
        let text =
            format!("it is made for sluicebox:module {version}; this host accepts 0.2.x and 0.1.x (hint: build the module");
        assert!(error.to_string().contains(&text), "{error}");
    }
}
