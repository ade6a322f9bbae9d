//! A real redis-server: plain or with TLS, with users and passwords, to be killed and started again.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use super::found;
use super::process::{ServerProcess, free_port, write_private};
use super::resp::{Connection, Reply, Subscription};
use super::tls::{self, Certificate};

const READY_WITHIN: Duration = Duration::from_secs(20);
const TRIES: usize = 3;

/// The test kit's own way in, whatever the test forbids to others.
const OURSELVES: &str = "testkit";

/// How the server is to be.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// A second port with TLS, with a certificate of an authority made for it.
    pub tls: bool,
    /// What the default user must say; nothing lets everybody in.
    pub password: Option<String>,
    /// Users besides the default one.
    pub users: Vec<RedisUser>,
    /// Lines for redis.conf, such as `maxmemory 1mb`.
    pub configuration: Vec<String>,
}

/// A user of the access control list.
#[derive(Clone, Debug)]
pub struct RedisUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// What it may do, such as `~* &* +@all` or `&galileo/* +publish`.
    pub rights: String,
}

/// A running redis-server on ports of its own, killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    process: ServerProcess,
    port: u16,
    tls: Option<(u16, Certificate)>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    pub async fn start(options: RedisOptions) -> Result<Self> {
        let mut tries = 1;
        loop {
            match Self::try_start(&options).await {
                // Somebody was faster and took the port.
                Err(error) if tries < TRIES && format!("{error:#}").contains("in use") => {
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn try_start(options: &RedisOptions) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for redis")?;
        let port = free_port()?;
        let tls = if options.tls { Some((free_port()?, tls::certificate(folder.path())?)) } else { None };
        let text = configuration(options, port, tls.as_ref(), folder.path());
        write_private(&folder.path().join("redis.conf"), &text)?;
        let process = launch(folder.path())?;
        let mut server = Self { process, port, tls, folder };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// `127.0.0.1:port`, without TLS.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The port with TLS, if asked for. The certificate is valid for `localhost` and `127.0.0.1`.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls.as_ref().map(|(port, _)| *port)
    }

    /// `rediss://localhost:port`, if TLS was asked for.
    pub fn tls_url(&self) -> Option<String> {
        Some(format!("rediss://localhost:{}", self.tls_port()?))
    }

    /// The certificate of the authority that signed the server's, as PEM.
    pub fn certificate_authority(&self) -> Option<&Path> {
        self.tls.as_ref().map(|(_, certificate)| certificate.authority.as_path())
    }

    /// Ends the server at once. What was not persisted is lost; clients see a closed connection.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the server again, killed or not, on the same ports and with the same configuration.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = launch(self.folder.path())?;
        self.wait_until_ready().await
    }

    /// Lets the server answer nobody, without closing a connection, until [`Self::resume`].
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Runs one command with all rights.
    pub async fn command(&self, words: &[&str]) -> Result<Reply> {
        self.connection().await?.command(words).await
    }

    /// Hears what is published to channels of a pattern from now on.
    pub async fn subscribe(&self, pattern: &str) -> Result<Subscription> {
        Subscription::open(self.connection().await?, pattern).await
    }

    async fn connection(&self) -> Result<Connection> {
        connection(&self.address()).await
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let address = self.address();
        let probe = async || connection(&address).await?.command(&["PING"]).await.map(drop);
        self.process.wait_until_ready(READY_WITHIN, probe).await
    }
}

async fn connection(address: &str) -> Result<Connection> {
    let mut connection = Connection::open(address).await?;
    connection.command(&["AUTH", OURSELVES, OURSELVES]).await?;
    Ok(connection)
}

fn launch(folder: &Path) -> Result<ServerProcess> {
    let mut command = Command::new(found::redis_server()?);
    command.arg(folder.join("redis.conf")).current_dir(folder);
    ServerProcess::start("redis-server", &mut command, &folder.join("redis.log"))
}

fn configuration(options: &RedisOptions, port: u16, tls: Option<&(u16, Certificate)>, folder: &Path) -> String {
    let mut text = format!(
        "bind 127.0.0.1\nport {port}\ndaemonize no\nsave \"\"\ndir {}\nuser {OURSELVES} on >{OURSELVES} ~* &* +@all\n",
        folder.display()
    );
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words}");
    };
    if let Some((port, files)) = tls {
        line(format_args!("tls-port {port}"));
        line(format_args!("tls-auth-clients no"));
        line(format_args!("tls-ca-cert-file {}", files.authority.display()));
        line(format_args!("tls-cert-file {}", files.chain.display()));
        line(format_args!("tls-key-file {}", files.key.display()));
    }
    if let Some(password) = &options.password {
        line(format_args!("requirepass {password}"));
    }
    for user in &options.users {
        line(format_args!("user {} on >{} {}", user.name, user.password, user.rights));
    }
    for words in &options.configuration {
        line(format_args!("{words}"));
    }
    text
}
