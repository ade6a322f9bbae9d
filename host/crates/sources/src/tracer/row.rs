//! One connection as a tracer writes it, in every form that tracers have had. Pure.
//!
//! The long names are those of datadog-process-agent in 2019 (`monotonic_sent_bytes`, in any order, with or without `rollup_count`,
//! `common_ports_by_pid` and `conntrack`) and, before that, of tcptracer-bpf (`send_bytes`); the short ones are those of datadog-agent
//! (`m_sent_b`). What is not known is passed over.

use std::borrow::Cow;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::{Direction, Protocol};

/// A connection as it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) pid: u32,
    pub(super) network_namespace: u32,
    pub(super) protocol: Protocol,
    pub(super) direction: Direction,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) retransmits: u64,
    /// Nanoseconds since the node was started; zero where that is not told.
    pub(super) last_seen: u64,
}

/// What the numbers of `direction` mean. It cannot be seen from the numbers, so it is never guessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionCodes {
    /// 1 incoming, 2 outgoing, 3 local, 4 neither: datadog-process-agent since March 2019, and datadog-agent.
    #[default]
    Datadog,
    /// 0 incoming, 1 outgoing, 2 local: datadog-process-agent before that.
    DatadogFromZero,
    /// 1 outgoing, 2 incoming: the fork of `StackVista`.
    Stackvista,
}

impl DirectionCodes {
    fn direction(self, code: u64) -> Direction {
        use Direction::{Incoming, Local, Neither, Outgoing, Unknown};
        match (self, code) {
            (Self::Datadog, 1) | (Self::DatadogFromZero, 0) | (Self::Stackvista, 2) => Incoming,
            (Self::Datadog, 2) | (Self::DatadogFromZero | Self::Stackvista, 1) => Outgoing,
            (Self::Datadog, 3) | (Self::DatadogFromZero, 2) => Local,
            (Self::Datadog, 4) => Neither,
            _ => Unknown,
        }
    }
}

#[derive(Deserialize)]
struct Row<'row> {
    pid: Option<u32>,
    #[serde(rename = "type")]
    protocol: Option<u64>,
    #[serde(alias = "ns")]
    net_ns: Option<u32>,
    #[serde(borrow, alias = "src")]
    source: Cow<'row, str>,
    #[serde(borrow, alias = "dst")]
    dest: Cow<'row, str>,
    sport: Option<u16>,
    dport: Option<u16>,
    direction: Option<u64>,
    #[serde(alias = "m_sent_b", alias = "send_bytes")]
    monotonic_sent_bytes: Option<u64>,
    #[serde(alias = "m_recv_b", alias = "recv_bytes")]
    monotonic_recv_bytes: Option<u64>,
    #[serde(alias = "m_retr")]
    monotonic_retransmits: Option<u64>,
    #[serde(alias = "epoch")]
    last_update_epoch: Option<u64>,
}

/// Reads a connection; none where it is none: no object, no addresses, a number that is out of its range.
pub(super) fn read(row: &[u8], codes: DirectionCodes) -> Option<Reported> {
    let row: Row<'_> = serde_json::from_slice(row).ok()?;
    Some(Reported {
        source: address(&row.source)?,
        destination: address(&row.dest)?,
        source_port: row.sport.unwrap_or_default(),
        destination_port: row.dport.unwrap_or_default(),
        pid: row.pid.unwrap_or_default(),
        network_namespace: row.net_ns.unwrap_or_default(),
        protocol: match row.protocol {
            Some(0) => Protocol::Tcp,
            Some(1) => Protocol::Udp,
            _ => Protocol::Other,
        },
        direction: row.direction.map_or(Direction::Unknown, |code| codes.direction(code)),
        sent: row.monotonic_sent_bytes.unwrap_or_default(),
        received: row.monotonic_recv_bytes.unwrap_or_default(),
        retransmits: row.monotonic_retransmits.unwrap_or_default(),
        last_seen: row.last_update_epoch.unwrap_or_default(),
    })
}

/// An address within a link may carry the name of the link.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = r#"{"pid":14931,"type":1,"family":0,"net_ns":4026532528,"source":"172.17.0.2","dest":"172.17.0.5","sport":41515,"dport":53,"direction":2,"monotonic_sent_bytes":3079,"last_sent_bytes":0,"monotonic_recv_bytes":5849,"last_recv_bytes":0,"monotonic_retransmits":3,"last_retransmits":0,"last_update_epoch":11457291007926789}"#;

    fn expected() -> Reported {
        Reported {
            source: "172.17.0.2".parse().unwrap(),
            destination: "172.17.0.5".parse().unwrap(),
            source_port: 41515,
            destination_port: 53,
            pid: 14931,
            network_namespace: 4_026_532_528,
            protocol: Protocol::Udp,
            direction: Direction::Outgoing,
            sent: 3079,
            received: 5849,
            retransmits: 3,
            last_seen: 11_457_291_007_926_789,
        }
    }

    #[track_caller]
    fn check(row: &str) {
        assert_eq!(read(row.as_bytes(), DirectionCodes::Datadog), Some(expected()), "{row}");
    }

    #[test]
    fn the_long_names_in_any_order_with_whatever_else() {
        check(LONG);
        check(
            r#"{"source":"172.17.0.2","dest":"172.17.0.5","monotonic_sent_bytes":3079,"last_sent_bytes":0,"monotonic_recv_bytes":5849,"last_recv_bytes":0,"last_update_epoch":11457291007926789,"monotonic_retransmits":3,"last_retransmits":0,"pid":14931,"net_ns":4026532528,"sport":41515,"dport":53,"type":1,"family":0,"direction":2,"conntrack":{"repl_src_ip":"10.0.0.1","x":[{}]},"rollup_count":1,"common_ports_by_pid":null}"#,
        );
    }

    #[test]
    fn the_short_names() {
        check(
            r#"{"pid":14931,"type":1,"family":0,"ns":4026532528,"src":"172.17.0.2","dst":"172.17.0.5","sport":41515,"dport":53,"direction":2,"m_sent_b":3079,"sent_b":0,"m_recv_b":5849,"recv_b":0,"epoch":11457291007926789,"m_retr":3,"retr":0,"iptr":{"r_src":"10.0.0.1"}}"#,
        );
    }

    #[test]
    fn the_names_of_tcptracer_bpf() {
        check(
            r#"{"pid":14931,"type":1,"net_ns":4026532528,"source":"172.17.0.2","dest":"172.17.0.5","sport":41515,"dport":53,"direction":2,"send_bytes":3079,"recv_bytes":5849,"monotonic_retransmits":3,"last_update_epoch":11457291007926789}"#,
        );
    }

    #[test]
    fn what_is_not_told_is_not_known() {
        let row = read(br#"{"source":"::1","dest":"fe80::1%eth0","pid":null}"#, DirectionCodes::Datadog).unwrap();
        assert_eq!((row.pid, row.network_namespace, row.sent, row.last_seen), (0, 0, 0, 0));
        assert_eq!((row.protocol, row.direction), (Protocol::Other, Direction::Unknown));
        assert_eq!(row.destination.to_string(), "fe80::1");
    }

    #[test]
    fn a_mapped_address_is_the_one_that_it_stands_for() {
        let row = read(br#"{"source":"::ffff:10.0.0.1","dest":"10.0.0.2"}"#, DirectionCodes::Datadog).unwrap();
        assert_eq!(row.source.to_string(), "10.0.0.1");
    }

    #[test]
    fn what_is_no_connection_is_left_out() {
        for row in [
            "null",
            "1",
            "[]",
            "{}",
            r#"{"source":"172.17.0.2"}"#,
            r#"{"source":"172.17.0","dest":"172.17.0.5"}"#,
            r#"{"source":"172.17.0.2","dest":7}"#,
            r#"{"source":"172.17.0.2","dest":"172.17.0.5","sport":70000}"#,
            r#"{"source":"172.17.0.2","dest":"172.17.0.5","pid":-1}"#,
            r#"{"source":"172.17.0.2","dest":"172.17.0.5","monotonic_sent_bytes":1.5}"#,
            r#"{"source":"172.17.0.2","dest":"172.17.0.5","monotonic_sent_bytes":"1"}"#,
            r#"{"source":"172.17.0.2","dest":"172.17.0.5","monotonic_sent_bytes":18446744073709551616}"#,
            r#"{"source":"172.17.0.2","src":"172.17.0.2","dest":"172.17.0.5"}"#,
        ] {
            assert_eq!(read(row.as_bytes(), DirectionCodes::Datadog), None, "{row}");
        }
    }

    #[test]
    fn directions_mean_what_the_configuration_says() {
        use Direction::{Incoming, Local, Neither, Outgoing, Unknown};
        let codes = |codes: DirectionCodes| [0, 1, 2, 3, 4, 5].map(|code| codes.direction(code));
        assert_eq!(codes(DirectionCodes::Datadog), [Unknown, Incoming, Outgoing, Local, Neither, Unknown]);
        assert_eq!(codes(DirectionCodes::DatadogFromZero), [Incoming, Outgoing, Local, Unknown, Unknown, Unknown]);
        assert_eq!(codes(DirectionCodes::Stackvista), [Unknown, Outgoing, Incoming, Unknown, Unknown, Unknown]);
    }
}
