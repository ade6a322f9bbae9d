//! A real kube-apiserver with its etcd, on loopback, without nodes: with tokens, rights and TLS as in a cluster.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::etcd::Etcd;
use super::https::{Call, Connection, Unfinished, begin};
use super::process::{ServerProcess, free_port, write_private};
use super::{found, tls};

const READY_WITHIN: Duration = Duration::from_secs(90);
const TRIES: usize = 3;
const ADMIN: &str = "token-of-the-admin";
const UNPRIVILEGED: &str = "token-of-nobody";

/// A running API server, killed when dropped. It takes some seconds and 300 MB: share one among the tests of a file, each with a
/// namespace of its own.
#[derive(Debug)]
pub struct KubeApiServer {
    process: ServerProcess,
    etcd: Etcd,
    port: u16,
    folder: TempDir,
    options: Vec<String>,
}

impl KubeApiServer {
    /// Starts etcd and the API server, and waits until it answers. The namespace `default` exists then.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with further options, such as `--max-mutating-requests-inflight=1`.
    pub async fn start_with(options: &[&str]) -> Result<Self> {
        let mut tries = 1;
        loop {
            match Self::try_start(options).await {
                // Somebody was faster and took a port.
                Err(error) if tries < TRIES && format!("{error:#}").contains("in use") => {
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn try_start(options: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for kube-apiserver")?;
        let tokens = format!("{ADMIN},admin,1,system:masters\n{UNPRIVILEGED},nobody,2\n");
        write_private(&folder.path().join("tokens.csv"), &tokens)?;
        tls::signing_key(folder.path())?;
        let etcd = Etcd::start(folder.path()).await?;
        let port = free_port()?;
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let process = launch(folder.path(), port, &etcd, &options)?;
        let mut server = Self { process, etcd, port, folder, options };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// `https://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The certificate that vouches for the server, as PEM.
    pub fn certificate_authority(&self) -> PathBuf {
        self.folder.path().join("certificates/apiserver.crt")
    }

    /// A token that may do everything.
    pub fn admin_token(&self) -> &'static str {
        ADMIN
    }

    /// A token that the server knows but lets do nothing: 403. One that it does not know gets 401.
    pub fn unprivileged_token(&self) -> &'static str {
        UNPRIVILEGED
    }

    /// The port of loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Writes a KUBECONFIG file for a token; it lives as long as the server.
    pub fn kube_config(&self, token: &str) -> Result<PathBuf> {
        self.kube_config_by(self.port, token)
    }

    /// The same for whoever reaches the server by another port of loopback.
    pub fn kube_config_by(&self, port: u16, token: &str) -> Result<PathBuf> {
        let file = tempfile::Builder::new().prefix("kubeconfig-").tempfile_in(self.folder.path())?;
        let path = file.into_temp_path().keep()?;
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: '{}'}}}}]\n\
             users: [{{name: test, user: {{token: '{token}'}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
            self.certificate_authority().display()
        );
        write_private(&path, &text)?;
        Ok(path)
    }

    /// Asks the server as admin; a refusal is an error with its words. Bodies of PATCH are merge patches.
    pub async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let what = format!("{method} {path}");
        let call = call(method, path, body);
        let answer = self.connection().await?.send(call).await?;
        answer.json().context(what)
    }

    /// The status that a GET with some token gets.
    pub async fn status_for(&self, token: &str, path: &str) -> Result<StatusCode> {
        let call = Call { token, ..call(Method::GET, path, None) };
        Ok(self.connection().await?.send(call).await?.status)
    }

    /// Ends the API server at once; its objects stay in etcd.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the API server again, killed or not, with the same port, certificate, tokens and objects.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = launch(self.folder.path(), self.port, &self.etcd, &self.options)?;
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

    /// Lets the store answer nobody, the API server included, until [`Self::resume_store`].
    pub fn pause_store(&self) {
        self.etcd.signal(Signal::STOP);
    }

    /// Lets a paused store go on.
    pub fn resume_store(&self) {
        self.etcd.signal(Signal::CONT);
    }

    /// Begins a request that changes something below a path, such as `/api/v1/namespaces/default/configmaps`, and does not end it.
    pub async fn occupy(&self, path: &str) -> Result<Unfinished> {
        begin(self.port, &self.certificate_authority(), path, ADMIN).await
    }

    /// Forgets all versions before the present one. Followed by [`Self::restart`], a watch from an older version gets
    /// 410 Expired; without it the server still knows them by heart.
    pub async fn compact(&self) -> Result<()> {
        self.etcd.compact().await
    }

    /// The end of what etcd and the server printed, for a test that fails.
    pub fn last_words(&self) -> String {
        format!("etcd:\n{}\nkube-apiserver:\n{}", self.etcd.last_words(), self.process.last_words())
    }

    pub(super) async fn connection(&self) -> Result<Connection> {
        Connection::tls(self.port, &self.certificate_authority()).await
    }

    /// Ready is more than listening: the rights of the admin and the first namespace are made in the background.
    async fn wait_until_ready(&mut self) -> Result<()> {
        let port = self.port;
        let authority = self.certificate_authority();
        let probe = async || {
            let mut connection = Connection::tls(port, &authority).await?;
            for path in ["/readyz", "/api/v1/namespaces/default"] {
                let status = connection.send(call(Method::GET, path, None)).await?.status;
                anyhow::ensure!(status.is_success(), "{path} answers {status}");
            }
            Ok(())
        };
        self.process.wait_until_ready(READY_WITHIN, probe).await
    }
}

/// A call as admin.
pub(super) fn call<'a>(method: Method, path: &'a str, body: Option<&'a Value>) -> Call<'a> {
    let content_type = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    Call { method, path, token: ADMIN, content_type, body }
}

fn launch(folder: &Path, port: u16, etcd: &Etcd, options: &[String]) -> Result<ServerProcess> {
    let mut command = Command::new(found::kube_api_server()?);
    command
        .args(["--etcd-servers", &etcd.url()])
        .args(["--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"])
        .args(["--secure-port", &port.to_string()])
        .arg("--cert-dir")
        .arg(folder.join("certificates"))
        .arg("--token-auth-file")
        .arg(folder.join("tokens.csv"))
        .arg("--service-account-key-file")
        .arg(folder.join("signing.pub"))
        .arg("--service-account-signing-key-file")
        .arg(folder.join("signing.key"))
        .args(["--service-account-issuer", "https://kubernetes.default.svc"])
        .args(["--api-audiences", "https://kubernetes.default.svc"])
        .args(["--authorization-mode", "RBAC", "--anonymous-auth=false"])
        .args(["--disable-admission-plugins", "ServiceAccount"])
        .args(["--service-cluster-ip-range", "10.0.0.0/24"])
        .args(["--endpoint-reconciler-type", "none"])
        .args(options);
    ServerProcess::start("kube-apiserver", &mut command, &folder.join("kube-apiserver.log"))
}
