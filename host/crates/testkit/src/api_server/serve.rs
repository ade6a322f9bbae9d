//! Takes connections and answers requests.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::answer::Refusal;
use super::fault::RequestFaultKind;
use super::route::{self, Place, Selector};
use super::watch::Wanted;
use super::{Kind, Request, Shared, json, watch};

type Body = UnsyncBoxBody<Bytes, io::Error>;
type Answer = Result<Response<Body>, Refusal>;

/// No object is longer.
const LONGEST_BODY: usize = 16 << 20;

/// What holds the port.
#[derive(Default)]
pub(super) enum Listening {
    #[default]
    Nothing,
    /// Bound, but whoever connects is refused.
    Held(#[allow(dead_code, reason = "it is held, that is its use")] TcpSocket),
    Taking(JoinHandle<()>),
}

impl Listening {
    /// Gives the port up.
    pub(super) async fn end(mut self) {
        if let Self::Taking(task) = &mut self {
            task.abort();
            let _ended = task.await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Self::Taking(task) = self {
            task.abort();
        }
    }
}

/// Takes connections at the address.
#[allow(clippy::disallowed_methods, reason = "a fake runs in the background of the test; the task ends with its handle")]
pub(super) async fn listen(address: SocketAddr, shared: &Arc<Shared>) -> Result<(SocketAddr, Listening)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    let task = tokio::spawn(take_connections(listener, Arc::clone(shared)));
    Ok((address, Listening::Taking(task)))
}

/// Keeps the port while whoever connects is refused.
pub(super) fn hold(address: SocketAddr) -> Result<Listening> {
    let socket = TcpSocket::new_v4().context("cannot make a socket")?;
    socket.set_reuseaddr(true).context("cannot share the address")?;
    socket.bind(address).with_context(|| format!("cannot hold {address}"))?;
    Ok(Listening::Held(socket))
}

#[allow(clippy::disallowed_methods, reason = "one task for each connection, which ends when the server is told to break off")]
async fn take_connections(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&shared)));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let _small_packets_at_once = stream.set_nodelay(true);
    let mut breaks = shared.breaks.subscribe();
    let before = breaks.borrow().connections;
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, shared).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ended = serving => {}
        _broken = breaks.wait_for(|breaks| breaks.connections != before) => {}
    }
}

async fn answer(request: http::Request<Incoming>, shared: Arc<Shared>) -> Response<Body> {
    let noted = note(&request);
    let fault = {
        let mut state = shared.lock();
        state.note(noted.clone());
        state.faults.request(&noted)
    };
    let answered = match fault {
        Some(RequestFaultKind::Hang) => std::future::pending().await,
        Some(RequestFaultKind::Body(text)) => Ok(text_answer(StatusCode::OK, text)),
        Some(RequestFaultKind::Status(code, wait)) => return injected(code, wait),
        Some(RequestFaultKind::Unanswered) => {
            drop(handle(request, &noted, shared).await);
            std::future::pending().await
        }
        Some(RequestFaultKind::Late(wait)) => {
            let answer = handle(request, &noted, shared).await;
            tokio::time::sleep(wait).await;
            answer
        }
        None => handle(request, &noted, shared).await,
    };
    answered.unwrap_or_else(|refusal| text_answer(refusal.code, refusal.status().to_string()))
}

fn note(request: &http::Request<Incoming>) -> Request {
    let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    Request {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        bearer: bearer.and_then(|value| value.strip_prefix("Bearer ")).map(ToOwned::to_owned),
    }
}

fn injected(code: u16, wait: Option<Duration>) -> Response<Body> {
    let refusal = Refusal::new(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "on purpose");
    let mut response = text_answer(refusal.code, refusal.status().to_string());
    if let Some(wait) = wait {
        response.headers_mut().insert(RETRY_AFTER, wait.as_secs().into());
    }
    response
}

async fn handle(request: http::Request<Incoming>, noted: &Request, shared: Arc<Shared>) -> Answer {
    if matches!(noted.path.as_str(), "/healthz" | "/livez" | "/readyz") {
        return Ok(text_answer(StatusCode::OK, "ok".to_owned()));
    }
    authorise(noted, &shared)?;
    if let Some(api_version) = route::kinds(&noted.path) {
        return Ok(text_answer(StatusCode::OK, Kind::described(api_version).to_string()));
    }
    let place = route::place(&noted.path)?;
    match (request.method().clone(), &place.name) {
        (Method::GET, None) if noted.is_watch() => open_watch(&place, noted, &shared),
        (Method::GET, None) => list(&place, noted, &shared),
        (Method::GET, Some(name)) => {
            let object = shared.lock().store.get(place.kind, &place.namespace, name)?;
            let text = if wants_metadata(&request) { json::partial(&object.value).to_string() } else { object.whole.clone() };
            Ok(text_answer(StatusCode::OK, text))
        }
        _ => change(request, &place, &shared).await,
    }
}

fn wants_metadata(request: &http::Request<Incoming>) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata;"))
}

fn authorise(noted: &Request, shared: &Shared) -> Result<(), Refusal> {
    let state = shared.lock();
    match (&state.tokens, &noted.bearer) {
        (None, _) => Ok(()),
        (Some(known), Some(token)) if known.contains(token) => Ok(()),
        _ => Err(Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized")),
    }
}

fn list(place: &Place, noted: &Request, shared: &Shared) -> Answer {
    let selector = Selector::new(place.kind, &place.namespace, &noted.parameter("fieldSelector").unwrap_or_default())?;
    let limit = noted.parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(0);
    let token = noted.parameter("continue").filter(|token| !token.is_empty());
    let mut state = shared.lock();
    let state = &mut *state;
    let page = state.snapshots.page(&state.store, place.kind, &selector, limit, token.as_deref())?;
    Ok(text_answer(StatusCode::OK, page))
}

fn open_watch(place: &Place, noted: &Request, shared: &Arc<Shared>) -> Answer {
    let selector = Selector::new(place.kind, &place.namespace, &noted.parameter("fieldSelector").unwrap_or_default())?;
    let version = noted.parameter("resourceVersion").filter(|version| !version.is_empty() && version != "0");
    let from = match version.map(|version| version.parse::<u64>()) {
        None => None,
        Some(Ok(version)) => Some(version),
        Some(Err(_)) => {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid resource version"));
        }
    };
    let seconds = noted.parameter("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(1800);
    let mut state = shared.lock();
    if let (true, Some(version)) = (state.faults.gone_as_status, from) {
        state.store.since(place.kind, version)?;
    }
    let fault = state.faults.watch();
    drop(state);
    let wanted = Wanted {
        kind: place.kind,
        selector,
        from,
        bookmarks: matches!(noted.parameter("allowWatchBookmarks").as_deref(), Some("true" | "1")),
        lasts: Duration::from_secs(seconds),
        fault,
    };
    Ok(respond(StatusCode::OK, StreamBody::new(watch::body(Arc::clone(shared), wanted)).boxed_unsync()))
}

async fn change(request: http::Request<Incoming>, place: &Place, shared: &Shared) -> Answer {
    let method = request.method().clone();
    let body = Limited::new(request.into_body(), LONGEST_BODY).collect().await;
    let body = body.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?.to_bytes();
    let parse = || -> Result<Value, Refusal> {
        serde_json::from_slice(&body).map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))
    };
    let (kind, namespace) = (place.kind, place.namespace.as_str());
    let with_namespace = |mut value: Value| {
        if let (false, Some(metadata)) = (namespace.is_empty(), value.get_mut("metadata").and_then(Value::as_object_mut)) {
            metadata.entry("namespace").or_insert_with(|| namespace.into());
        }
        value
    };
    let mut state = shared.lock();
    let store = &mut state.store;
    let (code, object) = match (method, place.name.as_deref()) {
        (Method::POST, None) => (StatusCode::CREATED, store.create(kind, with_namespace(parse()?))?),
        (Method::PUT, Some(_)) => (StatusCode::OK, store.replace(kind, with_namespace(parse()?))?),
        (Method::PATCH, Some(name)) => (StatusCode::OK, store.patch(kind, namespace, name, &parse()?)?),
        (Method::DELETE, Some(name)) => {
            let asked = parse().ok().and_then(|options| options.get("gracePeriodSeconds").and_then(Value::as_u64));
            let object = match asked.unwrap_or(30) {
                0 => store.delete(kind, namespace, name)?,
                seconds if kind == Kind::Pods => store.terminate(kind, namespace, name, seconds)?,
                _ => store.delete(kind, namespace, name)?,
            };
            (StatusCode::OK, object)
        }
        _ => {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "the method is not known here"));
        }
    };
    drop(state);
    shared.tell();
    Ok(text_answer(code, object.whole.clone()))
}

fn text_answer(code: StatusCode, text: String) -> Response<Body> {
    respond(code, Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync())
}

fn respond(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
