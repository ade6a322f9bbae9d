//! Answers scrapes, on a thread of its own: they go on while the sink waits for whatever it waits for.
//!
//! The thread and its connections belong to a [`Server`] and end with it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, warn};

use super::page;
use super::shelf::Shelf;

/// Connections at a time; one more ends the oldest, so that whoever holds connections open cannot keep others out.
const MOST_CONNECTIONS: usize = 8;
/// A connection that has not sent its request by then is closed.
const REQUEST_DEADLINE: Duration = Duration::from_secs(2);
/// A connection is closed by then in any case.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// A server at work, until dropped.
#[derive(Debug)]
pub(super) struct Server {
    /// Its end is the thread's.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
    /// Nothing is ever sent: the thread holds the other end for as long as it answers.
    end: watch::Receiver<()>,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Served {
    /// Of the sink, for the log.
    pub(super) sink: Arc<str>,
    pub(super) path: String,
    pub(super) shelf: Arc<Shelf>,
}

impl Server {
    /// Listens and answers from now on.
    pub(super) fn start(address: SocketAddr, served: Served) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        Self::begin(&Arc::clone(&served.sink), move |stopped| run(&runtime, listener, served, stopped))
    }

    fn begin(sink: &str, answer: impl FnOnce(oneshot::Receiver<Infallible>) + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (alive, end) = watch::channel(());
        let thread = std::thread::Builder::new().name(format!("scrapes-{sink}")).spawn(move || {
            // Dropped last, also when there is a panic: the address is free by then.
            let _alive = alive;
            answer(stopped);
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread), end })
    }

    /// It never ends by itself, unless it has panicked.
    pub(super) fn has_ended(&self) -> bool {
        self.end.has_changed().is_err()
    }

    /// Until it has ended.
    pub(super) fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut end = self.end.clone();
        async move { while end.changed().await.is_ok() {} }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // One that has panicked has said so.
            let _panicked = thread.join();
        }
    }
}

fn run(runtime: &Runtime, listener: TcpListener, served: Served, stopped: oneshot::Receiver<Infallible>) {
    let sink = Arc::clone(&served.sink);
    let serving = async {
        tokio::select! {
            biased;
            _ = stopped => Ok(()),
            ended = serve(listener, Arc::new(served)) => ended.map(|never| match never {}),
        }
    };
    if let Err(error) = runtime.block_on(serving) {
        warn!(%sink, %error, "scrapes are not answered for now");
    }
}

/// Answers until dropped.
async fn serve(listener: TcpListener, served: Arc<Served>) -> io::Result<Infallible> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(sink = %served.sink, %error, "cannot accept a scrape");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        oldest_first.retain(|connection| !connection.is_finished());
        if oldest_first.len() >= MOST_CONNECTIONS
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        oldest_first.push_back(connections.spawn(converse(stream, Arc::clone(&served))));
    }
}

async fn converse(stream: TcpStream, served: Arc<Served>) {
    let sink = Arc::clone(&served.sink);
    let service = service_fn(move |request| {
        let response = answer(&request, &served);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_DEADLINE)
        .keep_alive(false)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_DEADLINE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%sink, %error, "a scrape ended"),
        Err(_) => debug!(%sink, "a scrape took too long"),
    }
}

fn answer(request: &Request<Incoming>, served: &Served) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, Bytes::from_static(b"only GET\n"));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if request.uri().path() != served.path {
        return response(StatusCode::NOT_FOUND, TEXT, Bytes::from(format!("here is {}\n", served.path)));
    }
    response(StatusCode::OK, page::CONTENT_TYPE, served.shelf.page())
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
impl Server {
    /// One that ends when it is told to.
    pub(super) fn short_lived() -> (Self, oneshot::Sender<()>) {
        let (end, told) = oneshot::channel();
        let server = Self::begin("test", move |_| {
            let _told = told.blocking_recv();
        });
        (server.expect("a thread"), end)
    }
}
