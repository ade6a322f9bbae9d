//! What a report of 64 MiB with 100 000 connections takes: the program stays within 128 MiB more than it had, and nothing is lost on the way
//! to a real Redis; and one that never ends takes nothing.

mod support;

use std::fmt::Write as _;

use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, Reply, require};
use sluicebox_testkit::tracer::{Answer, Tracer};
use support::{PATIENCE, Place, SLOW, until, until_within};

const MIB: u64 = 1 << 20;
const CONNECTIONS: usize = 100_000;

/// Of so many bytes: each connection carries some that nobody reads.
fn report(bytes: usize) -> Vec<u8> {
    let mut text = String::with_capacity(bytes + 1024);
    text.push_str(r#"{"connections":["#);
    let filling = "x".repeat(bytes / CONNECTIONS - 315);
    for number in 0..CONNECTIONS {
        let comma = if number == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"pid":{},"type":0,"family":0,"net_ns":4026531840,"source":"10.{}.{}.7","dest":"10.200.0.9","sport":{},"dport":443,"direction":2,"monotonic_sent_bytes":{number},"last_sent_bytes":0,"monotonic_recv_bytes":7,"last_recv_bytes":0,"monotonic_retransmits":0,"last_retransmits":0,"last_update_epoch":5,"filling":"{filling}"}}"#,
            1_000_000 + number % 500,
            number / 50_000,
            number / 250 % 200,
            10_000 + number % 250,
        )
        .unwrap();
    }
    text.push_str("]}");
    text.into_bytes()
}

/// The most that the program has held, and what it holds.
fn resident(program: &Program) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    };
    (kilobytes("VmHWM:"), kilobytes("VmRSS:"))
}

async fn kept(redis: &RedisServer) -> usize {
    match redis.command(&["HLEN", "transactions"]).await.unwrap() {
        Reply::Number(number) => usize::try_from(number).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_huge_report_stays_within_bounds_and_is_kept_whole() {
    if !require(Need::Redis) {
        return;
    }
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let place = Place::new();
    let socket = place.path("tracer.sock");
    let tracer = Tracer::start(&socket, Answer::Report(br#"{"connections":[]}"#.to_vec())).unwrap();
    let rest = format!(
        "sources:\n  tracer: {{socket: {}, kubernetes: false, period: 1s, timeout: 1m}}\n\
         modules:\n\
         \x20 transactions: {{use: connection-transactions, to: [store], limits: {{deadline: 20s}}}}\n\
         \x20 map: {{use: service-map, to: [out], settings: {{period: 1s}}, limits: {{deadline: 20s}}}}\n\
         sinks:\n  store: {{redis: {{url: \"{}\"}}}}\n  out: {{stdout: {{}}}}\n",
        socket.display(),
        redis.url()
    );
    let mut program = place.run(&place.configure("http://127.0.0.1:9", &rest));
    program.until_ready(SLOW).await.unwrap();
    let (before, _) = resident(&program);
    let document = report(63 << 20);
    assert!(document.len() > 62 << 20 && document.len() < 64 << 20, "{}", document.len());
    tracer.answer(Answer::Report(document));
    until_within(&program, SLOW, "all of it is kept", async || kept(&redis).await == CONNECTIONS).await;
    let dropped =
        program.metric("sluicebox_lane_dropped_events_total", "lane=\"transactions\",reason=\"overflow\"").await.unwrap();
    tracer.answer(Answer::Endless(b"[".repeat(1 << 16)));
    let failures = || async { program.metric("sluicebox_source_retries_total", "source=\"tracer\"").await.unwrap() };
    until(&program, "what never ends is given up", async || failures().await >= 3.0).await;
    let (peak, _) = resident(&program);
    let grown = peak.saturating_sub(before);
    assert!(grown < 128 * MIB, "it held {} MiB more than before", grown / MIB);
    // A late part may have made room for one of the next report, which says the same.
    assert!(dropped < 25.0, "{dropped}");
    println!("held {} MiB before, {} MiB at most", before / MIB, peak / MIB);
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}
