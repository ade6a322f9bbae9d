//! What can go wrong with a server that is asked over HTTP.

use std::time::Duration;

use http::StatusCode;

/// Why there is no answer that can be used.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("cannot use {what} `{path}`: {cause}")]
    File { what: &'static str, path: String, cause: String },
    #[error("cannot set up the connection: {0}")]
    Setup(String),
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("it has not answered in full within {0:?}")]
    Late(Duration),
    #[error("it answers with status {status}{}{words}", if words.is_empty() { "" } else { ": " })]
    Status { status: StatusCode, words: String },
    #[error("the exchange failed: {0}")]
    Exchange(String),
    #[error("its answer has more than {0} bytes")]
    TooLong(usize),
    #[error("its answer cannot be used: {0}")]
    Unusable(String),
    #[error("it says that it failed: {0}")]
    Partial(String),
    #[error("no time was left for it in this cycle")]
    NoTime,
}

impl Trouble {
    /// What may cure it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => "it must be there and sluicebox must be able to read it; it is read again at the next turn",
            Self::Setup(_) => "look at the settings under `http`",
            Self::Connect(cause) if cause.contains("UnknownIssuer") || cause.contains("CaUsedAsEndEntity") => {
                "name the certificate of the server's authority in `http.ca-file`"
            }
            Self::Connect(cause) if cause.contains("certificate") => {
                "the server's certificate must be valid now and for the host in `url`"
            }
            Self::Connect(_) => "is the address right, and can this node reach it?",
            Self::Late(_) => "a longer `timeout` gives it more time",
            Self::Status { status, .. } if *status == StatusCode::UNAUTHORIZED || *status == StatusCode::FORBIDDEN => {
                "give a token or password under `http` that the server takes"
            }
            Self::Status { status, .. } if status.is_redirection() => {
                "redirects are not followed: write the address that it points to"
            }
            Self::Status { status, .. } if *status == StatusCode::NOT_FOUND => "is the path of `url` right?",
            Self::Status { status, .. } if *status == StatusCode::BAD_REQUEST || *status == StatusCode::UNPROCESSABLE_ENTITY => {
                "look at the query itself: the server does not take it"
            }
            Self::NoTime => "raise `parallel` or the period, or lower `timeout`",
            Self::Status { .. } | Self::Exchange(_) | Self::Partial(_) => "it is asked again at the next turn",
            Self::TooLong(_) => "ask for less, or raise `max-answer-bytes`",
            Self::Unusable(_) => "is it the right kind of server that answers at this address?",
        }
    }

    /// The kind of trouble, so that the same one is not told again and again.
    pub(crate) fn kind(&self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(self)
    }
}
