//! The program as the compiler's process: what it stores, how it refuses, and what it may use.

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sluicebox_testkit::components::large;
use sluicebox_wasm::{Bounds, COMPILE_COMMAND, Cache, Compiler, Engine, LoadError, LoadOptions, Module};
use support::{PATIENCE, binary};
use tempfile::TempDir;

fn component() -> Vec<u8> {
    let built = std::env::var_os("SLUICEBOX_MODULES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/modules"), PathBuf::from);
    let path = built.join("json-lines.wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask modules --all`", path.display()))
}

/// With patience: its priority is low, and others may be busy.
fn compiler() -> Compiler {
    Compiler { program: binary().to_owned(), memory_bytes: 512 << 20, deadline: Duration::from_mins(30) }
}

fn load(bytes: &[u8], folder: &TempDir, compiler: &Compiler) -> Result<Module, LoadError> {
    let cache = Cache::open(&folder.path().join("modules"), Bounds::default()).unwrap();
    let options = LoadOptions { cache: Some(&cache), compiler: Some(compiler), ..LoadOptions::default() };
    Module::load(&Engine::new().unwrap(), "m", bytes, &options)
}

fn start(directory: &Path) -> Child {
    let mut command = Command::new(binary());
    command.arg(COMPILE_COMMAND).arg(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs it by hand: the exit code and what it said.
fn compile(component: &[u8], directory: &Path) -> (Option<i32>, String) {
    let mut child = start(directory);
    // It may end before it has read everything.
    let _ended = child.stdin.take().unwrap().write_all(component);
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    (child.wait().unwrap().code(), words)
}

#[test]
fn what_it_stores_is_loaded() {
    let folder = TempDir::new().unwrap();
    let directory = folder.path().join("modules");
    assert_eq!(compile(&component(), &directory), (Some(0), String::new()));
    // No compiler is needed any more.
    load(&component(), &folder, &Compiler { program: "/does/not/exist".into(), ..compiler() }).unwrap();
    assert_eq!(fs::read_dir(directory).unwrap().count(), 1);
}

#[test]
fn a_module_is_compiled_by_it_and_loaded() {
    let folder = TempDir::new().unwrap();
    let grown = large(&component(), 512 << 10);
    let module = load(&grown, &folder, &compiler()).unwrap();
    let small = load(&component(), &folder, &compiler()).unwrap();
    assert_eq!(module.handlers(), small.handlers());
    assert_eq!(module.describe().exports, small.describe().exports);
    let code = |bytes: &[u8]| {
        let folder = TempDir::new().unwrap();
        compile(bytes, folder.path());
        let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
        file.metadata().unwrap().len()
    };
    assert!(code(&grown) > code(&component()) + (512 << 10), "the part that nobody calls is compiled, too");
}

#[test]
fn without_a_directory_its_code_lies_in_memory() {
    let load = |compiler: &Compiler, component: &[u8]| {
        let options = LoadOptions { compiler: Some(compiler), ..LoadOptions::default() };
        Module::load(&Engine::new().unwrap(), "m", component, &options)
    };
    load(&compiler(), &component()).unwrap();
    // Within the same limits as with one.
    let poor = Compiler { memory_bytes: 32 << 20, ..compiler() };
    let error = load(&poor, &large(&component(), 4 << 20)).unwrap_err();
    assert_eq!(error.refusal.to_string(), "compiling needed more than 32 MiB");
}

#[test]
fn code_that_does_not_fit_into_the_cache_lies_in_memory() {
    let folder = TempDir::new().unwrap();
    let cache = Cache::open(folder.path(), Bounds { bytes: 1000, ..Bounds::default() }).unwrap();
    let compiler = compiler();
    let options = LoadOptions { cache: Some(&cache), compiler: Some(&compiler), ..LoadOptions::default() };
    Module::load(&Engine::new().unwrap(), "m", &component(), &options).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn garbage_is_refused_with_a_reason() {
    let folder = TempDir::new().unwrap();
    assert_eq!(compile(b"garbage", folder.path()), (Some(3), "it is not WebAssembly\n".to_owned()));
    let mut damaged = component();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let (code, words) = compile(&damaged, folder.path());
    assert_eq!(code, Some(3), "{words}");
    assert!(!words.trim().is_empty());
    // The collector says it in its own words.
    let refusal = load(&damaged, &folder, &compiler()).unwrap_err().refusal;
    assert_eq!(refusal.to_string(), format!("it does not compile: {}", words.trim()));
}

#[test]
fn code_that_cannot_be_written_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (code, words) = compile(&component(), file.path());
    assert_eq!(code, Some(4));
    assert!(words.contains("it is a link, or no directory"), "{words}");
}

#[test]
fn a_component_larger_than_announced_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(binary());
    command.args([COMPILE_COMMAND, "--component-bytes=4"]).arg(folder.path()).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"12345").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "the component has more than 4 bytes\n");
}

#[test]
fn one_that_needs_more_memory_than_it_may_is_refused_and_the_collector_lives() {
    let folder = TempDir::new().unwrap();
    let grown = large(&component(), 4 << 20);
    let error = load(&grown, &folder, &Compiler { memory_bytes: 32 << 20, ..compiler() }).unwrap_err();
    assert_eq!(error.refusal.to_string(), "compiling needed more than 32 MiB");
    load(&component(), &folder, &Compiler { memory_bytes: 64 << 20, ..compiler() }).unwrap();
}

#[test]
fn one_that_needs_more_time_than_it_may_is_refused_and_the_collector_lives() {
    let folder = TempDir::new().unwrap();
    let grown = large(&component(), 8 << 20);
    let error = load(&grown, &folder, &Compiler { deadline: Duration::from_millis(100), ..compiler() }).unwrap_err();
    assert_eq!(error.refusal.to_string(), "compiling took longer than 100ms");
    load(&component(), &folder, &compiler()).unwrap();
}

#[test]
fn it_has_low_priority_and_is_the_first_to_go_and_leaves_no_core() {
    let folder = TempDir::new().unwrap();
    let mut child = start(folder.path());
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let read = |name: &str| fs::read_to_string(process.join(name)).unwrap();
    // It limits itself before it reads, and then waits for us.
    let begin = Instant::now();
    while !limit(&read("limits"), "Max data size").contains("536870912") {
        assert!(begin.elapsed() < PATIENCE, "{}", read("limits"));
        std::thread::yield_now();
    }
    assert_eq!(nice(&read("stat")), "19");
    assert_eq!(read("oom_score_adj").trim(), "1000");
    let limits = read("limits");
    assert!(limit(&limits, "Max core file size").contains(" 0 "), "{limits}");
    assert!(limit(&limits, "Max cpu time").contains(" 61 "), "{limits}");

    // Still so when it has compiled: until it is waited for its number stays.
    let stdin = child.stdin.take().unwrap();
    { stdin }.write_all(&component()).unwrap();
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert_eq!(nice(&read("stat")), "19", "{words}");
    assert!(child.wait().unwrap().success());
}

fn limit<'a>(limits: &'a str, name: &str) -> &'a str {
    limits.lines().find(|line| line.starts_with(name)).unwrap_or_default()
}

/// The 19th field; the second is the name in brackets.
fn nice(status: &str) -> &str {
    let (_, rest) = status.rsplit_once(") ").unwrap();
    rest.split(' ').nth(16).unwrap()
}

#[test]
fn it_ends_with_the_collector() {
    let folder = TempDir::new().unwrap();
    // The shell stands for the collector: it tells its child's number and is then killed. The pipe stays open, so that waiting for
    // more to read is no reason to end.
    let script =
        format!("exec 3<&0; '{}' {COMPILE_COMMAND} '{}' <&3 & echo $!; wait", binary().display(), folder.path().display());
    let mut command = Command::new("sh");
    let mut shell = command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let _open = shell.stdin.take();
    let mut number = String::new();
    let mut stdout = shell.stdout.take().unwrap();
    while !number.ends_with('\n') {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        number.push(char::from(byte[0]));
    }
    let process = PathBuf::from(format!("/proc/{}", number.trim()));
    let begin = Instant::now();
    while !limit(&fs::read_to_string(process.join("limits")).unwrap(), "Max data size").contains("536870912") {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    shell.kill().unwrap();
    shell.wait().unwrap();
    // Nobody may reap it, so that a number may be left of it.
    while fs::read_to_string(process.join("stat")).is_ok_and(|status| !status.contains(") Z ")) {
        assert!(begin.elapsed() < PATIENCE, "it still runs");
        std::thread::yield_now();
    }
}

#[test]
fn it_is_not_shown_to_people() {
    let help = support::sluicebox(&["--help"]);
    assert!(!String::from_utf8(help.stdout).unwrap().contains(COMPILE_COMMAND));
}
