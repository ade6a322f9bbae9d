//! The program as the demo runs it: as anybody would, with its output shown.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::time::sleep;

use crate::command;

/// The running program; ends with its owner.
pub(super) struct Program {
    child: Child,
    log: PathBuf,
    output: Option<JoinHandle<()>>,
    address: String,
}

impl Program {
    pub(super) fn start(binary: &Path, config: &Path, log: &Path) -> Result<Self> {
        let mut child = Command::new(binary)
            .arg("run")
            .arg(config)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| anyhow!("the program has no standard output"))?;
        let output = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                command::say(format!("  | {line}"));
            }
        });
        Ok(Self {
            child,
            log: log.to_owned(),
            output: Some(output),
            address: String::new(),
        })
    }

    /// Waits until the program says that it is ready.
    pub(super) async fn until_ready(&mut self, patience: Duration) -> Result<()> {
        let begin = Instant::now();
        let mut said = String::from("it has not logged the address of its probes");
        while begin.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the program has ended with {status}:\n{}",
                    fs::read_to_string(&self.log)?
                );
            }
            if self.address.is_empty() {
                self.address = self.address()?.unwrap_or_default();
            } else {
                match self.get("/readyz").await {
                    Ok((true, _)) => return Ok(()),
                    Ok((false, text)) => said = text,
                    Err(error) => said = format!("{error:#}"),
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("the program is not ready after {patience:?}: {said}")
    }

    /// The address out of the log: the configuration asks for a free port.
    fn address(&self) -> Result<Option<String>> {
        let log = fs::read_to_string(&self.log)?;
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        Ok(lines
            .filter_map(|line| line.get("address")?.as_str().map(str::to_owned))
            .next())
    }

    async fn get(&self, path: &str) -> Result<(bool, String)> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(&self.address).await?;
        stream
            .write_all(
                format!("GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")
                    .as_bytes(),
            )
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        Ok((head.starts_with("HTTP/1.1 200"), body.to_owned()))
    }

    /// The counters that say most.
    pub(super) async fn metrics(&self) -> Result<Vec<String>> {
        let (_, text) = self.get("/metrics").await?;
        let wanted = [
            "sluicebox_source_events_total",
            "sluicebox_lane_events_total",
            "sluicebox_lane_entries_total",
            "sluicebox_sink_written_total",
        ];
        Ok(text
            .lines()
            .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
            .map(str::to_owned)
            .collect())
    }

    /// Asks it to end, and waits.
    pub(super) async fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        command::must(
            Command::new("kill")
                .arg("-TERM")
                .arg(self.child.id().to_string()),
        )?;
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                if let Some(output) = self.output.take() {
                    output
                        .join()
                        .map_err(|_| anyhow!("the thread that shows the output has panicked"))?;
                }
                return Ok(status);
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("the program has not ended within {patience:?}")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
