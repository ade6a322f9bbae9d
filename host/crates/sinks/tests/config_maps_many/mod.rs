//! Many writers of one `ConfigMap`: how many requests that takes; and two programs that take themselves for the same one.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use sluicebox_contract::{ByteSize, TimeSpan};
use sluicebox_kubernetes::Api;
use sluicebox_sinks::config_maps::{Config, ConfigMaps};
use sluicebox_testkit::servers::KubeApiServer;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::config_maps_cluster::{alone, shared, way, work, write, write_all};
use crate::entries::document;

/// How often `ConfigMap`s were asked for, by verb and status, as the API server has counted.
async fn requests(server: &KubeApiServer) -> BTreeMap<String, u64> {
    let api = Api::connect(&way(server, server.admin_token())).await.expect("a way");
    let request = Request::builder().method(Method::GET).uri("/metrics").body(Vec::new()).expect("a request");
    let answer = api.send(request, "cannot read the metrics").await.expect("an answer");
    let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{") && line.contains("\"configmaps\"")) {
        let label = |name: &str| Some(line.split_once(&format!("{name}=\""))?.1.split_once('"')?.0);
        let (Some(verb), Some(code), Some((_, count))) = (label("verb"), label("code"), line.rsplit_once(' ')) else { continue };
        // What is about single ones.
        if line.contains("scope=\"resource\"") {
            *counts.entry(format!("{verb} {code}")).or_default() += count.parse::<u64>().expect("a count");
        }
    }
    counts
}

/// What each of many writers does: so many keys change with each period.
async fn change(number: usize, keys: usize, mut sink: ConfigMaps, end: Instant, pause: Duration) -> BTreeMap<String, String> {
    let mut written = BTreeMap::new();
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        let next = Instant::now() + pause;
        let entries: Vec<_> = (0..keys)
            .map(|key| document(&format!("10.0.{number}.{key}-10.1.0.1-53"), &format!("{{\"sent\":{round}}}")))
            .collect();
        // Whole, as an outlet hands it over to a sink that writes once each period.
        write(&mut sink, &entries).await;
        for key in 0..keys {
            written.insert(format!("10.0.{number}.{key}-10.1.0.1-53"), format!("{{\"sent\":{round}}}"));
        }
        sleep_until(next).await;
    }
    written
}

/// What so many writers cost; says the requests by verb and status.
#[allow(clippy::print_stdout, reason = "the figures are what one test is for")]
async fn many(
    namespace: &'static str,
    writers: usize,
    keys: usize,
    period: Duration,
    span: Duration,
) -> Option<BTreeMap<String, u64>> {
    let namespace = alone(namespace).await?;
    let config = Config { period: TimeSpan(period), resync: TimeSpan(Duration::from_secs(5)), ..namespace.config() };
    let mut sinks = Vec::new();
    for number in 0..writers {
        sinks.push(namespace.sink(&format!("n{number}"), &config).await);
    }
    let before = requests(&namespace.server).await;
    let begin = Instant::now();
    let all = sinks.into_iter().enumerate().map(|(number, sink)| async move {
        // They do not all begin at once.
        sleep(period * u32::try_from(number).expect("small") / u32::try_from(writers).expect("small")).await;
        change(number, keys, sink, begin + span, period).await
    });
    let written = join_all(all).await;
    let took = begin.elapsed();
    let mut counts = requests(&namespace.server).await;
    for (what, count) in &mut counts {
        *count -= before.get(what).copied().unwrap_or_default();
    }
    counts.retain(|_, count| *count > 0);
    println!("{writers} writers, {keys} keys each, every {period:?}: {counts:?} in {took:?}");
    let expected: BTreeMap<_, _> = written.into_iter().flatten().collect();
    assert_eq!(expected.len(), writers * keys);
    assert_eq!(namespace.keys("m").await, expected);
    Some(counts)
}

#[tokio::test]
async fn many_writers_need_one_request_for_a_write() {
    let span = Duration::from_secs(10);
    let Some(counts) = many("many", 10, 50, Duration::from_millis(300), span).await else { return };
    let count = |what: &str| counts.get(what).copied().unwrap_or_default();
    assert!(count("APPLY 200") + count("PATCH 200") > 150, "{counts:?}");
    let conflicts = counts.iter().filter(|(what, _)| what.ends_with(" 409") && !what.starts_with("POST"));
    assert!(conflicts.map(|(_, count)| count).sum::<u64>() <= 5, "{counts:?}");
    // One at the start, when it may be missing and be made by somebody else meanwhile, and one each five seconds.
    assert!(count("GET 200") <= 10 * 4, "{counts:?}");
}

#[tokio::test]
#[ignore = "more than a minute, for the figures in the documentation"]
async fn how_many_writers_one_bears() {
    for (namespace, writers, period) in [("w25", 25, 5), ("w50", 50, 30)] {
        many(namespace, writers, 100, Duration::from_secs(period), Duration::from_secs(period * 2)).await;
    }
}

#[tokio::test]
async fn writers_of_little_never_exceed_the_budget_together() {
    const BUDGET: usize = 24_000;
    let Some(namespace) = shared("little").await else { return };
    let config = Config { budget: ByteSize(BUDGET as u64), ..namespace.config() };
    let end = Instant::now() + Duration::from_secs(15);
    let writer = async |node: &str| {
        let mut sink = namespace.sink(node, &config).await;
        for round in 0_usize.. {
            if Instant::now() >= end {
                break;
            }
            // Less than what needs no version, until it is half full.
            let entries: Vec<_> =
                (0..10).map(|number| document(&format!("{node}-{}", round * 10 + number), &"x".repeat(40))).collect();
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
    let (most, (), (), (), ()) = tokio::join!(observer, writer("n1"), writer("n2"), writer("n3"), writer("n4"));
    assert!(most > BUDGET * 9 / 10, "{most} bytes are not what it is about");
}

/// The warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("sluicebox")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().expect("a lock").push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _written = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl Warnings {
    fn of_twins(&self) -> Vec<String> {
        let all = self.0.lock().expect("a lock");
        all.iter().filter(|line| line.contains("two collectors have the same `owner`: give each its own")).cloned().collect()
    }
}

#[tokio::test]
async fn two_of_the_same_owner_are_told_ever_more_rarely() {
    let Some(namespace) = shared("twins").await else { return };
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let config = Config { resync: TimeSpan(Duration::from_secs(1)), ..namespace.config() };
    let mut one = namespace.sink("n1", &config).await;
    let mut other = namespace.sink("n2", &config).await;
    write(&mut one, &[document("one", "1")]).await;
    write(&mut other, &[document("other", "1")]).await;
    namespace.patch("m", serde_json::json!({"data": {"one": "2", "theirs": "1"}})).await;
    tokio::join!(work(&mut one, Duration::from_secs(3)), work(&mut other, Duration::from_secs(3)));
    write(&mut one, &[document("one", "3")]).await;
    drop(one);
    // One that has been started again is nobody else.
    let mut one = namespace.sink("n1", &config).await;
    write(&mut one, &[document("one", "4"), document("more", "1")]).await;
    work(&mut one, Duration::from_secs(3)).await;
    assert_eq!(warnings.of_twins(), Vec::<String>::new());
    let mut twin = namespace.sink("n1", &config).await;
    for round in 0..10 {
        write(&mut one, &[document("one", &round.to_string())]).await;
        write(&mut twin, &[document("twin", &round.to_string())]).await;
        tokio::join!(work(&mut one, Duration::from_secs(1)), work(&mut twin, Duration::from_secs(1)));
    }
    let told = warnings.of_twins();
    assert!((1..=8).contains(&told.len()), "{told:#?}");
    assert!(told[0].contains("config_map=\"m\"") && told[0].contains("so_far=1"), "{told:#?}");
}
