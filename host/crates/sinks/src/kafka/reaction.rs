//! What the sink makes of an error: whether it lies in the entry, in the topic, or in the moment. Pure.

use rdkafka::types::RDKafkaErrorCode as Code;
use sluicebox_contract::Fault;

use super::config::Config;
use super::reports::Trouble;

/// What is to be done with a record that was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It can never be written.
    Refuse(String),
    /// Some record of those that were sent together can never be: it is sent once more alone.
    Alone,
    /// There was nothing wrong with it; it is sent once more.
    Again,
    /// It cannot be written for now.
    Wait(Fault),
}

/// A record and how it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent<'a> {
    pub(super) topic: &'a str,
    /// Only the entry names the topic, and that has not been to be had for so long that nobody waits for it.
    pub(super) is_hopeless: bool,
    /// No other was sent with it.
    pub(super) alone: bool,
}

/// What an error means for a record. What lies in the entry is refused; what lies in the settings, or in nobody, waits.
pub(super) fn to_error(code: Code, sent: Sent<'_>, address: &str) -> Reaction {
    let hint = hint(code);
    if lies_in_record(code) && !sent.alone {
        return Reaction::Alone;
    }
    if lies_in_another(code) && !sent.alone {
        return Reaction::Again;
    }
    if lies_in_record(code) || (lies_in_topic(code) && sent.is_hopeless) {
        let hint = hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
        return Reaction::Refuse(format!("kafka refuses it for the topic `{}`: {}{hint}", sent.topic, text(code)));
    }
    let fault = to_topic(sent.topic, code, address);
    Reaction::Wait(match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    })
}

/// Why a topic takes nothing for now.
pub(super) fn to_topic(topic: &str, code: Code, address: &str) -> Fault {
    Fault::retry(format!("cannot write to the topic `{topic}` of kafka at {address}"), text(code))
}

/// Why nothing was acknowledged, as far as the client knows.
pub(super) fn to_fault(trouble: &Trouble, address: &str) -> Fault {
    let fault =
        Fault::retry(writing(address), if trouble.reason.is_empty() { text(trouble.code) } else { trouble.reason.clone() });
    let authentication = "user and password do not fit, or the mechanism is another one: correct `username`, the password or \
                          `sasl-mechanism`; a `password-file` is read again at the next try";
    let hint = match trouble.code {
        Code::Authentication | Code::SaslAuthenticationFailed => authentication,
        Code::SSL => {
            "does this port speak TLS, and is the authority of its certificate the one in `ca-file`? the files are read again at the next try"
        }
        Code::Resolve => "is the name in `brokers` right, and known to the cluster's DNS?",
        Code::ClusterAuthorizationFailed => "grant `IdempotentWrite` on the cluster to the user, or say `idempotence: false`",
        Code::UnsupportedFeature => "the brokers lack what is asked of them: say `idempotence: false` for old ones",
        Code::OutOfOrderSequenceNumber | Code::UnknownProducerId | Code::InvalidProducerEpoch | Code::Fatal => {
            "a new client takes the place of this one at the next try"
        }
        // A broker that closes at once is one that expects something else.
        Code::BrokerTransportFailure if trouble.reason.contains("APIVERSION_QUERY") => {
            "does this port expect TLS (`tls: true`) or a log-in (`sasl-mechanism`)?"
        }
        _ => "are the brokers alive, and reachable from this node under the names that they tell?",
    };
    fault.hint(hint)
}

/// Nothing was acknowledged, and nobody says why.
pub(super) fn silence(config: &Config) -> Fault {
    let tls = if config.tls { ", or: does this port speak TLS?" } else { "" };
    let hint = format!(
        "the brokers hang, or too few replicas are in step for `acks`: see the topic's `min.insync.replicas`; brokers before 2.4 also never \
         take a record without a key for a compacted topic{tls}"
    );
    Fault::retry(writing(&config.address()), format!("no acknowledgement within {}", config.message_timeout)).hint(hint)
}

fn writing(address: &str) -> String {
    format!("cannot write to kafka at {address}")
}

/// In the words of librdkafka alone; what is around them is the name of the number.
fn text(code: Code) -> String {
    let text = code.to_string();
    let words = text.split_once(" (").and_then(|(_, words)| words.strip_suffix(')'));
    words.map_or_else(|| text.clone(), str::to_owned)
}

/// The whole batch is refused for the sake of one of its records.
fn lies_in_record(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidMessage
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::PolicyViolation
            | Code::UnsupportedForMessageFormat
            | Code::BadMessage
            | Code::InvalidArgument
    )
}

/// The broker has refused the batch, and named the records that it refused it for: others than this one.
fn lies_in_another(code: Code) -> bool {
    code == Code::InvalidDifferentRecord
}

/// The topic is not to be had, for now or at all.
pub(super) fn lies_in_topic(code: Code) -> bool {
    is_unknown_topic(code) || matches!(code, Code::InvalidTopic | Code::TopicAuthorizationFailed)
}

/// The topic is not there, or was not when the client asked last.
pub(super) fn is_unknown_topic(code: Code) -> bool {
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownTopicId | Code::UnknownPartition)
}

fn hint(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            "it is larger than `message-max-bytes` of the sink or `max.message.bytes` of the topic"
        }
        Code::InvalidRecord => "a topic that is compacted takes no record without a key",
        Code::TopicAuthorizationFailed => "grant `Write` and `Describe` on the topic to the user",
        Code::ClusterAuthorizationFailed => "grant `IdempotentWrite` on the cluster to the user, or say `idempotence: false`",
        _ if is_unknown_topic(code) => "create the topic, or let the brokers create topics by themselves",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use sluicebox_contract::Class;

    use super::*;

    fn reaction(code: Code, is_hopeless: bool, alone: bool) -> Reaction {
        to_error(code, Sent { topic: "t", is_hopeless, alone }, "k:1")
    }

    #[test]
    fn what_lies_in_a_record_is_tried_alone_and_then_refused() {
        for code in [
            Code::MessageSizeTooLarge,
            Code::MessageBatchTooLarge,
            Code::InvalidRecord,
            Code::InvalidTimestamp,
            Code::PolicyViolation,
        ] {
            assert_eq!(reaction(code, false, false), Reaction::Alone);
            assert!(matches!(reaction(code, false, true), Reaction::Refuse(_)), "{code:?}");
        }
        assert_eq!(
            reaction(Code::MessageSizeTooLarge, true, true),
            Reaction::Refuse(
                "kafka refuses it for the topic `t`: Broker: Message size too large (hint: it is larger than `message-max-bytes` of the \
                 sink or `max.message.bytes` of the topic)"
                    .to_owned()
            )
        );
    }

    #[test]
    fn whoever_was_sent_with_a_bad_record_is_sent_again_without_ado() {
        assert_eq!(reaction(Code::InvalidDifferentRecord, false, false), Reaction::Again);
        assert!(matches!(reaction(Code::InvalidDifferentRecord, false, true), Reaction::Wait(_)), "there was no other");
    }

    #[test]
    fn a_topic_that_is_not_to_be_had_is_waited_for_unless_that_is_hopeless() {
        for code in [Code::UnknownTopic, Code::UnknownTopicOrPartition, Code::InvalidTopic, Code::TopicAuthorizationFailed] {
            assert!(matches!(reaction(code, true, false), Reaction::Refuse(_)), "{code:?}");
            match reaction(code, false, false) {
                Reaction::Wait(fault) => {
                    assert_eq!(
                        (fault.class, fault.tried.as_str()),
                        (Class::Retry, "cannot write to the topic `t` of kafka at k:1")
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn whatever_else_there_is_is_tried_again() {
        for code in
            [Code::PurgeInflight, Code::Fatal, Code::MessageTimedOut, Code::NotEnoughReplicas, Code::Unknown, Code::Application]
        {
            for alone in [false, true] {
                assert!(matches!(reaction(code, true, alone), Reaction::Wait(_)), "{code:?}");
            }
        }
    }

    #[test]
    fn a_trouble_is_told_with_its_cause_and_a_cure() {
        let trouble = |code, reason: &str| to_fault(&Trouble { code, reason: reason.to_owned() }, "k:1").to_string();
        assert_eq!(
            trouble(Code::Resolve, "k:1: Failed to resolve 'k:1'"),
            "cannot write to kafka at k:1: k:1: Failed to resolve 'k:1' (hint: is the name in `brokers` right, and known to the cluster's \
             DNS?)"
        );
        assert!(trouble(Code::SSL, "").contains("`ca-file`"));
        assert!(trouble(Code::Authentication, "no").contains("`password-file`"));
        assert!(
            trouble(Code::BrokerTransportFailure, "k:1: Disconnected (after 1ms in state APIVERSION_QUERY)")
                .contains("`tls: true`")
        );
        assert!(trouble(Code::AllBrokersDown, "1/1 brokers are down").contains("alive"));
    }
}
