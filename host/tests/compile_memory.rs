//! What loading a module leaves in the collector's memory when a process of its own compiles it, and when it compiles itself.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sluicebox_testkit::components::large;
use sluicebox_wasm::{Bounds, Cache, Compiler, Engine, LoadOptions, Module, digest, read_component};
use support::binary;
use tempfile::TempDir;

/// Tells this program that it is the one that is measured: which component it shall load.
const COMPONENT: &str = "SLUICEBOX_TEST_COMPONENT";
/// And which way.
const ELSEWHERE: &str = "SLUICEBOX_TEST_ELSEWHERE";

#[test]
fn a_module_of_2_mib_leaves_less_than_3_mib() {
    if let Some(path) = std::env::var_os(COMPONENT) {
        return measured(Path::new(&path));
    }
    let built = std::env::var_os("SLUICEBOX_MODULES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/modules"), PathBuf::from);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("large.wasm");
    std::fs::write(&path, large(&std::fs::read(built.join("json-lines.wasm")).unwrap(), 2 << 20)).unwrap();

    let (all, own) = measure(&path, true);
    let (all_here, own_here) = measure(&path, false);
    println!("compiled elsewhere: {all} kB, {own} kB of them no file; here: {all_here} kB, {own_here} kB");
    assert!(own < 3 << 10, "{own} kB");
    // Pages of the program itself are counted as well, when it needs them for the first time.
    assert!(all < 5 << 10, "{all} kB");
    assert!(own_here > 4 * own, "compiling here leaves {own_here} kB, elsewhere {own} kB");
}

/// In a process that has done nothing before: what was freed would be taken again.
fn measure(path: &Path, elsewhere: bool) -> (i64, i64) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--nocapture", "--exact", "a_module_of_2_mib_leaves_less_than_3_mib"]).env(COMPONENT, path);
    if elsewhere {
        command.env(ELSEWHERE, "yes");
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.split_once("measured: ").unwrap_or_else(|| panic!("{text}")).1;
    let mut numbers = words.split_whitespace().map_while(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn measured(path: &Path) {
    let engine = Engine::new().unwrap();
    let folder = TempDir::new().unwrap();
    let cache = Cache::open(&folder.path().join("modules"), Bounds::default()).unwrap();
    let compiler = Compiler { program: binary().to_owned(), memory_bytes: 512 << 20, deadline: Duration::from_mins(30) };
    let options = match std::env::var_os(ELSEWHERE) {
        Some(_) => LoadOptions { cache: Some(&cache), compiler: Some(&compiler), ..LoadOptions::default() },
        None => LoadOptions::default(),
    };
    let before = memory();
    let module = Module::load_file(&engine, "m", path, &options).unwrap();
    // As when the file changes and changes.
    for _ in 0..3 {
        assert_eq!(digest(&read_component("m", path, 4 << 20).unwrap()), module.describe().digest);
    }
    let after = memory();
    println!("measured: {} {} kB", after.0 - before.0, after.1 - before.1);
    drop(module);
}

/// All that is resident, and what of it is no file, in kB.
fn memory() -> (i64, i64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<i64>().unwrap()
    };
    (field("VmRSS:"), field("RssAnon:"))
}
