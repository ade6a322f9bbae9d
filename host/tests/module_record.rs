//! `sluicebox module record` and `replay`: events of a running collector become a case that any module can be tried with.

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::http::{Answer, PageServer};
use sluicebox_testkit::program::Program;
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

/// A lane that is told what a page says; one of its labels has an object as its text.
async fn scraping(place: &Place) -> (PageServer, Program) {
    let page = "# TYPE x_total counter\nx_total{json=\"{\\\"a\\\":[1]}\",team=\"secret-team\",text=\"--token=s3cret\"} 5\n# TYPE g gauge\ng 2\n";
    let server = PageServer::start(Answer::Report(page.into())).await.unwrap();
    let rest = format!(
        "sources: {{scrape: {{targets: {{page: {{url: \"http://{}/metrics\", period: 200ms}}}}}}}}\n\
         modules: {{lines: {{use: json-lines, to: [out]}}}}\nsinks: {{out: {{stdout: {{}}}}}}\n",
        server.address()
    );
    let mut program = place.run(&place.configure("http://127.0.0.1:9", &rest));
    program.until_ready(PATIENCE).await.unwrap();
    (server, program)
}

#[tokio::test]
async fn everything_is_recorded_that_comes_to_a_lane_that_has_little_to_do() {
    let place = Place::new();
    let (_server, mut program) = scraping(&place).await;
    let (state, case) = (place.path("state"), place.path("real.json"));
    let (state, path) = (state.to_str().unwrap(), case.to_str().unwrap());
    let record = ["record", "--state-directory", state, "--lane", "lines", "--number", "30", "--time", "60s", "--output", path];
    let said = beside(&[&record[..], &["--redact", "pod,team", "--redact", "nobody"]].concat()).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.error);
    let warned: Vec<&str> = said.error.lines().filter(|line| line.starts_with("warning: nothing was taken out for ")).collect();
    assert!(matches!(warned.as_slice(), [one, other] if one.contains("`pod`") && other.contains("`nobody`")), "{}", said.error);
    assert_eq!(std::fs::metadata(&case).unwrap().permissions().mode() & 0o777, 0o600);

    // A page is told in three calls in quick succession: none of them is left out.
    let recorded: Value = serde_json::from_str(&file(&case)).unwrap();
    let mut times = BTreeMap::<&str, usize>::new();
    for step in recorded["steps"].as_array().unwrap() {
        *times.entry(step["series"]["query"]["name"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!(times.keys().copied().collect::<Vec<_>>(), ["g", "up", "x_total"]);
    assert!(times.values().sum::<usize>() == 30 && times.values().all(|times| (5..=15).contains(times)), "{times:?}");

    // The label is what it was.
    let said = beside(&["replay", path, "--module", "json-lines"]).await;
    assert_eq!(said.code, 0, "{}", said.error);
    assert!(!said.out.contains("secret-team"), "{}", said.out);
    let bodies = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["message"]["body"].clone());
    let bodies: Vec<Value> = bodies.map(|body| serde_json::from_str(body.as_str().unwrap()).unwrap()).collect();
    let labels: Vec<&Value> = bodies.iter().map(|body| &body["labels"]["json"]).filter(|label| !label.is_null()).collect();
    assert!(labels.len() == times["x_total"] && labels.iter().all(|label| *label == r#"{"a":[1]}"#), "{labels:?}");
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn why_nothing_could_be_recorded_is_told_to_the_author_and_no_event_to_the_log() {
    let place = Place::new();
    let (_server, mut program) = scraping(&place).await;
    let (state, output) = (place.path("state"), place.path("real.json"));
    let record =
        ["record", "--state-directory", state.to_str().unwrap(), "--lane", "lines", "--output", output.to_str().unwrap()];
    // Without the words of the format it is no case.
    let said = beside(&[&record[..], &["--redact", "query"]].concat()).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.error);
    assert!(said.error.contains("is no case any more without these fields: step 1: "), "{}", said.error);
    assert!(said.error.contains("\nhint: leave out what the format has words of its own for, "), "{}", said.error);
    assert!(said.error.contains("secret-team") || said.error.contains("redacted-"), "{}", said.error);
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let log = program.log().unwrap();
    let line = log.lines().find(|line| line.contains("events not recorded")).unwrap();
    assert!(line.contains("is no case any more without these fields\""), "{line}");
    assert!(!log.contains("secret-team") && !log.contains("redacted-"), "{log}");
}

#[tokio::test]
async fn a_name_in_a_text_that_cannot_be_read_is_told() {
    let place = Place::new();
    let (_server, mut program) = scraping(&place).await;
    let (state, case) = (place.path("state"), place.path("real.json"));
    let (state, path) = (state.to_str().unwrap(), case.to_str().unwrap());
    let record = ["record", "--state-directory", state, "--lane", "lines", "--number", "9", "--output", path];
    let said = beside(&[&record[..], &["--redact", "team,token"]].concat()).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.error);
    assert!(
        said.error.contains("warning: `token` stands in ") && said.error.contains(" no JSON, such as YAML"),
        "{}",
        said.error
    );
    assert!(!said.error.contains("s3cret") && !said.error.contains("`team`"), "{}", said.error);
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[test]
fn no_event_at_all_is_no_recording() {
    let said = run(&["record", "--lane", "lines", "--output", "real.json", "--number", "0"]);
    assert_eq!(said.code, 2);
    assert!(said.error.contains("invalid value '0' for '--number <N>'"), "{}", said.error);
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
    assert!(said.error.contains(&format!(" in {}: is it running", state.display())), "{}", said.error);
    assert_eq!(std::fs::read_dir(state.join("recordings")).unwrap().count(), 0);
}

#[test]
fn what_could_not_be_written_or_waited_for_is_not_recorded() {
    let place = Place::new();
    let state = place.path("state");
    std::fs::create_dir(&state).unwrap();
    let output = place.path("missing/real.json");
    let said =
        run(&["record", "--state-directory", state.to_str().unwrap(), "--lane", "lines", "--output", output.to_str().unwrap()]);
    assert_eq!(said.code, 2, "{}", said.error);
    assert!(said.error.contains(": there is no directory ") && said.error.contains("missing\n"), "{}", said.error);
    let output = place.path("real.json");
    let record = ["record", "--state-directory", state.to_str().unwrap(), "--lane", "lines", "--time", "61m"];
    let said = run(&[&record[..], &["--output", output.to_str().unwrap()]].concat());
    assert_eq!(said.code, 2, "{}", said.error);
    assert!(said.error.contains("hint: give `--time` no more than 1h"), "{}", said.error);
    // Nobody was asked.
    assert!(!state.join("recordings").exists());
}

#[test]
fn a_name_that_is_missing_takes_nothing_out_and_is_refused() {
    for names in ["", "team,,image", "team,", " "] {
        let said = run(&["record", "--lane", "lines", "--output", "real.json", "--redact", names]);
        assert_eq!(said.code, 2, "`{names}`: {}", said.error);
        assert!(said.error.contains("for '--redact <NAME>'"), "`{names}`: {}", said.error);
    }
}
