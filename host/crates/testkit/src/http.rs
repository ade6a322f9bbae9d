//! A server that answers over HTTP as it is told to, rightly or not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Rightly, with this document.
    Report(Vec<u8>),
    /// Rightly, with this document, and said to be of this type.
    Typed(&'static str, Vec<u8>),
    /// With this document, after a while.
    Late(Duration, Vec<u8>),
    /// With this status and document.
    Status(u16, Vec<u8>),
    /// With these bytes on the connection, which is then closed.
    Raw(Vec<u8>),
    /// With a document that never ends: this part of it again and again, in chunks.
    Endless(Vec<u8>),
    /// With the bytes of this document one by one, with this pause between them.
    Drip(Duration, Vec<u8>),
    /// With a length that promises so many bytes more than come.
    TooShort(usize, Vec<u8>),
    /// Half of the document, then the connection is broken.
    Reset(Vec<u8>),
    /// Not at all.
    Silence,
}

pub(crate) struct State {
    pub(crate) answer: Answer,
    /// Answers to requests whose first line holds this, first come first.
    rules: Vec<(String, Answer)>,
    pub(crate) requests: Vec<String>,
    content_type: &'static str,
}

impl State {
    pub(crate) fn new(answer: Answer, content_type: &'static str) -> Self {
        Self { answer, rules: Vec::new(), requests: Vec::new(), content_type }
    }
}

/// Serves a page of metrics at every path of a port of its own. It ends when this is dropped.
pub struct PageServer {
    port: u16,
    shared: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl PageServer {
    /// Starts one in the caller's runtime.
    pub async fn start(answer: Answer) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
        let port = listener.local_addr().context("cannot tell the port")?.port();
        let shared = Arc::new(Mutex::new(State::new(answer, "text/plain; version=0.0.4")));
        let state = Arc::clone(&shared);
        #[allow(clippy::disallowed_methods, reason = "a server for tests: it is aborted when it is dropped")]
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    let _broken = serve(stream, &state).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, shared, task })
    }

    /// Where it is, such as `127.0.0.1:40123`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on it answers so.
    pub fn answer(&self, answer: Answer) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).answer = answer;
    }

    /// From now on it answers so where the first line of the request holds this; rules that were given before come first.
    pub fn answer_to(&self, part: &str, answer: Answer) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).rules.push((part.to_owned(), answer));
    }

    /// From now on it answers everything alike.
    pub fn clear_rules(&self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).rules.clear();
    }

    /// The first lines and headers of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers one request.
pub(crate) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Mutex<State>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if head.len() > 1 << 16 || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (answer, content_type) = {
        let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let head = String::from_utf8_lossy(&head).into_owned();
        let line = head.lines().next().unwrap_or_default();
        let rule = state.rules.iter().find(|(part, _)| line.contains(part.as_str()));
        let answer = rule.map_or_else(|| state.answer.clone(), |(_, answer)| answer.clone());
        state.requests.push(head);
        (answer, state.content_type)
    };
    give(&mut stream, answer, content_type).await?;
    stream.shutdown().await
}

async fn give(stream: &mut (impl AsyncWrite + Unpin), answer: Answer, content_type: &str) -> std::io::Result<()> {
    match answer {
        Answer::Report(body) => stream.write_all(&whole(200, content_type, body.len(), &body)).await,
        Answer::Typed(content_type, body) => stream.write_all(&whole(200, content_type, body.len(), &body)).await,
        Answer::Late(wait, body) => {
            tokio::time::sleep(wait).await;
            stream.write_all(&whole(200, content_type, body.len(), &body)).await
        }
        Answer::Status(status, body) => stream.write_all(&whole(status, content_type, body.len(), &body)).await,
        Answer::Raw(bytes) => stream.write_all(&bytes).await,
        Answer::Endless(part) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await?;
                stream.write_all(&part).await?;
                stream.write_all(b"\r\n").await?;
            }
        }
        Answer::Drip(pause, body) => {
            stream.write_all(&whole(200, content_type, body.len(), &[])).await?;
            for byte in body {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(pause).await;
            }
            Ok(())
        }
        Answer::TooShort(missing, body) => stream.write_all(&whole(200, content_type, body.len() + missing, &body)).await,
        Answer::Reset(body) => {
            let half = body.get(..body.len() / 2).unwrap_or_default();
            stream.write_all(&whole(200, content_type, body.len(), half)).await
        }
        Answer::Silence => std::future::pending().await,
    }
}

fn whole(status: u16, content_type: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// An answer whose body is a few kilobytes of gzip that become so many bytes: the same letter again and again.
pub fn gzip_bomb(bytes: usize) -> Answer {
    // RFC 1951: one block with fixed codes, in it a letter and references of 258 bytes to what is one byte before.
    let mut bits = vec![true, true, false];
    bits.extend(code(0x91, 8));
    for _ in 0..bytes / 258 {
        bits.extend(code(0xc5, 8).chain(code(0, 5)));
    }
    let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    body.extend(bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | u8::from(*bit))));
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    Answer::Raw([head.as_bytes(), &body].concat())
}

/// A code of so many bits, the highest first.
fn code(code: u32, length: u32) -> impl Iterator<Item = bool> {
    (0..length).rev().map(move |place| code >> place & 1 == 1)
}
