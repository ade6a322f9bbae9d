//! Lists, then watches, then begins anew where that is needed: the one place that talks to the API server while a source runs.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{Stream, stream};
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::api::{ListParams, VersionMatch, WatchParams};
use kube::client::Body;
use kube::core::Request;
use sluicebox_contract::ObjectKind;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::lines::{Line, Lines};
use super::read::{self, Object, Page, Verb, WatchLine};
use crate::kubernetes::{Api, Trouble};

/// A watch that lived for so long was a good one.
const GOOD_WATCH: Duration = Duration::from_secs(20);
/// A watch that did not live for so long is followed by a pause even when something was heard.
const SHORT_WATCH: Duration = Duration::from_secs(1);
/// However long the API asks to wait.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: ObjectKind,
    /// The source's name.
    pub(crate) source: &'static str,
    /// The path of the list.
    pub(crate) path: &'static str,
    /// Which of them.
    pub(crate) field_selector: Option<String>,
    /// The first list may come from the server's cache, whole: cheap for a server that thousands ask at once for a few objects each.
    pub(crate) first_from_cache: bool,
    pub(crate) page_size: u32,
    pub(crate) max_page_bytes: usize,
    pub(crate) max_object_bytes: usize,
}

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
    /// Something did not work. It is tried again after a pause.
    Trouble(Trouble),
}

/// Everything that the API says, without end.
pub(super) fn listen(api: Api, target: Target) -> impl Stream<Item = Heard> + Send {
    let page_size = target.page_size;
    let listener = Listener {
        api,
        target,
        page_size,
        state: State::Unlisted,
        from_cache: true,
        backoff: Backoff::new(),
        pause: None,
        heard: VecDeque::new(),
    };
    stream::unfold(listener, |mut listener| async move {
        Some((listener.next().await, listener))
    })
}

struct Listener {
    api: Api,
    target: Target,
    /// Shrinks when a page is too big.
    page_size: u32,
    state: State,
    /// Nothing was heard yet that an older answer could contradict.
    from_cache: bool,
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

enum Refusal {
    /// The page was longer than allowed.
    TooBig,
    Trouble(Trouble),
}

impl Listener {
    async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            if let Some(pause) = self.pause.take() {
                tokio::time::sleep(pause).await;
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

    fn trouble(&mut self, trouble: Trouble) {
        let wait = self.backoff.next();
        self.pause = Some(
            trouble
                .retry_after
                .map_or(wait, |asked| asked.min(LONGEST_WAIT).max(wait)),
        );
        self.heard.push_back(Heard::Trouble(trouble));
    }

    async fn list(&mut self, token: Option<String>) -> State {
        let tried = format!("cannot list {}", self.target.source);
        let from_cache = self.from_cache && self.target.first_from_cache;
        let limit = self.api.request_timeout();
        let work = self.fetch_page(token.as_deref(), from_cache, &tried);
        let fetched = match tokio::time::timeout(limit, work).await {
            Ok(fetched) => fetched,
            Err(_) => Err(Refusal::Trouble(Trouble::new(
                format!("{tried} at {}", self.api.server()),
                format!("no whole answer within {} seconds", limit.as_secs()),
            ))),
        };
        match fetched {
            Ok(page) => {
                let next = page.token.clone();
                let version = page.version.clone();
                self.from_cache = false;
                self.heard.push_back(Heard::Page(page));
                if next.is_some() {
                    return State::Listing { token: next };
                }
                self.heard.push_back(Heard::ListEnds);
                State::Listed { version }
            }
            Err(Refusal::TooBig) if from_cache || self.page_size > 1 => {
                // A list from the server's cache comes whole, whatever its size: ask for pages.
                if !from_cache {
                    self.page_size /= 2;
                }
                self.from_cache = false;
                tracing::debug!(
                    source = self.target.source,
                    page_size = self.page_size,
                    "a page was too big, asking for smaller ones"
                );
                State::Listing { token }
            }
            Err(Refusal::TooBig) => {
                let limit = self.target.max_page_bytes;
                self.trouble(
                    Trouble::new(
                        tried,
                        format!("a page with one object is longer than {limit} bytes"),
                    )
                    .hint("raise `max-page-bytes`"),
                );
                State::Unlisted
            }
            Err(Refusal::Trouble(trouble)) => {
                // The same page may be asked for again, unless the list has become too old.
                let again = if trouble.is_gone() {
                    State::Unlisted
                } else {
                    State::Listing { token }
                };
                self.trouble(trouble);
                again
            }
        }
    }

    async fn fetch_page(
        &mut self,
        token: Option<&str>,
        from_cache: bool,
        tried: &str,
    ) -> Result<Page, Refusal> {
        let api = self.api.clone();
        let trouble = |cause: String| {
            Refusal::Trouble(Trouble::new(format!("{tried} at {}", api.server()), cause))
        };
        let parameters = ListParams {
            field_selector: self.target.field_selector.clone(),
            limit: (!from_cache).then_some(self.page_size),
            continue_token: token.map(ToOwned::to_owned),
            resource_version: from_cache.then(|| "0".to_owned()),
            version_match: from_cache.then_some(VersionMatch::NotOlderThan),
            ..ListParams::default()
        };
        let request = Request::new(self.target.path)
            .list(&parameters)
            .map_err(|error| trouble(error.to_string()))?;
        let response = api.send(request, tried).await.map_err(Refusal::Trouble)?;
        let body = Limited::new(response.into_body(), self.target.max_page_bytes);
        match body.collect().await {
            Ok(collected) => read::page(&collected.to_bytes()).map_err(trouble),
            Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooBig),
            Err(error) => Err(trouble(crate::kubernetes::chain(error.as_ref()))),
        }
    }

    async fn open(&mut self, version: String) -> State {
        let tried = format!("cannot watch {}", self.target.source);
        let parameters = WatchParams {
            field_selector: self.target.field_selector.clone(),
            timeout: Some(
                u32::try_from(self.api.watch_timeout().as_secs())
                    .unwrap_or(u32::MAX)
                    .max(1),
            ),
            bookmarks: true,
            ..WatchParams::default()
        };
        let opened = match Request::new(self.target.path).watch(&parameters, &version) {
            Err(error) => Err(Trouble::new(&tried, error)),
            Ok(request) => match tokio::time::timeout(
                self.api.request_timeout(),
                self.api.send(request, &tried),
            )
            .await
            {
                Ok(opened) => opened,
                Err(_) => Err(Trouble::new(
                    format!("{tried} at {}", self.api.server()),
                    format!(
                        "no answer within {} seconds",
                        self.api.request_timeout().as_secs()
                    ),
                )),
            },
        };
        match opened {
            Ok(response) => {
                self.heard.push_back(Heard::Reached);
                State::Watching(Watch {
                    version,
                    body: response.into_body(),
                    lines: Lines::new(self.target.max_object_bytes),
                    opened: Instant::now(),
                    heard: false,
                })
            }
            Err(trouble) => {
                let again = if trouble.is_gone() {
                    State::Unlisted
                } else {
                    State::Listed { version }
                };
                self.trouble(trouble);
                again
            }
        }
    }

    /// Takes the next piece of a watch.
    async fn watch(&mut self, mut watch: Watch) -> State {
        while let Some(line) = watch.lines.next() {
            match line {
                Line::TooLong => {
                    let limit = self.target.max_object_bytes;
                    self.heard.push_back(Heard::Refused(format!(
                        "an event longer than {limit} bytes (`max-object-bytes`); its object is as it was until its next event"
                    )));
                }
                Line::Whole(line) => match read::watch_line(&line) {
                    WatchLine::Changed(verb, object) => {
                        object.version.as_ref().clone_into(&mut watch.version);
                        watch.heard = true;
                        self.backoff.reset();
                        self.heard.push_back(Heard::Changed(verb, object));
                    }
                    WatchLine::Bookmark(version) => {
                        watch.version = version;
                        watch.heard = true;
                        self.backoff.reset();
                        self.heard.push_back(Heard::Reached);
                    }
                    WatchLine::Refused(cause) => self.heard.push_back(Heard::Refused(cause)),
                    WatchLine::Failed(status) => {
                        return self.broken(
                            watch.version,
                            status.describe(),
                            StatusCode::from_u16(status.code).ok(),
                        );
                    }
                    WatchLine::Garbage(cause) => {
                        // What the line said is lost, and with it the order of things.
                        self.broken(String::new(), cause, None);
                        return State::Unlisted;
                    }
                },
            }
        }
        if !self.heard.is_empty() {
            return State::Watching(watch);
        }
        match tokio::time::timeout(self.api.watch_idle_timeout(), watch.body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    watch.lines.put(bytes);
                }
                State::Watching(watch)
            }
            ended => {
                match ended {
                    Ok(Some(Err(error))) => {
                        tracing::debug!(source = self.target.source, error = %crate::kubernetes::chain(&error), "the watch broke off");
                    }
                    Err(_) => {
                        tracing::debug!(source = self.target.source, "the watch has gone silent");
                    }
                    Ok(_) => {}
                }
                // A server that ends each watch at once is not asked again at once.
                if watch.opened.elapsed() < if watch.heard { SHORT_WATCH } else { GOOD_WATCH } {
                    self.pause = Some(self.backoff.next());
                }
                State::Listed {
                    version: watch.version,
                }
            }
        }
    }

    /// The server has ended the watch by an error.
    fn broken(&mut self, version: String, cause: String, status: Option<StatusCode>) -> State {
        let tried = format!(
            "cannot go on watching {} at {}",
            self.target.source,
            self.api.server()
        );
        let mut trouble = Trouble::new(tried, cause);
        trouble.status = status;
        let again = if trouble.is_gone() {
            State::Unlisted
        } else {
            State::Listed { version }
        };
        self.trouble(trouble);
        again
    }
}
