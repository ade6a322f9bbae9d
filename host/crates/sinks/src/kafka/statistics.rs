//! What the client tells of itself, from JSON to numbers. Pure.

use std::collections::HashMap;

use serde::Deserialize;
use sluicebox_contract::meter::KafkaMeter;

/// Of all that there is, what is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Statistics {
    msg_cnt: i64,
    msg_size: i64,
    txmsgs: i64,
    txmsg_bytes: i64,
    brokers: HashMap<String, Broker>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Broker {
    /// `logical` stands for a broker that is one of the others as well.
    source: String,
    state: String,
    txretries: i64,
    txerrs: i64,
    rxerrs: i64,
    req_timeouts: i64,
    rtt: Window,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Window {
    avg: i64,
}

/// Shows the numbers; what is not understood leaves them as they are. Says how many brokers the client is connected to.
pub(super) fn show(json: &[u8], meter: &KafkaMeter) -> i64 {
    let Ok(statistics) = serde_json::from_slice::<Statistics>(json) else {
        return 0;
    };
    let brokers = || statistics.brokers.values().filter(|broker| broker.source != "logical");
    let sum = |number: fn(&Broker) -> i64| brokers().map(number).fold(0, i64::saturating_add);
    let up = sum(|broker| i64::from(matches!(broker.state.as_str(), "UP" | "UPDATE")));
    meter.brokers_up.set(up);
    meter.queued_messages.set(statistics.msg_cnt);
    meter.queued_bytes.set(statistics.msg_size);
    meter.sent_messages.set(statistics.txmsgs);
    meter.sent_bytes.set(statistics.txmsg_bytes);
    meter.request_retries.set(sum(|broker| broker.txretries));
    meter.request_errors.set(sum(|broker| broker.txerrs.saturating_add(broker.rxerrs).saturating_add(broker.req_timeouts)));
    meter.round_trip_micros.set(brokers().map(|broker| broker.rtt.avg).max().unwrap_or(0));
    up
}

/// The client has ended: nothing is connected, nothing waits.
pub(super) fn end(meter: &KafkaMeter) {
    for gauge in [&meter.brokers_up, &meter.queued_messages, &meter.queued_bytes, &meter.round_trip_micros] {
        gauge.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &[u8] = br#"{"name":"c#producer-1","msg_cnt":3,"msg_size":40,"txmsgs":5,"txmsg_bytes":60,"brokers":{
        "a:1/0":{"source":"configured","state":"UP","txretries":1,"txerrs":2,"rxerrs":3,"req_timeouts":4,"rtt":{"avg":50,"max":70}},
        "b:1/1":{"source":"learned","state":"CONNECT","txretries":10,"rtt":{"avg":90}},
        "GroupCoordinator":{"source":"logical","state":"UP","txretries":100}},"topics":{"t":{}}}"#;

    fn numbers(meter: &KafkaMeter) -> [i64; 8] {
        [
            meter.brokers_up.get(),
            meter.queued_messages.get(),
            meter.queued_bytes.get(),
            meter.sent_messages.get(),
            meter.sent_bytes.get(),
            meter.request_retries.get(),
            meter.request_errors.get(),
            meter.round_trip_micros.get(),
        ]
    }

    #[test]
    fn brokers_are_added_up_and_the_slowest_is_shown() {
        let meter = KafkaMeter::default();
        assert_eq!(show(JSON, &meter), 1);
        assert_eq!(numbers(&meter), [1, 3, 40, 5, 60, 11, 9, 90]);
        for broken in [&b"{"[..], br#"{"msg_cnt":"many"}"#, b"\xff"] {
            assert_eq!(show(broken, &meter), 0);
            assert_eq!(numbers(&meter), [1, 3, 40, 5, 60, 11, 9, 90]);
        }
        end(&meter);
        assert_eq!(numbers(&meter), [0, 0, 0, 5, 60, 11, 9, 0]);
    }
}
