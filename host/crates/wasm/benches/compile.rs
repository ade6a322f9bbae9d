//! What compiling costs, and what it leaves behind in the collector: by a process of its own, and in the collector itself. Run by
//! `cargo bench -p sluicebox-wasm --bench compile`.

#![allow(missing_docs, reason = "a program")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "it measures, prints its figures, and fails by panicking"
)]

#[path = "../../testkit/src/components.rs"]
#[allow(unreachable_pub, unused_imports, reason = "it belongs to the test kit, and so do its tests")]
mod components;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sluicebox_wasm::{Bounds, COMPILE_COMMAND, COMPONENT_BYTES, Cache, CompileTask, Compiler, Engine, LoadOptions, Module};

/// Sizes of components, in bytes.
const SIZES: [usize; 3] = [200 << 10, 2 << 20, 8 << 20];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [_, COMPILE_COMMAND, ..] => compile(&words),
        [_, way @ ("elsewhere" | "here"), size] => measure(way, size.parse().expect("a size")),
        // Each in a process of its own, so that none finds memory that another one has left.
        _ => each(),
    }
}

fn each() {
    println!("{:<28} {:>9} {:>12} {:>12} {:>12}   compiler's peak", "loaded", "seconds", "again (ms)", "RSS (kB)", "anonymous");
    for size in SIZES {
        for way in ["elsewhere", "here"] {
            let program = std::env::current_exe().expect("this program");
            let status = std::process::Command::new(program).args([way, &size.to_string()]).status();
            assert!(status.expect("it starts").success());
        }
    }
}

/// What the collector would do.
fn measure(way: &str, size: usize) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let cache = Cache::open(&folder.path().join("modules"), Bounds::default()).expect("a cache");
    let compiler = Compiler::this_program(512 << 20, Duration::from_mins(5));
    let compiler = (way == "elsewhere").then_some(&compiler);
    let options = LoadOptions { cache: Some(&cache), compiler, ..LoadOptions::default() };
    let path = folder.path().join("component.wasm");
    std::fs::write(&path, components::large(&support::component("hostile"), size)).expect("a file");
    let engine = Engine::new().expect("an engine");
    let load = || Module::load_file(&engine, "m", &path, &options).expect("a module");

    let before = memory();
    let begin = Instant::now();
    let module = load();
    let first = begin.elapsed();
    let after = memory();
    let begin = Instant::now();
    let again = load();
    let second = begin.elapsed();
    let peak = std::fs::read_to_string(cache.path().join("peak")).unwrap_or_default();
    println!(
        "{:<28} {:>9.2} {:>12.1} {:>+12} {:>+12}   {}",
        format!("{} KiB, {way}", size >> 10),
        first.as_secs_f64(),
        second.as_secs_f64() * 1000.0,
        after.0 - before.0,
        after.1 - before.1,
        peak.trim(),
    );
    drop((module, again));
}

/// As the program does it.
fn compile(arguments: &[&str]) {
    let option = |name: &str| {
        let found = arguments.iter().find_map(|argument| argument.strip_prefix(&format!("--{name}=")));
        found.and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    let directory = PathBuf::from(arguments.last().expect("a directory"));
    let task = CompileTask {
        directory: Some(directory.clone()),
        bounds: Bounds::default(),
        component_bytes: COMPONENT_BYTES,
        memory_bytes: option("memory-bytes"),
        time: Duration::from_secs(option("seconds")),
    };
    task.run(std::io::stdin().lock(), std::io::sink()).expect("it compiles");
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let lines = status.lines().filter(|line| ["VmHWM", "VmPeak", "VmData"].iter().any(|name| line.starts_with(name)));
    let peak: Vec<String> = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    std::fs::write(directory.join("peak"), peak.join(", ")).expect("a file");
}

/// All that is resident, and what of it is no file, in kB.
fn memory() -> (i64, i64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    (field("VmRSS:"), field("RssAnon:"))
}
