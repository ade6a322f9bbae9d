//! What has `scope: cluster` works on one collector of several: the whole program on a real API server, ended in every way.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use sluicebox_testkit::servers::{KubeApiServer, Need, pod, require};
use support::replicas::{Line, Replica, Replicas, in_order};
use support::{PATIENCE, status};

const DURATION: Duration = Duration::from_secs(3);
const RETRY_PERIOD: Duration = Duration::from_millis(500);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_millis(1500);
/// Times that the holder is killed.
const KILLS: usize = 10;

const GALILEO: &str = "lease: {duration: 3s, renew-deadline: 2s, retry-period: 500ms}\n\
    sources: {pods: {scope: cluster}}\n\
    modules: {galileo: {use: galileo-events, settings: {schema: pod}, to: [lines]}}\n\
    sinks: {lines: {stdout: {}}}\n";

async fn server() -> Option<KubeApiServer> {
    if !require(Need::KubeApiServer) {
        return None;
    }
    let server = KubeApiServer::start().await.unwrap();
    server.create_namespace("shop").await.unwrap();
    Some(server)
}

fn replicas(server: &KubeApiServer, rest: &str) -> Replicas {
    Replicas::new(&server.kube_config(server.admin_token()).unwrap(), rest)
}

async fn two(replicas: &mut Replicas) -> (Replica, Replica) {
    let (one, other) = (replicas.start().await, replicas.start().await);
    in_order(one, other).await
}

/// The pod whose creation a line tells.
fn created(line: &Line) -> Option<String> {
    told(line).and_then(|(what, name)| (what == "create").then_some(name))
}

/// What a line tells of which pod.
fn told(line: &Line) -> Option<(String, String)> {
    let (_, rest) = line.text.split_once(" pod/")?;
    let (what, json) = rest.split_once(' ')?;
    Some((what.to_owned(), serde_json::from_str::<Value>(json).unwrap()["name"].as_str().unwrap().to_owned()))
}

async fn until_told(replicas: &Replicas, name: &str) -> Instant {
    let begin = Instant::now();
    loop {
        if let Some(line) = replicas.lines().iter().find(|line| created(line).as_deref() == Some(name)) {
            return line.at;
        }
        assert!(begin.elapsed() < PATIENCE, "`{name}` is not told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What was done to a pod (`create` or `delete`), and when it was done.
type Deeds = Mutex<Vec<((&'static str, String), Instant)>>;

/// Makes pods without a pause until it is dropped, deletes each second one, and remembers when.
async fn make_pods(server: &KubeApiServer, deeds: &Deeds) {
    for number in 0..u32::MAX {
        let name = format!("p{number}");
        server.create_pod(&pod("shop", &name, &format!("n{}", number % 5))).await.unwrap();
        deeds.lock().unwrap().push((("create", name), Instant::now()));
        tokio::time::sleep(Duration::from_millis(150)).await;
        // Some live for less than a lease, some for longer.
        for age in [6, 41] {
            if let Some(old) = number.checked_sub(age).filter(|old| old % 4 == age % 4) {
                let name = format!("p{old}");
                server.delete_pod("shop", &name).await.unwrap();
                deeds.lock().unwrap().push((("delete", name), Instant::now()));
            }
        }
    }
}

#[tokio::test]
async fn ten_killed_holders_leave_no_message_out_for_longer_than_the_lease() {
    let Some(server) = server().await else { return };
    let mut replicas = replicas(&server, GALILEO);
    let (mut holder, mut other) = two(&mut replicas).await;
    let deeds = Deeds::default();
    let mut gaps = Vec::new();
    let mut kills = Vec::new();
    let story = async {
        for _ in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            holder.program.kill().unwrap();
            let killed = Instant::now();
            kills.push(killed);
            // The one in its place waits like the other one.
            let fresh = replicas.start().await;
            let (next, waits) = in_order(other, fresh).await;
            let first = loop {
                let found = replicas.lines().into_iter().find(|line| line.by == next.number);
                if let Some(line) = found {
                    break line.at;
                }
                assert!(killed.elapsed() < PATIENCE, "nothing is told any more");
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            gaps.push(first - killed);
            (holder, other) = (next, waits);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        () = make_pods(&server, &deeds) => {}
        () = story => {}
    }
    let deeds = deeds.into_inner().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let lines = replicas.lines();
    report(&lines, &deeds, &gaps);
    replicas.never_two();
    let bound = DURATION + RETRY_PERIOD + SLACK;
    assert!(gaps.iter().all(|gap| *gap <= bound), "{gaps:?}");
    let mut first = BTreeMap::new();
    for line in &lines {
        if let Some(told) = told(line) {
            first.entry(told).or_insert(line.at);
        }
    }
    let begin = deeds[0].1;
    for ((what, name), at) in &deeds {
        if !first.contains_key(&((*what).to_owned(), name.clone())) {
            let after: Vec<_> = kills.iter().map(|kill: &Instant| kill.saturating_duration_since(begin)).collect();
            println!("never told: {what} of {name}, done after {:?}; holders were killed after {after:?}", *at - begin);
        }
    }
    // What happens when nobody works is told by the next one within a lease and a period; all else at once.
    for ((what, name), at) in &deeds {
        let told = first.get(&((*what).to_owned(), name.clone())).unwrap_or_else(|| panic!("{what} of `{name}` was never told"));
        let late = told.saturating_duration_since(*at);
        assert!(late <= bound, "{what} of `{name}` was told {late:?} after it was done");
    }
}

/// How long nobody worked, and what was told twice: each holder begins with what is there, and with what the one before may not have told.
fn report(lines: &[Line], deeds: &[((&'static str, String), Instant)], gaps: &[Duration]) {
    for kind in ["create", "delete"] {
        let done = deeds.iter().filter(|((what, _), _)| *what == kind).count();
        let all = lines.iter().filter_map(|line| told(line).filter(|(what, _)| what == kind).map(|(_, name)| (name, line.by)));
        let all: Vec<(String, usize)> = all.collect();
        let names: BTreeSet<&String> = all.iter().map(|(name, _)| name).collect();
        let own: BTreeSet<&(String, usize)> = all.iter().collect();
        let (total, names, own) = (all.len(), names.len(), own.len());
        println!(
            "{kind}: {done} done, {names} told, {total} messages; {} duplicates, {} of them by the same holder",
            total - names,
            total - own
        );
    }
    println!("from the kill to the next holder's first line: {gaps:?}");
}

#[tokio::test]
async fn a_holder_that_stops_hands_over_at_once_and_whoever_stands_by_is_ready_and_says_so() {
    let Some(server) = server().await else { return };
    let mut replicas = replicas(&server, GALILEO);
    let (mut holder, other) = two(&mut replicas).await;
    server.create_pod(&pod("shop", "before", "n1")).await.unwrap();
    until_told(&replicas, "before").await;

    let (ready, text) = other.program.get("/readyz").await.unwrap();
    assert!(ready, "{text}");
    let (held, waiting) = (status(&holder.program).await["lease"].clone(), status(&other.program).await["lease"].clone());
    assert_eq!((&held["held"], &waiting["held"]), (&true.into(), &false.into()));
    assert_eq!((&held["holder"], &held["name"], &held["namespace"]), (&held["identity"], &"sluicebox".into(), &"default".into()));
    assert_eq!(waiting["holder"], held["identity"]);
    let identity = held["identity"].as_str().unwrap();
    for (replica, words) in [(&holder, "lease held"), (&other, "standing by: somebody else holds the lease")] {
        let log = replica.program.log().unwrap();
        let told: Vec<&str> = log.lines().filter(|line| line.contains(words)).collect();
        assert!(told.len() == 1 && told[0].contains(identity), "{log}");
    }
    let metrics = other.program.metrics(&["sluicebox_lease_"]).await.unwrap();
    let expected = [
        "sluicebox_lease_held 0",
        "sluicebox_lease_terms_total 0",
        "sluicebox_lease_failures_total 0",
        "sluicebox_lease_renewal_failures_total 0",
    ];
    assert_eq!(metrics, expected);

    assert!(holder.program.stop(PATIENCE).await.unwrap().success());
    let stopped = Instant::now();
    let pause = other.until_it_holds().await - stopped;
    println!("handed over within {pause:?}");
    assert!(pause <= RETRY_PERIOD + SLACK, "{pause:?}");
    server.create_pod(&pod("shop", "after", "n1")).await.unwrap();
    until_told(&replicas, "after").await;
    replicas.never_two();
}

#[tokio::test]
async fn a_holder_that_was_frozen_says_nothing_when_it_goes_on() {
    let Some(server) = server().await else { return };
    let mut replicas = replicas(&server, GALILEO);
    let (holder, other) = two(&mut replicas).await;
    server.create_pod(&pod("shop", "before", "n1")).await.unwrap();
    until_told(&replicas, "before").await;
    // Not in the middle of a line.
    tokio::time::sleep(Duration::from_millis(300)).await;
    holder.signal("-STOP");
    let frozen = Instant::now();
    other.until_it_holds().await;
    println!("frozen, and {:?} later another one holds the lease", frozen.elapsed());
    for number in 0..20 {
        server.create_pod(&pod("shop", &format!("meanwhile{number}"), "n1")).await.unwrap();
    }
    until_told(&replicas, "meanwhile19").await;
    let written = |by: usize| replicas.lines().iter().filter(|line| line.by == by).count();
    let before = written(holder.number);
    holder.signal("-CONT");
    server.create_pod(&pod("shop", "after", "n1")).await.unwrap();
    until_told(&replicas, "after").await;
    tokio::time::sleep(2 * DURATION).await;
    assert_eq!(written(holder.number), before, "it has written, and it was not its turn");
    let log = holder.program.log().unwrap();
    assert!(log.contains("lease lost: it could not be renewed in time") && log.contains("standing by"), "{log}");
    replicas.never_two();
}

#[tokio::test]
async fn a_module_for_the_cluster_has_sources_of_its_own_beside_those_of_the_node() {
    let Some(server) = server().await else { return };
    let rest = "lease: {duration: 3s, renew-deadline: 2s, retry-period: 500ms}\n\
        sources: {pods: {}, services: {}}\n\
        modules:\n\
        \x20 everywhere: {use: json-lines, from: [pods], to: [lines]}\n\
        \x20 once: {use: galileo-events, scope: cluster, settings: {schema: pod}, to: [lines]}\n\
        sinks: {lines: {stdout: {}}}\n";
    let mut replicas = replicas(&server, rest);
    let (mut holder, other) = two(&mut replicas).await;
    for (name, node) in [("here", "n1"), ("there", "n2")] {
        server.create_pod(&pod("shop", name, node)).await.unwrap();
        until_told(&replicas, name).await;
    }
    let count =
        |by: usize, words: &str| replicas.lines().iter().filter(|line| line.by == by && line.text.contains(words)).count();
    let added = "\"change\":\"added\"";
    let begin = Instant::now();
    while count(holder.number, added) == 0 || count(other.number, added) == 0 {
        assert!(begin.elapsed() < PATIENCE, "{:#?}", replicas.lines());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Whatever else would come.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for name in ["here", "there"] {
        let told =
            |by: usize| replicas.lines().iter().filter(|line| line.by == by && created(line).as_deref() == Some(name)).count();
        assert_eq!((told(holder.number), told(other.number)), (1, 0), "{name}");
    }
    // Both of these run on the node `n1`.
    for replica in [&holder, &other] {
        assert!(count(replica.number, added) == 1, "{:#?}", replicas.lines());
    }
    let labels = other.program.metrics(&["sluicebox_source_listed{"]).await.unwrap();
    assert!(labels.iter().any(|line| line.contains("source=\"pods\",lane=\"once\"")), "{labels:?}");
    holder.program.kill().unwrap();
    other.until_it_holds().await;
    let begin = Instant::now();
    while replicas.lines().iter().filter(|line| line.by == other.number && created(line).is_some()).count() < 2 {
        assert!(begin.elapsed() < PATIENCE, "the next holder does not tell of both");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
