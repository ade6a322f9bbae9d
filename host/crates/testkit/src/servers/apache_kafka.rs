//! Apache Kafka itself, as it was in 2016: it refuses what the other broker takes, by size, by replicas and by rights.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::found;
use super::process::{ServerProcess, free_port};

const READY_WITHIN: Duration = Duration::from_mins(1);
const COMMAND_WITHIN: Duration = Duration::from_mins(1);

/// A running broker with its `ZooKeeper`, on ports of their own, killed when dropped. It makes no topics by itself and lets everybody do
/// everything until a rule says otherwise.
#[derive(Debug)]
pub struct ApacheKafka {
    _broker: ServerProcess,
    _zookeeper: ServerProcess,
    port: u16,
    keeper: String,
    _folder: TempDir,
}

impl ApacheKafka {
    /// Starts both and waits until they listen.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for kafka")?;
        let (port, keeper_port) = (free_port()?, free_port()?);
        let keeper = format!("127.0.0.1:{keeper_port}");
        let at = folder.path().display();
        let mut zookeeper = launch(
            folder.path(),
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            &format!("dataDir={at}/zookeeper\nclientPort={keeper_port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n"),
        )?;
        zookeeper.wait_until_ready(READY_WITHIN, async || listens(keeper_port).await).await?;
        let mut broker = launch(
            folder.path(),
            "kafka.Kafka",
            &format!(
                "broker.id=0\nlisteners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={at}/log\nzookeeper.connect={keeper}\n\
                 auto.create.topics.enable=false\nauthorizer.class.name=kafka.security.auth.SimpleAclAuthorizer\n\
                 allow.everyone.if.no.acl.found=true\n"
            ),
        )?;
        broker.wait_until_ready(READY_WITHIN, async || listens(port).await).await?;
        Ok(Self { _broker: broker, _zookeeper: zookeeper, port, keeper, _folder: folder })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Makes a topic of one partition with these settings, such as `max.message.bytes=1000`.
    pub async fn create_topic(&self, name: &str, settings: &[&str]) -> Result<()> {
        let mut words =
            vec!["--zookeeper", &self.keeper, "--create", "--partitions", "1", "--replication-factor", "1", "--topic", name];
        words.extend(settings.iter().flat_map(|setting| ["--config", setting]));
        command("kafka.admin.TopicCommand", &words).await
    }

    /// Changes a setting of a topic.
    pub async fn configure(&self, topic: &str, setting: &str) -> Result<()> {
        let words =
            ["--zookeeper", &self.keeper, "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", setting];
        command("kafka.admin.ConfigCommand", &words).await
    }

    /// Lets everybody see a topic and write to it, or only see it.
    pub async fn permit(&self, topic: &str, writes: bool) -> Result<()> {
        let keeper = format!("zookeeper.connect={}", self.keeper);
        let rule = if writes { "--allow-principal" } else { "--deny-principal" };
        for (change, rule, operation) in
            [("--add", "--allow-principal", "Describe"), ("--remove", "--deny-principal", "Write"), ("--add", rule, "Write")]
        {
            let mut words = vec!["--authorizer-properties", &keeper, change, rule, "User:ANONYMOUS", "--operation", operation];
            words.extend(["--topic", topic]);
            command("kafka.admin.AclCommand", &words).await?;
        }
        Ok(())
    }
}

async fn listens(port: u16) -> Result<()> {
    TcpStream::connect(("127.0.0.1", port)).await?;
    Ok(())
}

fn launch(folder: &Path, class: &str, properties: &str) -> Result<ServerProcess> {
    let file = folder.join(format!("{class}.properties"));
    std::fs::write(&file, properties).with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = Command::new(found::apache_kafka()?);
    command.arg(class).arg(&file).current_dir(folder);
    ServerProcess::start("apache-kafka", &mut command, &folder.join(format!("{class}.log")))
}

async fn command(class: &str, words: &[&str]) -> Result<()> {
    let mut command = tokio::process::Command::new(found::apache_kafka()?);
    command.arg(class).args(words).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut answers = child.stdin.take().context("it has an input")?;
    let output = async {
        // Before something is removed it asks. Whoever does not ask may have ended already.
        let _unasked = answers.write_all(b"y\n").await;
        drop(answers);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(COMMAND_WITHIN, output).await.context("kafka's own command hangs")??;
    if !output.status.success() {
        bail!("{class} failed: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
