//! `sluicebox module record` and `replay`: events of a running collector become a case that any module can be tried with.

mod support;

use std::path::Path;

use serde_json::Value;
use sluicebox_testkit::api_server::ApiServer;
use support::author::{Said, run};
use support::{PATIENCE, Place, pending};

const REST: &str = "sources: {pods: {}}\nmodules: {lines: {use: json-lines, settings: {fields: compact}, to: [out]}}\nsinks: {out: {stdout: {}}}\n";

/// The command beside the servers of the test.
async fn beside(arguments: &[&str]) -> Said {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let run = move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn file(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn events_of_a_running_collector_become_a_case_without_what_is_redacted() {
    let place = Place::new();
    let api = ApiServer::start().await.unwrap();
    let mut program = place.run(&place.configure(&api.url(), REST));
    program.until_ready(PATIENCE).await.unwrap();
    api.create_pod(pending("secret-name")).unwrap();
    program.until_lines(PATIENCE, |lines| lines.len() == 1).await.unwrap();

    let (state, case) = (place.path("state"), place.path("real.json"));
    let (state, path) = (state.to_str().unwrap(), case.to_str().unwrap());
    let record = ["record", "--state-directory", state, "--lane", "lines", "--number", "1", "--output", path];
    let said = beside(&[&record[..], &["--redact", "name", "--redact", "uid", "--redact", "app"]].concat()).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.error);
    let text = file(&case);
    assert!(!text.contains("secret-name") && !text.contains("\"app\": \"web\"") && text.contains("redacted-"), "{text}");
    let recorded: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(recorded["settings"]["fields"], "compact");
    assert_eq!(recorded["context"]["node-name"], "n1");
    let left: Vec<_> = std::fs::read_dir(Path::new(state).join("recordings")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    let said = beside(&["replay", path, "--module", "json-lines"]).await;
    assert_eq!(said.code, 0, "{}", said.error);
    let entry: Value = serde_json::from_str(&said.out).unwrap();
    assert!(entry["message"]["body"].as_str().unwrap().contains("\"name\":\"redacted-"), "{}", said.out);
    assert_eq!(beside(&["test", path, "--module", "json-lines", "--bless"]).await.code, 0);
    assert_eq!(beside(&["test", path, "--module", "json-lines"]).await.code, 0, "{}", file(&case));

    // What is there is not written over; a lane that does not run is named, and so are those that do.
    let said = beside(&record).await;
    assert_eq!(said.code, 2);
    assert!(said.error.contains("is there already"), "{}", said.error);
    let other = place.path("other.json");
    let said = beside(&["record", "--state-directory", state, "--lane", "line", "--output", other.to_str().unwrap()]).await;
    assert_eq!(said.code, 1);
    assert!(said.error.contains("not recorded: no lane `line` runs; there are lines"), "{}", said.error);
    assert!(!other.exists());
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[test]
fn without_a_collector_the_request_is_taken_back() {
    let place = Place::new();
    let state = place.path("state");
    std::fs::create_dir(&state).unwrap();
    let output = place.path("real.json");
    let said =
        run(&["record", "--state-directory", state.to_str().unwrap(), "--lane", "lines", "--output", output.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(said.error.contains("no collector has taken the request"), "{}", said.error);
    assert_eq!(std::fs::read_dir(state.join("recordings")).unwrap().count(), 0);
}
