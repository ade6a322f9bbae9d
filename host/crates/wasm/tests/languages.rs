//! The example of `guest-sdk/examples` does the same in every language: one set of cases for all, run through what each compiles to.
//!
//! `cargo xtask languages` makes the components, and says of which languages the tools cannot be had.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/languages.rs"]
mod languages;
mod support;

use sluicebox_contract::Shaper as _;
use sluicebox_testkit::servers;
use sluicebox_wasm::{Engine, Module, WasmShaper};

#[test]
fn the_example_in_rust_does_what_the_cases_say() {
    check("rust");
}

#[test]
fn the_example_in_c_does_what_the_cases_say() {
    check("c");
}

#[test]
fn the_example_in_javascript_does_what_the_cases_say() {
    check("javascript");
}

#[test]
fn the_example_in_python_does_what_the_cases_say() {
    check("python");
}

#[test]
fn the_example_in_go_does_what_the_cases_say() {
    check("go");
}

#[test]
fn every_folder_of_the_examples_with_a_readme_is_a_language_that_is_tested() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../guest-sdk/examples");
    let folders = std::fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = folders.filter(|path| path.join("README.md").is_file()).collect();
    found.sort();
    let mut tested = languages::LANGUAGES;
    tested.sort_unstable();
    let found: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(found, tested);
}

/// Nothing but the engine and the cases: what a module imports is refused when it is loaded.
#[track_caller]
fn check(language: &str) {
    let component = match languages::component(language) {
        Ok(component) => component,
        Err(why) => return servers::not_run(&format!("the example in {language}"), &why),
    };
    let engine = Engine::new().unwrap();
    let module = languages::load(&engine, language, &component);
    let handlers = module.handlers();
    assert!(handlers.subjects && handlers.pods && handlers.samples, "{handlers:?}");
    assert!(!handlers.objects && !handlers.series && !module.describe().state, "{handlers:?}");
    let failures = languages::failures(&module);
    assert!(failures.is_empty(), "{} cases do not hold\n\n{}\n", failures.len(), failures.join("\n\n"));
    does_not_grow(&module);
}

/// What a module is given and gives must be freed, by hand or by a collector: linear memory grows at first, and then no more.
#[track_caller]
fn does_not_grow(module: &Module) {
    let mut shaper = WasmShaper::new(module.clone(), "{}".to_owned(), support::context(), languages::patient());
    shaper.renew().unwrap();
    let container = support::container(1, "app");
    let pods = vec![support::pod_event(support::rich_pod()); 64];
    let tick = [support::tick(vec![support::gauge(1, sluicebox_contract::Metric::MemoryUsage, 9)])];
    let mut calls = |count: usize| {
        for _ in 0..count {
            shaper.define(std::slice::from_ref(&container)).unwrap();
            assert_eq!(shaper.shape(&pods).unwrap().len(), 64);
            assert_eq!(shaper.shape(&tick).unwrap().len(), 1);
            shaper.forget(&[container.id]).unwrap();
            shaper.shape(&tick).unwrap_err();
        }
        shaper.memory_bytes()
    };
    // A hundred batches have several megabytes.
    let (first, last) = (calls(20), calls(100));
    assert!(last <= first + (1 << 20), "{first} bytes, then {last}");
}
