//! The configuration changes while the program runs: what needs a restart is named, mistakes change nothing, and the last change counts.

mod support;

use std::os::unix::fs::symlink;
use std::time::Duration;

use sluicebox_testkit::api_server::ApiServer;
use support::node::{Node, lines, slow_to_compile, with_lanes};
use support::{PATIENCE, Place, log_lines, log_since, replace, until};

const COMPACT: &str = "fields: compact";
const FULL: &str = "fields: full";

#[tokio::test]
async fn changes_that_need_a_restart_are_named_until_they_are_taken_back() {
    let base = with_lanes(&[&lines("one", COMPACT, "")]);
    let mut node = Node::start(&base).await;
    let changed = base.replace("again: {stdout: {format: json}}", "again: {stdout: {}}, third: {stdout: {}}");
    let changed = changed.replace("{pods: {}}", "{pods: {scope: cluster}, nodes: {}}") + "shutdown-grace: 19s\n";
    let line = log_lines(&node.program);
    node.takes(&changed).await;
    let named = serde_json::json!(["shutdown-grace", "sinks.again", "sinks.third", "sources.nodes", "sources.pods"]);
    until(&node.program, "they are named", async || node.configuration().await["needs-restart"] == named).await;
    assert!((waiting(&node).await - 5.0).abs() < 0.1);
    let warned = log_since(&node.program, line).into_iter().find(|line| line["changed"].is_string()).unwrap();
    assert_eq!(
        (warned["level"].as_str(), warned["changed"].as_str()),
        (Some("WARN"), Some("shutdown-grace, sinks.again, sinks.third, sources.nodes, sources.pods"))
    );
    let before = node.names();
    node.goes_on(&[("one", &before)]).await;
    node.takes(&base).await;
    assert_eq!(node.configuration().await["needs-restart"], serde_json::json!([]));
    assert!(waiting(&node).await.abs() < 0.1);
    assert_eq!(node.lane("one").await["swapped"], 0);
    node.close().await;
}

async fn waiting(node: &Node) -> f64 {
    node.program.metric("sluicebox_config_needs_restart", "").await.unwrap()
}

#[tokio::test]
async fn a_configuration_with_mistakes_is_refused_as_a_whole() {
    let events = |text: String| text.replace("debounce: 50ms", "debounce: 50ms, kubernetes-events: true");
    let mut node = Node::start(&events(with_lanes(&[&lines("one", FULL, "")]))).await;
    let line = log_lines(&node.program);
    // The first lane would be right.
    let bad = events(with_lanes(&[
        &lines("one", COMPACT, ""),
        "two: {use: no-such, to: [out]}",
        "three: {use: json-lines, to: [nowhere]}",
    ]));
    node.reconfigure(&bad);
    until(&node.program, "it is refused", async || !node.configuration().await["refused"].as_array().unwrap().is_empty()).await;
    let refused = node.configuration().await["refused"].clone();
    let place = |word: &str| 1 + node.place.configuration("", &bad).lines().position(|line| line.contains(word)).unwrap();
    let mistakes = [(place("no-such"), "there is no preset `no-such`"), (place("nowhere"), "there is no sink `nowhere`")];
    let log = log_since(&node.program, line);
    for (index, (line, text)) in mistakes.into_iter().enumerate() {
        let shown = refused[index].as_str().unwrap();
        assert!(shown.starts_with(&format!("line {line}: ")) && shown.contains(text), "{refused:#}");
        assert!(log.iter().any(|line| line["level"] == "ERROR" && line["problem"] == shown), "{log:#?}");
    }
    assert_eq!(refused.as_array().unwrap().len(), 2);
    assert!((node.program.metric("sluicebox_config_refused_total", "").await.unwrap() - 1.0).abs() < 0.1);
    let told = || node.api.events().into_iter().find(|event| event["reason"] == "ConfigurationRefused");
    until(&node.program, "an event tells of it", async || told().is_some()).await;
    let message = told().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("2 mistakes, the first: line") && message.contains("no-such"), "{message}");
    let before = node.names();
    node.goes_on(&[("one", &before)]).await;
    assert_eq!((node.lane("one").await["swapped"].as_u64(), node.lane("two").await.is_null()), (Some(0), true));
    for broken in ["modules: [", "", "{}", "\u{0}", "sources: {pods: {}}\nsources: {pods: {}}\n"] {
        replace(&node.place.path("sluicebox.yaml"), broken.as_bytes());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    node.reconfigure(&events(with_lanes(&[&lines("one", COMPACT, "")])));
    node.swapped("one", 1).await;
    assert_eq!(node.configuration().await["refused"], serde_json::json!([]));
    let before = node.names();
    node.goes_on(&[("one", &before)]).await;
    node.close().await;
}

#[tokio::test]
async fn a_configuration_that_is_absent_for_a_while_is_none_that_was_emptied() {
    let base = with_lanes(&[&lines("one", FULL, "")]);
    let mut node = Node::start(&base).await;
    std::fs::remove_file(node.place.path("sluicebox.yaml")).unwrap();
    until(&node.program, "its absence is told", async || {
        node.configuration().await["refused"][0].as_str().is_some_and(|text| text.contains("No such file"))
    })
    .await;
    let before = node.names();
    node.goes_on(&[("one", &before)]).await;
    node.reconfigure(&base);
    until(&node.program, "it is back", async || node.configuration().await["refused"] == serde_json::json!([])).await;
    assert_eq!(node.lane("one").await["swapped"], 0);
    node.reconfigure(&with_lanes(&[&lines("one", COMPACT, "")]));
    node.swapped("one", 1).await;
    let before = node.names();
    node.goes_on(&[("one", &before)]).await;
    node.close().await;
}

#[tokio::test]
async fn a_configuration_that_is_no_file_is_refused_and_holds_up_nobody() {
    let mut node = Node::start(&with_lanes(&[&lines("one", FULL, "")])).await;
    let path = node.place.path("sluicebox.yaml");
    let pipe = || assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    for make in [&pipe as &dyn Fn(), &|| std::fs::create_dir(&path).unwrap()] {
        std::fs::remove_file(&path).unwrap();
        make();
        until(&node.program, "it is refused", async || {
            node.configuration().await["refused"][0].as_str().is_some_and(|text| text.contains("it is no regular file"))
        })
        .await;
        let before = node.names();
        node.goes_on(&[("one", &before)]).await;
        if path.is_dir() {
            std::fs::remove_dir(&path).unwrap();
        }
        node.takes(&with_lanes(&[&lines("one", FULL, "")])).await;
        assert_eq!(node.configuration().await["refused"], serde_json::json!([]));
    }
    node.close().await;
}

#[tokio::test]
async fn a_config_map_that_is_replaced_by_its_link_is_read_again() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let mount = place.path("mount");
    let put = |generation: &str, settings: &str| {
        let folder = mount.join(generation);
        std::fs::create_dir_all(&folder).unwrap();
        let text = place.configuration(&api.url(), &with_lanes(&[&lines("one", settings, "")]));
        std::fs::write(folder.join("config.yaml"), text).unwrap();
        symlink(generation, mount.join("..data_tmp")).unwrap();
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    put("..2026_1", FULL);
    symlink("..data/config.yaml", mount.join("config.yaml")).unwrap();
    let mut program = place.run(&mount.join("config.yaml"));
    program.until_ready(PATIENCE).await.unwrap();
    for (number, settings) in [(2, COMPACT), (3, FULL), (4, COMPACT)] {
        put(&format!("..2026_{number}"), settings);
        std::fs::remove_dir_all(mount.join(format!("..2026_{}", number - 1))).unwrap();
        until(&program, "it takes over", async || support::status_of(&program, "one").await["swapped"] == number - 1).await;
    }
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn two_hundred_changes_in_a_second_end_in_the_last_one() {
    let mut node = Node::start(&with_lanes(&[&lines("one", FULL, "")])).await;
    for number in 0..200 {
        let settings = if number % 2 == 0 { COMPACT } else { FULL };
        let more = lines(&format!("more-{}", number % 3), settings, "");
        node.reconfigure(&with_lanes(&[&lines("one", settings, &format!(", batch: {}", number + 1)), &more]));
        if number % 20 == 0 {
            node.pods(1);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The last one: other settings than any before, and no lane besides.
    node.reconfigure(&with_lanes(&[&lines("last", COMPACT, ""), &lines("one", COMPACT, ", batch: 77")]));
    node.is("last", "at-work").await;
    node.hears("one", &node.names()).await;
    until(&node.program, "no other lane is left", async || {
        let status = support::status(&node.program).await;
        let lanes = status["lanes"].as_object().unwrap();
        lanes.len() == 2 && lanes.contains_key("last") && lanes.contains_key("one")
    })
    .await;
    let begin = std::time::Instant::now();
    while node.said("one").last().unwrap().get("object").is_some() {
        assert!(begin.elapsed() < PATIENCE, "the last settings are not at work");
        node.pods(1);
        let all = node.names();
        node.hears("one", &all).await;
    }
    until(&node.program, "the new lane is told all", async || node.named("last").len() == node.names().len()).await;
    node.close().await;
}

#[tokio::test]
async fn a_stop_during_a_reload_is_a_clean_one() {
    let folder = Place::new();
    let mut node = Node::start(&with_lanes(&[&lines("one", FULL, "")])).await;
    node.pods(10);
    let slow = lines("one", FULL, "").replace("json-lines", &format!("\"{}\"", slow_to_compile(&folder).display()));
    node.takes(&with_lanes(&[&slow])).await;
    node.pods(10);
    until(&node.program, "the module is compiled", async || !children(node.program.id()).is_empty()).await;
    let compilers = children(node.program.id());
    node.hears("one", &node.names()).await;
    let names = node.names();
    let begin = std::time::Instant::now();
    let status = node.program.stop(PATIENCE).await.unwrap();
    assert!(status.success() && begin.elapsed() < Duration::from_secs(15), "{status}\n{}", node.program.log().unwrap());
    assert_eq!(node.named("one"), names);
    // The compiler ends with it.
    until(&node.program, "no process is left", async || !compilers.iter().any(|compiler| is_there(*compiler))).await;
}

/// The processes that this one has started and that have not ended.
fn children(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<u32>>()).collect()
}

/// Whether the process exists and is more than a name that nobody has asked for.
fn is_there(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains("zombie"))
}
