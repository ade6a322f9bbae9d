//! The example of `guest-sdk/examples` does the same in every language: one set of cases for all, run through what each compiles to.
//!
//! `cargo xtask languages` makes the components, and says of which languages the tools cannot be had.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/languages.rs"]
mod languages;

use sluicebox_testkit::servers;
use sluicebox_wasm::Engine;

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
}
