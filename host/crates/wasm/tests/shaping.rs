//! A well-behaved module: what goes in, what comes out, what is kept between calls and what is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use sluicebox_contract::{Class, Handlers, Metric, Reading, Sample, Shaper as _, SubjectId};
use sluicebox_wasm::Limits;
use support::{
    answer, answer_about, container, counter, gauge, hostile, logged, named, object, pod_event, rich_pod, started, subject, tick,
};

#[test]
fn pods_become_entries() {
    let mut shaper = started("{}", Limits::default());
    assert_eq!(shaper.handlers(), Handlers { subjects: true, pods: true, objects: true, samples: true });
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
fn every_form_of_a_sample_crosses() {
    let mut shaper = started("{}", Limits::default());
    shaper.define(&[container(3, "app"), subject(4, "pod four")]).unwrap();
    let unlimited = Sample { subject: SubjectId(3), metric: Metric::MemoryLimit, reading: Reading::Unlimited };
    let samples = vec![
        counter(3, Metric::CpuUsage, u64::MAX, Some((500, 2_000_000_000))),
        counter(3, Metric::CpuUser, 7, None),
        gauge(3, Metric::MemoryUsage, u64::MAX),
        unlimited,
        counter(3, Metric::NetworkTransmittedDropped, 1, Some((1, 3))),
        gauge(4, Metric::PidsCurrent, 0),
    ];
    let entries = shaper.shape(&[tick(samples)]).unwrap();
    let app = concat!(
        "app cgroup=/kubepods.slice/kubepods-burstable.slice/cri-containerd-000003.scope",
        " qos-class=Burstable pod-name=web-6d4cf56db6-00003",
    );
    let said = concat!(
        "at 5 of 4: cpu-usage=18446744073709551615 +500 in 2000000000 is 250 cpu-user=7 memory-usage=18446744073709551615",
        " memory-limit=unlimited network-transmitted-dropped=1 +1 in 3 is 333333333.3333333",
    );
    assert_eq!(entries, [answer_about(Some(app), 1, said), answer_about(Some("pod four"), 1, "at 5 of 4: pids-current=0")]);
}

#[test]
fn a_fresh_instance_knows_the_metrics_before_it_knows_any_subject() {
    let mut shaper = started("{}", Limits::default());
    for _ in 0..2 {
        let entries = shaper.shape(&[tick(vec![gauge(9, Metric::MemoryFile, 1)])]).unwrap();
        assert_eq!(entries, [answer(1, "at 5 of 4: memory-file=1")]);
        shaper.renew().unwrap();
    }
}

#[test]
fn an_empty_tick_reaches_the_module() {
    let mut shaper = started("{}", Limits::default());
    assert_eq!(shaper.shape(&[tick(Vec::new())]).unwrap(), []);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(2, "a")], "it was the second call");
}

#[test]
fn two_ticks_in_a_batch_are_refused_and_so_is_a_tick_with_others() {
    let mut shaper = started("{}", Limits::default());
    let one = || tick(vec![gauge(9, Metric::MemoryFile, 1)]);
    for (batch, cause) in [
        (vec![one(), one()], "more than one tick"),
        (vec![one(), named("a")], "more than one kind"),
        (vec![object("b", None), one()], "more than one kind"),
    ] {
        let fault = shaper.shape(&batch).unwrap_err();
        assert_eq!(fault.class, Class::Skip);
        assert!(fault.cause.contains(cause), "{fault}");
    }
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}

#[test]
fn a_module_without_the_handler_is_given_no_tick() {
    let engine = sluicebox_wasm::Engine::new().unwrap();
    let module = support::load(&engine, "fluent-bit-meta");
    let mut shaper = sluicebox_wasm::WasmShaper::new(module, "{}".to_owned(), support::context(), Limits::default());
    assert!(!shaper.handlers().samples);
    shaper.renew().unwrap();
    let fault = shaper.shape(&[tick(Vec::new())]).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert!(
        fault.to_string().contains("sample-handler.handle") && fault.cause.contains("does not export this handler"),
        "{fault}"
    );
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
