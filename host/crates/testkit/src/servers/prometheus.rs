//! A real Prometheus that scrapes one address or itself twice a second, and can be asked what it has seen.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Method;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::found;
use super::https::{Call, Connection};
use super::process::{ServerProcess, free_port, write_private};
use super::tls::{self, Certificate};

const READY_WITHIN: Duration = Duration::from_mins(1);
const TRIES: usize = 3;

/// How the server is to be.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each of them is so or not")]
pub struct PrometheusOptions {
    /// The address that it scrapes, such as `127.0.0.1:9091`, and the path.
    pub scrapes: Option<(String, String)>,
    /// Whether it scrapes itself. Not with TLS.
    pub scrapes_itself: bool,
    /// TLS, with a certificate of an authority made for it.
    pub tls: bool,
    /// A certificate and its key, as PEM, in place of those that `tls` has made.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether it takes native histograms from those that it scrapes.
    pub native_histograms: bool,
    /// Whether only the user `admin` with the password `test` is answered.
    pub password: bool,
}

/// The password `test`, as Prometheus keeps passwords (bcrypt).
const PASSWORD: &str = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay";

/// A running Prometheus, killed when dropped.
#[derive(Debug)]
pub struct PrometheusServer {
    process: ServerProcess,
    port: u16,
    certificate: Option<Certificate>,
    _folder: TempDir,
}

impl PrometheusServer {
    /// Starts a server that scrapes this address, such as `127.0.0.1:9091`, at this path, and waits until it answers.
    pub async fn scraping(address: &str, path: &str) -> Result<Self> {
        let scrapes = Some((address.to_owned(), path.to_owned()));
        Self::start(PrometheusOptions { scrapes, ..PrometheusOptions::default() }).await
    }

    /// Starts a server and waits until it answers.
    pub async fn start(options: PrometheusOptions) -> Result<Self> {
        let mut tries = 1;
        loop {
            match Self::try_start(&options).await {
                // Somebody was faster and took the port.
                Err(error) if tries < TRIES && format!("{error:#}").contains("in use") => tries += 1,
                done => return done,
            }
        }
    }

    async fn try_start(options: &PrometheusOptions) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for prometheus")?;
        let port = free_port()?;
        let configuration = folder.path().join("prometheus.yml");
        let itself = options.scrapes_itself.then(|| (format!("127.0.0.1:{port}"), "/metrics".to_owned()));
        let mut text = "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\nscrape_configs:\n".to_owned();
        for (address, path) in options.scrapes.iter().chain(&itself) {
            write!(text, "- job_name: testkit\n  metrics_path: '{path}'\n  static_configs:\n  - targets: ['{address}']\n")?;
        }
        write_private(&configuration, &text)?;
        let certificate = match options.certificate.clone() {
            Some((chain, key)) => Some(Certificate { authority: chain.clone(), chain, key }),
            None => options.tls.then(|| tls::certificate(folder.path())).transpose()?,
        };
        let mut web = String::new();
        if let Some(certificate) = &certificate {
            let (chain, key) = (certificate.chain.display(), certificate.key.display());
            write!(web, "tls_server_config:\n  cert_file: {chain}\n  key_file: {key}\n")?;
        }
        if options.password {
            write!(web, "basic_auth_users:\n  admin: {PASSWORD}\n")?;
        }
        let web_file = folder.path().join("web.yml");
        write_private(&web_file, &web)?;
        let mut command = Command::new(found::prometheus()?);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--web.config.file={}", web_file.display()))
            .current_dir(folder.path());
        if options.native_histograms {
            command.arg("--enable-feature=native-histograms");
        }
        let process = ServerProcess::start("prometheus", &mut command, &folder.path().join("prometheus.log"))?;
        let guarded = certificate.is_some() || options.password;
        let mut server = Self { process, port, certificate, _folder: folder };
        let is_ready = async || {
            if guarded {
                // Whoever is kept out cannot ask; that somebody listens has to do.
                return tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop).map_err(Into::into);
            }
            get(port, "/-/ready").await.map(drop)
        };
        server.process.wait_until_ready(READY_WITHIN, is_ready).await?;
        Ok(server)
    }

    /// The certificate of the authority that signed the server's, as PEM, if TLS was asked for.
    pub fn certificate_authority(&self) -> Option<&Path> {
        self.certificate.as_ref().map(|certificate| certificate.authority.as_path())
    }

    /// Where it is, such as `127.0.0.1:9090`; its own metrics are at `/metrics`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Lets it answer nobody, without closing a connection, until [`Self::resume`].
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// What it knows of all metrics: by family, a list of what was told of it, each with `type` and `unit`.
    pub async fn metadata(&self) -> Result<Value> {
        let answer: Value =
            serde_json::from_slice(&get(self.port, "/api/v1/metadata").await?).context("prometheus sent no JSON")?;
        answer.get("data").cloned().with_context(|| format!("prometheus told no metadata: {answer}"))
    }

    /// The series that a query finds now: each with its labels under `metric` and its `value`.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let path = format!("/api/v1/query?query={}", escaped(query));
        let answer: Value = serde_json::from_slice(&get(self.port, &path).await?).context("prometheus sent no JSON")?;
        let result = answer.pointer("/data/result").and_then(Value::as_array);
        result.cloned().with_context(|| format!("prometheus found no list: {answer}"))
    }

    /// Where its API is, such as `http://127.0.0.1:9090`.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// What the query finds at this moment, milliseconds since 1970 UTC: the labels and the value of each series, as the server writes them.
    pub async fn query_at(&self, query: &str, millis: i64) -> Result<Vec<Value>> {
        let path = format!("/api/v1/query?query={}&time={}.{:03}", escaped(query), millis / 1000, millis % 1000);
        let answer: Value = serde_json::from_slice(&get(self.port, &path).await?).context("prometheus sent no JSON")?;
        let result = answer.pointer("/data/result").and_then(Value::as_array);
        result.cloned().with_context(|| format!("prometheus found no list: {answer}"))
    }

    /// The value of the one series that a query finds now; none when it finds none.
    pub async fn value(&self, query: &str) -> Result<Option<String>> {
        let found = self.query(query).await?;
        if found.len() > 1 {
            bail!("`{query}` finds {} series", found.len());
        }
        let value = found.first().and_then(|series| series.pointer("/value/1")).and_then(Value::as_str);
        Ok(value.map(str::to_owned))
    }

    /// Why the last scrape failed, if it did.
    pub async fn last_error(&self) -> Result<String> {
        let answer: Value =
            serde_json::from_slice(&get(self.port, "/api/v1/targets").await?).context("prometheus sent no JSON")?;
        let error = answer.pointer("/data/activeTargets/0/lastError").and_then(Value::as_str);
        Ok(error.context("prometheus has no target")?.to_owned())
    }
}

async fn get(port: u16, path: &str) -> Result<Vec<u8>> {
    let call = Call { method: Method::GET, path, token: "", content_type: "text/plain", body: None };
    let answer = Connection::plain(port).await?.send(call).await?;
    if !answer.status.is_success() {
        bail!("prometheus answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(answer.body.to_vec())
}

/// As a part of an address.
fn escaped(query: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    query.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
