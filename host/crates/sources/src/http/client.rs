//! Asks servers: one connection pool for each way to one, made anew when the files behind its TLS change.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Proxy, RequestBuilder, Response, Url};
use sluicebox_contract::ByteSize;
use sluicebox_credentials::{TlsFiles, file, tls};
use tokio::task::spawn_blocking;

use super::{Config, TlsVerify, Trouble};
use crate::kubernetes::chain;

/// Neither a token nor a password is longer.
const LONGEST_SECRET: ByteSize = ByteSize(64 << 10);
const LARGEST_FILE: ByteSize = ByteSize(1 << 20);
/// Of an answer that is no success, so much is read, and so much shown.
const LONGEST_REFUSAL: usize = 64 << 10;
const LONGEST_WORDS: usize = 300;
/// Servers that are asked at times: one connection for each question that can be under way.
const IDLE_CONNECTIONS: usize = 8;
const MOST_HEADERS: usize = 100;

/// The way to a server.
pub(crate) struct Client {
    config: Config,
    has_tls: bool,
    /// What was made last, and of which files.
    made: Mutex<Option<(u64, reqwest::Client)>>,
}

/// A client with the secrets as they stand in their files now.
#[derive(Clone)]
pub(crate) struct Ready {
    client: reqwest::Client,
    headers: HeaderMap,
}

impl Client {
    /// The way to the server of this address.
    pub(crate) fn new(config: &Config, url: &Url) -> Self {
        let has_tls = url.scheme() == "https" || config.proxy.as_ref().is_some_and(|proxy| proxy.starts_with("https:"));
        Self { config: config.clone(), has_tls, made: Mutex::new(None) }
    }

    /// Reads the files again. To be called once for each cycle.
    pub(crate) async fn ready(&self) -> Result<Ready, Trouble> {
        let config = self.config.clone();
        let has_tls = self.has_tls;
        let read = spawn_blocking(move || {
            let files = if has_tls { fingerprint(&config)? } else { 0 };
            headers(&config).map(|headers| (files, headers))
        });
        let (files, headers) = read.await.map_err(|error| Trouble::Setup(error.to_string()))??;
        if let Some(client) = self.reuse(files) {
            return Ok(Ready { client, headers });
        }
        let config = self.config.clone();
        let client =
            spawn_blocking(move || build(&config, has_tls)).await.map_err(|error| Trouble::Setup(error.to_string()))??;
        *self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((files, client.clone()));
        Ok(Ready { client, headers })
    }

    fn reuse(&self, files: u64) -> Option<reqwest::Client> {
        let made = self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        made.as_ref().filter(|(of, _)| *of == files).map(|(_, client)| client.clone())
    }
}

impl Ready {
    /// A `GET`.
    pub(crate) fn get(&self, url: Url) -> RequestBuilder {
        self.client.get(url).headers(self.headers.clone())
    }

    /// A `POST`.
    pub(crate) fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url).headers(self.headers.clone())
    }
}

/// Sends a request; an answer that is no success is trouble, with the words of the server.
pub(crate) async fn send(request: RequestBuilder, words: impl Fn(&[u8]) -> Option<String>) -> Result<Response, Trouble> {
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut said = Vec::new();
    let mut response = response;
    // What it says is for people: what cannot be read is left out.
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = LONGEST_REFUSAL.saturating_sub(said.len());
        said.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if said.len() >= LONGEST_REFUSAL {
            break;
        }
    }
    let words = words(&said).unwrap_or_else(|| String::from_utf8_lossy(&said).into_owned());
    Err(Trouble::Status { status, words: excerpt(&words) })
}

/// The whole of an answer, as it is after it was unpacked, up to so many bytes.
pub(crate) async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, Trouble> {
    let promised = response.content_length().unwrap_or(0);
    if promised > most as u64 {
        return Err(Trouble::TooLong(most));
    }
    let mut body = Vec::with_capacity(usize::try_from(promised).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > most {
            return Err(Trouble::TooLong(most));
        }
        body.extend_from_slice(&chunk);
        // Whoever sends without pause does not keep the others from their work.
        tokio::task::yield_now().await;
    }
    Ok(body)
}

/// What reqwest says, without the address, which the log has already.
pub(crate) fn failed(error: reqwest::Error) -> Trouble {
    let connecting = error.is_connect();
    let text = chain(&error.without_url());
    if connecting { Trouble::Connect(text) } else { Trouble::Exchange(text) }
}

/// The beginning of what somebody said, on one line.
pub(crate) fn excerpt(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // Whoever is asked does not write to the operator's terminal.
    let line: String =
        line.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect();
    match line.char_indices().nth(LONGEST_WORDS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

fn headers(config: &Config) -> Result<HeaderMap, Trouble> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    let authorization = if let Some(path) = &config.bearer_token_file {
        let token = secret("the token file", path)?;
        Some((format!("Bearer {token}"), "the token file", path))
    } else if let Some(basic) = &config.basic_auth {
        let password = secret("the password file", &basic.password_file)?;
        let text = BASE64_STANDARD.encode(format!("{}:{password}", basic.username));
        Some((format!("Basic {text}"), "the password file", &basic.password_file))
    } else {
        None
    };
    if let Some((text, what, path)) = authorization {
        let unusable = |_| unreadable(what, path, "what stands in it cannot be sent in a header");
        let mut value = HeaderValue::from_str(&text).map_err(unusable)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// What stands in the file, without the line break at its end.
fn secret(what: &'static str, path: &Path) -> Result<String, Trouble> {
    let bytes = file::read(path, LONGEST_SECRET).map_err(|error| unreadable(what, path, error))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable(what, path, "it is no text"))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() { Err(unreadable(what, path, "it is empty")) } else { Ok(text.to_owned()) }
}

fn unreadable(what: &'static str, path: &Path, cause: impl std::fmt::Display) -> Trouble {
    Trouble::File { what, path: path.display().to_string(), cause: cause.to_string() }
}

/// Another one when one of the files behind TLS has changed.
fn fingerprint(config: &Config) -> Result<u64, Trouble> {
    let mut hasher = DefaultHasher::new();
    for (what, path) in [
        ("`http.ca-file`", &config.ca_file),
        ("`http.client-certificate-file`", &config.client_certificate_file),
        ("`http.client-key-file`", &config.client_key_file),
    ] {
        if let Some(path) = path {
            file::read(path, LARGEST_FILE).map_err(|error| unreadable(what, path, error))?.hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}

fn build(config: &Config, has_tls: bool) -> Result<reqwest::Client, Trouble> {
    let files = TlsFiles {
        ca_file: config.ca_file.as_deref().filter(|_| has_tls),
        client_certificate_file: config.client_certificate_file.as_deref().filter(|_| has_tls),
        client_key_file: config.client_key_file.as_deref().filter(|_| has_tls),
        // Without TLS the system's authorities need not be read.
        verify: has_tls && config.tls_verify == TlsVerify::Always,
    };
    let tls = tls::client(&files).map_err(|fault| Trouble::Setup(fault.to_string()))?;
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .http1_max_headers(MOST_HEADERS)
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(config.connect_timeout.0)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .user_agent(concat!("sluicebox/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = &config.proxy {
        builder = builder.proxy(Proxy::all(proxy).map_err(|error| Trouble::Setup(chain(&error)))?);
    }
    builder.build().map_err(|error| Trouble::Setup(chain(&error)))
}
