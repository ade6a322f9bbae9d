//! A real node exporter: some hundred metrics of this machine.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::found;
use super::process::{ServerProcess, free_port};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running node exporter, killed when dropped.
#[derive(Debug)]
pub struct NodeExporter {
    _process: ServerProcess,
    port: u16,
    _folder: TempDir,
}

impl NodeExporter {
    /// Starts one on a port of its own, and waits until it listens.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the node exporter")?;
        let port = free_port()?;
        let mut command = Command::new(found::node_exporter()?);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).current_dir(folder.path());
        let mut process = ServerProcess::start("node exporter", &mut command, &folder.path().join("node-exporter.log"))?;
        let connect = async || TcpStream::connect(("127.0.0.1", port)).await.map(drop).context("it does not listen");
        process.wait_until_ready(READY_WITHIN, connect).await?;
        Ok(Self { _process: process, port, _folder: folder })
    }

    /// Where it is, such as `127.0.0.1:9100`; its metrics are at `/metrics`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
