//! The configuration changes while the program runs: lanes come, go and change; what needs a restart is named; mistakes change nothing.

mod support;

use std::os::unix::fs::symlink;
use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::components::large;
use sluicebox_testkit::program::Program;
use support::node::{Node, lines, with_lanes};
use support::{PATIENCE, Place, binary, log_lines, log_since, module, replace, until, version_of};

const COMPACT: &str = "fields: compact";
const FULL: &str = "fields: full";

#[tokio::test]
async fn a_lane_that_is_added_is_told_all_that_exists_and_no_other_is_told_again() {
    let one = lines("one", COMPACT, "");
    let mut node = Node::start(&with_lanes(&[&one])).await;
    node.pods(20);
    node.hears("one", &node.names()).await;
    node.reconfigure(&with_lanes(&[&one, &lines("two", FULL, "")]));
    node.is("two", "at-work").await;
    let before = node.names();
    until(&node.program, "the new lane is told", async || node.named("two").len() == 20).await;
    // What existed is told in any order.
    let mut told = node.named("two");
    told.sort_by_key(|name| before.iter().position(|known| known == name));
    assert_eq!(told, before);
    let told = node.named("two");
    node.goes_on(&[("one", &before), ("two", &told)]).await;
    let (ready, text) = node.program.get("/readyz").await.unwrap();
    assert!(ready && text.contains("source pods of module two: listed"), "{text}");
    node.close().await;
}

#[tokio::test]
async fn a_lane_that_is_removed_shapes_what_it_has_and_leaves() {
    let (one, slow) = (lines("one", COMPACT, ""), lines("slow", COMPACT, ", batch: 1, limits: {cpu: 1m}"));
    let mut node = Node::start(&with_lanes(&[&one, &slow])).await;
    node.pods(300);
    node.hears("one", &node.names()).await;
    let had = node.names();
    // The last one is handed to both lanes after all others were.
    node.goes_on(&[("one", &had)]).await;
    node.takes(&with_lanes(&[&one])).await;
    assert!(!is_counted(&node, "slow").await && node.lane("slow").await.is_null());
    let (ready, text) = node.program.get("/readyz").await.unwrap();
    assert!(ready && !text.contains("slow"), "{text}");
    until(&node.program, "all that it had is written", async || node.named("slow").len() >= 300).await;
    assert_eq!(node.named("slow")[..300], had);
    let before = node.names();
    node.goes_on(&[("one", &before)]).await;
    assert!(node.named("slow").len() <= 301 && !is_counted(&node, "slow").await);
    node.close().await;
}

async fn is_counted(node: &Node, lane: &str) -> bool {
    let label = format!("lane=\"{lane}\"");
    node.program.metrics(&["sluicebox_"]).await.unwrap().iter().any(|row| row.contains(&label))
}

#[tokio::test]
async fn settings_that_change_in_the_midst_of_events_lose_nothing_and_keep_the_order() {
    let mut node = Node::start(&with_lanes(&[&lines("one", FULL, "")])).await;
    for part in 0..20 {
        node.pods(10);
        if part == 10 {
            node.reconfigure(&with_lanes(&[&lines("one", COMPACT, "")]));
            node.swapped("one", 1).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.hears("one", &node.names()).await;
    let full: Vec<bool> = node.said("one").iter().map(|line| line.get("object").is_some()).collect();
    let (first, then) = full.split_at(full.iter().position(|full| !full).unwrap());
    assert!(first.len() >= 90 && then.len() >= 90 && then.iter().all(|full| !full), "{full:?}");
    node.close().await;
}

#[tokio::test]
async fn limits_and_batches_change_by_a_swap_and_queues_without_one() {
    let mut node = Node::start(&with_lanes(&[&lines("one", COMPACT, "")])).await;
    node.pods(5);
    node.hears("one", &node.names()).await;
    for (swaps, terms) in [
        (0, ", queue: {items: 4}"),
        (0, ", queue: {items: 4}, when-full: drop-oldest"),
        (0, ", queue: {items: 100, bytes: 1MiB}"),
        (1, ", batch: 8"),
        (2, ", batch: 8, limits: {deadline: 3s}"),
        (3, ", batch: 8, limits: {deadline: 3s, memory: 32MiB, cpu: 500m}"),
    ] {
        node.takes(&with_lanes(&[&lines("one", COMPACT, terms)])).await;
        node.swapped("one", swaps).await;
        let before = node.names();
        node.goes_on(&[("one", &before)]).await;
        let instances = node.program.metric("sluicebox_lane_instances_total", "lane=\"one\"").await.unwrap();
        assert!((instances - 1.0).abs() < 0.1, "{instances} instances of this version");
    }
    assert_eq!(node.lane("one").await["swapped"], 3);
    node.close().await;
}

/// The lane is told everything again; the other lane is not.
async fn begins_anew(before: &str, after: &str) {
    let other = lines("other", COMPACT, "");
    let sources = |text: String| text.replace("{pods: {}}", "{pods: {}, namespaces: {}}");
    let mut node = Node::start(&sources(with_lanes(&[before, &other]))).await;
    node.pods(10);
    let all = node.names();
    node.hears("other", &all).await;
    until(&node.program, "the lane is told", async || node.named("one").len() == 10).await;
    node.reconfigure(&sources(with_lanes(&[after, &other])));
    until(&node.program, "the lane is told again", async || node.named("one").len() >= 20).await;
    node.is("one", "at-work").await;
    let mut again = node.named("one")[10..].to_vec();
    again.sort();
    assert_eq!(again, all);
    let told = node.named("one");
    node.goes_on(&[("other", &all), ("one", &told)]).await;
    let (ready, text) = node.program.get("/readyz").await.unwrap();
    assert!(ready, "{text}");
    node.close().await;
}

#[tokio::test]
async fn a_lane_that_writes_to_another_sink_begins_anew() {
    let before = lines("one", COMPACT, "");
    begins_anew(&before, &before.replace("[out]", "[again]")).await;
    begins_anew(&before, &before.replace("[out]", "[again]").replace("compact", "full")).await;
}

#[tokio::test]
async fn a_lane_with_other_sources_begins_anew() {
    let one = |from: &str| lines("one", COMPACT, &format!(", from: [{from}]"));
    begins_anew(&one("pods"), &one("pods, namespaces")).await;
    begins_anew(&one("pods, namespaces"), &one("pods")).await;
}

#[tokio::test]
async fn a_module_that_handles_other_events_begins_anew() {
    let mut node = Node::start(&with_lanes(&[&lines("one", COMPACT, "")])).await;
    node.pods(3);
    node.hears("one", &node.names()).await;
    node.reconfigure(&with_lanes(&["one: {use: galileo-events, settings: {schema: pod, channel: two}, to: [out]}"]));
    let bodies = || -> Vec<String> {
        let entries = node.program.lines().clone();
        entries.into_iter().filter(|line| line.contains("\"channel\":\"two\"")).collect()
    };
    until(&node.program, "the other module is told all", async || bodies().len() >= 3).await;
    assert!((0..3).all(|number| bodies().iter().any(|line| line.contains(&format!("pod-{number}")))), "{:?}", bodies());
    node.is("one", "at-work").await;
    assert_eq!(node.lane("one").await["module"]["name"], "galileo-events");
    node.api.create_pod(support::pending("late")).unwrap();
    until(&node.program, "it is told what comes", async || bodies().iter().any(|line| line.contains("late"))).await;
    assert_eq!((bodies().len(), node.named("one").len()), (4, 3));
    node.close().await;
}

#[tokio::test]
async fn a_module_that_was_bad_at_the_start_begins_when_it_is_mended() {
    let folder = Place::new();
    let path = folder.path("module.wasm");
    let from_file = lines("bad", COMPACT, "").replace("json-lines", &format!("\"{}\"", path.display()));
    let one = lines("one", COMPACT, "");
    let mut node = Node::start_unready(&with_lanes(&[&from_file, &one]), false).await;
    node.is("one", "at-work").await;
    node.pods(5);
    node.hears("one", &node.names()).await;
    assert_eq!(node.lane("bad").await["state"], "not-running");
    let (ready, text) = node.program.get("/readyz").await.unwrap();
    assert!(!ready && text.contains("module bad: ") && text.contains("No such file"), "{text}");
    replace(&path, &std::fs::read(module("json-lines")).unwrap());
    node.is("bad", "at-work").await;
    until(&node.program, "the lane is told all", async || node.named("bad").len() == 5).await;
    let (before, told) = (node.names(), node.named("bad"));
    node.goes_on(&[("one", &before), ("bad", &told)]).await;
    assert!(node.lane("bad").await["refused"].is_null() && node.lane("bad").await["failure"].is_null());
    let (ready, text) = node.program.get("/readyz").await.unwrap();
    assert!(ready, "{text}");
    node.close().await;
}

#[tokio::test]
async fn settings_that_were_bad_at_the_start_are_mended_without_a_restart() {
    let mut node = Node::start_unready(&with_lanes(&[&lines("bad", "colour: red", ""), &lines("one", COMPACT, "")]), false).await;
    node.is("one", "at-work").await;
    node.pods(5);
    node.hears("one", &node.names()).await;
    assert!(node.lane("bad").await["refused"]["reason"].as_str().unwrap().contains("colour"));
    node.reconfigure(&with_lanes(&[&lines("bad", COMPACT, ""), &lines("one", COMPACT, "")]));
    node.is("bad", "at-work").await;
    until(&node.program, "the lane is told all", async || node.named("bad").len() >= 5).await;
    let (before, told) = (node.names(), node.named("bad"));
    node.goes_on(&[("one", &before), ("bad", &told)]).await;
    assert!(node.lane("bad").await["refused"].is_null());
    node.close().await;
}

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
async fn a_lane_that_wants_a_new_sink_waits_for_a_restart_and_others_change_all_the_same() {
    let base = with_lanes(&[&lines("one", FULL, ""), &lines("two", FULL, "")]);
    let mut node = Node::start(&base).await;
    node.pods(3);
    let lanes = [lines("one", COMPACT, "").replace("[out]", "[third]"), lines("two", COMPACT, ""), lines("three", COMPACT, "")];
    let lanes = [lanes[0].as_str(), &lanes[1], &lanes[2].replace("[out]", "[out, third]")];
    let changed = with_lanes(&lanes).replace("sinks: {", "sinks: {third: {stdout: {format: json}}, ");
    node.reconfigure(&changed);
    node.swapped("two", 1).await;
    for (lane, state) in [("one", "at-work"), ("three", "not-running")] {
        until(&node.program, "it is refused", async || node.lane(lane).await["refused"].is_object()).await;
        let shown = node.lane(lane).await;
        assert_eq!(shown["refused"]["reason"], "sink `third` cannot be had before a restart", "{shown:#}");
        assert_eq!(shown["state"], state);
    }
    let before = node.names();
    node.goes_on(&[("one", &before), ("two", &before)]).await;
    let last = |channel: &str| node.said(channel).last().unwrap().get("object").is_some();
    assert!(last("one") && !last("two"));
    node.reconfigure(&base);
    node.swapped("two", 2).await;
    let (ready, text) = node.program.get("/readyz").await.unwrap();
    assert!(ready && node.lane("three").await.is_null() && node.lane("one").await["refused"].is_null(), "{text}");
    let before = node.names();
    node.goes_on(&[("one", &before), ("two", &before)]).await;
    node.close().await;
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
        support::status(&node.program).await["lanes"].as_object().unwrap().keys().eq(["last", "one"])
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

/// A component that no run before has compiled, and that takes a while to be.
fn slow_to_compile(folder: &Place) -> std::path::PathBuf {
    let path = folder.path("slow.wasm");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().to_string();
    let component = std::fs::read(module("json-lines")).unwrap();
    std::fs::write(&path, version_of(&large(&component, 2 << 20), &now)).unwrap();
    path
}

#[tokio::test]
async fn a_stop_during_a_reload_is_a_clean_one() {
    let folder = Place::new();
    let mut node = Node::start(&with_lanes(&[&lines("one", FULL, "")])).await;
    node.pods(10);
    let slow = lines("one", FULL, "").replace("json-lines", &format!("\"{}\"", slow_to_compile(&folder).display()));
    node.takes(&with_lanes(&[&slow])).await;
    node.pods(10);
    node.hears("one", &node.names()).await;
    let names = node.names();
    let begin = std::time::Instant::now();
    let status = node.program.stop(PATIENCE).await.unwrap();
    assert!(status.success() && begin.elapsed() < Duration::from_secs(15), "{status}\n{}", node.program.log().unwrap());
    assert_eq!(node.named("one"), names);
}

#[tokio::test]
async fn a_lane_that_is_removed_while_it_begins_is_gone() {
    let folder = Place::new();
    let one = lines("one", COMPACT, "");
    let slow = lines("slow", COMPACT, "").replace("json-lines", &format!("\"{}\"", slow_to_compile(&folder).display()));
    let mut node = Node::start(&with_lanes(&[&one])).await;
    node.pods(3);
    node.takes(&with_lanes(&[&one, &slow])).await;
    node.takes(&with_lanes(&[&one])).await;
    let path = folder.path("slow.wasm");
    // The lane that is there now is done when its module has been compiled; so is the one that is gone.
    let other = lines("other", COMPACT, "").replace("json-lines", &format!("\"{}\"", path.display()));
    node.takes(&with_lanes(&[&one, &other])).await;
    node.is("other", "at-work").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.pods(1);
    node.hears("one", &node.names()).await;
    until(&node.program, "the other is told all", async || node.named("other").len() == 4).await;
    assert!(node.lane("slow").await.is_null(), "{:#}", node.lane("slow").await);
    assert_eq!(node.named("slow"), [""; 0]);
    node.close().await;
}

#[tokio::test]
async fn a_lane_that_is_removed_and_added_while_it_begins_is_there_once() {
    let folder = Place::new();
    let one = lines("one", COMPACT, "");
    let path = slow_to_compile(&folder);
    let slow = |settings: &str| lines("slow", settings, "").replace("json-lines", &format!("\"{}\"", path.display()));
    let mut node = Node::start(&with_lanes(&[&one])).await;
    node.takes(&with_lanes(&[&one, &slow(COMPACT)])).await;
    node.takes(&with_lanes(&[&one])).await;
    node.takes(&with_lanes(&[&one, &slow(FULL)])).await;
    node.is("slow", "at-work").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    node.pods(5);
    node.hears("one", &node.names()).await;
    node.hears("slow", &node.names()).await;
    assert!(node.said("slow").iter().all(|line| line.get("object").is_some()));
    node.close().await;
}

/// Starts the program with a reader of its output that does not read until the sender is dropped.
fn unread(place: &Place, config: &std::path::Path) -> (Program, SyncSender<()>) {
    let (open, gate) = sync_channel(0);
    let gate = Mutex::new(gate);
    let wait = move |_: &str| assert!(gate.lock().unwrap().recv().is_err());
    (Program::start(binary(), config, &place.path("log"), wait).unwrap(), open)
}

#[tokio::test]
async fn a_lane_that_cannot_end_does_not_begin_anew_until_it_has_and_says_so() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let before = with_lanes(&[&lines("stuck", FULL, ", queue: {items: 8}, when-full: drop-oldest"), &lines("one", COMPACT, "")]);
    let before = before.replace("[out]}\nsinks", "[free]}\nsinks").replace("out: {", "out: {queue: {items: 1}, ");
    let before =
        before.replace("sinks: {", &format!("sinks: {{free: {{files: {{directory: {}}}}}, ", place.path("files").display()));
    let config = place.configure(&api.url(), &before);
    let (mut program, open) = unread(&place, &config);
    program.until_ready(PATIENCE).await.unwrap();
    for number in 0..100 {
        let mut pod = support::pending(&format!("pod-{number}"));
        pod["metadata"]["annotations"] = serde_json::json!({"long": "x".repeat(20_000)});
        api.create_pod(pod).unwrap();
    }
    let dropped = async || program.metric("sluicebox_lane_dropped_events_total", "reason=\"overflow\"").await.unwrap();
    until(&program, "the lane is stuck", async || dropped().await > 0.0).await;
    place.reconfigure(&api.url(), &before.replace("[out]", "[again]"));
    let begin = std::time::Instant::now();
    let lane = async || support::status_of(&program, "stuck").await;
    while lane().await["refused"].is_null() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it hangs:\n{}", program.log().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let shown = lane().await;
    assert_eq!(shown["refused"]["step"], "waiting for the end of the lane as it was", "{shown:#}");
    assert_eq!(shown["state"], "not-running", "{shown:#}");
    let (ready, text) = program.get("/readyz").await.unwrap();
    assert!(!ready && text.contains("[-] module stuck: "), "{text}");
    // The lane as it was is wanted again, but it is not there any more: it begins anew when the sink takes what it had.
    drop(open);
    place.reconfigure(&api.url(), &before);
    until(&program, "the lane begins", async || lane().await["state"] == "at-work").await;
    api.create_pod(support::pending("last")).unwrap();
    program.until_lines(PATIENCE, |lines| lines.iter().any(|line| line.contains("\\\"last\\\""))).await.unwrap();
    assert!(lane().await["refused"].is_null());
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn a_lane_that_is_removed_and_added_again_waits_until_the_one_before_has_ended() {
    let (one, slow) = (lines("one", COMPACT, ""), lines("slow", COMPACT, ", batch: 1, limits: {cpu: 1m}"));
    let mut node = Node::start(&with_lanes(&[&one, &slow])).await;
    node.pods(300);
    node.hears("one", &node.names()).await;
    node.reconfigure(&with_lanes(&[&one]));
    until(&node.program, "it is gone", async || node.lane("slow").await.is_null()).await;
    node.reconfigure(&with_lanes(&[&one, &lines("slow", FULL, "")]));
    node.is("slow", "at-work").await;
    until(&node.program, "it is told all again", async || node.named("slow").len() >= 599).await;
    // What it says now has the object; nothing of before comes after that.
    let full: Vec<bool> = node.said("slow").iter().map(|line| line.get("object").is_some()).collect();
    let (then, now) = full.split_at(full.iter().position(|full| *full).unwrap());
    assert!(now.iter().all(|full| *full) && now.len() == 300 && then.len() >= 299, "{full:?}");
    node.close().await;
}
