//! Lists, then watches, then begins anew where that is needed: decides what is asked when, and waits between tries.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use http::StatusCode;
use http_body_util::BodyExt as _;
use kube::client::Body;
use sluicebox_contract::Backoff;
use tokio::time::{Instant, sleep, timeout};

use super::cut::{self, Cut, Identity};
use super::fetch::{Extent, Fetch, PageError, Target};
use super::lines::{Line, Lines};
use super::read::{self, Object, Page, Verb, WatchLine};
use crate::kubernetes::{Api, Trouble, chain};

/// After the first failure. The next ones wait longer.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// However many failures there were.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A watch that lived for so long was a good one.
const GOOD_WATCH: Duration = Duration::from_secs(20);
/// A watch that did not live for so long is followed by a pause even when something was heard.
const SHORT_WATCH: Duration = Duration::from_secs(1);
/// So many refusals in a row of the same request, and another one is made.
const MOST_REFUSALS: u32 = 4;
/// However long a wait the API asks for.
const LONGEST_WAIT_ASKED: Duration = Duration::from_mins(1);

/// What the API says, in order.
#[derive(Debug)]
pub(super) enum Heard {
    /// A list begins. One that is not brought to its end is followed by another.
    ListBegins,
    Page(Page),
    /// What was in no page of the list is gone.
    ListEnds,
    /// A watch was opened, or shows that it lives.
    Reached,
    Changed(Verb, Object),
    /// Something was left out.
    Refused(String),
    /// What was left out of the list has not gone.
    Remains(Identity),
    /// Something did not work. It is tried again after a pause.
    Trouble(Trouble),
}

/// Everything that the API says, without end. What it says first is not older than a version, where one is given.
pub(super) fn listen(api: Api, target: Target, not_older_than: Option<String>) -> impl Stream<Item = Heard> + Send {
    let listener = Listener {
        page_size: target.page_size,
        fetch: Fetch { api, target, not_older_than },
        state: State::Unlisted,
        nothing_heard: true,
        refusals: 0,
        backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
        pause: None,
        heard: VecDeque::new(),
    };
    stream::unfold(listener, |mut listener| async move { Some((listener.next().await, listener)) })
}

struct Listener {
    fetch: Fetch,
    /// Shrinks when a page is too big, until that part of the list has been read.
    page_size: u32,
    state: State,
    /// Nothing was heard yet that an older answer could contradict.
    nothing_heard: bool,
    /// Answers in a row that refused the same request.
    refusals: u32,
    backoff: Backoff,
    pause: Option<Duration>,
    heard: VecDeque<Heard>,
}

enum State {
    Unlisted,
    Listing { token: Option<String> },
    Listed { version: String },
    Watching(Watch),
}

struct Watch {
    version: String,
    body: Body,
    lines: Lines,
    opened: Instant,
    heard: bool,
}

impl Listener {
    async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            if let Some(pause) = self.pause.take() {
                sleep(pause).await;
            }
            self.state = match std::mem::replace(&mut self.state, State::Unlisted) {
                State::Unlisted => {
                    self.heard.push_back(Heard::ListBegins);
                    State::Listing { token: None }
                }
                State::Listing { token } => self.list(token).await,
                State::Listed { version } => self.open(version).await,
                State::Watching(watch) => self.watch(watch).await,
            };
        }
    }

    async fn list(&mut self, token: Option<String>) -> State {
        let from_cache = self.nothing_heard && self.fetch.target.first_from_cache;
        let extent = if from_cache { Extent::Cached } else { Extent::Page(self.page_size) };
        match self.fetch.page(token.as_deref(), extent).await {
            Ok(page) => {
                self.nothing_heard = false;
                self.refusals = 0;
                let (token, version) = (page.token.clone(), page.version.clone());
                self.heard.push_back(Heard::Page(page));
                self.after_page(token, version)
            }
            Err(PageError::TooBig(text)) => self.shrink(token, extent, &text),
            Err(PageError::Trouble(trouble)) => {
                let another = self.needs_another_request(&trouble);
                // The server may never come to a version of another cluster, or of one that was restored.
                let asks_too_much = from_cache && self.fetch.not_older_than.is_some() && trouble.is_about_the_request();
                self.trouble(trouble);
                if another || asks_too_much {
                    self.nothing_heard = false;
                }
                // A list that is at its first page is new already.
                if another && token.is_some() { State::Unlisted } else { State::Listing { token } }
            }
        }
    }

    fn after_page(&mut self, token: Option<String>, version: String) -> State {
        if token.is_some() {
            return State::Listing { token };
        }
        self.page_size = self.fetch.target.page_size;
        self.heard.push_back(Heard::ListEnds);
        State::Listed { version }
    }

    /// A page was too big: the next one shall be smaller.
    fn shrink(&mut self, token: Option<String>, extent: Extent, text: &[u8]) -> State {
        self.nothing_heard = false;
        match extent {
            Extent::Cached => {}
            Extent::Page(size) if size > 1 => self.page_size = size / 2,
            Extent::Page(_) => return self.pass_over(text),
        }
        tracing::debug!(
            source = self.fetch.target.source,
            page_size = self.page_size,
            "a page was too big, asking for smaller ones"
        );
        State::Listing { token }
    }

    /// A page with one object was too big: the list goes on after it, if what was read of it says where.
    fn pass_over(&mut self, text: &[u8]) -> State {
        self.refusals = 0;
        // It was this object that made pages too big.
        self.page_size = self.fetch.target.page_size;
        let limit = self.fetch.target.max_page_bytes;
        let Some(Cut { version, token, identity }) = cut::cut(text) else {
            self.heard.push_back(Heard::Refused(format!(
                "a page with one object that is longer than {limit} bytes, and the list with it, as the page does not begin with where \
                 the list goes on: raise `max-page-bytes`"
            )));
            self.pause = Some(self.backoff.wait());
            return State::Unlisted;
        };
        self.heard.push_back(Heard::Refused(format!(
            "an object of a list ({identity}) that is longer than {limit} bytes (`max-page-bytes`); it is as it was until its next event"
        )));
        self.heard.push_back(Heard::Remains(identity));
        self.after_page(token, version)
    }

    async fn open(&mut self, version: String) -> State {
        match self.fetch.watch(&version).await {
            Ok(body) => {
                self.heard.push_back(Heard::Reached);
                let lines = Lines::new(self.fetch.target.max_object_bytes);
                State::Watching(Watch { version, body, lines, opened: Instant::now(), heard: false })
            }
            Err(trouble) => self.broken(trouble, version),
        }
    }

    /// Takes the next piece of a watch.
    async fn watch(&mut self, mut watch: Watch) -> State {
        while let Some(line) = watch.lines.next() {
            match line {
                Line::Whole(line) => {
                    if let Err(trouble) = self.line(&line, &mut watch) {
                        return self.broken(trouble, watch.version);
                    }
                }
                Line::TooLong => {
                    let limit = self.fetch.target.max_object_bytes;
                    self.heard.push_back(Heard::Refused(format!(
                        "an event longer than {limit} bytes (`max-object-bytes`); its object is as it was until its next event"
                    )));
                }
            }
        }
        if !self.heard.is_empty() {
            return State::Watching(watch);
        }
        match timeout(self.fetch.api.watch_idle_timeout(), watch.body.frame()).await {
            Ok(Some(Ok(frame))) => {
                watch.lines.put(frame.data_ref().unwrap_or(&Bytes::new()));
                State::Watching(watch)
            }
            ended => {
                let how = match ended {
                    Ok(Some(Err(error))) => chain(&error),
                    Ok(_) => "the server ended it".to_owned(),
                    Err(_) => "nothing came for too long".to_owned(),
                };
                tracing::debug!(source = self.fetch.target.source, "the watch has ended: {how}");
                // A server that ends each watch at once is not asked again at once.
                if watch.opened.elapsed() < if watch.heard { SHORT_WATCH } else { GOOD_WATCH } {
                    self.pause = Some(self.backoff.wait());
                }
                State::Listed { version: watch.version }
            }
        }
    }

    /// The trouble is what ends the watch; with an empty version of the watch, everything must be listed anew.
    fn line(&mut self, line: &[u8], watch: &mut Watch) -> Result<(), Trouble> {
        match read::watch_line(line) {
            WatchLine::Changed(verb, object) => {
                object.version.as_ref().clone_into(&mut watch.version);
                self.heard.push_back(Heard::Changed(verb, object));
            }
            WatchLine::Bookmark(version) => {
                watch.version = version;
                self.heard.push_back(Heard::Reached);
            }
            WatchLine::Refused(cause) => {
                self.heard.push_back(Heard::Refused(cause));
                return Ok(());
            }
            WatchLine::Failed(status) => {
                let mut trouble = self.fetch.trouble("watch", status.describe());
                trouble.status = Some(StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
                trouble.retry_after = status.retry_after();
                return Err(trouble);
            }
            WatchLine::Garbage(cause) => {
                // What the line said is lost, and with it the order of things.
                watch.version.clear();
                return Err(self.fetch.trouble("watch", cause));
            }
        }
        watch.heard = true;
        self.refusals = 0;
        self.backoff.reset();
        Ok(())
    }

    /// A watch could not be opened or was ended by an error: goes on where it was, if that can be.
    fn broken(&mut self, trouble: Trouble, version: String) -> State {
        let anew = self.needs_another_request(&trouble) || version.is_empty();
        self.trouble(trouble);
        if anew { State::Unlisted } else { State::Listed { version } }
    }

    /// Whether what was asked for cannot be had: the API refuses it for good or again and again, as it does with a version or a continue
    /// token that it does not know any more. An API that cannot be reached says nothing about the request.
    fn needs_another_request(&mut self, trouble: &Trouble) -> bool {
        if !trouble.is_about_the_request() {
            return false;
        }
        self.refusals += 1;
        let another = trouble.is_final() || self.refusals >= MOST_REFUSALS;
        if another {
            self.refusals = 0;
        }
        another
    }

    fn trouble(&mut self, trouble: Trouble) {
        let wait = self.backoff.wait();
        self.pause = Some(trouble.retry_after.map_or(wait, |asked| asked.min(LONGEST_WAIT_ASKED).max(wait)));
        self.heard.push_back(Heard::Trouble(trouble));
    }
}
