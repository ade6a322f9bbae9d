//! Connections on their way into the guest.

use std::net::IpAddr;

use bumpalo::Bump;
use sluicebox_contract::{Connection, ConnectionReport, Direction, End, Protocol, Traffic};

use crate::bindings::exports::sluicebox::module::connection_handler as guest;

/// One list of numbers, whatever the number of subjects.
pub(crate) fn report<'a>(arena: &'a Bump, report: &ConnectionReport) -> guest::ConnectionReport<'a> {
    guest::ConnectionReport {
        observed_at_unix_nanos: report.observed_at.0,
        over_nanoseconds: report.over_nanos,
        connections: arena.alloc_slice_fill_iter(report.connections.iter().map(connection)),
        more: report.more,
    }
}

fn connection(connection: &Connection) -> guest::Connection {
    guest::Connection {
        source: end(&connection.source),
        destination: end(&connection.destination),
        protocol: match connection.protocol {
            Protocol::Tcp => guest::Protocol::Tcp,
            Protocol::Udp => guest::Protocol::Udp,
            Protocol::Other => guest::Protocol::Other,
        },
        direction: match connection.direction {
            Direction::Unknown => guest::Direction::Unknown,
            Direction::Incoming => guest::Direction::Incoming,
            Direction::Outgoing => guest::Direction::Outgoing,
            Direction::Local => guest::Direction::Local,
            Direction::Neither => guest::Direction::Neither,
        },
        pid: connection.pid,
        network_namespace: connection.network_namespace,
        sent: traffic(connection.sent),
        received: traffic(connection.received),
        retransmits: traffic(connection.retransmits),
        last_seen_nanoseconds_since_boot: connection.last_seen_nanos,
    }
}

fn end(end: &End) -> guest::End {
    guest::End { subject: end.subject.map_or(0, |subject| subject.0), address: address(end.address), port: end.port }
}

fn address(address: IpAddr) -> guest::Address {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    #[allow(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    guest::Address { high, low }
}

fn traffic(traffic: Traffic) -> guest::Traffic {
    guest::Traffic { total: traffic.total, increase: traffic.increase }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_bits_that_the_wit_says() {
        let bits = |text: &str| {
            let guest::Address { high, low } = address(text.parse().unwrap());
            (high, low)
        };
        assert_eq!(bits("10.0.0.1"), (0, 0xffff_0a00_0001));
        assert_eq!(bits("2001:db8::1"), (0x2001_0db8_0000_0000, 1));
    }
}
