//! Tracers that push: they connect to a socket of ours and send one document after the other.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use sluicebox_contract::Fault;
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::document::Taken;
use super::fetch::check_peer;
use super::report::{Reader, Reading, Report};
use super::totals::Totals;
use super::trouble::Trouble;

/// So many tracers at a time. Others wait.
const MOST_PEERS: usize = 16;
/// A tracer is read no more often than this.
const BREATH: Duration = Duration::from_millis(100);
/// Read at once.
const CHUNK: usize = 64 << 10;
/// After a failure to accept, as when no file can be opened any more.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// The owner and his group may connect; where the kernel is asked who it is, everybody may try.
const MODES: [u32; 2] = [0o660, 0o666];
/// After somebody who may not push: whoever tries again and again does so in vain, and seldom.
const STRANGER_PAUSE: Duration = Duration::from_millis(50);

/// A socket that tracers connect to.
pub(super) struct Listen {
    listener: UnixListener,
    path: PathBuf,
    /// What distinguishes our socket from one that somebody else puts in its place.
    identity: Option<(u64, u64)>,
    user_ids: Option<Vec<u32>>,
    timeout: Duration,
    reading: Reading,
    /// The process of the tracer that left last, and its totals, for one that connects anew for each document.
    left: Option<(Process, Totals)>,
    peers: FuturesUnordered<futures::future::BoxFuture<'static, (Peer, Outcome)>>,
    not_before: Instant,
}

/// The number of a process; none of one that cannot be seen from here.
type Process = Option<i32>;

/// A tracer that has connected.
pub(super) struct Peer {
    stream: UnixStream,
    process: Process,
    /// What has come of the next document already.
    rest: Vec<u8>,
    /// What its totals were.
    pub(super) totals: Totals,
    /// When it may be read again.
    next: Instant,
}

/// What comes of waiting for a document; none where the tracer has gone.
type Outcome = Result<Option<Report>, Trouble>;

/// What has happened at the socket.
pub(super) enum Pushed {
    /// A document has come in full. The peer is given back by [`Listen::go_on`].
    Report(Box<Peer>, Report),
    Trouble(Trouble),
    /// Somebody was not let in.
    Stranger(Trouble),
    /// A tracer has come or gone.
    Nothing,
}

impl Listen {
    /// Makes the socket; one that is left of an earlier run is removed.
    pub(super) fn new(path: &Path, user_ids: Option<Vec<u32>>, timeout: Duration, reading: Reading) -> Result<Self, Fault> {
        let listener = bind(path, user_ids.is_some())?;
        Ok(Self {
            listener,
            identity: identity(path),
            path: path.to_owned(),
            user_ids,
            timeout,
            reading,
            left: None,
            peers: FuturesUnordered::new(),
            not_before: Instant::now(),
        })
    }

    /// Makes the socket anew if somebody has removed it, or put another one there at which nobody listens.
    pub(super) fn stay(&mut self) -> Result<(), Trouble> {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            return Ok(());
        }
        self.listener = bind(&self.path, self.user_ids.is_some()).map_err(|fault| Trouble::Listen(fault.to_string()))?;
        self.identity = identity(&self.path);
        tracing::warn!(source = "tracer", path = %self.path.display(), "the socket that tracers push to was gone: it has been made anew");
        Ok(())
    }

    /// Waits for something to happen. Loses nothing when it is dropped.
    pub(super) async fn next(&mut self) -> Pushed {
        let has_room = self.peers.len() < MOST_PEERS;
        tokio::select! {
            Some((peer, outcome)) = self.peers.next() => match outcome {
                Ok(Some(report)) => Pushed::Report(Box::new(peer), report),
                Ok(None) => {
                    if peer.totals.has_begun() {
                        self.left = Some((peer.process, peer.totals));
                    }
                    Pushed::Nothing
                }
                Err(trouble) => Pushed::Trouble(trouble),
            },
            accepted = accept(&self.listener, self.not_before), if has_room => match accepted {
                Ok(stream) => match check_peer(&stream, self.user_ids.as_deref()) {
                    Ok(()) => {
                        let process = process(&stream);
                        // Nobody else's: their totals have nothing to do with each other.
                        let left = self.left.take_if(|(left, _)| process.is_some() && *left == process);
                        let totals = left.map(|(_, totals)| totals).unwrap_or_default();
                        self.go_on(Peer { stream, process, rest: Vec::new(), totals, next: Instant::now() });
                        Pushed::Nothing
                    }
                    Err(stranger) => {
                        self.not_before = Instant::now() + STRANGER_PAUSE;
                        Pushed::Stranger(stranger)
                    }
                },
                Err(error) => {
                    self.not_before = Instant::now() + ACCEPT_PAUSE;
                    Pushed::Trouble(Trouble::Connect(error))
                }
            },
        }
    }

    /// Waits for the next document of this tracer.
    pub(super) fn go_on(&mut self, peer: Peer) {
        self.peers.push(Box::pin(receive(peer, self.reading, self.timeout)));
    }
}

/// Nobody finds a socket that nobody listens at.
impl Drop for Listen {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

/// A socket at this path, which nobody else listens at.
fn bind(path: &Path, for_everybody: bool) -> Result<UnixListener, Fault> {
    let tried = || format!("cannot listen at {}", path.display());
    let fault = |error: io::Error| Fault::fatal(tried(), error).hint("is its directory there, and may this user write into it?");
    match path.symlink_metadata() {
        Ok(old) if old.file_type().is_socket() => {
            match knock(path) {
                Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(fault)?,
                // Its queue may be full.
                Ok(()) | Err(Errno::AGAIN) => {
                    let hint = "name another path in `listen`, or end it";
                    return Err(Fault::fatal(tried(), "another process listens there").hint(hint));
                }
                Err(error) => {
                    let cause = format!("it cannot be known whether another process listens there: {error}");
                    return Err(Fault::fatal(tried(), cause).hint("name another path in `listen`, or remove that one"));
                }
            }
        }
        Ok(_) => {
            return Err(Fault::fatal(tried(), "something that is no socket is there").hint("name another path in `listen`"));
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(fault)?;
    let [narrow, wide] = MODES;
    let mode = if for_everybody { wide } else { narrow };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(fault)?;
    Ok(listener)
}

/// Whether somebody listens there, without waiting for him.
fn knock(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

/// Whose process is at the other end.
fn process(stream: &UnixStream) -> Process {
    stream.peer_cred().ok().and_then(|credentials| credentials.pid()).filter(|pid| *pid > 0)
}

/// Device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

async fn accept(listener: &UnixListener, not_before: Instant) -> io::Result<UnixStream> {
    sleep_until(not_before).await;
    listener.accept().await.map(|(stream, _)| stream)
}

async fn receive(mut peer: Peer, reading: Reading, timeout: Duration) -> (Peer, Outcome) {
    sleep_until(peer.next).await;
    let outcome = document(&mut peer, reading, timeout).await;
    peer.next = Instant::now() + BREATH;
    if outcome.is_err() {
        // A tracer that connects again and again with nothing to be used is not heard without pause either.
        sleep(BREATH).await;
    }
    (peer, outcome)
}

/// The next document of a tracer; a tracer may be silent between two for as long as it likes.
async fn document(peer: &mut Peer, reading: Reading, timeout: Duration) -> Outcome {
    let mut reader = Reader::new(reading);
    let mut deadline = None;
    let mut chunk = std::mem::take(&mut peer.rest);
    loop {
        if let Taken::Ended(used) = reader.take(&chunk)? {
            peer.rest = chunk.split_off(used.min(chunk.len()));
            return Ok(Some(reader.end()?));
        }
        if reader.has_begun() && deadline.is_none() {
            deadline = Some(Instant::now() + timeout);
        }
        chunk.clear();
        chunk.reserve(CHUNK);
        let read = peer.stream.read_buf(&mut chunk);
        let count = match deadline {
            None => read.await,
            Some(deadline) => timeout_at(deadline, read).await.map_err(|_| Trouble::Late(timeout))?,
        };
        match count {
            Ok(0) if reader.has_begun() => return Err(Trouble::Broken(super::document::Broken::CutShort)),
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(Trouble::Exchange(error.to_string())),
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{bind, listen};

    use super::*;

    #[test]
    fn whether_somebody_listens_is_known_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        assert_eq!(knock(&path), Err(Errno::CONNREFUSED), "nobody");
        listen(&socket, 0).unwrap();
        let mut waiting = Vec::new();
        while waiting.len() < 100 {
            let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
            if connect(&stream, &SocketAddrUnix::new(&path).unwrap()).is_err() {
                break;
            }
            waiting.push(stream);
        }
        assert_eq!(knock(&path), Err(Errno::AGAIN), "somebody with a full queue");
        let occupied = super::bind(&path, false).unwrap_err();
        assert!(occupied.to_string().contains("another process listens there"), "{occupied}");
        assert!(path.symlink_metadata().is_ok(), "it is left alone");
    }
}
