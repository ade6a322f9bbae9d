//! The tracer's source with a tracer that is broken or hostile: each costs a report and is counted, and the next good one is told.

mod traced;

use std::time::{Duration, Instant};

use sluicebox_contract::quantity::ByteSize;
use sluicebox_testkit::tracer::{Answer, SIX};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use traced::{Bench, many, millis, spawn};

/// After such answers there is no report, the program lives, and a good answer is told at once.
async fn survives(answer: Answer) -> Bench {
    let shown = format!("{answer:?}").chars().take(80).collect::<String>();
    let mut bench = Bench::new(answer);
    bench.config.timeout = Some(millis(300));
    bench.config.max_report_bytes = ByteSize(8 << 20);
    let source = bench.run().await;
    bench.failures(2).await;
    assert_eq!(bench.told.reports().len(), 0, "{shown}");
    assert_eq!(bench.meter.connected.get(), 0, "{shown}");
    bench.peer.answer(Answer::Report(SIX.into()));
    bench.told.more(1).await;
    assert_eq!(bench.told.reports()[0].connections.len(), 6, "{shown}");
    bench.told.until("it counts as there", |_| bench.meter.connected.get() == 1).await;
    assert!(!source.is_finished(), "{shown}");
    source.abort();
    bench
}

#[tokio::test]
async fn an_endless_body() {
    survives(Answer::Endless(b"                ".repeat(4096))).await;
    survives(Answer::Endless([b"{\"connections\":[".as_slice(), &b"{},".repeat(10_000)].concat())).await;
}

#[tokio::test]
async fn one_byte_a_second() {
    survives(Answer::Drip(Duration::from_secs(1), SIX.into())).await;
}

#[tokio::test]
async fn a_thousand_million_brackets() {
    survives(Answer::Endless(b"[".repeat(1 << 16))).await;
    survives(Answer::Endless(b"{\"connections\":".repeat(1 << 12))).await;
    let mut row = br#"{"connections":[{"source":"10.0.0.1","dest":"10.0.0.2","x":"#.to_vec();
    row.extend(b"[".repeat(1 << 20));
    survives(Answer::Report(row)).await;
}

#[tokio::test]
async fn a_text_and_a_number_without_end() {
    survives(Answer::Report([br#"{"x":""#.as_slice(), &b"y".repeat(4 << 20)].concat())).await;
    survives(Answer::Report([br#"{"connections":[{"pid":"#.as_slice(), &b"1".repeat(4 << 20)].concat())).await;
}

#[tokio::test]
async fn zero_bytes() {
    survives(Answer::Report(vec![0; 1000])).await;
    survives(Answer::Report(SIX.replace("172.17.0.5", "172.17\0.0.5").into_bytes())).await;
}

#[tokio::test]
async fn a_wrong_content_length() {
    survives(Answer::TooShort(100, SIX.into())).await;
    let shorter = format!("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{SIX}");
    survives(Answer::Raw(shorter.into_bytes())).await;
    survives(Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}".to_vec())).await;
}

#[tokio::test]
async fn an_answer_after_the_deadline() {
    survives(Answer::Late(Duration::from_secs(2), SIX.into())).await;
    survives(Answer::Silence).await;
}

#[tokio::test]
async fn another_status() {
    survives(Answer::Status(500, SIX.into())).await;
    survives(Answer::Status(404, b"not found".to_vec())).await;
}

#[tokio::test]
async fn a_reset_in_the_middle() {
    survives(Answer::Reset(SIX.into())).await;
    survives(Answer::Raw(Vec::new())).await;
}

#[tokio::test]
async fn what_is_no_http_and_no_json() {
    survives(Answer::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())).await;
    survives(Answer::Raw(b"HTTP/1.1 200 OK\r\nx: ".iter().copied().chain(std::iter::repeat_n(b'y', 1 << 20)).collect())).await;
    survives(Answer::Report(b"<html></html>".to_vec())).await;
    survives(Answer::Report(b"{}".to_vec())).await;
    survives(Answer::Report([SIX.as_bytes(), SIX.as_bytes()].concat())).await;
}

#[tokio::test]
async fn a_report_that_is_too_long() {
    survives(Answer::Report(many(30_000).into_bytes())).await;
}

#[tokio::test]
async fn a_tracer_that_is_away_comes_and_is_killed_and_comes_again() {
    let mut bench = Bench::report(SIX);
    bench.peer.stop();
    std::fs::remove_file(bench.path("tracer.sock")).unwrap();
    let _source = bench.run().await;
    bench.failures(2).await;
    assert_eq!(bench.meter.listed.get(), 1, "it keeps nobody from being ready");
    assert_eq!(bench.told.listed(), 0, "and what there is has not been told");
    bench.peer.restart().unwrap();
    bench.told.more(1).await;
    bench.peer.stop();
    bench.failures(2).await;
    bench.peer.restart().unwrap();
    bench.told.more(1).await;
}

/// What a stalled tracer takes from others: nothing. Other work of the same executor goes on.
#[tokio::test]
async fn nobody_waits_while_a_huge_report_is_read() {
    let document = many(100_000);
    let mut bench = Bench::new(Answer::Report(document.into_bytes()));
    bench.config.period = millis(60_000);
    bench.config.timeout = Some(millis(60_000));
    let _source = bench.run().await;
    let mut longest = Duration::ZERO;
    while bench.told.reports().len() < 25 {
        let begin = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
        longest = longest.max(begin.elapsed());
    }
    assert_eq!(bench.told.reports().iter().map(|report| report.connections.len()).sum::<usize>(), 100_000);
    // Without optimisation, on a busy machine; all of it takes many times as long.
    assert!(longest < Duration::from_millis(500), "{longest:?}");
}

#[tokio::test]
async fn those_who_push_and_stall_do_not_keep_others_from_pushing() {
    let mut bench = Bench::report(SIX);
    bench.config.socket = None;
    bench.config.listen = Some(bench.path("push.sock"));
    bench.config.timeout = Some(millis(300));
    let _source = bench.run().await;
    let connect = || UnixStream::connect(bench.path("push.sock"));
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut stream = connect().await.unwrap();
        stream.write_all(b"{\"connections\":[").await.unwrap();
        stalled.push(stream);
    }
    let mut good = connect().await.unwrap();
    good.write_all(SIX.as_bytes()).await.unwrap();
    bench.told.more(1).await;
    assert!(bench.meter.retries.get() >= 16, "{}", bench.meter.retries.get());
}

#[tokio::test]
async fn a_flood_of_documents_is_read_at_a_bounded_pace() {
    let mut bench = Bench::report(SIX);
    bench.config.socket = None;
    bench.config.listen = Some(bench.path("push.sock"));
    let _source = bench.run().await;
    let mut stream = UnixStream::connect(bench.path("push.sock")).await.unwrap();
    let flood = spawn(async move {
        let many = r#"{"connections":[]}"#.repeat(1000);
        while stream.write_all(many.as_bytes()).await.is_ok() {}
    });
    bench.told.more(1).await;
    let begin = Instant::now();
    bench.told.more(5).await;
    assert!(begin.elapsed() > Duration::from_millis(400), "{:?}", begin.elapsed());
    flood.abort();
}

#[tokio::test]
async fn interim_answers_without_end() {
    let mut bench = Bench::new(Answer::Raw(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1 << 20)));
    bench.config.max_report_bytes = ByteSize(1 << 20);
    bench.config.timeout = Some(millis(60_000));
    let _source = bench.run().await;
    let begin = Instant::now();
    bench.failures(1).await;
    assert!(begin.elapsed() < Duration::from_secs(15), "it is given up for its size: {:?}", begin.elapsed());
}
