//! One connection to the server: dialling, TLS, logging in, and then bytes out and replies in.
//!
//! Whoever gives a connection up must be sure that what it has sent is not carried out after what the next one sends. So it is
//! closed with a reset, which takes back what the kernel has not sent yet, and a new one is used only after the server has
//! answered on it: by then it has read what had arrived on the old one.

use std::path::Path;
use std::sync::Arc;

use combine::parser::combinator::AnySendSyncPartialState;
use combine::stream::{Decoder, PointerOffset};
use futures::FutureExt;
use redis::{ErrorKind, RedisError, Value, cmd, parse_redis_value_async};
use rustls::pki_types::ServerName;
use sluicebox_contract::{ByteSize, Fault};
use sluicebox_credentials::{file, tls};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::cause::cause;
use crate::obstacle::Obstacle;

use super::config::{Address, Config, Target};
use super::reaction::to_error;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The largest password.
const PASSWORD: ByteSize = ByteSize(64 << 10);

/// How long all answers together may be: redis says no more than a status, a number or an error to each command.
const ANSWERS: u64 = 64 << 10;
const ANSWER: u64 = 1 << 10;

/// A connection that is logged in.
pub(super) struct Connection {
    /// How much more may be read before the next commands are sent.
    left: u64,
    stream: Box<dyn Stream>,
    decoder: Decoder<AnySendSyncPartialState, PointerOffset<[u8]>>,
}

impl Connection {
    /// Connects and logs in, with certificates and password as their files have them now.
    pub(super) async fn open(config: &Config, target: &Target) -> Result<Self, Fault> {
        let limit = config.connect_timeout;
        let opened = timeout(limit.0, async {
            let stream = dial(config, &target.address).await?;
            let mut connection = Self { left: ANSWERS, stream, decoder: Decoder::new() };
            connection.log_in(config, target).await?;
            Ok(connection)
        });
        opened.await.unwrap_or_else(|_| {
            let tls = matches!(target.address, Address::Tcp { tls: true, .. });
            let also = if tls { ", and does this port speak TLS?" } else { "?" };
            Err(Fault::retry(connecting(&target.address), format!("no answer within {limit}"))
                .hint(format!("is the server alive, and reachable from this node{also}")))
        })
    }

    /// Sends commands and reads the so many replies that they bring, as far as they come. A server that closes the connection because
    /// of what it is sent says why before it has read everything: what it says is read although not all could be sent.
    pub(super) async fn ask(&mut self, commands: &[u8], count: usize, replies: &mut Vec<Value>) -> Result<(), Broken> {
        let sent = self.send(commands, count).await;
        while replies.len() < count {
            match self.reply().await {
                Ok(reply) => replies.push(reply),
                Err(broken) => return Err(sent.err().unwrap_or(broken)),
            }
        }
        Ok(())
    }

    async fn send(&mut self, commands: &[u8], replies: usize) -> Result<(), Broken> {
        self.left = ANSWERS.saturating_add(ANSWER.saturating_mul(replies as u64));
        self.stream.write_all(commands).await.map_err(RedisError::from)?;
        self.stream.flush().await.map_err(RedisError::from)?;
        Ok(())
    }

    /// Reads the next reply; an error reply is a value, an error the end of the connection.
    async fn reply(&mut self) -> Result<Value, Broken> {
        let mut stream = (&mut self.stream).take(self.left);
        let reply = parse_redis_value_async(&mut self.decoder, &mut stream).await;
        self.left = stream.limit();
        match reply {
            Err(_) if self.left == 0 => Err(Broken::endless()),
            reply => Ok(reply?),
        }
    }

    /// Whether the server has closed it, or said something unasked, while nobody looked.
    pub(super) fn is_stale(&mut self) -> bool {
        self.reply().now_or_never().is_some()
    }

    async fn log_in(&mut self, config: &Config, target: &Target) -> Result<(), Fault> {
        let mut commands = Vec::new();
        let mut names = Vec::new();
        if let Some(password) = password(config, target).await? {
            let mut auth = cmd("AUTH");
            if let Some(username) = &target.username {
                auth.arg(username);
            }
            auth.arg(password).write_packed_command(&mut commands);
            names.push("log in to");
        }
        if target.database != 0 {
            cmd("SELECT").arg(target.database).write_packed_command(&mut commands);
            names.push("select the database of");
        }
        // Always asked, for the answer that the text at the top of this file speaks of.
        cmd("PING").write_packed_command(&mut commands);
        names.push("talk to");

        let lost = |broken: Broken| broken.into_fault(connecting(&target.address));
        let mut replies = Vec::new();
        let asked = self.ask(&commands, names.len(), &mut replies).await;
        for (name, reply) in names.into_iter().zip(replies) {
            let Value::ServerError(error) = reply else {
                continue;
            };
            // A user may lack the right to ping and have all that we need; and who cannot save to his disk still takes messages.
            if matches!(error.code(), "NOPERM" | "MISCONF") && name == "talk to" {
                continue;
            }
            let tried = format!("cannot {name} redis at {}", target.address);
            if let Obstacle::Stopped(fault) = to_error(&error, tried) {
                return Err(fault);
            }
        }
        asked.map_err(lost)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Why a connection is of no use any more.
#[derive(Debug)]
pub(super) struct Broken {
    cause: String,
    hint: &'static str,
}

const REACHABLE: &str = "is the server alive, and reachable from this node?";
const STRANGER: &str = "does `url` lead to a redis, or does something else listen there?";

impl Broken {
    fn endless() -> Self {
        Self { cause: "the answer is longer than any of redis".to_owned(), hint: STRANGER }
    }

    /// As what becomes of the attempt that met it.
    pub(super) fn into_fault(self, tried: String) -> Fault {
        Fault::retry(tried, self.cause).hint(self.hint)
    }
}

impl From<RedisError> for Broken {
    fn from(error: RedisError) -> Self {
        let (cause, hint) = match error.kind() {
            _ if error.is_connection_dropped() => ("the server has closed the connection".to_owned(), REACHABLE),
            // The parser would show what it has read.
            ErrorKind::Parse => ("the answer is not that of redis".to_owned(), STRANGER),
            _ => (error.to_string(), REACHABLE),
        };
        Self { cause, hint }
    }
}

async fn dial(config: &Config, address: &Address) -> Result<Box<dyn Stream>, Fault> {
    let failed = |error: std::io::Error| unreachable(address, cause(error));
    match address {
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(failed)?)),
        Address::Tcp { host, port, tls } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            stream.set_zero_linger().map_err(failed)?;
            if *tls { secure(config, address, host, stream).await } else { Ok(Box::new(stream)) }
        }
    }
}

async fn secure(config: &Config, address: &Address, host: &str, stream: TcpStream) -> Result<Box<dyn Stream>, Fault> {
    let config = config.clone();
    // Reads files.
    let client = spawn_blocking(move || tls::client(&config.tls_files())).await;
    let client = client.map_err(|error| Fault::retry("cannot set up TLS", error))??;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| Fault::fatal(connecting(address), error))?;
    let secured = TlsConnector::from(Arc::new(client)).connect(name, stream).await;
    let secured = secured.map_err(|error| {
        let fault = Fault::retry(format!("cannot talk TLS to redis at {address}"), &error);
        let text = error.to_string();
        if text.contains("UnknownIssuer") || text.contains("CaUsedAsEndEntity") {
            fault.hint("name the certificate of the server's authority in `ca-file`")
        } else if text.contains("certificate") {
            fault.hint("the server's certificate must be valid now and for the host in `url`")
        } else {
            fault.hint("does this port of the server speak TLS?")
        }
    })?;
    Ok(Box::new(secured))
}

async fn password(config: &Config, target: &Target) -> Result<Option<String>, Fault> {
    let Some(path) = &config.password_file else {
        return Ok(target.password.clone());
    };
    let file = path.clone();
    let bytes = spawn_blocking(move || file::read(&file, PASSWORD)).await.map_err(std::io::Error::from).flatten();
    let bytes = bytes.map_err(|error| unreadable(path, error))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable(path, "it is no text"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(unreadable(path, "it is empty"));
    }
    Ok(Some(text.to_owned()))
}

fn unreadable(path: &Path, cause: impl std::fmt::Display) -> Fault {
    Fault::retry(format!("cannot read the password from `{}`", path.display()), cause)
        .hint("the file must hold the password in one line; it is read again at the next try")
}

fn connecting(address: &Address) -> String {
    format!("cannot connect to redis at {address}")
}

fn unreachable(address: &Address, cause: String) -> Fault {
    Fault::retry(connecting(address), cause).hint(REACHABLE)
}
