//! The program `sluicebox` as anybody would run it: a process with a configuration, whose output is collected.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

/// The running program; it ends with its owner. Its configuration must say `log: {format: json}`.
pub struct Program {
    child: Child,
    log: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
    output: Option<JoinHandle<()>>,
    address: String,
}

impl Program {
    /// Starts `binary run config`. What it logs goes to the file `log`; `show` is given each line of its standard output.
    pub fn start(binary: &Path, config: &Path, log: &Path, show: impl Fn(&str) + Send + 'static) -> Result<Self> {
        let mut child = Command::new(binary)
            .arg("run")
            .arg(config)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().ok_or_else(|| anyhow!("the program has no standard output"))?;
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let collected = Arc::clone(&lines);
        let output = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                show(&line);
                collected.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(Self { child, log: log.to_owned(), lines, output: Some(output), address: String::new() })
    }

    /// The lines on standard output so far.
    pub fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has logged so far.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its probes answer.
    pub async fn until_alive(&mut self, patience: Duration) -> Result<()> {
        self.until("/livez", patience).await
    }

    /// Waits until it says that it is ready.
    pub async fn until_ready(&mut self, patience: Duration) -> Result<()> {
        self.until("/readyz", patience).await
    }

    async fn until(&mut self, path: &str, patience: Duration) -> Result<()> {
        let begin = Instant::now();
        let mut said = String::from("it has not logged the address of its probes");
        while begin.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                bail!("the program has ended with {status}:\n{}", self.log()?);
            }
            if self.address.is_empty() {
                self.address = self.find_address()?.unwrap_or_default();
            } else {
                match self.get(path).await {
                    Ok((true, _)) => return Ok(()),
                    Ok((false, text)) => said = text,
                    Err(error) => said = format!("{error:#}"),
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("{path} does not say yes after {patience:?}: {said}\n{}", self.log()?)
    }

    /// The address out of the log: configurations for tests ask for a free port.
    fn find_address(&self) -> Result<Option<String>> {
        let log = self.log()?;
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(lines.find_map(|line| line.get("address")?.as_str().map(str::to_owned)))
    }

    /// Where its probes and metrics are; empty until it has been waited for.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks its probes and metrics; whether the answer is 200, and the answer.
    pub async fn get(&self, path: &str) -> Result<(bool, String)> {
        ask(&self.address, path).await
    }

    /// The lines of its metrics that begin so.
    pub async fn metrics(&self, beginnings: &[&str]) -> Result<Vec<String>> {
        let (_, text) = self.get("/metrics").await?;
        Ok(text.lines().filter(|line| beginnings.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect())
    }

    /// The sum of a metric over all lines whose labels hold `label`, such as `lane="bad"`.
    pub async fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let lines = self.metrics(&[name]).await?;
        let rows = lines.iter().filter(|line| line.contains(label));
        Ok(rows.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }

    /// Waits until `good` says yes to the lines on standard output.
    pub async fn until_lines(&self, patience: Duration, good: impl Fn(&[String]) -> bool) -> Result<()> {
        let begin = Instant::now();
        while !good(&self.lines()) {
            if begin.elapsed() > patience {
                bail!("after {patience:?} the output is only:\n{}\nand the log:\n{}", self.lines().join("\n"), self.log()?);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.ask_to_stop()?;
        self.ended(patience).await
    }

    /// Waits for the end; all output is there then.
    pub async fn ended(&mut self, patience: Duration) -> Result<ExitStatus> {
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                if let Some(output) = self.output.take() {
                    output.join().map_err(|_| anyhow!("the thread that collects the output has panicked"))?;
                }
                return Ok(status);
            }
            sleep(Duration::from_millis(10)).await;
        }
        bail!("the program has not ended within {patience:?}:\n{}", self.log()?)
    }

    /// Asks it to end, and does not wait for it.
    pub fn ask_to_stop(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Lets it stand still, until [`Self::resume`].
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.child.id())?).context("the program has no process id")?;
        kill_process(id, signal).with_context(|| format!("cannot send {signal:?} to the program"))
    }

    /// Ends it without asking, as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// Asks the probes and metrics at this address; whether the answer is 200, and the answer.
pub async fn ask(address: &str, path: &str) -> Result<(bool, String)> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.starts_with("HTTP/1.1 200"), body.to_owned()))
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
