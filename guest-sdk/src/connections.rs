//! Short ways through connections, and to make them in native tests.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::{Address, Connection, Direction, Protocol, SubjectId, Traffic};

impl Address {
    /// The address; an IPv4-mapped one as the IPv4 address that it stands for.
    ///
    /// ```
    /// use sluicebox_sdk::Address;
    ///
    /// assert_eq!(Address { high: 0, low: 0xffff_0a00_0001 }.ip().to_string(), "10.0.0.1");
    /// assert_eq!(Address { high: 0x2001_0db8_0000_0000, low: 1 }.ip().to_string(), "2001:db8::1");
    /// ```
    pub fn ip(&self) -> IpAddr {
        Ipv6Addr::from_bits(u128::from(self.high) << 64 | u128::from(self.low)).to_canonical()
    }

    /// Whether it is one of the machine's own (127.0.0.0/8, `::1`).
    pub fn is_loopback(&self) -> bool {
        self.ip().is_loopback()
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        let bits = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        #[allow(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
        let (high, low) = ((bits >> 64) as u64, bits as u64);
        Self { high, low }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(formatter)
    }
}

impl crate::End {
    /// Whose it is; none where that is not known.
    pub fn subject(&self) -> Option<SubjectId> {
        (self.subject != 0).then_some(self.subject)
    }
}

impl Connection {
    /// Who began it and who was asked: the two ends as client and server. None where the tracer does not tell; of a local connection
    /// the source is taken for the client, as it is told from either side.
    pub fn client_and_server(&self) -> Option<(&crate::End, &crate::End)> {
        match self.direction {
            Direction::Outgoing | Direction::Local => Some((&self.source, &self.destination)),
            Direction::Incoming => Some((&self.destination, &self.source)),
            Direction::Unknown | Direction::Neither => None,
        }
    }
}

impl Traffic {
    /// A total that has not grown.
    pub fn of(total: u64) -> Self {
        Self { total, increase: 0 }
    }
}

impl Protocol {
    /// `tcp`, `udp` or `other`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Other => "other",
        }
    }
}

impl Direction {
    /// As the WIT calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
            Self::Local => "local",
            Self::Neither => "neither",
        }
    }
}
