//! The store behind a real API server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::found;
use super::https::{Call, Connection};
use super::process::{ServerProcess, free_port};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running etcd with an empty store.
#[derive(Debug)]
pub(super) struct Etcd {
    process: ServerProcess,
    port: u16,
}

impl Etcd {
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let clients = format!("http://127.0.0.1:{port}");
        let peers = format!("http://127.0.0.1:{}", free_port()?);
        let mut command = Command::new(found::etcd()?);
        command
            .arg("--data-dir")
            .arg(folder.join("etcd"))
            .args(["--name", "default", "--initial-cluster", &format!("default={peers}")])
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        let process = ServerProcess::start("etcd", &mut command, &folder.join("etcd.log"))?;
        let mut etcd = Self { process, port };
        let probe = async || revision(port).await.map(drop);
        etcd.process.wait_until_ready(READY_WITHIN, probe).await?;
        Ok(etcd)
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Forgets every version but the present one.
    pub(super) async fn compact(&self) -> Result<()> {
        let revision = revision(self.port).await?;
        let body = json!({ "revision": revision, "physical": true });
        ask(self.port, "/v3/kv/compaction", &body).await.context("etcd does not compact")?;
        Ok(())
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub(super) fn last_words(&self) -> String {
        self.process.last_words()
    }
}

/// The store's present version: any read tells it.
async fn revision(port: u16) -> Result<String> {
    let answer = ask(port, "/v3/kv/range", &json!({ "key": "AA==", "count_only": true })).await?;
    let revision = answer.pointer("/header/revision").and_then(Value::as_str);
    Ok(revision.context("etcd tells no revision")?.to_owned())
}

async fn ask(port: u16, path: &str, body: &Value) -> Result<Value> {
    let call = Call { method: Method::POST, path, token: "", content_type: "application/json", body: Some(body) };
    Connection::plain(port).await?.send(call).await?.json()
}
