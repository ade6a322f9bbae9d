//! The tracer's source with a tracer that behaves: what is asked, what is told, tracers that push.

mod traced;

use std::net::IpAddr;
use std::time::Duration;

use sluicebox_contract::{Direction, Protocol, Source as _};
use sluicebox_testkit::tracer::{Answer, SIX};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use traced::{Bench, many, millis, spawn};

#[tokio::test]
async fn six_connections_are_told_as_they_were_reported() {
    let bench = Bench::report(SIX);
    let _source = bench.run().await;
    bench.told.more(2).await;
    let reports = bench.told.reports();
    let [first, second, ..] = reports.as_slice() else { panic!("two reports") };
    assert_eq!((first.over_nanos, first.more, first.connections.len()), (0, false, 6));
    assert!(second.over_nanos > 50_000_000, "{}", second.over_nanos);
    let third = first.connections[2];
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!((third.source.address, third.source.port), (address("172.31.14.185"), 15000));
    assert_eq!((third.destination.address, third.destination.port), (address("172.17.0.2"), 57768));
    assert_eq!((third.protocol, third.direction), (Protocol::Tcp, Direction::Outgoing));
    assert_eq!((third.pid, third.network_namespace), (15096, 4_026_532_603));
    assert_eq!((third.sent.total, third.received.total, third.retransmits.total), (7_324_757, 8_328_870, 0));
    assert_eq!((third.sent.increase, third.last_seen_nanos), (0, 11_457_311_874_323_512));
    assert_eq!(first.connections[0].protocol, Protocol::Udp);
    assert_eq!(bench.told.listed(), 1);
    assert_eq!(bench.meter.listed.get(), 1);
}

#[tokio::test]
async fn the_tracer_is_asked_by_path_and_client() {
    let mut bench = Bench::report(SIX);
    bench.config.client_id = Some("node-1".to_owned());
    let _source = bench.run().await;
    bench.told.more(1).await;
    let request = bench.peer.requests().remove(0);
    assert!(request.starts_with("GET /connections?client_id=node-1 HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("\r\nhost: "), "{request}");
}

#[tokio::test]
async fn no_connections_are_a_report_without_any() {
    for document in [r#"{"connections":null}"#, r#"{"connections":[]}"#] {
        let bench = Bench::report(document);
        let _source = bench.run().await;
        bench.told.more(1).await;
        assert_eq!(bench.told.reports()[0].connections, []);
        assert_eq!(bench.meter.retries.get(), 0);
    }
}

#[tokio::test]
async fn totals_grow_from_report_to_report() {
    let bench = Bench::report(SIX);
    let _source = bench.run().await;
    bench.told.more(1).await;
    let grown = SIX.replace(r#""monotonic_sent_bytes":3079"#, r#""monotonic_sent_bytes":4079"#);
    bench.peer.answer(Answer::Report(grown.into()));
    bench
        .told
        .until("it has grown", |told| told.reports().iter().any(|report| report.connections[0].sent.increase == 1000))
        .await;
    let last = bench.told.reports().pop().unwrap();
    assert_eq!(last.connections[0].sent.total, 4079);
    assert!(last.connections.iter().skip(1).all(|connection| connection.sent.increase == 0));
}

#[tokio::test]
async fn rows_that_are_no_connections_are_counted_and_the_others_are_told() {
    let bench = Bench::report(r#"{"connections":[{"source":"10.0.0.1","dest":"10.0.0.2"},{"source":"x","dest":"y"},null]}"#);
    let _source = bench.run().await;
    bench.told.more(1).await;
    assert_eq!(bench.told.reports()[0].connections.len(), 1);
    assert!(bench.meter.unreadable.get() >= 2);
}

#[tokio::test]
async fn a_large_report_comes_in_parts_of_one_time() {
    let mut bench = Bench::report(&many(10_000));
    bench.config.max_connections = 9_000;
    bench.config.period = millis(60_000);
    let _source = bench.run().await;
    bench.told.more(3).await;
    let reports = bench.told.reports();
    let shape: Vec<_> = reports.iter().map(|report| (report.connections.len(), report.more)).collect();
    assert_eq!(shape, [(4096, true), (4096, true), (808, false)]);
    assert!(reports.iter().all(|report| report.observed_at == reports[0].observed_at));
    assert_eq!(bench.meter.beyond_limit.get(), 1_000);
}

#[tokio::test]
async fn one_turn_never_overlaps_the_next() {
    let mut bench = Bench::new(Answer::Late(Duration::from_millis(350), SIX.into()));
    bench.config.timeout = Some(millis(5_000));
    let _source = bench.run().await;
    bench.told.more(2).await;
    assert!(bench.peer.requests().len() <= 4, "{}", bench.peer.requests().len());
    assert!(bench.meter.late_ticks.get() >= 4, "{}", bench.meter.late_ticks.get());
}

#[tokio::test]
async fn only_these_users_are_connected_to() {
    let own = rustix::process::getuid().as_raw();
    let mut bench = Bench::report(SIX);
    bench.config.user_ids = Some(vec![own + 1]);
    let source = bench.run().await;
    bench.failures(2).await;
    assert_eq!((bench.told.reports().len(), bench.peer.requests().len()), (0, 0));
    source.abort();
    bench.config.user_ids = Some(vec![own + 1, own]);
    let _source = bench.run().await;
    bench.told.more(1).await;
}

fn pushed() -> Bench {
    let mut bench = Bench::report(SIX);
    bench.config.socket = None;
    bench.config.listen = Some(bench.path("push.sock"));
    bench
}

#[tokio::test]
async fn a_tracer_may_push_one_document_after_the_other() {
    let bench = pushed();
    let _source = bench.run().await;
    let mut stream = UnixStream::connect(bench.path("push.sock")).await.unwrap();
    // Two in one write, the second one cut in two.
    let grown = SIX.replace(r#""monotonic_sent_bytes":3079"#, r#""monotonic_sent_bytes":3080"#);
    let (begin, end) = grown.split_at(700);
    stream.write_all(format!("{SIX}\n{begin}").as_bytes()).await.unwrap();
    bench.told.more(1).await;
    stream.write_all(end.as_bytes()).await.unwrap();
    bench.told.more(1).await;
    let reports = bench.told.reports();
    assert_eq!(reports.iter().map(|report| report.connections.len()).collect::<Vec<_>>(), [6, 6]);
    assert_eq!((reports[0].over_nanos, reports[1].connections[0].sent.increase), (0, 1));
    assert!(reports[1].over_nanos > 0);
    assert_eq!(bench.meter.retries.get(), 0);
}

#[tokio::test]
async fn a_tracer_that_pushes_what_cannot_be_used_is_let_go_and_may_come_again() {
    let bench = pushed();
    let _source = bench.run().await;
    for bad in ["<html>", r#"{"connections":[{}"#, "[]", "{}"] {
        let before = bench.meter.retries.get();
        let mut stream = UnixStream::connect(bench.path("push.sock")).await.unwrap();
        let _written = stream.write_all(bad.as_bytes()).await;
        let _closed = stream.shutdown().await;
        bench.told.until("it was refused", |_| bench.meter.retries.get() > before).await;
    }
    let mut stream = UnixStream::connect(bench.path("push.sock")).await.unwrap();
    stream.write_all(SIX.as_bytes()).await.unwrap();
    bench.told.more(1).await;
}

#[tokio::test]
async fn only_these_users_may_push() {
    let mut bench = pushed();
    bench.config.user_ids = Some(vec![rustix::process::getuid().as_raw() + 1]);
    let _source = bench.run().await;
    let mut stream = UnixStream::connect(bench.path("push.sock")).await.unwrap();
    let _written = stream.write_all(SIX.as_bytes()).await;
    bench.failures(0).await;
    bench.told.until("it was refused", |_| bench.meter.retries.get() > 0).await;
    assert_eq!(bench.told.reports().len(), 0);
}

#[tokio::test]
async fn a_socket_that_was_left_is_replaced_and_a_file_is_not() {
    let mut bench = pushed();
    drop(std::os::unix::net::UnixListener::bind(bench.path("push.sock")).unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let source = spawn(bench.source().await.run(bench.told.clone(), async { drop(stopped.await) }));
    UnixStream::connect(bench.path("push.sock")).await.unwrap();
    drop(stop);
    source.await.unwrap().unwrap();
    assert!(!bench.path("push.sock").exists(), "the socket goes with the source");
    std::fs::write(bench.path("file"), "precious").unwrap();
    bench.config.listen = Some(bench.path("file"));
    let refused = sluicebox_sources::Tracer::new(&bench.config, None, "n", std::sync::Arc::default(), std::sync::Arc::default());
    let fault = refused.err().expect("it is refused").to_string();
    assert!(fault.contains("something that is no socket is there"), "{fault}");
    assert_eq!(std::fs::read_to_string(bench.path("file")).unwrap(), "precious");
}

#[tokio::test]
async fn what_has_grown_is_told_over_connections_that_follow_each_other() {
    let bench = pushed();
    let _source = bench.run().await;
    for sent in [3079, 3080, 3180] {
        let document = SIX.replace(r#""monotonic_sent_bytes":3079"#, &format!(r#""monotonic_sent_bytes":{sent}"#));
        let mut stream = UnixStream::connect(bench.path("push.sock")).await.unwrap();
        stream.write_all(document.as_bytes()).await.unwrap();
        bench.told.more(1).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let increases: Vec<u64> = bench.told.reports().iter().map(|report| report.connections[0].sent.increase).collect();
    assert_eq!(increases, [0, 1, 100]);
}

#[tokio::test]
async fn totals_are_not_those_of_another_process() {
    let bench = pushed();
    let _source = bench.run().await;
    let mut stream = UnixStream::connect(bench.path("push.sock")).await.unwrap();
    stream.write_all(br#"{"connections":[]}"#).await.unwrap();
    bench.told.more(1).await;
    drop(stream);
    tokio::time::sleep(Duration::from_millis(150)).await;
    // Perl is there wherever Debian is.
    let script = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print $s $ARGV[1]; close $s;";
    let mut tracer =
        tokio::process::Command::new("perl").arg("-e").arg(script).arg(bench.path("push.sock")).arg(SIX).spawn().unwrap();
    bench.told.more(1).await;
    assert!(tracer.wait().await.unwrap().success());
    let told = bench.told.reports();
    let increases: Vec<u64> = told[1].connections.iter().map(|connection| connection.sent.increase).collect();
    assert!(increases.len() == 6 && increases.iter().all(|increase| *increase == 0), "{increases:?}");
}

#[tokio::test]
async fn a_socket_that_somebody_listens_at_is_not_taken_and_one_that_is_removed_is_made_anew() {
    let bench = pushed();
    let _source = bench.run().await;
    UnixStream::connect(bench.path("push.sock")).await.unwrap();
    let refused = sluicebox_sources::Tracer::new(&bench.config, None, "n", std::sync::Arc::default(), std::sync::Arc::default());
    let fault = refused.err().expect("it is refused").to_string();
    assert!(fault.contains("another process listens there"), "{fault}");
    std::fs::remove_file(bench.path("push.sock")).unwrap();
    bench.told.until("it is there again", |_| bench.path("push.sock").exists()).await;
    let mut stream = UnixStream::connect(bench.path("push.sock")).await.unwrap();
    stream.write_all(SIX.as_bytes()).await.unwrap();
    bench.told.more(1).await;
}

#[tokio::test]
async fn with_user_ids_everybody_may_try_and_strangers_are_no_outage() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |bench: &Bench| std::fs::metadata(bench.path("push.sock")).unwrap().permissions().mode() & 0o777;
    let mut bench = pushed();
    let source = bench.run().await;
    assert_eq!(mode(&bench), 0o660);
    source.abort();
    let _ended = source.await;
    bench.config.user_ids = Some(vec![rustix::process::getuid().as_raw() + 1]);
    let _source = bench.run().await;
    assert_eq!(mode(&bench), 0o666);
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_millis(500) {
        let _refused = UnixStream::connect(bench.path("push.sock")).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let refused = bench.meter.retries.get();
    assert!((1..=20).contains(&refused), "{refused}");
    assert_eq!(bench.meter.connected.get(), 1);
}
