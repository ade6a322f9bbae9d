//! A prometheus sink on a port of its own, and whoever scrapes it.
#![allow(dead_code, reason = "each test file uses a part of them")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sluicebox_contract::{Entry, Outcome, Sink};
use sluicebox_sinks::prometheus::Config;
use sluicebox_sinks::{AnySink, Config as SinkConfig, Surroundings};
use tokio::time::timeout;

/// Longer than anything takes here, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A sink that listens.
pub(crate) struct Scraped {
    pub(crate) sink: AnySink,
    pub(crate) address: SocketAddr,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address")
}

pub(crate) fn open(config: &Config) -> AnySink {
    AnySink::new("metrics", &SinkConfig::Prometheus(config.clone()), &Surroundings::default()).expect("a sink")
}

impl Scraped {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings of its own; another program may be quicker and take the port.
    pub(crate) async fn with(set: impl Fn(&mut Config)) -> Self {
        loop {
            let address = free_address();
            let mut config = Config { listen: address, ..Config::default() };
            set(&mut config);
            let mut sink = open(&config);
            if sink.write(&[]).await == Outcome::written() {
                return Self { sink, address };
            }
        }
    }

    pub(crate) async fn write(&mut self, batch: &[Entry]) {
        assert_eq!(self.sink.write(batch).await, Outcome::written());
    }

    /// Why the one entry is refused.
    pub(crate) async fn refusal(&mut self, entry: Entry) -> String {
        let outcome = self.sink.write(&[entry]).await;
        assert!(outcome.stopped.is_none() && outcome.refused.len() == 1, "{outcome:?}");
        outcome.refused[0].reason.clone()
    }

    /// Lets the sink do its own work for so long, as an outlet does that has nothing to write.
    pub(crate) async fn rest(&mut self, seconds: f64) {
        let work = async {
            loop {
                self.sink.upkeep().await.expect("upkeep");
            }
        };
        let Err(_elapsed) = timeout(Duration::from_secs_f64(seconds), work).await;
    }

    pub(crate) fn page(&self) -> String {
        let answer = ask(self.address, "GET /metrics");
        assert!(answer.head.starts_with("HTTP/1.1 200 "), "{}", answer.head);
        answer.body
    }
}

/// A document's text, line by line.
pub(crate) fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for index in 0..count {
        text.push_str(&line(index));
        text.push('\n');
    }
    text
}

/// Sends a request and reads the whole answer.
pub(crate) fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut stream = connect(address);
    write!(stream, "{request} HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    Answer { head: head.to_ascii_lowercase().replacen("http/1.1", "HTTP/1.1", 1), body: body.to_owned() }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream
}
