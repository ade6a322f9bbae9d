//! A real container registry on loopback: plain, with TLS or with a password, to be killed and started again.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Method;
use rustix::process::Signal;
use tempfile::TempDir;

use super::found;
use super::https::{Call, Connection};
use super::process::{ServerProcess, free_port, write_private};
use super::tls::{self, Certificate};

const READY_WITHIN: Duration = Duration::from_mins(1);
const TRIES: usize = 3;

/// Who is let in when a password is wanted.
pub const REGISTRY_USER: (&str, &str) = ("admin", "test");
/// The password as `htpasswd -B` writes it.
const HTPASSWD: &str = "admin:$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay\n";

/// How the server is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegistryOptions {
    /// TLS, with a certificate of an authority made for it.
    pub tls: bool,
    /// Whether only [`REGISTRY_USER`] is answered.
    pub password: bool,
}

/// A running registry, killed when dropped. What was pushed stays as long as it lives.
#[derive(Debug)]
pub struct RegistryServer {
    process: ServerProcess,
    port: u16,
    certificate: Option<Certificate>,
    password: bool,
    folder: TempDir,
}

impl RegistryServer {
    /// Starts a server and waits until it answers.
    pub async fn start(options: RegistryOptions) -> Result<Self> {
        let mut tries = 1;
        loop {
            match Self::try_start(options).await {
                // Somebody was faster and took the port.
                Err(error) if tries < TRIES && format!("{error:#}").contains("in use") => tries += 1,
                done => return done,
            }
        }
    }

    async fn try_start(RegistryOptions { tls, password }: RegistryOptions) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the registry")?;
        let port = free_port()?;
        let certificate = tls.then(|| tls::certificate(folder.path())).transpose()?;
        let mut text = format!(
            "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
             http:\n  addr: 127.0.0.1:{port}\n",
            folder.path().join("data").display()
        );
        if let Some(certificate) = &certificate {
            let (chain, key) = (certificate.chain.display(), certificate.key.display());
            writeln!(text, "  tls: {{certificate: {chain}, key: {key}}}")?;
        }
        if password {
            let users = folder.path().join("htpasswd");
            write_private(&users, HTPASSWD)?;
            writeln!(text, "auth: {{htpasswd: {{realm: testkit, path: {}}}}}", users.display())?;
        }
        write_private(&folder.path().join("config.yml"), &text)?;
        let process = launch(folder.path())?;
        let mut server = Self { process, port, certificate, password, folder };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Where it is, such as `127.0.0.1:5000`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The certificate of the authority that signed the server's, as PEM, if TLS was asked for.
    pub fn certificate_authority(&self) -> Option<&Path> {
        self.certificate.as_ref().map(|certificate| certificate.authority.as_path())
    }

    /// Ends the server at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the server again, killed or not, on the same port and with what was pushed.
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

    /// Puts other bytes in place of a blob that was pushed, behind the back of the server.
    pub fn falsify(&self, digest: &str, bytes: &[u8]) -> Result<()> {
        let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
        let blobs = self.folder.path().join("data/docker/registry/v2/blobs/sha256");
        let file = blobs.join(digits.get(..2).context("no digest")?).join(digits).join("data");
        if !file.is_file() {
            bail!("there is no {}", file.display());
        }
        std::fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let (port, guarded) = (self.port, self.certificate.is_some() || self.password);
        let probe = async || {
            if guarded {
                // Whoever is kept out cannot ask; that somebody listens has to do.
                return tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop).map_err(Into::into);
            }
            let call = Call { method: Method::GET, path: "/v2/", token: "", content_type: "text/plain", body: None };
            let answer = Connection::plain(port).await?.send(call).await?;
            if !answer.status.is_success() {
                bail!("the registry answered {}", answer.status);
            }
            Ok(())
        };
        self.process.wait_until_ready(READY_WITHIN, probe).await
    }
}

fn launch(folder: &Path) -> Result<ServerProcess> {
    let mut command = Command::new(found::docker_registry()?);
    command.arg("serve").arg(folder.join("config.yml")).current_dir(folder);
    ServerProcess::start("docker-registry", &mut command, &folder.join("registry.log"))
}
