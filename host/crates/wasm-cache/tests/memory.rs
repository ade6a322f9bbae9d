//! Code that lies in memory: what was written whole runs, and nobody can change what runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{ErrorKind, Seek as _, SeekFrom, Write as _};

use sluicebox_wasm_cache::{CacheError, MemoryFile, write_code};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

fn engine() -> Engine {
    Engine::new(&Config::new()).unwrap()
}

fn code(engine: &Engine) -> Vec<u8> {
    Component::from_binary(engine, &wat::parse_str("(component)").unwrap()).unwrap().serialize().unwrap()
}

#[test]
fn what_was_written_is_loaded_and_cannot_be_changed_any_more() {
    let engine = engine();
    let memory = MemoryFile::new().unwrap();
    let mut writer = File::from(memory.writer().unwrap());
    write_code(&code(&engine), &writer).unwrap();
    let component = memory.load(&engine).unwrap();
    writer.seek(SeekFrom::Start(0)).unwrap();
    assert_eq!(writer.write(b"evil").unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(writer.set_len(0).unwrap_err().kind(), ErrorKind::PermissionDenied);
    drop(component);
}

#[test]
fn what_is_not_whole_never_runs() {
    let engine = engine();
    let mut written = Vec::new();
    write_code(&code(&engine), &mut written).unwrap();
    let mut changed = written.clone();
    changed[written.len() / 2] ^= 1;
    for content in [&changed[..], &written[1..], &written[..written.len() - 1], &[], &[0; 32]] {
        let memory = MemoryFile::new().unwrap();
        File::from(memory.writer().unwrap()).write_all(content).unwrap();
        match memory.load(&engine) {
            Err(CacheError::Damaged { .. }) => {}
            other => panic!("{:?}", other.map(|_| ())),
        }
    }
}

#[test]
fn code_of_another_engine_never_runs() {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let other = Engine::new(&config).unwrap();
    let memory = MemoryFile::new().unwrap();
    write_code(&code(&other), File::from(memory.writer().unwrap())).unwrap();
    assert!(matches!(memory.load(&engine()), Err(CacheError::Damaged { .. })));
}
