//! Prometheus to Kafka, once for the whole cluster: two replicas of the program, a real API server, a real Prometheus and a real broker, and a
//! holder of the lease that is killed ten times; and what none of them could tell while one of the three was away.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use sluicebox_testkit::servers::{KubeApiServer, Need, PrometheusOptions, PrometheusServer, require};
use support::kafka;
use support::replicas::{Replicas, in_order};

const TOPIC: &str = "nfvi.ncsrd.kubernetes";
const LEASE: Duration = Duration::from_secs(3);
/// Half a second between two looks at the lease, and what a busy machine adds.
const SLACK: Duration = Duration::from_secs(2);
/// Times that the holder is killed.
const KILLS: usize = 10;

/// The second of a datum, and how often it was told.
type Seconds = BTreeMap<i64, usize>;

fn seconds(records: &[kafka::Record], metric: &str) -> Seconds {
    let mut seconds = Seconds::new();
    for record in records {
        let message: Value = serde_json::from_str(&record.value).unwrap();
        for datum in message["data"].as_array().unwrap().iter().filter(|_| message["metric_type"] == metric) {
            *seconds.entry(second_of(datum["timestamp"].as_str().unwrap())).or_default() += 1;
        }
    }
    seconds
}

/// `2026-11-29T02:25:50.000000Z` as seconds of its day; the day may change once while this runs.
fn second_of(text: &str) -> i64 {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    assert_eq!(&text[19..], ".000000Z", "a multiple of the period: {text}");
    ((part(8..10) * 24 + part(11..13)) * 60 + part(14..16)) * 60 + part(17..19)
}

/// The longest time from one datum to the next.
fn longest_gap(seconds: &Seconds) -> i64 {
    let moments: Vec<i64> = seconds.keys().copied().collect();
    moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn configuration(prometheus: &PrometheusServer, broker: &str, catch_up: &str) -> String {
    let labelled = |query: &str| format!("label_replace({query}, \"label_vim_id\", \"x\", \"\", \"\")");
    format!(
        "lease: {{duration: 3s, renew-deadline: 2s, retry-period: 500ms}}\nshutdown-grace: 1s\n\
         sources:\n  prometheus:\n    url: {}\n    period: 1s\n    catch-up: {catch_up}\n    queries:\n\
         \x20     range: {{query: '{}', kind: range, type: gauge, unit: \"\"}}\n\
         \x20     instant: {{query: '{}', type: gauge, unit: \"\"}}\n\
         modules:\n  publisher: {{use: mape-kafka, to: [kafka]}}\nsinks:\n  kafka: {{kafka: {{brokers: [\"{broker}\"]}}}}\n",
        prometheus.url(),
        labelled("vector(1)"),
        labelled("vector(2)"),
    )
}

#[tokio::test]
async fn ten_killed_holders_leave_out_no_moment_of_a_range_and_none_for_longer_than_the_lease() {
    if !(require(Need::KubeApiServer) && require(Need::Prometheus) && kafka::can_run()) {
        return;
    }
    let (api, broker) = (KubeApiServer::start().await.unwrap(), kafka::broker(TOPIC).await);
    let prometheus = PrometheusServer::start(PrometheusOptions::default()).await.unwrap();
    let kube_config = api.kube_config(api.admin_token()).unwrap();
    let mut replicas = Replicas::new(&kube_config, &configuration(&prometheus, &broker.address(), "0s"));
    let (one, other) = (replicas.start().await, replicas.start().await);
    let (mut holder, mut other) = in_order(one, other).await;
    let mut takeovers = Vec::new();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(2300)).await;
        holder.program.kill().unwrap();
        let killed = Instant::now();
        let fresh = replicas.start().await;
        let (next, waits) = in_order(other, fresh).await;
        takeovers.push(killed.elapsed());
        (holder, other) = (next, waits);
    }
    tokio::time::sleep(Duration::from_millis(2300)).await;
    for replica in [&mut other, &mut holder] {
        assert!(replica.program.stop(Duration::from_secs(20)).await.unwrap().success());
    }
    let records = kafka::read(&broker, TOPIC).await;
    for metric in ["range", "instant"] {
        let seconds = seconds(&records, metric);
        let told: usize = seconds.values().sum();
        println!(
            "{metric}: {} moments, {} told more than once, {} duplicates in {KILLS} takeovers; longest gap {} s",
            seconds.len(),
            seconds.values().filter(|times| **times > 1).count(),
            told - seconds.len(),
            longest_gap(&seconds),
        );
    }
    println!("takeovers after {takeovers:?}");
    // A range that was not told by the one who was killed is told by the one who takes over.
    let range = seconds(&records, "range");
    assert_eq!(longest_gap(&range), 1, "{range:?}");
    let most = usize::try_from(LEASE.as_secs()).unwrap() + 3;
    assert!(range.values().sum::<usize>() - range.len() <= KILLS * most, "{range:?}");
    // One moment cannot be asked for afterwards: nobody asks until the lease is over, and the next turn comes.
    let instant = seconds(&records, "instant");
    assert!(takeovers.iter().all(|takeover| *takeover <= LEASE + SLACK), "{takeovers:?}");
    let bound = (LEASE + SLACK).as_secs() + 2;
    assert!(longest_gap(&instant) <= i64::try_from(bound).unwrap(), "{instant:?}");
    assert!(instant.values().all(|times| *times == 1), "no moment is told by two: {instant:?}");
}

#[tokio::test]
async fn what_nobody_could_tell_while_something_was_away_is_told_by_whoever_works_then() {
    if !(require(Need::KubeApiServer) && require(Need::Prometheus) && kafka::can_run()) {
        return;
    }
    let (api, broker) = (KubeApiServer::start().await.unwrap(), kafka::broker(TOPIC).await);
    let prometheus = PrometheusServer::start(PrometheusOptions::default()).await.unwrap();
    let kube_config = api.kube_config(api.admin_token()).unwrap();
    let mut replicas = Replicas::new(&kube_config, &configuration(&prometheus, &broker.address(), "1m"));
    let (one, other) = (replicas.start().await, replicas.start().await);
    let (mut holder, mut other) = in_order(one, other).await;
    let sleep = tokio::time::sleep;

    // Nobody can hold the lease.
    sleep(Duration::from_secs(3)).await;
    api.pause();
    sleep(3 * LEASE).await;
    assert!(!holder.holds().await);
    api.resume();
    (holder, other) = in_order(holder, other).await;
    sleep(Duration::from_secs(3)).await;

    // Nobody can ask, and who has known since when is killed.
    prometheus.pause();
    sleep(3 * LEASE).await;
    holder.program.kill().unwrap();
    let fresh = replicas.start().await;
    (holder, other) = in_order(other, fresh).await;
    prometheus.resume();
    sleep(Duration::from_secs(3)).await;

    // Nobody can write, and who has all of it in its queue is killed.
    broker.pause();
    sleep(3 * LEASE).await;
    holder.program.kill().unwrap();
    let fresh = replicas.start().await;
    (holder, other) = in_order(other, fresh).await;
    broker.resume();
    sleep(Duration::from_secs(3)).await;

    // Nor can who is told to stop.
    broker.pause();
    sleep(LEASE).await;
    holder.signal("-TERM");
    let status = holder.program.stop(Duration::from_secs(20)).await.unwrap();
    assert!(!status.success(), "what is not written is told of");
    let fresh = replicas.start().await;
    (holder, other) = in_order(other, fresh).await;
    broker.resume();
    sleep(Duration::from_secs(8)).await;

    for replica in [&mut other, &mut holder] {
        assert!(replica.program.stop(Duration::from_secs(20)).await.unwrap().success());
    }
    let range = seconds(&kafka::read(&broker, TOPIC).await, "range");
    println!("{} moments, told {} times", range.len(), range.values().sum::<usize>());
    assert_eq!(longest_gap(&range), 1, "{range:?}");
    assert!(range.len() > 40, "{range:?}");
}
