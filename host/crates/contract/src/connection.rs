//! Who talks to whom: what a network tracer reports of connections, with both ends told by their subjects.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{SubjectId, UnixNanos};

/// What a tracer reported at one time; a large report comes in several of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConnectionReport {
    /// When; the same for all parts of a report.
    #[serde(rename = "observed-at-unix-nanos")]
    pub observed_at: UnixNanos,
    /// The time since the report before, by a clock that nobody sets; zero for the first of a tracer.
    #[serde(rename = "over-nanoseconds")]
    pub over_nanos: u64,
    /// Whether another part of the same report follows.
    #[serde(default)]
    pub more: bool,
    /// Empty when the tracer saw none.
    pub connections: Vec<Connection>,
}

/// One connection, as the process at its source sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Connection {
    /// The end on which the tracer saw it: that of the process with `pid`.
    pub source: End,
    /// The other end.
    pub destination: End,
    /// What is spoken.
    pub protocol: Protocol,
    /// Who began.
    pub direction: Direction,
    /// The process at the source, as the host numbers it; zero where that is not known.
    #[serde(default)]
    pub pid: u32,
    /// The inode of its network namespace; zero where that is not known.
    #[serde(default)]
    pub network_namespace: u32,
    /// What went from the source to the destination since the connection was first seen.
    pub sent: Traffic,
    /// What came back.
    pub received: Traffic,
    /// Segments sent again.
    #[serde(default)]
    pub retransmits: Traffic,
    /// When the tracer last saw something of it, nanoseconds since the node was started; zero where that is not known.
    #[serde(default, rename = "last-seen-nanoseconds-since-boot")]
    pub last_seen_nanos: u64,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct End {
    /// Whose it is; none where that cannot be known.
    #[serde(default)]
    pub subject: Option<SubjectId>,
    /// Its address. An IPv4-mapped address is told as the IPv4 address that it stands for.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// A total, and what it has grown by since the report before: nothing in the first report of a tracer, and nothing where the total has
/// fallen. As JSON a number in its place is the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, from = "Written")]
pub struct Traffic {
    /// Since the connection was first seen.
    pub total: u64,
    /// Since the report before.
    pub increase: u64,
}

/// How case files write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Total(u64),
    Both {
        total: u64,
        #[serde(default)]
        increase: u64,
    },
}

impl From<Written> for Traffic {
    fn from(written: Written) -> Self {
        match written {
            Written::Total(total) => Self { total, increase: 0 },
            Written::Both { total, increase } => Self { total, increase },
        }
    }
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// Something else, or not told.
    Other,
}

/// Who began a connection, as its source sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The tracer does not tell, or in a way that is not known.
    Unknown,
    /// The destination connected to the source.
    Incoming,
    /// The source connected to the destination.
    Outgoing,
    /// Both ends are on this node.
    Local,
    /// Neither: it has no beginning, as some UDP.
    Neither,
}

impl Connection {
    /// The subjects of its ends.
    pub fn subjects(&self) -> impl Iterator<Item = SubjectId> {
        [self.source.subject, self.destination.subject].into_iter().flatten()
    }
}

impl ConnectionReport {
    /// The same report without the connections that are about any other subject. An end that nobody knows is about none.
    #[must_use]
    pub fn only(&self, keep: impl Fn(SubjectId) -> bool) -> Self {
        let connections = self.connections.iter().filter(|connection| connection.subjects().all(&keep)).copied().collect();
        Self { connections, ..*self }
    }

    /// Two parts of it; none when there are fewer than two connections.
    pub fn halves(&self) -> Option<(Self, Self)> {
        let count = self.connections.len();
        let (left, right) = self.connections.split_at_checked(count / 2).filter(|_| count > 1)?;
        Some((Self { connections: left.to_vec(), more: true, ..*self }, Self { connections: right.to_vec(), ..*self }))
    }

    /// Roughly how many bytes it holds in memory.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.connections.len() * size_of::<Connection>()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn end(subject: Option<u32>) -> End {
        End { subject: subject.map(SubjectId), address: Ipv4Addr::LOCALHOST.into(), port: 1 }
    }

    fn report(ends: &[(Option<u32>, Option<u32>)]) -> ConnectionReport {
        let connection = |(source, destination): &(Option<u32>, Option<u32>)| Connection {
            source: end(*source),
            destination: end(*destination),
            protocol: Protocol::Tcp,
            direction: Direction::Outgoing,
            pid: 1,
            network_namespace: 0,
            sent: Traffic::default(),
            received: Traffic::default(),
            retransmits: Traffic::default(),
            last_seen_nanos: 0,
        };
        let connections = ends.iter().map(connection).collect();
        ConnectionReport { observed_at: UnixNanos(1), over_nanos: 0, more: false, connections }
    }

    #[test]
    fn the_first_half_says_that_more_comes() {
        let whole = report(&[(Some(1), None), (Some(2), None), (Some(3), None)]);
        let (left, right) = whole.halves().unwrap();
        assert_eq!((left.connections.len(), left.more), (1, true));
        assert_eq!((right.connections.len(), right.more), (2, false));
        assert_eq!(report(&[(None, None)]).halves(), None);
        assert_eq!(report(&[]).halves(), None);
    }

    #[test]
    fn a_connection_goes_with_either_of_its_ends_and_unknown_ends_stay() {
        let whole = report(&[(Some(1), Some(2)), (Some(3), None), (None, None)]);
        assert_eq!(whole.only(|subject| subject != SubjectId(2)), report(&[(Some(3), None), (None, None)]));
    }

    #[test]
    fn a_number_is_a_total() {
        let read = |text: &str| serde_json::from_str::<Traffic>(text).unwrap();
        assert_eq!(read("7"), Traffic { total: 7, increase: 0 });
        assert_eq!(read(r#"{"total": 7, "increase": 2}"#), Traffic { total: 7, increase: 2 });
        assert_eq!(read(&serde_json::to_string(&read("7")).unwrap()), read("7"));
    }
}
