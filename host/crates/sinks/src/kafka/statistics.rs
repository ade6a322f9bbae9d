//! What the client tells of itself, from JSON to numbers. Pure.

use std::collections::HashMap;

use serde::Deserialize;
use sluicebox_contract::meter::{Counter, KafkaMeter};

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

/// What one client has told of itself so far, of that which only grows. One that takes its place begins anew, and the meter does not.
#[derive(Debug, Default)]
pub(super) struct Totals {
    sent_messages: i64,
    sent_bytes: i64,
    request_retries: i64,
    request_errors: i64,
}

/// Shows the numbers; what is not understood leaves them as they are. Says how many brokers the client is connected to.
pub(super) fn show(json: &[u8], totals: &mut Totals, meter: &KafkaMeter) -> i64 {
    let Ok(statistics) = serde_json::from_slice::<Statistics>(json) else {
        return 0;
    };
    let brokers = || statistics.brokers.values().filter(|broker| broker.source != "logical");
    let sum = |number: fn(&Broker) -> i64| brokers().map(number).fold(0, i64::saturating_add);
    let up = sum(|broker| i64::from(matches!(broker.state.as_str(), "UP" | "UPDATE")));
    meter.brokers_up.set(up);
    meter.queued_messages.set(statistics.msg_cnt);
    meter.queued_bytes.set(statistics.msg_size);
    grow(&meter.sent_messages, &mut totals.sent_messages, statistics.txmsgs);
    grow(&meter.sent_bytes, &mut totals.sent_bytes, statistics.txmsg_bytes);
    grow(&meter.request_retries, &mut totals.request_retries, sum(|broker| broker.txretries));
    let errors = sum(|broker| broker.txerrs.saturating_add(broker.rxerrs).saturating_add(broker.req_timeouts));
    grow(&meter.request_errors, &mut totals.request_errors, errors);
    meter.round_trip_micros.set(brokers().map(|broker| broker.rtt.avg).max().unwrap_or(0));
    up
}

/// Adds what has come since. A sum is less than before when a broker has left the cluster.
fn grow(counter: &Counter, before: &mut i64, now: i64) {
    counter.add(u64::try_from(now.saturating_sub(*before)).unwrap_or(0));
    *before = now;
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

    fn counted(counter: &Counter) -> i64 {
        counter.get().try_into().expect("a small number")
    }

    fn numbers(meter: &KafkaMeter) -> [i64; 8] {
        [
            meter.brokers_up.get(),
            meter.queued_messages.get(),
            meter.queued_bytes.get(),
            counted(&meter.sent_messages),
            counted(&meter.sent_bytes),
            counted(&meter.request_retries),
            counted(&meter.request_errors),
            meter.round_trip_micros.get(),
        ]
    }

    #[test]
    fn brokers_are_added_up_and_the_slowest_is_shown() {
        let (meter, mut totals) = (KafkaMeter::default(), Totals::default());
        assert_eq!(show(JSON, &mut totals, &meter), 1);
        assert_eq!(numbers(&meter), [1, 3, 40, 5, 60, 11, 9, 90]);
        for broken in [&b"{"[..], br#"{"msg_cnt":"many"}"#, b"\xff"] {
            assert_eq!(show(broken, &mut totals, &meter), 0);
            assert_eq!(numbers(&meter), [1, 3, 40, 5, 60, 11, 9, 90]);
        }
        end(&meter);
        assert_eq!(numbers(&meter), [0, 0, 0, 5, 60, 11, 9, 0]);
    }

    #[test]
    fn what_only_grows_goes_on_growing_when_a_broker_leaves_or_another_client_takes_the_place() {
        let (meter, mut totals) = (KafkaMeter::default(), Totals::default());
        let tell = |totals: &mut Totals, sent: i64, retries: i64| {
            let json = format!(r#"{{"txmsgs":{sent},"brokers":{{"a":{{"source":"learned","txretries":{retries}}}}}}}"#);
            show(json.as_bytes(), totals, &meter);
            (meter.sent_messages.get(), meter.request_retries.get())
        };
        assert_eq!(tell(&mut totals, 5, 7), (5, 7));
        assert_eq!(tell(&mut totals, 5, 7), (5, 7));
        assert_eq!(tell(&mut totals, 6, 3), (6, 7));
        assert_eq!(tell(&mut totals, 6, 4), (6, 8));
        assert_eq!(tell(&mut Totals::default(), 2, 1), (8, 9));
        assert_eq!(tell(&mut Totals::default(), -1, i64::MIN), (8, 9));
    }
}
