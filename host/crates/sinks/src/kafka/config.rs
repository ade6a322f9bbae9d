//! The settings of the kafka sink.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::{ByteSize, TimeSpan};

/// Messages are records of topics, with their key and headers; documents are records whose key is the document's name, and to forget
/// one is a record without a value under that key, which a compacted topic takes for a deletion.
///
/// **Topics.** A message's channel is its topic, a document's collection is. Those that name none go to `topic`. When `topic`, or one that
/// stands in `allowed-topics` as it is, does not exist, or the user may not write to it, entries wait until that is mended. For any other
/// topic they wait for `topic-timeout`; after that they are refused, and so are those that come later, until the topic is there. While
/// some wait, all entries of the sink wait with them. Whether the cluster makes topics by itself is its own setting.
///
/// **Order and loss.** A write is done when the cluster has acknowledged every record, as `acks` says. What is not acknowledged stays with
/// the client and is tried again, however long it takes: none is left out, and with `idempotence` none arrives in its partition before its
/// predecessor. Nor does one arrive twice, unless the program starts again or the client has to be replaced meanwhile, as with a new
/// password. There is one exception to the order: when the cluster refuses a batch of records for the sake of one of them, such as one
/// that is larger than the topic takes, the others of that batch are sent again one by one, and may arrive behind later records of their
/// key.
///
/// **Forgetting later.** A document to be forgotten later is remembered in memory only: after a restart it stays until it is forgotten
/// again.
///
/// Rights needed: `Write` and `Describe` on the topics; for clusters before 2.8 `IdempotentWrite` on the cluster, unless `idempotence` is
/// off.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "KafkaSink")]
pub struct Config {
    /// Brokers to begin with, `host:port` each; those tell of all others.
    pub brokers: Vec<String>,
    /// The topic of messages that name no channel and of documents that name no collection; without it they are refused.
    #[serde(default)]
    pub topic: Option<String>,
    /// The topics that entries may name; a `*` at the end stands for any ending. When left out, they may name any.
    #[serde(default)]
    pub allowed_topics: Option<Vec<String>>,
    /// How the sink calls itself: it stands in the brokers' logs and is what their quotas count by.
    #[serde(default = "client_id")]
    pub client_id: String,
    /// Who must have a record before it counts as written.
    #[serde(default)]
    pub acks: Acks,
    /// Whether the brokers recognise a record that is sent again, and one that comes too early. Needs `acks: all`. Without it a record
    /// whose acknowledgement was lost is there twice, and one that the brokers did not take at first may come behind those after it.
    #[serde(default = "yes")]
    pub idempotence: bool,
    /// How records are packed. `lz4` costs the node the least; a consumer built on kafka-python needs the package `lz4` for it, and knows
    /// `gzip` without any. `zstd` packs best, for brokers since 2.1.
    #[serde(default)]
    pub compression: Compression,
    /// Which partition a key goes to.
    #[serde(default)]
    pub partitioner: Partitioner,
    /// How long a record waits for others to be sent with.
    #[serde(default = "linger")]
    pub linger: TimeSpan,
    /// Records of one partition that are sent together, in bytes at most.
    #[serde(default = "one_megabyte")]
    pub batch_size: ByteSize,
    /// The largest record; a larger one is refused. The topic's `max.message.bytes` should not be less.
    #[serde(default = "one_megabyte")]
    pub message_max_bytes: ByteSize,
    /// What may wait in the client, in bytes at most.
    #[serde(default = "queue_size")]
    pub queue_size: ByteSize,
    /// How long a write waits for the cluster before it counts as failed and is tried again. Nothing is sent twice for that: the records
    /// stay with the client, and the next try goes on waiting for them. When the brokers are known to be away it is given up earlier. It
    /// should be less than the sink's `write-deadline`: what that cuts short is sent no more often, but nobody learns what the cluster said.
    #[serde(default = "message_timeout")]
    pub message_timeout: TimeSpan,
    /// How long a topic that only entries name may be missing, or forbidden, before it counts as one that does not exist: news of a new
    /// topic take their time in a cluster, and brokers that have just started may not know an old one. Counted from the first time that
    /// the client tells of it, up to a second later than the cluster did.
    #[serde(default = "topic_timeout")]
    pub topic_timeout: TimeSpan,
    /// Whether the brokers are spoken to with TLS.
    #[serde(default)]
    pub tls: bool,
    /// Certificates of the authorities that may have signed the brokers', as PEM, in place of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The certificate that the sink shows to the brokers, as PEM, with those between it and its authority.
    #[serde(default)]
    pub client_certificate_file: Option<PathBuf>,
    /// The private key of that certificate, as PEM.
    #[serde(default)]
    pub client_key_file: Option<PathBuf>,
    /// Whether the brokers' certificates are verified. Without it anybody between here and there can read and change everything.
    #[serde(default)]
    pub tls_verify: TlsVerify,
    /// How the sink logs in; it does not without.
    #[serde(default)]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// The user.
    #[serde(default)]
    pub username: Option<String>,
    /// The password. Better given by `password-file`, or from the environment with `${NAME}`.
    #[serde(default)]
    pub password: Option<String>,
    /// A file that holds the password. When the brokers refuse the log-in, this and the files for TLS are read again: what has been
    /// replaced is taken up without a restart. One line break at its end does not count.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// How often the client tells of itself, for the metrics.
    #[serde(default = "statistics_interval")]
    pub statistics_interval: TimeSpan,
    /// Further properties of librdkafka, as it names them, such as `socket.keepalive.enable: "true"`. What the fields above say cannot be
    /// said here.
    #[serde(default)]
    pub extra: BTreeMap<String, String>,
}

/// Who must have a record before it counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "KafkaAcks")]
pub enum Acks {
    /// Every replica that is in step.
    #[default]
    All,
    /// The broker that leads the partition: what it alone has is lost with it.
    Leader,
    /// Nobody: a record counts as written when it is sent, and may be lost without a word.
    None,
}

/// How records are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "KafkaCompression")]
pub enum Compression {
    /// Not at all.
    None,
    /// As gzip.
    Gzip,
    /// As snappy.
    Snappy,
    /// As LZ4.
    #[default]
    Lz4,
    /// As Zstandard.
    Zstd,
}

/// Which partition a key goes to. Records without a key stay with one partition for a moment each, whichever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "KafkaPartitioner")]
pub enum Partitioner {
    /// Where the Java client puts it.
    #[default]
    Murmur2Random,
    /// Where librdkafka and the clients built on it put it unless told otherwise.
    ConsistentRandom,
    /// Where Sarama, a client in Go, puts it.
    Fnv1aRandom,
    /// Any, also for records with keys: there is no order then.
    Random,
}

/// Whether the brokers' certificates are verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "KafkaTlsVerify")]
pub enum TlsVerify {
    /// They are, with the brokers' names.
    #[default]
    Always,
    /// They are, but one that is valid for another name is taken.
    NotTheHostName,
    /// They are not: whoever answers at the address is believed, and is sent the password.
    NeverAndIAcceptTheRisk,
}

/// How the sink logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "KafkaSaslMechanism")]
pub enum SaslMechanism {
    /// The password is sent as it is: without `tls` everybody on the way can read it.
    Plain,
    /// The password is proven, not sent.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// The password is proven, not sent.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Config {
    /// The settings for some brokers, all others as by default.
    pub fn new<B: Into<String>>(brokers: impl IntoIterator<Item = B>) -> Self {
        Self {
            brokers: brokers.into_iter().map(Into::into).collect(),
            topic: None,
            allowed_topics: None,
            client_id: client_id(),
            acks: Acks::All,
            idempotence: yes(),
            compression: Compression::default(),
            partitioner: Partitioner::default(),
            linger: linger(),
            batch_size: one_megabyte(),
            message_max_bytes: one_megabyte(),
            queue_size: queue_size(),
            message_timeout: message_timeout(),
            topic_timeout: topic_timeout(),
            tls: false,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            tls_verify: TlsVerify::Always,
            sasl_mechanism: None,
            username: None,
            password: None,
            password_file: None,
            statistics_interval: statistics_interval(),
            extra: BTreeMap::new(),
        }
    }

    /// The brokers in one line.
    pub(super) fn address(&self) -> String {
        self.brokers.join(",")
    }
}

/// Shows no password, wherever it stands.
impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Config").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

fn client_id() -> String {
    "sluicebox".to_owned()
}

fn yes() -> bool {
    true
}

fn linger() -> TimeSpan {
    TimeSpan(Duration::from_millis(5))
}

/// What brokers take unless told otherwise, with room for what surrounds the records.
fn one_megabyte() -> ByteSize {
    ByteSize(1_000_000)
}

fn queue_size() -> ByteSize {
    ByteSize(64 << 20)
}

fn message_timeout() -> TimeSpan {
    TimeSpan(Duration::from_secs(20))
}

fn topic_timeout() -> TimeSpan {
    TimeSpan(Duration::from_secs(10))
}

fn statistics_interval() -> TimeSpan {
    TimeSpan(Duration::from_secs(10))
}
