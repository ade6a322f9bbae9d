//! From settings to the properties of the client. Pure.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use sluicebox_contract::{Problem, TimeSpan};

use super::config::{Acks, Compression, Config, Partitioner, SaslMechanism, TlsVerify};
use super::credentials::Credentials;
use crate::shown::{NAME, shown};

/// Records that may wait in the client.
pub(super) const QUEUE_RECORDS: usize = 10_000;

/// How long the client keeps from its user that a topic is not to be had, or is there again; the sink measures `topic-timeout` itself.
const TOPIC_NEWS: Duration = Duration::from_secs(1);

/// Where librdkafka's own default is not what a sink needs, and `extra` may say something else.
const OTHER_DEFAULTS: [(&str, &str); 2] = [
    // A broker that is back should be noticed soon.
    ("reconnect.backoff.max.ms", "2000"),
    // Answers to a producer are short; whoever announces a long one is no broker, or means harm.
    ("receive.message.max.bytes", "16777216"),
];

/// What is said by the fields, or must be as the sink has it; under all names that it has.
const OURS: [&str; 53] = [
    "acks",
    "batch.size",
    "bootstrap.servers",
    "client.id",
    "compression.codec",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.ssl.certificate.verification",
    "enabled_events",
    "linger.ms",
    "log.queue",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.broker.list",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "retries",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.keystore.location",
    "statistics.interval.ms",
    "topic.metadata.propagation.max.ms",
    "transactional.id",
    // These run programs, or load code into ours.
    "plugin.library.paths",
    "sasl.kerberos.kinit.cmd",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.providers",
    // These are for consumers and for pointers of another program.
    "group.id",
    "opaque",
    "default_topic_conf",
    "interceptors",
];

/// What `extra` says that cannot be said there.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let field = |name: &str| format!("extra.{}", shown(name, NAME));
    let mut problems = Vec::new();
    for (name, value) in &config.extra {
        if OURS.contains(&name.as_str()) {
            problems.push(Problem::new(
                field(name),
                "this is not for `extra`",
                "leave it out: a field says it, or the sink depends on it",
            ));
            continue;
        }
        // The value is not repeated: it may be a secret.
        if let Err(error) = ClientConfig::new().set(name, value).create_native_config() {
            let (cause, cure) = match error {
                KafkaError::ClientConfig(..) if is_unknown(name) => {
                    ("librdkafka has no such property", "see librdkafka's CONFIGURATION.md")
                }
                _ => ("librdkafka does not take this value", "see librdkafka's CONFIGURATION.md"),
            };
            problems.push(Problem::new(field(name), cause, cure));
        }
    }
    problems
}

/// Everything that the client is told.
pub(super) fn properties(config: &Config, credentials: &Credentials) -> ClientConfig {
    let mut client = ClientConfig::new();
    // What `extra` says comes first: it never outweighs ours.
    client.extend(config.extra.clone());
    for (name, value) in OTHER_DEFAULTS {
        if !config.extra.contains_key(name) {
            client.set(name, value);
        }
    }
    client
        .set("bootstrap.servers", config.brokers.join(","))
        .set("client.id", &config.client_id)
        .set("acks", acks(config.acks))
        .set("enable.idempotence", config.idempotence.to_string())
        // What the brokers do not recognise when it comes too early should not come too early often.
        .set("max.in.flight.requests.per.connection", if config.idempotence { "5" } else { "1" })
        .set("compression.type", compression(config.compression))
        .set("partitioner", partitioner(config.partitioner))
        .set("linger.ms", milliseconds(config.linger))
        .set("batch.size", config.batch_size.0.to_string())
        .set("message.max.bytes", config.message_max_bytes.0.to_string())
        .set("queue.buffering.max.kbytes", config.queue_size.0.div_ceil(1024).to_string())
        .set("queue.buffering.max.messages", QUEUE_RECORDS.to_string())
        // Never: the sink decides how long it waits, and nothing that waits is given up.
        .set("message.timeout.ms", "0")
        .set("topic.metadata.propagation.max.ms", milliseconds(TimeSpan(TOPIC_NEWS.min(config.topic_timeout.0 / 4))))
        .set("statistics.interval.ms", milliseconds(config.statistics_interval))
        .set_log_level(if config.extra.contains_key("debug") { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
    set_tls(&mut client, config, credentials);
    set_log_in(&mut client, config, credentials);
    client
}

fn set_tls(client: &mut ClientConfig, config: &Config, credentials: &Credentials) {
    let protocol = match (config.tls, config.sasl_mechanism.is_some()) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    if !config.tls {
        return;
    }
    match &credentials.authorities {
        Some(authorities) => client.set("ssl.ca.pem", authorities),
        // The places where systems keep them: the library that is built in has none of its own.
        None => client.set("ssl.ca.location", "probe"),
    };
    if let (Some(certificate), Some(key)) = (&credentials.certificate, &credentials.key) {
        client.set("ssl.certificate.pem", certificate).set("ssl.key.pem", key);
    }
    let (certificate, name) = match config.tls_verify {
        TlsVerify::Always => ("true", "https"),
        TlsVerify::NotTheHostName => ("true", "none"),
        TlsVerify::NeverAndIAcceptTheRisk => ("false", "none"),
    };
    client.set("enable.ssl.certificate.verification", certificate).set("ssl.endpoint.identification.algorithm", name);
}

fn set_log_in(client: &mut ClientConfig, config: &Config, credentials: &Credentials) {
    let Some(mechanism) = config.sasl_mechanism else {
        return;
    };
    let mechanism = match mechanism {
        SaslMechanism::Plain => "PLAIN",
        SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
        SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
    };
    client.set("sasl.mechanism", mechanism);
    if let (Some(username), Some(password)) = (&config.username, &credentials.password) {
        client.set("sasl.username", username).set("sasl.password", password);
    }
}

fn acks(acks: Acks) -> &'static str {
    match acks {
        Acks::All => "all",
        Acks::Leader => "1",
        Acks::None => "0",
    }
}

fn compression(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    }
}

fn partitioner(partitioner: Partitioner) -> &'static str {
    match partitioner {
        Partitioner::Murmur2Random => "murmur2_random",
        Partitioner::ConsistentRandom => "consistent_random",
        Partitioner::Fnv1aRandom => "fnv1a_random",
        Partitioner::Random => "random",
    }
}

fn milliseconds(span: TimeSpan) -> String {
    span.0.as_millis().to_string()
}

/// A property that is unknown has no value either.
fn is_unknown(name: &str) -> bool {
    ClientConfig::new().create_native_config().is_ok_and(|native| native.get(name).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_takes_every_setting() {
        let mut config = Config::new(["a:1", "b:2"]);
        config.tls = true;
        config.username = Some("u".to_owned());
        for acks in [Acks::All, Acks::Leader, Acks::None] {
            config.acks = acks;
            for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
                config.compression = compression;
                check(&config);
            }
        }
        for partitioner in
            [Partitioner::Murmur2Random, Partitioner::ConsistentRandom, Partitioner::Fnv1aRandom, Partitioner::Random]
        {
            config.partitioner = partitioner;
            check(&config);
        }
        for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
            config.sasl_mechanism = Some(mechanism);
            check(&config);
        }
        for verify in [TlsVerify::Always, TlsVerify::NotTheHostName, TlsVerify::NeverAndIAcceptTheRisk] {
            config.tls_verify = verify;
            check(&config);
        }
    }

    fn check(config: &Config) {
        let credentials = Credentials { password: Some("p".to_owned()), ..Credentials::default() };
        if let Err(error) = properties(config, &credentials).create_native_config() {
            panic!("{error}");
        }
    }

    #[test]
    fn what_is_ours_cannot_be_said_beside() {
        let mut config = Config::new(["a:1"]);
        for name in OURS {
            config.extra = [(name.to_owned(), "1".to_owned())].into();
            let problems = problems(&config);
            assert_eq!(problems.len(), 1);
            assert_eq!(
                (problems[0].field.as_str(), problems[0].cause.as_str()),
                (format!("extra.{name}").as_str(), "this is not for `extra`")
            );
        }
    }

    #[test]
    fn every_property_that_is_set_is_ours() {
        let mut config = Config::new(["a:1"]);
        config.tls = true;
        config.sasl_mechanism = Some(SaslMechanism::Plain);
        config.username = Some("u".to_owned());
        let some = || Some("s".to_owned());
        let credentials = Credentials { authorities: some(), certificate: some(), key: some(), password: some() };
        let client = properties(&config, &credentials);
        let is_known = |name: &str| OURS.contains(&name) || OTHER_DEFAULTS.iter().any(|(other, _)| *other == name);
        let beside: Vec<_> = client.config_map().into_keys().filter(|name| !is_known(name)).collect();
        assert_eq!(beside, Vec::<&str>::new());
    }

    #[test]
    fn what_may_be_said_otherwise_can_be() {
        let mut config = Config::new(["a:1"]);
        config.extra.insert("reconnect.backoff.max.ms".to_owned(), "5000".to_owned());
        let client = properties(&config, &Credentials::default());
        assert_eq!(client.get("reconnect.backoff.max.ms"), Some("5000"));
        assert_eq!(client.get("receive.message.max.bytes"), Some("16777216"));
    }

    #[test]
    fn a_property_that_librdkafka_does_not_take_is_named_without_its_value() {
        let mut config = Config::new(["a:1"]);
        config.extra = [
            ("socket.keepalive.enabel", "secret"),
            ("socket.timeout.ms", "secret"),
            ("socket.nagle.disable", "true"),
            ("debug", "broker"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let said: Vec<_> = problems(&config).into_iter().map(|problem| format!("{}: {}", problem.field, problem.cause)).collect();
        assert_eq!(
            said,
            [
                "extra.socket.keepalive.enabel: librdkafka has no such property",
                "extra.socket.timeout.ms: librdkafka does not take this value",
            ]
        );
    }
}
