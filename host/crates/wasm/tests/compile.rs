//! What the collector does about a process that should compile and does not: it lives, it is not late, and it says why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sluicebox_wasm::{Bounds, Cache, CompileError, Compiler, Engine, LoadError, LoadOptions, Module, Refusal};
use support::{component, logged};
use tempfile::TempDir;

/// Longer than anything here takes, shorter than what hangs.
const PATIENCE: Duration = Duration::from_mins(1);

struct Place {
    folder: TempDir,
    cache: Cache,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("modules"), Bounds::default()).unwrap();
        Self { folder, cache }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("modules")
    }

    fn load(&self, compiler: &Compiler) -> Result<Module, LoadError> {
        self.load_by(&Engine::new().unwrap(), compiler)
    }

    fn load_by(&self, engine: &Engine, compiler: &Compiler) -> Result<Module, LoadError> {
        let options = LoadOptions { cache: Some(&self.cache), compiler: Some(compiler), ..LoadOptions::default() };
        Module::load(engine, "m", &component("hostile"), &options)
    }

    /// Why this compiler's work is of no use.
    #[track_caller]
    fn refusal(&self, compiler: &Compiler) -> Refusal {
        let begin = Instant::now();
        let refusal = self.load(compiler).unwrap_err().refusal;
        assert!(begin.elapsed() < PATIENCE, "it took {:?}", begin.elapsed());
        refusal
    }
}

fn compiler(name: &str) -> Compiler {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compilers").join(name);
    Compiler { program, memory_bytes: 512 << 20, deadline: 2 * PATIENCE }
}

fn hurried(name: &str) -> Compiler {
    Compiler { deadline: Duration::from_millis(300), ..compiler(name) }
}

#[test]
fn one_that_hangs_is_killed_at_the_deadline_with_all_that_it_started() {
    let place = Place::new();
    let refusal = place.refusal(&Compiler { deadline: Duration::from_secs(5), ..compiler("hangs") });
    assert_eq!(refusal.to_string(), "compiling took longer than 5s");
    assert_eq!(refusal.hint(), "give the compiler more time, or the module less code: build it optimized");
    let numbers = fs::read_to_string(place.path().join("numbers")).unwrap();
    for number in numbers.split_whitespace() {
        let begin = Instant::now();
        while runs(number) {
            assert!(begin.elapsed() < PATIENCE, "{number} still runs");
            std::thread::yield_now();
        }
    }
    assert_eq!(numbers.split_whitespace().count(), 2);
}

/// Who nobody reaps is no more than a number.
fn runs(number: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn one_that_dies_is_named_with_its_signal() {
    let refusal = Place::new().refusal(&compiler("dies"));
    assert_eq!(refusal.to_string(), "the compiler ended with signal 11: about to fall");
}

#[test]
fn one_that_lacks_memory_names_the_limit() {
    let refusal = Place::new().refusal(&compiler("lacks-memory"));
    assert_eq!(refusal.to_string(), "compiling needed more than 512 MiB");
}

#[test]
fn one_that_floods_its_standard_error_is_named_with_its_last_words() {
    let refusal = Place::new().refusal(&compiler("floods"));
    let text = refusal.to_string();
    assert!(text.starts_with("the compiler ended with code 7: "), "{text}");
    assert!(text.ends_with(" the last words") && text.len() < 1000, "{text}");
}

#[test]
fn one_that_never_stops_talking_is_killed_at_the_deadline() {
    let refusal = Place::new().refusal(&hurried("floods-for-ever"));
    assert_eq!(refusal.to_string(), "compiling took longer than 300ms");
}

#[test]
fn one_that_pretends_is_found_out() {
    let place = Place::new();
    let refusal = place.refusal(&compiler("pretends"));
    let expected = format!("it is compiled, but cannot be taken from {}: it is not there", place.path().display());
    assert_eq!(refusal.to_string(), expected);
}

#[test]
fn one_that_refuses_without_reading_gives_the_reason() {
    let refusal = Place::new().refusal(&compiler("refuses"));
    assert!(matches!(&refusal, Refusal::Invalid { cause } if cause == "there is no such instruction"), "{refusal:?}");
}

#[test]
fn one_that_leaves_somebody_behind_is_not_waited_for() {
    let refusal = Place::new().refusal(&compiler("leaves-somebody"));
    assert_eq!(refusal.to_string(), "the compiler ended with code 9");
}

#[test]
fn one_that_is_not_there_is_named() {
    let refusal = Place::new().refusal(&compiler("nowhere"));
    let text = refusal.to_string();
    assert!(text.starts_with("cannot run the compiler ") && text.contains("nowhere: No such file"), "{text}");
}

#[test]
fn where_code_cannot_be_kept_it_is_compiled_into_memory_after_a_warning() {
    let place = Place::new();
    let lines = logged(|| {
        // It has no room there either, which is told.
        let refusal = place.refusal(&compiler("cannot-store"));
        assert_eq!(refusal.to_string(), "it is compiled, but cannot be kept: no space left on device: memory");
    });
    let warning = |words: &str| lines.iter().any(|line| line.contains("WARN") && line.contains(words));
    assert!(warning("the compiled module is not kept") && warning("no space left on device: cache"), "{lines:?}");
}

#[test]
fn without_a_directory_it_is_another_process_that_compiles_too() {
    let without_directory = |name: &str| {
        let compiler = compiler(name);
        let options = LoadOptions { compiler: Some(&compiler), ..LoadOptions::default() };
        Module::load(&Engine::new().unwrap(), "m", &component("hostile"), &options).unwrap_err().refusal.to_string()
    };
    assert_eq!(without_directory("refuses"), "it does not compile: there is no such instruction");
    let pretended = without_directory("pretends");
    assert!(pretended.starts_with("it is compiled, but cannot be kept: ") && pretended.contains("the digest"), "{pretended}");
}

#[test]
fn what_the_cache_has_needs_no_compiler() {
    let place = Place::new();
    let engine = Engine::new().unwrap();
    let options = LoadOptions { cache: Some(&place.cache), ..LoadOptions::default() };
    Module::load(&engine, "m", &component("hostile"), &options).unwrap();
    place.load(&compiler("nowhere")).unwrap();
}

#[test]
fn what_is_no_component_is_refused_before_a_compiler_is_started() {
    let place = Place::new();
    let compiler = compiler("nowhere");
    let options = LoadOptions { cache: Some(&place.cache), compiler: Some(&compiler), ..LoadOptions::default() };
    let error = Module::load(&Engine::new().unwrap(), "m", b"garbage", &options).unwrap_err();
    assert!(matches!(error.refusal, Refusal::NotAComponent { .. }), "{error}");
}

#[test]
fn one_engine_compiles_one_module_at_a_time() {
    let (place, engine, compiler) = (Place::new(), Engine::new().unwrap(), compiler("takes-turns"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let refusal = place.load_by(&engine, &compiler).unwrap_err().refusal;
                assert_eq!(refusal.to_string(), "it does not compile: alone");
            });
        }
    });
}

#[test]
fn the_process_is_given_the_component_and_its_limits_and_no_environment() {
    let place = Place::new();
    let Refusal::Invalid { cause } = place.refusal(&compiler("tells")) else { panic!("it refuses") };
    let bytes = component("hostile").len();
    let expected = format!(
        "{bytes}\\narguments: compile-module --memory-bytes=536870912 --seconds=121 --component-bytes={bytes} \
         --cache-bytes=134217728 --cache-files=64 -- {}",
        place.path().display()
    );
    assert_eq!(cause, expected);
}

#[test]
fn a_directory_that_disappears_meanwhile_is_made_again() {
    let place = Place::new();
    fs::remove_dir_all(place.path()).unwrap();
    let refusal = place.refusal(&compiler("pretends"));
    assert!(matches!(refusal, Refusal::NotCompiled(CompileError::Missing { .. })), "{refusal}");
    assert!(place.path().is_dir());
}
