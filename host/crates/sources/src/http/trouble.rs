//! What can go wrong with a server that is asked over HTTP.

use std::time::Duration;

use http::StatusCode;

/// `openssl req -x509` makes certificates that are an authority's unless told otherwise.
const AUTHORITY_SHOWN: &str = "the server shows the certificate of an authority (`CA:TRUE`) as its own, which no `ca-file` cures: give it one that is \
    none, such as `openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout tls.key -out tls.crt -subj /CN=prometheus \
    -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost,IP:127.0.0.1` makes, with the host of `url` among its \
    alternative names, and name that `tls.crt` in `http.ca-file`; or one that an authority has signed, and name the authority's";

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
            Self::Connect(cause) if cause.contains("CaUsedAsEndEntity") => AUTHORITY_SHOWN,
            Self::Connect(cause) if cause.contains("UnknownIssuer") || cause.contains("BadSignature") => {
                "name the certificate of the server's authority in `http.ca-file`; where the server's signs itself, that is its own"
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
            Self::Partial(_) => "what it found was told; what it did not is not asked for again: look at the server's own words",
            Self::Status { .. } | Self::Exchange(_) => "it is asked again at the next turn",
            Self::TooLong(_) => "ask for less, or raise `max-answer-bytes`",
            Self::Unusable(_) => "is it the right kind of server that answers at this address?",
        }
    }

    /// The kind of trouble, so that the same one is not told again and again.
    pub(crate) fn kind(&self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(self)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use reqwest::Url;
    use sluicebox_testkit::servers::{Need, PrometheusOptions, PrometheusServer, require};

    use super::super::{Client, Config, send};
    use super::*;

    /// Runs `openssl` there, with these arguments.
    fn openssl(folder: &Path, arguments: &str) {
        let made = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// What comes of asking a server that shows `tls.crt` of this folder, where `authority` of it is trusted.
    async fn ask(folder: &Path, authority: &str) -> Result<(), Trouble> {
        let certificate = Some((folder.join("tls.crt"), folder.join("tls.key")));
        let server = PrometheusServer::start(PrometheusOptions { certificate, ..PrometheusOptions::default() }).await.unwrap();
        let url: Url = format!("{}/-/healthy", server.url()).parse().unwrap();
        let config = Config { ca_file: Some(folder.join(authority)), ..Config::default() };
        let ready = Client::new(&config, &url).ready().await?;
        send(ready.get(url), |_| None).await.map(drop)
    }

    #[tokio::test]
    async fn a_server_that_shows_the_certificate_of_an_authority_is_cured_by_what_the_hint_says() {
        if !require(Need::Prometheus) || !require(Need::Openssl) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let usual = "req -x509 -newkey rsa:2048 -nodes -days 365 -keyout tls.key -out tls.crt -subj /CN=prometheus \
            -addext subjectAltName=DNS:localhost,IP:127.0.0.1";
        openssl(folder, usual);
        let trouble = ask(folder, "tls.crt").await.unwrap_err();
        assert!(trouble.to_string().contains("CaUsedAsEndEntity"), "{trouble}");
        let (_, command) = trouble.hint().split_once("`openssl ").unwrap();
        std::fs::copy(folder.join("tls.crt"), folder.join("other.crt")).unwrap();
        openssl(folder, command.split('`').next().unwrap());
        ask(folder, "tls.crt").await.unwrap();

        let stranger = ask(folder, "other.crt").await.unwrap_err();
        assert!(stranger.hint().contains("name the certificate of the server's authority"), "{stranger}");
    }

    #[tokio::test]
    async fn a_certificate_that_an_authority_has_signed_is_taken_with_the_authoritys() {
        if !require(Need::Prometheus) || !require(Need::Openssl) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        openssl(folder, "req -x509 -newkey rsa:2048 -nodes -days 365 -keyout ca.key -out ca.crt -subj /CN=authority");
        openssl(folder, "req -newkey rsa:2048 -nodes -keyout tls.key -out tls.csr -subj /CN=prometheus");
        std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        openssl(folder, "x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile names -out tls.crt");
        ask(folder, "ca.crt").await.unwrap();
    }
}
