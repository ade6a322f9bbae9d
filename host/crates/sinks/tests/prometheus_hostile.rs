//! Proves that neither documents nor clients can do harm to the prometheus sink: they are refused, bounded, or closed.

mod entries;
mod prometheus_page;

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use entries::document;
use prometheus_page::{Scraped, ask, connect, lines};
use sluicebox_contract::{Document, Entry};

fn bytes(body: &[u8]) -> Entry {
    Entry::Document(Document { name: "a".to_owned(), body: body.to_vec(), ..Document::default() })
}

#[tokio::test]
async fn documents_that_are_not_valid_are_refused_with_line_and_cause() {
    let mut scraped = Scraped::start().await;
    let long = format!("a 1\na{{b=\"{}\"}} 1\n", "x".repeat(1 << 20));
    for (body, reason) in [
        (long.as_bytes(), "line 2: it has 1048585 bytes, 65536 at most are possible"),
        (b"a 1\n\nb\xff 1\n", "line 3: it is not UTF-8"),
        (b"a{b=\"\xed\xa0\x80\"} 1", "line 1: it is not UTF-8"),
        (b"a{b=\"1} 2\nc 3\n", "line 1: the value of the label `b` has no closing `\"`"),
        (b"a{b=\"1\nc\"} 2\n", "line 1: the value of the label `b` has no closing `\"`"),
        (b"a{b=\"1\",b=\"2\"} 3", "line 1: the label `b` stands there twice"),
        (b"a{b=\"\0\"} 1", "line 1: it holds a zero byte"),
        (b"# HELP a \0\na 1\n", "line 1: it holds a zero byte"),
        (b"# TYPE a gauge\n# TYPE a gauge\na 1\n", "line 2: a second TYPE of `a`"),
        (b"# HELP a b\n# HELP a b\na 1\n", "line 2: a second HELP of `a`"),
        (b"# HELP a \\d\na 1\n", "line 1: in the help `\\d` is no escape"),
        (b"# TYPE a gauges\n", "line 1: the type of `a` is none of counter, gauge, histogram, summary or untyped"),
        (b"# TYPE a gauge and more\n", "line 1: the type of `a` is none of counter, gauge, histogram, summary or untyped"),
        (b"# TYPE a\n", "line 1: the type of `a` is none of counter, gauge, histogram, summary or untyped"),
        (b"# TYPE\n", "line 1: the line ends where the name of a metric is expected"),
        (b"a 1\n# TYPE a gauge\n", "line 2: the TYPE of `a` stands after its first sample"),
        (b"a 1\nb 1\na 1\n", "line 3: this series of `a` stands in line 1 already"),
        (b"a{b=\"1\",c=\"2\"} 1\na{c=\"2\",d=\"\",b=\"1\"} 1\n", "line 2: this series of `a` stands in line 1 already"),
        (b"# TYPE a histogram\na 1\n", "line 2: `a` is a histogram: it has `_bucket`, `_sum` and `_count` alone"),
        (b"# TYPE a histogram\na_bucket 1\n", "line 2: the label `le` is missing, which `a_bucket` has"),
        (b"# TYPE a histogram\na_bucket{le=\"x\"} 1\n", "line 2: `le` is `x`, which is no number"),
        (b"# TYPE a histogram\na_bucket{le=\"NaN\"} 1\n", "line 2: `le` is `NaN`, which is no number"),
        (
            b"# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"1.0\"} 1\n",
            "line 3: this series of `a` stands in line 2 already",
        ),
        (b"# TYPE a histogram\na_bucket{le=\"1\"} 1\n", "line 2: the histogram `a` has no bucket with `le=\"+Inf\"`"),
        (b"# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\n", "line 2: the histogram `a` has no `_count`"),
        (
            b"# TYPE a histogram\na_count{b=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\na_count 1\n",
            "line 2: the histogram `a` has no bucket with `le=\"+Inf\"`",
        ),
        (
            b"# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 2\n",
            "line 3: the `_count` of the histogram `a` is not its bucket with `le=\"+Inf\"`",
        ),
        (b"# TYPE a summary\na 1\n", "line 2: the label `quantile` is missing, which `a` has"),
        (b"a_sum 1\n# TYPE a summary\na_count 1\n", "`a_sum` is a part of the summary `a` and a metric of its own"),
        (b"a 1\r\n", "line 1: the value `1\\r` is no number"),
        (b"{\"a\":1}", "line 1: `{\"a\":1}` stands where the name of a metric is expected"),
    ] {
        let said = scraped.refusal(bytes(body)).await;
        let lossy = String::from_utf8_lossy(body);
        assert_eq!(said, reason, "{}", lossy.chars().take(80).collect::<String>());
    }
    assert_eq!(scraped.page(), "");
}

#[tokio::test]
async fn a_million_lines_are_refused_or_passed_over_in_little_time() {
    let mut scraped = Scraped::start().await;
    let samples = lines(1_000_000, |index| format!("a{{i=\"{index}\"}} 1"));
    let begun = Instant::now();
    let reason = scraped.refusal(document("a", &samples)).await;
    assert_eq!(reason, "line 100001: there are more series than `max-series`, which is 100000");
    let helps = lines(1_000_000, |index| format!("# HELP a{index} b"));
    let reason = scraped.refusal(document("a", &helps)).await;
    assert_eq!(reason, "line 100001: there are more series than `max-series`, which is 100000");
    scraped.write(&[document("a", &"# a comment\n".repeat(1_000_000)), document("b", &"\n".repeat(1_000_000))]).await;
    let labels = (0..7_000).map(|index| format!("a{index}=\"\"")).collect::<Vec<_>>().join(",");
    let reason = scraped.refusal(document("a", &format!("a{{{labels},a7=\"\"}} 1\n"))).await;
    assert_eq!(reason, "line 1: the label `a7` stands there twice");
    assert_eq!(scraped.page(), "");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

/// So many series that their page fits in no buffer of a socket.
fn great() -> String {
    let label = "x".repeat(120);
    lines(90_000, |index| format!("a_metric_with_a_rather_long_name{{label=\"{label}\",index=\"{index}\"}} 1"))
}

#[tokio::test]
async fn clients_that_hang_stall_neither_writes_nor_scrapes() {
    let mut scraped = Scraped::start().await;
    scraped.write(&[document("great", &great())]).await;
    let mut hanging = Vec::new();
    for index in 0..100 {
        let mut stream = connect(scraped.address);
        // A third says nothing, a third half a request, a third never reads.
        let request = ["", "GET /metrics HTTP/1.1\r\nHost", "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"][index % 3];
        stream.write_all(request.as_bytes()).expect("sent");
        hanging.push(stream);
        if index % 10 == 0 {
            let begun = Instant::now();
            scraped.write(&[document("small", &format!("b {index}\n"))]).await;
            let answer = ask(scraped.address, "GET /metrics");
            assert!(answer.body.ends_with(&format!("\nb {index}\n")), "{}", answer.head);
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        }
    }
    drop(hanging);
}

#[tokio::test]
async fn half_a_request_and_a_slow_reader_are_closed_in_time() {
    let mut scraped = Scraped::start().await;
    scraped.write(&[document("great", &great())]).await;
    let whole = scraped.page().len();
    let mut half = connect(scraped.address);
    half.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n").expect("sent");
    let mut slow = connect(scraped.address);
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let begun = Instant::now();
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).expect("an end");
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    assert!(begun.elapsed() >= Duration::from_secs(1), "a request may take its time: {:?}", begun.elapsed());
    // Reads so little that its buffer is never empty, until nothing more comes.
    let mut read = 0;
    let mut some = [0; 4096];
    while begun.elapsed() < Duration::from_secs(12) {
        read += slow.read(&mut some).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut rest = Vec::new();
    let _reset = slow.read_to_end(&mut rest);
    assert!(read + rest.len() < whole, "it was not closed");
}

#[tokio::test]
async fn requests_that_are_none_are_closed() {
    let scraped = Scraped::start().await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100_000));
    for request in [long.as_str(), &many, "\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n"] {
        let mut stream = connect(scraped.address);
        // It may be closed before all is sent.
        let _sent = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(scraped.page(), "");
}
