//! State on its way from one instance to the next, with a module that behaves and with every evil that it may do meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use sluicebox_contract::{Class, Saved, Shaper as _};
use sluicebox_wasm::{Engine, Limits, WasmShaper};
use support::{answer, assert_recovers, assert_says, context, hostile, load, logged, named, patient, started, subject};

const MIB: usize = 1 << 20;

/// Limits with a deadline that tests can wait for.
fn short() -> Limits {
    Limits { call_deadline: Duration::from_millis(500), ..Limits::default() }
}

/// What a counting module has saved after so many events.
fn count(events: usize) -> Saved {
    Saved { version: 1, data: events.to_string().into_bytes() }
}

fn does(evil: &str, limits: Limits) -> WasmShaper {
    started(&format!(r#"{{"evil": "{evil}"}}"#), limits)
}

#[test]
fn state_goes_over_to_the_next_instance() {
    let mut old = started(r#"{"count": true}"#, Limits::default());
    assert!(old.takes_state());
    assert_eq!(old.shape(&[named("a"), named("b")]).unwrap(), [answer(1, "a 1"), answer(1, "b 2")]);
    let saved = old.save().unwrap().unwrap();
    assert_eq!(saved, count(2));
    assert_eq!(old.shape(&[named("c")]).unwrap(), [answer(2, "c 3")], "the old instance goes on");

    let mut new = started(r#"{"count": true}"#, Limits::default());
    new.define(&[subject(1, "a")]).unwrap();
    new.restore(&saved).unwrap();
    assert_eq!(new.shape(&[named("c")]).unwrap(), [answer(1, "c 3")]);
    assert_eq!(new.save().unwrap(), Some(count(3)));
}

#[test]
fn state_is_lost_with_a_fresh_instance_unless_it_is_restored() {
    let mut shaper = started(r#"{"count": true}"#, Limits::default());
    shaper.shape(&[named("a")]).unwrap();
    let saved = shaper.save().unwrap().unwrap();
    shaper.renew().unwrap();
    assert_eq!(shaper.save().unwrap(), Some(count(0)));
    shaper.restore(&saved).unwrap();
    assert_eq!(shaper.shape(&[named("b")]).unwrap(), [answer(1, "b 2")]);
}

#[test]
fn bytes_come_back_as_bytes() {
    let mut old = started(r#"{"evil": "large-save", "size": 1000}"#, Limits::default());
    let saved = old.save().unwrap().unwrap();
    let mut new = started(r#"{"count": true}"#, Limits::default());
    new.restore(&saved).unwrap();
    assert_eq!(new.shape(&[named("a")]).unwrap(), [answer(1, "a 1001")]);
}

#[test]
fn a_module_without_state_has_none_to_save_and_is_given_none() {
    let engine = Engine::new().unwrap();
    let module = load(&engine, "json-lines");
    assert!(!module.describe().state);
    let mut shaper = WasmShaper::new(module, "{}".to_owned(), context(), Limits::default());
    assert!(!shaper.takes_state());
    shaper.renew().unwrap();
    assert_eq!(shaper.save(), Ok(None));
    assert_eq!(shaper.restore(&count(7)), Ok(()));
    shaper.shape(&[support::object("a", Some("{}"))]).unwrap();
}

#[test]
fn without_an_instance_there_is_nothing_to_save() {
    let mut shaper = hostile("{}", Limits::default());
    assert_eq!(shaper.save().unwrap_err().class, Class::Replace);
    assert_eq!(shaper.restore(&count(1)).unwrap_err().class, Class::Replace);
    assert_recovers(&mut shaper);
}

#[test]
fn a_version_that_the_module_does_not_know_is_refused() {
    let mut shaper = started("{}", Limits::default());
    let fault = shaper.restore(&Saved { version: 2, ..count(1) }).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert_says(&fault, &["cannot call state.restore of module `hostile` (version ", "state of version 2 is not known, only 1"]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")], "the instance lives");
}

#[test]
fn what_no_module_has_saved_is_refused_before_it_reaches_one() {
    let mut shaper = started(r#"{"evil": "panic-in-restore"}"#, Limits::default());
    let fault = shaper.restore(&Saved { version: 1, data: vec![b'1', 0xff] }).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert_says(&fault, &["state.restore", "the state is damaged"]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")], "the instance lives");
}

#[test]
fn loop_in_save() {
    let mut shaper = does("loop-in-save", short());
    let fault = shaper.save().unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["cannot call state.save of module `hostile` (version ", "deadline of 500ms"]);
    assert_recovers(&mut shaper);
}

#[test]
fn panic_in_save() {
    let mut shaper = does("panic-in-save", patient());
    let fault = shaper.save().unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["state.save", "stopped itself: panicked at", "I keep it to myself"]);
    assert_eq!(shaper.memory_bytes(), 0);
    assert_recovers(&mut shaper);
}

#[test]
fn refuse_to_save() {
    let mut shaper = does("refuse-to-save", patient());
    let fault = shaper.save().unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert_says(&fault, &["state.save", r"I have nothing\nto say"]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")], "the instance lives");
}

#[test]
fn memory_bomb_in_save() {
    let mut shaper = does("memory-bomb-in-save", patient());
    let fault = shaper.save().unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["state.save", "memory limit of 64 MiB was reached"]);
    assert_recovers(&mut shaper);
}

#[test]
fn large_save() {
    let limits = Limits { output_bytes_per_call: MIB, ..patient() };
    let mut shaper = started(&format!(r#"{{"evil": "large-save", "size": {}}}"#, MIB + 1), limits);
    let fault = shaper.save().unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["state.save", "handed over more than 1 MiB in one call"]);
    assert_recovers(&mut shaper);
}

#[test]
fn loop_in_restore() {
    let mut shaper = does("loop-in-restore", short());
    let fault = shaper.restore(&count(1)).unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["cannot call state.restore of module `hostile` (version ", "deadline of 500ms"]);
    assert_recovers(&mut shaper);
}

#[test]
fn panic_in_restore() {
    let mut shaper = does("panic-in-restore", patient());
    let fault = shaper.restore(&count(1)).unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["state.restore", "I remember nothing"]);
    assert_recovers(&mut shaper);
}

#[test]
fn refuse_to_restore() {
    let mut shaper = does("refuse-to-restore", patient());
    let fault = shaper.restore(&count(1)).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert_says(&fault, &["state.restore", "this is not mine"]);
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")], "the instance lives");
}

#[test]
fn state_larger_than_the_memory_of_the_next_instance_is_its_death_and_not_the_host_s() {
    let mut old = started(&format!(r#"{{"evil": "large-save", "size": {}}}"#, 7 * MIB), patient());
    let saved = old.save().unwrap().unwrap();
    let mut new = started("{}", Limits { memory_bytes: 4 * MIB, ..patient() });
    let fault = new.restore(&saved).unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["state.restore", "memory limit of 4 MiB was reached"]);
    assert_recovers(&mut new);
}

#[test]
fn hoard() {
    let mut shaper = hostile(&format!(r#"{{"evil": "hoard", "size": {MIB}}}"#), Limits { memory_bytes: 16 * MIB, ..patient() });
    assert_eq!(shaper.memory_bytes(), 0, "there is no instance yet");
    shaper.renew().unwrap();
    let fresh = shaper.memory_bytes();
    assert!((MIB / 16..4 * MIB).contains(&fresh), "{fresh}");
    for call in 1..=8 {
        assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(call, "a")]);
    }
    let grown = shaper.memory_bytes() - fresh;
    assert!((7 * MIB..12 * MIB).contains(&grown), "{grown}");
    shaper.renew().unwrap();
    assert_eq!(shaper.memory_bytes(), fresh);
    let fault = (0..16).find_map(|_| shaper.shape(&[named("a")]).err()).unwrap();
    assert_says(&fault, &["memory limit of 16 MiB was reached"]);
    assert_eq!(shaper.memory_bytes(), 0, "it is dead");
}

#[test]
fn work_busy() {
    let mut shaper = started(r#"{"evil": "work-busy", "size": 1000}"#, patient());
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
    // A thousand seconds of work meet any deadline.
    let mut shaper = started(r#"{"evil": "work-busy", "size": 1000000000}"#, short());
    assert_says(&shaper.shape(&[named("a")]).unwrap_err(), &["deadline of 500ms"]);
}

#[test]
fn the_module_reads_the_version_of_the_host() {
    let lines = logged(|| drop(started("{}", Limits::default())));
    assert!(lines.iter().any(|line| line.contains(concat!("host ", env!("CARGO_PKG_VERSION")))), "{lines:?}");
}

#[test]
fn a_shaper_is_started_here_used_there_and_dropped_elsewhere() {
    fn assert_send<T: Send + 'static>() {}
    assert_send::<WasmShaper>();
    assert_send::<sluicebox_wasm::Module>();
    let mut shaper = started(r#"{"count": true}"#, Limits::default());
    let mut shaper = std::thread::spawn(move || {
        shaper.shape(&[named("a")]).unwrap();
        shaper
    })
    .join()
    .unwrap();
    assert_eq!(shaper.save().unwrap(), Some(count(1)));
    std::thread::spawn(move || drop(shaper)).join().unwrap();
    // One that died, and one that never lived.
    let mut dead = does("panic", patient());
    dead.shape(&[named("a")]).unwrap_err();
    std::thread::spawn(move || drop((dead, hostile("{}", Limits::default())))).join().unwrap();
}
