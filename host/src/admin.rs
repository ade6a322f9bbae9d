//! Probes and metrics over HTTP.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::live::Status;
use crate::metrics::{Meters, render};

/// Connections at a time; one more ends the oldest, so that whoever holds connections open cannot keep the probes out.
const MOST_CONNECTIONS: usize = 32;
/// A connection that has not sent its request by then is closed.
const REQUEST_DEADLINE: Duration = Duration::from_secs(2);
/// A connection is closed by then in any case.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);

/// How long an address may still be in use by whoever was here before.
const PATIENCE: Duration = Duration::from_secs(1);

/// What there is to show, as it comes to be there.
#[derive(Default)]
pub struct Shown {
    /// What is counted: from before the first module is read.
    pub meters: OnceLock<Arc<Meters>>,
    /// What became of changes: from when every lane has its module, or has none.
    pub status: OnceLock<Arc<Status>>,
}

impl Shown {
    fn whole(&self) -> Option<(&Meters, &Status)> {
        Some((self.meters.get()?, self.status.get()?))
    }

    /// What the program is busy with before there is anything to be ready.
    fn beginning(&self) -> &'static str {
        match self.meters.get() {
            None => "[-] starting: directories and stores are being opened\n",
            Some(_) => "[-] starting: modules are being compiled\n",
        }
    }
}

/// Begins to listen; the error names the address.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    // A collector that was killed a moment ago may not have gone yet.
    let end = Instant::now() + PATIENCE;
    let listener = loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < end => sleep(PATIENCE / 20).await,
            bound => break bound.with_context(|| format!("cannot listen on {address} for probes and metrics"))?,
        }
    };
    info!(address = %listener.local_addr()?, "probes and metrics: /livez, /readyz, /metrics, /status");
    Ok(listener)
}

/// Answers until dropped. Until there is all to show, the program is starting.
pub async fn serve(listener: TcpListener, shown: Arc<Shown>) -> Infallible {
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept a connection for probes and metrics");
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
        oldest_first.push_back(connections.spawn(converse(stream, Arc::clone(&shown))));
    }
}

async fn converse(stream: TcpStream, shown: Arc<Shown>) {
    let service = service_fn(move |request| {
        let response = answer(&request, &shown);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_DEADLINE)
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_DEADLINE, connection).await {
        debug!(%error, "connection for probes and metrics ended");
    }
}

fn answer(request: &Request<Incoming>, shown: &Shown) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") => {
            let (ready, text) = match shown.whole() {
                Some((meters, status)) => readiness(meters, status),
                None => (false, shown.beginning().to_owned()),
            };
            (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, TEXT, text)
        }
        (&Method::GET | &Method::HEAD, "/metrics") => {
            (StatusCode::OK, METRICS, shown.meters.get().map_or_else(String::new, |meters| render(meters)))
        }
        (&Method::GET | &Method::HEAD, "/status") => {
            let status = shown.whole().map_or_else(|| serde_json::json!({}), |(meters, status)| status.show(meters));
            (StatusCode::OK, "application/json", format!("{status:#}\n"))
        }
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, TEXT, "here are /livez, /readyz, /metrics and /status\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

/// Ready when every source has told what was there and every module is at work. A sink that is away does not make the collector
/// unready: restarting or avoiding it would not help, and entries wait.
fn readiness(meters: &Meters, status: &Status) -> (bool, String) {
    let mut ready = true;
    let mut text = String::new();
    let mut say = |good: bool, needed: bool, name: &str, state: &str| {
        ready &= good || !needed;
        let _infallible = writeln!(text, "[{}] {name}: {state}", if good { '+' } else { '-' });
    };
    for row in meters.sources() {
        let good = row.meter.listed.get() == 1;
        let of = row.lane.map(|lane| format!(" of module {lane}")).unwrap_or_default();
        say(good, true, &format!("source {}{of}", row.name), if good { "listed" } else { "has not yet told what is there" });
    }
    for row in meters.lanes() {
        let good = row.meter.ready.get() == 1;
        let fault = row.meter.last_fault.get().map(|fault| format!("no instance is at work: {fault}"));
        let idle = fault.unwrap_or_else(|| "no instance is at work".to_owned());
        let state = row.failure.as_deref().unwrap_or(if good { "at work" } else { &idle });
        let remark = status.remark(&row.name).filter(|_| row.failure.is_none()).map(|remark| format!("; {remark}"));
        say(good, true, &format!("module {}", row.name), &format!("{state}{}", remark.unwrap_or_default()));
    }
    for row in meters.sinks() {
        let good = row.meter.ready.get() == 1;
        let untried = row.meter.writes.count() == 0;
        let state = if good { "takes entries" } else { "does not take entries; they wait" };
        say(good || untried, false, &format!("sink {}", row.name), if untried { "nothing to write yet" } else { state });
    }
    (ready, text)
}
