//! Which files are read as components, and how much of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;

use sluicebox_wasm::{Engine, LoadOptions, Module, Refusal, digest, read_component};

#[track_caller]
fn refused(path: &Path) -> String {
    let error = read_component("m", path, 1024).unwrap_err();
    assert_eq!(error.module, "m");
    error.refusal.to_string()
}

#[test]
fn a_file_is_read_whole_and_takes_no_more_memory_than_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("component");
    for length in [0, 1, 1023, 1024] {
        fs::write(&path, vec![7; length]).unwrap();
        let bytes = read_component("m", &path, 1024).unwrap();
        assert_eq!((bytes.len(), bytes.capacity()), (length, length));
    }
}

#[test]
fn a_larger_file_is_refused_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("component");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(refused(&path), "it has 1048576 MiB, more than the 1024 bytes that a component may have");
}

#[test]
fn a_file_that_says_no_size_is_read_up_to_the_limit() {
    // Files of /proc have 0 bytes until they are read.
    assert!(!read_component("m", Path::new("/proc/self/stat"), 1 << 20).unwrap().is_empty());
    let error = read_component("m", Path::new("/proc/self/stat"), 10).unwrap_err();
    assert!(matches!(error.refusal, Refusal::TooLarge { bytes: 11, limit: 10 }), "{error}");
}

#[test]
fn a_pipe_a_device_and_a_folder_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    for path in [pipe.as_path(), &link, folder.path(), Path::new("/dev/zero"), Path::new("/dev/tty")] {
        let text = refused(path);
        assert!(text.starts_with(&format!("cannot read {}: ", path.display())), "{text}");
    }
}

#[test]
fn the_digest_is_the_one_that_the_module_is_described_with() {
    let bytes = support::component("hostile");
    let module = Module::load(&Engine::new().unwrap(), "m", &bytes, &LoadOptions::default()).unwrap();
    assert_eq!(digest(&bytes), module.describe().digest);
    assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
