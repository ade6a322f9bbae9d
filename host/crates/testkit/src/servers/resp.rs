//! As much of Redis's protocol as a test needs to look at what arrived, without a client library.

use std::fmt;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status or a string; bytes that are not text are replaced.
    Text(String),
    /// A number.
    Number(i64),
    /// Several of them.
    List(Vec<Reply>),
    /// There is nothing under that name.
    Nothing,
}

impl Reply {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of a list, others left out.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::List(replies) => replies.iter().filter_map(Self::text).collect(),
            other => other.text().into_iter().collect(),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::List(replies) => {
                for reply in replies {
                    writeln!(formatter, "{reply}")?;
                }
                Ok(())
            }
            Self::Nothing => formatter.write_str("(nothing)"),
        }
    }
}

/// A connection to a Redis.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to redis at {address}"))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends one command and waits for its reply; an error of Redis's is an error.
    pub(super) async fn command(&mut self, words: &[&str]) -> Result<Reply> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.stream.write_all(&bytes).await?;
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            bail!("redis closed the connection");
        }
        let line = line.trim_end();
        let Some((kind, rest)) = line.split_at_checked(1) else {
            bail!("redis sent an empty line");
        };
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            "-" => bail!("redis refused: {rest}"),
            ":" => Ok(Reply::Number(rest.parse()?)),
            "$" => self.string(rest.parse()?).await,
            "*" => self.list(rest.parse()?).await,
            _ => bail!("redis sent something unknown: {line}"),
        }
    }

    async fn string(&mut self, length: i64) -> Result<Reply> {
        let Ok(length) = usize::try_from(length) else {
            return Ok(Reply::Nothing);
        };
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).await?;
        bytes.truncate(length);
        Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn list(&mut self, length: i64) -> Result<Reply> {
        if length < 0 {
            return Ok(Reply::Nothing);
        }
        let mut replies = Vec::new();
        for _ in 0..length {
            replies.push(Box::pin(self.reply()).await?);
        }
        Ok(Reply::List(replies))
    }
}

/// What is published to some channels, in the order of arrival.
#[derive(Debug)]
pub struct Subscription {
    connection: Connection,
}

impl Subscription {
    /// Subscribes to a pattern such as `galileo/*`; everything published afterwards arrives.
    pub(super) async fn open(mut connection: Connection, pattern: &str) -> Result<Self> {
        connection.command(&["PSUBSCRIBE", pattern]).await?;
        Ok(Self { connection })
    }

    /// The channel and the text of the next message. Wrap it in `tokio::time::timeout`: it waits for ever.
    pub async fn next(&mut self) -> Result<(String, String)> {
        let reply = self.connection.reply().await?;
        match reply.texts().as_slice() {
            ["pmessage", _, channel, text] => Ok(((*channel).to_owned(), (*text).to_owned())),
            _ => bail!("redis sent no message but {reply:?}"),
        }
    }
}
