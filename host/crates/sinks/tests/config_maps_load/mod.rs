//! Several collectors that write to the same `ConfigMap`s at once.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use sluicebox_contract::{ByteSize, TimeSpan};
use sluicebox_sinks::config_maps::{Config, ConfigMaps};
use tokio::time::{Instant, sleep};

use crate::config_maps_cluster::{shared, write_all};
use crate::entries::{document, forget};

/// What a collector has written, by key.
type Written = BTreeMap<String, String>;

/// Puts new keys and new values, and forgets old ones, until the time has come.
async fn collect(node: &str, mut sink: ConfigMaps, end: Instant) -> (Written, ConfigMaps) {
    let mut written = Written::new();
    for round in 0_u32.. {
        if Instant::now() >= end {
            break;
        }
        let mut entries = Vec::new();
        for number in 0..40 {
            let (key, value) = (format!("{node}-10.0.0.{number}-53"), format!("{{\"sent\":{}}}", u64::from(round) * number));
            entries.push(document(&key, &value));
            written.insert(key, value);
        }
        let (comes, goes) = (format!("{node}-round-{round}"), format!("{node}-round-{}", round.saturating_sub(20)));
        entries.push(document(&comes, "x"));
        written.insert(comes, "x".to_owned());
        if round > 20 {
            entries.push(forget(&goes));
            written.remove(&goes);
        }
        assert_eq!(write_all(&mut sink, &entries).await, Vec::<String>::new());
    }
    (written, sink)
}

#[tokio::test]
async fn for_a_minute_of_three_collectors_no_key_is_lost() {
    let Some(namespace) = shared("load").await else { return };
    let config = Config { shards: 2, resync: TimeSpan(Duration::from_secs(10)), ..namespace.config() };
    namespace.create("m", json!({})).await;
    let end = Instant::now() + Duration::from_mins(1);
    let mut sinks = Vec::new();
    for node in ["n1", "n2", "n3"] {
        sinks.push((node, namespace.sink(node, &config).await));
    }
    let stranger = async {
        for round in 0.. {
            if Instant::now() >= end {
                break;
            }
            sleep(Duration::from_millis(700)).await;
            let patch = json!({"data": {"theirs": format!("{round}")}});
            namespace.patch("m", patch).await;
        }
    };
    let collectors = join_all(sinks.into_iter().map(|(node, sink)| collect(node, sink, end)));
    let (collectors, ()) = tokio::join!(collectors, stranger);
    let mut there = namespace.keys("m").await;
    assert!(there.remove("theirs").is_some());
    there.extend(namespace.keys("m-1").await);
    let mut expected = Written::new();
    for (written, _) in &collectors {
        expected.extend(written.clone());
    }
    assert_eq!(there.len(), expected.len());
    assert_eq!(there, expected);
}

#[tokio::test]
async fn three_writers_never_exceed_the_budget_together() {
    const BUDGET: usize = 12_000;
    let Some(namespace) = shared("budget").await else { return };
    let config = Config { budget: ByteSize(BUDGET as u64), ..namespace.config() };
    let end = Instant::now() + Duration::from_secs(15);
    let writer = async |node: &str| {
        let mut sink = namespace.sink(node, &config).await;
        for round in 0_usize.. {
            if Instant::now() >= end {
                break;
            }
            let entries: Vec<_> = (0..20)
                .map(|number| {
                    document(&format!("{node}-{}", (round * 7 + number) % 300), &"x".repeat(20 + (round * number) % 180))
                })
                .collect();
            // The oldest of its own have to make room, be it those of the same batch.
            write_all(&mut sink, &entries).await;
        }
    };
    let observer = async {
        let mut most = 0;
        sleep(Duration::from_secs(1)).await;
        while Instant::now() < end {
            let keys = namespace.keys("m").await;
            let bytes: usize = keys.iter().map(|(key, value)| key.len() + value.len()).sum();
            assert!(bytes <= BUDGET, "{bytes} bytes");
            most = most.max(bytes);
            sleep(Duration::from_millis(15)).await;
        }
        most
    };
    let (most, (), (), ()) = tokio::join!(observer, writer("n1"), writer("n2"), writer("n3"));
    assert!(most > BUDGET * 9 / 10, "{most} bytes are not what it is about");
    let mut late = namespace.sink("n4", &config).await;
    let refused = write_all(&mut late, &[document("late", &"x".repeat(BUDGET / 3))]).await;
    assert!(refused.len() == 1 && refused[0].contains("of them by `sluicebox/n"), "{refused:?}");
}
