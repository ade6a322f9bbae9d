//! The store behind a real API server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::found;
use super::https::{Call, Connection};
use super::process::{ServerProcess, free_port};

const READY_WITHIN: Duration = Duration::from_secs(30);
/// Where files are memory. etcd waits for the disk at each change, and a disk that stalls for seconds is not what is tested.
const IN_MEMORY: &str = "/dev/shm";
/// etcd lays out 64 MiB for its log beforehand; several run at once.
const ENOUGH: u64 = 2 << 30;

/// A running etcd with an empty store.
#[derive(Debug)]
pub(super) struct Etcd {
    process: ServerProcess,
    port: u16,
    _data: TempDir,
}

impl Etcd {
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let clients = format!("http://127.0.0.1:{port}");
        let peers = format!("http://127.0.0.1:{}", free_port()?);
        let data = data_folder()?;
        let mut command = Command::new(found::etcd()?);
        command
            .arg("--data-dir")
            .arg(data.path())
            .args(["--name", "default", "--initial-cluster", &format!("default={peers}")])
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        let process = ServerProcess::start_with_data("etcd", &mut command, &folder.join("etcd.log"), Some(data.path()))?;
        let mut etcd = Self { process, port, _data: data };
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

/// A folder in memory where there is room for it, else one on the disk.
fn data_folder() -> Result<TempDir> {
    let has_room = rustix::fs::statvfs(IN_MEMORY).is_ok_and(|room| room.f_bavail.saturating_mul(room.f_frsize) >= ENOUGH);
    let in_memory = has_room.then(|| tempfile::Builder::new().prefix("etcd-").tempdir_in(IN_MEMORY));
    let folder = in_memory.and_then(Result::ok).map_or_else(tempfile::tempdir, Ok);
    folder.context("cannot make a folder for etcd")
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
