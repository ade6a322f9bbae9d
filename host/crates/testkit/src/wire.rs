//! A wire between a program and a server, which can be cut, held up and slowed while bytes are on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes that are carried at a time.
const PIECE: usize = 16 << 10;

/// How a wire is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WireState {
    /// It carries everything at once.
    #[default]
    Whole,
    /// Connections are closed as soon as they are made.
    Refused,
    /// It carries nothing, and closes nothing. What was sent arrives when it is whole again.
    Held,
    /// Each piece of what is sent takes so long.
    Slow(Duration),
}

#[derive(Clone, Copy, Debug, Default)]
struct Now {
    state: WireState,
    /// Connections that are older than the last cut end.
    cuts: u64,
    end: Option<SocketAddr>,
}

/// A port of loopback behind which a server is. It ends when this is dropped.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    now: Arc<watch::Sender<Now>>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Takes a port, in the caller's runtime. Nobody is behind it until [`Wire::lead_to`] says who.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("there is no free port")?;
        let port = listener.local_addr().context("cannot tell the port")?.port();
        let now = Arc::new(watch::Sender::new(Now::default()));
        let shared = Arc::clone(&now);
        #[allow(clippy::disallowed_methods, reason = "a wire for tests: it is aborted when it is dropped")]
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(carry(stream, shared.subscribe()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, now, task })
    }

    /// Whom new connections reach, such as `127.0.0.1:6379`.
    pub fn lead_to(&self, address: &str) -> Result<()> {
        let end: SocketAddr = address.parse().with_context(|| format!("{address} is no address"))?;
        self.now.send_modify(|now| now.end = Some(end));
        Ok(())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, such as `127.0.0.1:40123`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on it is so, for connections that are there as well; [`WireState::Refused`] cuts them.
    pub fn set(&self, state: WireState) {
        self.now.send_modify(|now| {
            now.state = state;
            now.cuts += u64::from(state == WireState::Refused);
        });
    }

    /// Cuts the connections that are there, wherever they are with what they carry.
    pub fn cut(&self) {
        self.now.send_modify(|now| now.cuts += 1);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(near: TcpStream, mut now: watch::Receiver<Now>) {
    let Now { state, cuts, end } = *now.borrow();
    let Some(end) = end.filter(|_| state != WireState::Refused) else { return };
    let Ok(far) = TcpStream::connect(end).await else { return };
    // Without this, small pieces would wait for each other.
    let _slower = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let (there, back) = (one_way(near_in, far_out, now.clone()), one_way(far_in, near_out, now.clone()));
    tokio::select! {
        _ = now.wait_for(|now| now.cuts != cuts) => {}
        _ = async { tokio::join!(there, back) } => {}
    }
}

/// Carries until one end has no more to say; the other end is told so.
async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut now: watch::Receiver<Now>) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        let Ok(state) = now.wait_for(|now| now.state != WireState::Held).await.map(|now| now.state) else { return Ok(()) };
        if let WireState::Slow(time) = state {
            tokio::time::sleep(time).await;
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(piece.get(..length).unwrap_or_default()).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::time::{sleep, timeout};

    use super::*;

    /// A wire to a server that says what it is told.
    async fn echo() -> (Wire, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let wire = Wire::start().await.unwrap();
        wire.lead_to(&listener.local_addr().unwrap().to_string()).unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
        (wire, server)
    }

    async fn say(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_wire_carries_and_is_held_slow_cut_and_refused() {
        let (wire, _server) = echo().await;
        let mut stream = TcpStream::connect(wire.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"whole").await.unwrap(), b"whole");

        wire.set(WireState::Held);
        stream.write_all(b"held").await.unwrap();
        let mut answer = [0; 4];
        assert!(timeout(Duration::from_millis(100), stream.read_exact(&mut answer)).await.is_err());
        wire.set(WireState::Whole);
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"held");

        wire.set(WireState::Slow(Duration::from_millis(50)));
        let begin = Instant::now();
        assert_eq!(say(&mut stream, b"slow").await.unwrap(), b"slow");
        assert!(begin.elapsed() >= Duration::from_millis(100), "{:?}", begin.elapsed());

        wire.set(WireState::Whole);
        wire.cut();
        assert!(say(&mut stream, b"cut").await.is_err());
        let mut stream = TcpStream::connect(wire.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"again").await.unwrap(), b"again");

        wire.set(WireState::Refused);
        assert!(say(&mut stream, b"gone").await.is_err());
        let mut stream = TcpStream::connect(wire.address()).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        assert!(say(&mut stream, b"refused").await.is_err());
    }
}
