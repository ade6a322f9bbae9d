//! The cache as a module sees it: compiled once, and trouble costs time but never the module.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use sluicebox_contract::Shaper as _;
use sluicebox_wasm::{Bounds, Cache, Engine, Limits, LoadOptions, Module, WasmShaper};
use support::{answer, component, context, logged, named};

fn works(module: Module) {
    let mut shaper = WasmShaper::new(module, "{}".to_owned(), context(), Limits::default());
    shaper.renew().unwrap();
    assert_eq!(shaper.shape(&[named("a")]).unwrap(), [answer(1, "a")]);
}

fn load(engine: &Engine, cache: &Cache) -> Module {
    Module::load(engine, "hostile", &component("hostile"), &LoadOptions { cache: Some(cache), ..LoadOptions::default() }).unwrap()
}

#[test]
fn a_module_is_compiled_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("modules");
    let cache = Cache::open(&path, Bounds::default()).unwrap();
    works(load(&Engine::new().unwrap(), &cache));
    let files = || std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let first = files();
    assert_eq!(first.len(), 1);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::metadata(&first[0]).unwrap().permissions().mode() & 0o777, 0o600);

    // Another engine, as after a restart: what is mapped runs, and nothing is written.
    let written = std::fs::metadata(&first[0]).unwrap().len();
    let lines = logged(|| works(load(&Engine::new().unwrap(), &cache)));
    assert_eq!(files(), first);
    assert_eq!(std::fs::metadata(&first[0]).unwrap().len(), written);
    assert!(!lines.iter().any(|line| line.contains("compiled again")), "{lines:?}");
}

#[test]
fn a_damaged_file_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("modules");
    let cache = Cache::open(&path, Bounds::default()).unwrap();
    let engine = Engine::new().unwrap();
    works(load(&engine, &cache));
    let file = std::fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for damage in [&whole[..whole.len() / 2], &[], &[0; 31], &changed] {
        std::fs::write(&file, damage).unwrap();
        let lines = logged(|| works(load(&engine, &cache)));
        assert!(lines.iter().any(|line| line.contains("compiled again") && line.contains("digest")), "{lines:?}");
        assert_eq!(std::fs::read(&file).unwrap(), whole);
    }
}
