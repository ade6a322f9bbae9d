//! The source `scrape` with targets that are broken or hostile: each costs a page and is told, and the next good one is told, too.

#[path = "cluster/log.rs"]
#[allow(dead_code, reason = "this test program uses a part of it")]
mod log;
mod scraped;

use std::time::Duration;

use scraped::{Bench, is_up};
use serde_json::json;
use sluicebox_testkit::http::{Answer, PageServer, gzip_bomb};

/// After such an answer the target is told as down with these words, and a good answer is told.
async fn survives(answer: Answer, words: &str) {
    let shown = format!("{answer:?}").chars().take(80).collect::<String>();
    let server = PageServer::start(answer).await.unwrap();
    let target = json!({"url": format!("http://{}/", server.address()), "period": "500ms"});
    let bench = Bench::run(&json!({"targets": {"a": target}, "max-answer-bytes": "256KiB"}));
    let cycle = bench.told.cycle("a", |_| true).await;
    let failure = cycle[0].failure.clone().unwrap_or_default();
    assert!(failure.contains(words), "{shown}: {failure}");
    assert!(!is_up(&cycle) && cycle.len() == 2 && cycle[1].samples.len() == 1, "{shown}");
    assert!(bench.meter.retries.get() > 0 && bench.meter.connected.get() == 0 && bench.told.listed() == 0, "{shown}");
    server.answer(Answer::Report(b"a 1\n".to_vec()));
    let cycle = bench.told.cycle("a", is_up).await;
    assert!(bench.is_running() && bench.told.lines(&cycle)[0].ends_with(" 1"), "{shown}");
}

#[tokio::test]
async fn an_endless_page() {
    survives(Answer::Endless(b"a{x=\"1\"} 1\n".repeat(4096)), "more than 262144 bytes").await;
    survives(Answer::Endless(b"a".repeat(1 << 16)), "more than 262144 bytes").await;
    survives(Answer::Endless(b"\n".repeat(1 << 16)), "more than 262144 bytes").await;
}

#[tokio::test]
async fn a_gzip_bomb() {
    survives(gzip_bomb(400 << 20), "more than 262144 bytes").await;
}

#[tokio::test]
async fn a_page_for_people() {
    survives(
        Answer::Typed("text/html", b"<!DOCTYPE html>\n<html>\n<a href=\"/metrics\">Metrics</a>".to_vec()),
        "no page of metrics: it begins with `<!DOCTYPE html>`",
    )
    .await;
    survives(Answer::Report(b"{\"status\":\"success\"}".to_vec()), "no page of metrics").await;
    survives(Answer::Report(vec![0; 100_000]), "no page of metrics").await;
}

#[tokio::test]
async fn a_page_that_is_cut_short() {
    survives(Answer::TooShort(100, b"a 1\nb 2\n".to_vec()), "the exchange failed").await;
    survives(Answer::Reset(b"a 1\nb 2\n".repeat(100)), "the exchange failed").await;
    // Nothing but the connection says where it ends: the number may have been longer.
    survives(Answer::Raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na 1\nb 12".to_vec()), "ends without a line feed").await;
    survives(Answer::Typed("application/openmetrics-text", b"a 1\n".to_vec()), "ends before its `# EOF`").await;
    survives(Answer::Typed("application/openmetrics-text", b"a 1\n# EOF\na 2\n".to_vec()), "goes on after its `# EOF`").await;
}

#[tokio::test]
async fn a_page_that_takes_too_long() {
    survives(Answer::Silence, "within 475ms").await;
    survives(Answer::Late(Duration::from_secs(2), b"a 1\n".to_vec()), "within 475ms").await;
    survives(Answer::Drip(Duration::from_millis(100), b"a 1\n".repeat(100)), "within 475ms").await;
}

#[tokio::test]
async fn another_status_is_told_with_its_words() {
    survives(
        Answer::Status(500, b"collector   failed\n".to_vec()),
        "it answers with status 500 Internal Server Error: collector failed",
    )
    .await;
    survives(Answer::Status(302, Vec::new()), "it answers with status 302 Found").await;
    survives(Answer::Raw(b"hello\r\n\r\n".to_vec()), "the exchange failed").await;
    survives(Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\na 1\n".to_vec()), "the exchange failed").await;
}

/// What nobody listens to is told likewise.
#[tokio::test]
async fn nobody_is_there() {
    let address = PageServer::start(Answer::Silence).await.unwrap().address();
    let target = json!({"url": format!("http://{address}/"), "period": "200ms"});
    let bench = Bench::run(&json!({"targets": {"a": target}}));
    let cycle = bench.told.cycle("a", |cycle| bench.told.lines(cycle)[0].contains("cannot connect")).await;
    assert_eq!(bench.told.lines(&cycle)[1], format!("up gauge: up{{instance={address},job=a}} 0"));
}

/// So many series of one metric, all of them other ones in each round.
fn series(count: u32, round: u32) -> Answer {
    let lines: Vec<String> = (0..count).map(|number| format!("a{{x=\"{round}-{number}\"}} 1\n")).collect();
    Answer::Report(lines.concat().into_bytes())
}

#[tokio::test]
async fn labels_that_change_all_the_time_keep_none_of_those_that_are_there_out() {
    let server = PageServer::start(series(80, 0)).await.unwrap();
    let target = json!({"url": format!("http://{}/", server.address()), "period": "200ms"});
    let bench = Bench::run(&json!({"targets": {"a": target}, "max-series": 100}));
    let mut last = 0;
    for round in 1..5 {
        let cycle = bench.told.cycle("a", |cycle| cycle[0].samples[0].subject.0 > last).await;
        last = cycle[0].samples[79].subject.0;
        server.answer(series(80, round));
    }
    assert!(bench.told.cycles("a").iter().all(|cycle| cycle[0].samples.len() == 80));
    assert_eq!((bench.meter.subjects.get(), bench.meter.beyond_limit.get()), (101, 0));
}

#[tokio::test]
async fn a_large_target_leaves_the_others_their_share() {
    log::Log.catch();
    let large = PageServer::start(series(100, 0)).await.unwrap();
    let small = PageServer::start(Answer::Report(Vec::new())).await.unwrap();
    let target = |server: &PageServer| json!({"url": format!("http://{}/", server.address()), "period": "200ms"});
    let bench = Bench::run(&json!({"targets": {"large": target(&large), "small": target(&small)}, "max-series": 20}));
    bench.told.cycle("large", |cycle| cycle[0].samples.len() == 20).await;
    small.answer(series(8, 1));
    let cycle = bench.told.cycle("small", |cycle| cycle.len() == 2).await;
    assert_eq!((cycle[0].samples.len(), cycle[1].warnings.len()), (8, 0));
    let cycle = bench.told.cycle("large", |cycle| cycle[0].samples.len() == 12).await;
    assert_eq!(cycle[1].warnings, ["88 series are left out because there are more than `max-series`"]);
    let line = log::Log.until("more series than there is room for").await;
    assert!(line.contains("target_name=\"large\""), "{line}");
    assert!(bench.told.cycles("small").iter().all(|cycle| cycle.len() == 1 || cycle[0].samples.len() == 8));
}

#[tokio::test]
async fn whether_a_target_is_up_has_room_however_little_there_is_for_labels() {
    let server = PageServer::start(series(100, 0)).await.unwrap();
    let target =
        |zone: &str| json!({"url": format!("http://{}/", server.address()), "period": "200ms", "labels": {"zone": zone}});
    let long = "z".repeat(2_000);
    let bench = Bench::run(&json!({"targets": {"a": target(&long), "b": target("z")}, "max-series-bytes": "1KiB"}));
    let cycle = bench.told.cycle("a", is_up).await;
    assert_eq!((cycle[0].samples.len(), cycle[1].samples.len()), (0, 1));
    assert!(bench.told.lines(&bench.told.cycle("b", is_up).await).last().is_some_and(|line| line.ends_with(",zone=z} 1")));
}

/// Those who ask and those who probe share a thread with the source.
#[tokio::test]
async fn a_page_of_many_lines_holds_nobody_up() {
    let page: Vec<u8> = b"a{x=\"1\",y=\"a value\"} 1\n".repeat(500_000);
    let server = PageServer::start(Answer::Report(page)).await.unwrap();
    let target = json!({"url": format!("http://{}/", server.address()), "period": "20s", "timeout": "15s"});
    let bench = Bench::run(&json!({"targets": {"a": target}}));
    let cycle = bench.told.cycle("a", is_up).await;
    assert_eq!(cycle[1].warnings, ["499999 samples are left out because their series stand on the page before"]);
}
