//! What can go wrong with a tracer. Each costs one report and is counted.

use std::io;

use http::StatusCode;

use super::document::Broken;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("cannot connect to it: {0}")]
    Connect(io::Error),
    #[error("its socket cannot be made: {0}")]
    Listen(String),
    #[error("user id {0} is at the other end, which is none of `user-ids`")]
    Stranger(u32),
    #[error("it has not answered in full within {0:?}")]
    Late(std::time::Duration),
    #[error("it answers with status {0}")]
    Status(StatusCode),
    #[error("the exchange failed: {0}")]
    Exchange(String),
    #[error("its answer cannot be used: {0}")]
    Broken(#[from] Broken),
    #[error("more has come than one document")]
    Trailing,
}

impl Trouble {
    /// What may cure it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Connect(error) if error.kind() == io::ErrorKind::NotFound => {
                "does the tracer run, and is its directory mounted here?"
            }
            Self::Connect(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "may this user open the socket? its permissions are the tracer's"
            }
            Self::Connect(_) => "does the tracer run?",
            Self::Listen(_) => "it is tried again in some seconds",
            Self::Stranger(_) => "name the user that the tracer runs as in `user-ids`, or find out who took its socket",
            Self::Late(_) => "a longer `timeout` gives it more time",
            Self::Status(_) => "is `path` the one that the tracer serves connections at?",
            Self::Exchange(_) => "it is asked again at the next turn",
            Self::Broken(Broken::TooLong(_)) => "raise `max-report-bytes` if the tracer is right",
            Self::Broken(_) | Self::Trailing => "is it a network tracer that is at the other end, and `path` right?",
        }
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
