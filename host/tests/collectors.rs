//! Three collectors of three nodes write to the same `ConfigMap`s of a real API server, for a minute and under load: in the end everything that
//! each of them has seen is there, and what one of them forgets, the others keep.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::http::Method;
use serde_json::Value;
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{KubeApiServer, Need, require};
use sluicebox_testkit::tracer::{Answer, Tracer};
use support::{PATIENCE, Place, SLOW, binary, until_within};

const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// How long they write.
const LOAD: Duration = Duration::from_mins(1);
/// Connections of each node.
const CONNECTIONS: usize = 300;

/// What the tracer of this node has seen: totals change with every round, so that every report has to be written.
fn report(node: usize, round: usize, connections: usize) -> Answer {
    let row = |number: usize| {
        format!(
            r#"{{"pid":1,"type":0,"source":"10.{node}.0.1","dest":"10.9.0.1","sport":{},"dport":80,"direction":2,"monotonic_sent_bytes":{round},"monotonic_recv_bytes":0,"monotonic_retransmits":0}}"#,
            1024 + number
        )
    };
    let rows: Vec<String> = (0..connections).map(row).collect();
    Answer::Report(format!(r#"{{"connections":[{}]}}"#, rows.join(",")).into())
}

fn keys(node: usize, connections: usize) -> BTreeSet<String> {
    (0..connections).map(|number| format!("10.{node}.0.1-10.9.0.1-{}-80", 1024 + number)).collect()
}

struct Collector {
    program: Program,
    tracer: Tracer,
    _place: Place,
}

impl Collector {
    fn start(node: usize, kube_config: &Path) -> Self {
        let place = Place::new();
        let socket = place.path("tracer.sock");
        let tracer = Tracer::start(&socket, report(node, 0, CONNECTIONS)).unwrap();
        let config = place.path("sluicebox.yaml");
        let text = format!(
            "node-name: {}\nkubernetes: {{access: kubeconfig, kubeconfig: {}}}\nadmin: {{listen: \"127.0.0.1:0\"}}\nlog: {{format: json}}\n\
             state-directory: {}\ncache-directory: {}\nsources:\n  tracer: {{socket: {}, period: 200ms, kubernetes: false}}\n\
             modules:\n  transactions: {{use: connection-transactions, settings: {{prune-after: 2s}}, to: [maps]}}\n\
             sinks:\n  maps: {{config-maps: {{name: transactions, period: 200ms, shards: 2}}}}\n",
            NODES[node],
            kube_config.display(),
            place.path("state").display(),
            place.path("cache").display(),
            socket.display(),
        );
        std::fs::write(&config, text).unwrap();
        let program = Program::start(binary(), &config, &place.path("log"), |_| {}).unwrap();
        Self { program, tracer, _place: place }
    }
}

async fn data(api: &KubeApiServer) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for name in ["transactions", "transactions-1"] {
        let path = format!("/api/v1/namespaces/default/configmaps/{name}");
        let Ok(map) = api.request(Method::GET, &path, None).await else { continue };
        all.extend(map["data"].as_object().cloned().unwrap_or_default());
    }
    all
}

#[tokio::test]
async fn nobody_loses_what_another_has_seen() {
    if !require(Need::KubeApiServer) {
        return;
    }
    let api = KubeApiServer::start().await.unwrap();
    let kube_config = api.kube_config(api.admin_token()).unwrap();
    let mut collectors: Vec<Collector> = (0..NODES.len()).map(|node| Collector::start(node, &kube_config)).collect();
    for collector in &mut collectors {
        collector.program.until_ready(SLOW).await.unwrap();
    }
    let begin = Instant::now();
    let mut round = 0;
    while begin.elapsed() < LOAD {
        round += 1;
        for (node, collector) in collectors.iter().enumerate() {
            collector.tracer.answer(report(node, round, CONNECTIONS));
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let expected: BTreeSet<String> = (0..NODES.len()).flat_map(|node| keys(node, CONNECTIONS)).collect();
    until_within(&collectors[0].program, SLOW, "every key of each is there, and up to date", async || {
        let found = data(&api).await;
        let last = format!("\"monotonic_sent_bytes\":{round},");
        found.len() == expected.len()
            && found
                .iter()
                .all(|(key, value)| expected.contains(key) && value.as_str().is_some_and(|value| value.contains(&last)))
    })
    .await;
    for collector in &collectors {
        let refused = collector.program.metric("sluicebox_sink_refused_total", "sink=\"maps\"").await.unwrap();
        assert!(refused.abs() < f64::EPSILON, "{}", collector.program.log().unwrap());
    }

    // One node has fewer connections, another one is killed: what the others have stays.
    collectors[0].tracer.answer(report(0, round, 100));
    collectors[1].program.kill().unwrap();
    let expected: BTreeSet<String> = keys(0, 100).into_iter().chain(keys(1, CONNECTIONS)).chain(keys(2, CONNECTIONS)).collect();
    until_within(&collectors[0].program, SLOW, "only what is over is forgotten", async || {
        data(&api).await.into_iter().map(|(key, _)| key).collect::<BTreeSet<_>>() == expected
    })
    .await;
    for collector in [0, 2] {
        assert!(collectors[collector].program.stop(PATIENCE).await.unwrap().success());
    }
}
