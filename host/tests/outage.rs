//! Redis refuses for a while: what happened meanwhile is published afterwards, in order, with the time at which it happened.

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, require};
use support::{PATIENCE, Place, pending, running};

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[tokio::test]
async fn events_of_an_outage_keep_their_time_and_the_order_of_each_pod() {
    if !require(Need::Redis) {
        return;
    }
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let config = place.configure(
        &api.url(),
        &format!(
            "sources: {{pods: {{}}}}\nmodules: {{galileo: {{use: galileo-events, settings: {{schema: pod}}, to: [events]}}}}\n\
             sinks: {{events: {{redis: {{url: \"{}\"}}}}}}\n",
            redis.url()
        ),
    );
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    // A subscriber hears only what is published while it is there, so the outage is one of rights and not of the server.
    let mut heard = redis.subscribe("galileo/events").await.unwrap();
    redis.command(&["ACL", "SETUSER", "default", "-publish"]).await.unwrap();
    for number in 0..10 {
        let name = format!("pod-{number}");
        api.create_pod(pending(&name)).unwrap();
        api.patch_status("shop", &name, &running('a')).unwrap();
        api.delete_pod("shop", &name).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (_, ready) = program.get("/readyz").await.unwrap();
    assert!(ready.contains("[-] sink events: does not take entries; they wait"), "{ready}");
    let end = now();
    redis.command(&["ACL", "SETUSER", "default", "+publish"]).await.unwrap();

    let mut told: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for _ in 0..40 {
        let (_, message) = heard.next().await.unwrap();
        let mut parts = message.splitn(3, ' ');
        let (time, event, json) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        assert!(time.parse::<f64>().unwrap() < end - 1.0, "published with the time of the publication: {message}");
        let pod: serde_json::Value = serde_json::from_str(json).unwrap();
        told.entry(pod["name"].as_str().unwrap().to_owned()).or_default().push(event.to_owned());
    }
    assert_eq!(told.len(), 10);
    for (pod, events) in told {
        assert_eq!(events, ["pod/create", "pod/running", "pod/shutdown", "pod/delete"], "{pod}");
    }
    let warnings = program.log().unwrap().lines().filter(|line| line.contains("does not take entries")).count();
    assert_eq!(warnings, 1, "one warning for one outage");
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn three_modules_share_one_watch() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let config = place.configure(
        &api.url(),
        "sources: {pods: {}}\n\
         modules: {a: {use: json-lines, to: [out]}, b: {use: json-lines, to: [out]}, c: {use: galileo-events, to: [out]}}\n\
         sinks: {out: {stdout: {}}}\n",
    );
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    api.create_pod(pending("web")).unwrap();
    program.until_lines(PATIENCE, |lines| lines.len() >= 2).await.unwrap();
    let requests = api.requests();
    assert_eq!(requests.iter().filter(|request| request.is_watch()).count(), 1, "{requests:?}");
    assert_eq!(requests.iter().filter(|request| !request.is_watch()).count(), 1, "{requests:?}");
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn a_sink_that_is_away_at_the_end_is_named_and_a_second_signal_hurries() {
    let api = ApiServer::start().await.unwrap();
    for (hurry, grace) in [(false, "1s"), (true, "1h")] {
        let place = Place::new();
        // Nothing listens on port 1.
        let config = place.configure(
            &api.url(),
            &format!(
                "sources: {{pods: {{}}}}\nmodules: {{a: {{use: json-lines, settings: {{channel: c}}, to: [away]}}}}\n\
                 sinks: {{away: {{redis: {{url: \"redis://127.0.0.1:1\"}}}}}}\nshutdown-grace: {grace}\n"
            ),
        );
        let mut program = place.run(&config);
        program.until_ready(PATIENCE).await.unwrap();
        api.create_pod(pending(&format!("web-{grace}"))).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        if hurry {
            assert!(program.stop(Duration::from_millis(500)).await.is_err(), "it ended although an entry was not written");
        }
        let status = program.stop(Duration::from_secs(5)).await.unwrap();
        let log = program.log().unwrap();
        assert_eq!(status.code(), Some(1), "something accepted was lost:\n{log}");
        let expected = if hurry { "asked to stop a second time" } else { "sink away" };
        assert!(log.contains(expected), "{log}");
    }
}
