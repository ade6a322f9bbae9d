//! Files that are no modules: each is refused with what it is and what would cure it, before any of its code runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::io::Write as _;
use std::time::Duration;

use sluicebox_contract::{Class, Fault, Shaper as _};
use sluicebox_wasm::{Engine, Limits, LoadError, LoadOptions, Module, Refusal, WasmShaper};
use support::{assert_says, component, context};

fn refused(bytes: &[u8]) -> LoadError {
    Module::load(&Engine::new().unwrap(), "m", bytes, &LoadOptions::default()).unwrap_err()
}

fn refused_text(text: &str) -> LoadError {
    refused(&wat::parse_str(text).unwrap())
}

/// A component that exports a function `start` without parameters under this name.
fn exporting(name: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m (func (export "s")))
            (core instance $i (instantiate $m))
            (func $s (canon lift (core func $i "s")))
            (instance $l (export "start" (func $s)))
            (export "{name}" (instance $l)))"#
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn unknown_imports_are_refused_with_the_list() {
    let error = refused_text(
        r#"(component
            (import "wasi:filesystem/types@0.2.6" (instance))
            (import "wasi:cli/environment@0.2.6" (instance (export "get" (func))))
            (import "sluicebox:module/log@0.1.0" (instance)))"#,
    );
    // An interface without functions of another package is as foreign as any.
    assert_eq!(
        error.to_string(),
        "cannot load module `m`: it imports wasi:filesystem/types@0.2.6, wasi:cli/environment@0.2.6; granted: sluicebox:module/log \
         (hint: no module is given WASI: a Rust module built for wasm32-unknown-unknown imports no WASI; for other languages stub WASI when building)"
    );
}

#[test]
fn a_function_of_our_package_that_is_not_granted_is_refused() {
    let error = refused_text(r#"(component (import "sluicebox:module/types@0.2.0" (instance (export "f" (func)))))"#);
    assert!(
        matches!(&error.refusal, Refusal::NotGranted { wanted, .. } if wanted == &["sluicebox:module/types@0.2.0"]),
        "{error}"
    );
}

#[test]
fn another_function_in_log_is_refused() {
    for version in ["0.1.0", "0.2.0"] {
        let text = format!(r#"(component (import "sluicebox:module/log@{version}" (instance (export "shout" (func)))))"#);
        assert_says(&Fault::from(refused_text(&text)), &["does not fit this host", "shout"]);
    }
}

#[test]
fn another_version_of_the_package_is_refused_with_the_range() {
    for found in ["0.3.0", "0.0.9", "0.2.0-rc.1", "1.2.0"] {
        let error = refused(&exporting(&format!("sluicebox:module/lifecycle@{found}")));
        let text = format!("cannot load module `m`: it is made for sluicebox:module {found}; this host accepts 0.2.x and 0.1.x");
        assert!(error.to_string().starts_with(&text), "{error}");
    }
    let error = refused_text(r#"(component (import "sluicebox:module/log@1.0.0" (instance)))"#);
    assert!(matches!(&error.refusal, Refusal::OtherVersion { found } if found == "1.0.0"), "{error}");
}

#[test]
fn two_minor_versions_in_one_component_are_refused() {
    let error = refused_text(
        r#"(component
            (import "sluicebox:module/log@0.1.0" (instance))
            (import "sluicebox:module/types@0.2.0" (instance)))"#,
    );
    assert_says(
        &error.into(),
        &["it is made partly for sluicebox:module 0.1.0 and partly for 0.2.0", "with one version of the SDK"],
    );
}

#[test]
fn any_patch_of_the_package_is_looked_at() {
    for version in ["0.1.9", "0.2.9"] {
        let error = refused(&exporting(&format!("sluicebox:module/lifecycle@{version}")));
        assert_says(&error.into(), &["lifecycle.start differs from sluicebox:module"]);
    }
}

#[test]
fn an_export_of_another_type_is_refused() {
    for version in ["0.1.0", "0.2.0"] {
        let error = refused(&exporting(&format!("sluicebox:module/lifecycle@{version}")));
        assert_says(&error.into(), &["what it exports as lifecycle.start differs from sluicebox:module"]);
    }
}

#[test]
fn a_module_made_for_0_1_is_not_taken_for_one_of_today_with_its_version_changed() {
    // The context has another type since then.
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/0.1.0/json-lines.wasm");
    let error = refused(&support::renamed(&std::fs::read(fixture).unwrap(), "0.1.0", "0.2.0"));
    assert_says(&error.into(), &["lifecycle.start differs from sluicebox:module", "record"]);
}

#[test]
fn a_component_that_is_no_module_is_refused() {
    let error = refused_text("(component)");
    assert_says(&error.into(), &["does not export sluicebox:module/lifecycle; it exports nothing"]);
    let error = refused(&exporting("wasi:cli/run@0.2.0"));
    assert_says(&error.into(), &["does not export sluicebox:module/lifecycle; it exports wasi:cli/run@0.2.0"]);
}

#[test]
fn a_core_module_is_refused() {
    let error = refused_text("(module)");
    assert_says(&error.into(), &["it is a core WebAssembly module, not a component", "wasm-tools component new"]);
}

#[test]
fn what_is_not_wasm_is_refused() {
    assert_says(&refused(b"#!/bin/sh").into(), &["it is not WebAssembly", "wasm-component-ld"]);
    assert_says(&refused(b"").into(), &["the file is empty"]);
    assert_says(&refused(b"(component)").into(), &["it is WebAssembly as text"]);
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let whole = component("hostile");
    let engine = Engine::new().unwrap();
    for length in (0..whole.len()).step_by(whole.len() / 50) {
        let error = Module::load(&engine, "m", &whole[..length], &LoadOptions::default()).unwrap_err();
        assert!(!matches!(error.refusal, Refusal::NotGranted { .. } | Refusal::OtherVersion { .. }), "{length}: {error}");
    }
    assert_says(&refused(&whole[..whole.len() - 1]).into(), &["it is truncated: it ends after", "copy the file again"]);
}

#[test]
fn a_damaged_file_is_refused_or_still_a_module() {
    // Whatever the damage: an answer, never a crash.
    let whole = component("hostile");
    let engine = Engine::new().unwrap();
    for place in (8..whole.len().min(40_000)).step_by(4_001) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        if let Err(error) = Module::load(&engine, "m", &damaged, &LoadOptions::default()) {
            assert!(error.to_string().starts_with("cannot load module `m`: "), "{error}");
        }
    }
}

#[test]
fn a_component_that_is_too_large_is_refused() {
    let whole = component("hostile");
    let options = LoadOptions { component_bytes: 100 * 1024, ..LoadOptions::default() };
    let error = Module::load(&Engine::new().unwrap(), "m", &whole, &options).unwrap_err();
    assert_says(&error.into(), &["more than the 100 KiB that a component may have"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let engine = Engine::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.wasm");
    let error = Module::load_file(&engine, "m", &missing, &LoadOptions::default()).unwrap_err();
    assert_says(&error.into(), &["cannot read ", "missing.wasm", "No such file"]);
    let error = Module::load_file(&engine, "m", folder.path(), &LoadOptions::default()).unwrap_err();
    assert_says(&error.into(), &["it is no regular file"]);

    let mut large = tempfile::NamedTempFile::new().unwrap();
    large.write_all(&vec![0; 300 * 1024]).unwrap();
    let options = LoadOptions { component_bytes: 1024, ..LoadOptions::default() };
    let error = Module::load_file(&engine, "m", large.path(), &options).unwrap_err();
    assert_says(&error.into(), &["it has 300 KiB, more than the 1024 bytes"]);
}

#[test]
fn a_refusal_is_fatal_for_the_lane_that_was_configured_with_it() {
    assert_eq!(Fault::from(refused(b"")).class, Class::Fatal);
}

#[test]
fn a_module_says_what_it_is() {
    let bytes = component("hostile");
    let module = Module::load(&Engine::new().unwrap(), "hostile", &bytes, &LoadOptions::default()).unwrap();
    let description = module.describe();
    assert_eq!(description.bytes, bytes.len());
    assert_eq!(description.package_version, "0.2.0");
    assert_eq!(description.digest.len(), 64);
    assert_eq!(module.version(), &description.digest[..12]);
    assert!(description.exports.iter().any(|name| name == "sluicebox:module/pod-handler@0.2.0"));
    assert!(description.imports.iter().all(|name| name.starts_with("sluicebox:module/")));
    assert!(description.handlers.pods && description.handlers.objects && description.handlers.subjects && description.state);
    assert_eq!(module.name(), "hostile");
}

#[test]
fn the_author_s_version_stands_before_the_digest() {
    let mut bytes = component("hostile");
    bytes.extend(b"\0\x0d\x07version1.2.3");
    let module = Module::load(&Engine::new().unwrap(), "hostile", &bytes, &LoadOptions::default()).unwrap();
    assert_eq!(module.version(), format!("1.2.3+{}", &module.describe().digest[..12]));
}

/// Appends a core module whose start function never returns, and an instance of it.
fn spinning_while_it_is_made() -> Vec<u8> {
    let core = wat::parse_str("(module (func $spin (loop br 0)) (start $spin))").unwrap();
    let mut bytes = component("hostile");
    let modules = core_modules(&bytes);
    bytes.push(1);
    bytes.push(u8::try_from(core.len()).unwrap());
    bytes.extend(&core);
    // A section of core instances: one, instantiated from that module, with no arguments.
    bytes.extend([2, 4, 1, 0, modules, 0]);
    bytes
}

/// Each core module of a component is a section of its own.
fn core_modules(component: &[u8]) -> u8 {
    let (mut place, mut modules) = (8, 0);
    while let Some(kind) = component.get(place) {
        modules += u8::from(*kind == 1);
        let (mut size, mut shift) = (0_usize, 0);
        loop {
            place += 1;
            size |= usize::from(component[place] & 0x7f) << shift;
            shift += 7;
            if component[place] & 0x80 == 0 {
                break;
            }
        }
        place += 1 + size;
    }
    modules
}

#[test]
fn a_module_that_spins_while_it_is_made_meets_the_start_deadline() {
    let engine = Engine::new().unwrap();
    let module = Module::load(&engine, "spinning", &spinning_while_it_is_made(), &LoadOptions::default()).unwrap();
    let limits = Limits { start_deadline: Duration::from_millis(100), ..Limits::default() };
    let fault = WasmShaper::new(module, "{}".to_owned(), context(), limits).renew().unwrap_err();
    assert_eq!(fault.class, Class::Replace);
    assert_says(&fault, &["cannot call instantiate of module `spinning`", "deadline of 100ms"]);
}

#[test]
fn a_module_that_begins_with_too_much_memory_meets_the_memory_limit() {
    let engine = Engine::new().unwrap();
    let limits = Limits { memory_bytes: 64 * 1024, ..Limits::default() };
    let fault = WasmShaper::new(support::load(&engine, "hostile"), "{}".to_owned(), context(), limits).renew().unwrap_err();
    assert_says(&fault, &["cannot call instantiate", "memory limit of 64 KiB was reached"]);
}
