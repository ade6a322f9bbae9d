//! Proves what the prometheus sink shows: documents of many groups as one page, replaced, forgotten, expired, or refused with a reason.

mod entries;
mod prometheus_page;

use std::time::Duration;

use entries::{document, document_in, forget, forget_after, forget_in, message};
use prometheus_page::{Scraped, ask, free_address, lines, open};
use sluicebox_contract::{ByteSize, Class, Outcome, Sink, TimeSpan};
use sluicebox_sinks::prometheus::Config;

const CPU: &str = "# HELP cpu_seconds_total Time.\n# TYPE cpu_seconds_total counter\n";

fn cpu(pod: &str, value: u32) -> String {
    format!("{CPU}cpu_seconds_total{{pod=\"{pod}\"}} {value}\n")
}

#[tokio::test]
async fn the_page_is_there_before_the_first_document() {
    let address = free_address();
    let mut sink = open(&Config { listen: address, path: "/m".to_owned(), ..Config::default() });
    sink.upkeep().await.expect("a free port");
    let answer = ask(address, "GET /m?x=y");
    assert!(answer.head.starts_with("HTTP/1.1 200 "), "{}", answer.head);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", answer.head);
    assert_eq!(answer.body, "");
}

#[tokio::test]
async fn other_paths_and_other_methods_are_not_the_page() {
    let mut scraped = Scraped::start().await;
    scraped.write(&[document("a", "a 1\n")]).await;
    let head = ask(scraped.address, "HEAD /metrics");
    assert!(head.head.starts_with("HTTP/1.1 200 ") && head.head.contains("content-length: 4"), "{}", head.head);
    assert_eq!(head.body, "");
    for (request, status) in [("GET /", "404"), ("GET /metrics/", "404"), ("HEAD /a", "404"), ("POST /metrics", "405")] {
        let answer = ask(scraped.address, request);
        assert!(answer.head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {}", answer.head);
        assert_eq!(answer.head.contains("allow: get, head"), status == "405", "{request}: {}", answer.head);
    }
}

#[tokio::test]
async fn groups_are_one_page_in_one_order_whatever_the_order_of_documents() {
    let mixed = "up{b=\"2\",a=\"1\"} 1 1700000000000\n# TYPE size summary\nsize_sum 3\nsize{quantile=\"0.9\"} 2\n\
                 cpu_seconds_total{pod=\"0\"} 4\nsize{quantile=\"0.5\"} 1\n# just so\n\nsize_count 2";
    let documents = [document("b", &cpu("b", 2)), document_in("c", "a", mixed), document("a", &cpu("a", 1))];
    let page = "# HELP cpu_seconds_total Time.\n# TYPE cpu_seconds_total counter\n\
                cpu_seconds_total{pod=\"0\"} 4\ncpu_seconds_total{pod=\"a\"} 1\ncpu_seconds_total{pod=\"b\"} 2\n\
                # TYPE size summary\nsize{quantile=\"0.5\"} 1\nsize{quantile=\"0.9\"} 2\nsize_sum 3\nsize_count 2\n\
                up{a=\"1\",b=\"2\"} 1 1700000000000\n";
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut scraped = Scraped::start().await;
        scraped.write(&order.map(|index: usize| documents[index].clone())).await;
        assert_eq!(scraped.page(), page, "{order:?}");
    }
}

#[tokio::test]
async fn a_document_takes_the_place_of_what_its_name_had() {
    let mut scraped = Scraped::start().await;
    scraped.write(&[document("a", "a 1\nb 1\n"), document_in("c", "a", "c 1\n")]).await;
    assert_eq!(scraped.page(), "a 1\nb 1\nc 1\n");
    scraped.write(&[document("a", "# TYPE b gauge\nb 2\nd 1\n")]).await;
    assert_eq!(scraped.page(), "# TYPE b gauge\nb 2\nc 1\nd 1\n");
    scraped.write(&[document("a", "# nothing any more\n")]).await;
    assert_eq!(scraped.page(), "c 1\n");
    scraped.write(&[forget("a"), forget_in("c", "a", Duration::ZERO), forget("never there")]).await;
    assert_eq!(scraped.page(), "");
}

#[tokio::test]
async fn the_help_of_the_first_group_by_name_is_shown_until_it_goes() {
    let mut scraped = Scraped::start().await;
    scraped
        .write(&[document("b", "# HELP a of b\\\\ \\n\na{g=\"b\"} 1\n"), document("a", "# HELP a of a\na{g=\"a\"} 1\n")])
        .await;
    assert_eq!(scraped.page(), "# HELP a of a\na{g=\"a\"} 1\na{g=\"b\"} 1\n");
    scraped.write(&[forget("a")]).await;
    assert_eq!(scraped.page(), "# HELP a of b\\\\ \\n\na{g=\"b\"} 1\n");
}

#[tokio::test]
async fn what_contradicts_another_group_is_refused_and_changes_nothing() {
    let mut scraped = Scraped::start().await;
    let histogram = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
    let first = [document_in("pods", "a", &cpu("x", 1)), document("h", histogram), document("p", "s_count 1\n")];
    scraped.write(&first).await;
    scraped.write(&[document("b", "b 1\n")]).await;
    let page = scraped.page();
    for (body, reason) in [
        ("cpu_seconds_total{pod=\"x\"} 9\n", "the series `cpu_seconds_total{pod=\"x\"}` is in group `pods/a` already"),
        (
            "# TYPE cpu_seconds_total gauge\ncpu_seconds_total 1\n",
            "`cpu_seconds_total` is a gauge here and a counter in other groups, such as `pods/a`",
        ),
        ("h 1\n", "`h` is of no type here and a histogram in other groups, such as `h`"),
        ("h_sum{a=\"b\"} 1\n", "`h_sum` is a part of the histogram `h` in group `h`"),
        ("# TYPE s summary\ns_sum 1\n", "`s` would have `s_count`, which is a metric of its own in group `p`"),
        ("# TYPE h histogram\nh_bucket{le=\"inf\"} 1\nh_count 1\n", "the series `h_bucket{}` is in group `h` already"),
    ] {
        assert_eq!(scraped.refusal(document("b", body)).await, reason);
        assert_eq!(scraped.page(), page, "{body}");
    }
    // Once the first is gone, the second can be had.
    scraped.write(&[forget_in("pods", "a", Duration::ZERO)]).await;
    scraped.write(&[document("b", "# TYPE cpu_seconds_total gauge\ncpu_seconds_total{pod=\"x\"} 9\n")]).await;
    assert!(scraped.page().contains("# TYPE cpu_seconds_total gauge\ncpu_seconds_total{pod=\"x\"} 9\n"));
}

#[tokio::test]
async fn a_refused_document_does_not_hold_up_those_beside_it_and_a_message_is_refused() {
    let mut scraped = Scraped::start().await;
    let outcome =
        scraped.sink.write(&[document("a", "a 1\n"), document("b", "b\n"), message("c", "c 1"), document("d", "d 1")]).await;
    assert!(outcome.stopped.is_none());
    let refused: Vec<_> = outcome.refused.iter().map(|refusal| (refusal.index, refusal.reason.as_str())).collect();
    assert_eq!(
        refused,
        [
            (1, "line 1: the line ends where a blank or `{` after the name of the metric is expected"),
            (
                2,
                "prometheus keeps documents; a message has no name to be kept under: have the module make documents, such as `pod-metrics` with `form: prometheus`"
            ),
        ]
    );
    assert_eq!(scraped.page(), "a 1\nd 1\n");
}

#[tokio::test]
async fn no_more_series_and_no_longer_a_page_than_the_settings_say() {
    let mut scraped = Scraped::with(|config| config.max_series = 3).await;
    scraped.write(&[document("a", "a 1\nb 1\n")]).await;
    assert_eq!(scraped.refusal(document("b", "c 1\nd 1\n")).await, "there would be 4 series, `max-series` is 3");
    assert_eq!(
        scraped.refusal(document("b", "a1 1\na2 1\na3 1\na4 1\nnonsense\n")).await,
        "line 4: there are more series than `max-series`, which is 3"
    );
    scraped.write(&[document("a", "a 1\nb 1\nc 1\n")]).await;

    let mut scraped = Scraped::with(|config| config.max_bytes = ByteSize(1_000)).await;
    let series = |count, name| lines(count, |index| format!("{name}{{i=\"{index}\"}} 1"));
    scraped.write(&[document("a", &series(10, "a"))]).await;
    let reason = scraped.refusal(document("b", &series(10, "b"))).await;
    assert!(reason.contains("`max-bytes` is 1kB"), "{reason}");
    let reason = scraped.refusal(document("a", &"#\n".repeat(1_000))).await;
    assert_eq!(reason, "it has 2000 bytes, `max-bytes` is 1kB");
    // What is replaced makes room, time and again.
    for _ in 0..100 {
        scraped.write(&[document("a", &series(9, "b"))]).await;
    }
    assert!(scraped.page().len() < 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_group_to_be_forgotten_later_goes_when_its_time_has_come_unless_it_is_put_again() {
    let mut scraped = Scraped::start().await;
    let minute = Duration::from_mins(1);
    scraped.write(&[document("a", "a 1\n"), document("b", "b 1\n"), forget_after("a", minute), forget_after("b", minute)]).await;
    scraped.rest(59.0).await;
    assert_eq!(scraped.page(), "a 1\nb 1\n");
    scraped.write(&[document("b", "b 2\n")]).await;
    scraped.rest(2.0).await;
    assert_eq!(scraped.page(), "b 2\n");
    // The last word holds.
    scraped.write(&[forget_after("b", minute), forget_after("b", 2 * minute)]).await;
    scraped.rest(119.0).await;
    assert_eq!(scraped.page(), "b 2\n");
    scraped.rest(2.0).await;
    assert_eq!(scraped.page(), "");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_not_put_again_expires() {
    let mut scraped = Scraped::start().await;
    scraped.write(&[document("a", "a 1\n"), document("b", "b 1\n")]).await;
    scraped.rest(200.0).await;
    scraped.write(&[document("b", "b 1\n")]).await;
    scraped.rest(99.0).await;
    assert_eq!(scraped.page(), "a 1\nb 1\n");
    scraped.rest(2.0).await;
    assert_eq!(scraped.page(), "b 1\n");
    // Whatever is written shows what is due as well.
    tokio::time::advance(Duration::from_mins(5)).await;
    scraped.write(&[document("c", "c 1\n")]).await;
    assert_eq!(scraped.page(), "c 1\n");
}

#[tokio::test(start_paused = true)]
async fn a_group_may_stay_for_ever() {
    for after in [None, Some(TimeSpan(Duration::MAX))] {
        let mut scraped = Scraped::with(|config| config.expire_after = after).await;
        scraped.write(&[document("a", "a 1\n"), forget_after("a", Duration::MAX)]).await;
        scraped.rest(1e9).await;
        assert_eq!(scraped.page(), "a 1\n");
    }
}

#[tokio::test]
async fn a_port_that_another_has_is_waited_for() {
    let first = Scraped::start().await;
    let mut second = open(&Config { listen: first.address, ..Config::default() });
    let batch = [document("a", "a 1\n")];
    let (index, fault) = second.write(&batch).await.stopped.expect("the port is taken");
    assert_eq!((index, fault.class), (0, Class::Retry));
    let said = fault.to_string();
    assert!(said.starts_with(&format!("cannot listen on {} for scrapes: address in use (hint: ", first.address)), "{said}");
    assert_eq!(second.upkeep().await.expect_err("the port is taken"), fault);
    let address = first.address;
    // A sink that is dropped lets go of its port at once.
    drop(first);
    assert_eq!(second.write(&batch).await, Outcome::written());
    assert_eq!(ask(address, "GET /metrics").body, "a 1\n");
}

#[tokio::test]
async fn an_address_that_the_node_has_not_is_said() {
    let listen = "192.0.2.1:9091".parse().expect("an address");
    let fault = open(&Config { listen, ..Config::default() }).upkeep().await.expect_err("not ours");
    assert_eq!(fault.class, Class::Retry);
    assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains("192.0.2.1")), "{fault}");
}
