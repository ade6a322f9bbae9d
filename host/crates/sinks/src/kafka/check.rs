//! What is wrong with the settings, as far as that can be said without looking outside.

use std::time::Duration;

use sluicebox_contract::Problem;

use super::config::{Acks, Config, TlsVerify};
use super::properties;
use super::record;

impl Config {
    /// What is wrong with the settings.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_brokers(&mut problems);
        self.check_numbers(&mut problems);
        self.check_tls(&mut problems);
        self.check_log_in(&mut problems);
        if let Some(cause) = self.topic.as_deref().and_then(|topic| record::check_topic(topic).err()) {
            problems.push(Problem::new("topic", cause, "a topic's name has 1 to 249 letters, digits, `.`, `_` and `-`"));
        }
        if self.idempotence && self.acks != Acks::All {
            problems.push(Problem::new("acks", "idempotence needs `acks: all`", "say `idempotence: false` beside it"));
        }
        problems.extend(properties::problems(self));
        problems
    }

    fn check_brokers(&self, problems: &mut Vec<Problem>) {
        let cure = "write each as `host:port`, such as `kafka:9092`";
        if self.brokers.is_empty() {
            problems.push(Problem::new("brokers", "there is none", cure));
        }
        for broker in &self.brokers {
            let port =
                broker.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
            let odd =
                |character: char| character.is_whitespace() || character.is_control() || matches!(character, ',' | '/' | '@');
            if port.is_none() || port == Some(0) || broker.contains(odd) {
                problems.push(Problem::new("brokers", "this is no address of a broker", cure));
            }
        }
    }

    fn check_numbers(&self, problems: &mut Vec<Problem>) {
        let mut add = |field: &str, cause: &str, cure: &str| problems.push(Problem::new(field, cause, cure));
        if self.message_timeout.0 < Duration::from_millis(100) {
            add("message-timeout", "no cluster is that quick", "leave it out for the default");
        }
        if self.linger.0 > Duration::from_mins(15) {
            add("linger", "this is longer than 15 minutes", "leave it out for the default");
        }
        if self.topic_timeout.0 > Duration::from_hours(1) {
            add("topic-timeout", "this is longer than an hour", "leave it out for the default");
        }
        if !(Duration::from_secs(1)..=Duration::from_hours(24)).contains(&self.statistics_interval.0) {
            add("statistics-interval", "this is not between a second and a day", "leave it out for the default");
        }
        if !(1_000..=1_000_000_000).contains(&self.message_max_bytes.0) {
            add("message-max-bytes", "this is not between 1000B and 1000000000B", "leave it out for the default");
        }
        if !(1..=2_147_483_647).contains(&self.batch_size.0) {
            add("batch-size", "this is not between 1B and 2147483647B", "leave it out for the default");
        }
        if self.queue_size.0 < self.message_max_bytes.0 || self.queue_size.0 > 1 << 40 {
            add("queue-size", "this is not between `message-max-bytes` and 1024GiB", "leave it out for the default");
        }
    }

    fn check_tls(&self, problems: &mut Vec<Problem>) {
        let mut add = |field: &str, cause: String, cure: &str| problems.push(Problem::new(field, cause, cure));
        let settings = [
            ("ca-file", self.ca_file.is_some()),
            ("client-certificate-file", self.client_certificate_file.is_some()),
            ("tls-verify", self.tls_verify != TlsVerify::Always),
        ];
        for (field, said) in settings {
            if said && !self.tls {
                add(field, "this has no effect without TLS".to_owned(), "add `tls: true`");
            }
        }
        if self.ca_file.is_some() && self.tls_verify == TlsVerify::NeverAndIAcceptTheRisk {
            add("ca-file", "authorities are named, but nothing is verified".to_owned(), "leave out `tls-verify`");
        }
        if let Some((present, missing)) = match (&self.client_certificate_file, &self.client_key_file) {
            (Some(_), None) => Some(("client-certificate-file", "client-key-file")),
            (None, Some(_)) => Some(("client-key-file", "client-certificate-file")),
            _ => None,
        } {
            add(present, format!("`{missing}` is missing"), "a certificate and its key go together");
        }
    }

    fn check_log_in(&self, problems: &mut Vec<Problem>) {
        let mut add = |field: &str, cause: &str, cure: &str| problems.push(Problem::new(field, cause, cure));
        if self.sasl_mechanism.is_none() {
            let settings = [
                ("username", self.username.is_some()),
                ("password", self.password.is_some()),
                ("password-file", self.password_file.is_some()),
            ];
            if let Some((field, _)) = settings.into_iter().find(|(_, said)| *said) {
                add(field, "nobody logs in without `sasl-mechanism`", "add it: `plain`, `scram-sha-256` or `scram-sha-512`");
            }
            return;
        }
        if self.username.is_none() {
            add("sasl-mechanism", "`username` is missing", "a log-in needs a user and a password");
        }
        match (&self.password, &self.password_file) {
            (None, None) => add("sasl-mechanism", "there is no password", "give `password-file`"),
            (Some(_), Some(_)) => {
                add("password-file", "the password is said twice", "leave one of `password` and `password-file`");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect("readable");
        config.problems().into_iter().map(|problem| format!("{}: {}", problem.field, problem.cause)).collect()
    }

    #[test]
    fn only_the_brokers_must_be_said() {
        let config: Config = serde_json::from_str(r#"{"brokers":["kafka:9092"]}"#).expect("enough");
        assert!(config == Config::new(["kafka:9092"]));
        assert_eq!(config.problems(), []);
        assert!(serde_json::from_str::<Config>(r#"{"brokers":["k:1"],"tpoic":"a"}"#).is_err());
    }

    #[test]
    fn everything_that_can_be_said_is_taken() {
        let json = r#"{"brokers":["a:1","[::1]:2"],"topic":"t","allowed-topics":["t","u.*"],"client-id":"c","acks":"leader","idempotence":false,"compression":"zstd",
            "partitioner":"fnv1a-random","linger":"0s","batch-size":"64KiB","message-max-bytes":"2MiB","queue-size":"2MiB",
            "message-timeout":"1s","topic-timeout":"1s","tls":true,"ca-file":"/c","client-certificate-file":"/d","client-key-file":"/e",
            "tls-verify":"not-the-host-name","sasl-mechanism":"scram-sha-512","username":"u","password-file":"/p",
            "statistics-interval":"1s","extra":{"socket.keepalive.enable":"true"}}"#;
        assert_eq!(said(json), Vec::<String>::new());
    }

    #[test]
    fn a_bad_broker_is_named_without_repeating_it() {
        for broker in ["", "kafka", ":9092", "kafka:", "kafka:0", "kafka:99999", "a:1,b:2", "ssl://a:1", "u:secret@a:1", "a b:1"]
        {
            let json = format!(r#"{{"brokers":["{broker}"]}}"#);
            assert_eq!(said(&json), ["brokers: this is no address of a broker"], "{broker}");
        }
        assert_eq!(said(r#"{"brokers":[]}"#), ["brokers: there is none"]);
    }

    #[test]
    fn every_contradiction_is_named() {
        for (more, expected) in [
            (r#""acks":"none""#, vec!["acks: idempotence needs `acks: all`"]),
            (r#""topic":"a b""#, vec!["topic: the topic `a b` has a character that no topic may have"]),
            (r#""ca-file":"/c""#, vec!["ca-file: this has no effect without TLS"]),
            (
                r#""tls":true,"ca-file":"/c","tls-verify":"never-and-i-accept-the-risk""#,
                vec!["ca-file: authorities are named, but nothing is verified"],
            ),
            (r#""tls":true,"client-key-file":"/c""#, vec!["client-key-file: `client-certificate-file` is missing"]),
            (r#""password":"p""#, vec!["password: nobody logs in without `sasl-mechanism`"]),
            (
                r#""sasl-mechanism":"scram-sha-256""#,
                vec!["sasl-mechanism: `username` is missing", "sasl-mechanism: there is no password"],
            ),
            (
                r#""sasl-mechanism":"plain","username":"u","password":"p","password-file":"/p""#,
                vec!["password-file: the password is said twice"],
            ),
            (
                r#""linger":"1h","statistics-interval":"1ms","batch-size":"0B","message-timeout":"0s","topic-timeout":"2h""#,
                vec![
                    "message-timeout: no cluster is that quick",
                    "linger: this is longer than 15 minutes",
                    "topic-timeout: this is longer than an hour",
                    "statistics-interval: this is not between a second and a day",
                    "batch-size: this is not between 1B and 2147483647B",
                ],
            ),
            (
                r#""message-max-bytes":"10B","queue-size":"1B""#,
                vec![
                    "message-max-bytes: this is not between 1000B and 1000000000B",
                    "queue-size: this is not between `message-max-bytes` and 1024GiB",
                ],
            ),
        ] {
            assert_eq!(said(&format!(r#"{{"brokers":["k:1"],{more}}}"#)), expected, "{more}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let mut config = Config::new(["k:1"]);
        config.password = Some("secret".to_owned());
        config.extra.insert("ssl.key.password".to_owned(), "secret".to_owned());
        assert!(!format!("{config:?}").contains("secret"));
    }
}
