//! Proves what the config-maps sink makes of answers that no good API server gives, or only when it is in trouble.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod entries;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use entries::document;
use sluicebox_contract::{Class, Entry, Fault, Outcome, Sink, TimeSpan};
use sluicebox_kubernetes::{Api, Config as Kubernetes, TokenRetrieval};
use sluicebox_sinks::config_maps::{Config, ConfigMaps};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// What the server does with a request.
#[derive(Clone)]
enum Answer {
    /// A status with headers, and a body.
    Say(&'static str, String),
    /// Nothing, without closing the connection.
    Hang,
    /// The connection is closed.
    Close,
    /// A body without end.
    Endless,
}

/// A server that has one empty `ConfigMap`, and answers to writes as it is told, else well.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    /// The same for what is no write.
    reads: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
    times: Arc<Mutex<Vec<Instant>>>,
}

const OBJECT: &str = r#"{"metadata":{"resourceVersion":"1"}}"#;

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (answers, reads, requests, times) = Default::default();
        let server = Self { address, answers, reads, requests, times };
        let serving = server.clone();
        #[allow(clippy::disallowed_methods, reason = "the server runs beside the test and ends with it")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                #[allow(clippy::disallowed_methods, reason = "one task for each connection, which ends with the test")]
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        server
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut length = 0;
            let mut first = String::new();
            stream.read_line(&mut first).await.ok().filter(|length| *length > 0)?;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.ok()?;
                if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                    length = text.trim().parse().expect("a number");
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.ok()?;
            let is_write = first.starts_with("PATCH");
            self.requests.lock().expect("a lock").push(first);
            self.times.lock().expect("a lock").push(Instant::now());
            let next = if is_write { &self.answers } else { &self.reads }.lock().expect("a lock").pop_front();
            match next.unwrap_or_else(|| Answer::Say("200 OK\r\ncontent-type: application/json", OBJECT.to_owned())) {
                Answer::Say(head, body) => {
                    let text = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(text.as_bytes()).await.ok()?;
                }
                Answer::Hang => std::future::pending().await,
                Answer::Close => return None,
                Answer::Endless => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                    loop {
                        stream.write_all(&[b' '; 8_192]).await.ok()?;
                    }
                }
            }
        }
    }

    fn answer(&self, answer: Answer) {
        self.answers.lock().expect("a lock").push_back(answer);
    }

    fn say(&self, head: &'static str, body: &str) {
        self.answer(Answer::Say(head, body.to_owned()));
    }

    fn say_to_reads(&self, head: &'static str, body: &str) {
        self.reads.lock().expect("a lock").push_back(Answer::Say(head, body.to_owned()));
    }

    fn requests(&self) -> usize {
        self.requests.lock().expect("a lock").len()
    }

    fn writes(&self) -> usize {
        self.requests.lock().expect("a lock").iter().filter(|line| line.starts_with("PATCH")).count()
    }

    async fn sink(&self) -> ConfigMaps {
        let reach = Kubernetes {
            url: Some(format!("http://{}", self.address)),
            token_retrieval: TokenRetrieval::None,
            request_timeout: TimeSpan(Duration::from_millis(500)),
            ..Kubernetes::default()
        };
        let api = Api::connect(&reach).await.expect("a way");
        let config = Config { period: TimeSpan(Duration::from_millis(100)), ..Config::new("m") };
        ConfigMaps::new("edges".into(), &config, "n1", api)
    }
}

fn status(code: u16, message: &str) -> String {
    format!(r#"{{"kind":"Status","code":{code},"reason":"x","message":{message:?}}}"#)
}

async fn fault(sink: &mut ConfigMaps, entries: &[Entry]) -> Fault {
    let fault = sink.write(entries).await.stopped.expect("it stops").1;
    assert_eq!(fault.class, Class::Retry, "{fault}");
    fault
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_left_alone_for_so_long() {
    let server = Server::start().await;
    let mut sink = server.sink().await;
    server.say("429 Too Many Requests\r\nretry-after: 2", &status(429, "slow down"));
    let begin = Instant::now();
    let met = fault(&mut sink, &[document("a", "1")]).await;
    assert!(met.to_string().contains("the API answers 429: slow down"), "{met}");
    assert_eq!(sink.write(&[document("a", "1")]).await, Outcome::written());
    assert!(begin.elapsed() >= Duration::from_secs(2) && server.writes() == 2);
}

#[tokio::test]
async fn nothing_at_all_is_asked_while_the_server_asks_to_wait_whatever_it_was_that_it_refused() {
    const WAIT: &str = "429 Too Many Requests\r\nretry-after: 2";
    // The first look, making it, and writing it.
    for refused in ["GET", "POST", "PATCH"] {
        let server = Server::start().await;
        let mut sink = server.sink().await;
        if refused == "PATCH" {
            server.say(WAIT, &status(429, "slow down"));
        } else {
            if refused == "POST" {
                server.say_to_reads("404 No", &status(404, "configmaps \"m\" not found"));
            }
            server.say_to_reads(WAIT, &status(429, "slow down"));
        }
        let met = fault(&mut sink, &[document("a", "1")]).await;
        assert!(met.hint.as_ref().is_some_and(|hint| hint.contains("more to do than it can")), "{met}");
        let _dropped: Result<_, _> = tokio::time::timeout(Duration::from_millis(500), sink.upkeep()).await;
        let _dropped: Result<_, _> = tokio::time::timeout(Duration::from_millis(500), sink.write(&[document("a", "1")])).await;
        assert_eq!(sink.write(&[document("a", "1")]).await, Outcome::written());
        let kinds = server.requests.lock().expect("a lock").clone();
        let times = server.times.lock().expect("a lock").clone();
        let place = kinds.iter().position(|line| line.starts_with(refused)).expect("it was asked");
        let pause = times[place + 1] - times[place];
        assert!(pause >= Duration::from_millis(1_900), "{refused}: {pause:?} {kinds:?}");
    }
}

#[tokio::test]
async fn a_long_wait_that_the_server_asks_for_is_reported_and_kept_to() {
    let server = Server::start().await;
    let mut sink = server.sink().await;
    server.say("503 Service Unavailable\r\nretry-after: 12", &status(503, "not now"));
    let begin = Instant::now();
    fault(&mut sink, &[document("a", "1")]).await;
    let asked = server.requests();
    let met = fault(&mut sink, &[document("a", "1")]).await;
    assert!(met.cause.contains("asks to be left alone for") && server.requests() == asked, "{met}");
    assert_eq!(sink.write(&[document("a", "1")]).await, Outcome::written());
    assert!(begin.elapsed() >= Duration::from_secs(12), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn what_passes_is_tried_again_and_nothing_counts_as_written() {
    let server = Server::start().await;
    let mut sink = server.sink().await;
    for (answer, words) in [
        (Answer::Say("500 No", status(500, "etcdserver: request timed out")), "request timed out"),
        (Answer::Say("503 No", "<html>".to_owned()), "503: <html>"),
        (Answer::Say("413 No", status(413, "Request entity too large: limit is 3145728")), "lower `budget`"),
        (Answer::Say("500 No", status(500, "etcdserver: request is too large")), "lower `budget`"),
        (Answer::Say("415 No", status(415, "the body was in an unknown format")), "Kubernetes 1.18"),
        (Answer::Say("200 OK", "<html>".to_owned()), "the answer is no ConfigMap"),
        (Answer::Close, "cannot write the ConfigMap `default/m`"),
        (Answer::Hang, "no whole answer within 500ms"),
        (Answer::Endless, "length limit exceeded"),
    ] {
        server.answer(answer);
        let met = fault(&mut sink, &[document("a", "1")]).await;
        assert!(met.to_string().contains(words), "{met}");
    }
    assert_eq!(sink.write(&[document("a", "1")]).await, Outcome::written());
    assert_eq!(sink.write(&[document("a", "1")]).await, Outcome::written());
    assert_eq!(server.writes(), 10, "what is there is not written again");
}

#[tokio::test]
async fn a_key_that_the_server_refuses_is_left_out_and_the_rest_is_written() {
    let server = Server::start().await;
    let mut sink = server.sink().await;
    server.say("422 No", &status(422, "ConfigMap \"m\" is invalid: data[b]: Invalid value: \"b\": nobody likes it"));
    let outcome = sink.write(&[document("a", "1"), document("b", "2"), document("c", "3")]).await;
    assert_eq!(outcome.stopped, None);
    let refused: Vec<_> = outcome.refused.iter().map(|refusal| refusal.index).collect();
    assert!(refused == [1] && outcome.refused[0].reason.contains("nobody likes it"), "{outcome:?}");
    // One that is not ours is nothing that leaving it out could cure.
    server.say("422 No", &status(422, "ConfigMap \"m\" is invalid: data[z]: Invalid value"));
    fault(&mut sink, &[document("a", "4")]).await;
}

#[tokio::test]
async fn somebody_who_is_always_faster_is_not_followed_for_ever() {
    let server = Server::start().await;
    let mut sink = server.sink().await;
    for _ in 0..16 {
        server.say("409 Conflict", &status(409, "the object has been modified"));
    }
    let met = fault(&mut sink, &[document("a", "1")]).await;
    assert!(met.to_string().contains("others were faster 16 times in a row"), "{met}");
    assert_eq!(sink.write(&[document("a", "1")]).await, Outcome::written());
}

#[tokio::test]
async fn an_upkeep_that_is_dropped_loses_nothing() {
    let server = Server::start().await;
    let mut sink = server.sink().await;
    server.say("500 No", &status(500, "not now"));
    fault(&mut sink, &[document("a", "1")]).await;
    server.answer(Answer::Hang);
    let _dropped: Result<_, _> = tokio::time::timeout(Duration::from_millis(200), sink.upkeep()).await;
    sleep(Duration::from_millis(10)).await;
    sink.upkeep().await.expect("it works");
    assert_eq!(server.writes(), 3);
}
