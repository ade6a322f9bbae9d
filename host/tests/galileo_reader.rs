//! The real reader: the subscriber of the package galileo-db takes what the program publishes, without a warning.

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, Reply, python, require};
use support::{PATIENCE, Place, pending, running};

/// Prints each event as JSON, and every log record of any level as a complaint.
const READER: &str = r#"
import json, logging, sys
import redis
from galileodb.recorder.events import RedisEventSubscriber

class Complain(logging.Handler):
    def emit(self, record):
        print(json.dumps({"complaint": record.getMessage()}), flush=True)

logging.getLogger().addHandler(Complain())
logging.getLogger().setLevel(logging.INFO)
connection = redis.Redis(port=int(sys.argv[1]), decode_responses=True)
for event in RedisEventSubscriber(connection).listen():
    value = getattr(event, "value", None)
    print(json.dumps({"timestamp": float(event.timestamp), "name": event.name, "value": value}), flush=True)
"#;

async fn read(schema: &str, foreign: &[&str], expected: usize) -> Vec<Value> {
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let mut reader =
        Command::new(python().unwrap()).args(["-c", READER, &redis.port().to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let begin = std::time::Instant::now();
    while redis.command(&["PUBSUB", "NUMPAT"]).await.unwrap() != Reply::Number(1) {
        assert!(reader.try_wait().unwrap().is_none(), "the reader has ended");
        assert!(begin.elapsed() < 3 * PATIENCE, "the reader has not subscribed");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let config = place.configure(
        &api.url(),
        &format!(
            "sources: {{pods: {{}}}}\nmodules: {{galileo: {{use: galileo-events, settings: {{schema: {schema}}}, to: [events]}}}}\n\
             sinks: {{events: {{redis: {{url: \"{}\"}}}}}}\n",
            redis.url()
        ),
    );
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    for line in foreign {
        redis.command(&["PUBLISH", "galileo/events", line]).await.unwrap();
    }
    api.create_pod(pending("web")).unwrap();
    api.patch_status("shop", "web", &running('a')).unwrap();
    api.delete_pod("shop", "web").unwrap();
    let output = reader.stdout.take().unwrap();
    let lines = tokio::time::timeout(
        PATIENCE,
        tokio::task::spawn_blocking(move || {
            BufReader::new(output).lines().take(expected).map(Result::unwrap).collect::<Vec<_>>()
        }),
    )
    .await;
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let lines = lines.expect("the reader has not said all events").unwrap();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["name"].as_str().unwrap_or_else(|| panic!("{event}"))).collect()
}

#[tokio::test]
async fn a34_the_recorder_s_subscriber_reads_container_events_and_foreign_lines_without_a_warning() {
    if !require(Need::Redis) || !require(Need::GalileoDb) {
        return;
    }
    let events = read("container", &["1. start function1", "2. stop function1", "3. exit"], 5).await;
    assert_eq!(names(&events), ["start", "stop", "exit", "pod/create", "pod/delete"]);
    let value: Value = serde_json::from_str(events[3]["value"].as_str().unwrap()).unwrap();
    assert_eq!((&value["podName"], &value["nodeName"]), (&"web".into(), &"n1".into()));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - events[3]["timestamp"].as_f64().unwrap()).abs() < 120.0, "{}", events[3]);
}

#[tokio::test]
async fn a34_the_recorder_s_subscriber_reads_pod_events_without_a_warning() {
    if !require(Need::Redis) || !require(Need::GalileoDb) {
        return;
    }
    let events = read("pod", &[], 4).await;
    assert_eq!(names(&events), ["pod/create", "pod/running", "pod/shutdown", "pod/delete"]);
    for event in &events {
        let value: Value = serde_json::from_str(event["value"].as_str().unwrap()).unwrap();
        assert!(value["labels"].is_object() && value["containers"].is_object(), "{value}");
    }
}
