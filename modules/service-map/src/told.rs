//! A connection as it is counted: from client to server, whichever of the two the tracer saw it at. Pure.

use std::hash::{BuildHasher, BuildHasherDefault, Hash};

use sluicebox_sdk::{Connection, Direction, End, FastHasher, Protocol};

/// A connection, turned so that the client comes first.
pub(crate) struct Told<'a> {
    pub(crate) client: &'a End,
    pub(crate) server: &'a End,
    /// The port at the server.
    pub(crate) port: u16,
    /// Bytes from the client to the server, and back.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) direction: Way,
    /// Whether the tracer saw it at the server.
    pub(crate) turned: bool,
}

/// On which side of a connection this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Way {
    /// Nobody knows who is the client: the ends stand as the tracer has them.
    Unknown,
    /// The server's.
    Incoming,
    /// The client's.
    Outgoing,
    /// Both.
    Local,
}

/// From here on Linux gives ports to clients.
const GIVEN_TO_CLIENTS: u16 = 32768;

impl<'a> Told<'a> {
    #[inline]
    pub(crate) fn of(connection: &'a Connection) -> Self {
        let (source, destination) = (&connection.source, &connection.destination);
        let (direction, turned) = match connection.direction {
            Direction::Outgoing => (Way::Outgoing, false),
            Direction::Incoming => (Way::Incoming, true),
            // It is told from either side: the ports tell which one it is.
            Direction::Local => (Way::Local, source.port < GIVEN_TO_CLIENTS && destination.port >= GIVEN_TO_CLIENTS),
            Direction::Unknown | Direction::Neither => (Way::Unknown, false),
        };
        let (sent, received) = (connection.sent.increase, connection.received.increase);
        let (client, server, sent, received) =
            if turned { (destination, source, received, sent) } else { (source, destination, sent, received) };
        // Where nobody knows who is the server, a port that a client was given would make a row of each connection.
        let port = if direction == Way::Unknown && server.port >= GIVEN_TO_CLIENTS { 0 } else { server.port };
        Self { client, server, port, sent, received, direction, turned }
    }

    /// The same for both sides of a local connection, and different for different ones. Always even.
    #[inline]
    pub(crate) fn identity(&self, protocol: Protocol, network_namespace: u32) -> u64 {
        // Loopback addresses are of one network namespace; of the others both sides have their own.
        let namespace = if is_loopback(self.client) { network_namespace } else { 0 };
        let (client, server) = (&self.client.address, &self.server.address);
        let ports = u64::from(self.client.port) << 16 | u64::from(self.server.port);
        let kind = u64::from(protocol as u8) << 8 | u64::from(self.direction as u8);
        hash((client.high, client.low, server.high, server.low, ports << 16 | kind, namespace)) & !1
    }
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
            Self::Local => "local",
        }
    }

    pub(crate) fn of_number(number: u8) -> Self {
        match number {
            1 => Self::Incoming,
            2 => Self::Outgoing,
            3 => Self::Local,
            _ => Self::Unknown,
        }
    }
}

#[inline]
fn is_loopback(end: &End) -> bool {
    end.address.high == 0 && (end.address.low >> 24 == 0xff_ff7f || end.address.low == 1)
}

#[inline]
fn hash(key: impl Hash) -> u64 {
    BuildHasherDefault::<FastHasher>::default().hash_one(key)
}
