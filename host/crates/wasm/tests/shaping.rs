//! A well-behaved module: what goes in, what comes out, what is kept between calls and what is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use sluicebox_contract::{Class, Handlers, Shaper as _, SubjectId};
use sluicebox_wasm::Limits;
use support::{answer, answer_about, hostile, logged, named, object, pod_event, rich_pod, started, subject};

#[test]
fn pods_become_entries() {
    let mut shaper = started("{}", Limits::default());
    assert_eq!(shaper.handlers(), Handlers { subjects: true, pods: true, objects: true });
    let entries = shaper.shape(&[named("a"), pod_event(rich_pod())]).unwrap();
    assert_eq!(entries, [answer(1, "a"), answer(1, "web-0")]);
}

#[test]
fn objects_become_entries() {
    let mut shaper = started("{}", Limits::default());
    let entries = shaper.shape(&[object("a", None), object("b", Some(r#"{"kind":"Namespace"}"#))]).unwrap();
    assert_eq!(entries, [answer(1, "a"), answer(1, r#"{"kind":"Namespace"}"#)]);
}

#[test]
fn state_lives_from_call_to_call_and_ends_with_the_instance() {
    let mut shaper = started("{}", Limits::default());
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(2, "a")]);
    shaper.renew().unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}

#[test]
fn subjects_are_defined_and_forgotten() {
    let mut shaper = started("{}", Limits::default());
    shaper.define(&[subject(7, "pod seven"), subject(9, "pod nine")]).unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer_about(Some("pod seven"), 1, "a")]);
    shaper.forget(&[SubjectId(7)]).unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(2, "a")]);
}

#[test]
fn a_batch_of_two_kinds_is_refused_and_the_instance_lives() {
    let mut shaper = started("{}", Limits::default());
    let fault = shaper.shape(&[named("a"), object("b", None)]).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert!(fault.cause.contains("more than one kind"), "{fault}");
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}

#[test]
fn an_empty_batch_never_reaches_the_module() {
    let mut shaper = started("{}", Limits::default());
    assert_eq!(shaper.shape(&[]).unwrap(), []);
    shaper.define(&[]).unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}

#[test]
fn before_the_first_renew_there_is_no_instance() {
    let mut shaper = hostile("{}", Limits::default());
    let fault = shaper.shape(&[named("a")]).unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert!(fault.cause.contains("no instance"), "{fault}");
    support::assert_recovers(&mut shaper);
}

#[test]
fn the_context_reaches_the_module_and_its_words_reach_the_log() {
    let lines = logged(|| drop(started("{}", Limits::default())));
    let line = lines.iter().find(|line| line.contains("lane test on node-1 fed by pods")).unwrap();
    for part in ["DEBUG module: ", "lane=test", "module=hostile", "version="] {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
}

#[test]
fn a_shaper_moves_to_another_thread() {
    let mut shaper = started("{}", Limits::default());
    let entries = std::thread::spawn(move || shaper.shape(&[named("a")])).join().unwrap().unwrap();
    assert_eq!(entries, [answer(1, "a")]);
}

#[test]
fn shapers_of_one_module_share_nothing() {
    let engine = sluicebox_wasm::Engine::new().unwrap();
    let module = support::load(&engine, "hostile");
    let new = || sluicebox_wasm::WasmShaper::new(module.clone(), "{}".to_owned(), support::context(), Limits::default());
    let (mut one, mut other) = (new(), new());
    one.renew().unwrap();
    other.renew().unwrap();
    assert_eq!(one.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
    assert_eq!(one.shape(&[named("a")]).unwrap(), [answer(2, "a")]);
    assert_eq!(other.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}
