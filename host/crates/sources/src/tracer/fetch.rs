//! Asks a tracer: one `GET` over its Unix socket, read as it comes.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::bounded::Bounded;
use super::document::Taken;
use super::report::{Reader, Reading, Report};
use super::trouble::{Trouble, chain};

/// Headers of an answer have at most so many bytes.
const HEAD_BYTES: usize = 64 << 10;
/// What may come besides the report itself: headers, the marks between chunks, interim answers.
const BESIDES: usize = 4 << 20;

/// How a tracer is asked.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) socket: Box<Path>,
    pub(super) target: String,
    pub(super) user_ids: Option<Vec<u32>>,
    pub(super) timeout: Duration,
    pub(super) reading: Reading,
}

impl Fetch {
    /// A report, in time.
    pub(super) async fn fetch(&self) -> Result<Report, Trouble> {
        timeout(self.timeout, self.ask()).await.unwrap_or(Err(Trouble::Late(self.timeout)))
    }

    async fn ask(&self) -> Result<Report, Trouble> {
        let stream = UnixStream::connect(&self.socket).await.map_err(Trouble::Connect)?;
        check_peer(&stream, self.user_ids.as_deref())?;
        let stream = Bounded::new(stream, self.reading.limits.document.saturating_add(BESIDES));
        let exchange = |error: hyper::Error| Trouble::Exchange(chain(&error));
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream)).await.map_err(exchange)?;
        let request = Request::get(&self.target)
            .header(header::HOST, "localhost")
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Trouble::Exchange(chain(&error)))?;
        let mut asked = pin!(async {
            let answer = sender.send_request(request).await.map_err(exchange)?;
            if !answer.status().is_success() {
                return Err(Trouble::Status(answer.status()));
            }
            self.read(answer.into_body()).await
        });
        let mut connection = pin!(connection);
        // The connection may end before all that it has brought is read.
        tokio::select! {
            biased;
            report = &mut asked => return report,
            _ended = &mut connection => {}
        }
        asked.await
    }

    async fn read(&self, mut body: Incoming) -> Result<Report, Trouble> {
        let mut reader = Reader::new(self.reading);
        let mut has_ended = false;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Trouble::Exchange(chain(&error)))?;
            let Some(mut chunk) = frame.data_ref().map(AsRef::as_ref) else { continue };
            if !has_ended && let Taken::Ended(used) = reader.take(chunk)? {
                has_ended = true;
                chunk = chunk.get(used..).unwrap_or_default();
            } else if !has_ended {
                chunk = &[];
            }
            if !chunk.iter().all(u8::is_ascii_whitespace) {
                return Err(Trouble::Trailing);
            }
            // Whoever sends without pause does not keep the others from their work.
            tokio::task::yield_now().await;
        }
        Ok(reader.end()?)
    }
}

/// Who is at the other end, as the kernel says.
pub(super) fn check_peer(stream: &UnixStream, user_ids: Option<&[u32]>) -> Result<(), Trouble> {
    let Some(user_ids) = user_ids else { return Ok(()) };
    let user = stream.peer_cred().map_err(Trouble::Connect)?.uid();
    if user_ids.contains(&user) { Ok(()) } else { Err(Trouble::Stranger(user)) }
}
