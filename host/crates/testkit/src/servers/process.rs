//! A server as a child process: its output is kept, and it ends with the test, even with a test that is killed.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

const BETWEEN_PROBES: Duration = Duration::from_millis(30);
const LAST_LINES: usize = 15;

/// A running server, killed when dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    name: &'static str,
    server: Child,
    leash: Child,
    log: PathBuf,
    /// Once we have waited for it, its process id may be another's.
    ended: bool,
}

impl ServerProcess {
    /// Starts a server in a process group of its own; what it prints is appended to the log.
    pub(crate) fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        Self::start_with_data(name, command, log, None)
    }

    /// The same; what it wrote to the folder `data` goes with it when nobody is left to remove it.
    pub(crate) fn start_with_data(name: &'static str, command: &mut Command, log: &Path, data: Option<&Path>) -> Result<Self> {
        let output =
            OpenOptions::new().create(true).append(true).open(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut server = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.get_program().display()))?;
        match leash(&server, data) {
            Ok(leash) => Ok(Self { name, server, leash, log: log.to_owned(), ended: false }),
            Err(error) => {
                server.kill().and_then(|()| server.wait())?;
                Err(error).with_context(|| format!("cannot watch over {name}"))
            }
        }
    }

    /// Waits until the probe succeeds; fails when the server ends before, or when time is up.
    pub(crate) async fn wait_until_ready(&mut self, limit: Duration, probe: impl AsyncFn() -> Result<()>) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.server.try_wait()? {
                self.ended = true;
                bail!("{} ended at once ({status}); its last words:\n{}", self.name, self.last_words());
            }
            let Err(error) = probe().await else {
                return Ok(());
            };
            if begun.elapsed() > limit {
                bail!(
                    "{} was not ready after {} s: {error:#}; its last words:\n{}",
                    self.name,
                    limit.as_secs(),
                    self.last_words()
                );
            }
            tokio::time::sleep(BETWEEN_PROBES).await;
        }
    }

    /// Ends the server as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended = true;
        // Both may have ended already: nothing is left to do then.
        drop(self.server.wait());
        drop(self.leash.kill());
        drop(self.leash.wait());
    }

    /// Sends a signal to the server and whatever it started.
    pub(super) fn signal(&self, signal: Signal) {
        if self.ended {
            return;
        }
        if let Ok(group) = group(&self.server) {
            // It may have ended by itself.
            let _ = kill_process_group(group, signal);
        }
    }

    /// The end of what the server printed.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
        lines.reverse();
        lines.join("\n")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A shell that waits on a pipe which nobody writes to: it wakes up when our end closes, that is when we are gone, and takes the server
/// along. Statics are never dropped and a killed test drops nothing, so dropping alone would leave servers behind.
fn leash(server: &Child, data: Option<&Path>) -> Result<Child> {
    let group = group(server)?.as_raw_nonzero();
    // What it is killed in the middle of takes a moment to end.
    let tidy = if data.is_some() { "; sleep 0.2; rm -rf \"$0\"" } else { "" };
    Command::new("sh")
        .args(["-c", &format!("read -r never; kill -9 -{group}{tidy}")])
        .args(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot run sh")
}

fn group(server: &Child) -> Result<Pid> {
    let id = i32::try_from(server.id())?;
    Pid::from_raw(id).context("the server has no process id")
}

/// A port of loopback that is free now. Nobody keeps it free: start again with another one when it is taken.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Creates a file that only we can read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_ends_at_once_shows_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no luck today; exit 7"]);
        let mut server = ServerProcess::start("a shell", &mut command, &folder.path().join("log")).unwrap();
        let error = server.wait_until_ready(Duration::from_secs(5), async || bail!("not yet")).await.unwrap_err().to_string();
        assert!(error.contains("no luck today") && error.contains("exit status: 7"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_is_never_ready_names_the_last_reason() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        let mut server = ServerProcess::start("a sleeper", command.arg("60"), &folder.path().join("log")).unwrap();
        let error = server.wait_until_ready(Duration::ZERO, async || bail!("nobody listens")).await.unwrap_err().to_string();
        assert!(error.contains("nobody listens"), "{error}");
    }

    #[tokio::test]
    async fn what_a_server_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("child");
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo $! > \"$0\".new; mv \"$0\".new \"$0\"; wait"]).arg(&mark);
        let server = ServerProcess::start("a parent", &mut command, &folder.path().join("log")).unwrap();
        eventually(|| mark.exists()).await;
        let child = std::fs::read_to_string(&mark).unwrap();
        drop(server);
        eventually(|| is_gone(child.trim())).await;
    }

    #[tokio::test]
    async fn a_server_ends_with_a_test_that_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("server");
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\".new; mv \"$0\".new \"$0\"; exec sleep 60"]).arg(&mark);
        let data = folder.path().join("its data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("log"), "begun").unwrap();
        let log = folder.path().join("log");
        let mut server = ServerProcess::start_with_data("a server", &mut command, &log, Some(&data)).unwrap();
        eventually(|| mark.exists()).await;
        let child = std::fs::read_to_string(&mark).unwrap();
        // What the kernel does for us when we are killed: our end of the pipe closes.
        drop(server.leash.stdin.take());
        eventually(|| is_gone(child.trim())).await;
        eventually(|| !data.exists()).await;
    }

    fn is_gone(process: &str) -> bool {
        let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    }

    async fn eventually(mut holds: impl FnMut() -> bool) {
        for _ in 0..1000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited for ten seconds");
    }
}
