//! Damaged components, all the way: refused, or loaded and run behind the limits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use sluicebox_contract::Shaper as _;
use sluicebox_testkit::fuzz::Fuzz;
use sluicebox_wasm::{Engine, Limits, LoadOptions, Module, WasmShaper};
use support::{component, context, named};

/// Small ones, most of which is read before anything is compiled.
const TEXTS: [&str; 4] = [
    r#"(component (import "sluicebox:module/log@0.2.0" (instance)))"#,
    r#"(component (import "wasi:cli/environment@0.2.6" (instance (export "get" (func)))))"#,
    r#"(component
        (core module $m (memory (export "m") 1) (func (export "s") (loop (br 0))))
        (core instance $i (instantiate $m))
        (func $s (canon lift (core func $i "s")))
        (instance $l (export "start" (func $s)))
        (export "sluicebox:module/lifecycle@0.2.0" (instance $l)))"#,
    r#"(component (type $t (record (field "a" string))) (export "sluicebox:module/types@0.2.0" (type $t)))"#,
];

fn tried(engine: &Engine, bytes: &[u8]) {
    let module = match Module::load(engine, "m", bytes, &LoadOptions::default()) {
        Ok(module) => module,
        Err(error) => {
            let words = error.to_string();
            assert!((1..8000).contains(&words.len()) && words.contains("`m`"), "{} bytes: {words}", words.len());
            return;
        }
    };
    let span = Duration::from_millis(200);
    let limits = Limits { memory_bytes: 16 << 20, call_deadline: span, start_deadline: span, ..Limits::default() };
    let mut shaper = WasmShaper::new(module, "{}".to_owned(), context(), limits);
    if shaper.renew().is_ok() {
        let _whatever = shaper.shape(&[named("a")]);
    }
}

#[test]
fn a_small_component_that_is_damaged_is_refused_or_runs_within_its_limits() {
    let engine = Engine::new().unwrap();
    let samples = TEXTS.map(|text| wat::parse_str(text).unwrap());
    Fuzz::of(samples).slowest(Duration::from_secs(20)).run(|input, _| tried(&engine, input));
}

#[test]
fn a_module_that_is_damaged_is_refused_or_runs_within_its_limits() {
    let engine = Engine::new().unwrap();
    let telemd = component("telemd");
    Fuzz::of([&telemd]).longest(telemd.len() + 4096).slowest(Duration::from_mins(1)).run(|input, _| tried(&engine, input));
}
