//! The example in each language, in the program: five modules beside each other tell of the same pod in the same words.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::servers;
use support::{Place, pending};

/// Compiling Python takes most of it, in a build for tests.
const PATIENCE: Duration = Duration::from_mins(3);

const LANGUAGES: [&str; 5] = ["rust", "c", "javascript", "python", "go"];

fn component(language: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = std::env::var_os("SLUICEBOX_LANGUAGES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target).join("languages"));
    folder.join(format!("{language}.wasm"))
}

#[tokio::test]
async fn a_pod_is_told_by_the_example_in_every_language() {
    let made: Vec<&str> = LANGUAGES.into_iter().filter(|language| component(language).is_file()).collect();
    for language in LANGUAGES.iter().filter(|language| !made.contains(language)) {
        servers::not_run(&format!("the example in {language}"), "`cargo xtask languages` has not made it");
    }
    if made.is_empty() {
        return;
    }
    let lane = |language: &&str| {
        let component = component(language).canonicalize().unwrap();
        format!("  {language}: {{use: {}, settings: {{channel: {language}}}, to: [out]}}\n", component.display())
    };
    let lanes = made.iter().map(lane).collect::<Vec<_>>().concat();
    let api = ApiServer::start().await.unwrap();
    let place = Place::new();
    let rest = format!("sources: {{pods: {{}}}}\nmodules:\n{lanes}sinks: {{out: {{stdout: {{}}}}}}\n");
    let mut program = place.run(&place.configure(&api.url(), &rest));
    program.until_ready(PATIENCE).await.unwrap();
    api.create_pod(pending("web")).unwrap();
    let is_told = |lines: &[String]| {
        lines.len() == made.len()
            && lines[0].contains(r#""pod":"web","phase":"pending""#)
            && lines.iter().all(|line| *line == lines[0])
    };
    program.until_lines(PATIENCE, is_told).await.unwrap();
    assert!(program.stop(PATIENCE).await.unwrap().success());
}
