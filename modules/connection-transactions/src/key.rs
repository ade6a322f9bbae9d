//! What a connection is kept under: its two addresses, its third part and the port at the destination.

use sluicebox_sdk::{Address, Connection};

use crate::ascii::Ascii;
use crate::settings::KeyForm;

/// The key of a connection, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    source: (u64, u64),
    destination: (u64, u64),
    /// The third part, and in the lowest 16 bits the port at the destination.
    last: u64,
}

/// Two IPv6 addresses of 39 bytes, a number of ten and one of five, and what parts them.
pub(crate) const LONGEST: usize = 96;

/// How many bytes a key is as part of a state.
pub(crate) const BYTES: usize = 40;

impl Key {
    pub(crate) fn of(connection: &Connection, form: KeyForm) -> Self {
        let (source, destination) = (&connection.source, &connection.destination);
        let third = match form {
            KeyForm::Ports => u32::from(source.port),
            KeyForm::Process => connection.pid,
        };
        Self {
            source: (source.address.high, source.address.low),
            destination: (destination.address.high, destination.address.low),
            last: u64::from(third) << 16 | u64::from(destination.port),
        }
    }

    /// Four parts with `-` between them; no part has one of its own. Colons become `_`, so that a `ConfigMap` takes it.
    pub(crate) fn write(&self, text: &mut Ascii<LONGEST>) {
        let address = |(high, low): (u64, u64)| Address { high, low };
        text.clear();
        text.address(address(self.source), b'_');
        text.byte(b'-');
        text.address(address(self.destination), b'_');
        text.byte(b'-');
        text.number(self.last >> 16);
        text.byte(b'-');
        text.number(self.last & 0xffff);
    }

    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        for number in [self.source.0, self.source.1, self.destination.0, self.destination.1, self.last] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// None where these are not the bytes of a key.
    pub(crate) fn restore(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let mut next = || numbers.next();
        Some(Self { source: (next()?, next()?), destination: (next()?, next()?), last: next()? })
    }
}

/// Whether both ends are the one address that a machine has for itself: 127.0.0.1, or `::1`. All other connections are told, those of
/// other addresses in 127.0.0.0/8 too.
pub(crate) fn stays_inside(connection: &Connection) -> bool {
    const OWN: [Address; 2] = [Address { high: 0, low: 0xffff_7f00_0001 }, Address { high: 0, low: 1 }];
    let (source, destination) = (connection.source.address, connection.destination.address);
    source == destination && OWN.contains(&source)
}

#[cfg(test)]
mod tests {
    use sluicebox_sdk::{Direction, End, Protocol, Traffic};

    use super::*;

    fn connection(source: &str, destination: &str) -> Connection {
        let end = |address: &str, port| End { subject: 0, address: address.parse::<std::net::IpAddr>().unwrap().into(), port };
        Connection {
            source: end(source, 65535),
            destination: end(destination, 443),
            protocol: Protocol::Tcp,
            direction: Direction::Outgoing,
            pid: u32::MAX,
            network_namespace: 0,
            sent: Traffic::of(1),
            received: Traffic::of(2),
            retransmits: Traffic::of(3),
            last_seen_nanoseconds_since_boot: 0,
        }
    }

    #[track_caller]
    fn check(form: KeyForm, source: &str, destination: &str, expected: &str) {
        let key = Key::of(&connection(source, destination), form);
        let mut text = Ascii::new();
        key.write(&mut text);
        assert_eq!(text.as_str(), expected);
        let mut saved = Vec::new();
        key.save(&mut saved);
        assert_eq!((saved.len(), Key::restore(&saved)), (BYTES, Some(key)));
    }

    #[test]
    fn a_key_has_four_parts() {
        check(KeyForm::Ports, "10.0.0.1", "10.0.0.2", "10.0.0.1-10.0.0.2-65535-443");
        check(KeyForm::Process, "10.0.0.1", "10.0.0.2", "10.0.0.1-10.0.0.2-4294967295-443");
    }

    #[test]
    fn the_longest_key_fits() {
        let longest = "fd00:1111:2222:3333:4444:5555:6666:7777";
        let part = longest.replace(':', "_");
        check(KeyForm::Process, longest, longest, &format!("{part}-{part}-4294967295-443"));
    }

    #[test]
    fn only_the_one_address_is_the_machines_own() {
        for (source, destination, inside) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("::1", "::1", true),
            ("127.0.0.2", "127.0.0.2", false),
            ("127.0.0.1", "10.0.0.1", false),
            ("127.0.0.1", "127.0.0.2", false),
        ] {
            assert_eq!(stays_inside(&connection(source, destination)), inside, "{source} {destination}");
        }
    }

    #[test]
    fn too_few_bytes_are_no_key() {
        assert_eq!(Key::restore(&[0; BYTES - 1]), None);
    }
}
