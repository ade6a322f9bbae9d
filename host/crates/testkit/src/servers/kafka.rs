//! A real broker of Kafka's protocol: tansu, with its log in a file, to be killed and started again, with users and with TLS in front.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::found;
use super::process::{ServerProcess, free_port, write_private};
use super::tls::{self, Certificate};

const READY_WITHIN: Duration = Duration::from_secs(20);
const COMMAND_WITHIN: Duration = Duration::from_secs(30);
const TRIES: usize = 3;

/// How the broker is to be.
#[derive(Clone, Debug, Default)]
pub struct KafkaOptions {
    /// Topics and their partitions. This broker makes none by itself.
    pub topics: Vec<(String, u32)>,
    /// Who may come in, with SCRAM-SHA-256; without any, everybody may.
    pub users: Vec<KafkaUser>,
    /// TLS, with a certificate of an authority made for it. Nothing is answered without it then.
    pub tls: bool,
    /// The port of loopback at which the broker says that it is, where something else is in between. Not with TLS.
    pub advertised: Option<u16>,
}

/// A user of the broker.
#[derive(Clone, Debug)]
pub struct KafkaUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// A running broker on ports of its own, killed when dropped.
#[derive(Debug)]
pub struct KafkaServer {
    broker: ServerProcess,
    /// What ends the TLS in front of the broker.
    stunnel: Option<ServerProcess>,
    ports: Ports,
    authentication: bool,
    certificate: Option<Certificate>,
    folder: TempDir,
}

/// Where the broker listens, and where it says that it does.
#[derive(Clone, Copy, Debug)]
struct Ports {
    broker: u16,
    host: &'static str,
    advertised: u16,
}

impl KafkaServer {
    /// Starts a broker and waits until it answers and the topics are there.
    pub async fn start(options: KafkaOptions) -> Result<Self> {
        let mut tries = 1;
        loop {
            match Self::try_start(&options).await {
                // Somebody was faster and took the port.
                Err(error) if tries < TRIES && format!("{error:#}").contains("in use") => tries += 1,
                done => return done,
            }
        }
    }

    async fn try_start(options: &KafkaOptions) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for kafka")?;
        let broker = free_port()?;
        let host = if options.tls { "localhost" } else { "127.0.0.1" };
        let ports = Ports { broker, host, advertised: advertised(options, broker)? };
        let (stunnel, certificate) = if options.tls {
            let certificate = tls::certificate(folder.path())?;
            (Some(end_tls(folder.path(), ports, &certificate)?), Some(certificate))
        } else {
            (None, None)
        };
        // Topics and users are made while everybody may: tansu's own commands know no passwords.
        let process = launch(folder.path(), ports, false)?;
        let mut server = Self { broker: process, stunnel, ports, authentication: false, certificate, folder };
        server.wait_until_ready().await?;
        for (topic, partitions) in &options.topics {
            server.create_topic(topic, *partitions).await?;
        }
        for user in &options.users {
            server.create_user(user).await?;
        }
        if !options.users.is_empty() {
            server.authentication = true;
            server.restart().await?;
        }
        Ok(server)
    }

    /// `127.0.0.1:port`, or `localhost:port` with TLS.
    pub fn address(&self) -> String {
        let host = if self.stunnel.is_some() { "localhost" } else { "127.0.0.1" };
        format!("{host}:{}", self.ports.advertised)
    }

    /// Where the broker itself listens, whatever it says of itself.
    pub fn behind(&self) -> String {
        format!("127.0.0.1:{}", self.ports.broker)
    }

    /// The certificate of the authority that signed the broker's, as PEM, if TLS was asked for.
    pub fn certificate_authority(&self) -> Option<&Path> {
        self.certificate.as_ref().map(|certificate| certificate.authority.as_path())
    }

    /// Makes a topic. Not on a broker with users.
    pub async fn create_topic(&self, name: &str, partitions: u32) -> Result<()> {
        self.command(&["topic", "create"], &["--partitions", &partitions.to_string(), name]).await
    }

    /// Ends the broker at once. What it has acknowledged is kept; clients see a closed connection.
    pub fn kill(&mut self) {
        self.broker.kill();
    }

    /// Starts the broker again, killed or not, on the same port and with the same data.
    pub async fn restart(&mut self) -> Result<()> {
        self.broker.kill();
        self.broker = launch(self.folder.path(), self.ports, self.authentication)?;
        self.wait_until_ready().await
    }

    /// Lets the broker answer nobody, without closing a connection, until [`Self::resume`].
    pub fn pause(&self) {
        self.broker.signal(Signal::STOP);
    }

    /// Lets a paused broker go on.
    pub fn resume(&self) {
        self.broker.signal(Signal::CONT);
    }

    async fn create_user(&self, user: &KafkaUser) -> Result<()> {
        self.command(&["user", "create"], &["--mechanism", "scram256", &user.name, &user.password]).await
    }

    async fn command(&self, what: &[&str], words: &[&str]) -> Result<()> {
        let mut command = tokio::process::Command::new(found::tansu()?);
        command.args(what).args(["--broker", &format!("tcp://127.0.0.1:{}", self.ports.broker)]).args(words).kill_on_drop(true);
        let output = tokio::time::timeout(COMMAND_WITHIN, command.output()).await.context("tansu hangs")??;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("tansu {} failed: {words}; the broker's last words:\n{}", what.join(" "), self.broker.last_words());
        }
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let connect = |port: u16| async move {
            TcpStream::connect(("127.0.0.1", port)).await?;
            anyhow::Ok(())
        };
        let Ports { broker, advertised, .. } = self.ports;
        self.broker.wait_until_ready(READY_WITHIN, async || connect(broker).await).await?;
        if let Some(stunnel) = &mut self.stunnel {
            stunnel.wait_until_ready(READY_WITHIN, async || connect(advertised).await).await?;
        }
        Ok(())
    }
}

fn advertised(options: &KafkaOptions, broker: u16) -> Result<u16> {
    if options.tls { free_port() } else { Ok(options.advertised.unwrap_or(broker)) }
}

fn launch(folder: &Path, ports: Ports, authentication: bool) -> Result<ServerProcess> {
    let mut command = Command::new(found::tansu()?);
    command.arg("broker");
    command.args(["--listener-url", &format!("tcp://127.0.0.1:{}", ports.broker)]);
    command.args(["--advertised-listener-url", &format!("tcp://{}:{}", ports.host, ports.advertised)]);
    // Taken as a path below the current folder.
    command.args(["--storage-engine", "sqlite://kafka.db", "--silent"]);
    if authentication {
        command.arg("--authentication");
    }
    command.current_dir(folder);
    ServerProcess::start("tansu", &mut command, &folder.join("tansu.log"))
}

/// tansu's own TLS does not work; this goes on with what comes out of it.
fn end_tls(folder: &Path, ports: Ports, certificate: &Certificate) -> Result<ServerProcess> {
    let mut text = String::new();
    for (name, value) in [
        ("foreground", "yes".to_owned()),
        ("pid", String::new()),
        ("[kafka]\naccept", format!("127.0.0.1:{}", ports.advertised)),
        ("connect", format!("127.0.0.1:{}", ports.broker)),
        ("cert", certificate.chain.display().to_string()),
        ("key", certificate.key.display().to_string()),
    ] {
        writeln!(text, "{name} = {value}")?;
    }
    let file: PathBuf = folder.join("stunnel.conf");
    write_private(&file, &text)?;
    let mut command = Command::new(found::stunnel()?);
    ServerProcess::start("stunnel", command.arg(&file).current_dir(folder), &folder.join("stunnel.log"))
}
