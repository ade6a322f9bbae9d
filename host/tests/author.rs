//! The way of a module's author, as the SDK's tutorial tells it: an empty folder, three files, a component that the program runs.

mod support;

use std::path::Path;
use std::process::Command;

use sluicebox_testkit::api_server::ApiServer;
use support::{PATIENCE, Place, pending, sluicebox};

/// The blocks of the tutorial in this language, in their order.
fn blocks(tutorial: &str, language: &str) -> Vec<String> {
    let text: Vec<&str> =
        tutorial.lines().filter_map(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let text = text.join("\n");
    text.split(&format!("```{language}\n")).skip(1).filter_map(|block| block.split("```").next().map(str::to_owned)).collect()
}

#[tokio::test]
async fn the_tutorial_s_first_module_is_built_in_an_empty_folder_and_runs() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk").canonicalize().unwrap();
    let tutorial = std::fs::read_to_string(sdk.join("src/lib.rs")).unwrap();
    let manifests = blocks(&tutorial, "toml");
    let place = Place::new();
    let folder = place.path("hello");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::create_dir_all(folder.join(".cargo")).unwrap();
    let manifest = manifests[0].replace("../sluicebox/guest-sdk", sdk.to_str().unwrap());
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join(".cargo/config.toml"), &manifests[1]).unwrap();
    // The first block without a language is the first module; it begins after the sentence before it.
    let code = tutorial.split("//! ```\n").nth(1).unwrap();
    let code: Vec<&str> = code.lines().map(|line| line.trim_start_matches("//!").trim_start_matches(' ')).collect();
    std::fs::write(folder.join("src/lib.rs"), code.join("\n")).unwrap();
    // The versions that this repository has settled on, so that nothing new has to be fetched.
    std::fs::copy(sdk.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author");
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        cargo.env_remove(name);
    }
    let built = cargo
        .args(["build", "--release", "--target", "wasm32-unknown-unknown"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let component = target.join("wasm32-unknown-unknown/release/hello.wasm");
    let page = String::from_utf8(sluicebox(&["modules", component.to_str().unwrap()]).stdout).unwrap();
    assert!(page.contains("handles   pods"), "{page}");

    let api = ApiServer::start().await.unwrap();
    let rest = format!(
        "sources: {{pods: {{}}}}\nmodules: {{greeter: {{use: {}, to: [out]}}}}\nsinks: {{out: {{stdout: {{}}}}}}\n",
        component.display()
    );
    let mut program = place.run(&place.configure(&api.url(), &rest));
    program.until_ready(PATIENCE).await.unwrap();
    api.create_pod(pending("web")).unwrap();
    program.until_lines(PATIENCE, |lines| lines == ["hello web"]).await.unwrap();
    assert!(program.stop(PATIENCE).await.unwrap().success());
}
