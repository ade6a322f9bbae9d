//! The least client that can talk to an API server: one connection for a few requests, no pool, no task behind the scenes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Reads and writes.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

type Socket = TokioIo<Box<dyn Duplex>>;

/// A connection to a server on loopback. Requests follow each other.
pub(super) struct Connection {
    requests: http1::SendRequest<Full<Bytes>>,
    io: Pin<Box<http1::Connection<Socket, Full<Bytes>>>>,
    host: String,
}

/// What a server answered: never an error by itself.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Connection {
    /// Without TLS.
    pub(super) async fn plain(port: u16) -> Result<Self> {
        Self::over(Box::new(connect(port).await?), port).await
    }

    /// With TLS, trusting the certificates of a file and no other.
    pub(super) async fn tls(port: u16, authority: &Path) -> Result<Self> {
        Self::over(secured(port, authority).await?, port).await
    }

    async fn over(socket: Box<dyn Duplex>, port: u16) -> Result<Self> {
        let (requests, io) = http1::handshake(TokioIo::new(socket)).await?;
        let host = format!("127.0.0.1:{port}");
        Ok(Self { requests, io: Box::pin(io), host })
    }

    /// Sends a request with a JSON body and waits for the whole answer.
    pub(super) async fn send(&mut self, call: Call<'_>) -> Result<Answer> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.path)
            .header("host", &self.host)
            .header("content-type", call.content_type);
        if !call.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", call.token));
        }
        let body = call.body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::from(body))?;
        let Self { requests, io, .. } = self;
        let exchange = async {
            let response = requests.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok(Answer { status, body })
        };
        tokio::select! {
            biased;
            answer = exchange => answer,
            ended = io.as_mut() => match ended {
                Ok(()) => bail!("the server closed the connection"),
                Err(error) => Err(error).context("the connection broke"),
            },
        }
    }
}

/// What to ask for.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) token: &'a str,
    pub(super) content_type: &'a str,
    pub(super) body: Option<&'a Value>,
}

impl Answer {
    /// The body as JSON when the status says success, else an error with the server's words.
    pub(super) fn json(self) -> Result<Value> {
        if !self.status.is_success() {
            bail!("the server answered {}: {}", self.status, String::from_utf8_lossy(&self.body));
        }
        serde_json::from_slice(&self.body).context("the server sent no JSON")
    }
}

/// A socket with TLS, trusting the certificates of a file and no other.
async fn secured(port: u16, authority: &Path) -> Result<Box<dyn Duplex>> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(authority)
        .with_context(|| format!("cannot read certificates from {}", authority.display()))?;
    for certificate in certificates {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
    let stream = TlsConnector::from(Arc::new(configuration))
        .connect(name, connect(port).await?)
        .await
        .context("no TLS with the server")?;
    Ok(Box::new(stream))
}

/// A request that has been begun, and is not brought to its end: it keeps the server busy until this is dropped.
pub struct Unfinished {
    _socket: Box<dyn Duplex>,
}

impl std::fmt::Debug for Unfinished {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Unfinished").finish_non_exhaustive()
    }
}

/// Begins a request with a body that does not come.
pub(super) async fn begin(port: u16, authority: &Path, path: &str, token: &str) -> Result<Unfinished> {
    let mut socket = secured(port, authority).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\n\r\n{{"
    );
    socket.write_all(head.as_bytes()).await?;
    socket.flush().await?;
    Ok(Unfinished { _socket: socket })
}

async fn connect(port: u16) -> Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
