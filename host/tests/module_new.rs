//! `sluicebox module new`, and every command that it names, typed through in an empty folder.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use sluicebox_testkit::api_server::ApiServer;
use support::author::run;
use support::{PATIENCE, Place, SLOW, pending, running, sluicebox, until};

/// Cargo, as a stranger starts it: without what the test's own has set.
fn cargo(folder: &Path, arguments: &[&str]) {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        cargo.env_remove(name);
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author");
    let done = cargo.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", target).output().unwrap();
    assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn a_new_module_is_tested_built_inspected_measured_and_runs() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk").canonicalize().unwrap();
    let place = Place::new();
    let folder = place.path("pod-greeter");
    let path = folder.to_str().unwrap();
    let said = run(&["new", path, "--sdk", sdk.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.error);
    // The versions that this repository has settled on, so that nothing new has to be fetched.
    std::fs::copy(sdk.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    cargo(&folder, &["test"]);
    cargo(&folder, &["build", "--release", "--target", "wasm32-unknown-unknown"]);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author");
    let component = target.join("wasm32-unknown-unknown/release/pod_greeter.wasm");
    let component = component.to_str().unwrap();
    let said = run(&["test", path, "--module", component]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.error);
    assert!(said.out.ends_with("2 cases: 2 as expected\n"), "{}", said.out);
    let said = run(&["inspect", component]);
    assert!(said.out.contains("handles   pods\n"), "{}{}", said.out, said.error);
    let said = run(&["bench", component, "--time", "50ms", "--budget-size", "300KiB", "--budget-memory", "4MiB"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.error);

    let api = ApiServer::start().await.unwrap();
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let configuration = readme.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let configuration = configuration.replace("./target/wasm32-unknown-unknown/release/pod_greeter.wasm", component);
    let mut program = place.run(&place.configure(&api.url(), &configuration));
    program.until_ready(PATIENCE).await.unwrap();
    api.create_pod(pending("web")).unwrap();
    program.until_lines(PATIENCE, |lines| lines == ["welcome shop/web"]).await.unwrap();
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

/// How it panics: a line of its source.
const PANICKING: &str = "Change::Modified => greeting_of_nobody(&[]),";

/// A new module that panics where a pod has changed: its folder and its source.
fn panicking(place: &Place, name: &str) -> (PathBuf, String) {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk").canonicalize().unwrap();
    let folder = place.path(name);
    let said = run(&["new", folder.to_str().unwrap(), "--sdk", sdk.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.error);
    std::fs::copy(sdk.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let source = folder.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    let text = text.replace("Change::Modified => None,", PANICKING);
    let text = format!(
        "{text}\n#[inline(never)]\nfn greeting_of_nobody(names: &[&str]) -> Option<String> {{\n    Some(names[0].to_owned())\n}}\n"
    );
    std::fs::write(&source, &text).unwrap();
    (folder, text)
}

#[test]
fn a_module_that_panics_is_told_with_functions_files_and_lines() {
    let place = Place::new();
    let (folder, text) = panicking(&place, "pod-panicker");
    let line = |part: &str| 1 + text.lines().position(|line| line.contains(part)).unwrap();

    // As it is while one writes it: cargo leaves debug information in.
    cargo(&folder, &["build", "--target", "wasm32-unknown-unknown"]);
    let component = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author/wasm32-unknown-unknown/debug/pod_panicker.wasm");
    let component = component.to_str().unwrap();
    let said = run(&["test", folder.to_str().unwrap(), "--module", component]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.error);
    for part in [
        "it stopped itself: panicked at src/lib.rs:".to_owned(),
        "; in pod_panicker::greeting_of_nobody".to_owned(),
        format!("src/lib.rs:{}) < ", line("names[0]")),
        format!("src/lib.rs:{}) < ", line(PANICKING)),
    ] {
        assert!(said.out.contains(&part), "{part} is missing in {}", said.out);
    }
    // The debug information was read; that of the other engine's cache was not.
    let inspected = run(&["inspect", component]);
    assert!(inspected.out.contains("  backtrace "), "{}{}", inspected.out, inspected.error);
    let measured = run(&["replay", folder.join("cases").to_str().unwrap(), "--module", component]);
    assert_eq!(measured.code, 1, "{}", measured.out);
    assert!(measured.error.contains(&format!("src/lib.rs:{}", line("names[0]"))), "{}", measured.error);
}

#[tokio::test]
async fn a_collector_that_runs_logs_the_functions_on_the_way_to_a_panic() {
    let place = Place::new();
    let (folder, text) = panicking(&place, "pod-stumbler");
    // As the guide says that names and lines come into what is shipped.
    cargo(&folder, &["build", "--profile", "lines", "--target", "wasm32-unknown-unknown"]);
    let component = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author/wasm32-unknown-unknown/lines/pod_stumbler.wasm");
    let path = component.to_str().unwrap();
    let inspected = run(&["inspect", path]);
    assert!(inspected.out.contains("  backtrace names of functions; it carries debug information, too\n"), "{}", inspected.out);
    let said = run(&["test", folder.to_str().unwrap(), "--module", path]);
    let line = 1 + text.lines().position(|line| line.contains("names[0]")).unwrap();
    assert!(
        said.out.contains(&format!("; in pod_stumbler::greeting_of_nobody (pod-stumbler/src/lib.rs:{line}) < ")),
        "{}",
        said.out
    );

    let api = ApiServer::start().await.unwrap();
    let rest =
        format!("sources: {{pods: {{}}}}\nmodules: {{stumbler: {{use: {path}, to: [out]}}}}\nsinks: {{out: {{stdout: {{}}}}}}\n");
    let mut program = place.run(&place.configure(&api.url(), &rest));
    program.until_ready(SLOW).await.unwrap();
    api.create_pod(pending("web")).unwrap();
    program.until_lines(PATIENCE, |lines| lines == ["hello shop/web"]).await.unwrap();
    api.patch_status("shop", "web", &running('a')).unwrap();
    let told = || {
        program.log().unwrap().lines().find(|line| line.contains("it stopped itself: panicked at src/lib.rs:")).map(str::to_owned)
    };
    until(&program, "the panic is told", async || told().is_some()).await;
    let line = told().unwrap();
    assert!(line.contains("; in pod_stumbler::greeting_of_nobody < "), "{line}");
    assert!(line.contains("\"lane\":\"stumbler\""), "{line}");
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[test]
fn nothing_that_is_there_is_written_over_and_a_missing_sdk_is_told() {
    let place = Place::new();
    let folder = place.path("there");
    std::fs::create_dir(&folder).unwrap();
    let said = run(&["new", folder.to_str().unwrap(), "--sdk", "https://git.example/sluicebox"]);
    assert_eq!(said.code, 2);
    assert!(said.error.contains("is there already"), "{}", said.error);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    let output = Command::new(support::binary()).args(["module", "new", "greeter"]).current_dir(&folder).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("hint: `--sdk` names it"), "{error}");
    assert!(!folder.join("greeter").exists());
}

#[test]
fn a_module_in_another_language_needs_no_sdk() {
    let place = Place::new();
    for language in ["c", "javascript", "python", "go"] {
        let folder = place.path(&format!("{language}-lines"));
        let path = folder.to_str().unwrap();
        let said = run(&["new", path, "--language", language, "--sdk", "."]);
        assert_eq!(said.code, 2);
        assert!(said.error.contains("`--sdk` is for modules in Rust"), "{}", said.error);
        let said = run(&["new", path, "--language", language]);
        assert_eq!(said.code, 0, "{}", said.error);
        let world = std::fs::read_to_string(folder.join("wit/world.wit")).unwrap();
        assert!(world.contains(&format!("world {language}-lines {{")), "{world}");
        assert!(std::fs::read_dir(folder.join("cases")).unwrap().count() > 3);
    }
}

#[test]
fn the_help_of_every_command_teaches_by_example() {
    for (command, example) in [
        ("new", "sluicebox module new pod-greeter"),
        ("test", "sluicebox module test cases --module ./hello.wasm --bless"),
        ("inspect", "sluicebox module inspect ./hello.wasm"),
        ("bench", "--budget-ns-per-event 5000"),
    ] {
        let help = String::from_utf8(sluicebox(&["module", command, "--help"]).stdout).unwrap();
        assert!(help.contains(example), "{help}");
        assert!(help.contains("Exit codes: 0 "), "{help}");
    }
}
