//! Why a request to the API server did not succeed, in the form in which it is counted, logged and waited for.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

/// A request that did not succeed: what was tried and why it failed. Whether it is tried again is up to who asked.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What was tried, such as `cannot list pods`.
    pub tried: String,
    /// Why it failed.
    pub cause: String,
    /// What would cure it, where that is known.
    pub hint: Option<String>,
    /// The API's answer, if it gave one.
    pub status: Option<StatusCode>,
    /// How long the API asks to wait.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.tried, self.cause)
    }
}

impl Trouble {
    /// `tried` begins the error; nothing else is known yet.
    pub fn new(tried: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self { tried: tried.into(), cause: cause.to_string(), hint: None, status: None, retry_after: None }
    }

    /// With what would cure it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the API says that what was asked for is too old to be had.
    pub fn is_gone(&self) -> bool {
        self.status == Some(StatusCode::GONE)
    }

    /// Whether the API answers, and what it refuses may be the request itself: not its sender, nor the moment.
    pub fn is_about_the_request(&self) -> bool {
        let others = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
        self.status.is_some_and(|status| !others.contains(&status))
    }

    /// Whether the same request would be refused again.
    pub fn is_final(&self) -> bool {
        self.is_about_the_request() && self.status.is_some_and(|status| status.is_client_error())
    }
}

/// What the API server says when it refuses; only the fields that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The status of HTTP.
    pub code: u16,
    /// Why, for machines: such as `Forbidden`.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// More for machines, whatever it is.
    pub details: serde_json::Value,
}

impl Status {
    /// How long the API asks to wait, if it does: it says so here as well as in a header, and in an event of a watch only here.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.details.get("retryAfterSeconds")?.as_u64()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// In one line, cut to a bearable length.
    pub fn describe(&self) -> String {
        let text = if self.message.is_empty() { &self.reason } else { &self.message };
        let text: String = text.chars().take(500).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        format!("the API answers {}{}{text}", self.code, if text.is_empty() { "" } else { ": " })
    }
}

/// An error and what it came from, in one line; kube and hyper say little in the outermost one.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        inner = cause.source();
    }
    text
}
