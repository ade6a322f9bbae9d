//! A lane waits for its sink, which takes nothing, while a change is asked for: the change is refused in time, the log and `/status` say
//! why, others go on, and it is made when it can be.

mod support;

use std::time::Duration;

use sluicebox_testkit::api_server::ApiServer;
use support::node::{lines, with_lanes};
use support::{PATIENCE, Place, module, pending, status_of, unread, until};

#[tokio::test]
async fn a_lane_that_waits_for_its_sink_refuses_a_swap_in_time_and_holds_up_nobody() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let rest = |stuck: &str, free: &str| {
        format!(
            "sources: {{pods: {{}}}}\n\
             reload: {{poll: 500ms, debounce: 50ms}}\n\
             modules:\n\
             \x20 stuck: {{use: \"{0}\", settings: {stuck}, limits: {{deadline: 2s}}, queue: {{items: 8}}, when-full: drop-oldest, to: [out]}}\n\
             \x20 free: {{use: fluent-bit-meta, settings: {free}, to: [folder]}}\n\
             sinks: {{out: {{stdout: {{}}, queue: {{items: 1}}}}, folder: {{files: {{directory: \"{1}\"}}}}}}\n",
            module("json-lines").display(),
            place.path("files").display(),
        )
    };
    let config = place.configure(&api.url(), &rest("{}", "{}"));
    let (mut program, open) = unread(&place, &config);
    program.until_ready(PATIENCE).await.unwrap();
    for number in 0..100 {
        let mut pod = pending(&format!("pod-{number}"));
        pod["metadata"]["annotations"] = serde_json::json!({"long": "x".repeat(20_000)});
        api.create_pod(pod).unwrap();
    }
    let files = place.path("files");
    until(&program, "the other lane writes all", async || files.join("shop_pod-99.meta").is_file()).await;
    until(&program, "the lane is stuck", async || {
        program.metric("sluicebox_lane_dropped_events_total", "reason=\"overflow\"").await.unwrap() > 0.0
    })
    .await;

    place.reconfigure(&api.url(), &rest("{fields: compact}", "{retention: 5s}"));
    until(&program, "the free lane swaps", async || status_of(&program, "free").await["swapped"] == 1).await;
    assert!(status_of(&program, "stuck").await["refused"].is_null());
    let begin = std::time::Instant::now();
    while status_of(&program, "stuck").await["refused"].is_null() {
        assert!(begin.elapsed() < Duration::from_mins(1), "the swap hangs:\n{}", program.log().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused = status_of(&program, "stuck").await["refused"].clone();
    assert_eq!(refused["step"], "waiting for the end of a batch", "{refused:#}");
    assert!(refused["reason"].as_str().unwrap().contains("does the lane wait for its sink?"), "{refused:#}");
    api.create_pod(pending("after")).unwrap();
    until(&program, "the free lane goes on", async || files.join("shop_after.meta").is_file()).await;

    drop(open);
    place.reconfigure(&api.url(), &rest("{fields: compact, channel: c}", "{retention: 5s}"));
    until(&program, "the lane swaps when it can", async || status_of(&program, "stuck").await["swapped"] == 1).await;
    api.create_pod(pending("last")).unwrap();
    let compact = |line: &String| line.contains("\"last\"") && !line.contains("\"object\"");
    program.until_lines(PATIENCE, |lines| lines.iter().any(compact)).await.unwrap();
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn a_lane_that_cannot_end_does_not_begin_anew_until_it_has_and_says_so() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let before = with_lanes(&[&lines("stuck", "fields: full", ", queue: {items: 8}, when-full: drop-oldest")]);
    let before = before.replace("{out: {", "{out: {queue: {items: 1}, ");
    let config = place.configure(&api.url(), &before);
    let (mut program, open) = unread(&place, &config);
    program.until_ready(PATIENCE).await.unwrap();
    for number in 0..100 {
        let mut pod = pending(&format!("pod-{number}"));
        pod["metadata"]["annotations"] = serde_json::json!({"long": "x".repeat(20_000)});
        api.create_pod(pod).unwrap();
    }
    let dropped = async || program.metric("sluicebox_lane_dropped_events_total", "reason=\"overflow\"").await.unwrap();
    until(&program, "the lane is stuck", async || dropped().await > 0.0).await;
    place.reconfigure(&api.url(), &before.replace("[out]", "[again]"));
    let begin = std::time::Instant::now();
    let lane = async || status_of(&program, "stuck").await;
    while lane().await["refused"].is_null() {
        assert!(begin.elapsed() < Duration::from_mins(1), "it hangs:\n{}", program.log().unwrap());
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
    api.create_pod(pending("last")).unwrap();
    program.until_lines(PATIENCE, |lines| lines.iter().any(|line| line.contains("\\\"last\\\""))).await.unwrap();
    assert!(lane().await["refused"].is_null());
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}
