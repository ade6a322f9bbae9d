//! A network tracer as far as a collector sees one: it serves reports over HTTP on a Unix socket, and misbehaves when asked to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// The six connections of `test/serveruds.go` in cluster-monitoring, as the tracer of its time wrote them.
pub const SIX: &str = include_str!("../fixtures/tracer/six.json");

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Rightly, with this document.
    Report(Vec<u8>),
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

/// The tracer. It ends when this is dropped, and leaves its socket, as one that was killed does.
pub struct Tracer {
    path: PathBuf,
    shared: Arc<Mutex<State>>,
    task: Option<JoinHandle<()>>,
}

struct State {
    answer: Answer,
    requests: Vec<String>,
}

impl Tracer {
    /// Starts one at this path, in the caller's runtime; what is left there of another is removed.
    pub fn start(path: &Path, answer: Answer) -> Result<Self> {
        let shared = Arc::new(Mutex::new(State { answer, requests: Vec::new() }));
        let mut tracer = Self { path: path.to_owned(), shared, task: None };
        tracer.restart()?;
        Ok(tracer)
    }

    /// From now on it answers so.
    pub fn answer(&self, answer: Answer) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).answer = answer;
    }

    /// The first lines and headers of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }

    /// It is killed: the socket stays, and nobody listens.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// It comes again.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        let _left = std::fs::remove_file(&self.path);
        let listener = UnixListener::bind(&self.path).with_context(|| format!("cannot listen at {}", self.path.display()))?;
        let shared = Arc::clone(&self.shared);
        #[allow(clippy::disallowed_methods, reason = "a server for tests: it is aborted when it is dropped")]
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let _broken = serve(stream, &shared).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        self.task = Some(task);
        Ok(())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve(mut stream: UnixStream, shared: &Mutex<State>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if head.len() > 1 << 16 || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let answer = {
        let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests.push(String::from_utf8_lossy(&head).into_owned());
        state.answer.clone()
    };
    give(&mut stream, answer).await?;
    stream.shutdown().await
}

async fn give(stream: &mut UnixStream, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Report(body) => stream.write_all(&whole(200, body.len(), &body)).await,
        Answer::Late(wait, body) => {
            tokio::time::sleep(wait).await;
            stream.write_all(&whole(200, body.len(), &body)).await
        }
        Answer::Status(status, body) => stream.write_all(&whole(status, body.len(), &body)).await,
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
            stream.write_all(&whole(200, body.len(), &[])).await?;
            for byte in body {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(pause).await;
            }
            Ok(())
        }
        Answer::TooShort(missing, body) => stream.write_all(&whole(200, body.len() + missing, &body)).await,
        Answer::Reset(body) => {
            let half = body.get(..body.len() / 2).unwrap_or_default();
            stream.write_all(&whole(200, body.len(), half)).await
        }
        Answer::Silence => std::future::pending().await,
    }
}

fn whole(status: u16, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}
