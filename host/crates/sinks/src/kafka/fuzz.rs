//! Whatever librdkafka tells of itself, and whatever a broker answers.

use rdkafka::types::RDKafkaErrorCode as Code;
use sluicebox_contract::Class;
use sluicebox_contract::meter::KafkaMeter;
use sluicebox_testkit::fuzz::Fuzz;

use super::reaction::{Reaction, Sent, to_error, to_fault};
use super::reports::Trouble;
use super::statistics::{Totals, show};

#[test]
fn statistics_that_are_damaged_leave_counters_that_only_grow() {
    let sample = r#"{"msg_cnt":5,"msg_size":100,"txmsgs":9,"txmsg_bytes":900,"brokers":{"k:1/1":{"source":"learned","state":"UP","txretries":1,"txerrs":2,"rxerrs":3,"req_timeouts":4,"rtt":{"avg":77}},"g":{"source":"logical","state":"UP"}}}"#;
    let (meter, mut totals, mut before) = (KafkaMeter::default(), Totals::default(), [0; 4]);
    Fuzz::of([sample]).run(|input, _| {
        let up = show(input, &mut totals, &meter);
        assert!((0..=i64::try_from(input.len()).unwrap()).contains(&up));
        let now = [&meter.sent_messages, &meter.sent_bytes, &meter.request_retries, &meter.request_errors]
            .map(sluicebox_contract::meter::Counter::get);
        // A counter that has counted all that it can begins anew.
        assert!(now.iter().zip(before).all(|(now, before)| *now >= before || before > u64::MAX / 4), "{now:?} {before:?}");
        before = now;
    });
}

#[test]
fn whatever_goes_wrong_nothing_is_lost_that_could_be_written_later() {
    let codes = [
        Code::MessageSizeTooLarge,
        Code::InvalidRecord,
        Code::InvalidDifferentRecord,
        Code::UnknownTopicOrPartition,
        Code::Authentication,
        Code::SSL,
        Code::Resolve,
        Code::BrokerTransportFailure,
        Code::Fatal,
        Code::OutOfOrderSequenceNumber,
        Code::Unknown,
        Code::NotEnoughReplicas,
        Code::MessageTimedOut,
        Code::TopicAuthorizationFailed,
        Code::InvalidArgument,
        Code::QueueFull,
        Code::Application,
    ];
    Fuzz::of(["ssl://k:9092/1: SSL handshake failed: APIVERSION_QUERY", "Broker: Not leader for partition", ""]).run(
        |input, dice| {
            let reason = String::from_utf8_lossy(input).into_owned();
            let code = *dice.pick(&codes).unwrap();
            let fault = to_fault(&Trouble { code, reason: reason.clone() }, "k:9092");
            assert!(fault.class == Class::Retry && !fault.cause.is_empty() && (reason.is_empty() || fault.cause == reason));
            let sent = Sent { topic: "t", is_hopeless: dice.one_in(2), alone: dice.one_in(2) };
            match to_error(code, sent, "k:9092") {
                Reaction::Refuse(reason) => assert!(sent.alone || sent.is_hopeless, "{code:?}: {reason}"),
                Reaction::Alone | Reaction::Again => assert!(!sent.alone),
                Reaction::Wait(fault) => assert_eq!(fault.class, Class::Retry),
            }
        },
    );
}
