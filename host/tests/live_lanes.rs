//! Lanes come, go and change with the configuration while the program runs; nothing is lost, told twice or out of order.

mod support;

use std::time::Duration;

use support::node::{Node, lines, slow_to_compile, with_lanes};
use support::{Place, module, replace, until};

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
    node.is_compiled("other").await;
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
    node.is_compiled("slow").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    node.pods(5);
    node.hears("one", &node.names()).await;
    node.hears("slow", &node.names()).await;
    assert!(node.said("slow").iter().all(|line| line.get("object").is_some()));
    node.close().await;
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
