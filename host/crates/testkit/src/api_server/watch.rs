//! Watches: a line of JSON for each change, until the time is over, the version has gone, or a fault is due.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use http::StatusCode;
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::watch as signal;
use tokio::time::Instant;

use super::answer::Refusal;
use super::fault::WatchFault;
use super::route::Selector;
use super::store::{Change, Kind, Object};
use super::{Breaks, Shared};

/// How often a real server sends a bookmark.
const BOOKMARKS: Duration = Duration::from_mins(1);

/// What a watch was asked for.
pub(super) struct Wanted {
    pub(super) kind: Kind,
    pub(super) selector: Selector,
    /// None: what is there comes first.
    pub(super) from: Option<u64>,
    pub(super) bookmarks: bool,
    pub(super) lasts: Duration,
    pub(super) fault: Option<WatchFault>,
}

struct Watch {
    shared: Arc<Shared>,
    wanted: Wanted,
    version: u64,
    events: usize,
    /// Asked for again only when it is empty: a slow reader holds no more than the history does.
    waiting: VecDeque<Event>,
    news: signal::Receiver<u64>,
    breaks: signal::Receiver<Breaks>,
    broken_at: u64,
    bookmarks_seen: u64,
    bookmark_due: Instant,
    ends: Instant,
    over: bool,
}

/// What is to be sent: the verb, and the object that the history has as well.
struct Event(&'static str, Arc<Object>);

impl Event {
    fn line(&self) -> String {
        line(self.0, &self.1.whole)
    }
}

/// What a fault does now.
enum Due {
    Nothing,
    End,
    Text(String),
}

type Piece = Result<Frame<Bytes>, io::Error>;

/// The body of a watch.
pub(super) fn body(shared: Arc<Shared>, wanted: Wanted) -> impl Stream<Item = Piece> + Send {
    let (mut waiting, mut version) = (VecDeque::new(), wanted.from.unwrap_or(0));
    let bookmarks_seen = {
        let state = shared.lock();
        if wanted.from.is_none() {
            version = state.store.version();
            let there = state.store.all(wanted.kind).filter(|object| wanted.selector.matches(object));
            waiting.extend(there.map(|object| Event("ADDED", Arc::clone(object))));
        }
        state.bookmarks
    };
    let (news, breaks) = (shared.news.subscribe(), shared.breaks.subscribe());
    let broken_at = breaks.borrow().watches;
    let now = Instant::now();
    let watch = Watch {
        ends: now + wanted.lasts,
        bookmark_due: now + BOOKMARKS,
        shared,
        wanted,
        version,
        events: 0,
        waiting,
        news,
        breaks,
        broken_at,
        bookmarks_seen,
        over: false,
    };
    stream::unfold(watch, |mut watch| async move { watch.next().await.map(|piece| (piece, watch)) })
}

impl Watch {
    async fn next(&mut self) -> Option<Piece> {
        loop {
            if self.over {
                return None;
            }
            self.news.mark_unchanged();
            if let Some(last) = self.fetch() {
                self.over = true;
                return Some(Ok(frame(last)));
            }
            match self.fault() {
                Due::Nothing => {}
                Due::End => return None,
                Due::Text(text) => return Some(Ok(frame(text))),
            }
            if let Some(event) = self.waiting.pop_front() {
                self.events += 1;
                return Some(Ok(frame(event.line())));
            }
            if let Some(line) = self.bookmark() {
                return Some(Ok(frame(line)));
            }
            let stalled = matches!(self.wanted.fault, Some(WatchFault::Stall(after)) if self.events >= after);
            let broken_at = self.broken_at;
            tokio::select! {
                biased;
                _ = self.breaks.wait_for(|breaks| breaks.watches != broken_at) => return Some(Err(io::Error::other("broken off on purpose"))),
                _ = self.news.changed(), if !stalled => {}
                () = tokio::time::sleep_until(self.bookmark_due), if !stalled => {}
                () = tokio::time::sleep_until(self.ends), if !stalled => return None,
            }
        }
    }

    /// Takes what has happened since the last time. A last word, if that is not known any more.
    fn fetch(&mut self) -> Option<String> {
        if !self.waiting.is_empty() {
            return None;
        }
        let shared = Arc::clone(&self.shared);
        let state = shared.lock();
        match state.store.since(self.wanted.kind, self.version) {
            Ok(changes) => {
                self.version = state.store.version();
                self.waiting.extend(changes.into_iter().filter_map(|change| event(change, &self.wanted.selector)));
                None
            }
            Err(refusal) => Some(line("ERROR", &refusal.status().to_string())),
        }
    }

    /// What a fault puts in the place of what would come now.
    fn fault(&mut self) -> Due {
        let Some(fault) = self.wanted.fault.filter(|fault| self.events >= fault.after()) else {
            return Due::Nothing;
        };
        match fault {
            WatchFault::End(_) => Due::End,
            WatchFault::Gone(_) => self.last_words(410),
            WatchFault::Error(_, code) => self.last_words(code),
            WatchFault::Stall(_) => {
                self.waiting.clear();
                Due::Nothing
            }
            WatchFault::Garbage(_) => match self.waiting.pop_front() {
                Some(_) => self.once("no {JSON] at all\n".to_owned()),
                None => Due::Nothing,
            },
            WatchFault::Huge(_, bytes) => self.once(line("ADDED", &format!("\"{}\"", "x".repeat(bytes)))),
            WatchFault::Cut(_) => {
                let Some(line) = self.waiting.pop_front().map(|event| event.line()) else {
                    return Due::Nothing;
                };
                // Once the half has gone out, the connection breaks off.
                self.broken_at = u64::MAX;
                self.wanted.fault = Some(WatchFault::Stall(0));
                Due::Text(line.chars().take(line.len() / 2).collect())
            }
        }
    }

    fn once(&mut self, text: String) -> Due {
        self.wanted.fault = None;
        Due::Text(text)
    }

    fn last_words(&mut self, code: u16) -> Due {
        self.over = true;
        let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Due::Text(line("ERROR", &Refusal::new(code, "on purpose").status().to_string()))
    }

    fn bookmark(&mut self) -> Option<String> {
        let asked = self.shared.lock().bookmarks;
        let due = asked != self.bookmarks_seen || Instant::now() >= self.bookmark_due;
        if !due {
            return None;
        }
        self.bookmarks_seen = asked;
        self.bookmark_due = Instant::now() + BOOKMARKS;
        let metadata = json!({"resourceVersion": self.version.to_string(), "creationTimestamp": null});
        let object = json!({"kind": self.wanted.kind.singular(), "apiVersion": "v1", "metadata": metadata});
        self.wanted.bookmarks.then(|| line("BOOKMARK", &object.to_string()))
    }
}

/// The event for a change, as whoever asks by this selector sees it.
fn event(change: Change, selector: &Selector) -> Option<Event> {
    let before = change.before.as_ref().is_some_and(|object| selector.matches(object));
    let after = !change.deleted && selector.matches(&change.object);
    let verb = match (before, after) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return None,
    };
    Some(Event(verb, change.object))
}

fn line(verb: &str, object: &str) -> String {
    format!("{{\"type\":\"{verb}\",\"object\":{object}}}\n")
}

fn frame(line: String) -> Frame<Bytes> {
    Frame::data(Bytes::from(line))
}
