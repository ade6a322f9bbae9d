//! The connections of a case: with addresses as text, and totals that may stand alone.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::native::typed;
use crate::{Connection, ConnectionReport, Direction, End, Protocol, SubjectId, Traffic};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    observed_at_unix_nanos: u64,
    over_nanoseconds: u64,
    more: bool,
    connections: Vec<FileConnection>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileConnection {
    source: FileEnd,
    destination: FileEnd,
    protocol: Protocol,
    direction: Direction,
    pid: u32,
    network_namespace: u32,
    sent: FileTraffic,
    received: FileTraffic,
    retransmits: FileTraffic,
    last_seen_nanoseconds_since_boot: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileEnd {
    subject: Option<SubjectId>,
    address: IpAddr,
    port: u16,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FileTraffic {
    Total(u64),
    Both {
        total: u64,
        #[serde(default)]
        increase: u64,
    },
}

/// Reads a report of a case.
pub(super) fn read(report: &Value) -> Result<ConnectionReport, String> {
    let File { observed_at_unix_nanos, over_nanoseconds, more, connections } = typed(report)?;
    let connections = connections.iter().map(connection).collect();
    Ok(ConnectionReport { observed_at_unix_nanos, over_nanoseconds, connections, more })
}

fn connection(file: &FileConnection) -> Connection {
    Connection {
        source: end(&file.source),
        destination: end(&file.destination),
        protocol: file.protocol,
        direction: file.direction,
        pid: file.pid,
        network_namespace: file.network_namespace,
        sent: traffic(&file.sent),
        received: traffic(&file.received),
        retransmits: traffic(&file.retransmits),
        last_seen_nanoseconds_since_boot: file.last_seen_nanoseconds_since_boot,
    }
}

fn end(file: &FileEnd) -> End {
    End { subject: file.subject.unwrap_or_default(), address: file.address.to_canonical().into(), port: file.port }
}

fn traffic(file: &FileTraffic) -> Traffic {
    match *file {
        FileTraffic::Total(total) => Traffic { total, increase: 0 },
        FileTraffic::Both { total, increase } => Traffic { total, increase },
    }
}
