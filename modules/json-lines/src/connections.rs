//! A line for each connection of a report.

use serde_json::{Map, Value, json};
use sluicebox_sdk::{Connection, ConnectionReport, End, Packed, Rfc3339, Traffic};

use crate::Fields;
use crate::names::Names;

/// Appends the lines of a report.
pub(crate) fn write(report: &ConnectionReport, fields: Fields, names: &Names, lines: &mut Packed) {
    let time = Rfc3339(report.observed_at_unix_nanos).to_string();
    for connection in &report.connections {
        let line = line(&time, connection, fields, names).to_string();
        let key = names.key(connection.source.subject);
        lines.push(key, |lines| lines.push_str(&line));
    }
}

fn line(time: &str, connection: &Connection, fields: Fields, names: &Names) -> Value {
    let mut line = json!({
        "time": time,
        "kind": "connection",
        "source": end(&connection.source, names),
        "destination": end(&connection.destination, names),
        "protocol": connection.protocol.name(),
        "direction": connection.direction.name(),
    });
    if let Value::Object(line) = &mut line {
        if fields == Fields::Full {
            line.insert("pid".to_owned(), connection.pid.into());
            line.insert("network-namespace".to_owned(), connection.network_namespace.into());
        }
        for (name, value) in
            [("sent", &connection.sent), ("received", &connection.received), ("retransmits", &connection.retransmits)]
        {
            line.insert(name.to_owned(), traffic(value, fields));
        }
    }
    line
}

/// Who it is, as far as that is known, and where.
fn end(end: &End, names: &Names) -> Value {
    let mut written: Map<String, Value> = names.fields(end.subject).cloned().unwrap_or_default();
    written.insert("address".to_owned(), end.address.to_string().into());
    written.insert("port".to_owned(), end.port.into());
    Value::Object(written)
}

/// What has grown, at a terminal; else the total as well.
fn traffic(traffic: &Traffic, fields: Fields) -> Value {
    match fields {
        Fields::Compact => traffic.increase.into(),
        Fields::Full => json!({"total": traffic.total, "increase": traffic.increase}),
    }
}
