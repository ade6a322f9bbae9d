//! A Prometheus that fails, hangs and lies: each evil costs the query that it befalls, and no other.

mod asked;
mod scraped;

use std::io::Write as _;
use std::time::{Duration, Instant};

use asked::{Asking, is_well, mape, matrix, report};
use serde_json::json;
use sluicebox_testkit::http::{Answer, PageServer};

/// As a server sends it that was told of `Accept-Encoding: gzip`.
fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("gzip is everywhere");
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&bytes));
    let packed = child.wait_with_output().unwrap().stdout;
    writing.join().unwrap().unwrap();
    [
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", packed.len())
            .as_bytes(),
        &packed,
    ]
    .concat()
}

/// Asks two queries, of which one suffers this; gives the words of its failure. The other is answered meanwhile, and this one afterwards.
async fn suffer(evil: Answer) -> String {
    let server = PageServer::start(Answer::Report(matrix(2))).await.unwrap();
    server.answer_to("query=evil", evil);
    let asking = Asking::run(&json!({"url": format!("http://{}", server.address()), "period": "1s", "timeout": "500ms",
        "max-answer-bytes": "1MiB", "queries": {
            "evil": {"query": "evil", "type": "gauge", "unit": ""}, "good": {"query": "good", "type": "gauge", "unit": ""}}}));
    let cycle = asking.told.cycle("1s", |cycle| cycle.len() == 2).await;
    assert_eq!((report(&cycle, "good").samples.len(), report(&cycle, "good").failure.as_deref()), (4, None));
    let words = report(&cycle, "evil").failure.clone().expect("it has failed");
    assert!(report(&cycle, "evil").samples.is_empty());
    server.clear_rules();
    asking.told.cycle("1s", |cycle| cycle.len() == 2 && is_well(cycle)).await;
    assert!(asking.meter.retries.get() >= 1);
    words
}

#[tokio::test]
async fn every_evil_costs_its_own_query_and_is_named() {
    let bomb = gzipped(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 17);
    let cases: Vec<(Answer, &str)> = vec![
        (Answer::Status(500, b"oh no".to_vec()), "status 500 Internal Server Error: oh no"),
        (
            Answer::Status(422, br#"{"status":"error","errorType":"execution","error":"many-to-many"}"#.to_vec()),
            "execution: many-to-many",
        ),
        (Answer::Status(302, Vec::new()), "status 302"),
        (Answer::Status(401, b"<html>".to_vec()), "status 401"),
        (Answer::Report(b"<html><body>login</body></html>".to_vec()), "cannot be used"),
        (Answer::Report(Vec::new()), "cannot be used"),
        (Answer::Report(b"\xff\xfe\x00".to_vec()), "cannot be used"),
        (Answer::Report(br#"{"status":"success","data":{"resultType":"streams","result":[]}}"#.to_vec()), "no kind of result"),
        (Answer::Report([b"[".repeat(1 << 19), Vec::new()].concat()), "cannot be used"),
        (Answer::Report(vec![b'x'; 2 << 20]), "more than 1048576 bytes"),
        (Answer::Endless(b"                                ".repeat(100)), "more than 1048576 bytes"),
        (Answer::Raw(bomb), "more than 1048576 bytes"),
        (Answer::Drip(Duration::from_millis(50), matrix(1)), "not answered in full within 500ms"),
        (Answer::Silence, "not answered in full within 500ms"),
        (Answer::Late(Duration::from_secs(5), matrix(1)), "not answered in full within 500ms"),
        (Answer::TooShort(10, matrix(1)), "the exchange failed"),
        (Answer::Reset(matrix(1)), "the exchange failed"),
        (Answer::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), "the exchange failed"),
        (Answer::Raw([&b"HTTP/1.1 200 OK\r\n"[..], &b"X: y\r\n".repeat(1000), b"\r\n"].concat()), "the exchange failed"),
        (Answer::Raw([&b"HTTP/1.1 200 OK\r\nX: "[..], &b"y".repeat(1 << 20)].concat()), "the exchange failed"),
        (Answer::Raw(Vec::new()), "the exchange failed"),
    ];
    for (number, (evil, expected)) in cases.into_iter().enumerate() {
        let words = suffer(evil).await;
        assert!(words.contains(expected), "{number}: `{expected}` is missing in `{words}`");
        assert!(words.len() < 600, "{number}: {words}");
    }
}

/// 500 for one of the 26, nothing at all from one, and 50 MB from one.
#[tokio::test]
async fn twenty_three_metrics_are_told_within_the_period_when_three_fail() {
    let server = PageServer::start(Answer::Report(matrix(4))).await.unwrap();
    server.answer_to("container_memory_swap%7B", Answer::Status(500, b"no".to_vec()));
    server.answer_to("container_fs_io_current%7B", Answer::Silence);
    server.answer_to("container_cpu_usage_seconds_total%7B", Answer::Report(matrix(600_000)));
    let asking =
        Asking::run(&json!({"url": format!("http://{}", server.address()), "period": "4s", "timeout": "3s", "queries": mape()}));
    let cycle = asking.told.cycle("4s", |cycle| cycle.len() == 26).await;
    let failed: Vec<_> =
        cycle.iter().filter(|report| report.failure.is_some()).map(|report| report.query.name.as_str()).collect();
    assert_eq!(failed.len(), 3, "{failed:?}");
    assert!(report(&cycle, "container_cpu_usage_seconds_total").failure.as_ref().unwrap().contains("more than 8388608 bytes"));
    assert!(cycle.iter().filter(|report| report.failure.is_none()).all(|report| report.samples.len() == 8));
    // The next cycle was not kept from its turn.
    let next = asking.told.cycle("4s", |next| next[0].observed_at > cycle[0].observed_at).await;
    assert_eq!(next[0].observed_at.0 - cycle[0].observed_at.0, 4_000_000_000);
    assert_eq!(asking.meter.late_ticks.get(), 0);
}

#[tokio::test]
async fn a_cycle_never_overlaps_the_next_however_many_queries_hang() {
    let server = PageServer::start(Answer::Silence).await.unwrap();
    let asking = Asking::run(
        &json!({"url": format!("http://{}", server.address()), "period": "1s", "timeout": "10s", "parallel": 2, "queries": mape()}),
    );
    let begun = Instant::now();
    while asking.told.cycles("1s").len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(20), "cycles do not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for cycle in asking.told.cycles("1s") {
        assert_eq!(cycle.len(), 26, "each query is told of");
        let without_time =
            cycle.iter().filter(|report| report.failure.as_ref().is_some_and(|words| words.contains("no time was left")));
        assert_eq!(without_time.count(), 24);
    }
    assert_eq!(asking.meter.late_ticks.get(), 0);
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_at_every_turn_and_keeps_nobody_from_being_ready() {
    let server = PageServer::start(Answer::Report(matrix(1))).await.unwrap();
    let url = format!("http://{}", server.address());
    drop(server);
    let asking = Asking::run(&json!({"url": url, "period": "1s", "queries": {"a": {"query": "a", "type": "gauge", "unit": ""}}}));
    let cycle = asking.told.cycle("1s", |cycle| cycle[0].failure.is_some()).await;
    assert!(cycle[0].failure.as_ref().unwrap().contains("cannot connect"), "{cycle:?}");
    asking.told.cycle("1s", |next| next[0].observed_at > cycle[0].observed_at).await;
    assert_eq!((asking.meter.listed.get(), asking.meter.connected.get()), (1, 0));
}

#[tokio::test]
async fn labels_that_change_all_the_time_are_bounded() {
    let server = PageServer::start(Answer::Report(matrix(0))).await.unwrap();
    let asking = Asking::run(&json!({"url": format!("http://{}", server.address()), "period": "1s", "max-series": 100,
        "queries": {"a": {"query": "a", "type": "gauge", "unit": ""}}}));
    for round in 0..3 {
        let series: Vec<_> =
            (0..80).map(|number| json!({"metric": {"id": format!("{round}-{number}")}, "value": [1, "1"]})).collect();
        let body = json!({"status": "success", "data": {"resultType": "vector", "result": series}});
        server.answer(Answer::Report(body.to_string().into_bytes()));
        let after = asking.told.cycles("1s").len() + 1;
        while asking.told.cycles("1s").len() <= after {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(asking.meter.subjects.get(), 100);
    // Those that have gone kept none of the others out.
    assert!(asking.told.cycles("1s").iter().all(|cycle| matches!(cycle[0].samples.len(), 0 | 80)));
    assert_eq!(
        (asking.told.cycles("1s").last().map(|cycle| cycle[0].samples.len()), asking.meter.beyond_limit.get()),
        (Some(80), 0)
    );
}

/// However many hang: from the second cycle on the others are asked first, and one place is always theirs.
#[tokio::test]
async fn queries_that_hang_let_the_others_go_first() {
    let server = PageServer::start(Answer::Report(matrix(1))).await.unwrap();
    server.answer_to("query=hang", Answer::Silence);
    let query = |name: &str| json!({"query": name, "type": "gauge", "unit": ""});
    let mut queries = serde_json::Map::new();
    for number in 0..9 {
        queries.insert(format!("hang{number}"), query(&format!("hang{number}")));
        queries.insert(format!("well{number}"), query(&format!("well{number}")));
    }
    let asking =
        Asking::run(&json!({"url": format!("http://{}", server.address()), "period": "2s", "timeout": "1s", "queries": queries}));
    let first = asking.told.cycle("2s", |cycle| cycle.len() == 18).await;
    let second = asking.told.cycle("2s", |next| next[0].observed_at > first[0].observed_at).await;
    for report in &second {
        assert_eq!(
            report.failure.is_none(),
            report.query.name.starts_with("well"),
            "{}: {:?}",
            report.query.name,
            report.failure
        );
    }
    let well = second.iter().take_while(|report| report.failure.is_none()).count();
    assert_eq!(well, 9, "they are told before any of the others");
}

/// An answer that is too large to catch up at once is asked for in smaller pieces, until nothing is missing.
#[tokio::test]
async fn what_was_missed_never_stands_in_the_way_of_what_is_new() {
    let server = PageServer::start(Answer::Report(matrix(1))).await.unwrap();
    let asking = Asking::run(&json!({"url": format!("http://{}", server.address()), "period": "1s",
        "queries": {"a": {"query": "up", "kind": "range", "type": "gauge", "unit": ""}}}));
    asking.told.cycle("1s", is_well).await;
    server.answer(Answer::Report(vec![b' '; 9 << 20]));
    while asking.told.cycles("1s").iter().filter(|cycle| !is_well(cycle)).count() < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.answer(Answer::Report(matrix(1)));
    let begun = Instant::now();
    loop {
        let cycles = asking.told.cycles("1s");
        let told: Vec<i64> = cycles
            .iter()
            .filter(|cycle| is_well(cycle))
            .flat_map(|cycle| (cycle[0].start_millis..=cycle[0].end_millis).step_by(1000))
            .collect();
        assert!(told.windows(2).all(|pair| pair[1] == pair[0] + 1000), "each moment once, in order: {told:?}");
        let last = cycles.last().expect("a cycle");
        let now = i64::try_from(last[0].observed_at.0 / 1_000_000).unwrap();
        if is_well(last) && told.len() > 3 && told.last() == Some(&now) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not catch up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
